/*
 * fuzz_body - any bytes as a request's body, read by jdoc and by jansson
 *
 * What jdoc takes, jansson takes too and finds the same value in it, white
 * space taken out or not. What jansson takes, jdoc refuses for its depth or a
 * NUL byte only. A body that is an object is then stored as if it were a seed:
 * valid JSON, its goal whole or cut to the code point, everything else as it
 * came.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/service/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static json_t *load(struct span text, size_t flags)
{
	return json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | flags, NULL);
}

/* Each string, written by buf_json_string, reads back as the same bytes; each
 * subtree lies inside its parent. */
static void check_nodes(const struct jdoc *doc)
{
	for (uint32_t i = 0; i < doc->count; i++) {
		const struct jdoc_node *n = &doc->nodes[i];
		require(n->next > i && n->next <= doc->count && n->raw.len > 0);
		if (n->type != JDOC_STRING)
			continue;
		struct buf b = BUF_EMPTY;
		buf_json_string(&b, n->str);
		json_t *read = load((struct span){b.ptr, b.len}, JSON_DECODE_ANY);
		require(json_is_string(read) && json_string_length(read) == n->str.len &&
		        memcmp(json_string_value(read), n->str.ptr, n->str.len) == 0);
		json_decref(read);
		buf_free(&b);
	}
}

static void check_compact(const struct jdoc *doc, const json_t *tree)
{
	struct buf compact = BUF_EMPTY, again = BUF_EMPTY;
	struct jdoc second = JDOC_EMPTY;
	jdoc_compact(doc, 0, &compact);
	struct span text = {compact.ptr, compact.len};
	json_t *same = load(text, 0);
	require(same && json_equal((json_t *)(uintptr_t)tree, same));
	require(jdoc_parse(&second, text, NULL) == JDOC_OK && second.count == doc->count);
	jdoc_compact(&second, 0, &again);
	require(span_equal(text, (struct span){again.ptr, again.len}));
	json_decref(same);
	jdoc_free(&second);
	buf_free(&compact);
	buf_free(&again);
}

static size_t bytes_of_points(const char *text, uint32_t max)
{
	size_t at = 0;
	for (uint32_t points = 0; text[at]; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80 && points++ == max)
			break;
	return at;
}

/* The goal of the stored seed is that of the tree, whole or cut at max. */
static void check_goal(const char *goal, const char *stored, uint32_t max, uint32_t points)
{
	size_t kept = bytes_of_points(goal, max);
	require(memcmp(goal, stored, kept) == 0);
	require(strcmp(stored + kept, points > max ? "\xe2\x80\xa6" : "") == 0);
}

static void check_seed(const struct jdoc *doc, const json_t *tree, uint32_t max)
{
	struct buf out = BUF_EMPTY;
	struct jdoc again = JDOC_EMPTY;
	uint32_t points = seed_store(doc, 0, max, &out);
	struct span text = {out.ptr, out.len};
	json_t *stored = load(text, 0), *expected = json_copy((json_t *)(uintptr_t)tree);
	require(stored && expected);
	require(jdoc_parse(&again, text, NULL) == JDOC_OK && again.nodes[0].raw.len == text.len);
	json_t *goal = json_object_get(expected, "goal");
	if (json_is_string(goal)) {
		json_t *cut = json_object_get(stored, "goal");
		require(json_is_string(cut));
		check_goal(json_string_value(goal), json_string_value(cut), max, points);
		require(json_object_set(expected, "goal", cut) == 0);
	} else {
		require(points == 0);
	}
	require(json_equal(stored, expected));
	json_decref(stored);
	json_decref(expected);
	jdoc_free(&again);
	buf_free(&out);
}

static void check_place(struct span text, const struct jdoc_where *where)
{
	unsigned line = 1, column = 1;
	require((where->error == JDOC_OK) == (where->line == 0 && where->column == 0));
	if (where->error == JDOC_OK)
		return;
	for (size_t i = 0; i < text.len; i++) {
		if (line == where->line && column == where->column)
			return;
		column = text.ptr[i] == '\n' ? 1 : column + 1;
		line += text.ptr[i] == '\n';
	}
	require(line == where->line && column == where->column);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	struct jdoc doc = JDOC_EMPTY;
	struct jdoc_where where;
	enum jdoc_error error = jdoc_parse(&doc, text, &where);
	json_t *tree = load(text, 0);
	require(error == where.error && jdoc_error_text(error) != NULL);
	check_place(text, &where);
	if (error == JDOC_OK) {
		require(tree != NULL);
		check_nodes(&doc);
		check_compact(&doc, tree);
		if (doc.nodes[0].type == JDOC_OBJECT)
			for (uint32_t max = 1; max <= 16; max *= 4)
				check_seed(&doc, tree, max);
	} else {
		/* jansson 2.14 passes over a NUL byte behind a number */
		require(tree == NULL || error == JDOC_TOO_DEEP || memchr(text.ptr, 0, text.len));
	}
	json_decref(tree);
	jdoc_free(&doc);
	return 0;
}
