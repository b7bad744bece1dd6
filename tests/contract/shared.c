/*
 * shared - several stores open on the same data at once: what is promised of
 * one is promised of all together, or the second is refused
 */
#include "harness.h"

START_TEST(a_job_made_through_one_is_led_on_through_the_other)
{
	struct answer a;
	struct draft d, e;
	struct pair p;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 1000);
	draft_make(&p.one, &d);
	ck_status(try_create(&p.one, &d), STORE_OK);
	ck_status(try_read(&p.two, d.job_id), STORE_OK);
	ask_trace(&p.two, d.trace_id, &a);
	ck_status(a.status, STORE_OK);
	answer_free(&a);
	ask_begin(&p.two, "default", d.job_id, span_of("[2]"), CLAIM_MS, &a);
	ck_status(a.status, STORE_OK);
	answer_free(&a);
	ck_status(try_begin(&p.one, d.job_id, NULL), STORE_BUSY);
	ck_status(try_cancel(&p.one, d.job_id), STORE_BUSY);
	ck_status(try_finish(&p.one, d.job_id, a.claim), STORE_OK);
	ask_begin(&p.two, "default", d.job_id, span_of("[3]"), CLAIM_MS, &a);
	ck_status(a.status, STORE_COMPLETE);
	ck_assert(span_is(a.job.artifacts, "[2]"));
	ck_assert(span_is(a.job.receipt, "{\"file\":\"f\"}"));
	answer_free(&a);

	draft_make(&p.two, &e);
	ck_status(try_create(&p.two, &e), STORE_OK);
	ck_status(try_cancel(&p.one, e.job_id), STORE_OK);
	ck_status(try_begin(&p.two, e.job_id, NULL), STORE_CANCELLED);
	expect_depth(&p.one, 0);
	expect_depth(&p.two, 0);
	pair_close(&p);
}
END_TEST

START_TEST(a_claim_that_lapses_is_taken_over_by_the_other)
{
	uint64_t old, mine;
	struct draft d;
	struct pair p;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 1000);
	draft_make(&p.one, &d);
	ck_status(try_create(&p.one, &d), STORE_OK);
	ck_status(try_begin(&p.one, d.job_id, &old), STORE_OK);
	pass_ms(&p.one, CLAIM_MS - 1);
	ck_status(try_begin(&p.two, d.job_id, &mine), STORE_BUSY);
	pass_ms(&p.one, 1);
	ck_status(try_begin(&p.two, d.job_id, &mine), STORE_OK);
	ck_assert_uint_gt(mine, old);
	ck_status(try_finish(&p.one, d.job_id, old), STORE_LOST);
	ck_status(try_finish(&p.two, d.job_id, mine), STORE_OK);
	pair_close(&p);
}
END_TEST

START_TEST(depth_and_ends_are_those_of_all)
{
	enum { EACH = 50 };
	struct draft d[EACH];
	struct pair p;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 2 * EACH);
	for (int i = 0; i < EACH; i++) {
		draft_make(&p.one, &d[i]);
		d[i].c.ttl_ms = 1000;
	}
	create_many(&p.one, d, EACH);
	for (int i = 0; i < EACH; i++)
		draft_make(&p.two, &d[i]);
	create_many(&p.two, d, EACH);
	expect_depth(&p.one, 2 * EACH);
	expect_depth(&p.two, 2 * EACH);
	draft_make(&p.two, &d[0]);
	ck_status(try_create(&p.two, &d[0]), STORE_FULL);
	pass_ms(&p.one, 1000);
	expect_depth(&p.two, EACH);
	expect_depth(&p.one, EACH);
	ck_status(try_create(&p.one, &d[0]), STORE_OK);
	pair_close(&p);
}
END_TEST

START_TEST(a_key_holds_across_stores)
{
	struct draft d, again;
	struct answer a;
	struct pair p;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 1000);
	draft_make(&p.one, &d);
	draft_key(&d, 1, 1);
	ck_status(try_create(&p.one, &d), STORE_OK);
	draft_make(&p.two, &again);
	draft_key(&again, 1, 1);
	ask_create(&p.two, &again, &a);
	ck_status(a.status, STORE_REPLAYED);
	ck_assert_str_eq(a.job.job_id, d.job_id);
	answer_free(&a);
	draft_key(&again, 1, 2);
	ck_status(try_create(&p.two, &again), STORE_MISMATCH);
	again.c.key_digest = NULL;
	again.c.job_id = d.job_id;
	ck_status(try_create(&p.two, &again), STORE_EXISTS);
	pair_close(&p);
}
END_TEST

/* ---- watches ---- */

START_TEST(a_watch_is_woken_by_a_change_through_the_other)
{
	uint64_t claim = 0, seen;
	struct draft d;
	struct bell b;
	struct pair p;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 1000);
	draft_make(&p.one, &d);
	ck_status(try_create(&p.one, &d), STORE_OK);
	for (int change = 0; change < 4; change++) {
		seen = revision_of(&p.one, d.job_id);
		bell_init(&b, d.job_id, seen);
		ck_assert(store_watch(p.one.store, &b.watch));
		if (change % 2) /* listened to already, or not yet */
			sleep_ms(50);
		ck_assert_uint_eq(bell_rings_now(&b), 0);
		if (change == 0 || change == 2)
			ck_status(try_begin(&p.two, d.job_id, &claim), STORE_OK);
		else if (change == 1)
			ck_status(try_release(&p.two, d.job_id, claim), STORE_OK);
		else
			ck_status(try_finish(&p.two, d.job_id, claim), STORE_OK);
		ck_assert_uint_eq(bell_rings(&b, 1), 1);
		bell_destroy(&b);
		watch_too_late(&p.one, d.job_id, seen);
		watch_too_late(&p.two, d.job_id, seen);
	}
	pair_close(&p);
}
END_TEST

START_TEST(all_who_watch_in_all_stores_are_woken_once)
{
	enum { WATCHES = 100 };
	static struct bell b[WATCHES], others[WATCHES];
	struct draft d, o;
	struct pair p;
	uint64_t seen;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 1000);
	draft_make(&p.one, &d);
	ck_status(try_create(&p.one, &d), STORE_OK);
	seen = revision_of(&p.two, d.job_id);
	for (int i = 0; i < WATCHES; i++) {
		struct rig *r = i % 2 ? &p.one : &p.two;

		bell_init(&b[i], d.job_id, seen);
		ck_assert(store_watch(r->store, &b[i].watch));
		draft_make(&p.one, &o);
		ck_status(try_create(&p.one, &o), STORE_OK);
		bell_init(&others[i], o.job_id, seen);
		ck_assert(store_watch(r->store, &others[i].watch));
	}
	ck_status(try_cancel(&p.two, d.job_id), STORE_OK);
	for (int i = 0; i < WATCHES; i++)
		ck_assert_uint_eq(bell_rings(&b[i], 1), 1);
	sleep_ms(50);
	for (int i = 0; i < WATCHES; i++) {
		ck_assert_uint_eq(bell_rings_now(&b[i]), 1);
		ck_assert_uint_eq(bell_rings_now(&others[i]), 0);
	}
	pair_close(&p);
	for (int i = 0; i < WATCHES; i++)
		ck_assert_uint_eq(bell_rings_now(&others[i]), 1);
}
END_TEST

/* Changes through one, watches through the other, as fast as both can. */
#define STRESS_JOBS    4u
#define STRESS_CHANGES 1000u

struct stress {
	struct pair p;
	struct draft drafts[STRESS_JOBS];
	atomic_uint woken, late;
};

static void change_often(struct stress *s, const char *job_id)
{
	struct rig *r = &s->p.one;
	uint64_t claim;

	for (unsigned i = 0; i < STRESS_CHANGES; i++) {
		ck_status(try_begin(r, job_id, &claim), STORE_OK);
		ck_status(try_release(r, job_id, claim), STORE_OK);
	}
	ck_status(try_begin(r, job_id, &claim), STORE_OK);
	ck_status(try_finish(r, job_id, claim), STORE_OK);
}

static void follow(struct stress *s, const char *job_id)
{
	struct rig *r = &s->p.two;

	for (;;) {
		struct answer a;
		struct bell b;

		ask_read(r, "default", job_id, &a);
		answer_free(&a);
		if (a.job.state == JOB_COMPLETE)
			return;
		bell_init(&b, job_id, a.job.revision);
		if (store_watch(r->store, &b.watch)) {
			ck_assert_msg(bell_rings(&b, 1) == 1, "a wake-up was lost");
			atomic_fetch_add(&s->woken, 1);
		} else {
			atomic_fetch_add(&s->late, 1);
		}
		bell_destroy(&b);
	}
}

static void stress_thread(void *ctx, unsigned index)
{
	struct stress *s = ctx;
	const char *job_id = s->drafts[index % STRESS_JOBS].job_id;

	if (index < STRESS_JOBS)
		change_often(s, job_id);
	else
		follow(s, job_id);
}

START_TEST(no_wake_up_is_lost_between_stores)
{
	static struct stress s;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&s.p, _i, 1000);
	for (unsigned i = 0; i < STRESS_JOBS; i++) {
		draft_make(&s.p.one, &s.drafts[i]);
		ck_status(try_create(&s.p.one, &s.drafts[i]), STORE_OK);
	}
	run_threads(3 * STRESS_JOBS, stress_thread, &s);
	ck_assert_uint_gt(atomic_load(&s.woken), 0);
	pair_close(&s.p);
}
END_TEST

/* ---- apart ---- */

START_TEST(stores_on_other_data_know_nothing_of_each_other)
{
	struct rig here, there;
	struct draft d, keyed;
	struct bell b;

	rig_open(&here, _i, 2, 0);
	rig_open(&there, _i, 2, 0);
	draft_make(&here, &d);
	draft_make(&here, &keyed);
	draft_key(&keyed, 1, 1);
	for (struct rig *r = &here; r; r = r == &here ? &there : NULL) {
		ck_status(try_create(r, &d), STORE_OK);
		ck_status(try_create(r, &keyed), STORE_OK);
		expect_depth(r, 2);
	}
	bell_init(&b, d.job_id, revision_of(&here, d.job_id));
	ck_assert(store_watch(here.store, &b.watch));
	sleep_ms(50);
	ck_status(try_cancel(&there, d.job_id), STORE_OK);
	sleep_ms(50);
	ck_assert_uint_eq(bell_rings_now(&b), 0);
	ck_status(try_read(&here, d.job_id), STORE_OK);
	expect_depth(&here, 2);
	expect_depth(&there, 1);
	ck_status(try_cancel(&here, d.job_id), STORE_OK);
	ck_assert_uint_eq(bell_rings(&b, 1), 1);
	rig_close(&there);
	rig_close(&here);
}
END_TEST

/* ---- one at a time ---- */

START_TEST(the_end_of_one_store_is_not_the_end_of_the_other)
{
	struct draft d;
	struct bell b;
	struct pair p;

	if (!subject_at(_i)->shared)
		return;
	pair_open(&p, _i, 1000);
	draft_make(&p.one, &d);
	ck_status(try_create(&p.one, &d), STORE_OK);
	bell_init(&b, d.job_id, revision_of(&p.two, d.job_id));
	ck_assert(store_watch(p.two.store, &b.watch));
	rig_shut(&p.one);
	sleep_ms(50);
	ck_assert_uint_eq(bell_rings_now(&b), 0);
	ck_status(try_cancel(&p.two, d.job_id), STORE_OK);
	ck_assert_uint_eq(bell_rings(&b, 1), 1);
	rig_reopen(&p.one);
	ck_status(try_cancel(&p.one, d.job_id), STORE_CANCELLED);
	pair_close(&p);
}
END_TEST

START_TEST(a_second_store_on_the_same_data_is_refused)
{
	struct fault fault = {""};
	struct draft d;
	struct rig r;

	if (!subject_at(_i)->exclusive)
		return;
	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_null(store_open(r.subject->name, &r.options, &fault));
		ck_assert_ptr_nonnull(strstr(fault.text, "jobs.db"));
		ck_status(try_read(&r, d.job_id), STORE_OK);
	}
	ck_status(try_cancel(&r, d.job_id), STORE_OK);
	rig_reopen(&r);
	ck_status(try_cancel(&r, d.job_id), STORE_CANCELLED);
	rig_close(&r);
}
END_TEST

TCase *case_shared(void)
{
	TCase *t = tcase_create("shared");
	int n = subject_count();

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, a_job_made_through_one_is_led_on_through_the_other, 0, n);
	tcase_add_loop_test(t, a_claim_that_lapses_is_taken_over_by_the_other, 0, n);
	tcase_add_loop_test(t, depth_and_ends_are_those_of_all, 0, n);
	tcase_add_loop_test(t, a_key_holds_across_stores, 0, n);
	tcase_add_loop_test(t, a_watch_is_woken_by_a_change_through_the_other, 0, n);
	tcase_add_loop_test(t, all_who_watch_in_all_stores_are_woken_once, 0, n);
	tcase_add_loop_test(t, no_wake_up_is_lost_between_stores, 0, n);
	tcase_add_loop_test(t, stores_on_other_data_know_nothing_of_each_other, 0, n);
	tcase_add_loop_test(t, the_end_of_one_store_is_not_the_end_of_the_other, 0, n);
	tcase_add_loop_test(t, a_second_store_on_the_same_data_is_refused, 0, n);
	return t;
}
