/*
 * screen - the decision: flags, tags, then every string; duress before all,
 * deny before step-up, the first rule of the file before later ones
 */
#include "screen.h"

#include <stdlib.h>

#define TEXT_KEPT_BYTES (256 * 1024) /* scratch larger than that is given back */

struct screen *screen_new(void)
{
	struct screen *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->regex = regex_scratch_new();
	if (!s->regex) {
		free(s);
		return NULL;
	}
	return s;
}

void screen_free(struct screen *s)
{
	if (!s)
		return;
	regex_scratch_free(s->regex);
	views_free(&s->views);
	buf_free(&s->lower);
	free(s);
}

void pass_fire(struct pass *pass, const struct hit *hit)
{
	const struct rule *rule = &pass->policy->rules[hit->rule];
	size_t *first = NULL;

	pass->fired = true;
	if (pass->careful)
		pass->careful(pass, hit);
	switch (rule->effect) {
	case RULE_DURESS:
		first = &pass->duress;
		break;
	case RULE_DENY:
		first = &pass->deny;
		break;
	case RULE_STEP_UP:
		first = pass->stepped_up ? NULL : &pass->step_up;
		break;
	case RULE_ADVISE:
		pass->advice |= (uint64_t)1 << rule->advice;
		break;
	}
	if (first && hit->rule < *first)
		*first = hit->rule;
}

/* ---- texts known to be clear ---- */

static struct clear *clear_slot(struct screen *s, struct span text, enum role role)
{
	uint64_t hash = (uint64_t)role * 0x9e3779b97f4a7c15u + text.len, word;

	for (size_t i = 0; i < text.len; i += 8) {
		word = 0;
		memcpy(&word, text.ptr + i, text.len - i < 8 ? text.len - i : 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return &s->clear[hash >> 32 & (CLEAR_ENTRIES - 1)];
}

static bool clear_known(const struct clear *slot, struct span text, enum role role)
{
	return slot->role == role && slot->len == text.len && memcmp(slot->bytes, text.ptr, text.len) == 0;
}

static void screen_text(struct pass *pass, struct span text, enum role role)
{
	if (role == ROLE_TEXT)
		match_text(pass, SCOPE_SEED, text);
	else
		match_names(pass, role == ROLE_TAG_NAME ? &pass->policy->tags : &pass->policy->flags, text);
}

/* A rule that fired is not tried again, so only as long as none has does a
 * silent text count as clear of all. */
static void screen_short(struct pass *pass, struct span text, enum role role)
{
	struct clear *slot;

	if (pass->careful || text.len > CLEAR_BYTES || text.len == 0) {
		screen_text(pass, text, role);
		return;
	}
	slot = clear_slot(pass->screen, text, role);
	if (clear_known(slot, text, role))
		return;
	screen_text(pass, text, role);
	if (!pass->fired && !pass->error) {
		slot->len = (uint8_t)text.len;
		slot->role = (uint8_t)role;
		memcpy(slot->bytes, text.ptr, text.len);
	}
}

/* ---- stages ---- */

static void pass_string(struct pass *pass, const struct jdoc *doc, uint32_t node, uint32_t goal)
{
	if (doc->nodes[node].type != JDOC_STRING)
		return;
	pass->node = node;
	if (node == goal)
		match_text(pass, SCOPE_GOAL, doc->nodes[node].str);
	else
		screen_short(pass, doc->nodes[node].str, ROLE_TEXT);
}

static void pass_names(struct pass *pass, const struct jdoc *doc, uint32_t seed)
{
	uint32_t flags = jdoc_get(doc, jdoc_get(doc, seed, "constraints"), "flags");
	uint32_t tags = jdoc_get(doc, seed, "ul_tags");

	if (jdoc_type(doc, flags) == JDOC_OBJECT) {
		for (uint32_t i = jdoc_first(doc, flags); i < doc->nodes[flags].next; i = jdoc_next_member(doc, i)) {
			pass->node = i;
			if (jdoc_truthy(doc, i + 1))
				screen_short(pass, jdoc_str(doc, i), ROLE_FLAG_NAME);
		}
	}
	if (jdoc_type(doc, tags) == JDOC_ARRAY) {
		for (uint32_t i = jdoc_first(doc, tags); i < doc->nodes[tags].next; i = doc->nodes[i].next) {
			pass->node = i;
			if (jdoc_type(doc, i) == JDOC_STRING)
				screen_short(pass, jdoc_str(doc, i), ROLE_TAG_NAME);
		}
	}
}

struct pass pass_begin(const struct policy *p, struct screen *s, bool stepped_up)
{
	if (s->clear_digest != p->digest) {
		memset(s->clear, 0, sizeof(s->clear));
		s->clear_digest = p->digest;
	}
	return (struct pass){.policy = p,
	                     .screen = s,
	                     .stepped_up = stepped_up,
	                     .duress = NO_RULE,
	                     .deny = NO_RULE,
	                     .step_up = NO_RULE};
}

void pass_seed(struct pass *pass, const struct jdoc *doc, uint32_t seed)
{
	uint32_t goal = jdoc_get(doc, seed, "goal");

	pass_names(pass, doc, seed);
	if (pass->duress != NO_RULE && !pass->careful)
		return;
	for (uint32_t i = seed; i < doc->nodes[seed].next && !pass->error; i++)
		pass_string(pass, doc, i, goal);
}

static void make_verdict(const struct pass *pass, struct policy_verdict *out)
{
	*out = (struct policy_verdict){POLICY_ALLOW, NULL, false, pass->advice};
	if (pass->duress != NO_RULE) {
		out->duress = true;
		out->rule = pass->policy->rules[pass->duress].id;
	} else if (pass->deny != NO_RULE) {
		out->rule = pass->policy->rules[pass->deny].id;
	} else if (pass->error) {
		out->rule = policy_error_id;
	} else if (pass->step_up != NO_RULE) {
		out->rule = pass->policy->rules[pass->step_up].id;
		out->effect = POLICY_STEP_UP;
		return;
	}
	if (out->rule)
		out->effect = POLICY_DENY;
}

void pass_end(struct pass *pass, struct policy_verdict *out)
{
	struct screen *s = pass->screen;
	size_t codes = s->views.raw.cap > s->views.read.cap ? s->views.raw.cap : s->views.read.cap;

	if (codes * sizeof(int32_t) > TEXT_KEPT_BYTES)
		views_free(&s->views);
	if (s->lower.cap > TEXT_KEPT_BYTES)
		buf_free(&s->lower);
	make_verdict(pass, out);
}

void policy_screen(const struct policy *p, struct screen *s, const struct jdoc *doc, uint32_t seed, bool stepped_up,
                   struct policy_verdict *out)
{
	struct pass pass = pass_begin(p, s, stepped_up);

	pass_seed(&pass, doc, seed);
	pass_end(&pass, out);
}

void policy_screen_value(const struct policy *p, struct screen *s, const struct jdoc *doc, uint32_t value,
                         struct policy_verdict *out)
{
	struct pass pass = pass_begin(p, s, false);

	for (uint32_t i = value; i < doc->nodes[value].next && !pass.error; i++)
		pass_string(&pass, doc, i, JDOC_NONE);
	pass_end(&pass, out);
}
