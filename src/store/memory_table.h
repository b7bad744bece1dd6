/*
 * memory_table - a set of pointers, found by a 32-bit hash
 *
 * Open addressing with linear probing: one array of pointers, one of hashes,
 * in one allocation (12 bytes a slot), between 53 and 80 per cent full while
 * growing. The hash array alone answers nearly every probe, growing does not
 * touch the items, and removal closes the gap, so there are no tombstones.
 *
 * The items are the caller's. Not locked.
 */
#ifndef SIMLANE_MEMORY_TABLE_H
#define SIMLANE_MEMORY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	void **items;
	uint32_t *hashes; /* 0: an empty slot */
	uint32_t count, cap;
};

typedef bool table_same(const void *item, const void *key);

/* The hash of a table from a well-mixed 64-bit one. */
static inline uint32_t table_hash(uint64_t mixed)
{
	uint32_t h = (uint32_t)(mixed >> 32);

	return h ? h : 1;
}

bool table_reserve(struct table *t); /* room for one more; false: no memory */
void table_insert(struct table *t, uint32_t hash, void *item);
void *table_find(const struct table *t, uint32_t hash, table_same *same, const void *key);
bool table_remove(struct table *t, uint32_t hash, const void *item); /* by identity; may give memory back */
void table_free(struct table *t);
size_t table_bytes(const struct table *t); /* what it holds, malloc's share included */

/* What malloc takes for a block of that size (glibc, 64 bit). */
static inline size_t malloc_bytes(size_t size)
{
	size_t taken = (size + 8 + 15) & ~(size_t)15;

	return taken < 32 ? 32 : taken;
}

#endif
