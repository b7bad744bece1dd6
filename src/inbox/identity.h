/*
 * identity - which shards a document holds already
 *
 * Two shards are the same when their (trace_id, index, timestamp) are equal
 * as JSON values: numbers by value (1 and 1.0 are one), strings after
 * unescaping, an absent member like null. Each identity is kept as a keyed
 * 128-bit hash (SipHash), so that a set of them is small and its cost cannot
 * be driven up by crafted shards.
 *
 * OWNERSHIP  the set's memory is its own, kept by identity_clear for reuse.
 * THREADS    one at a time.
 */
#ifndef SIMLANE_INBOX_IDENTITY_H
#define SIMLANE_INBOX_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redact.h"
#include "simlane/buf.h"
#include "simlane/crypto.h"
#include "simlane/jdoc.h"

struct identity {
	uint8_t hash[HASH128_BYTES];
};

struct identity_set {
	uint8_t key[HASH128_KEY_BYTES]; /* random, set once */
	struct identity *list;          /* in the order in which they came */
	size_t count;
	uint32_t *places; /* open addressing: 1 + index into list, 0: empty */
	size_t cap;       /* of places, a power of two; list has room for half */
	struct buf text;  /* scratch */
	bool failed;      /* an allocation failed: the answers are not to be used */
};

void identity_set_init(struct identity_set *s);
void identity_set_free(struct identity_set *s);
void identity_set_clear(struct identity_set *s); /* also forgets a failure */

/* The identity of the shard (an object) at that node, as it is or will be
 * stored: r is the redactor that it is going through, or NULL. */
struct identity identity_of(struct identity_set *s, struct redactor *r, const struct jdoc *d, uint32_t shard);

/* True: it is new and now in the set. */
bool identity_add(struct identity_set *s, struct identity id);

/* Forgets all but the first count. */
void identity_set_cut(struct identity_set *s, size_t count);

#endif
