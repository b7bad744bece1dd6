/*
 * restart - a store that keeps its jobs keeps all of them, whole
 */
#include "harness.h"

static void check_same_bytes(struct span a, struct span b)
{
	ck_assert(span_equal(a, b));
	ck_assert_int_eq(a.ptr != NULL, b.ptr != NULL);
}

static void check_same(const struct answer *a, const struct answer *b)
{
	const struct job_view *v = &a->job, *w = &b->job;

	ck_status(a->status, b->status);
	ck_assert(a->has_job && b->has_job);
	ck_assert_str_eq(v->job_id, w->job_id);
	ck_assert_str_eq(v->trace_id, w->trace_id);
	ck_assert_str_eq(v->tenant, w->tenant);
	ck_state(v->state, w->state);
	ck_assert_uint_eq(v->revision, w->revision);
	ck_assert_int_eq(v->created_ms, w->created_ms);
	ck_assert_int_eq(v->updated_ms, w->updated_ms);
	ck_assert_int_eq(v->expires_ms, w->expires_ms);
	ck_assert_uint_eq(v->goal_chars, w->goal_chars);
	ck_assert_str_eq(v->policy_version, w->policy_version);
	ck_assert_uint_eq(v->policy_digest, w->policy_digest);
	ck_assert_int_eq(v->stepped_up, w->stepped_up);
	ck_assert_uint_eq(v->advice, w->advice);
	ck_assert_str_eq(v->traceparent, w->traceparent);
	ck_assert_str_eq(v->failure, w->failure);
	check_same_bytes(v->seed, w->seed);
	check_same_bytes(v->artifacts, w->artifacts);
	check_same_bytes(v->receipt, w->receipt);
}

#define WAYS 6 /* scheduled, released, complete, failed by the holder, failed, cancelled */
#define JOBS (3 * WAYS)

static void lead_on(struct rig *r, const struct draft *d, unsigned i)
{
	static const size_t sizes[] = {0, 17, 70000};
	char *shards = hostile_bytes(sizes[i % 3], i);
	char *receipt = hostile_bytes(sizes[i % 3], i + 1);
	unsigned way = i % WAYS;
	struct answer a;

	if (way >= 1 && way <= 3) {
		ask_begin(r, "default", d->job_id, (struct span){shards, sizes[i % 3]}, CLAIM_MS, &a);
		ck_status(a.status, STORE_OK);
		answer_free(&a);
		pass_ms(r, 7);
		if (way == 1)
			ask_release(r, "default", d->job_id, a.claim, &a);
		else if (way == 2)
			ask_finish(r, "default", d->job_id, a.claim, (struct span){receipt, sizes[i % 3]}, &a);
		else
			ask_fail(r, "default", d->job_id, a.claim, "a-rule", &a);
		ck_status(a.status, STORE_OK);
		answer_free(&a);
	}
	if (way == 4)
		ck_status(try_fail(r, d->job_id, 0), STORE_OK);
	if (way == 5)
		ck_status(try_cancel(r, d->job_id), STORE_OK);
	free(shards);
	free(receipt);
}

static void make_job(struct rig *r, struct draft *d, unsigned i)
{
	static const size_t sizes[] = {0, 33, 90000};
	char *seed = hostile_bytes(sizes[i % 3], i);

	draft_make(r, d);
	d->c.seed = (struct span){seed, sizes[i % 3]};
	d->c.goal_chars = i * 1000;
	d->c.stepped_up = i % 2;
	if (i % 3)
		d->c.advice = UINT64_MAX - i;
	if (i % 4)
		d->c.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	draft_key(d, i, 1);
	ck_status(try_create(r, d), STORE_OK);
	free(seed);
	d->c.seed = span_of("{}"); /* not looked at when it is replayed */
	pass_ms(r, 3);
	lead_on(r, d, i);
}

START_TEST(everything_is_there_again_after_a_restart)
{
	struct draft d[JOBS], other;
	struct answer before[JOBS], after;
	int64_t depth;
	struct rig r;

	if (!subject_at(_i)->durable)
		return;
	rig_open(&r, _i, 1000, 0);
	for (unsigned i = 0; i < JOBS; i++) {
		make_job(&r, &d[i], i);
		ask_read(&r, "default", d[i].job_id, &before[i]);
	}
	depth = JOBS / WAYS * 2;
	expect_depth(&r, depth);
	for (int restart = 0; restart < 2; restart++) {
		rig_reopen(&r);
		expect_depth(&r, depth);
		for (unsigned i = 0; i < JOBS; i++) {
			ask_read(&r, "default", d[i].job_id, &after);
			check_same(&after, &before[i]);
			answer_free(&after);
			ask_trace(&r, d[i].trace_id, &after);
			check_same(&after, &before[i]);
			answer_free(&after);
		}
	}

	/* keys and ids are as taken as before */
	for (unsigned i = 0; i < JOBS; i++) {
		draft_make(&r, &other);
		draft_key(&other, i, 2);
		ck_status(try_create(&r, &other), STORE_MISMATCH);
		draft_key(&other, i, 1);
		ask_create(&r, &other, &after);
		ck_status(after.status, STORE_REPLAYED);
		after.status = STORE_OK;
		check_same(&after, &before[i]);
		answer_free(&after);
		draft_make(&r, &other);
		other.c.job_id = d[i].job_id;
		ck_status(try_create(&r, &other), STORE_EXISTS);
		draft_make(&r, &other);
		other.c.trace_id = d[i].trace_id;
		ck_status(try_create(&r, &other), STORE_EXISTS);
		answer_free(&before[i]);
	}
	expect_depth(&r, depth);
	rig_close(&r);
}
END_TEST

/* Whether a claim of the store that was closed is still live differs; that two
 * claims never both publish does not. */
START_TEST(claims_are_fenced_across_a_restart)
{
	uint64_t released, old, mine = 0;
	struct draft d;
	struct answer a;
	struct rig r;

	if (!subject_at(_i)->durable)
		return;
	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_begin(&r, d.job_id, &released), STORE_OK);
	ck_status(try_release(&r, d.job_id, released), STORE_OK);
	rig_reopen(&r);
	ck_status(try_begin(&r, d.job_id, &old), STORE_OK);
	ck_assert_uint_gt(old, released);
	rig_reopen(&r);
	if (r.subject->claims_stay) {
		ck_status(try_begin(&r, d.job_id, &mine), STORE_BUSY);
		pass_ms(&r, CLAIM_MS);
	}
	ck_status(try_begin(&r, d.job_id, &mine), STORE_OK);
	ck_assert_uint_gt(mine, old);
	ck_status(try_finish(&r, d.job_id, old), STORE_LOST);
	ck_status(try_release(&r, d.job_id, old), STORE_LOST);
	ck_status(try_finish(&r, d.job_id, released), STORE_LOST);
	ask_read(&r, "default", d.job_id, &a);
	ck_state(a.job.state, JOB_RUNNING);
	ck_assert(span_is(a.job.artifacts, "[{\"index\":0}]"));
	answer_free(&a);
	ck_status(try_finish(&r, d.job_id, mine), STORE_OK);
	rig_reopen(&r);
	ck_status(try_finish(&r, d.job_id, mine), STORE_LOST);
	ck_status(try_cancel(&r, d.job_id), STORE_COMPLETE);
	rig_close(&r);
}
END_TEST

/* Its holder may be alive: it published, or nobody has. */
START_TEST(what_was_begun_before_a_restart_can_end_after_it)
{
	uint64_t claim;
	enum store_status status;
	struct draft d;
	struct rig r;

	if (!subject_at(_i)->durable)
		return;
	for (int way = 0; way < 3; way++) {
		rig_open(&r, _i, 1000, 0);
		draft_make(&r, &d);
		ck_status(try_create(&r, &d), STORE_OK);
		ck_status(try_begin(&r, d.job_id, &claim), STORE_OK);
		rig_reopen(&r);
		expect_depth(&r, 1);
		if (way == 0)
			status = try_finish(&r, d.job_id, claim);
		else if (way == 1)
			status = try_fail(&r, d.job_id, claim);
		else
			status = try_release(&r, d.job_id, claim);
		ck_assert(status == STORE_OK || status == STORE_LOST);
		if (status == STORE_LOST || way == 2) {
			ck_status(try_cancel(&r, d.job_id), STORE_OK);
			ck_status(try_finish(&r, d.job_id, claim), STORE_LOST);
		}
		expect_depth(&r, 0);
		rig_close(&r);
	}
}
END_TEST

START_TEST(time_passes_while_a_store_is_closed)
{
	struct draft d, lasting, next;
	struct rig r;

	if (!subject_at(_i)->durable)
		return;
	rig_open(&r, _i, 2, 0);
	draft_make(&r, &d);
	draft_key(&d, 1, 1);
	d.c.ttl_ms = 1000;
	ck_status(try_create(&r, &d), STORE_OK);
	draft_make(&r, &lasting);
	ck_status(try_create(&r, &lasting), STORE_OK);
	rig_shut(&r);
	pass_ms(&r, 1000);
	rig_reopen(&r);
	ck_status(try_read(&r, d.job_id), STORE_NOT_FOUND);
	ck_status(try_read(&r, lasting.job_id), STORE_OK);
	draft_make(&r, &next);
	draft_key(&next, 1, 2);
	ck_status(try_create(&r, &next), STORE_OK);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_FULL);
	expect_depth(&r, 2);
	rig_close(&r);
}
END_TEST

START_TEST(many_jobs_survive_many_restarts)
{
	enum { ROUNDS = 10, EACH = 1000 };
	struct draft *d = calloc((size_t)ROUNDS * EACH, sizeof(*d));
	struct tally t = {.asked = 0};
	struct rig r;

	if (!subject_at(_i)->durable) {
		free(d);
		return;
	}
	ck_assert_ptr_nonnull(d);
	rig_open(&r, _i, 0, 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < EACH; i++)
			draft_make(&r, &d[round * EACH + i]);
		create_many(&r, &d[round * EACH], EACH);
		rig_reopen(&r);
		expect_depth(&r, (int64_t)(round + 1) * EACH);
	}
	for (unsigned i = 0; i < ROUNDS * EACH; i++)
		store_read(r.store, "default", d[i].job_id, tally_done, tally_ask(&t));
	tally_check(&t, STORE_OK);
	rig_close(&r);
	free(d);
}
END_TEST

TCase *case_restart(void)
{
	TCase *t = tcase_create("restart");
	int n = subject_count();

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, everything_is_there_again_after_a_restart, 0, n);
	tcase_add_loop_test(t, claims_are_fenced_across_a_restart, 0, n);
	tcase_add_loop_test(t, what_was_begun_before_a_restart_can_end_after_it, 0, n);
	tcase_add_loop_test(t, time_passes_while_a_store_is_closed, 0, n);
	tcase_add_loop_test(t, many_jobs_survive_many_restarts, 0, n);
	return t;
}
