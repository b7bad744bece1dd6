/* policy_help - what the programs that test the policy share */
#ifndef TEST_POLICY_HELP_H
#define TEST_POLICY_HELP_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "simlane/clock.h"
#include "simlane/policy.h"

#define CORPUS "tests/unit/policy_corpus/"

static inline struct policy *must_load(const char *json)
{
	struct fault fault = {""};
	struct policy *p = policy_load(json ? span_of(json) : policy_default_text(), &fault);

	ck_assert_msg(p != NULL, "%s", fault.text);
	return p;
}

static inline void must_parse(struct jdoc *doc, struct span text)
{
	struct jdoc_where where = {JDOC_OK, 0, 0};

	ck_assert_msg(jdoc_parse(doc, text, &where) == JDOC_OK, "line %u column %u: %s in %.*s", where.line,
	              where.column, jdoc_error_text(where.error), (int)(text.len < 200 ? text.len : 200), text.ptr);
}

static inline void read_file(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "rb");
	char bytes[4096];
	size_t n;

	ck_assert_msg(file != NULL, "%s cannot be read: run from the top of the source", path);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(out, bytes, n);
	fclose(file);
	ck_assert(!out->failed);
}

/* The verdict of the fast pass, after holding the careful one against it. */
static inline struct policy_verdict screen_node(const struct policy *p, struct screen *s, const struct jdoc *doc,
                                                uint32_t seed, bool stepped_up)
{
	struct policy_verdict fast, careful;
	struct buf out = BUF_EMPTY;

	policy_screen(p, s, doc, seed, stepped_up, &fast);
	policy_explain(p, s, doc, seed, stepped_up, &out, &careful);
	ck_assert_msg(fast.effect == careful.effect && fast.rule == careful.rule && fast.duress == careful.duress &&
	                      (fast.effect == POLICY_DENY || fast.advice == careful.advice),
	              "fast and careful differ: %s and %s on %.*s\n%.*s", fast.rule ? fast.rule : "-",
	              careful.rule ? careful.rule : "-", (int)doc->nodes[seed].raw.len, doc->nodes[seed].raw.ptr,
	              (int)out.len, out.ptr);
	buf_free(&out);
	return fast;
}

static inline struct policy_verdict screen_text(const struct policy *p, struct span json, bool stepped_up)
{
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct policy_verdict verdict;

	must_parse(&doc, json);
	verdict = screen_node(p, s, &doc, 0, stepped_up);
	jdoc_free(&doc);
	screen_free(s);
	return verdict;
}

static inline struct policy_verdict screen_goal(const struct policy *p, struct span goal)
{
	struct buf json = BUF_EMPTY;
	struct policy_verdict verdict;

	buf_text(&json, "{\"goal\":");
	buf_json_string(&json, goal);
	buf_char(&json, '}');
	verdict = screen_text(p, (struct span){json.ptr, json.len}, false);
	buf_free(&json);
	return verdict;
}

static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
