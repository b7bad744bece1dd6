/*
 * load_rule - one rule of a policy file
 *
 * What a rule may have depends on its effect; the table says. A member that
 * means nothing there is refused, so that no rule looks stricter than it is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

#define ID_MAX      64
#define NAME_MAX_   256
#define PATTERN_MAX 1000
#define TEXT_MAX    500
#define LIST_MAX    64

struct effect {
	const char *name;
	enum rule_effect effect;
	bool patterns;
};

static const struct effect effects[] = {
        {"duress", RULE_DURESS, false},
        {"deny", RULE_DENY, true},
        {"step-up", RULE_STEP_UP, true},
        {"advise", RULE_ADVISE, true},
};

static const char *const members[] = {"id",    "effect", "on",     "patterns",   "tags",
                                      "flags", "title",  "weight", "mitigation", NULL};

static bool id_is_good(struct span id)
{
	if (id.len == 0 || id.len > ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!(id.ptr[i] >= 'a' && id.ptr[i] <= 'z') && !(id.ptr[i] >= '0' && id.ptr[i] <= '9') &&
		    id.ptr[i] != '-')
			return false;
	return !span_is(id, policy_error_id) && !span_is(id, "lane-disabled");
}

static int load_id(struct load *l, struct rule *rule, uint32_t node)
{
	struct span id = jdoc_str(&l->doc, jdoc_get(&l->doc, node, "id"));
	size_t number = l->policy->rule_count + 1;

	if (!id_is_good(id))
		return fault_set(l->fault,
		                 "rule %zu: \"id\" must be 1 to %d of a-z 0-9 -, and neither policy-error nor "
		                 "lane-disabled",
		                 number, ID_MAX);
	rule->id = load_text(l, jdoc_get(&l->doc, node, "id"), "id", 1, ID_MAX);
	for (size_t i = 0; i < l->policy->rule_count; i++)
		if (strcmp(l->policy->rules[i].id, rule->id) == 0)
			return fault_set(l->fault, "rule %s: there are two of it", rule->id);
	return 0;
}

static const struct effect *load_effect(struct load *l, struct rule *rule, uint32_t node)
{
	struct span name = jdoc_str(&l->doc, jdoc_get(&l->doc, node, "effect"));

	for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
		if (span_is(name, effects[i].name)) {
			rule->effect = effects[i].effect;
			return &effects[i];
		}
	}
	fault_set(l->fault, "rule %s: \"effect\" must be duress, deny, step-up or advise", rule->id);
	return NULL;
}

/* An absent list is an empty one; a list that is there has 1 to LIST_MAX
 * elements. */
static int list_begin(struct load *l, const struct rule *rule, uint32_t node, const char *name, uint32_t *list)
{
	*list = jdoc_get(&l->doc, node, name);
	if (*list == JDOC_NONE)
		return 0;
	if (jdoc_type(&l->doc, *list) != JDOC_ARRAY || l->doc.nodes[*list].count == 0 ||
	    l->doc.nodes[*list].count > LIST_MAX)
		return fault_set(l->fault, "rule %s: \"%s\" must be an array of 1 to %d strings", rule->id, name,
		                 LIST_MAX);
	return 0;
}

/* The pattern's text without its \b, or false when it has none to leave out. */
static bool without_boundaries(const char *source, struct buf *out)
{
	bool in_class = false, found = false;

	for (; *source; source++) {
		if (source[0] == '\\' && source[1] == 'b' && !in_class) {
			source++;
			found = true;
			continue;
		}
		in_class = source[0] == '[' || (in_class && source[0] != ']');
		buf_char(out, *source);
		if (source[0] == '\\' && source[1] != '\0')
			buf_char(out, *++source);
	}
	return found && !out->failed;
}

static bool matches_nothing(const struct load *l, const struct regex *r)
{
	return regex_match(r, l->scratch, span_of(""), false) != REGEX_NO_MATCH;
}

/* The pattern changed; NULL when it cannot be, or then matches the empty text. */
static struct regex *changed_compile(const struct load *l, const char *source,
                                     bool (*change)(const char *, struct buf *))
{
	struct buf changed = BUF_EMPTY;
	struct regex *r = NULL;

	if (change(source, &changed))
		r = regex_compile((struct span){changed.ptr, changed.len}, NULL);
	if (r && matches_nothing(l, r)) {
		regex_free(r);
		r = NULL;
	}
	buf_free(&changed);
	return r;
}

static int load_pattern(struct load *l, struct rule *rule, uint32_t node)
{
	struct pattern *pattern = &rule->patterns[rule->pattern_count];
	struct fault why = {""};

	pattern->source = load_text(l, node, rule->id, 1, PATTERN_MAX);
	if (!pattern->source)
		return -1;
	pattern->strict = regex_compile(span_of(pattern->source), &why);
	if (!pattern->strict)
		return fault_set(l->fault, "rule %s: pattern %zu: %s", rule->id, rule->pattern_count + 1, why.text);
	rule->pattern_count++;
	if (matches_nothing(l, pattern->strict))
		return fault_set(l->fault, "rule %s: pattern %zu: matches the empty text", rule->id,
		                 rule->pattern_count);
	pattern->loose = changed_compile(l, pattern->source, without_boundaries);
	pattern->marked = changed_compile(l, pattern->source, marked_pattern);
	pattern->number = l->policy->pattern_count++;
	if (pattern->number >= PATTERNS_MAX)
		return fault_set(l->fault, "rule %s: the policy has more than %d patterns", rule->id, PATTERNS_MAX);
	if (prefixes_add(&l->policy->prefixes, pattern->source, pattern->number) != 0 ||
	    prefixes_add_tail(&l->policy->tails, pattern->source, pattern->number) != 0)
		return fault_set(l->fault, "out of memory");
	return 0;
}

static int load_patterns(struct load *l, struct rule *rule, uint32_t node)
{
	uint32_t list, on = jdoc_get(&l->doc, node, "on");
	struct span where = jdoc_str(&l->doc, on);

	if (list_begin(l, rule, node, "patterns", &list) != 0)
		return -1;
	if ((list == JDOC_NONE) != (on == JDOC_NONE))
		return fault_set(l->fault, "rule %s: \"patterns\" and \"on\" go together", rule->id);
	if (list == JDOC_NONE)
		return 0;
	if (!span_is(where, "seed") && !span_is(where, "goal"))
		return fault_set(l->fault, "rule %s: \"on\" must be seed or goal", rule->id);
	rule->on_goal = span_is(where, "goal");
	rule->patterns = calloc(l->doc.nodes[list].count, sizeof(*rule->patterns));
	if (!rule->patterns)
		return fault_set(l->fault, "out of memory");
	for (uint32_t i = list + 1; i < l->doc.nodes[list].next; i = l->doc.nodes[i].next)
		if (load_pattern(l, rule, i) != 0)
			return -1;
	return 0;
}

static int load_names(struct load *l, struct rule *rule, uint32_t node, const char *member, struct names *names)
{
	uint32_t list;

	if (list_begin(l, rule, node, member, &list) != 0)
		return -1;
	if (list == JDOC_NONE)
		return 0;
	for (uint32_t i = list + 1; i < l->doc.nodes[list].next; i = l->doc.nodes[i].next) {
		const char *text = load_text(l, i, rule->id, 1, NAME_MAX_);
		if (!text)
			return -1;
		if (names_add(names, &l->views, span_of(text), (uint32_t)l->policy->rule_count) != 0)
			return fault_set(l->fault, "out of memory");
		if (names->at[names->count - 1].readings[READ_FOLDED].len == 0)
			return fault_set(l->fault, "rule %s: a name in \"%s\" is blank", rule->id, member);
	}
	return 0;
}

static int load_weight(struct load *l, struct rule *rule, uint32_t node)
{
	uint32_t weight = jdoc_get(&l->doc, node, "weight");

	if (jdoc_type(&l->doc, weight) == JDOC_INT)
		rule->weight = (double)l->doc.nodes[weight].integer;
	else if (jdoc_type(&l->doc, weight) == JDOC_REAL)
		rule->weight = l->doc.nodes[weight].real;
	else
		rule->weight = -1;
	if (!(rule->weight >= 0 && rule->weight <= 1))
		return fault_set(l->fault, "rule %s: \"weight\" must be a number from 0 to 1", rule->id);
	return 0;
}

static int load_advice(struct load *l, struct rule *rule, uint32_t node)
{
	uint32_t title = jdoc_get(&l->doc, node, "title");
	uint32_t mitigation = jdoc_get(&l->doc, node, "mitigation");

	if (rule->effect != RULE_ADVISE) {
		if (title != JDOC_NONE || mitigation != JDOC_NONE || jdoc_get(&l->doc, node, "weight") != JDOC_NONE)
			return fault_set(l->fault, "rule %s: title, weight and mitigation are for effect advise",
			                 rule->id);
		return 0;
	}
	if (l->policy->advice_count == POLICY_MAX_ADVICE)
		return fault_set(l->fault, "rule %s: more than %d advisory rules", rule->id, POLICY_MAX_ADVICE);
	rule->advice = (unsigned)l->policy->advice_count++;
	rule->title = load_text(l, title, "title", 1, TEXT_MAX);
	if (!rule->title)
		return -1;
	rule->mitigation = load_text(l, mitigation, "mitigation", 1, TEXT_MAX);
	return rule->mitigation ? load_weight(l, rule, node) : -1;
}

int load_rule(struct load *l, uint32_t node)
{
	struct policy *p = l->policy;
	struct rule *rule = &p->rules[p->rule_count];
	size_t named = p->tags.count + p->flags.count;
	const struct effect *effect;
	char where[32];

	snprintf(where, sizeof(where), "rule %zu", p->rule_count + 1);
	if (jdoc_type(&l->doc, node) != JDOC_OBJECT)
		return fault_set(l->fault, "%s: must be an object", where);
	if (load_members(l, node, where, members) != 0 || load_id(l, rule, node) != 0)
		return -1;
	effect = load_effect(l, rule, node);
	if (!effect)
		return -1;
	if (!effect->patterns && jdoc_get(&l->doc, node, "patterns") != JDOC_NONE)
		return fault_set(l->fault, "rule %s: a duress rule has flags or tags, no patterns", rule->id);
	if (load_patterns(l, rule, node) != 0 || load_names(l, rule, node, "tags", &p->tags) != 0 ||
	    load_names(l, rule, node, "flags", &p->flags) != 0 || load_advice(l, rule, node) != 0)
		return -1;
	if (rule->pattern_count == 0 && p->tags.count + p->flags.count == named)
		return fault_set(l->fault, "rule %s: needs patterns, tags or flags", rule->id);
	p->rule_count++;
	return 0;
}
