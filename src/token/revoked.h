/*
 * token/revoked - what is no longer to be believed
 *
 * One a line: a jti (also as "jti:..."), "sub:..." or "kid:...". Blank lines
 * and lines that begin with # are passed over; what follows " #" on a line is
 * a comment too, though the whole line is taken as well, for an id that has
 * " #" in it. Kept as keyed hashes, 16 bytes an entry.
 *
 * ERRORS     revoked_read gives NULL; fault names the line.
 * OWNERSHIP  a list is a snapshot value.
 * THREADS    any, once read.
 */
#ifndef SIMLANE_TOKEN_REVOKED_H
#define SIMLANE_TOKEN_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/claims.h"
#include "simlane/crypto.h"
#include "simlane/fault.h"
#include "simlane/snapshot.h"
#include "simlane/span.h"

/* All zero: empty. */
struct revoked_slot {
	uint64_t hash[HASH128_BYTES / sizeof(uint64_t)];
};

struct revoked {
	struct snapshot_ref ref; /* first: what is freed */
	uint8_t hash_key[HASH128_KEY_BYTES];
	size_t lines; /* entries as an operator counts them */
	size_t used;
	size_t mask; /* slots - 1; a power of two, at most half of them used */
	struct revoked_slot *slots;
};

struct revoked *revoked_read(struct span text, struct fault *fault);

/* By jti, sub or kid. list may be NULL: nothing is revoked. */
bool revoked_has(const struct revoked *list, const struct claims *claims);

#endif
