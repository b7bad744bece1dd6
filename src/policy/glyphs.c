/*
 * glyphs - single characters: folding, look-alikes, accents, what is no letter
 */
#include "glyphs.h"

#include <string.h>
#include <utf8proc.h>

#include "confusables.h"

#define FOLD_OPTIONS (UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE)
#define FOLD_MAX     24 /* U+FDFA becomes 18 */
#define ROOM         192
#define MARKS_IN_ROW 30 /* UAX #15 section 13: more of them is no text */

static int32_t ascii_lower(int32_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static bool is_mark(int32_t c)
{
	utf8proc_category_t category = utf8proc_category(c);

	return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME;
}

static bool is_wide_filler(int32_t c)
{
	return c == 0x115F || c == 0x1160 || c == 0x3164 || c == 0xFFA0;
}

/* Invisible and without a place in a word. The property of the library is for
 * assigned characters; the ranges are reserved as ignorable as a whole. */
static bool is_ignorable(int32_t c)
{
	const utf8proc_property_t *property = utf8proc_get_property(c);

	if (property->ignorable || is_wide_filler(c))
		return true;
	if (property->category == UTF8PROC_CATEGORY_CC || property->category == UTF8PROC_CATEGORY_CF)
		return true;
	return (c >= 0xE0000 && c <= 0xE0FFF) || (c >= 0xFFF0 && c <= 0xFFFB) || (c >= 0x2060 && c <= 0x206F);
}

static bool is_space(int32_t c)
{
	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r');
	if (c == 0x85 || c == 0x2800) /* next line; the braille pattern without dots */
		return true;
	switch (utf8proc_category(c)) {
	case UTF8PROC_CATEGORY_ZS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return true;
	default:
		return false;
	}
}

static size_t fold_code(int32_t c, int32_t out[FOLD_MAX])
{
	int boundary = 0;
	utf8proc_ssize_t n = utf8proc_decompose_char(c, out, FOLD_MAX, FOLD_OPTIONS, &boundary);

	if (n < 0 || n > FOLD_MAX) { /* none is that long: keep it as it is */
		out[0] = c;
		return 1;
	}
	return (size_t)n;
}

void glyph_fold(struct codes *to, int32_t c)
{
	int32_t out[FOLD_MAX];
	size_t n = fold_code(c, out);

	for (size_t i = 0; i < n; i++)
		codes_add(to, out[i]);
}

/* What the character can be taken for, ended by 0; NULL: nothing else. */
static const uint32_t *confusable(int32_t c)
{
	uint32_t u = (uint32_t)c, n;

	if (u < 0x80 || u >> 8 >= CONFUSABLE_PAGES)
		return NULL;
	n = confusable_block[confusable_page[u >> 8]][u & 0xff];
	return n == 0 ? NULL : confusable_text + n;
}

static bool add_confusable_ascii(struct codes *to, int32_t c)
{
	const uint32_t *target = confusable(c);

	if (!target || target[0] >= 0x80)
		return false;
	for (; *target != 0; target++)
		codes_add(to, ascii_lower((int32_t)*target));
	return true;
}

/* May it be an l as well as an i? Not when its compatibility form says which. */
static bool is_l_or_i(int32_t c)
{
	const uint32_t *target = confusable(c);
	int32_t out[FOLD_MAX];

	if (!target || target[1] != 0 || target[0] >= 0x80 || strchr("lIi1|", (int)target[0]) == NULL)
		return false;
	return fold_code(c, out) == 0 || out[0] >= 0x80;
}

/* A letter with marks in one character: the letter, or 0. */
static int32_t accented_base(int32_t c)
{
	int32_t out[FOLD_MAX];
	int boundary = 0;
	utf8proc_ssize_t n = utf8proc_decompose_char(c, out, FOLD_MAX, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);

	return n >= 2 && n <= FOLD_MAX && is_mark(out[1]) ? out[0] : 0;
}

static void add_skeleton_folded(struct codes *to, int32_t c)
{
	int32_t out[FOLD_MAX];
	size_t n = fold_code(c, out);

	for (size_t i = 0; i < n; i++) {
		const uint32_t *target = confusable(out[i]);
		if (out[i] < 0x80)
			codes_add(to, out[i]);
		else if (is_mark(out[i]) || add_confusable_ascii(to, out[i]))
			continue;
		else if (target)
			glyph_fold(to, (int32_t)target[0]);
		else
			codes_add(to, out[i]);
	}
}

/* Is the folded character ASCII, or taken for ASCII? */
static bool folds_to_ascii(int32_t c)
{
	int32_t out[FOLD_MAX];
	size_t n = fold_code(c, out);

	for (size_t i = 0; i < n; i++) {
		const uint32_t *target = confusable(out[i]);
		if (out[i] >= 0x80 && !is_mark(out[i]) && (!target || target[0] >= 0x80))
			return false;
	}
	return n > 0;
}

void glyph_skeleton(struct codes *to, enum reading reading, int32_t c)
{
	const uint32_t *target;
	int32_t base;

	if (is_mark(c))
		return;
	if ((reading == READ_SKELETON_L || reading == READ_SKELETON_I) && is_l_or_i(c)) {
		codes_add(to, reading == READ_SKELETON_L ? 'l' : 'i');
		return;
	}
	if (reading != READ_SKELETON_AFTER && add_confusable_ascii(to, c))
		return;
	base = accented_base(c);
	if (base != 0 && base < 0x80) {
		base = ascii_lower(base);
		codes_add(to, strchr("aeiouy", base) ? utf8proc_tolower(c) | GLYPH_ACCENTED : base);
		return;
	}
	if (base != 0)
		c = base;
	target = confusable(c);
	if (reading != READ_SKELETON_AFTER && target && target[0] >= 0x80 && !folds_to_ascii(c))
		glyph_fold(to, (int32_t)target[0]);
	else if (reading == READ_SKELETON_AFTER || !add_confusable_ascii(to, c))
		add_skeleton_folded(to, c);
}

static bool is_jamo(int32_t c)
{
	return c >= 0x1100 && c <= 0x11FF;
}

/* May it join the character before it when the text is composed? */
static bool may_compose(int32_t c)
{
	int32_t out[FOLD_MAX];
	utf8proc_category_t category;

	if (fold_code(c, out) == 0)
		return false;
	category = utf8proc_category(out[0]);
	return is_jamo(out[0]) || (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME);
}

static bool read_alike(int32_t c, enum reading one, enum reading other)
{
	int32_t room[2][ROOM];
	struct codes codes[2] = {{room[0], 0, ROOM, true}, {room[1], 0, ROOM, true}}; /* failed: never grown */
	enum reading readings[2] = {one, other};

	for (size_t i = 0; i < 2; i++) {
		if (readings[i] == READ_FOLDED)
			glyph_fold(&codes[i], c);
		else
			glyph_skeleton(&codes[i], readings[i], c);
	}
	return codes[0].len == codes[1].len && codes[0].len < ROOM &&
	       memcmp(room[0], room[1], codes[0].len * sizeof(int32_t)) == 0;
}

unsigned glyph_kind(int32_t c)
{
	utf8proc_category_t category = utf8proc_category(c);
	unsigned kind = 0;

	if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
		kind |= GLYPH_LETTER;
	if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO)
		kind |= GLYPH_WORD;
	if (is_space(c))
		return kind | GLYPH_SPACE;
	if (c >= GLYPH_TAG_FIRST && c <= GLYPH_TAG_LAST)
		kind |= GLYPH_TAG;
	if (is_ignorable(c))
		return kind | GLYPH_IGNORABLE | (is_wide_filler(c) ? GLYPH_WIDE_FILLER : GLYPH_ZERO_SPACE);
	if (is_l_or_i(c))
		kind |= GLYPH_L_OR_I;
	if (may_compose(c))
		kind |= GLYPH_COMPOSES;
	if (!read_alike(c, READ_FOLDED, READ_SKELETON_BEFORE))
		kind |= GLYPH_MAPPED;
	if (!read_alike(c, READ_SKELETON_BEFORE, READ_SKELETON_AFTER))
		kind |= GLYPH_TWICE;
	return kind;
}

int32_t glyph_plain(int32_t accented)
{
	int32_t base = accented_base(accented);

	return base != 0 && base < 0x80 ? ascii_lower(base) : accented;
}

/* Marks after one character in the order of their classes (UAX #15), surplus
 * ones left out, so that the sort stays short; then composed. */
void glyph_compose(struct codes *read, size_t from)
{
	size_t kept = from, row = 0;
	utf8proc_ssize_t n;

	for (size_t i = from; i < read->len; i++) {
		int32_t c = read->at[i];
		int class = c < 0x80 ? 0 : utf8proc_get_property(c)->combining_class;
		size_t place = kept;
		row = class == 0 ? 0 : row + 1;
		if (row > MARKS_IN_ROW)
			continue;
		for (size_t k = 1; k < row && utf8proc_get_property(read->at[place - 1])->combining_class > class;
		     k++) {
			read->at[place] = read->at[place - 1];
			place--;
		}
		read->at[place] = c;
		kept++;
	}
	read->len = kept;
	if (kept == from)
		return;
	n = utf8proc_normalize_utf32(read->at + from, (utf8proc_ssize_t)(kept - from),
	                             UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	if (n >= 0)
		read->len = from + (size_t)n;
}
