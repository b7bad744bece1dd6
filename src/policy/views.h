/*
 * views - the forms of one text that patterns are matched on
 *
 * A text is begun once, then asked for its views. A reading says how
 * characters are read (folded, or as one of the confusable skeletons) and
 * what invisible characters count as; a closing says what
 * becomes of letter-spaced words. The views of a reading are made from one
 * array of code points, in which white space is U+0020 and not yet collapsed
 * (how wide a gap is tells where a letter-spaced word ends).
 *
 * A skeleton reading maps each character outside ASCII to what it can be taken
 * for, and drops marks, except those of a precomposed vowel in a word of three
 * letters or less: accents alone tell short words of many languages apart
 * (Hungarian "áll" is not "all").
 *
 * ERRORS     a view is refused (false) only for lack of memory.
 * OWNERSHIP  spans returned point into the struct, until the next call.
 * THREADS    one at a time.
 * SOURCE     UAX #15 and Unicode 3.13 (NFKC_Casefold, stream-safe marks),
 *            UTS #39 section 4 (skeletons).
 */
#ifndef POLICY_VIEWS_H
#define POLICY_VIEWS_H

#include "codes.h"
#include "simlane/buf.h"

#define MEMO_ENTRIES 1024 /* by the code's low bits */

enum reading {
	READ_FOLDED,          /* NFKC_Casefold without ignorable characters */
	READ_SKELETON_BEFORE, /* skeleton, then folded; where that is not ASCII, after folding */
	READ_SKELETON_AFTER,  /* folded, then skeleton */
	READ_SKELETON_L,      /* as BEFORE, with what may be l or i as l */
	READ_SKELETON_I,      /* as BEFORE, with what may be l or i as i */
	READ_HIDDEN,          /* only the tag characters, as the ASCII they stand for */
	READINGS,
};

/* What invisible characters without a place in a word are. */
enum filler {
	FILL_DROP,       /* nothing */
	FILL_WIDE_SPACE, /* those that take up room (Hangul fillers): a space */
	FILL_ALL_SPACE,  /* all: a space */
	FILL_MARK,       /* each row of them VIEW_MARK: for patterns that take it as either */
	FILLERS,
};

/* A control character: no text has it in any view. */
#define VIEW_MARK '\x01'

enum closing {
	CLOSE_NONE,      /* white space collapsed */
	CLOSE_WORDS,     /* letter-spaced words closed up where the gap is the narrow one */
	CLOSE_RUNS,      /* whole runs closed up, then without a stray first and last letter */
	CLOSE_RUNS_ONLY, /* nothing but the runs: for patterns without word boundaries */
	CLOSINGS,
};

/* What one character is and reads as, remembered: texts repeat few of them. */
struct memo {
	int32_t code; /* 0: empty */
	uint16_t kind;
	uint8_t known; /* readings: one bit each */
	uint8_t count[READ_HIDDEN];
	uint32_t first[READ_HIDDEN]; /* place in the pool */
};

struct views {
	struct codes raw;  /* the text */
	struct codes read; /* the reading, white space not collapsed */
	struct codes runs; /* pairs: first letter, behind the last letter, of each run */
	struct buf texts[READINGS];
	struct buf closed;
	bool ascii;
	unsigned kinds; /* of all characters above U+007F and of control characters, or-ed */
	size_t dropped; /* characters without a place in a word */
	struct memo memo[MEMO_ENTRIES];
	struct codes pool; /* what memos read as */
};

void views_free(struct views *v);

bool views_begin(struct views *v, struct span text);

/* Is that combination worth a look for this text? (Otherwise it is the same as
 * another.) */
bool views_wanted(const struct views *v, enum reading reading, enum filler filler);

/* Reads the text that way. *out is the view CLOSE_NONE; it lasts until the
 * same reading is made again. */
bool views_read(struct views *v, enum reading reading, enum filler filler, struct span *out);

/* The other closings of the reading made last. false and *out {NULL, 0}: there
 * is no letter-spaced run in it. Check views_failed at the end. */
bool views_close(struct views *v, enum closing closing, struct span *out);

bool views_failed(const struct views *v);

const char *reading_name(enum reading reading); /* for an operator */
const char *closing_name(enum closing closing);

#endif
