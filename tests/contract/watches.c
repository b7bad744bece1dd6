/*
 * watches - whoever waits for a change is woken by it, once, and never misses it
 */
#include "harness.h"

static void setup(struct rig *r, int subject, struct draft *d)
{
	rig_open(r, subject, 1000, 0);
	draft_make(r, d);
	ck_status(try_create(r, d), STORE_OK);
}

/* Each change wakes, exactly once, whoever has seen the state before it. */
START_TEST(every_change_wakes_once)
{
	uint64_t claim = 0, seen;
	struct bell b;
	struct draft d;
	struct rig r;

	setup(&r, _i, &d);
	for (int change = 0; change < 4; change++) {
		seen = revision_of(&r, d.job_id);
		bell_init(&b, d.job_id, seen);
		ck_assert(store_watch(r.store, &b.watch));
		ck_status(try_read(&r, d.job_id), STORE_OK);
		ck_status(try_finish(&r, d.job_id, claim + 77), STORE_LOST);
		ck_assert_uint_eq(bell_rings_now(&b), 0);
		switch (change) {
		case 0:
		case 2:
			ck_status(try_begin(&r, d.job_id, &claim), STORE_OK);
			break;
		case 1:
			ck_status(try_release(&r, d.job_id, claim), STORE_OK);
			break;
		default:
			ck_status(try_finish(&r, d.job_id, claim), STORE_OK);
			break;
		}
		ck_assert_uint_eq(bell_rings(&b, 1), 1);
		ck_assert(!store_unwatch(r.store, &b.watch));

		watch_too_late(&r, d.job_id, seen);
		ck_assert_uint_eq(bell_rings_now(&b), 1);
	}
	rig_close(&r);
}
END_TEST

START_TEST(cancel_and_fail_wake_too)
{
	struct bell b;
	struct draft d;
	struct rig r;

	setup(&r, _i, &d);
	bell_init(&b, d.job_id, revision_of(&r, d.job_id));
	ck_assert(store_watch(r.store, &b.watch));
	ck_status(try_cancel(&r, d.job_id), STORE_OK);
	ck_assert_uint_eq(bell_rings(&b, 1), 1);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	bell_init(&b, d.job_id, revision_of(&r, d.job_id));
	ck_assert(store_watch(r.store, &b.watch));
	ck_status(try_fail(&r, d.job_id, 0), STORE_OK);
	ck_assert_uint_eq(bell_rings(&b, 1), 1);
	rig_close(&r);
}
END_TEST

START_TEST(a_watch_taken_out_is_not_woken)
{
	struct bell b[5];
	struct draft d;
	struct rig r;

	setup(&r, _i, &d);
	for (int i = 0; i < 5; i++) {
		bell_init(&b[i], d.job_id, 1);
		b[i].watch.seen_revision = revision_of(&r, d.job_id);
		ck_assert(store_watch(r.store, &b[i].watch));
	}
	/* from the middle, the head and the tail */
	ck_assert(store_unwatch(r.store, &b[2].watch));
	ck_assert(store_unwatch(r.store, &b[4].watch));
	ck_assert(store_unwatch(r.store, &b[0].watch));
	ck_assert(!store_unwatch(r.store, &b[2].watch));
	ck_status(try_cancel(&r, d.job_id), STORE_OK);
	for (int i = 1; i < 5; i += 2)
		ck_assert_uint_eq(bell_rings(&b[i], 1), 1);
	for (int i = 0; i < 5; i += 2)
		ck_assert_uint_eq(bell_rings_now(&b[i]), 0);
	rig_close(&r);
}
END_TEST

START_TEST(a_watch_of_another_job_is_left_alone)
{
	enum { OTHERS = 500 };
	static struct bell others[OTHERS];
	struct bell b;
	struct draft d, o;
	struct rig r;

	setup(&r, _i, &d);
	bell_init(&b, d.job_id, revision_of(&r, d.job_id));
	for (int i = 0; i < OTHERS; i++) {
		draft_make(&r, &o);
		ck_status(try_create(&r, &o), STORE_OK);
		bell_init(&others[i], o.job_id, revision_of(&r, o.job_id));
		ck_assert(store_watch(r.store, &others[i].watch));
	}
	ck_assert(store_watch(r.store, &b.watch));
	ck_status(try_cancel(&r, d.job_id), STORE_OK);
	ck_assert_uint_eq(bell_rings(&b, 1), 1);
	for (int i = 0; i < OTHERS; i++) {
		ck_assert_uint_eq(bell_rings_now(&others[i]), 0);
		ck_assert(store_unwatch(r.store, &others[i].watch));
	}
	rig_close(&r);
}
END_TEST

START_TEST(the_end_of_a_job_wakes)
{
	struct bell b;
	struct draft d;
	uint64_t seen;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	d.c.ttl_ms = 1000;
	ck_status(try_create(&r, &d), STORE_OK);
	seen = revision_of(&r, d.job_id);
	bell_init(&b, d.job_id, seen);
	ck_assert(store_watch(r.store, &b.watch));
	pass_ms(&r, 1000);
	bell_rings_at_the_end(&r, &b);
	watch_too_late(&r, d.job_id, seen);
	rig_close(&r);
}
END_TEST

START_TEST(a_watch_of_no_job_is_refused)
{
	struct bell b;
	struct draft d;
	struct rig r;

	setup(&r, _i, &d);
	watch_too_late(&r, "JOB-0000000000ff", 1);
	bell_init(&b, "", 1);
	ck_assert(!store_watch(r.store, &b.watch));
	memset(b.watch.job_id, 'x', sizeof(b.watch.job_id));
	ck_assert(!store_watch(r.store, &b.watch));
	ck_assert(!store_unwatch(r.store, &b.watch));
	rig_close(&r);
}
END_TEST

START_TEST(closing_wakes_everybody)
{
	enum { WATCHES = 200 };
	static struct bell b[WATCHES];
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	for (int i = 0; i < WATCHES; i++) {
		draft_make(&r, &d);
		ck_status(try_create(&r, &d), STORE_OK);
		bell_init(&b[i], d.job_id, revision_of(&r, d.job_id));
		ck_assert(store_watch(r.store, &b[i].watch));
	}
	rig_close(&r);
	for (int i = 0; i < WATCHES; i++)
		ck_assert_uint_eq(bell_rings(&b[i], 1), 1);
}
END_TEST

/* Workers change a few jobs as fast as they can; watchers follow each from
 * revision to revision. A wake-up that is lost leaves a watcher waiting for a
 * job that has come to its end. */
#define STRESS_JOBS    4u
#define STRESS_THREADS 8u
#define STRESS_CHANGES 2000u

struct stress {
	struct rig *r;
	struct draft drafts[STRESS_JOBS];
	atomic_uint woken, refused, taken_out;
};

static void work(struct stress *s, unsigned job)
{
	const char *job_id = s->drafts[job].job_id;
	uint64_t claim;

	for (unsigned i = 0; i < STRESS_CHANGES; i++) {
		ck_status(try_begin(s->r, job_id, &claim), STORE_OK);
		ck_status(try_release(s->r, job_id, claim), STORE_OK);
	}
	ck_status(try_begin(s->r, job_id, &claim), STORE_OK);
	ck_status(try_finish(s->r, job_id, claim), STORE_OK);
}

static void follow(struct stress *s, unsigned job, bool restless)
{
	const char *job_id = s->drafts[job].job_id;
	struct answer a;
	bool complete = false;

	for (unsigned i = 0; !complete; i++) {
		struct bell b;

		ask_read(s->r, "default", job_id, &a);
		answer_free(&a);
		complete = a.job.state == JOB_COMPLETE;
		if (complete)
			break;
		bell_init(&b, job_id, a.job.revision);
		if (!store_watch(s->r->store, &b.watch)) {
			atomic_fetch_add(&s->refused, 1);
		} else if (restless && i % 2 && store_unwatch(s->r->store, &b.watch)) {
			atomic_fetch_add(&s->taken_out, 1);
		} else {
			ck_assert_msg(bell_rings(&b, 1) == 1, "a wake-up was lost");
			atomic_fetch_add(&s->woken, 1);
		}
		bell_destroy(&b);
	}
}

static void stress_thread(void *ctx, unsigned index)
{
	if (index < STRESS_JOBS)
		work(ctx, index);
	else
		follow(ctx, index % STRESS_JOBS, index % 2);
}

START_TEST(no_wake_up_is_lost_under_stress)
{
	struct stress s = {.r = NULL};
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	s.r = &r;
	for (unsigned i = 0; i < STRESS_JOBS; i++) {
		draft_make(&r, &s.drafts[i]);
		ck_status(try_create(&r, &s.drafts[i]), STORE_OK);
	}
	run_threads(STRESS_JOBS + STRESS_THREADS, stress_thread, &s);
	ck_assert_uint_gt(atomic_load(&s.woken), 0);
	rig_close(&r);
}
END_TEST

/* A waiter whose deadline comes while it is registering, and the change at the
 * same time: it is woken exactly when it was registered and not taken out. */
struct meeting {
	struct rig *r;
	struct draft draft;
	struct bell bell;
	bool watched, taken_out;
};

static void meet(void *ctx, unsigned index)
{
	struct meeting *m = ctx;

	if (index == 0)
		m->watched = store_watch(m->r->store, &m->bell.watch);
	else if (index == 1)
		m->taken_out = store_unwatch(m->r->store, &m->bell.watch);
	else
		ck_status(try_cancel(m->r, m->draft.job_id), STORE_OK);
}

START_TEST(watch_unwatch_and_change_may_meet)
{
	struct meeting m = {.watched = false};
	struct rig r;

	rig_open(&r, _i, 0, 0);
	m.r = &r;
	for (int round = 0; round < 500; round++) {
		draft_make(&r, &m.draft);
		ck_status(try_create(&r, &m.draft), STORE_OK);
		bell_init(&m.bell, m.draft.job_id, revision_of(&r, m.draft.job_id));
		run_threads(3, meet, &m);
		ck_assert(m.watched || !m.taken_out);
		if (m.watched && !m.taken_out)
			ck_assert_uint_eq(bell_rings(&m.bell, 1), 1);
		else
			ck_assert_uint_eq(bell_rings_now(&m.bell), 0);
		ck_assert(!store_unwatch(r.store, &m.bell.watch));
		bell_destroy(&m.bell);
	}
	rig_close(&r);
}
END_TEST

TCase *case_watches(void)
{
	TCase *t = tcase_create("watches");
	int n = subject_count();

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, every_change_wakes_once, 0, n);
	tcase_add_loop_test(t, cancel_and_fail_wake_too, 0, n);
	tcase_add_loop_test(t, a_watch_taken_out_is_not_woken, 0, n);
	tcase_add_loop_test(t, a_watch_of_another_job_is_left_alone, 0, n);
	tcase_add_loop_test(t, the_end_of_a_job_wakes, 0, n);
	tcase_add_loop_test(t, a_watch_of_no_job_is_refused, 0, n);
	tcase_add_loop_test(t, closing_wakes_everybody, 0, n);
	tcase_add_loop_test(t, watch_unwatch_and_change_may_meet, 0, n);
	tcase_add_loop_test(t, no_wake_up_is_lost_under_stress, 0, n);
	return t;
}
