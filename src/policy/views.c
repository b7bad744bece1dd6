/*
 * views - a text read in its several ways; views_words.c has the closing up
 */
#include "views.h"

#include "views_words.h"

#define ACCENTED_WORD  4 /* letters from which on a word's accents are dropped */
#define MEMO_COUNT_MAX 64
#define POOL_CODES     8192

/* Of ASCII: neither printable nor white space. */
static bool is_control(int32_t c)
{
	return (c < ' ' && (c < '\t' || c > '\r')) || c == 0x7f;
}

void memo_fill(struct memo *m, int32_t c)
{
	m->code = c;
	m->kind = (uint16_t)glyph_kind(c);
	m->known = 0;
}

/* Keeps what was appended last as the character's reading. A full pool is
 * begun anew: it holds more than the memo can. */
static void memo_keep(struct views *v, struct memo *m, enum reading reading, size_t from)
{
	size_t count = v->read.len - from;

	if (v->read.failed || count > MEMO_COUNT_MAX || (!v->pool.at && !codes_grow(&v->pool, POOL_CODES)))
		return;
	if (v->pool.len + count > POOL_CODES) {
		v->pool.len = 0;
		for (size_t i = 0; i < MEMO_ENTRIES; i++)
			v->memo[i].known = 0;
	}
	m->first[reading] = (uint32_t)v->pool.len;
	m->count[reading] = (uint8_t)count;
	m->known |= (uint8_t)(1u << reading);
	for (size_t i = from; i < v->read.len; i++)
		codes_add(&v->pool, v->read.at[i]);
}

/* Appends the reading of a character that is neither white space nor ignorable. */
static void read_glyph(struct views *v, struct memo *m, enum reading reading)
{
	size_t from = v->read.len;
	bool joins = reading == READ_FOLDED && (v->kinds & GLYPH_COMPOSES);

	if (!joins && (m->known >> reading & 1)) {
		for (size_t i = 0; i < m->count[reading]; i++)
			codes_add(&v->read, v->pool.at[m->first[reading] + i]);
		return;
	}
	if (reading != READ_FOLDED)
		glyph_skeleton(&v->read, reading, m->code);
	else
		glyph_fold(&v->read, m->code);
	/* Where characters may join each other the whole text is composed, later. */
	if (joins)
		return;
	if (reading == READ_FOLDED)
		glyph_compose(&v->read, from);
	memo_keep(v, m, reading, from);
}

static void read_dropped(struct views *v, enum filler filler, unsigned kind)
{
	struct codes *read = &v->read;

	if (filler == FILL_MARK) {
		if (read->len == 0 || read->at[read->len - 1] != VIEW_MARK)
			codes_add(read, VIEW_MARK);
	} else if (filler == FILL_ALL_SPACE || (filler == FILL_WIDE_SPACE && (kind & GLYPH_WIDE_FILLER))) {
		codes_add(read, ' ');
	}
}

static void read_code(struct views *v, enum reading reading, enum filler filler, int32_t c)
{
	struct memo *m;

	if (c < 0x80) {
		if (c > ' ' && c < 0x7f)
			codes_add(&v->read, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
		else if (!is_control(c))
			codes_add(&v->read, ' ');
		else
			read_dropped(v, filler, GLYPH_ZERO_SPACE);
		return;
	}
	m = memo_of(v, c);
	if (m->kind & GLYPH_SPACE)
		codes_add(&v->read, ' ');
	else if (m->kind & GLYPH_IGNORABLE)
		read_dropped(v, filler, m->kind);
	else
		read_glyph(v, m, reading);
}

/* Tag characters as ASCII; whatever stands between them counts as a space. */
static void read_hidden(struct views *v)
{
	for (size_t i = 0; i < v->raw.len; i++) {
		int32_t c = v->raw.at[i];
		bool tag = c >= GLYPH_TAG_FIRST && c <= GLYPH_TAG_LAST;
		int32_t shown = tag ? c - GLYPH_TAG_FIRST + ' ' : ' ';
		if (shown >= 'A' && shown <= 'Z')
			shown += 'a' - 'A';
		if (tag || (v->read.len > 0 && v->read.at[v->read.len - 1] != ' '))
			codes_add(&v->read, shown);
	}
}

/* Accents of vowels were kept aside: drops them in words long enough. */
static void settle_accents(struct views *v)
{
	struct codes *read = &v->read;
	size_t word = 0;

	for (size_t i = 0; i <= read->len; i++) {
		if (i < read->len && (read->at[i] >= GLYPH_ACCENTED || (kind_of(v, read->at[i]) & GLYPH_WORD)))
			continue;
		for (size_t k = word; k < i; k++) {
			int32_t c = read->at[k] & ~GLYPH_ACCENTED;
			if (read->at[k] >= GLYPH_ACCENTED)
				read->at[k] = i - word >= ACCENTED_WORD ? glyph_plain(c) : c;
		}
		word = i + 1;
	}
}

bool views_begin(struct views *v, struct span text)
{
	v->raw.len = 0;
	v->ascii = true;
	v->kinds = 0;
	v->dropped = 0;
	codes_decode(&v->raw, text);
	if (v->raw.failed)
		return false;
	for (size_t i = 0; i < v->raw.len; i++) {
		int32_t c = v->raw.at[i];
		unsigned kind = is_control(c) ? GLYPH_IGNORABLE | GLYPH_ZERO_SPACE : 0;
		if (c >= 0x80) {
			v->ascii = false;
			kind = memo_of(v, c)->kind;
		}
		v->kinds |= kind;
		v->dropped += (kind & GLYPH_IGNORABLE) != 0;
	}
	return true;
}

static bool filler_wanted(const struct views *v, enum filler filler)
{
	if (filler == FILL_WIDE_SPACE)
		return v->kinds & GLYPH_WIDE_FILLER;
	if (filler == FILL_MARK) /* one alone is nothing, or a space */
		return v->dropped > 1;
	return filler == FILL_DROP || (v->kinds & GLYPH_ZERO_SPACE);
}

bool views_wanted(const struct views *v, enum reading reading, enum filler filler)
{
	static const unsigned needs[READINGS] = {
	        [READ_SKELETON_BEFORE] = GLYPH_MAPPED,
	        [READ_SKELETON_AFTER] = GLYPH_TWICE,
	        [READ_SKELETON_L] = GLYPH_L_OR_I,
	        [READ_SKELETON_I] = GLYPH_L_OR_I,
	        [READ_HIDDEN] = GLYPH_TAG,
	};

	if (!filler_wanted(v, filler) || (reading == READ_HIDDEN && filler != FILL_DROP))
		return false;
	return reading == READ_FOLDED || (v->kinds & needs[reading]);
}

static bool has_accented(const struct codes *read)
{
	int32_t any = 0;

	for (size_t i = 0; i < read->len; i++)
		any |= read->at[i];
	return any & GLYPH_ACCENTED;
}

bool views_read(struct views *v, enum reading reading, enum filler filler, struct span *out)
{
	v->read.len = 0;
	if (v->read.cap < v->raw.len)
		codes_grow(&v->read, v->raw.len);
	if (reading == READ_HIDDEN)
		read_hidden(v);
	else
		for (size_t i = 0; i < v->raw.len; i++)
			read_code(v, reading, filler, v->raw.at[i]);
	if (v->read.failed)
		return false;
	if (reading == READ_FOLDED && (v->kinds & GLYPH_COMPOSES))
		glyph_compose(&v->read, 0);
	else if (has_accented(&v->read))
		settle_accents(v);
	return words_collapse(v, &v->texts[reading], out);
}

void views_free(struct views *v)
{
	codes_free(&v->raw);
	codes_free(&v->read);
	codes_free(&v->runs);
	codes_free(&v->pool);
	memset(v->memo, 0, sizeof(v->memo)); /* it points into the pool */
	for (size_t i = 0; i < READINGS; i++)
		buf_free(&v->texts[i]);
	buf_free(&v->closed);
}

bool views_failed(const struct views *v)
{
	bool failed = v->raw.failed || v->read.failed || v->runs.failed || v->pool.failed || v->closed.failed;

	for (size_t i = 0; i < READINGS; i++)
		failed |= v->texts[i].failed;
	return failed;
}

const char *reading_name(enum reading reading)
{
	static const char *const names[READINGS] = {
	        [READ_FOLDED] = "folded",
	        [READ_SKELETON_BEFORE] = "skeleton before folding",
	        [READ_SKELETON_AFTER] = "skeleton after folding",
	        [READ_SKELETON_L] = "skeleton, look-alikes of l and i as l",
	        [READ_SKELETON_I] = "skeleton, look-alikes of l and i as i",
	        [READ_HIDDEN] = "hidden tag characters",
	};

	return names[reading];
}
