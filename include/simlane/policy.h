/*
 * policy - which seeds may be simulated
 *
 * A policy is a JSON document of rules (doc/policy.txt describes the file),
 * immutable once loaded. Screening a seed gives one verdict: allow, step-up
 * or deny with the id of the rule, and the advisory rules that matched.
 *
 * Each pattern is matched on several views of the text (NFKC-casefolded
 * without default-ignorable characters; UTS #39 confusable skeleton before
 * and after folding; white space collapsed; letter-spaced words closed up),
 * in windows of 600 characters that overlap by 300. Any failure of matching,
 * limits and the total budget included, denies with rule "policy-error".
 *
 * OWNERSHIP  a policy embeds a snapshot_ref: hold it while a verdict's texts
 *            are in use.
 * THREADS    a policy: any. A screen (scratch memory): one at a time.
 * SOURCE     UTS #39 (confusables), UAX #15 and Unicode 3.13 (NFKC_Casefold).
 */
#ifndef SIMLANE_POLICY_H
#define SIMLANE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/fault.h"
#include "simlane/jdoc.h"
#include "simlane/snapshot.h"
#include "simlane/span.h"

#define POLICY_MAX_ADVICE 64 /* advisory rules of one policy: one bit each */

struct regex;
struct policy;

enum policy_effect { POLICY_ALLOW, POLICY_STEP_UP, POLICY_DENY };

struct policy_verdict {
	enum policy_effect effect;
	const char *rule; /* stable id, the policy's memory; NULL for allow */
	bool duress;      /* rule is a duress signal: the client must be told lane-disabled */
	uint64_t advice;  /* bit i: advisory rule i matched; incomplete with deny */
};

struct policy_advice {
	const char *rule, *title, *mitigation; /* the policy's memory */
	double weight;                         /* what it takes off the safety score, 0..1 */
};

/* The built-in default, the same bytes as etc/policy.json. */
struct span policy_default_text(void);

/* NULL: fault says why (member, rule, pattern). One reference for the caller. */
struct policy *policy_load(struct span json, struct fault *fault);
struct snapshot_ref *policy_ref(struct policy *p); /* for snapshot_swap and letting go */
struct policy *policy_of_ref(struct snapshot_ref *r);

const char *policy_version(const struct policy *p);
uint64_t policy_digest(const struct policy *p);         /* of the file's bytes: has the policy changed? */
uint32_t policy_max_goal_chars(const struct policy *p); /* code points */
size_t policy_advice_count(const struct policy *p);
struct policy_advice policy_advice_at(const struct policy *p, size_t i);
/* The redaction patterns of the inbox, compiled; the policy's memory. */
const struct regex *policy_redact_email(const struct policy *p);
const struct regex *policy_redact_phone(const struct policy *p);

/* Node types that never leave the lane: those of the policy, and DECISION and
 * AWARENESS whatever it says. */
bool policy_forbids_node_type(const struct policy *p, struct span type);

/* Every rule that can deny or step up, for metrics: ids, i < count. The id
 * "policy-error" is always the last. */
size_t policy_rule_count(const struct policy *p);
const char *policy_rule_id(const struct policy *p, size_t i);

struct screen; /* scratch: view buffers, match data */

struct screen *screen_new(void); /* NULL: no memory */
void screen_free(struct screen *s);

/* Screens the seed at that node: flags, tags, then patterns on every string.
 * stepped_up: the caller's token satisfies step-up, so that step-up rules do
 * not fire. Deny wins over step-up. The seed's shape has been checked. */
void policy_screen(const struct policy *p, struct screen *s, const struct jdoc *doc, uint32_t seed, bool stepped_up,
                   struct policy_verdict *out);

/* Screens any other value's strings (shards from outside) with the rules that
 * are matched on the seed as a whole. */
void policy_screen_value(const struct policy *p, struct screen *s, const struct jdoc *doc, uint32_t value,
                         struct policy_verdict *out);

/* The same decision, explained rule by rule for an operator: appends lines. */
void policy_explain(const struct policy *p, struct screen *s, const struct jdoc *doc, uint32_t seed, bool stepped_up,
                    struct buf *out, struct policy_verdict *verdict);

#endif
