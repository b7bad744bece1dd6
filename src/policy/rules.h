/*
 * rules - a loaded policy, as the loader leaves it and the screen reads it
 */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include "prefixes.h"
#include "simlane/policy.h"
#include "simlane/regex.h"
#include "views.h"

enum rule_effect { RULE_DURESS, RULE_DENY, RULE_STEP_UP, RULE_ADVISE };

struct pattern {
	const char *source;
	struct regex *strict;
	struct regex *loose;  /* without \b, for closed-up runs; NULL: makes no sense */
	struct regex *marked; /* for FILL_MARK; NULL: not of a form that can be changed so */
	unsigned number;      /* among all patterns of the policy */
};

struct rule {
	const char *id;
	enum rule_effect effect;
	bool on_goal; /* patterns: on the goal alone, not on every string */
	struct pattern *patterns;
	size_t pattern_count;
	unsigned advice; /* RULE_ADVISE: bit number */
	double weight;
	const char *title, *mitigation;
};

/* A tag or flag name of a rule, in each reading, trimmed. */
struct name {
	uint32_t rule;
	struct span readings[READINGS];
};

struct names {
	struct name *at;
	size_t count;
	size_t longest;  /* bytes of the longest reading */
	bool ascii_seen; /* some reading is ASCII: an ASCII text may equal it */
};

/* Which patterns concern a string. */
enum scope {
	SCOPE_SEED, /* those of rules on the seed */
	SCOPE_GOAL, /* all rules' */
	SCOPES,
};

struct policy {
	struct snapshot_ref ref;
	char *arena; /* every text of the file, NUL-terminated */
	size_t arena_used;
	uint64_t digest;
	const char *version;
	uint32_t max_goal_chars;
	struct rule *rules;
	size_t rule_count;
	unsigned pattern_count;
	struct names tags, flags;
	struct prefixes prefixes;
	struct prefixes tails;   /* words that patterns need behind what they begin with */
	size_t shortest[SCOPES]; /* characters without which no pattern matches */
	const struct rule *advice[POLICY_MAX_ADVICE];
	size_t advice_count;
	const char **ids; /* of rules that deny or step up, "policy-error" last */
	size_t id_count;
	const char **node_types; /* that never leave the lane, beside DECISION and AWARENESS */
	size_t node_type_count;
	struct regex *redact_email, *redact_phone;
};

/* The text's reading, trimmed of white space, for comparing names. */
struct span name_trim(struct span text);

/* Is the text's reading the name's, ASCII look-alikes included? An l is an i
 * only for a text that mixes case: "ADMlN" looks like "ADMIN", "mall" not like
 * "mail". */
bool name_equal(struct span text, struct span name, bool mixes_case);

/* Stands an l beside a capital, or an I beside a small letter? */
bool name_mixes_case(const struct codes *raw);

extern const char policy_error_id[]; /* "policy-error" */

#endif
