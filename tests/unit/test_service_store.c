/* test_service_store.c - what is answered when store, inbox, token or policy fail in the middle */
#include <fcntl.h>

#include "service_fixture.h"

static struct lane lane;
static const struct claims *alice;
static struct job job;

static void open_lane(const struct lane_setup *setup)
{
	lane_open(&lane, setup);
	alice = lane_claims(&lane, &(struct who){.scopes = ALL_SCOPES});
}

static void close_lane(void)
{
	claims_let_go(alice);
	lane_close(&lane);
}

/* ---- the store that always fails ---- */

START_TEST(a_failing_store_is_503_everywhere)
{
	struct ask a;
	static const struct {
		operation *op;
		const char *body;
	} rows[] = {
	        {service_schedule, SIMPLE},
	        {service_collect, "{\"job_id\":\"JOB-0123456789ab\"}"},
	        {service_cancel, "{\"job_id\":\"JOB-0123456789ab\"}"},
	        {service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"LT-1-00000001\",\"shards\":[{}]}}"},
	};
	open_lane(&(struct lane_setup){.store = "failing"});
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask_init(&a, &lane, alice);
		ask(&a, &lane, rows[i].op, rows[i].body);
		ck_problem(&a, PROBLEM_STORE_UNAVAILABLE);
		ask_free(&a);
	}
	ck_assert_int_eq(service_depth(lane.service), -1);
	ck_assert_uint_eq(service_health(lane.service), 1u << CHECK_STORE);
	ck_assert_int_eq(lane_documents(&lane), 0);
	close_lane();
}
END_TEST

START_TEST(a_key_in_flight_is_409)
{
	struct ask a;
	unsigned in_flight = 0;
	char key[8];
	open_lane(&(struct lane_setup){.store = "failing"});
	ask_init(&a, &lane, alice);
	for (int i = 0; i < 32; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		ask_reset(&a, &lane, alice);
		a.call.idempotency_key = span_of(key);
		ask(&a, &lane, service_schedule, SIMPLE);
		if (a.call.reply.problem == PROBLEM_IDEMPOTENCY_IN_FLIGHT)
			in_flight++;
		else
			ck_problem(&a, PROBLEM_STORE_UNAVAILABLE);
	}
	ck_assert_uint_gt(in_flight, 0);
	ask_free(&a);
	close_lane();
}
END_TEST

START_TEST(a_full_store_is_503_and_has_room_again_after_a_cancel)
{
	struct job more;
	open_lane(&(struct lane_setup){.max_jobs = 1});
	schedule_as(&lane, alice, SIMPLE, &job);
	ck_assert_int_eq(ask_once(&lane, alice, service_schedule, SIMPLE), PROBLEM_STORE_FULL);
	ck_assert_int_eq(ask_once(&lane, alice, service_cancel, job.body), PROBLEM_NONE);
	schedule_as(&lane, alice, SIMPLE, &more);
	close_lane();
}
END_TEST

/* ---- a store that fails at one step ---- */

static struct {
	enum store_op op;
	int times; /* that this operation is refused */
	enum store_status status;
	bool unknown;
	void (*step)(void); /* run at that operation, before it */
} at;

static bool refuse_at(void *ctx, enum store_op op, enum store_status *status, bool *unknown)
{
	(void)ctx;
	if (op != at.op)
		return true;
	if (at.step)
		at.step();
	if (at.times <= 0)
		return true;
	at.times--;
	*status = at.status;
	*unknown = at.unknown;
	return false;
}

static void open_refusing(void)
{
	memset(&at, 0, sizeof(at));
	at.op = STORE_OPS;
	open_lane(&(struct lane_setup){.hooks = {.before = refuse_at}});
}

START_TEST(an_id_that_is_taken_is_drawn_again)
{
	open_refusing();
	at.op = OP_CREATE;
	at.times = 3;
	at.status = STORE_EXISTS;
	schedule_as(&lane, alice, SIMPLE, &job);
	ck_assert_uint_eq(atomic_load(&lane.store.calls[OP_CREATE]), 4);
	at.times = 1000;
	ck_assert_int_eq(ask_once(&lane, alice, service_schedule, SIMPLE), PROBLEM_INTERNAL);
	close_lane();
}
END_TEST

static const enum store_op steps[] = {OP_READ, OP_BEGIN, OP_FINISH};

START_TEST(a_collect_is_503_when_the_store_goes_away_at_any_step)
{
	struct ask a;
	open_refusing();
	schedule_as(&lane, alice, SIMPLE, &job);
	at.op = steps[_i / 2];
	at.times = 1;
	at.status = STORE_UNAVAILABLE;
	at.unknown = _i % 2;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_STORE_UNAVAILABLE);
	ck_assert_int_eq(a.call.reply.detail && strstr(a.call.reply.detail, "unknown"), _i % 2);
	ask_free(&a);
	if (at.op != OP_FINISH) /* there the claim is still held: its fate is the store's */
		ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	close_lane();
}
END_TEST

START_TEST(a_claim_that_was_lost_is_looked_after_and_nothing_is_published_twice)
{
	struct ask a;
	open_refusing();
	schedule_as(&lane, alice, "{\"seed\":{},\"ttl_ms\":3600000}", &job);
	at.op = OP_FINISH;
	at.times = 1;
	at.status = STORE_LOST;
	ask_init(&a, &lane, alice);
	a.call.wait_s = 0; /* the claim itself is still there: do not wait for it */
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(a.call.reply.unfinished);
	ask_free(&a);
	/* once the claim has run out, the next one publishes the shards staged first */
	atomic_store(&lane.clock.ahead_ms, 600000);
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_NONE);
	json_t *body = ask_body(&a), *doc = lane_document(&lane, job.trace_id);
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "shards")), 1);
	ck_assert(json_equal(json_object_get(doc, "shards"), json_object_get(body, "shards")));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(body, "inbox"), "shards_written")), 0);
	json_decref(body);
	json_decref(doc);
	ask_free(&a);
	close_lane();
}
END_TEST

/* ---- the inbox ---- */

START_TEST(a_failed_write_gives_the_job_back)
{
	struct ask a;
	char path[512];
	open_lane(&(struct lane_setup){.store = NULL});
	schedule_as(&lane, alice, SIMPLE, &job);
	/* a document of an unknown version is left alone and the write refused */
	snprintf(path, sizeof(path), "%s/%s.json", lane.inbox_dir, job.trace_id);
	file_put(path, "{\"version\":99,\"tenant\":\"default\"}");
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_INBOX_UNAVAILABLE);
	ck_assert_str_eq(a.call.trace_id, job.trace_id);
	ask_free(&a);
	ck_assert_int_eq(job_state(&lane, &job), JOB_SCHEDULED);
	ck_assert_int_eq(service_depth(lane.service), 1);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	close_lane();
}
END_TEST

/* ---- the token, between two steps ---- */

static void take_away(void)
{
	lane_revoke(&lane, "j\n");
}

static void forgive(void)
{
	lane_revoke(&lane, "");
}

START_TEST(a_token_revoked_before_the_write_gives_the_claim_back)
{
	struct ask a;
	open_refusing();
	schedule_as(&lane, alice, SIMPLE, &job);
	at.op = OP_BEGIN;
	at.step = take_away;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_INVALID_TOKEN);
	ck_assert_int_eq(a.call.reply.verdict, TOKEN_REVOKED);
	ask_free(&a);
	ck_assert_int_eq(job_state(&lane, &job), JOB_SCHEDULED);
	ck_assert_int_eq(lane_documents(&lane), 0);
	close_lane();
}
END_TEST

static void revoke_then_forgive(void)
{
	at.op = OP_RELEASE;
	at.step = forgive;
	take_away();
}

START_TEST(a_token_that_is_good_again_while_the_claim_is_given_back_still_ends_the_call)
{
	struct ask a;
	open_refusing();
	schedule_as(&lane, alice, SIMPLE, &job);
	at.op = OP_BEGIN;
	at.step = revoke_then_forgive;
	ask_init(&a, &lane, alice);
	ask_start(&a, &lane, service_collect, job.body);
	ck_assert_msg(ask_wait(&a, 3000), "the call never ends");
	ck_problem(&a, PROBLEM_INVALID_TOKEN);
	ask_free(&a);
	close_lane();
}
END_TEST

START_TEST(a_token_revoked_while_a_foreign_trace_is_looked_up_writes_nothing)
{
	open_refusing();
	at.op = OP_TRACE;
	at.step = take_away;
	ck_assert_int_eq(
	        ask_once(&lane, alice, service_inbox, "{\"seed\":{},\"result\":{\"trace_id\":\"t\",\"shards\":[{}]}}"),
	        PROBLEM_INVALID_TOKEN);
	ck_assert_int_eq(lane_documents(&lane), 0);
	close_lane();
}
END_TEST

/* ---- the policy, between schedule and collect ---- */

#define POLICY(version_, rule_)                                                                                        \
	"{\"version\":\"" version_ "\",\"limits\":{\"max_goal_chars\":600,\"forbid_node_types\":[]},\"rules\":["       \
	"{\"id\":\"duress\",\"effect\":\"duress\",\"flags\":[\"duress\"]}" rule_ "]}"
#define NO_RIVERS ",{\"id\":\"no-rivers\",\"effect\":\"deny\",\"on\":\"seed\",\"patterns\":[\"river\"]}"
#define CAREFUL   ",{\"id\":\"careful\",\"effect\":\"step-up\",\"on\":\"goal\",\"patterns\":[\"river\"]}"

static void change_policy(const char *text)
{
	struct service_figures before, after;
	service_figures(lane.service, &before);
	file_put(lane.policy_file, text);
	service_reload(lane.service, false);
	service_figures(lane.service, &after);
	ck_assert_uint_eq(after.reloads_failed, before.reloads_failed);
}

static void open_with_policy(void)
{
	open_lane(&(struct lane_setup){.policy = POLICY("1", "")});
	schedule_as(&lane, alice, SIMPLE, &job);
}

START_TEST(a_job_that_no_longer_passes_ends_failed_with_the_rule)
{
	struct ask a;
	open_with_policy();
	change_policy(_i ? POLICY("2", NO_RIVERS) : POLICY("2", CAREFUL));
	for (int again = 0; again < 3; again++) {
		ask_init(&a, &lane, alice);
		ask(&a, &lane, service_collect, job.body);
		ck_problem(&a, PROBLEM_JOB_FAILED);
		ck_assert_str_eq(a.call.reply.rule, _i ? "no-rivers" : "careful");
		ck_assert_str_eq(a.call.trace_id, job.trace_id);
		ask_free(&a);
		if (again == 1)
			change_policy(POLICY("3", "")); /* failed it is and stays */
	}
	ck_assert_int_eq(job_state(&lane, &job), JOB_FAILED);
	ck_assert_int_eq(lane_documents(&lane), 0);
	ck_assert_int_eq(service_depth(lane.service), 0);
	close_lane();
}
END_TEST

START_TEST(a_job_that_still_passes_is_collected_and_one_scheduled_with_step_up_too)
{
	struct job stepped_job;
	const struct claims *stepped;
	open_with_policy();
	stepped = lane_claims(&lane, &(struct who){.stepped_up = true});
	schedule_as(&lane, stepped, SIMPLE, &stepped_job);
	change_policy(POLICY("2", CAREFUL));
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, stepped_job.body), PROBLEM_NONE);
	change_policy(POLICY("3", ""));
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	claims_let_go(stepped);
	close_lane();
}
END_TEST

START_TEST(a_complete_job_is_not_screened_again)
{
	open_with_policy();
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	change_policy(POLICY("2", NO_RIVERS));
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	close_lane();
}
END_TEST

START_TEST(a_broken_file_leaves_the_old_one_in_force_and_is_counted_once)
{
	static const char *const broken[] = {"", "{", "{\"version\":\"2\"", "[]"};
	struct service_figures f;
	open_with_policy();
	for (unsigned i = 0; i < 4; i++) {
		file_put(lane.policy_file, broken[i]);
		service_reload(lane.service, true);
		service_reload(lane.service, true);
		service_figures(lane.service, &f);
		ck_assert_uint_eq(f.reloads_failed, i + 1);
		ck_assert_str_eq(f.policy_version, "1");
	}
	ck_assert_int_eq(unlink(lane.policy_file), 0);
	service_reload(lane.service, true);
	service_figures(lane.service, &f);
	ck_assert_str_eq(f.policy_version, "1");
	file_put(lane.policy_file, POLICY("2", NO_RIVERS));
	service_reload(lane.service, true);
	service_figures(lane.service, &f);
	ck_assert_str_eq(f.policy_version, "2");
	ck_assert_int_eq(ask_once(&lane, alice, service_schedule, SIMPLE), PROBLEM_POLICY_VIOLATION);
	close_lane();
}
END_TEST

START_TEST(revocations_and_keys_are_read_again_and_hold_at_once)
{
	open_with_policy();
	file_put(lane.revoked_file, "sub:alice\n");
	service_reload(lane.service, true);
	ck_assert_int_eq(token_recheck(lane.verifier, alice), TOKEN_REVOKED);
	file_put(lane.revoked_file, "");
	service_reload(lane.service, true);
	ck_assert_int_eq(token_recheck(lane.verifier, alice), TOKEN_VALID);
	file_put(lane.keyring_file, "{\"keys\":[]}");
	service_reload(lane.service, true);
	ck_assert_int_ne(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	close_lane();
}
END_TEST

START_TEST(a_disabled_lane_says_so)
{
	open_lane(&(struct lane_setup){.disabled = true});
	ck_assert(!service_enabled(lane.service));
	close_lane();
}
END_TEST

START_TEST(a_bad_file_at_start_is_named)
{
	struct fault fault = {""};
	open_lane(&(struct lane_setup){.policy = POLICY("1", "")});
	file_put(lane.policy_file, "{\"version\":1}");
	struct service *s = service_new(&(struct service_options){.clock = &lane.clock.clock,
	                                                          .store = &lane.store.store,
	                                                          .inbox = lane.inbox,
	                                                          .verifier = lane.verifier,
	                                                          .timer = lane.timer,
	                                                          .ids = lane.ids,
	                                                          .policy_file = lane.policy_file,
	                                                          .keyring_file = lane.keyring_file},
	                                &fault);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(fault.text, lane.policy_file) != NULL, "%s", fault.text);
	close_lane();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_store");
	TCase *t = tcase_create("failures");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_failing_store_is_503_everywhere);
	tcase_add_test(t, a_key_in_flight_is_409);
	tcase_add_test(t, a_full_store_is_503_and_has_room_again_after_a_cancel);
	tcase_add_test(t, an_id_that_is_taken_is_drawn_again);
	tcase_add_loop_test(t, a_collect_is_503_when_the_store_goes_away_at_any_step, 0, 6);
	tcase_add_test(t, a_claim_that_was_lost_is_looked_after_and_nothing_is_published_twice);
	tcase_add_test(t, a_failed_write_gives_the_job_back);
	tcase_add_test(t, a_token_revoked_before_the_write_gives_the_claim_back);
	tcase_add_test(t, a_token_that_is_good_again_while_the_claim_is_given_back_still_ends_the_call);
	tcase_add_test(t, a_token_revoked_while_a_foreign_trace_is_looked_up_writes_nothing);
	tcase_add_loop_test(t, a_job_that_no_longer_passes_ends_failed_with_the_rule, 0, 2);
	tcase_add_test(t, a_job_that_still_passes_is_collected_and_one_scheduled_with_step_up_too);
	tcase_add_test(t, a_complete_job_is_not_screened_again);
	tcase_add_test(t, a_broken_file_leaves_the_old_one_in_force_and_is_counted_once);
	tcase_add_test(t, revocations_and_keys_are_read_again_and_hold_at_once);
	tcase_add_test(t, a_disabled_lane_says_so);
	tcase_add_test(t, a_bad_file_at_start_is_named);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
