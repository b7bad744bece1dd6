/*
 * test_service_waits.c - a call that waits for its job always ends, once, and with the truth
 *
 * The claim is held from outside, as another collector would, so that the
 * test decides what happens to it and when.
 */
#include "service_fixture.h"

static struct lane lane;
static const struct claims *alice;
static struct job job;
static uint64_t claim;

static void open_held(const struct lane_setup *setup)
{
	lane_open(&lane, setup);
	alice = lane_claims(&lane, &(struct who){.scopes = ALL_SCOPES});
	schedule_as(&lane, alice, SIMPLE, &job);
	claim = claim_take(&lane, &job, 600000);
}

static void setup_held(void)
{
	open_held(&(struct lane_setup){.store = NULL});
}

static void setup_impatient(void)
{
	open_held(&(struct lane_setup){.request_timeout_ms = 3});
}

static void teardown(void)
{
	claims_let_go(alice);
	lane_close(&lane);
}

static void start_wait(struct ask *a, operation *op, int64_t wait_s)
{
	ask_init(a, &lane, alice);
	a->call.wait_s = wait_s;
	ask_start(a, &lane, op, job.body);
}

static int64_t now_ms(void)
{
	return clock_mono_ms(&clock_system);
}

static void check_status(const struct ask *a, const char *want)
{
	json_t *body = ask_body(a);
	ck_assert_str_eq(json_string_value(json_object_get(body, "status")), want);
	json_decref(body);
}

/* ---- what ends a wait ---- */

START_TEST(a_collect_answers_as_soon_as_the_other_one_is_done)
{
	struct ask a;
	start_wait(&a, service_collect, 60);
	ck_assert(!ask_wait(&a, 100));
	int64_t begun = now_ms();
	ck_assert_int_eq(claim_finish(&lane, &job, claim), STORE_OK);
	ck_assert(ask_wait(&a, 5000));
	ck_assert_int_lt(now_ms() - begun, 2000);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(!a.call.reply.unfinished);
	ck_assert_int_eq(a.call.reply.waited_s, 60);
	check_status(&a, "complete");
	ask_free(&a);
}
END_TEST

START_TEST(a_collect_takes_over_what_the_other_one_gave_back)
{
	struct ask a;
	start_wait(&a, service_collect, 60);
	ck_assert_int_eq(claim_give_back(&lane, &job, claim), STORE_OK);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_NONE);
	check_status(&a, "complete");
	/* what was staged first is what is published */
	json_t *body = ask_body(&a);
	json_t *shard = json_array_get(json_object_get(body, "shards"), 0);
	ck_assert_uint_eq(json_object_size(shard), 1);
	json_decref(body);
	ck_assert_int_eq(lane_documents(&lane), 1);
	ask_free(&a);
}
END_TEST

START_TEST(a_wait_that_runs_out_says_running)
{
	struct ask a;
	int64_t begun = now_ms();
	start_wait(&a, service_collect, _i);
	ck_assert(ask_wait(&a, 5000));
	int64_t took = now_ms() - begun;
	ck_assert_msg(took >= _i * 1000 - 5 && took < _i * 1000 + 1500, "%lld ms", (long long)took);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(a.call.reply.unfinished);
	ck_assert_int_eq(a.call.reply.waited_s, _i);
	ck_assert_str_eq(a.call.trace_id, job.trace_id);
	check_status(&a, "running");
	ask_free(&a);
}
END_TEST

START_TEST(more_than_60_seconds_count_as_60)
{
	struct ask a;
	start_wait(&a, service_collect, 3600);
	ck_assert_int_eq(claim_finish(&lane, &job, claim), STORE_OK);
	ck_assert(ask_wait(&a, 5000));
	ck_assert_int_eq(a.call.reply.waited_s, 60);
	ask_free(&a);
}
END_TEST

START_TEST(a_cancel_waits_and_reports_the_outcome)
{
	struct ask a;
	start_wait(&a, service_cancel, -1);
	ck_assert(!ask_wait(&a, 50));
	ck_assert_int_eq(_i ? claim_finish(&lane, &job, claim) : claim_give_back(&lane, &job, claim), STORE_OK);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_NONE);
	check_status(&a, _i ? "complete" : "cancelled");
	ck_assert_int_eq(job_state(&lane, &job), _i ? JOB_COMPLETE : JOB_CANCELLED);
	ask_free(&a);
}
END_TEST

START_TEST(a_cancel_whose_wait_runs_out_is_told_to_come_again)
{
	struct ask a;
	start_wait(&a, service_cancel, -1);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_INBOX_UNAVAILABLE);
	ck_assert_int_eq(job_state(&lane, &job), JOB_RUNNING);
	ask_free(&a);
}
END_TEST

/* ---- the token meanwhile ---- */

START_TEST(a_token_that_is_revoked_while_it_waits_gets_401)
{
	struct ask a;
	start_wait(&a, _i ? service_collect : service_cancel, 60);
	lane_revoke(&lane, "j\n");
	ck_assert_int_eq(claim_give_back(&lane, &job, claim), STORE_OK);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_INVALID_TOKEN);
	ck_assert_int_eq(a.call.reply.verdict, TOKEN_REVOKED);
	ck_assert(!a.call.reply.token_expired);
	ck_assert_int_eq(job_state(&lane, &job), JOB_SCHEDULED);
	ck_assert_int_eq(lane_documents(&lane), 0);
	ask_free(&a);
}
END_TEST

START_TEST(a_token_that_expires_while_it_waits_gets_401)
{
	struct ask a;
	start_wait(&a, service_collect, 60);
	atomic_store(&lane.clock.ahead_ms, 3600001);
	/* the job has gone with the token: both are an hour old */
	store_sweep(lane.store.inner);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_INVALID_TOKEN);
	ck_assert(a.call.reply.token_expired);
	ask_free(&a);
}
END_TEST

/* ---- the end of the service ---- */

START_TEST(stopping_ends_every_wait)
{
	static struct ask asks[200];
	for (size_t i = 0; i < 200; i++)
		start_wait(&asks[i], i % 2 ? service_collect : service_cancel, 60);
	int64_t begun = now_ms();
	service_stop(lane.service);
	for (size_t i = 0; i < 200; i++) {
		ck_assert_msg(ask_wait(&asks[i], 4000), "wait %zu did not end", i);
		ck_problem(&asks[i], PROBLEM_SHUTTING_DOWN);
		ask_free(&asks[i]);
	}
	ck_assert_int_lt(now_ms() - begun, 3000);
}
END_TEST

START_TEST(a_stopped_service_does_not_wait_any_more)
{
	struct ask a;
	service_stop(lane.service);
	start_wait(&a, service_collect, 60);
	ck_assert_int_eq(a.ended, 1);
	ck_problem(&a, PROBLEM_SHUTTING_DOWN);
	ask_free(&a);
	start_wait(&a, service_cancel, 60);
	ck_assert_int_eq(a.ended, 1);
	ck_problem(&a, PROBLEM_SHUTTING_DOWN);
	ask_free(&a);
	service_stop(lane.service); /* twice is fine */
}
END_TEST

/* ---- a deadline that comes while the watch is being set ---- */

/* Setting the watch is slow, so that the deadline comes before it; and the
 * deadline, if it looks for the watch then, goes on only when the waiter has
 * returned. Each waits for the other a while, not for ever: they may well keep
 * out of each other's way. */
#define A_WHILE_MS 300

static struct {
	atomic_bool looked, returned;
	atomic_int looks;
} slow;

static void wait_a_while(const atomic_bool *what)
{
	for (int i = 0; i < A_WHILE_MS && !atomic_load(what); i++)
		sleep_ms(1);
}

static bool slow_watch(void *ctx, struct store *inner, struct store_watch *w)
{
	(void)ctx;
	wait_a_while(&slow.looked);
	return store_watch(inner, w);
}

static bool slow_unwatch(void *ctx, struct store *inner, struct store_watch *w)
{
	(void)ctx;
	bool first = atomic_fetch_add(&slow.looks, 1) == 0;
	bool out = store_unwatch(inner, w);
	if (first) {
		atomic_store(&slow.looked, true);
		wait_a_while(&slow.returned);
	}
	return out;
}

START_TEST(a_deadline_that_overtakes_the_watch_is_not_lost)
{
	struct ask a;
	open_held(&(struct lane_setup){.request_timeout_ms = 20,
	                               .hooks = {.watch = slow_watch, .unwatch = slow_unwatch}});
	start_wait(&a, service_collect, -1);
	atomic_store(&slow.returned, true);
	ck_assert_msg(ask_wait(&a, 2000), "the wait has no end any more");
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(a.call.reply.unfinished);
	ask_free(&a);
	teardown();
}
END_TEST

/* ---- deadlines against wakes, stops against waits ---- */

#define WAITERS 6

START_TEST(a_deadline_and_a_wake_at_the_same_moment_end_the_wait_once)
{
	static struct ask asks[WAITERS];
	unsigned finished = 0, unfinished = 0;
	for (int round = 0; round < 800; round++) {
		for (size_t i = 0; i < WAITERS; i++)
			start_wait(&asks[i], i ? service_collect : service_cancel, -1);
		usleep((useconds_t)(2000 + round % 40 * 50));
		ck_assert_int_eq(claim_finish(&lane, &job, claim), STORE_OK);
		for (size_t i = 0; i < WAITERS; i++) {
			ck_assert_msg(ask_wait(&asks[i], 10000), "round %d, wait %zu", round, i);
			if (i == 0) {
				ck_assert(asks[i].call.reply.problem == PROBLEM_NONE ||
				          asks[i].call.reply.problem == PROBLEM_INBOX_UNAVAILABLE);
			} else {
				ck_problem(&asks[i], PROBLEM_NONE);
				*(asks[i].call.reply.unfinished ? &unfinished : &finished) += 1;
				check_status(&asks[i], asks[i].call.reply.unfinished ? "running" : "complete");
			}
			ask_free(&asks[i]);
		}
		schedule_as(&lane, alice, SIMPLE, &job);
		claim = claim_take(&lane, &job, 600000);
	}
	ck_assert_uint_gt(finished, 0);
	ck_assert_uint_gt(unfinished, 0);
}
END_TEST

struct starter {
	pthread_t thread;
	pthread_barrier_t *barrier;
	struct ask ask;
	useconds_t delay_us;
};

static void *starter_run(void *arg)
{
	struct starter *s = arg;
	ask_init(&s->ask, &lane, alice);
	s->ask.call.wait_s = 60;
	pthread_barrier_wait(s->barrier);
	for (volatile unsigned spin = 0; spin < s->delay_us; spin++)
		continue;
	ask_start(&s->ask, &lane, service_collect, job.body);
	return NULL;
}

START_TEST(a_wait_that_begins_while_the_service_stops_ends_too)
{
	static struct starter starters[4];
	pthread_barrier_t barrier;
	for (int round = 0; round < 150; round++) {
		if (round)
			setup_held();
		ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 5), 0);
		for (size_t i = 0; i < 4; i++) {
			starters[i].barrier = &barrier;
			starters[i].delay_us = (useconds_t)(round * 7 % 50 * (int)(i + 1) * 10);
			ck_assert_int_eq(pthread_create(&starters[i].thread, NULL, starter_run, &starters[i]), 0);
		}
		pthread_barrier_wait(&barrier);
		usleep((useconds_t)(round % 5 * 3));
		service_stop(lane.service);
		for (size_t i = 0; i < 4; i++) {
			pthread_join(starters[i].thread, NULL);
			ck_assert_msg(ask_wait(&starters[i].ask, 5000), "round %d: the stop was not seen", round);
			ck_problem(&starters[i].ask, PROBLEM_SHUTTING_DOWN);
			ask_free(&starters[i].ask);
		}
		pthread_barrier_destroy(&barrier);
		if (round < 149)
			teardown();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_waits");
	TCase *t = tcase_create("waits"), *quick = tcase_create("impatient"), *own = tcase_create("overtaken");
	suite_add_tcase(s, t);
	suite_add_tcase(s, quick);
	suite_add_tcase(s, own);
	tcase_set_timeout(t, 120);
	tcase_set_timeout(quick, 180);
	tcase_set_timeout(own, 30);
	tcase_add_checked_fixture(t, setup_held, teardown);
	tcase_add_checked_fixture(quick, setup_impatient, teardown);
	tcase_add_test(t, a_collect_answers_as_soon_as_the_other_one_is_done);
	tcase_add_test(t, a_collect_takes_over_what_the_other_one_gave_back);
	tcase_add_loop_test(t, a_wait_that_runs_out_says_running, 0, 2);
	tcase_add_test(t, more_than_60_seconds_count_as_60);
	tcase_add_loop_test(t, a_cancel_waits_and_reports_the_outcome, 0, 2);
	tcase_add_loop_test(t, a_token_that_is_revoked_while_it_waits_gets_401, 0, 2);
	tcase_add_test(t, a_token_that_expires_while_it_waits_gets_401);
	tcase_add_test(t, stopping_ends_every_wait);
	tcase_add_test(t, a_stopped_service_does_not_wait_any_more);
	tcase_add_test(t, a_wait_that_begins_while_the_service_stops_ends_too);
	tcase_add_test(quick, a_cancel_whose_wait_runs_out_is_told_to_come_again);
	tcase_add_test(quick, a_deadline_and_a_wake_at_the_same_moment_end_the_wait_once);
	tcase_add_test(own, a_deadline_that_overtakes_the_watch_is_not_lost);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
