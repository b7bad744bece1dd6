/*
 * views_words - white space collapsed, letter-spaced words closed up
 *
 * A run is three or more letters that stand alone, with white space and at
 * most four other characters that are neither letters nor digits in each gap
 * between them: "d e l e t e", "d.e.l.e.t.e   a.l.l". Within a run the narrow gap joins letters and a wider
 * one, or white space where the narrow gap has none, ends a word.
 */
#include "views_words.h"

#define GAP_MAX   4 /* without white space; ascii.c: NEAR */
#define RUN_MIN   3
#define STRAY_MIN 5 /* letters from which on a run is also tried without its ends */

static char *put_code(char *p, int32_t code)
{
	uint32_t u = (uint32_t)code;

	if (u < 0x80) {
		*p++ = (char)u;
		return p;
	}
	if (u < 0x800) {
		*p++ = (char)(0xc0 | u >> 6);
	} else {
		if (u < 0x10000) {
			*p++ = (char)(0xe0 | u >> 12);
		} else {
			*p++ = (char)(0xf0 | u >> 18);
			*p++ = (char)(0x80 | (u >> 12 & 0x3f));
		}
		*p++ = (char)(0x80 | (u >> 6 & 0x3f));
	}
	*p++ = (char)(0x80 | (u & 0x3f));
	return p;
}

/* Appends codes[from..to), each row of white space as one space. */
static void add_collapsed(struct buf *out, const struct codes *read, size_t from, size_t to)
{
	char *p;

	if (from >= to || !buf_reserve(out, (to - from) * 4))
		return;
	p = out->ptr + out->len;
	for (size_t i = from; i < to; i++)
		if (read->at[i] != ' ' || p == out->ptr || p[-1] != ' ')
			p = put_code(p, read->at[i]);
	out->len = (size_t)(p - out->ptr);
}

bool words_collapse(const struct views *v, struct buf *to, struct span *out)
{
	buf_clear(to);
	add_collapsed(to, &v->read, 0, v->read.len);
	*out = (struct span){to->ptr, to->len};
	return !to->failed;
}

static void run_end(struct codes *runs, size_t first, size_t last, size_t letters)
{
	if (letters < RUN_MIN)
		return;
	codes_add(runs, (int32_t)first);
	codes_add(runs, (int32_t)last + 1);
}

static void find_runs(struct views *v)
{
	const struct codes *read = &v->read;
	struct codes *runs = &v->runs;
	size_t first = 0, last = 0, letters = 0, marks = 0;
	unsigned before = 0, here = read->len > 0 ? kind_of(v, read->at[0]) : 0;

	runs->len = 0;
	for (size_t i = 0; i < read->len; i++) {
		unsigned behind = i + 1 < read->len ? kind_of(v, read->at[i + 1]) : 0;
		bool alone = (here & GLYPH_LETTER) && !((before | behind) & GLYPH_WORD);
		if (((here & GLYPH_WORD) && !alone) || (alone && marks > GAP_MAX)) {
			run_end(runs, first, last, letters);
			letters = 0;
		}
		if (alone) {
			first = letters == 0 ? i : first;
			last = i;
			letters++;
		}
		marks = (here & GLYPH_WORD) ? 0 : marks + (read->at[i] != ' ');
		before = here;
		here = behind;
	}
	run_end(runs, first, last, letters);
}

static bool all_space(const struct codes *read, size_t from, size_t to)
{
	while (from < to && read->at[from] == ' ')
		from++;
	return from == to;
}

/* The letter behind the gap that begins at from. */
static size_t gap_end(struct views *v, size_t from)
{
	while (!(kind_of(v, v->read.at[from]) & GLYPH_WORD))
		from++;
	return from;
}

static void close_words(struct buf *out, struct views *v, size_t first, size_t end)
{
	size_t narrow = SIZE_MAX;
	bool marked = false; /* some narrow gap is more than white space */

	for (size_t i = first; i + 1 < end; i = gap_end(v, i + 1)) {
		size_t gap = gap_end(v, i + 1) - i - 1;
		bool space = all_space(&v->read, i + 1, i + 1 + gap);
		if (gap < narrow)
			marked = false;
		narrow = gap < narrow ? gap : narrow;
		marked |= gap == narrow && !space;
	}
	for (size_t i = first; i < end;) {
		size_t next = i + 1 < end ? gap_end(v, i + 1) : end;
		bool joins = next - i - 1 == narrow && !(marked && all_space(&v->read, i + 1, next));
		add_collapsed(out, &v->read, i, i + 1);
		if (next < end && !joins)
			buf_char(out, ' ');
		i = next;
	}
}

/* The letters of a run, without the first or the last one if told so. */
static void add_letters(struct buf *out, struct views *v, size_t first, size_t end, bool skip, bool cut)
{
	if (skip)
		first = gap_end(v, first + 1);
	for (size_t i = first; i + (cut ? 1 : 0) < end; i = i + 1 < end ? gap_end(v, i + 1) : end)
		add_collapsed(out, &v->read, i, i + 1);
}

static size_t count_letters(struct views *v, size_t first, size_t end)
{
	size_t n = 0;

	for (size_t i = first; i < end; i = i + 1 < end ? gap_end(v, i + 1) : end)
		n++;
	return n;
}

/* "i d e l e t e" may begin with a word of one letter: tried with and without. */
static void close_run(struct buf *out, struct views *v, size_t first, size_t end)
{
	add_letters(out, v, first, end, false, false);
	if (count_letters(v, first, end) < STRAY_MIN)
		return;
	buf_char(out, ' ');
	add_letters(out, v, first, end, true, false);
	buf_char(out, ' ');
	add_letters(out, v, first, end, false, true);
	buf_char(out, ' ');
	add_letters(out, v, first, end, true, true);
}

bool views_close(struct views *v, enum closing closing, struct span *out)
{
	size_t done = 0;

	*out = (struct span){NULL, 0};
	if (closing == CLOSE_WORDS)
		find_runs(v);
	if (v->runs.len == 0 || v->runs.failed)
		return false;
	buf_clear(&v->closed);
	for (size_t r = 0; r < v->runs.len; r += 2) {
		size_t first = (size_t)v->runs.at[r], end = (size_t)v->runs.at[r + 1];
		if (closing != CLOSE_RUNS_ONLY)
			add_collapsed(&v->closed, &v->read, done, first);
		if (closing == CLOSE_WORDS)
			close_words(&v->closed, v, first, end);
		else if (closing == CLOSE_RUNS)
			close_run(&v->closed, v, first, end);
		else
			add_letters(&v->closed, v, first, end, false, false);
		if (closing == CLOSE_RUNS_ONLY)
			buf_char(&v->closed, ' ');
		done = end;
	}
	if (closing != CLOSE_RUNS_ONLY)
		add_collapsed(&v->closed, &v->read, done, v->read.len);
	*out = (struct span){v->closed.ptr, v->closed.len};
	return !v->closed.failed;
}

const char *closing_name(enum closing closing)
{
	static const char *const names[CLOSINGS] = {
	        [CLOSE_NONE] = "",
	        [CLOSE_WORDS] = "letter-spaced words closed up",
	        [CLOSE_RUNS] = "letter-spaced runs closed up",
	        [CLOSE_RUNS_ONLY] = "letter-spaced runs alone, word boundaries ignored",
	};

	return names[closing];
}
