/* seed.c - the seed as it is stored */
#include <string.h>

#include "internal.h"

#define ELLIPSIS "\xe2\x80\xa6"

/* Code points of well-formed UTF-8; *cut_at: bytes of the first max of them. */
static uint32_t count_points(struct span text, uint32_t max, size_t *cut_at)
{
	uint32_t points = 0;
	*cut_at = text.len;
	for (size_t i = 0; i < text.len; i++) {
		if (((unsigned char)text.ptr[i] & 0xc0) == 0x80)
			continue;
		if (points == max)
			*cut_at = i;
		points++;
	}
	return points;
}

static void add_cut_goal(struct buf *out, struct span head)
{
	buf_json_string(out, head);
	out->len--; /* the closing quote */
	buf_text(out, ELLIPSIS "\"");
}

/* The seed member by member, its goal replaced. */
static void store_cut(const struct jdoc *doc, uint32_t seed, uint32_t goal, struct span head, struct buf *out)
{
	buf_char(out, '{');
	for (uint32_t i = jdoc_first(doc, seed); i < doc->nodes[seed].next; i = jdoc_next_member(doc, i)) {
		if (out->ptr[out->len - 1] != '{' || i != jdoc_first(doc, seed))
			buf_char(out, ',');
		jdoc_compact(doc, i, out);
		buf_char(out, ':');
		if (i + 1 == goal)
			add_cut_goal(out, head);
		else
			jdoc_compact(doc, i + 1, out);
	}
	buf_char(out, '}');
}

uint32_t seed_store(const struct jdoc *doc, uint32_t seed, uint32_t max_chars, struct buf *out)
{
	uint32_t goal = jdoc_get(doc, seed, "goal");
	struct span text = jdoc_str(doc, goal);
	size_t cut_at;
	uint32_t points = count_points(text, max_chars, &cut_at);
	buf_reserve(out, doc->nodes[seed].raw.len + 8);
	if (points > max_chars)
		store_cut(doc, seed, goal, (struct span){text.ptr, cut_at}, out);
	else
		jdoc_compact(doc, seed, out);
	return points;
}
