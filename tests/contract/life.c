/*
 * life - a job lives ttl_ms from its creation, whatever happens to it
 */
#include "harness.h"

static void check_gone(struct rig *r, const struct draft *d, uint64_t claim)
{
	struct answer a;

	ck_status(try_read(r, d->job_id), STORE_NOT_FOUND);
	ck_status(try_begin(r, d->job_id, NULL), STORE_NOT_FOUND);
	ck_status(try_release(r, d->job_id, claim), STORE_NOT_FOUND);
	ck_status(try_finish(r, d->job_id, claim), STORE_NOT_FOUND);
	ck_status(try_fail(r, d->job_id, claim), STORE_NOT_FOUND);
	ck_status(try_fail(r, d->job_id, 0), STORE_NOT_FOUND);
	ck_status(try_cancel(r, d->job_id), STORE_NOT_FOUND);
	ask_trace(r, d->trace_id, &a);
	ck_status(a.status, STORE_NOT_FOUND);
	answer_free(&a);
	watch_too_late(r, d->job_id, 1);
}

/* What is done to a job on its way must not move its end. */
static uint64_t lead_life(struct rig *r, const struct draft *d, int way)
{
	uint64_t claim = 1;

	switch (way) {
	case 1:
		ck_status(try_begin(r, d->job_id, &claim), STORE_OK);
		break;
	case 2:
		ck_status(try_begin(r, d->job_id, &claim), STORE_OK);
		ck_status(try_release(r, d->job_id, claim), STORE_OK);
		break;
	case 3:
		ck_status(try_begin(r, d->job_id, &claim), STORE_OK);
		ck_status(try_finish(r, d->job_id, claim), STORE_OK);
		break;
	case 4:
		ck_status(try_fail(r, d->job_id, 0), STORE_OK);
		break;
	case 5:
		ck_status(try_cancel(r, d->job_id), STORE_OK);
		break;
	default:
		break;
	}
	return claim;
}

START_TEST(a_job_ends_at_its_time_in_whatever_state)
{
	for (int way = 0; way < 6; way++) {
		uint64_t claim;
		struct draft d;
		struct rig r;

		rig_open(&r, _i, 1000, 0);
		draft_make(&r, &d);
		d.c.ttl_ms = 3000;
		ck_status(try_create(&r, &d), STORE_OK);
		pass_ms(&r, 1000);
		claim = lead_life(&r, &d, way);
		pass_ms(&r, 1999);
		ck_status(try_read(&r, d.job_id), STORE_OK);
		expect_depth(&r, way < 3);
		pass_ms(&r, 1);
		check_gone(&r, &d, claim);
		expect_depth(&r, 0);
		sweep(&r);
		check_gone(&r, &d, claim);
		expect_depth(&r, 0);
		rig_close(&r);
	}
}
END_TEST

/* However many have ended at once, and before anything was swept. */
START_TEST(none_of_many_that_have_ended_is_found)
{
	enum { JOBS = 2000 };
	struct draft *d = calloc(JOBS, sizeof(*d));
	struct rig r;

	ck_assert_ptr_nonnull(d);
	rig_open(&r, _i, JOBS, 0);
	for (unsigned i = 0; i < JOBS; i++) {
		draft_make(&r, &d[i]);
		draft_key(&d[i], i, 1);
		d[i].c.ttl_ms = 1000;
	}
	create_many(&r, d, JOBS);
	pass_ms(&r, 1000);
	for (int i = JOBS - 1; i >= 0; i -= 40)
		check_gone(&r, &d[i], 1);
	for (unsigned i = 0; i < JOBS; i++) {
		draft_make(&r, &d[i]);
		draft_key(&d[i], i, 2);
	}
	create_many(&r, d, JOBS);
	expect_depth(&r, JOBS);
	rig_close(&r);
	free(d);
}
END_TEST

/* Without a sweep: depth itself must know. */
START_TEST(depth_is_exact_while_jobs_of_all_ttls_end)
{
	enum { JOBS = 3000, STEPS = 100, STEP_MS = 100 };
	unsigned random = 1;
	int alive[STEPS + 1] = {0};
	struct draft *d = calloc(JOBS, sizeof(*d));
	struct rig r;

	ck_assert_ptr_nonnull(d);
	rig_open(&r, _i, 0, 0);
	for (int i = 0; i < JOBS; i++) {
		int step;

		random = random * 1103515245u + 12345u;
		step = 1 + (int)(random >> 16) % STEPS;
		draft_make(&r, &d[i]);
		d[i].c.ttl_ms = step * STEP_MS;
		for (int k = 0; k < step; k++)
			alive[k]++;
	}
	create_many(&r, d, JOBS);
	for (int step = 0; step <= STEPS; step++) {
		expect_depth(&r, alive[step]);
		pass_ms(&r, STEP_MS - 1);
		expect_depth(&r, alive[step]);
		pass_ms(&r, 1);
	}
	rig_close(&r);
	free(d);
}
END_TEST

START_TEST(ids_and_keys_are_free_again_after_the_end)
{
	struct draft d, next;
	struct answer a;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	draft_key(&d, 1, 1);
	d.c.ttl_ms = 1000;
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_create(&r, &d), STORE_REPLAYED);
	pass_ms(&r, 1000);

	/* the key first, with another body; then ids, once swept */
	draft_make(&r, &next);
	draft_key(&next, 1, 2);
	ck_status(try_create(&r, &next), STORE_OK);
	sweep(&r);
	ask_create(&r, &next, &a);
	ck_status(a.status, STORE_REPLAYED);
	ck_assert_str_eq(a.job.job_id, next.job_id);
	answer_free(&a);
	d.c.key_digest = NULL;
	ck_status(try_create(&r, &d), STORE_OK);
	expect_depth(&r, 2);
	rig_close(&r);
}
END_TEST

START_TEST(a_key_replays_its_job_as_long_as_that_lives)
{
	struct draft d, again, other;
	struct answer a;
	uint64_t claim;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	draft_key(&d, 1, 1);
	ck_status(try_create(&r, &d), STORE_OK);
	draft_make(&r, &again);
	draft_key(&again, 1, 1);
	ask_create(&r, &again, &a);
	ck_status(a.status, STORE_REPLAYED);
	ck_assert_str_eq(a.job.job_id, d.job_id);
	ck_assert_str_eq(a.job.trace_id, d.trace_id);
	answer_free(&a);
	ck_status(try_read(&r, again.job_id), STORE_NOT_FOUND);

	/* another body, another key, none */
	draft_make(&r, &other);
	draft_key(&other, 1, 2);
	ck_status(try_create(&r, &other), STORE_MISMATCH);
	draft_key(&other, 2, 1);
	ck_status(try_create(&r, &other), STORE_OK);
	draft_make(&r, &other);
	ck_status(try_create(&r, &other), STORE_OK);
	expect_depth(&r, 3);

	ck_status(try_begin(&r, d.job_id, &claim), STORE_OK);
	ck_status(try_finish(&r, d.job_id, claim), STORE_OK);
	pass_ms(&r, TTL_MS - 1);
	ask_create(&r, &again, &a);
	ck_status(a.status, STORE_REPLAYED);
	ck_state(a.job.state, JOB_COMPLETE);
	answer_free(&a);
	rig_close(&r);
}
END_TEST

/* Only what was created holds its key. */
START_TEST(a_refused_creation_leaves_its_key_free)
{
	struct draft d, first;
	struct rig r;

	rig_open(&r, _i, 1, 0);
	draft_make(&r, &first);
	ck_status(try_create(&r, &first), STORE_OK);
	draft_make(&r, &d);
	draft_key(&d, 5, 1);
	ck_status(try_create(&r, &d), STORE_FULL);
	d.c.job_id = first.job_id;
	ck_status(try_create(&r, &d), STORE_EXISTS);
	ck_status(try_cancel(&r, first.job_id), STORE_OK);
	d.c.job_id = d.job_id;
	draft_key(&d, 5, 2);
	ck_status(try_create(&r, &d), STORE_OK);
	rig_close(&r);
}
END_TEST

START_TEST(a_clock_that_goes_back_breaks_nothing)
{
	struct draft early, late;
	uint64_t claim;
	struct answer a;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &late);
	draft_key(&late, 1, 1);
	ck_status(try_create(&r, &late), STORE_OK);
	wall_pass_ms(&r, -10 * TTL_MS);
	draft_make(&r, &early);
	ck_status(try_create(&r, &early), STORE_OK);
	expect_depth(&r, 2);
	ck_status(try_create(&r, &late), STORE_REPLAYED);

	/* a claim is measured on the clock that cannot go back, where there is one */
	ck_status(try_begin(&r, late.job_id, &claim), STORE_OK);
	ask_read(&r, "default", late.job_id, &a);
	ck_assert_int_ge(a.job.updated_ms, a.job.created_ms);
	answer_free(&a);
	if (!r.subject->wall_claims)
		wall_pass_ms(&r, -TTL_MS);
	pass_ms(&r, CLAIM_MS);
	ck_status(try_begin(&r, late.job_id, &claim), STORE_OK);

	/* swept at a later time, asked for at an earlier one: gone is gone */
	wall_pass_ms(&r, 20 * TTL_MS);
	sweep(&r);
	wall_pass_ms(&r, -20 * TTL_MS);
	ck_status(try_read(&r, late.job_id), STORE_NOT_FOUND);
	expect_depth(&r, 0);
	ck_status(try_create(&r, &late), STORE_OK);
	rig_close(&r);
}
END_TEST

START_TEST(extreme_times_to_live_and_claims_are_borne)
{
	struct answer a;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	d.c.ttl_ms = INT64_MAX;
	ck_status(try_create(&r, &d), STORE_OK);
	ask_begin(&r, "default", d.job_id, span_of("[]"), INT64_MAX, &a);
	ck_status(a.status, STORE_OK);
	answer_free(&a);
	pass_ms(&r, INT64_C(86400000) * 10000);
	ck_status(try_cancel(&r, d.job_id), STORE_BUSY);
	expect_depth(&r, 1);
	rig_close(&r);
}
END_TEST

static void live_and_end(struct rig *r, struct draft *d, unsigned n)
{
	static const char blank[700];
	struct tally t = {.asked = 0};

	for (unsigned i = 0; i < n; i++) {
		draft_make(r, &d[i]);
		d[i].c.seed = (struct span){blank, 500};
		if (i % 2)
			draft_key(&d[i], i, 1);
	}
	create_many(r, d, n);
	for (unsigned i = 0; i < n; i += 3)
		store_begin(r->store, "default", d[i].job_id, (struct span){blank, sizeof(blank)}, CLAIM_MS, tally_done,
		            tally_ask(&t));
	tally_check(&t, STORE_OK);
	for (unsigned i = 1; i < n; i += 3)
		store_cancel(r->store, "default", d[i].job_id, tally_done, tally_ask(&t));
	tally_check(&t, STORE_OK);
	pass_ms(r, 2 * TTL_MS + 1);
	expect_depth(r, 0);
}

/* An engine may take its time, and its room for the most that there was. */
START_TEST(what_has_ended_leaves_nothing_behind)
{
	enum { JOBS = 3000, ROUNDS = 4 };
	struct draft *d = calloc(JOBS, sizeof(*d));
	int64_t limit;
	struct rig r;

	ck_assert_ptr_nonnull(d);
	rig_open(&r, _i, 0, 0);
	limit = rig_footprint(&r);
	for (int round = 0; round < ROUNDS; round++) {
		live_and_end(&r, d, JOBS);
		if (round == 0 && !r.subject->server)
			limit = rig_footprint(&r) + rig_footprint(&r) / 2;
		for (int i = 0; i < 2000 && rig_footprint(&r) > limit; i++) {
			sweep(&r);
			sleep_ms(1);
		}
		ck_assert_int_le(rig_footprint(&r), limit);
	}
	rig_close(&r);
	free(d);
}
END_TEST

TCase *case_life(void)
{
	TCase *t = tcase_create("life");
	int n = subject_count();

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, a_job_ends_at_its_time_in_whatever_state, 0, n);
	tcase_add_loop_test(t, none_of_many_that_have_ended_is_found, 0, n);
	tcase_add_loop_test(t, depth_is_exact_while_jobs_of_all_ttls_end, 0, n);
	tcase_add_loop_test(t, ids_and_keys_are_free_again_after_the_end, 0, n);
	tcase_add_loop_test(t, a_key_replays_its_job_as_long_as_that_lives, 0, n);
	tcase_add_loop_test(t, a_refused_creation_leaves_its_key_free, 0, n);
	tcase_add_loop_test(t, a_clock_that_goes_back_breaks_nothing, 0, n);
	tcase_add_loop_test(t, what_has_ended_leaves_nothing_behind, 0, n);
	tcase_add_loop_test(t, extreme_times_to_live_and_claims_are_borne, 0, n);
	return t;
}
