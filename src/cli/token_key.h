/*
 * token_key - private key files, and the small words of the token commands
 *
 * A key file is one RFC 8037 JWK with its private member d and, for the
 * tool's convenience, the limits that keygen wrote into the keyring.
 *
 * OWNERSHIP  a struct token_key owns its document; token_key_free wipes it.
 * THREADS    one.
 */
#ifndef CLI_TOKEN_KEY_H
#define CLI_TOKEN_KEY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "simlane/crypto.h"

struct token_key {
	json_t *jwk; /* the public half: no d in it */
	const char *kid;
	uint8_t seed[ED25519_SEED_BYTES];
};

/* Base64url of some bytes as a JSON string. NULL: no memory. */
json_t *token_key_base64url(const uint8_t *bytes, size_t len);

/* Reads a private key from a file or "-"; warns when others can read the
 * file. -1: told on stderr. */
int token_key_read(const char *command, const char *path, struct token_key *key);
void token_key_free(struct token_key *key);

/* What its tokens may carry, all bits when it is not limited. */
unsigned token_key_scopes(const struct token_key *key);

/* The bit of a scope's full or short name, 0 when there is none. */
unsigned token_scope_parse(const char *name);
void token_scopes_print(unsigned scopes); /* full names on stdout, space between */

/* 90, 90s, 15m, 1h, 7d in milliseconds, at most ten years; false otherwise. */
bool token_duration_parse(const char *text, int64_t *ms);

#endif
