/*
 * fuzz_screen - any seed against the default policy
 *
 * The first byte says whether the rest is JSON or the text of a goal. The
 * fast and the careful pass must agree, a second look must not change the
 * decision, a step-up only lifts step-ups, and a plain offence added to the
 * context is always found.
 */
#include <stdint.h>
#include <stdlib.h>

#include "simlane/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct policy *policy;
static struct screen *screen;

static void must(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	policy = policy_load(policy_default_text(), NULL);
	screen = screen_new();
	must(policy && screen);
	return 0;
}

static bool same(const struct policy_verdict *a, const struct policy_verdict *b)
{
	return a->effect == b->effect && a->rule == b->rule && a->duress == b->duress &&
	       (a->effect == POLICY_DENY || a->advice == b->advice);
}

static void check(const struct jdoc *doc)
{
	struct policy_verdict first, again, careful, up;
	struct buf out = BUF_EMPTY;

	policy_screen(policy, screen, doc, 0, false, &first);
	policy_screen(policy, screen, doc, 0, false, &again);
	policy_explain(policy, screen, doc, 0, false, &out, &careful);
	policy_screen(policy, screen, doc, 0, true, &up);
	must(same(&first, &again) && same(&first, &careful));
	must(up.effect != POLICY_STEP_UP);
	must(first.effect == POLICY_DENY ? up.rule == first.rule : up.effect == POLICY_ALLOW);
	must((first.rule == NULL) == (first.effect == POLICY_ALLOW));
	buf_free(&out);
}

static void check_text(struct span json)
{
	struct jdoc doc = JDOC_EMPTY;

	if (jdoc_parse(&doc, json, NULL) == JDOC_OK && doc.nodes[0].type == JDOC_OBJECT)
		check(&doc);
	jdoc_free(&doc);
}

/* The text, then the text with an offence behind it. */
static void check_goal(struct span goal)
{
	static const char offence[] = ",\"context\":\"delete all\"}";
	struct buf json = BUF_EMPTY;
	struct jdoc doc = JDOC_EMPTY;
	struct policy_verdict v;
	size_t cut;

	buf_text(&json, "{\"goal\":");
	buf_json_string(&json, goal);
	cut = json.len;
	buf_char(&json, '}');
	check_text((struct span){json.ptr, json.len});
	json.len = cut;
	buf_text(&json, offence);
	if (jdoc_parse(&doc, (struct span){json.ptr, json.len}, NULL) == JDOC_OK) {
		policy_screen(policy, screen, &doc, 0, true, &v);
		must(v.effect == POLICY_DENY);
	}
	jdoc_free(&doc);
	buf_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		check_text((struct span){(const char *)data + 1, size - 1});
	else
		check_goal((struct span){(const char *)data + 1, size - 1});
	return 0;
}
