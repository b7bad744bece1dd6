/* load - inner interface of the loader: load.c, load_rule.c, marked.c, names.c */
#ifndef POLICY_LOAD_H
#define POLICY_LOAD_H

#include "rules.h"

struct load {
	struct policy *policy;
	struct jdoc doc;
	struct views views;
	struct regex_scratch *scratch;
	struct fault *fault;
};

/* Reads one element of "rules" into the policy's next rule. 0 or -1. */
int load_rule(struct load *l, uint32_t node);

/* A string of lo to hi bytes without control characters, kept in the arena;
 * NULL: fault names where. */
const char *load_text(struct load *l, uint32_t node, const char *where, size_t lo, size_t hi);

/* Refuses members of the object that are not in the NULL-ended list. 0 or -1. */
int load_members(struct load *l, uint32_t object, const char *where, const char *const *known);

/* The pattern for views with VIEW_MARK in them: each row of marks is nothing or
 * white space, whichever lets it match. false: not of a form that is understood. */
bool marked_pattern(const char *source, struct buf *out);

/* Adds the text as a tag or flag name of that rule. 0 or -1. */
int names_add(struct names *names, struct views *views, struct span text, uint32_t rule);
void names_free(struct names *names);

#endif
