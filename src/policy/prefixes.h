/*
 * prefixes - a quick look that clears most texts
 *
 * Most patterns begin at a word boundary with one of a few words:
 * \b(drop|delete)\b.*... No match can begin but where one of those words does.
 * The words are taken from the pattern's source when it is of a form simple
 * enough to be sure; any other pattern is a candidate for every text.
 *
 * THREADS  built by one; then read-only: any.
 */
#ifndef POLICY_PREFIXES_H
#define POLICY_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/span.h"

#define PATTERNS_MAX 256 /* of one policy */
#define PREFIX_BYTES 12
#define PREFIX_KEYS  1024 /* of a prefix's first two bytes */

/* Which patterns may match: one bit each. */
struct candidates {
	uint64_t bits[PATTERNS_MAX / 64];
};

struct prefix {
	uint16_t key;
	uint8_t len;
	char text[PREFIX_BYTES]; /* lower case */
	unsigned pattern;
};

struct prefixes {
	struct prefix *at; /* by key */
	size_t count;
	uint16_t first[PREFIX_KEYS]; /* index + 1 of the key's first prefix */
	struct candidates always;    /* patterns without a prefix */
};

/* 0, or -1: no memory. */
int prefixes_add(struct prefixes *p, const char *source, unsigned pattern);

/* The same of what stands behind the first .* of the pattern, which is without
 * it or has no such part: always. 0, or -1: no memory. */
int prefixes_add_tail(struct prefixes *p, const char *source, unsigned pattern);
void prefixes_sort(struct prefixes *p); /* once, behind the last prefixes_add */
void prefixes_free(struct prefixes *p);

/* Adds the patterns that may match where a word begins in text[from, to). The
 * text is folded; words may reach behind to. */
void prefixes_look(const struct prefixes *p, struct span text, size_t from, size_t to, struct candidates *found);

/* The same in a text in which VIEW_MARK may stand anywhere and be nothing. */
void prefixes_look_marked(const struct prefixes *p, struct span text, size_t from, size_t to, struct candidates *found);

/* Behind the character class of a pattern that opens at source. */
const char *pattern_skip_class(const char *source);

static inline bool candidates_have(const struct candidates *c, unsigned pattern)
{
	return c->bits[pattern / 64] >> (pattern % 64) & 1;
}

static inline void candidates_set(struct candidates *c, unsigned pattern)
{
	c->bits[pattern / 64] |= (uint64_t)1 << (pattern % 64);
}

#endif
