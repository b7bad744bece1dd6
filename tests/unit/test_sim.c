/*
 * test_sim - the template simulator: the shard's shape and its scores
 */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/jdoc.h"
#include "simlane/sim.h"

static struct sim_request request_of(const char *seed)
{
	return (struct sim_request){
	        .trace_id = "LT-1700000000000-0000002a",
	        .timestamp_ms = 1700000000123,
	        .seed = span_of(seed),
	        .max_goal_chars = 600,
	};
}

/* The text, NUL-terminated; the caller frees it. */
static char *run(const struct sim_request *r)
{
	struct buf out = BUF_EMPTY;
	size_t len;

	ck_assert(sim_template_run(r, &out));
	return buf_take(&out, &len);
}

static void check_text(const struct sim_request *r, const char *want)
{
	char *got = run(r);

	ck_assert_str_eq(got, want);
	free(got);
}

static json_t *run_shard(const struct sim_request *r)
{
	char *text = run(r);
	json_t *shards = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *shard;

	free(text);
	ck_assert(json_is_array(shards));
	ck_assert_uint_eq(json_array_size(shards), 1);
	shard = json_incref(json_array_get(shards, 0));
	json_decref(shards);
	return shard;
}

START_TEST(a_full_seed_gives_the_shard_of_the_contract)
{
	struct sim_request r =
	        request_of("{\"goal\":\"Map \\\"tide\\\" pools\",\"ul_tags\":[\"\xce\x9bTIDE\",\"x\"],"
	                   "\"constraints\":{\"flags\":{\"dry\":true,\"n\":[1,{\"a\":null}]},\"budgets\":{\"ms\":5}},"
	                   "\"context\":{\"k\":1},\"more\":2}");
	struct sim_risk risks[] = {
	        {.rule = "cost", .title = "It \"costs\"", .mitigation = "Ask", .weight = 0.1},
	        {.rule = "reach", .title = "Far", .mitigation = "Near", .weight = 0.0436},
	};

	r.goal_chars = 17;
	r.risks = risks;
	r.risk_count = 2;
	check_text(
	        &r,
	        "[{\"trace_id\":\"LT-1700000000000-0000002a\",\"index\":0,\"timestamp\":1700000000123,"
	        "\"proposal\":{\"summary\":\"Simulated plan for goal: Map \\\"tide\\\" pools\","
	        "\"ul_tags\":[\"\xce\x9bTIDE\",\"x\"]},"
	        "\"risks\":[{\"rule\":\"cost\",\"title\":\"It \\\"costs\\\"\",\"weight\":0.1,\"mitigation\":\"Ask\"},"
	        "{\"rule\":\"reach\",\"title\":\"Far\",\"weight\":0.0436,\"mitigation\":\"Near\"}],"
	        "\"scores\":{\"coherence\":0.92,\"safety\":0.8464},"
	        "\"seed_meta\":{\"goal\":\"Map \\\"tide\\\" "
	        "pools\",\"flags\":{\"dry\":true,\"n\":[1,{\"a\":null}]}}}]");
}
END_TEST

#define BARE(summary_, goal_)                                                                                          \
	"[{\"trace_id\":\"LT-1700000000000-0000002a\",\"index\":0,\"timestamp\":1700000000123,\"proposal\":{"          \
	"\"summary\":\"Simulated plan for goal: " summary_ "\",\"ul_tags\":[\"\xce\x9bSIM\"]},\"risks\":[],"           \
	"\"scores\":{\"coherence\":0.92,\"safety\":0.99},\"seed_meta\":{\"goal\":" goal_ ",\"flags\":{}}}]"

START_TEST(what_is_missing_null_or_empty_has_its_default)
{
	static const char *const bare[] = {
	        "{}",
	        "{\"goal\":null,\"ul_tags\":null,\"constraints\":null,\"context\":null}",
	        "{\"ul_tags\":[],\"constraints\":{\"flags\":null}}",
	        "{\"constraints\":{\"flags\":{}}}",
	};
	struct sim_request r;

	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		r = request_of(bare[i]);
		check_text(&r, BARE("(no goal)", "null"));
	}
	r = request_of("{\"goal\":\"\"}");
	check_text(&r, BARE("(no goal)", "\"\""));
	r = request_of("{\"goal\":\" \"}");
	r.goal_chars = 1;
	check_text(&r, BARE(" ", "\" \""));
}
END_TEST

static double coherence_of(uint32_t sent, uint32_t max)
{
	struct sim_request r = request_of("{\"goal\":\"g\"}");
	json_t *shard;
	double score;

	r.goal_chars = sent;
	r.max_goal_chars = max;
	shard = run_shard(&r);
	score = json_number_value(json_object_get(json_object_get(shard, "scores"), "coherence"));
	json_decref(shard);
	return score;
}

START_TEST(coherence_is_the_share_of_the_goal_that_was_kept)
{
	ck_assert_double_eq(coherence_of(0, 600), 0.92);
	ck_assert_double_eq(coherence_of(1, 600), 0.92);
	ck_assert_double_eq(coherence_of(600, 600), 0.92);
	ck_assert_double_eq(coherence_of(601, 600), 0.9185);
	ck_assert_double_eq(coherence_of(1000, 600), 0.552);
	ck_assert_double_eq(coherence_of(1200, 600), 0.46);
	ck_assert_double_eq(coherence_of(6000, 600), 0.092);
	ck_assert_double_eq(coherence_of(UINT32_MAX, 600), 0);
	ck_assert_double_eq(coherence_of(UINT32_MAX, UINT32_MAX), 0.92);
	ck_assert_double_eq(coherence_of(3, 1), 0.3067);
}
END_TEST

static void check_safety(const double *weights, size_t n, const char *want)
{
	struct sim_request r = request_of("{}");
	struct sim_risk risks[64];
	char *text;

	for (size_t i = 0; i < n; i++)
		risks[i] = (struct sim_risk){.rule = "r", .title = "t", .mitigation = "m", .weight = weights[i]};
	r.risks = risks;
	r.risk_count = n;
	text = run(&r);
	ck_assert_msg(strstr(text, want) != NULL, "%s not in %s", want, text);
	free(text);
}

START_TEST(safety_is_what_the_advisory_rules_leave)
{
	double many[64];

	check_safety((double[]){0.1}, 1, "\"safety\":0.89}");
	check_safety((double[]){0.1, 0.15}, 2, "\"safety\":0.74}");
	check_safety((double[]){0.1, 0.2, 0.3}, 3, "\"safety\":0.39}");
	check_safety((double[]){0.00004}, 1, "\"safety\":0.99}");
	check_safety((double[]){0.0001}, 1, "\"safety\":0.9899}");
	check_safety((double[]){0.98}, 1, "\"safety\":0.01}");
	check_safety((double[]){0.989}, 1, "\"safety\":0.001}");
	check_safety((double[]){0.99}, 1, "\"safety\":0}");
	check_safety((double[]){1, 1}, 2, "\"safety\":0}");
	check_safety((double[]){0}, 1, "\"safety\":0.99}");
	for (size_t i = 0; i < 64; i++)
		many[i] = 0.01;
	check_safety(many, 64, "\"safety\":0.35}");
}
END_TEST

START_TEST(weights_are_written_as_short_as_they_can_be)
{
	static const double weights[] = {0, 1, 0.1, 0.25, 0.05, 0.3333333333333333, 1e-7, 0.123456789};

	for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
		struct sim_request r = request_of("{}");
		struct sim_risk risk = {.rule = "r", .title = "t", .mitigation = "m", .weight = weights[i]};
		json_t *shard;

		r.risks = &risk;
		r.risk_count = 1;
		shard = run_shard(&r);
		ck_assert_double_eq(json_number_value(json_object_get(
		                            json_array_get(json_object_get(shard, "risks"), 0), "weight")),
		                    weights[i]);
		json_decref(shard);
	}
	check_safety((double[]){0.1}, 1, "\"weight\":0.1,");
	check_safety((double[]){1}, 1, "\"weight\":1,");
}
END_TEST

/* Whatever a seed holds, the shard is JSON that our own strict reader takes. */
START_TEST(hostile_goals_stay_inside_their_string)
{
	static const char *const seeds[] = {
	        "{\"goal\":\"\\u0001\\n\\\"},{\\\"index\\\":1\"}",
	        "{\"goal\":\"\\\\\"}",
	        "{\"goal\":\"\xf0\x9f\x8c\x8a\xe2\x80\xa8\\ud83c\\udf0a\"}",
	        "{\"goal\":\"</script>\\u007f\",\"ul_tags\":[\"\\\"]\"]}",
	        "{\"goal\":\"}]\",\"constraints\":{\"flags\":{\"\\\"}\":\"\\\\\"}}}",
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		struct sim_request r = request_of(seeds[i]);
		struct jdoc in = JDOC_EMPTY, out = JDOC_EMPTY;
		char *text = run(&r);
		uint32_t meta;

		ck_assert_int_eq(jdoc_parse(&in, r.seed, NULL), JDOC_OK);
		ck_assert_int_eq(jdoc_parse(&out, span_of(text), NULL), JDOC_OK);
		ck_assert_uint_eq(out.nodes[0].count, 1);
		meta = jdoc_get(&out, 1, "seed_meta");
		ck_assert(span_equal(jdoc_str(&out, jdoc_get(&out, meta, "goal")),
		                     jdoc_str(&in, jdoc_get(&in, 0, "goal"))));
		jdoc_free(&in);
		jdoc_free(&out);
		free(text);
	}
}
END_TEST

START_TEST(what_is_no_object_is_refused_and_nothing_written)
{
	static const char *const seeds[] = {"[]", "", "{", "null", "{\"goal\":\"a\",\"goal\":\"b\"}"};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		struct sim_request r = request_of(seeds[i]);
		struct buf out = BUF_EMPTY;

		ck_assert(!sim_template_run(&r, &out));
		ck_assert_uint_eq(out.len, 0);
		buf_free(&out);
	}
}
END_TEST

START_TEST(flags_and_tags_are_copied_without_white_space)
{
	struct sim_request r = request_of("{ \"ul_tags\" : [ \"a b\" , \"c\" ],\n \"constraints\" : "
	                                  "{ \"flags\" : { \"x y\" : [ 1 , 2.50 ] } } }");
	char *text = run(&r);

	ck_assert_ptr_nonnull(strstr(text, "\"ul_tags\":[\"a b\",\"c\"]"));
	ck_assert_ptr_nonnull(strstr(text, "\"flags\":{\"x y\":[1,2.50]}"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sim");
	TCase *t = tcase_create("template");
	SRunner *runner;
	int failed;

	tcase_add_test(t, a_full_seed_gives_the_shard_of_the_contract);
	tcase_add_test(t, what_is_missing_null_or_empty_has_its_default);
	tcase_add_test(t, coherence_is_the_share_of_the_goal_that_was_kept);
	tcase_add_test(t, safety_is_what_the_advisory_rules_leave);
	tcase_add_test(t, weights_are_written_as_short_as_they_can_be);
	tcase_add_test(t, hostile_goals_stay_inside_their_string);
	tcase_add_test(t, what_is_no_object_is_refused_and_nothing_written);
	tcase_add_test(t, flags_and_tags_are_copied_without_white_space);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
