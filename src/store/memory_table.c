/*
 * memory_table - open addressing over one allocation
 *
 * A hash's home is hash * cap / 2^32: it works with any capacity (so the
 * table can grow by half), and it keeps the hashes almost sorted, so that
 * growing reads and writes in order.
 */
#include "memory_table.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN  8u
#define CAP_MAX  (UINT32_MAX / 4)
#define SLOT     (sizeof(void *) + sizeof(uint32_t))
#define FULL(c)  ((c) / 5 * 4 + (c) % 5 * 4 / 5) /* 80 per cent */
#define EMPTY(c) ((c) / 5)

static uint32_t home(const struct table *t, uint32_t hash)
{
	return (uint32_t)(((uint64_t)hash * t->cap) >> 32);
}

static uint32_t next_slot(const struct table *t, uint32_t i)
{
	return i + 1 == t->cap ? 0 : i + 1;
}

static bool table_resize(struct table *t, uint32_t cap)
{
	struct table bigger = {.cap = cap};

	bigger.items = malloc((size_t)cap * SLOT);
	if (!bigger.items)
		return false;
	bigger.hashes = (uint32_t *)(void *)(bigger.items + cap);
	memset(bigger.hashes, 0, cap * sizeof(uint32_t));
	for (uint32_t i = 0; i < t->cap; i++) {
		if (t->hashes[i])
			table_insert(&bigger, t->hashes[i], t->items[i]);
	}
	free(t->items);
	*t = bigger;
	return true;
}

bool table_reserve(struct table *t)
{
	if (t->count < FULL(t->cap))
		return true;
	if (t->cap >= CAP_MAX)
		return false;
	return table_resize(t, t->cap ? t->cap + t->cap / 2 : CAP_MIN);
}

void table_insert(struct table *t, uint32_t hash, void *item)
{
	uint32_t i = home(t, hash);

	while (t->hashes[i])
		i = next_slot(t, i);
	t->hashes[i] = hash;
	t->items[i] = item;
	t->count++;
}

void *table_find(const struct table *t, uint32_t hash, table_same *same, const void *key)
{
	if (!t->count)
		return NULL;
	for (uint32_t i = home(t, hash); t->hashes[i]; i = next_slot(t, i)) {
		if (t->hashes[i] == hash && same(t->items[i], key))
			return t->items[i];
	}
	return NULL;
}

/* Moves back what was pushed on past the gap, until a slot is empty. */
static void close_gap(struct table *t, uint32_t gap)
{
	for (uint32_t i = next_slot(t, gap); t->hashes[i]; i = next_slot(t, i)) {
		uint32_t h = home(t, t->hashes[i]);
		bool stays = gap < i ? (h > gap && h <= i) : (h > gap || h <= i);

		if (stays)
			continue;
		t->hashes[gap] = t->hashes[i];
		t->items[gap] = t->items[i];
		gap = i;
	}
	t->hashes[gap] = 0;
}

bool table_remove(struct table *t, uint32_t hash, const void *item)
{
	uint32_t i;

	if (!t->count)
		return false;
	i = home(t, hash);
	while (t->hashes[i] && t->items[i] != item)
		i = next_slot(t, i);
	if (!t->hashes[i])
		return false;
	close_gap(t, i);
	t->count--;
	/* Failing to shrink is no failure: the table only stays larger. */
	if (t->count == 0)
		table_free(t);
	else if (t->cap > 4 * CAP_MIN && t->count < EMPTY(t->cap))
		(void)table_resize(t, t->cap / 2);
	return true;
}

void table_free(struct table *t)
{
	free(t->items);
	*t = (struct table){NULL, NULL, 0, 0};
}

size_t table_bytes(const struct table *t)
{
	return t->cap ? malloc_bytes((size_t)t->cap * SLOT) : 0;
}
