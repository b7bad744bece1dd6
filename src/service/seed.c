/* seed.c - the seed as it is stored */
#include <string.h>

#include "internal.h"

#define ELLIPSIS "\xe2\x80\xa6"

/* Code points of well-formed UTF-8: the bytes that continue none. */
static uint32_t count_points(struct span text)
{
	uint32_t points = 0;
	for (size_t i = 0; i < text.len; i++)
		points += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
	return points;
}

/* Bytes of the first max code points, of which there are more. */
static size_t bytes_of_points(struct span text, uint32_t max)
{
	size_t at = 0;
	for (uint32_t points = 0;; at++)
		if (((unsigned char)text.ptr[at] & 0xc0) != 0x80 && points++ == max)
			return at;
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
		if (i != jdoc_first(doc, seed))
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
	uint32_t points = count_points(text);
	buf_reserve(out, doc->nodes[seed].raw.len + 8);
	if (points > max_chars)
		store_cut(doc, seed, goal, (struct span){text.ptr, bytes_of_points(text, max_chars)}, out);
	else
		jdoc_compact(doc, seed, out);
	return points;
}

bool seed_is_whole(const struct jdoc *doc, uint32_t seed, uint32_t goal_chars)
{
	struct span text = jdoc_str(doc, jdoc_get(doc, seed, "goal"));
	size_t tail = strlen(ELLIPSIS);
	bool cut_off = text.len >= tail && memcmp(text.ptr + text.len - tail, ELLIPSIS, tail) == 0;
	return count_points(text) == goal_chars && !cut_off;
}
