/*
 * test_store_watchers - who is woken by what, once, and nobody is forgotten
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/store/watchers.h"

#define HERE  "JOB-0000000000ab"
#define SAME  "JOB-ffffffffffab" /* of the same slot */
#define OTHER "JOB-0000000000ac"

struct bell {
	struct store_watch watch; /* the first member */
	atomic_uint rings;
};

static void ring(struct store_watch *w)
{
	atomic_fetch_add(&((struct bell *)w)->rings, 1);
}

static struct watchers ws;

static void setup(void)
{
	ck_assert_int_eq(watchers_init(&ws), 0);
}

static void teardown(void)
{
	watchers_destroy(&ws);
}

static void draft(struct bell *b, const char *job_id, uint64_t seen)
{
	memset(b, 0, sizeof(*b));
	b->watch.wake = ring;
	b->watch.seen_revision = seen;
	strcpy(b->watch.job_id, job_id);
}

static void add(struct bell *b, const char *job_id, uint64_t seen)
{
	draft(b, job_id, seen);
	ck_assert(watchers_add(&ws, &b->watch));
}

static unsigned rings(struct bell *b)
{
	return atomic_load(&b->rings);
}

START_TEST(the_slot_of_a_job_is_the_last_byte_of_its_id)
{
	ck_assert_uint_eq(watchers_slot(HERE), 0xab);
	ck_assert_uint_eq(watchers_slot(SAME), 0xab);
	ck_assert_uint_eq(watchers_slot("JOB-123456789000"), 0);
	ck_assert_uint_eq(watchers_slot("JOB-1234567890ff"), WATCH_SLOTS - 1);
}
END_TEST

START_TEST(a_change_wakes_whoever_has_seen_less_and_nobody_else)
{
	struct bell b[6];

	for (unsigned i = 0; i < 4; i++)
		add(&b[i], HERE, i + 1);
	add(&b[4], SAME, 1);
	add(&b[5], OTHER, 1);
	watchers_changed(&ws, HERE, 3);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(rings(&b[i]), i < 2);

	/* a notice that comes late, or again, wakes nobody */
	watchers_changed(&ws, HERE, 2);
	watchers_changed(&ws, HERE, 3);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(rings(&b[i]), i < 2);
	watchers_changed(&ws, HERE, 5);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(rings(&b[i]), i < 4);
}
END_TEST

START_TEST(a_look_wakes_whoever_has_not_seen_exactly_this)
{
	struct bell b[4];

	for (unsigned i = 0; i < 3; i++)
		add(&b[i], HERE, i + 1);
	add(&b[3], SAME, 1);
	watchers_looked(&ws, HERE, true, 2, 1000);
	ck_assert_uint_eq(rings(&b[0]), 1);
	ck_assert_uint_eq(rings(&b[1]), 0);
	ck_assert_uint_eq(rings(&b[2]), 1); /* it saw a job of that id that is gone */
	ck_assert_uint_eq(rings(&b[3]), 0);
	watchers_looked(&ws, HERE, false, 0, 0);
	ck_assert_uint_eq(rings(&b[1]), 1);
	ck_assert_uint_eq(rings(&b[3]), 0);
}
END_TEST

START_TEST(what_is_lost_wakes_all_who_wait_for_it)
{
	struct bell b[3], other;

	for (unsigned i = 0; i < 3; i++)
		add(&b[i], HERE, i);
	add(&other, SAME, 1);
	watchers_lost(&ws, HERE);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(rings(&b[i]), 1);
	ck_assert_uint_eq(rings(&other), 0);
	watchers_lost(&ws, HERE);
	ck_assert_uint_eq(rings(&b[0]), 1);
}
END_TEST

START_TEST(what_was_taken_out_is_not_woken)
{
	struct bell b[5];

	for (unsigned i = 0; i < 5; i++)
		add(&b[i], i == 3 ? SAME : HERE, 1);
	/* from the middle, the head and the tail */
	for (unsigned i = 0; i < 5; i += 2) {
		ck_assert(watchers_remove(&ws, &b[i].watch));
		ck_assert(!watchers_remove(&ws, &b[i].watch));
	}
	watchers_changed(&ws, HERE, 2);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(rings(&b[i]), i == 1);
	ck_assert(!watchers_remove(&ws, &b[1].watch));
	ck_assert(watchers_remove(&ws, &b[3].watch));

	/* and may be registered again */
	ck_assert(watchers_add(&ws, &b[0].watch));
	watchers_changed(&ws, HERE, 2);
	ck_assert_uint_eq(rings(&b[0]), 1);
}
END_TEST

START_TEST(what_is_no_id_is_refused)
{
	struct bell b;

	draft(&b, "", 1);
	ck_assert(!watchers_add(&ws, &b.watch));
	ck_assert(!watchers_remove(&ws, &b.watch));
	memset(b.watch.job_id, '0', sizeof(b.watch.job_id)); /* no NUL in it */
	ck_assert(!watchers_add(&ws, &b.watch));
	ck_assert(!watchers_remove(&ws, &b.watch));
}
END_TEST

START_TEST(closing_wakes_everybody_once_and_takes_no_more)
{
	enum { WATCHES = 1000 };
	static struct bell b[WATCHES];
	struct bell late;

	for (unsigned i = 0; i < WATCHES; i++) {
		char job_id[JOB_ID_SIZE];

		job_id_format(i / 2, job_id);
		add(&b[i], job_id, i);
	}
	watchers_close(&ws);
	for (unsigned i = 0; i < WATCHES; i++)
		ck_assert_uint_eq(rings(&b[i]), 1);
	draft(&late, HERE, 1);
	ck_assert(!watchers_add(&ws, &late.watch));
	ck_assert(!watchers_remove(&ws, &late.watch));
	watchers_changed(&ws, HERE, 2);
	ck_assert_uint_eq(rings(&late), 0);
}
END_TEST

static void ring_and_free(struct store_watch *w)
{
	free(w);
}

START_TEST(the_memory_of_a_watch_is_its_owners_as_soon_as_it_is_called)
{
	for (int way = 0; way < 4; way++) {
		if (way == 3) {
			teardown();
			setup();
		}
		for (int i = 0; i < 10; i++) {
			struct bell *b = malloc(sizeof(*b));

			ck_assert_ptr_nonnull(b);
			draft(b, HERE, 1);
			b->watch.wake = ring_and_free;
			ck_assert(watchers_add(&ws, &b->watch));
		}
		if (way == 0)
			watchers_changed(&ws, HERE, 2);
		else if (way == 1)
			watchers_looked(&ws, HERE, true, 2, 0);
		else if (way == 2)
			watchers_lost(&ws, HERE);
		else
			watchers_close(&ws);
		ck_assert(!watchers_any(&ws, watchers_slot(HERE)));
	}
}
END_TEST

START_TEST(a_slot_tells_its_different_jobs)
{
	enum { JOBS = 10 };
	struct bell b[2 * JOBS], other;
	char ids[JOBS + 5][JOB_ID_SIZE];
	unsigned seen = 0;

	ck_assert(!watchers_any(&ws, 0xab));
	ck_assert_uint_eq(watchers_jobs(&ws, 0xab, ids, JOBS), 0);
	for (unsigned i = 0; i < 2 * JOBS; i++) {
		char job_id[JOB_ID_SIZE];

		job_id_format((i / 2 + 1) << 8 | 0xab, job_id);
		add(&b[i], job_id, 1);
	}
	add(&other, OTHER, 1);
	ck_assert(watchers_any(&ws, 0xab));
	ck_assert(!watchers_any(&ws, 0xaa));
	ck_assert_uint_eq(watchers_count(&ws, 0xab), 2 * JOBS);
	ck_assert_uint_eq(watchers_count(&ws, 0xac), 1);
	ck_assert_uint_eq(watchers_count(&ws, 0xaa), 0);
	ck_assert_uint_eq(watchers_jobs(&ws, 0xab, ids, JOBS + 5), JOBS);
	for (unsigned i = 0; i < JOBS; i++) {
		uint64_t bits;

		ck_assert(job_id_parse(span_of(ids[i]), &bits));
		ck_assert_uint_eq(bits & 0xff, 0xab);
		seen |= 1u << (bits >> 8);
	}
	ck_assert_uint_eq(seen, ((1u << JOBS) - 1) << 1);
	ck_assert_uint_eq(watchers_jobs(&ws, 0xab, ids, 3), 3);
	ck_assert_uint_eq(watchers_jobs(&ws, 0xab, ids, 0), 0);
}
END_TEST

START_TEST(those_whose_end_has_come_are_told)
{
	struct bell b[4];
	char ids[8][JOB_ID_SIZE];

	add(&b[0], HERE, 1);
	add(&b[1], HERE, 1);
	add(&b[2], OTHER, 1);
	add(&b[3], SAME, 1); /* never looked at: no end is known */
	ck_assert_uint_eq(watchers_ended(&ws, INT64_MAX - 1, ids, 8), 0);
	watchers_looked(&ws, HERE, true, 1, 5000);
	watchers_looked(&ws, OTHER, true, 1, 6000);
	ck_assert_uint_eq(watchers_ended(&ws, 4999, ids, 8), 0);
	ck_assert_uint_eq(watchers_ended(&ws, 5000, ids, 8), 1);
	ck_assert_str_eq(ids[0], HERE);
	ck_assert_uint_eq(watchers_ended(&ws, 6000, ids, 8), 2);
	ck_assert_uint_eq(watchers_ended(&ws, 6000, ids, 1), 1);
	watchers_lost(&ws, HERE);
	ck_assert_uint_eq(watchers_ended(&ws, 6000, ids, 8), 1);
	ck_assert_str_eq(ids[0], OTHER);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(rings(&b[i]), i < 2);
}
END_TEST

START_TEST(what_could_not_be_looked_at_is_told_until_it_was)
{
	struct bell b, other;
	char ids[8][JOB_ID_SIZE];

	add(&b, HERE, 1);
	add(&other, SAME, 1);
	watchers_looked(&ws, HERE, true, 1, 5000);
	watchers_unsure(&ws, HERE);
	ck_assert_uint_eq(watchers_ended(&ws, 1, ids, 8), 1);
	ck_assert_str_eq(ids[0], HERE);
	ck_assert_uint_eq(watchers_ended(&ws, 1, ids, 8), 1);
	watchers_looked(&ws, HERE, true, 1, 5000);
	ck_assert_uint_eq(watchers_ended(&ws, 1, ids, 8), 0);
	ck_assert_uint_eq(rings(&b), 0);
	ck_assert_uint_eq(rings(&other), 0);
}
END_TEST

/* ---- threads ---- */

#define CHANGES 20000u
#define WAITERS 4u

static _Atomic uint64_t revision;

static void *change(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < CHANGES; i++) {
		uint64_t now = atomic_fetch_add(&revision, 1) + 1;

		watchers_changed(&ws, HERE, now);
	}
	return NULL;
}

/* Registers, then looks, as a store does; takes every other one out again. */
static void *wait_on(void *arg)
{
	struct bell b;
	uint64_t seen;

	(void)arg;
	for (unsigned i = 0; (seen = atomic_load(&revision)) < CHANGES; i++) {
		add(&b, HERE, seen);
		watchers_looked(&ws, HERE, true, atomic_load(&revision), INT64_MAX);
		if (i % 2 && watchers_remove(&ws, &b.watch)) {
			ck_assert_uint_eq(rings(&b), 0);
			continue;
		}
		while (!rings(&b))
			sched_yield();
		ck_assert_uint_eq(rings(&b), 1);
		ck_assert(!watchers_remove(&ws, &b.watch));
	}
	return NULL;
}

START_TEST(no_change_is_missed_however_many_wait)
{
	pthread_t changer, waiters[WAITERS];

	atomic_store(&revision, 0);
	for (unsigned i = 0; i < WAITERS; i++)
		ck_assert_int_eq(pthread_create(&waiters[i], NULL, wait_on, NULL), 0);
	ck_assert_int_eq(pthread_create(&changer, NULL, change, NULL), 0);
	ck_assert_int_eq(pthread_join(changer, NULL), 0);
	/* whoever saw the last but one is woken by the last: a hang is a failure */
	for (unsigned i = 0; i < WAITERS; i++)
		ck_assert_int_eq(pthread_join(waiters[i], NULL), 0);
	ck_assert(!watchers_any(&ws, watchers_slot(HERE)));
}
END_TEST

static void *take_out(void *arg)
{
	return watchers_remove(&ws, arg) ? arg : NULL;
}

static void *close_all(void *arg)
{
	(void)arg;
	watchers_close(&ws);
	return NULL;
}

/* It is woken exactly when it was registered and not taken out. */
START_TEST(add_remove_and_close_may_meet)
{
	for (int round = 0; round < 300; round++) {
		pthread_t remover, closer;
		void *removed;
		struct bell b;
		bool added;

		teardown();
		setup();
		draft(&b, HERE, 1);
		ck_assert_int_eq(pthread_create(&remover, NULL, take_out, &b.watch), 0);
		ck_assert_int_eq(pthread_create(&closer, NULL, close_all, NULL), 0);
		added = watchers_add(&ws, &b.watch);
		ck_assert_int_eq(pthread_join(remover, &removed), 0);
		ck_assert_int_eq(pthread_join(closer, NULL), 0);
		ck_assert(added || !removed);
		ck_assert_uint_eq(rings(&b), added && !removed);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store watchers");
	TCase *t = tcase_create("watchers");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_slot_of_a_job_is_the_last_byte_of_its_id);
	tcase_add_test(t, a_change_wakes_whoever_has_seen_less_and_nobody_else);
	tcase_add_test(t, a_look_wakes_whoever_has_not_seen_exactly_this);
	tcase_add_test(t, what_is_lost_wakes_all_who_wait_for_it);
	tcase_add_test(t, what_was_taken_out_is_not_woken);
	tcase_add_test(t, what_is_no_id_is_refused);
	tcase_add_test(t, closing_wakes_everybody_once_and_takes_no_more);
	tcase_add_test(t, the_memory_of_a_watch_is_its_owners_as_soon_as_it_is_called);
	tcase_add_test(t, a_slot_tells_its_different_jobs);
	tcase_add_test(t, those_whose_end_has_come_are_told);
	tcase_add_test(t, what_could_not_be_looked_at_is_told_until_it_was);
	tcase_add_test(t, no_change_is_missed_however_many_wait);
	tcase_add_test(t, add_remove_and_close_may_meet);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
