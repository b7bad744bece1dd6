/* test_service_shape.c - what is wrong with a body, and the pointer (RFC 6901) to where */
#include "service_fixture.h"

static struct lane lane;
static const struct claims *alice;

static void setup(void)
{
	lane_open(&lane, &(struct lane_setup){.store = NULL});
	alice = lane_claims(&lane, &(struct who){.scopes = ALL_SCOPES});
}

static void teardown(void)
{
	claims_let_go(alice);
	lane_close(&lane);
}

#define RESULT ",\"result\":{\"trace_id\":\"t\",\"shards\":[{}]}}"

static const struct {
	operation *op;
	const char *body;
	enum problem problem;
	const char *pointer;
} wrong[] = {
        /* schedule: the root */
        {service_schedule, "[]", PROBLEM_INVALID_REQUEST, ""},
        {service_schedule, "{}", PROBLEM_INVALID_REQUEST, "/seed"},
        {service_schedule, "{\"seeds\":{}}", PROBLEM_INVALID_REQUEST, "/seeds"},
        {service_schedule, "{\"seed\":{},\"ttl\":1000}", PROBLEM_INVALID_REQUEST, "/ttl"},
        {service_schedule, "{\"seed\":{},\"a/b~c\":1}", PROBLEM_INVALID_REQUEST, "/a~1b~0c"},
        {service_schedule, "{\"seed\":{},\"\":1}", PROBLEM_INVALID_REQUEST, "/"},
        {service_schedule, "{\"seed\":{},\"\\u00e9\":1}", PROBLEM_INVALID_REQUEST, "/\xc3\xa9"},
        {service_schedule, "{\"seed\":{},\"job_id\":\"JOB-0123456789ab\"}", PROBLEM_INVALID_REQUEST, "/job_id"},
        /* ttl_ms */
        {service_schedule, "{\"seed\":{},\"ttl_ms\":999}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":3600001}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":-1}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":1000.0}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":1e3}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":\"1000\"}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":true}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{},\"ttl_ms\":9223372036854775807}", PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        /* the seed */
        {service_schedule, "{\"seed\":[]}", PROBLEM_INVALID_SEED, "/seed"},
        {service_schedule, "{\"seed\":null}", PROBLEM_INVALID_SEED, "/seed"},
        {service_schedule, "{\"seed\":\"x\"}", PROBLEM_INVALID_SEED, "/seed"},
        {service_schedule, "{\"seed\":{\"goal\":1}}", PROBLEM_INVALID_SEED, "/seed/goal"},
        {service_schedule, "{\"seed\":{\"goal\":[\"a\"]}}", PROBLEM_INVALID_SEED, "/seed/goal"},
        {service_schedule, "{\"seed\":{\"goal\":false}}", PROBLEM_INVALID_SEED, "/seed/goal"},
        {service_schedule, "{\"seed\":{\"ul_tags\":\"a\"}}", PROBLEM_INVALID_SEED, "/seed/ul_tags"},
        {service_schedule, "{\"seed\":{\"ul_tags\":{}}}", PROBLEM_INVALID_SEED, "/seed/ul_tags"},
        {service_schedule, "{\"seed\":{\"ul_tags\":[1]}}", PROBLEM_INVALID_SEED, "/seed/ul_tags/0"},
        {service_schedule, "{\"seed\":{\"ul_tags\":[\"a\",\"b\",null]}}", PROBLEM_INVALID_SEED, "/seed/ul_tags/2"},
        {service_schedule, "{\"seed\":{\"ul_tags\":[\"a\",[[]],1]}}", PROBLEM_INVALID_SEED, "/seed/ul_tags/1"},
        {service_schedule, "{\"seed\":{\"context\":[]}}", PROBLEM_INVALID_SEED, "/seed/context"},
        {service_schedule, "{\"seed\":{\"ul_tags\":[\"a\"],\"context\":[]}}", PROBLEM_INVALID_SEED, "/seed/context"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"consent\":{\"scopes\":[]}}},\"ttl_ms\":0}",
         PROBLEM_INVALID_REQUEST, "/ttl_ms"},
        {service_schedule, "{\"seed\":{\"constraints\":1}}", PROBLEM_INVALID_SEED, "/seed/constraints"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"flags\":[]}}}", PROBLEM_INVALID_SEED,
         "/seed/constraints/flags"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"budgets\":2}}}", PROBLEM_INVALID_SEED,
         "/seed/constraints/budgets"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"consent\":true}}}", PROBLEM_INVALID_SEED,
         "/seed/constraints/consent"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"consent\":{\"scopes\":\"x\"}}}}", PROBLEM_INVALID_SEED,
         "/seed/constraints/consent/scopes"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"consent\":{\"scopes\":[\"x\",0]}}}}", PROBLEM_INVALID_SEED,
         "/seed/constraints/consent/scopes/1"},
        {service_schedule, "{\"seed\":{\"constraints\":{\"flags\":{},\"consent\":null,\"budgets\":[]}}}",
         PROBLEM_INVALID_SEED, "/seed/constraints/budgets"},
        /* collect and cancel */
        {service_collect, "[\"JOB-0123456789ab\"]", PROBLEM_INVALID_REQUEST, ""},
        {service_collect, "{}", PROBLEM_INVALID_REQUEST, "/job_id"},
        {service_collect, "{\"job_id\":1}", PROBLEM_INVALID_REQUEST, "/job_id"},
        {service_collect, "{\"job_id\":null}", PROBLEM_INVALID_REQUEST, "/job_id"},
        {service_collect, "{\"job_id\":\"JOB-0123456789ab\",\"wait\":3}", PROBLEM_INVALID_REQUEST, "/wait"},
        {service_cancel, "{\"job\":\"JOB-0123456789ab\"}", PROBLEM_INVALID_REQUEST, "/job"},
        {service_cancel, "{\"job_id\":[\"JOB-0123456789ab\"]}", PROBLEM_INVALID_REQUEST, "/job_id"},
        /* inbox */
        {service_inbox, "{}", PROBLEM_INVALID_REQUEST, "/seed"},
        {service_inbox, "{\"seed\":{}}", PROBLEM_INVALID_REQUEST, "/result"},
        {service_inbox, "{\"seed\":{\"goal\":{}}" RESULT, PROBLEM_INVALID_SEED, "/seed/goal"},
        {service_inbox, "{\"seed\":{},\"result\":[]}", PROBLEM_INVALID_REQUEST, "/result"},
        {service_inbox, "{\"seed\":{},\"extra\":1" RESULT, PROBLEM_INVALID_REQUEST, "/extra"},
        {service_inbox, "{\"seed\":{},\"result\":{\"shards\":[{}]}}", PROBLEM_INVALID_REQUEST, "/result/trace_id"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"t\"}}", PROBLEM_INVALID_REQUEST, "/result/shards"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"t\",\"shards\":[]}}", PROBLEM_INVALID_REQUEST,
         "/result/shards"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"t\",\"shards\":{}}}", PROBLEM_INVALID_REQUEST,
         "/result/shards"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"t\",\"shards\":[{},[]]}}", PROBLEM_INVALID_REQUEST,
         "/result/shards/1"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"t\",\"shards\":[{}],\"matada_nodes\":[]}}",
         PROBLEM_INVALID_REQUEST, "/result/matada_nodes"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"../t\",\"shards\":[{}]}}", PROBLEM_INVALID_REQUEST,
         "/result/trace_id"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\".t\",\"shards\":[{}]}}", PROBLEM_INVALID_REQUEST,
         "/result/trace_id"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"a/b\",\"shards\":[{}]}}", PROBLEM_INVALID_REQUEST,
         "/result/trace_id"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"\",\"shards\":[{}]}}", PROBLEM_INVALID_REQUEST,
         "/result/trace_id"},
        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":7,\"shards\":[{}]}}", PROBLEM_INVALID_REQUEST,
         "/result/trace_id"},
};

START_TEST(a_wrong_body_is_refused_with_a_pointer_to_the_fault)
{
	struct ask a;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, wrong[_i].op, wrong[_i].body);
	ck_assert_msg(a.call.reply.problem == wrong[_i].problem, "%s: %s", wrong[_i].body,
	              problem_rows[a.call.reply.problem].code);
	ck_assert(a.call.reply.has_pointer);
	struct span pointer = {a.call.reply.pointer.ptr, a.call.reply.pointer.len};
	ck_assert_msg(span_is(pointer, wrong[_i].pointer), "%s: %.*s, not %s", wrong[_i].body, (int)pointer.len,
	              pointer.ptr ? pointer.ptr : "", wrong[_i].pointer);
	ck_assert_ptr_nonnull(a.call.reply.detail);
	ck_assert_int_eq(lane_documents(&lane), 0);
	ck_assert_int_eq(service_depth(lane.service), 0);
	ask_free(&a);
}
END_TEST

static const char *const right[] = {
        "{\"seed\":{}}",
        "{\"seed\":{\"goal\":null,\"ul_tags\":null,\"constraints\":null,\"context\":null}}",
        "{\"seed\":{\"goal\":\"\",\"ul_tags\":[],\"constraints\":{},\"context\":{}}}",
        "{\"seed\":{\"constraints\":{\"flags\":null,\"consent\":null,\"budgets\":null}}}",
        "{\"seed\":{\"constraints\":{\"flags\":{\"x\":[1]},\"consent\":{\"scopes\":null},\"budgets\":{\"t\":1}}}}",
        "{\"seed\":{\"constraints\":{\"consent\":{\"scopes\":[\"a\"]},\"unknown\":1},\"unknown\":[{}]}}",
        "{\"seed\":{},\"ttl_ms\":1000}",
        "{\"ttl_ms\":3600000,\"seed\":{}}",
};

START_TEST(what_may_be_missing_null_or_unknown_is_accepted)
{
	ck_assert_msg(ask_once(&lane, alice, service_schedule, right[_i]) == PROBLEM_NONE, "%s", right[_i]);
}
END_TEST

/* n tags, all alike; the caller frees it. */
static char *body_of_tags(unsigned n)
{
	struct buf b = BUF_EMPTY;
	buf_text(&b, "{\"seed\":{\"ul_tags\":[");
	for (unsigned i = 0; i < n; i++)
		buf_text(&b, i ? ",\"t\"" : "\"t\"");
	buf_text(&b, "]}}");
	return buf_take(&b, NULL);
}

START_TEST(at_most_256_tags_are_taken)
{
	char *most = body_of_tags(256), *more = body_of_tags(257);
	struct ask a;
	ck_assert_int_eq(ask_once(&lane, alice, service_schedule, most), PROBLEM_NONE);
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_schedule, more);
	ck_problem(&a, PROBLEM_INVALID_SEED);
	ck_assert(span_is((struct span){a.call.reply.pointer.ptr, a.call.reply.pointer.len}, "/seed/ul_tags"));
	ask_free(&a);
	free(most);
	free(more);
}
END_TEST

START_TEST(a_call_that_is_used_again_carries_nothing_over)
{
	struct ask a;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_schedule, "{\"seed\":{\"goal\":1}}");
	ask_reset(&a, &lane, alice);
	ask(&a, &lane, service_schedule, "{\"seed\":{\"goal\":\"delete all\"}}");
	ck_problem(&a, PROBLEM_POLICY_VIOLATION);
	ck_assert(!a.call.reply.has_pointer);
	ck_assert_uint_eq(a.call.reply.pointer.len, 0);
	ask_reset(&a, &lane, alice);
	ask(&a, &lane, service_schedule, SIMPLE);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert_str_eq(a.call.reply.rule, "");
	ck_assert_str_eq(a.call.reply.logged, "");
	json_decref(ask_body(&a));
	ask_free(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_shape");
	TCase *t = tcase_create("shape");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_wrong_body_is_refused_with_a_pointer_to_the_fault, 0,
	                    (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(t, what_may_be_missing_null_or_unknown_is_accepted, 0,
	                    (int)(sizeof(right) / sizeof(right[0])));
	tcase_add_test(t, at_most_256_tags_are_taken);
	tcase_add_test(t, a_call_that_is_used_again_carries_nothing_over);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
