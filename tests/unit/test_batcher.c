/* test_batcher.c - order, back-pressure, shutdown with work queued, failing batches, lingering */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/batcher.h"
#include "simlane/clock.h"

struct job {
	int number; /* before the link: it need not be the first member */
	struct batch_item item;
	int producer;
	atomic_int completed;
	bool failed;
};

static struct job *job_of(struct batch_item *item)
{
	return (struct job *)(void *)((char *)item - offsetof(struct job, item));
}

struct fixture {
	struct batcher *batcher;
	sem_t entered, go; /* with gated: a batch says that it runs, and waits */
	bool gated;
	bool failing;
	int resubmit; /* how often a job is submitted again by its batch */
	atomic_int done, batches, largest, in_execute;
	int order[20000], producers[20000];
};

static struct fixture *f;

static void execute(void *ctx, struct batch_item **items, size_t n)
{
	ck_assert_ptr_eq(ctx, f);
	ck_assert_int_eq(atomic_fetch_add(&f->in_execute, 1), 0);
	atomic_fetch_add(&f->batches, 1);
	if ((int)n > atomic_load(&f->largest))
		atomic_store(&f->largest, (int)n);
	if (f->gated) {
		sem_post(&f->entered);
		while (sem_wait(&f->go) != 0)
			continue;
	}
	for (size_t k = 0; k < n; k++) {
		struct job *j = job_of(items[k]);
		if (f->resubmit > 0) {
			f->resubmit--;
			ck_assert(batcher_submit(f->batcher, &j->item));
			continue;
		}
		int at = atomic_fetch_add(&f->done, 1);
		f->order[at] = j->number;
		f->producers[at] = j->producer;
		j->failed = f->failing;
		atomic_fetch_add(&j->completed, 1);
	}
	atomic_fetch_sub(&f->in_execute, 1);
}

static void setup(void)
{
	f = calloc(1, sizeof(*f));
	ck_assert_ptr_nonnull(f);
	sem_init(&f->entered, 0, 0);
	sem_init(&f->go, 0, 0);
}

static void teardown(void)
{
	batcher_stop(f->batcher);
	sem_destroy(&f->entered);
	sem_destroy(&f->go);
	free(f);
}

static void start(size_t queue_max, size_t batch_max, unsigned linger_ms)
{
	struct batcher_options options = {.name = "test",
	                                  .queue_max = queue_max,
	                                  .batch_max = batch_max,
	                                  .linger_ms = linger_ms,
	                                  .execute = execute,
	                                  .ctx = f};
	f->batcher = batcher_start(&options);
	ck_assert_ptr_nonnull(f->batcher);
}

static void stop(void)
{
	batcher_stop(f->batcher);
	f->batcher = NULL;
}

START_TEST(items_run_in_the_order_in_which_they_came)
{
	static struct job jobs[1000];
	start(1000, 7, 0);
	for (int k = 0; k < 1000; k++) {
		jobs[k].number = k;
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
	}
	stop();
	ck_assert_int_eq(atomic_load(&f->done), 1000);
	ck_assert_int_le(atomic_load(&f->largest), 7);
	for (int k = 0; k < 1000; k++) {
		ck_assert_int_eq(f->order[k], k);
		ck_assert_int_eq(atomic_load(&jobs[k].completed), 1);
	}
}
END_TEST

START_TEST(while_a_batch_runs_the_next_one_fills)
{
	static struct job jobs[11];
	f->gated = true;
	start(100, 100, 0);
	ck_assert(batcher_submit(f->batcher, &jobs[0].item));
	while (sem_wait(&f->entered) != 0)
		continue;
	for (int k = 1; k <= 10; k++)
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
	ck_assert_uint_eq(batcher_waiting(f->batcher), 10);
	poll(NULL, 0, 5);
	ck_assert_int_ge(batcher_busy_ms(f->batcher), 4);
	f->gated = false; /* read only after the next post */
	sem_post(&f->go);
	stop();
	ck_assert_int_eq(atomic_load(&f->done), 11);
	ck_assert_int_eq(atomic_load(&f->batches), 2);
	ck_assert_int_eq(atomic_load(&f->largest), 10);
}
END_TEST

START_TEST(a_full_queue_refuses_at_once_and_keeps_nothing)
{
	static struct job jobs[6];
	f->gated = true;
	start(3, 10, 0);
	ck_assert(batcher_submit(f->batcher, &jobs[0].item));
	while (sem_wait(&f->entered) != 0)
		continue;
	for (int k = 1; k <= 3; k++)
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
	for (int k = 4; k <= 5; k++)
		ck_assert(!batcher_submit(f->batcher, &jobs[k].item));
	ck_assert_uint_eq(batcher_waiting(f->batcher), 3);
	f->gated = false;
	sem_post(&f->go);
	stop();
	for (int k = 0; k < 6; k++)
		ck_assert_int_eq(atomic_load(&jobs[k].completed), k <= 3);
}
END_TEST

START_TEST(stopping_runs_what_waits_and_takes_no_more)
{
	static struct job jobs[51];
	f->gated = true;
	start(100, 8, 0);
	for (int k = 0; k < 50; k++)
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
	while (sem_wait(&f->entered) != 0)
		continue;
	ck_assert_uint_ge(batcher_waiting(f->batcher), 42);
	f->gated = false;
	sem_post(&f->go);
	stop();
	for (int k = 0; k < 50; k++)
		ck_assert_int_eq(atomic_load(&jobs[k].completed), 1);
}
END_TEST

/* The thread that stops holds up nobody: a submit during the stop is refused
 * or its item is run, never lost. */
static atomic_int accepted;

static void *keep_submitting(void *arg)
{
	struct job *jobs = arg;
	for (int k = 0; k < 5000; k++)
		if (batcher_submit(f->batcher, &jobs[k].item))
			atomic_fetch_add(&accepted, 1);
		else if (atomic_load(&f->done) > 100)
			break;
	return NULL;
}

START_TEST(what_was_accepted_before_the_stop_is_run)
{
	static struct job jobs[5000];
	pthread_t thread;
	start(50, 16, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_submitting, jobs), 0);
	pthread_join(thread, NULL);
	stop();
	ck_assert_int_eq(atomic_load(&f->done), atomic_load(&accepted));
	for (int k = 0; k < 5000; k++)
		ck_assert_int_le(atomic_load(&jobs[k].completed), 1);
}
END_TEST

START_TEST(a_failing_batch_fails_each_of_its_members_once)
{
	static struct job jobs[20];
	f->gated = true;
	f->failing = true;
	start(100, 100, 0);
	for (int k = 0; k < 20; k++)
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
	while (sem_wait(&f->entered) != 0)
		continue;
	f->gated = false;
	sem_post(&f->go);
	stop();
	for (int k = 0; k < 20; k++) {
		ck_assert(jobs[k].failed);
		ck_assert_int_eq(atomic_load(&jobs[k].completed), 1);
	}
}
END_TEST

START_TEST(the_execute_function_may_submit_again)
{
	static struct job jobs[2];
	f->resubmit = 5;
	start(10, 10, 0);
	ck_assert(batcher_submit(f->batcher, &jobs[0].item));
	while (!atomic_load(&jobs[0].completed))
		poll(NULL, 0, 1);
	ck_assert_int_ge(atomic_load(&f->batches), 6);
	ck_assert_int_eq(atomic_load(&jobs[0].completed), 1);
}
END_TEST

START_TEST(lingering_waits_for_company)
{
	static struct job jobs[4];
	start(10, 10, 150);
	int64_t begin = clock_mono_ms(&clock_system);
	for (int k = 0; k < 4; k++) {
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
		poll(NULL, 0, 5);
	}
	while (atomic_load(&f->done) < 4)
		poll(NULL, 0, 1);
	ck_assert_int_ge(clock_mono_ms(&clock_system) - begin, 145);
	ck_assert_int_eq(atomic_load(&f->batches), 1);
}
END_TEST

START_TEST(a_full_batch_does_not_linger_and_a_stop_ends_it)
{
	static struct job jobs[6];
	int64_t begin = clock_mono_ms(&clock_system);
	start(10, 4, 20000);
	for (int k = 0; k < 4; k++)
		ck_assert(batcher_submit(f->batcher, &jobs[k].item));
	while (atomic_load(&f->done) < 4)
		poll(NULL, 0, 1);
	ck_assert_int_lt(clock_mono_ms(&clock_system) - begin, 10000);
	ck_assert(batcher_submit(f->batcher, &jobs[4].item));
	stop();
	ck_assert_int_lt(clock_mono_ms(&clock_system) - begin, 10000);
	ck_assert_int_eq(atomic_load(&f->done), 5);
}
END_TEST

struct producer {
	int number;
	struct job jobs[4000];
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	for (int k = 0; k < 4000; k++) {
		p->jobs[k].number = k;
		p->jobs[k].producer = p->number;
		while (!batcher_submit(f->batcher, &p->jobs[k].item))
			sched_yield();
	}
	return NULL;
}

START_TEST(many_producers_lose_nothing_and_keep_their_own_order)
{
	enum { PRODUCERS = 4 };
	static struct producer producers[PRODUCERS];
	pthread_t threads[PRODUCERS];
	int last[PRODUCERS] = {-1, -1, -1, -1};
	start(64, 16, 0);
	for (int p = 0; p < PRODUCERS; p++) {
		producers[p].number = p;
		ck_assert_int_eq(pthread_create(&threads[p], NULL, produce, &producers[p]), 0);
	}
	for (int p = 0; p < PRODUCERS; p++)
		pthread_join(threads[p], NULL);
	stop();
	ck_assert_int_eq(atomic_load(&f->done), PRODUCERS * 4000);
	for (int k = 0; k < PRODUCERS * 4000; k++) {
		ck_assert_int_eq(f->order[k], last[f->producers[k]] + 1);
		last[f->producers[k]]++;
	}
}
END_TEST

START_TEST(an_idle_batcher_is_not_busy_and_stopping_none_is_fine)
{
	start(1, 1, 0);
	ck_assert_int_eq(batcher_busy_ms(f->batcher), 0);
	ck_assert_uint_eq(batcher_waiting(f->batcher), 0);
	stop();
	batcher_stop(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("batcher");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, items_run_in_the_order_in_which_they_came);
	tcase_add_test(tc, while_a_batch_runs_the_next_one_fills);
	tcase_add_test(tc, a_full_queue_refuses_at_once_and_keeps_nothing);
	tcase_add_test(tc, stopping_runs_what_waits_and_takes_no_more);
	tcase_add_test(tc, what_was_accepted_before_the_stop_is_run);
	tcase_add_test(tc, a_failing_batch_fails_each_of_its_members_once);
	tcase_add_test(tc, the_execute_function_may_submit_again);
	tcase_add_test(tc, lingering_waits_for_company);
	tcase_add_test(tc, a_full_batch_does_not_linger_and_a_stop_ends_it);
	tcase_add_test(tc, many_producers_lose_nothing_and_keep_their_own_order);
	tcase_add_test(tc, an_idle_batcher_is_not_busy_and_stopping_none_is_fine);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
