/*
 * token/keyring - the public keys that may vouch for a caller
 *
 * An RFC 7517 JWK Set, every key of it OKP/Ed25519 with a kid of its own;
 * read whole or refused whole, and immutable from then on. A private key in
 * it is refused: a verifier has no business with one.
 *
 * Members of ours, all optional: simlane_scopes (tokens of the key never
 * carry more), simlane_tenants (without it only "default"; ["*"] any),
 * simlane_iss (the only iss it may speak for), simlane_acr (["gtpsi"]: may
 * assert step-up). Members that we do not know are ignored (RFC 7517 section
 * 4), but a name of ours that is misspelt ("simlane_...") is refused.
 *
 * ERRORS     keyring_read gives NULL; fault names the key by JSON Pointer.
 * OWNERSHIP  a keyring is a snapshot value; keys live as long as it does.
 * THREADS    any, once read.
 */
#ifndef SIMLANE_TOKEN_KEYRING_H
#define SIMLANE_TOKEN_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/crypto.h"
#include "simlane/fault.h"
#include "simlane/jdoc.h"
#include "simlane/snapshot.h"
#include "simlane/span.h"

#define TENANT_DEFAULT "default"
#define ACR_GTPSI      "gtpsi"

struct key {
	struct span kid;
	struct span iss;  /* absent: any */
	uint32_t tenants; /* node of the array, JDOC_NONE: only default */
	unsigned scopes;  /* the most that its tokens carry */
	bool may_assert_gtpsi;
	uint8_t public_key[ED25519_PUBLIC_BYTES];
};

struct keyring {
	struct snapshot_ref ref; /* first: what is freed */
	char *text;              /* spans and nodes point into it */
	size_t text_bytes;
	struct jdoc doc;
	size_t count;
	struct key *keys; /* sorted by kid */
};

struct keyring *keyring_read(struct span jwks, struct fault *fault);

/* NULL: no such key, or no keyring. */
const struct key *keyring_find(const struct keyring *ring, struct span kid);

bool key_speaks_for(const struct keyring *ring, const struct key *key, struct span tenant);

/* The bit of a scope's full name, 0 for any other text. */
unsigned scope_bit(struct span name);

#endif
