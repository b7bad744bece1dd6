/* views_words - inner interface of the views: words, white space, runs */
#ifndef POLICY_VIEWS_WORDS_H
#define POLICY_VIEWS_WORDS_H

#include "glyphs.h"

void memo_fill(struct memo *m, int32_t c);

/* What the character is, from the memo. c is above U+007F. */
static inline struct memo *memo_of(struct views *v, int32_t c)
{
	struct memo *m = &v->memo[(uint32_t)c % MEMO_ENTRIES];

	if (m->code != c)
		memo_fill(m, c);
	return m;
}

/* enum glyph_kind, for any character; of ASCII only what the words need. */
static inline unsigned kind_of(struct views *v, int32_t c)
{
	if (c >= 0x80)
		return memo_of(v, c)->kind;
	if (c >= 'a' && c <= 'z')
		return GLYPH_LETTER | GLYPH_WORD;
	return c >= '0' && c <= '9' ? GLYPH_WORD : 0;
}

/* The reading made last as UTF-8, white space collapsed. */
bool words_collapse(const struct views *v, struct buf *to, struct span *out);

#endif
