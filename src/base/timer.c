/* timer.c - one thread that calls back later: a binary heap by due time */
#include "simlane/timer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "simlane/clock.h"

struct timer {
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct timer_entry **heap; /* from index 1 */
	size_t count, cap;
	bool stopping;
};

static void place(struct timer *t, struct timer_entry *e, size_t at)
{
	t->heap[at] = e;
	e->position = at;
}

static void sift_up(struct timer *t, struct timer_entry *e, size_t at)
{
	while (at > 1 && t->heap[at / 2]->due_us > e->due_us) {
		place(t, t->heap[at / 2], at);
		at /= 2;
	}
	place(t, e, at);
}

static void sift_down(struct timer *t, struct timer_entry *e, size_t at)
{
	for (;;) {
		size_t child = at * 2;
		if (child < t->count && t->heap[child + 1]->due_us < t->heap[child]->due_us)
			child++;
		if (child > t->count || t->heap[child]->due_us >= e->due_us)
			break;
		place(t, t->heap[child], at);
		at = child;
	}
	place(t, e, at);
}

static void take_out(struct timer *t, struct timer_entry *e)
{
	size_t at = e->position;
	struct timer_entry *last = t->heap[t->count--];
	e->position = 0;
	if (last == e)
		return;
	if (at > 1 && t->heap[at / 2]->due_us > last->due_us)
		sift_up(t, last, at);
	else
		sift_down(t, last, at);
}

/* Sleeps until the first entry is due or something changes. lock is held. */
static void sleep_until_due(struct timer *t)
{
	if (t->count == 0) {
		pthread_cond_wait(&t->changed, &t->lock);
		return;
	}
	int64_t due = t->heap[1]->due_us;
	struct timespec until = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000};
	pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

static void *run(void *arg)
{
	struct timer *t = arg;
	pthread_mutex_lock(&t->lock);
	while (!t->stopping) {
		if (t->count == 0 || t->heap[1]->due_us > clock_mono_us(&clock_system)) {
			sleep_until_due(t);
			continue;
		}
		struct timer_entry *e = t->heap[1];
		take_out(t, e);
		pthread_mutex_unlock(&t->lock);
		e->fire(e);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static int init_sync(struct timer *t)
{
	pthread_condattr_t attr;
	if (pthread_condattr_init(&attr) != 0)
		return -1;
	int failed =
	        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 || pthread_cond_init(&t->changed, &attr) != 0;
	pthread_condattr_destroy(&attr);
	if (failed)
		return -1;
	if (pthread_mutex_init(&t->lock, NULL) != 0) {
		pthread_cond_destroy(&t->changed);
		return -1;
	}
	return 0;
}

static void destroy(struct timer *t)
{
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
	free(t->heap);
	free(t);
}

struct timer *timer_start(void)
{
	struct timer *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	if (init_sync(t) != 0) {
		free(t);
		return NULL;
	}
	if (pthread_create(&t->thread, NULL, run, t) != 0) {
		destroy(t);
		return NULL;
	}
	pthread_setname_np(t->thread, "timer");
	return t;
}

void timer_stop(struct timer *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	destroy(t);
}

static bool grow(struct timer *t)
{
	if (t->count + 1 < t->cap)
		return true;
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct timer_entry **heap = realloc(t->heap, cap * sizeof(struct timer_entry *));
	if (!heap)
		return false;
	t->heap = heap;
	t->cap = cap;
	return true;
}

bool timer_arm(struct timer *t, struct timer_entry *e, int64_t delay_ms)
{
	bool armed = false;
	pthread_mutex_lock(&t->lock);
	if (e->position)
		take_out(t, e);
	if (!t->stopping && grow(t)) {
		e->due_us = clock_mono_us(&clock_system) + delay_ms * 1000;
		sift_up(t, e, ++t->count);
		armed = true;
		if (e->position == 1)
			pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	return armed;
}

bool timer_cancel(struct timer *t, struct timer_entry *e)
{
	pthread_mutex_lock(&t->lock);
	bool was_armed = e->position != 0;
	if (was_armed)
		take_out(t, e);
	pthread_mutex_unlock(&t->lock);
	return was_armed;
}
