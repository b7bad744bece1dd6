/*
 * load - a policy file into a struct policy
 *
 * Strict: a member that is not known, a text of the wrong type or length, a
 * pattern that PCRE2 or its JIT does not take, all refuse the whole file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "simlane/crypto.h"

#define RULES_MAX      256
#define VERSION_MAX    64
#define NODE_TYPES_MAX 64
#define GOAL_CHARS_MAX 65536
#define DEFAULT_EMAIL  "\\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\\.[A-Z]{2,}\\b"
#define DEFAULT_PHONE  "\\b(\\+?\\d{1,3})?[-.\\s]?\\(?\\d{2,4}\\)?[-.\\s]?\\d{3,4}[-.\\s]?\\d{3,4}\\b"

const char policy_error_id[] = "policy-error";

static const char *const top_members[] = {"version", "limits", "rules", "redact", NULL};
static const char *const limit_members[] = {"max_goal_chars", "forbid_node_types", NULL};
static const char *const redact_members[] = {"email", "phone", NULL};

int load_members(struct load *l, uint32_t object, const char *where, const char *const *known)
{
	for (uint32_t i = jdoc_first(&l->doc, object); i < l->doc.nodes[object].next;
	     i = jdoc_next_member(&l->doc, i)) {
		struct span name = jdoc_str(&l->doc, i);
		size_t k = 0;
		while (known[k] && !span_is(name, known[k]))
			k++;
		if (!known[k])
			return fault_set(l->fault, "%s: unknown member \"%.*s\"", where,
			                 (int)(name.len < 64 ? name.len : 64), name.ptr);
	}
	return 0;
}

static const char *keep(struct policy *p, struct span text)
{
	char *kept = p->arena + p->arena_used;

	if (text.len > 0)
		memcpy(kept, text.ptr, text.len);
	kept[text.len] = '\0';
	p->arena_used += text.len + 1;
	return kept;
}

const char *load_text(struct load *l, uint32_t node, const char *where, size_t lo, size_t hi)
{
	struct span text = jdoc_str(&l->doc, node);

	if (jdoc_type(&l->doc, node) != JDOC_STRING || text.len < lo || text.len > hi) {
		fault_set(l->fault, "%s: must be a string of %zu to %zu bytes", where, lo, hi);
		return NULL;
	}
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		if (c < ' ' || c == 0x7f) {
			fault_set(l->fault, "%s: control character in a text", where);
			return NULL;
		}
	}
	return keep(l->policy, text);
}

/* Version strings go to logs and metrics: printable ASCII. */
static int load_version(struct load *l)
{
	const char *version = load_text(l, jdoc_get(&l->doc, 0, "version"), "version", 1, VERSION_MAX);

	if (!version)
		return -1;
	for (const char *c = version; *c; c++)
		if ((unsigned char)*c >= 0x80)
			return fault_set(l->fault, "version: must be ASCII");
	l->policy->version = version;
	return 0;
}

/* The object member of that name, JDOC_NONE when absent. */
static int load_object(struct load *l, const char *name, const char *const *known, uint32_t *node)
{
	*node = jdoc_get(&l->doc, 0, name);
	if (*node == JDOC_NONE)
		return 0;
	if (jdoc_type(&l->doc, *node) != JDOC_OBJECT)
		return fault_set(l->fault, "%s: must be an object", name);
	return load_members(l, *node, name, known);
}

static int load_node_types(struct load *l, uint32_t list)
{
	struct policy *p = l->policy;

	if (list == JDOC_NONE)
		return 0;
	if (jdoc_type(&l->doc, list) != JDOC_ARRAY || l->doc.nodes[list].count > NODE_TYPES_MAX)
		return fault_set(l->fault, "forbid_node_types: must be an array of at most %d strings", NODE_TYPES_MAX);
	p->node_types = calloc(l->doc.nodes[list].count + 1, sizeof(*p->node_types));
	if (!p->node_types)
		return fault_set(l->fault, "out of memory");
	for (uint32_t i = list + 1; i < l->doc.nodes[list].next; i = l->doc.nodes[i].next) {
		const char *type = load_text(l, i, "forbid_node_types", 1, VERSION_MAX);
		if (!type)
			return -1;
		p->node_types[p->node_type_count++] = type;
	}
	return 0;
}

static int load_limits(struct load *l)
{
	uint32_t limits, chars;
	int64_t value = 600;

	if (load_object(l, "limits", limit_members, &limits) != 0)
		return -1;
	chars = jdoc_get(&l->doc, limits, "max_goal_chars");
	if (chars != JDOC_NONE)
		value = jdoc_type(&l->doc, chars) == JDOC_INT ? l->doc.nodes[chars].integer : 0;
	if (value < 1 || value > GOAL_CHARS_MAX)
		return fault_set(l->fault, "max_goal_chars: must be an integer from 1 to %d", GOAL_CHARS_MAX);
	l->policy->max_goal_chars = (uint32_t)value;
	return load_node_types(l, jdoc_get(&l->doc, limits, "forbid_node_types"));
}

static struct regex *load_redact_one(struct load *l, uint32_t node, const char *name, const char *otherwise)
{
	struct fault why = {""};
	const char *source = otherwise;
	struct regex *r;

	if (node != JDOC_NONE)
		source = load_text(l, node, name, 1, 1000);
	if (!source)
		return NULL;
	r = regex_compile(span_of(source), &why);
	if (!r)
		fault_set(l->fault, "redact.%s: %s", name, why.text);
	return r;
}

static int load_redact(struct load *l)
{
	struct policy *p = l->policy;
	uint32_t redact;

	if (load_object(l, "redact", redact_members, &redact) != 0)
		return -1;
	p->redact_email = load_redact_one(l, jdoc_get(&l->doc, redact, "email"), "email", DEFAULT_EMAIL);
	if (!p->redact_email)
		return -1;
	p->redact_phone = load_redact_one(l, jdoc_get(&l->doc, redact, "phone"), "phone", DEFAULT_PHONE);
	return p->redact_phone ? 0 : -1;
}

static void find_shortest(struct policy *p)
{
	for (enum scope scope = 0; scope < SCOPES; scope++)
		p->shortest[scope] = SIZE_MAX;
	for (size_t i = 0; i < p->rule_count; i++) {
		for (size_t k = 0; k < p->rules[i].pattern_count; k++) {
			size_t chars = regex_shortest(p->rules[i].patterns[k].strict);
			for (enum scope scope = p->rules[i].on_goal ? SCOPE_GOAL : SCOPE_SEED; scope < SCOPES; scope++)
				p->shortest[scope] = chars < p->shortest[scope] ? chars : p->shortest[scope];
		}
	}
}

static int list_ids(struct load *l)
{
	struct policy *p = l->policy;

	p->ids = calloc(p->rule_count + 1, sizeof(*p->ids));
	if (!p->ids)
		return fault_set(l->fault, "out of memory");
	for (size_t i = 0; i < p->rule_count; i++) {
		if (p->rules[i].effect == RULE_ADVISE)
			p->advice[p->rules[i].advice] = &p->rules[i];
		else
			p->ids[p->id_count++] = p->rules[i].id;
	}
	p->ids[p->id_count++] = policy_error_id;
	return 0;
}

static int load_rules(struct load *l)
{
	struct policy *p = l->policy;
	uint32_t rules = jdoc_get(&l->doc, 0, "rules");

	if (jdoc_type(&l->doc, rules) != JDOC_ARRAY || l->doc.nodes[rules].count > RULES_MAX)
		return fault_set(l->fault, "rules: must be an array of at most %d rules", RULES_MAX);
	p->rules = calloc(l->doc.nodes[rules].count + 1, sizeof(*p->rules));
	if (!p->rules)
		return fault_set(l->fault, "out of memory");
	for (uint32_t i = rules + 1; i < l->doc.nodes[rules].next; i = l->doc.nodes[i].next)
		if (load_rule(l, i) != 0)
			return -1;
	find_shortest(p);
	prefixes_sort(&p->prefixes);
	prefixes_sort(&p->tails);
	return list_ids(l);
}

static int load_document(struct load *l, struct span json)
{
	struct jdoc_where where;

	if (jdoc_parse(&l->doc, json, &where) != JDOC_OK)
		return fault_set(l->fault, "line %u, column %u: %s", where.line, where.column,
		                 jdoc_error_text(where.error));
	if (jdoc_type(&l->doc, 0) != JDOC_OBJECT)
		return fault_set(l->fault, "must be a JSON object");
	/* Every string is kept at most once, with a NUL. */
	l->policy->arena = malloc(json.len + l->doc.count + 1);
	if (!l->policy->arena)
		return fault_set(l->fault, "out of memory");
	if (load_members(l, 0, "policy", top_members) != 0 || load_version(l) != 0 || load_limits(l) != 0)
		return -1;
	return load_rules(l) != 0 ? -1 : load_redact(l);
}

static void policy_free(struct snapshot_ref *ref)
{
	struct policy *p = policy_of_ref(ref);

	for (size_t i = 0; p->rules && i <= p->rule_count; i++) {
		for (size_t k = 0; k < p->rules[i].pattern_count; k++) {
			regex_free(p->rules[i].patterns[k].strict);
			regex_free(p->rules[i].patterns[k].loose);
			regex_free(p->rules[i].patterns[k].marked);
		}
		free(p->rules[i].patterns);
	}
	prefixes_free(&p->prefixes);
	prefixes_free(&p->tails);
	names_free(&p->tags);
	names_free(&p->flags);
	regex_free(p->redact_email);
	regex_free(p->redact_phone);
	free(p->rules);
	free(p->ids);
	free(p->node_types);
	free(p->arena);
	free(p);
}

struct policy *policy_load(struct span json, struct fault *fault)
{
	struct load l = {.doc = JDOC_EMPTY, .fault = fault};
	uint8_t digest[DIGEST_BYTES];
	int rc;

	l.policy = calloc(1, sizeof(*l.policy));
	if (!l.policy) {
		fault_set(fault, "out of memory");
		return NULL;
	}
	atomic_init(&l.policy->ref.count, 1);
	l.policy->ref.free = policy_free;
	crypto_digest(digest, &json, 1);
	memcpy(&l.policy->digest, digest, sizeof(l.policy->digest));
	l.scratch = regex_scratch_new();
	rc = l.scratch ? load_document(&l, json) : fault_set(fault, "out of memory");
	regex_scratch_free(l.scratch);
	jdoc_free(&l.doc);
	views_free(&l.views);
	if (rc != 0) {
		policy_free(&l.policy->ref);
		return NULL;
	}
	return l.policy;
}
