/* sqlite_arena.c - memory that is given back all at once, after each batch */
#include <stdlib.h>

#include "sqlite.h"

#define CHUNK_BYTES 65536u

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	char bytes[]; /* texts and bytes only: no alignment */
};

static struct arena_chunk *chunk_new(struct arena *a, size_t len)
{
	size_t size = len > CHUNK_BYTES ? len : CHUNK_BYTES;
	struct arena_chunk *c = malloc(sizeof(*c) + size);

	if (!c)
		return NULL;
	*c = (struct arena_chunk){.next = a->chunks, .size = size};
	a->chunks = c;
	return c;
}

void *arena_take(struct arena *a, size_t len)
{
	struct arena_chunk *c = a->chunks;
	char *taken;

	if (!c || c->size - c->used < len)
		c = chunk_new(a, len);
	if (!c)
		return NULL;
	taken = c->bytes + c->used;
	c->used += len;
	return taken;
}

void arena_clear(struct arena *a)
{
	struct arena_chunk *c = a->chunks, *next, *kept = NULL;

	for (; c; c = next) {
		next = c->next;
		if (!kept && c->size == CHUNK_BYTES) {
			kept = c;
			kept->next = NULL;
			kept->used = 0;
		} else {
			free(c);
		}
	}
	a->chunks = kept;
}

void arena_free(struct arena *a)
{
	arena_clear(a);
	free(a->chunks);
	a->chunks = NULL;
}
