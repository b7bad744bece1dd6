/* policy - what a loaded policy says of itself */
#include "rules.h"

extern const unsigned char policy_default_json[];
extern const size_t policy_default_json_len;

struct span policy_default_text(void)
{
	return (struct span){(const char *)policy_default_json, policy_default_json_len};
}

struct snapshot_ref *policy_ref(struct policy *p)
{
	return &p->ref;
}

struct policy *policy_of_ref(struct snapshot_ref *r)
{
	return (struct policy *)((char *)r - offsetof(struct policy, ref));
}

const char *policy_version(const struct policy *p)
{
	return p->version;
}

uint64_t policy_digest(const struct policy *p)
{
	return p->digest;
}

uint32_t policy_max_goal_chars(const struct policy *p)
{
	return p->max_goal_chars;
}

size_t policy_advice_count(const struct policy *p)
{
	return p->advice_count;
}

struct policy_advice policy_advice_at(const struct policy *p, size_t i)
{
	const struct rule *rule = p->advice[i];

	return (struct policy_advice){rule->id, rule->title, rule->mitigation, rule->weight};
}

const struct regex *policy_redact_email(const struct policy *p)
{
	return p->redact_email;
}

const struct regex *policy_redact_phone(const struct policy *p)
{
	return p->redact_phone;
}

bool policy_forbids_node_type(const struct policy *p, struct span type)
{
	if (span_is(type, "DECISION") || span_is(type, "AWARENESS"))
		return true;
	for (size_t i = 0; i < p->node_type_count; i++)
		if (span_is(type, p->node_types[i]))
			return true;
	return false;
}

size_t policy_rule_count(const struct policy *p)
{
	return p->id_count;
}

const char *policy_rule_id(const struct policy *p, size_t i)
{
	return p->ids[i];
}
