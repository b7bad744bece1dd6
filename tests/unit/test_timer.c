/* test_timer.c - callbacks come once, in order, not before their time, and not after a cancel */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "simlane/clock.h"
#include "simlane/timer.h"

static struct timer *timer;

static void setup(void)
{
	timer = timer_start();
	ck_assert_ptr_nonnull(timer);
}

static void teardown(void)
{
	timer_stop(timer);
}

struct shot {
	struct timer_entry entry; /* the first member */
	int64_t armed_us, delay_ms, fired_us;
	unsigned order;
	atomic_uint fired;
};

static atomic_uint sequence, shots_fired;

static void fire(struct timer_entry *e)
{
	struct shot *s = (struct shot *)e;
	s->fired_us = clock_mono_us(&clock_system);
	s->order = atomic_fetch_add(&sequence, 1);
	atomic_fetch_add(&s->fired, 1);
	atomic_fetch_add(&shots_fired, 1); /* last: who waits for it reads the rest */
}

static void arm(struct shot *s, int64_t delay_ms)
{
	if (!s->entry.position)
		s->entry.fire = fire;
	s->delay_ms = delay_ms;
	s->armed_us = clock_mono_us(&clock_system);
	ck_assert(timer_arm(timer, &s->entry, delay_ms));
}

static void wait_for(unsigned n)
{
	for (int i = 0; i < 10000 && atomic_load(&shots_fired) < n; i++)
		usleep(1000);
	ck_assert_uint_eq(atomic_load(&shots_fired), n);
}

START_TEST(each_fires_once_in_order_and_not_too_early)
{
	static struct shot shots[300];
	unsigned seed = 99;
	for (size_t i = 0; i < 300; i++) {
		seed = seed * 1103515245u + 12345u;
		arm(&shots[i], seed >> 16 & 127);
	}
	wait_for(300);
	for (size_t i = 0; i < 300; i++) {
		ck_assert_uint_eq(atomic_load(&shots[i].fired), 1);
		ck_assert_int_ge(shots[i].fired_us, shots[i].armed_us + shots[i].delay_ms * 1000);
		ck_assert(!timer_cancel(timer, &shots[i].entry));
		for (size_t k = 0; k < i; k++)
			if (shots[k].entry.due_us < shots[i].entry.due_us &&
			    shots[i].armed_us + 1000 < shots[k].entry.due_us)
				ck_assert_uint_lt(shots[k].order, shots[i].order);
	}
}
END_TEST

START_TEST(what_is_cancelled_does_not_fire)
{
	static struct shot shots[200];
	for (size_t i = 0; i < 200; i++)
		arm(&shots[i], 50 + (int64_t)(i * 7 % 50));
	for (size_t i = 0; i < 200; i += 2)
		ck_assert(timer_cancel(timer, &shots[i].entry));
	wait_for(100);
	usleep(50000);
	for (size_t i = 0; i < 200; i++)
		ck_assert_uint_eq(atomic_load(&shots[i].fired), i % 2);
	struct timer_entry never = {.fire = fire};
	ck_assert(!timer_cancel(timer, &never));
}
END_TEST

START_TEST(arming_again_moves_it)
{
	static struct shot early, late;
	arm(&early, 60000);
	arm(&late, 10);
	arm(&late, 60000);
	arm(&early, 5);
	wait_for(1);
	ck_assert_uint_eq(atomic_load(&early.fired), 1);
	usleep(30000);
	ck_assert_uint_eq(atomic_load(&late.fired), 0);
	ck_assert(timer_cancel(timer, &late.entry));
}
END_TEST

START_TEST(a_cancel_in_the_middle_keeps_the_order)
{
	/* the last takes the place of the fourth, and is earlier than its new parent, the second */
	static const int64_t delays[] = {20, 200, 40, 220, 240, 60, 70, 230, 235, 250, 260, 90, 95, 100, 80};
	static struct shot shots[15];
	for (size_t i = 0; i < 15; i++)
		arm(&shots[i], 2 * delays[i]);
	ck_assert(timer_cancel(timer, &shots[3].entry));
	wait_for(14);
	for (size_t i = 0; i < 15; i++)
		for (size_t k = 0; k < i; k++)
			if (i != 3 && k != 3)
				ck_assert_int_eq(shots[k].order < shots[i].order,
				                 shots[k].entry.due_us <= shots[i].entry.due_us);
}
END_TEST

static void again(struct timer_entry *e)
{
	struct shot *s = (struct shot *)e;
	atomic_fetch_add(&shots_fired, 1);
	if (atomic_fetch_add(&s->fired, 1) < 19)
		ck_assert(timer_arm(timer, e, 1));
}

START_TEST(a_callback_may_arm_itself_again)
{
	static struct shot s;
	s.entry.fire = again;
	ck_assert(timer_arm(timer, &s.entry, 0));
	wait_for(20);
}
END_TEST

START_TEST(stopping_drops_what_is_armed)
{
	static struct shot s;
	s.entry.fire = fire;
	struct timer *own = timer_start();
	ck_assert(timer_arm(own, &s.entry, 20));
	timer_stop(own);
	usleep(50000);
	ck_assert_uint_eq(atomic_load(&s.fired), 0);
	timer_stop(NULL);
}
END_TEST

/* ---- arm, cancel and fire against each other ---- */

#define ROUNDS 3000

struct racer {
	pthread_t thread;
	struct shot shots[8];
	unsigned armed, cancelled;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	unsigned seed = (unsigned)(uintptr_t)r;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct shot *s = &r->shots[i % 8];
		/* one that has not fired since it was armed is cancelled, or has just begun to fire */
		if (timer_cancel(timer, &s->entry))
			r->cancelled++;
		seed = seed * 1103515245u + 12345u;
		ck_assert(timer_arm(timer, &s->entry, seed >> 16 & 1));
		r->armed++;
	}
	for (size_t i = 0; i < 8; i++)
		r->cancelled += timer_cancel(timer, &r->shots[i].entry);
	return NULL;
}

static void count_only(struct timer_entry *e)
{
	atomic_fetch_add(&((struct shot *)e)->fired, 1);
}

START_TEST(every_arming_is_either_fired_or_cancelled)
{
	static struct racer racers[4];
	unsigned armed = 0, ended = 0;
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < 8; k++)
			racers[i].shots[k].entry.fire = count_only;
		ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(racers[i].thread, NULL);
	usleep(20000); /* a callback that had begun */
	for (size_t i = 0; i < 4; i++) {
		armed += racers[i].armed;
		ended += racers[i].cancelled;
		for (size_t k = 0; k < 8; k++)
			ended += atomic_load(&racers[i].shots[k].fired);
	}
	ck_assert_uint_eq(armed, ended);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("timer");
	TCase *t = tcase_create("timer");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, each_fires_once_in_order_and_not_too_early);
	tcase_add_test(t, what_is_cancelled_does_not_fire);
	tcase_add_test(t, arming_again_moves_it);
	tcase_add_test(t, a_cancel_in_the_middle_keeps_the_order);
	tcase_add_test(t, a_callback_may_arm_itself_again);
	tcase_add_test(t, stopping_drops_what_is_armed);
	tcase_add_test(t, every_arming_is_either_fired_or_cancelled);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
