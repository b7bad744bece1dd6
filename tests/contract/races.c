/*
 * races - what several threads do at once happens in some order, once
 */
#include "harness.h"

#define THREADS 16

struct race {
	struct rig *r;
	struct draft drafts[THREADS];
	struct answer answers[THREADS];
	bool cancels; /* odd threads cancel instead of beginning */
};

static unsigned count(const struct race *race, enum store_status status)
{
	unsigned n = 0;

	for (unsigned i = 0; i < THREADS; i++)
		n += race->answers[i].status == status;
	return n;
}

static void race_clear(struct race *race)
{
	for (unsigned i = 0; i < THREADS; i++)
		answer_free(&race->answers[i]);
}

static void begin_or_cancel(void *ctx, unsigned index)
{
	struct race *race = ctx;
	const char *job_id = race->drafts[0].job_id;

	if (race->cancels && index % 2)
		ask_cancel(race->r, "default", job_id, &race->answers[index]);
	else
		ask_begin(race->r, "default", job_id, span_of("[]"), CLAIM_MS, &race->answers[index]);
}

START_TEST(of_many_begins_one_wins)
{
	struct race race = {.cancels = false};
	struct rig r;

	rig_open(&r, _i, 0, 0);
	race.r = &r;
	for (int round = 0; round < 100; round++) {
		draft_make(&r, &race.drafts[0]);
		ck_status(try_create(&r, &race.drafts[0]), STORE_OK);
		run_threads(THREADS, begin_or_cancel, &race);
		ck_assert_uint_eq(count(&race, STORE_OK), 1);
		ck_assert_uint_eq(count(&race, STORE_BUSY), THREADS - 1);
		race_clear(&race);
	}
	rig_close(&r);
}
END_TEST

START_TEST(begin_and_cancel_never_both_win)
{
	struct race race = {.cancels = true};
	struct rig r;

	rig_open(&r, _i, 0, 0);
	race.r = &r;
	for (int round = 0; round < 100; round++) {
		draft_make(&r, &race.drafts[0]);
		ck_status(try_create(&r, &race.drafts[0]), STORE_OK);
		run_threads(THREADS, begin_or_cancel, &race);
		ck_assert_uint_eq(count(&race, STORE_OK), 1);
		/* after a begin all are busy, after a cancel all are told so */
		ck_assert(count(&race, STORE_BUSY) == THREADS - 1 || count(&race, STORE_CANCELLED) == THREADS - 1);
		race_clear(&race);
	}
	rig_close(&r);
}
END_TEST

static void create_own(void *ctx, unsigned index)
{
	struct race *race = ctx;

	ask_create(race->r, &race->drafts[index], &race->answers[index]);
}

START_TEST(of_many_creations_with_one_key_one_creates)
{
	struct race race = {.cancels = false};
	struct rig r;

	rig_open(&r, _i, 0, 0);
	race.r = &r;
	for (unsigned round = 0; round < 100; round++) {
		const char *winner = NULL;

		for (unsigned i = 0; i < THREADS; i++) {
			draft_make(&r, &race.drafts[i]);
			draft_key(&race.drafts[i], round, 1);
		}
		run_threads(THREADS, create_own, &race);
		ck_assert_uint_eq(count(&race, STORE_OK), 1);
		ck_assert_uint_eq(count(&race, STORE_REPLAYED) + count(&race, STORE_IN_FLIGHT), THREADS - 1);
		for (unsigned i = 0; i < THREADS; i++) {
			if (race.answers[i].status == STORE_OK)
				winner = race.answers[i].job.job_id;
		}
		for (unsigned i = 0; i < THREADS; i++) {
			if (race.answers[i].has_job)
				ck_assert_str_eq(race.answers[i].job.job_id, winner);
		}
		race_clear(&race);
	}
	expect_depth(&r, 100);
	rig_close(&r);
}
END_TEST

START_TEST(of_many_creations_with_one_id_one_creates)
{
	struct race race = {.cancels = false};
	struct rig r;

	rig_open(&r, _i, 0, 0);
	race.r = &r;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < THREADS; i++) {
			draft_make(&r, &race.drafts[i]);
			if (round % 2)
				race.drafts[i].c.job_id = race.drafts[0].job_id;
			else
				race.drafts[i].c.trace_id = race.drafts[0].trace_id;
		}
		run_threads(THREADS, create_own, &race);
		ck_assert_uint_eq(count(&race, STORE_OK), 1);
		ck_assert_uint_eq(count(&race, STORE_EXISTS), THREADS - 1);
		race_clear(&race);
	}
	expect_depth(&r, 100);
	rig_close(&r);
}
END_TEST

START_TEST(the_limit_holds_however_many_come_at_once)
{
	enum { MAX = 5 };
	struct race race = {.cancels = false};
	struct rig r;

	rig_open(&r, _i, MAX, 0);
	race.r = &r;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < THREADS; i++)
			draft_make(&r, &race.drafts[i]);
		run_threads(THREADS, create_own, &race);
		ck_assert_uint_eq(count(&race, STORE_OK), MAX);
		ck_assert_uint_eq(count(&race, STORE_FULL), THREADS - MAX);
		expect_depth(&r, MAX);
		for (unsigned i = 0; i < THREADS; i++) {
			if (race.answers[i].has_job)
				ck_status(try_cancel(&r, race.drafts[i].job_id), STORE_OK);
		}
		race_clear(&race);
	}
	rig_close(&r);
}
END_TEST

/* Threads that create, begin, read and look by trace a few keyed jobs while
 * the time runs and the sweeper works: nothing may be seen torn or freed. */
struct churn {
	struct rig *r;
	atomic_uint created, replayed;
};

static void churn_once(struct churn *churn, unsigned i)
{
	struct rig *r = churn->r;
	enum store_status status;
	struct answer a;
	struct draft d;

	draft_make(r, &d);
	draft_key(&d, i % 7, 1);
	d.c.ttl_ms = 1000 + i % 5;
	ask_create(r, &d, &a);
	status = a.status;
	ck_assert_msg(status == STORE_OK || status == STORE_REPLAYED || status == STORE_IN_FLIGHT, "%s",
	              store_status_name(status));
	if (a.has_job) {
		struct answer b;
		struct span seed = span_of("{\"goal\":\"g\"}");

		atomic_fetch_add(status == STORE_OK ? &churn->created : &churn->replayed, 1);
		ask_begin(r, "default", a.job.job_id, span_of("[7]"), 1, &b);
		if (b.has_job)
			ck_assert(span_equal(b.job.seed, seed) && span_is(b.job.artifacts, "[7]"));
		answer_free(&b);
		ask_trace(r, a.job.trace_id, &b);
		if (b.has_job)
			ck_assert_str_eq(b.job.job_id, a.job.job_id);
		answer_free(&b);
		ask_read(r, "default", a.job.job_id, &b);
		if (b.has_job)
			ck_assert(span_equal(b.job.seed, seed));
		answer_free(&b);
	}
	answer_free(&a);
}

static void churn_thread(void *ctx, unsigned index)
{
	struct churn *churn = ctx;

	for (unsigned i = 0; i < 4000; i++) {
		if (index == 0) {
			pass_ms(churn->r, 50);
			store_sweep(churn->r->store);
			ck_assert_int_ge(store_depth(churn->r->store), 0);
			ck_assert_int_le(store_depth(churn->r->store), 7);
		} else {
			churn_once(churn, i);
		}
	}
}

START_TEST(jobs_that_end_while_they_are_used_are_whole_or_gone)
{
	struct rig r;
	struct churn churn = {.r = &r};

	rig_open(&r, _i, 0, 0);
	run_threads(6, churn_thread, &churn);
	ck_assert_uint_gt(atomic_load(&churn.created), 7);
	ck_assert_uint_gt(atomic_load(&churn.replayed), 7);
	pass_ms(&r, 2000);
	expect_depth(&r, 0);
	rig_close(&r);
}
END_TEST

TCase *case_races(void)
{
	TCase *t = tcase_create("races");
	int n = subject_count();

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, of_many_begins_one_wins, 0, n);
	tcase_add_loop_test(t, begin_and_cancel_never_both_win, 0, n);
	tcase_add_loop_test(t, of_many_creations_with_one_key_one_creates, 0, n);
	tcase_add_loop_test(t, of_many_creations_with_one_id_one_creates, 0, n);
	tcase_add_loop_test(t, the_limit_holds_however_many_come_at_once, 0, n);
	tcase_add_loop_test(t, jobs_that_end_while_they_are_used_are_whole_or_gone, 0, n);
	return t;
}
