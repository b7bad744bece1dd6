/* identity.c - which shards a document holds already */
#include "identity.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 32
#define KEPT_PLACES  1024 /* a larger table is given back when the set is cleared */

void identity_set_init(struct identity_set *s)
{
	memset(s, 0, sizeof(*s));
	s->text = BUF_EMPTY;
	crypto_random(s->key, sizeof(s->key));
}

void identity_set_free(struct identity_set *s)
{
	free(s->list);
	free(s->places);
	buf_free(&s->text);
	s->list = NULL;
	s->places = NULL;
	s->cap = s->count = 0;
}

void identity_set_clear(struct identity_set *s)
{
	if (s->cap > KEPT_PLACES) {
		free(s->list);
		free(s->places);
		s->list = NULL;
		s->places = NULL;
		s->cap = 0;
		s->count = 0;
	}
	if (s->count)
		memset(s->places, 0, s->cap * sizeof(*s->places));
	s->count = 0;
	s->failed = false;
}

/* A number in a form that equal numbers share. */
static void add_number(struct buf *text, const struct jdoc_node *n)
{
	int64_t integer = n->type == JDOC_INT ? n->integer : 0;
	double real = n->type == JDOC_REAL ? n->real : 0;

	/* the bounds are exact doubles: 2^63 itself is out of range */
	if (n->type == JDOC_REAL && real >= -9223372036854775808.0 && real < 9223372036854775808.0) {
		integer = (int64_t)real;
		if ((double)integer != real) {
			buf_char(text, 'r');
			buf_add(text, &real, sizeof(real));
			return;
		}
	} else if (n->type == JDOC_REAL) {
		buf_char(text, 'r');
		buf_add(text, &real, sizeof(real));
		return;
	}
	buf_char(text, 'i');
	buf_add(text, &integer, sizeof(integer));
}

static void add_value(struct buf *text, struct redactor *r, const struct jdoc *d, uint32_t node)
{
	size_t at = text->len;
	uint32_t len = 0;

	buf_add(text, &len, sizeof(len));
	switch (jdoc_type(d, node)) {
	case JDOC_NULL:
		buf_char(text, 'n');
		break;
	case JDOC_INT:
	case JDOC_REAL:
		add_number(text, &d->nodes[node]);
		break;
	case JDOC_STRING:
		buf_char(text, 's');
		buf_span(text, jdoc_str(d, node));
		break;
	default:
		buf_char(text, 'v');
		redact_value(r, d, node, text);
	}
	if (text->failed)
		return;
	len = (uint32_t)(text->len - at);
	memcpy(text->ptr + at, &len, sizeof(len));
}

struct identity identity_of(struct identity_set *s, struct redactor *r, const struct jdoc *d, uint32_t shard)
{
	struct identity id;

	buf_clear(&s->text);
	add_value(&s->text, r, d, jdoc_get(d, shard, "trace_id"));
	add_value(&s->text, r, d, jdoc_get(d, shard, "index"));
	add_value(&s->text, r, d, jdoc_get(d, shard, "timestamp"));
	if (s->text.failed)
		s->failed = true;
	crypto_hash128(id.hash, (struct span){s->text.ptr, s->text.len}, s->key);
	return id;
}

/* The place that names the identity, or the empty one where it belongs. */
static uint32_t *find(const struct identity_set *s, const struct identity *id)
{
	uint64_t start;

	memcpy(&start, id->hash, sizeof(start));
	for (size_t i = start & (s->cap - 1);; i = (i + 1) & (s->cap - 1)) {
		uint32_t place = s->places[i];
		if (place == 0 || memcmp(&s->list[place - 1], id, sizeof(*id)) == 0)
			return &s->places[i];
	}
}

static void fill_places(struct identity_set *s)
{
	memset(s->places, 0, s->cap * sizeof(*s->places));
	for (size_t i = 0; i < s->count; i++)
		*find(s, &s->list[i]) = (uint32_t)i + 1;
}

static bool grow(struct identity_set *s)
{
	size_t cap = s->cap ? s->cap * 2 : FIRST_PLACES;
	uint32_t *places = calloc(cap, sizeof(*places));
	struct identity *list = places ? realloc(s->list, cap / 2 * sizeof(*list)) : NULL;

	if (!list) {
		free(places);
		s->failed = true;
		return false;
	}
	free(s->places);
	s->places = places;
	s->list = list;
	s->cap = cap;
	fill_places(s);
	return true;
}

bool identity_add(struct identity_set *s, struct identity id)
{
	if (s->count * 2 >= s->cap && !grow(s))
		return false;
	uint32_t *place = find(s, &id);
	if (*place)
		return false;
	s->list[s->count++] = id;
	*place = (uint32_t)s->count;
	return true;
}

void identity_set_cut(struct identity_set *s, size_t count)
{
	if (count == s->count)
		return;
	s->count = count;
	fill_places(s);
}
