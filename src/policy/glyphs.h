/*
 * glyphs - single characters: what they are, fold to, and are taken for
 *
 * All functions are pure. Characters are above U+007F unless told otherwise.
 *
 * SOURCE  UAX #15, Unicode 3.13 (NFKC_Casefold), UTS #39 section 4.
 */
#ifndef POLICY_GLYPHS_H
#define POLICY_GLYPHS_H

#include "views.h"

#define GLYPH_TAG_FIRST 0xE0020 /* stands for U+0020 */
#define GLYPH_TAG_LAST  0xE007E

/* A precomposed vowel: whether its accent counts is settled by the word. */
#define GLYPH_ACCENTED (1 << 24)

enum glyph_kind {
	GLYPH_LETTER = 1,
	GLYPH_WORD = 2, /* a letter, digit or mark of any script */
	GLYPH_SPACE = 4,
	GLYPH_IGNORABLE = 8,    /* invisible and without a place in a word */
	GLYPH_WIDE_FILLER = 16, /* ignorable, but takes up room */
	GLYPH_ZERO_SPACE = 32,  /* ignorable, takes up none */
	GLYPH_TAG = 64,
	GLYPH_L_OR_I = 128,   /* may be taken for an l as well as for an i */
	GLYPH_MAPPED = 512,   /* its skeleton may be other than what it folds to */
	GLYPH_TWICE = 1024,   /* its skeleton before folding may be other than after */
	GLYPH_COMPOSES = 256, /* may join the character before it */
};

unsigned glyph_kind(int32_t c);

/* Appends the character's NFKC_Casefold, decomposed. */
void glyph_fold(struct codes *to, int32_t c);

/* Appends what the character is in a skeleton reading; nothing for a mark. */
void glyph_skeleton(struct codes *to, enum reading reading, int32_t c);

/* The ASCII letter, lower case, of one that had GLYPH_ACCENTED. */
int32_t glyph_plain(int32_t accented);

/* Puts marks in canonical order and composes, from that place on. */
void glyph_compose(struct codes *read, size_t from);

#endif
