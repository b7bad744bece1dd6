/*
 * token/cache - verdicts kept, so that a token's signature is checked once
 *
 * Bounded and set-associative: a token's keyed hash names one set of eight
 * entries; a full set gives up what is stale, then what was not asked for
 * since it was last looked at. A claim counts only while keyring and
 * revocations are the ones it was verified under.
 *
 * OWNERSHIP  the cache has its own reference of the claims that it keeps.
 * THREADS    any; each lock guards the sets that share it.
 */
#ifndef SIMLANE_TOKEN_CACHE_H
#define SIMLANE_TOKEN_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "simlane/claims.h"
#include "simlane/crypto.h"

struct token_cache;

/* What was in force. */
struct token_cache_tag {
	uint64_t keyring, revoked;
};

/* entries is rounded up to a power of two. NULL: no memory. */
struct token_cache *token_cache_new(size_t entries);
void token_cache_free(struct token_cache *cache); /* NULL is fine */

/* Claims with a reference for the caller, or NULL: not there, of another tag,
 * past exp or (the clock went back) before nbf. */
const struct claims *token_cache_get(struct token_cache *cache, const uint8_t hash[HASH128_BYTES],
                                     struct token_cache_tag tag, int64_t now_ms);

/* Takes a reference of its own. */
void token_cache_put(struct token_cache *cache, const uint8_t hash[HASH128_BYTES], struct token_cache_tag tag,
                     const struct claims *claims, int64_t now_ms);

#endif
