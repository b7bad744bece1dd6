/*
 * fuzz_policy - any bytes as a policy file
 *
 * What loads must hold together: ids, advice, a decision that ends, and the
 * same decision by the fast and the careful pass.
 */
#include <stdint.h>
#include <stdlib.h>

#include "simlane/policy.h"

static const char seed_text[] = "{\"goal\":\"d.e.l.e.t.e аll of it: drop the production dataset, rotate keys\","
                                "\"ul_tags\":[\"ΛROOT\",\"x\"],\"constraints\":{\"flags\":{\"duress\":1,\"a\":\"b\"}}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

static void walk(const struct policy *p)
{
	must(policy_rule_count(p) >= 1 && policy_version(p)[0] != '\0' && policy_max_goal_chars(p) >= 1);
	for (size_t i = 0; i < policy_rule_count(p); i++)
		must(policy_rule_id(p, i)[0] != '\0');
	must(policy_advice_count(p) <= POLICY_MAX_ADVICE);
	for (size_t i = 0; i < policy_advice_count(p); i++) {
		struct policy_advice a = policy_advice_at(p, i);
		must(a.rule[0] && a.title[0] && a.mitigation[0] && a.weight >= 0 && a.weight <= 1);
	}
	must(policy_redact_email(p) && policy_redact_phone(p));
}

static void screen_with(const struct policy *p)
{
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct buf out = BUF_EMPTY;
	struct policy_verdict fast, careful;

	must(s && jdoc_parse(&doc, span_of(seed_text), NULL) == JDOC_OK);
	policy_screen(p, s, &doc, 0, false, &fast);
	policy_explain(p, s, &doc, 0, false, &out, &careful);
	must((fast.rule == NULL) == (fast.effect == POLICY_ALLOW));
	must(fast.effect == careful.effect && fast.rule == careful.rule && fast.duress == careful.duress);
	buf_free(&out);
	jdoc_free(&doc);
	screen_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault fault = {""};
	struct policy *p = policy_load((struct span){(const char *)data, size}, &fault);

	if (!p) {
		must(fault.text[0] != '\0');
		return 0;
	}
	walk(p);
	screen_with(p);
	snapshot_let_go(policy_ref(p));
	return 0;
}
