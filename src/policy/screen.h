/*
 * screen - inner interface of the decision: screen.c, match.c, explain.c
 *
 * One pass over a seed or value. What fires is noted by the rule's place in
 * the file; the verdict is made of that at the end. A careful pass takes no
 * short cut (prefixes, plain ASCII, short texts, texts known to be clear)
 * and tries every rule on every view: it explains, and tests hold the fast
 * pass against it.
 */
#ifndef POLICY_SCREEN_H
#define POLICY_SCREEN_H

#include "rules.h"

#define NO_RULE SIZE_MAX

/* Short texts that no rule concerned, whole bytes kept: member names and tags
 * come again with every request. */
#define CLEAR_ENTRIES 256
#define CLEAR_BYTES   30

enum role { ROLE_TEXT = 1, ROLE_TAG_NAME, ROLE_FLAG_NAME };

struct clear {
	uint8_t len, role; /* role 0: empty */
	char bytes[CLEAR_BYTES];
};

struct screen {
	struct regex_scratch *regex;
	struct views views;
	struct buf lower;
	uint64_t clear_digest; /* of the policy that clear is for */
	struct clear clear[CLEAR_ENTRIES];
};

/* Where in the seed something matched, for an operator. */
struct hit {
	size_t rule;
	size_t pattern; /* NO_RULE: a tag or flag name */
	enum reading reading;
	enum closing closing;
	struct span view; /* the whole view */
	size_t at, len;   /* bytes in it */
};

struct pass {
	const struct policy *policy;
	struct screen *screen;
	bool stepped_up;
	size_t duress, deny, step_up; /* the first rule of the kind that fired; NO_RULE */
	uint64_t advice;
	bool fired; /* any rule, one that a step-up satisfies included */
	bool error;
	unsigned steps;                                            /* views made and matches tried so far */
	int64_t deadline_us;                                       /* 0: not begun */
	uint32_t node;                                             /* the string looked at */
	void (*careful)(struct pass *pass, const struct hit *hit); /* NULL: a fast pass */
};

/* Matches the patterns of the scope on every view of the text. */
void match_text(struct pass *pass, enum scope scope, struct span text);

/* Compares the text with the names, in each reading. */
void match_names(struct pass *pass, const struct names *names, struct span text);

/* The rule fired. */
void pass_fire(struct pass *pass, const struct hit *hit);

struct pass pass_begin(const struct policy *p, struct screen *s, bool stepped_up);

/* Flags, tags, then every string of the seed. */
void pass_seed(struct pass *pass, const struct jdoc *doc, uint32_t seed);

/* Gives back scratch that one long text needed; the verdict. */
void pass_end(struct pass *pass, struct policy_verdict *out);

#endif
