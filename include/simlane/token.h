/*
 * token - capability tokens: verified once, trusted until they end
 *
 * Two formats, both Ed25519 and nothing else, told apart by their form:
 * PASETO v4.public (kid in the JSON footer, no implicit assertion) and JWS
 * compact JWT (alg exactly EdDSA or Ed25519; typ absent, JWT or at+jwt,
 * compared without case; kid required; any crit refused; jwk, jku, x5u, x5c
 * in the header are never used). At most TOKEN_MAX_BYTES.
 *
 * A verifier holds the keyring and the revocations as snapshots and a cache
 * of verdicts: key, a keyed 128-bit hash of the whole token; never past exp;
 * tagged with the generation of keyring and revocations, compared on every
 * hit. Only good verdicts are cached.
 *
 * ERRORS     token_verify returns the verdict; only TOKEN_EXPIRED may be told
 *            to the client, the rest is for the log.
 * OWNERSHIP  claims come with one reference for the caller.
 * THREADS    any.
 * SOURCE     PASETO version 4 (paseto-spec, 02-PASETO-Implementation), RFC
 *            7515, 7517, 7519, 8037, 8032, 9068 (at+jwt), 9470.
 */
#ifndef SIMLANE_TOKEN_H
#define SIMLANE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/claims.h"
#include "simlane/clock.h"
#include "simlane/fault.h"
#include "simlane/span.h"

#define TOKEN_MAX_BYTES 4096

enum token_verdict {
	TOKEN_VALID,
	TOKEN_MALFORMED, /* not of either form, or its claims are not as the contract says */
	TOKEN_BAD_SIGNATURE,
	TOKEN_UNKNOWN_KEY,
	TOKEN_EXPIRED,
	TOKEN_NOT_YET_VALID,
	TOKEN_WRONG_AUDIENCE,
	TOKEN_WRONG_ISSUER,    /* the key's simlane_iss is another */
	TOKEN_WRONG_TENANT,    /* the key may not speak for this tenant */
	TOKEN_ACR_NOT_ALLOWED, /* asserts an acr that its key may not */
	TOKEN_REVOKED,
	TOKEN_NO_MEMORY,
	TOKEN_VERDICTS, /* how many there are */
};

const char *token_verdict_name(enum token_verdict v); /* "bad-signature", ... */

struct verifier;

struct verifier_options {
	const char *audience; /* required in aud; NULL: aud is not looked at */
	int64_t skew_ms;
	const struct clock *clock;
	size_t cache_entries; /* verdicts kept; 0: no cache */
};

struct verifier *verifier_new(const struct verifier_options *options); /* NULL: no memory */
void verifier_free(struct verifier *v);

/* Reads a JWK Set / a revocation list and puts it in force at once, also for
 * tokens seen before. -1: fault says why, the old one stays in force. An
 * absent span for revocations means none. The number of keys or entries is
 * returned otherwise. */
int verifier_load_keyring(struct verifier *v, struct span jwks, struct fault *fault);
int verifier_load_revoked(struct verifier *v, struct span text, struct fault *fault);

/* *claims is set only for TOKEN_VALID. cached may be NULL; tells whether the
 * verdict came from the cache. */
enum token_verdict token_verify(struct verifier *v, struct span token, const struct claims **claims, bool *cached);

/* A second look at claims that have waited: expired or revoked (or their key
 * gone) meanwhile? TOKEN_VALID, TOKEN_EXPIRED, TOKEN_REVOKED, TOKEN_UNKNOWN_KEY. */
enum token_verdict token_recheck(struct verifier *v, const struct claims *claims);

/* ---- for the tool and the tests ---- */

struct token_mint {
	const char *kid, *iss, *sub, *jti, *tenant, *audience, *acr; /* NULL: left out, where the contract allows */
	unsigned scopes;
	int64_t issued_ms, expires_ms, not_before_ms, auth_time_ms; /* 0: left out (not expires_ms) */
	bool jwt;                                                   /* else PASETO */
};

/* Appends the token to out. False: no memory. seed is the 32-byte private key. */
bool token_mint(const struct token_mint *m, const uint8_t seed[32], struct buf *out);

/* The RFC 7638 thumbprint of a public key: what keygen names a key by. */
#define TOKEN_THUMBPRINT_SIZE 44
void token_thumbprint(const uint8_t public_key[32], char out[TOKEN_THUMBPRINT_SIZE]);

/* PASERK id (PASERK operations-ID): k4.pid of a 32-byte public key, or k4.sid
 * of a 64-byte secret one. False: not a key of that kind. */
#define TOKEN_PASERK_ID_SIZE 52
bool token_paserk_id(bool secret, const uint8_t *key, size_t len, char out[TOKEN_PASERK_ID_SIZE]);

/* Splits a token and checks its signature with the one key given, no claims
 * looked at: payload is appended to out. For vectors and `token inspect`
 * (public_key NULL: the signature is not checked). implicit is PASETO's
 * implicit assertion, absent for none. */
enum token_verdict token_open(struct span token, const uint8_t *public_key, struct span implicit, struct buf *payload,
                              struct buf *header_or_footer);

#endif
