/*
 * prefixes - the words that patterns begin with, and looking for them
 *
 * The look finds the first letters of words eight bytes at a time, as ascii.c
 * does, and goes by a word's first two bytes.
 */
#include "prefixes.h"

#include <stdlib.h>

#include "views.h"

#define ONES 0x0101010101010101u
#define TOPS 0x8080808080808080u

/* ---- from the pattern's source ---- */

/* Constructs that change what other parts of the source mean. */
static bool is_plain(const char *source)
{
	for (const char *c = source; *c; c++) {
		if ((unsigned char)*c >= 0x80 || *c == '#')
			return false;
		if (c[0] == '(' && (c[1] == '*' || (c[1] == '?' && c[2] != ':')))
			return false;
		if (*c == '\\' && (*++c == '\0' || strchr("QEGK", *c)))
			return false;
	}
	return true;
}

const char *pattern_skip_class(const char *source)
{
	source++;
	if (*source == '^')
		source++;
	if (*source == ']')
		source++;
	while (*source && *source != ']') {
		if (source[0] == '[' && source[1] == ':') {
			const char *end = strstr(source + 2, ":]");
			source = end ? end + 1 : source;
		} else if (source[0] == '\\' && source[1]) {
			source++;
		}
		source++;
	}
	return *source ? source + 1 : source;
}

/* The '|' or ')' that ends the branch at source, or its end. */
static const char *branch_end(const char *source)
{
	unsigned depth = 0;

	while (*source) {
		if (*source == '[') {
			source = pattern_skip_class(source);
			continue;
		}
		if (depth == 0 && (*source == '|' || *source == ')'))
			return source;
		depth += *source == '(';
		depth -= *source == ')';
		source += source[0] == '\\' && source[1] ? 2 : 1;
	}
	return source;
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* The literal text at source; 0 or more bytes. What a quantifier makes
 * optional does not belong to it. */
static size_t literal_run(const char *source, char out[PREFIX_BYTES])
{
	size_t len = 0;

	while (is_word_char(source[len]) || (len > 0 && source[len] == ' '))
		len++;
	if (len > 0 && source[len] != '\0' && strchr("?*{", source[len]))
		len--;
	if (len > PREFIX_BYTES)
		len = PREFIX_BYTES;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)(source[i] >= 'A' && source[i] <= 'Z' ? source[i] + ('a' - 'A') : source[i]);
	return len;
}

static unsigned prefix_key(char first, char second)
{
	return ((unsigned)first & 31) << 5 | ((unsigned)second & 31);
}

/* 1: added; 0: not of the form; -1: no memory. */
static int add_literal(struct prefixes *p, const char *source, unsigned pattern)
{
	struct prefix prefix = {.pattern = pattern};
	struct prefix *grown;

	prefix.len = (uint8_t)literal_run(source, prefix.text);
	if (prefix.len < 2)
		return 0;
	prefix.key = (uint16_t)prefix_key(prefix.text[0], prefix.text[1]);
	grown = realloc(p->at, (p->count + 1) * sizeof(*grown));
	if (!grown)
		return -1;
	p->at = grown;
	p->at[p->count++] = prefix;
	return 1;
}

/* The branches of a group at source, which must not be optional. */
static int add_group(struct prefixes *p, const char *source, unsigned pattern)
{
	int rc;

	source += source[1] == '?' ? 3 : 1;
	for (;;) {
		rc = add_literal(p, source, pattern);
		source = branch_end(source);
		if (rc != 1 || *source != '|')
			break;
		source++;
	}
	if (rc == 1 && (source[0] != ')' || (source[1] != '\0' && strchr("?*{", source[1]))))
		return 0;
	return rc;
}

static int add_branches(struct prefixes *p, const char *source, unsigned pattern)
{
	int rc;

	for (;;) {
		if (source[0] != '\\' || source[1] != 'b')
			return 0;
		source += 2;
		rc = *source == '(' ? add_group(p, source, pattern) : add_literal(p, source, pattern);
		source = branch_end(source);
		if (rc != 1 || *source != '|')
			break;
		source++;
	}
	return rc == 1 && *source != '\0' ? 0 : rc;
}

int prefixes_add(struct prefixes *p, const char *source, unsigned pattern)
{
	size_t before = p->count;
	int rc = is_plain(source) && p->count < UINT16_MAX / 2 ? add_branches(p, source, pattern) : 0;

	if (rc == 0) {
		p->count = before;
		candidates_set(&p->always, pattern);
	}
	return rc < 0 ? -1 : 0;
}

/* Behind the first .* outside groups; NULL: the pattern has none, or more than
 * one branch. */
static const char *find_tail(const char *source)
{
	unsigned depth = 0;

	if (*branch_end(source) != '\0')
		return NULL;
	while (*source) {
		if (*source == '[') {
			source = pattern_skip_class(source);
			continue;
		}
		if (depth == 0 && source[0] == '.' && source[1] == '*')
			return source + 2;
		depth += *source == '(';
		depth -= *source == ')';
		source += source[0] == '\\' && source[1] ? 2 : 1;
	}
	return NULL;
}

int prefixes_add_tail(struct prefixes *p, const char *source, unsigned pattern)
{
	const char *tail = is_plain(source) ? find_tail(source) : NULL;

	if (tail)
		return prefixes_add(p, tail, pattern);
	candidates_set(&p->always, pattern);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;

	return x->key - y->key;
}

void prefixes_sort(struct prefixes *p)
{
	if (p->count == 0)
		return;
	qsort(p->at, p->count, sizeof(p->at[0]), by_key);
	for (size_t i = p->count; i > 0; i--)
		p->first[p->at[i - 1].key] = (uint16_t)i;
}

void prefixes_free(struct prefixes *p)
{
	free(p->at);
	*p = (struct prefixes){.at = NULL};
}

/* ---- the look ---- */

static void look_word(const struct prefixes *p, struct span text, size_t at, struct candidates *found)
{
	unsigned key, next;

	if (text.len - at < 2)
		return;
	key = prefix_key(text.ptr[at], text.ptr[at + 1]);
	next = p->first[key];
	if (next == 0)
		return;
	for (; next <= p->count && p->at[next - 1].key == key; next++) {
		const struct prefix *prefix = &p->at[next - 1];
		if (prefix->len <= text.len - at && memcmp(text.ptr + at, prefix->text, prefix->len) == 0)
			candidates_set(found, prefix->pattern);
	}
}

/* Tops of the bytes that are ASCII letters or digits. */
static uint64_t word_bytes(uint64_t x)
{
	uint64_t ascii = x & ~TOPS, folded = ascii | 0x20 * ONES;
	uint64_t letter = (folded + (0x80 - 'a') * ONES) & ~(folded + (0x80 - 'z' - 1) * ONES);
	uint64_t digit = (ascii + (0x80 - '0') * ONES) & ~(ascii + (0x80 - '9' - 1) * ONES);

	return (letter | digit) & ~x & TOPS;
}

void prefixes_look(const struct prefixes *p, struct span text, size_t from, size_t to, struct candidates *found)
{
	bool before = from > 0 && is_word_char(text.ptr[from - 1]);

	for (size_t at = from; at < to; at += 8) {
		uint64_t x = 0, words, starts;
		memcpy(&x, text.ptr + at, to - at < 8 ? to - at : 8);
		words = word_bytes(x);
		starts = words & ~(words << 8 | (before ? 0x80u : 0));
		before = words >> 63;
		for (; starts != 0; starts &= starts - 1)
			look_word(p, text, at + (size_t)__builtin_ctzll(starts) / 8, found);
	}
}

/* ---- the look among marks ---- */

static size_t skip_marks(struct span text, size_t at)
{
	while (at < text.len && text.ptr[at] == VIEW_MARK)
		at++;
	return at;
}

/* The prefix up to its first space: a mark may be one. */
static bool begins_marked(const struct prefix *prefix, struct span text, size_t at)
{
	for (size_t i = 0; i < prefix->len && prefix->text[i] != ' '; i++) {
		at = skip_marks(text, at);
		if (at == text.len || text.ptr[at++] != prefix->text[i])
			return false;
	}
	return true;
}

static void look_key_marked(const struct prefixes *p, unsigned key, struct span text, size_t at,
                            struct candidates *found)
{
	for (size_t next = p->first[key]; next != 0 && next <= p->count && p->at[next - 1].key == key; next++)
		if (begins_marked(&p->at[next - 1], text, at))
			candidates_set(found, p->at[next - 1].pattern);
}

void prefixes_look_marked(const struct prefixes *p, struct span text, size_t from, size_t to, struct candidates *found)
{
	bool before = from > 0 && is_word_char(text.ptr[from - 1]);

	for (size_t at = from; at < to; at++) {
		bool here = is_word_char(text.ptr[at]);
		if (here && !before) {
			size_t second = skip_marks(text, at + 1);
			char next = ' ';
			if (second < text.len)
				next = text.ptr[second];
			look_key_marked(p, prefix_key(text.ptr[at], next), text, at, found);
			look_key_marked(p, prefix_key(text.ptr[at], ' '), text, at, found);
		}
		before = here;
	}
}
