/* batcher.c - a bounded queue, one thread, and all that waits at once */
#include "simlane/batcher.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "simlane/clock.h"

struct batcher {
	struct batcher_options options;
	pthread_t thread;
	struct batch_item **batch;  /* the thread's */
	atomic_llong busy_since_us; /* 0: idle */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;
	struct batch_item *head, **tail;
	size_t waiting;
	bool asleep; /* the thread waits for a first item: only then a signal is needed */
	bool stopping;
};

/* Sleeps for company after the first item, or until the stop. lock is held. */
static void linger(struct batcher *b)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)b->options.linger_ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!b->stopping && b->waiting < b->options.batch_max)
		if (pthread_cond_timedwait(&b->work, &b->lock, &until) != 0)
			return;
}

/* lock is held. */
static size_t take_waiting(struct batcher *b, struct batch_item **items, size_t max)
{
	size_t n = 0;
	while (n < max && b->head) {
		items[n++] = b->head;
		b->head = b->head->next;
	}
	if (!b->head)
		b->tail = &b->head;
	b->waiting -= n;
	return n;
}

size_t batcher_more(struct batcher *b, struct batch_item **items, size_t min, size_t max)
{
	pthread_mutex_lock(&b->lock);
	size_t n = b->waiting >= min ? take_waiting(b, items, max) : 0;
	pthread_mutex_unlock(&b->lock);
	return n;
}

/* Takes the next batch; 0 when stopping and nothing waits. */
static size_t take(struct batcher *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->waiting == 0 && !b->stopping) {
		b->asleep = true;
		pthread_cond_wait(&b->work, &b->lock);
	}
	b->asleep = false;
	if (!b->stopping) {
		pthread_mutex_unlock(&b->lock);
		sched_yield();
		pthread_mutex_lock(&b->lock);
	}
	if (b->options.linger_ms && !b->stopping)
		linger(b);
	size_t n = take_waiting(b, b->batch, b->options.batch_max);
	pthread_mutex_unlock(&b->lock);
	return n;
}

struct at_end {
	struct batch_later *first, **last;
};

/* What this thread has put off; NULL on threads that are no batcher's. Set
 * once, when the thread begins. */
static _Thread_local struct at_end *put_off;

void batcher_at_end(struct batch_later *l)
{
	if (!put_off) {
		l->run(l);
		return;
	}
	l->next = NULL;
	*put_off->last = l;
	put_off->last = &l->next;
}

static void run_put_off(struct at_end *list)
{
	struct batch_later *next;
	for (struct batch_later *l = list->first; l; l = next) {
		next = l->next; /* it may be gone once it has run */
		l->run(l);
	}
	*list = (struct at_end){NULL, &list->first};
}

void batcher_end_now(void)
{
	if (put_off)
		run_put_off(put_off);
}

static void *run(void *arg)
{
	struct batcher *b = arg;
	struct at_end list = {NULL, &list.first};
	size_t n;
	put_off = &list;
	while ((n = take(b)) > 0) {
		atomic_store_explicit(&b->busy_since_us, clock_mono_us(&clock_system), memory_order_relaxed);
		b->options.execute(b->options.ctx, b->batch, n);
		run_put_off(&list);
		atomic_store_explicit(&b->busy_since_us, 0, memory_order_relaxed);
	}
	put_off = NULL;
	return NULL;
}

static int init_sync(struct batcher *b)
{
	pthread_condattr_t attr;
	if (pthread_condattr_init(&attr) != 0)
		return -1;
	int failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 || pthread_cond_init(&b->work, &attr) != 0;
	pthread_condattr_destroy(&attr);
	if (failed)
		return -1;
	if (pthread_mutex_init(&b->lock, NULL) != 0) {
		pthread_cond_destroy(&b->work);
		return -1;
	}
	return 0;
}

static void destroy(struct batcher *b)
{
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->work);
	free(b->batch);
	free(b);
}

struct batcher *batcher_start(const struct batcher_options *options)
{
	struct batcher *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->options = *options;
	b->tail = &b->head;
	b->batch = calloc(options->batch_max, sizeof(struct batch_item *));
	if (!b->batch || init_sync(b) != 0) {
		free(b->batch);
		free(b);
		return NULL;
	}
	if (pthread_create(&b->thread, NULL, run, b) != 0) {
		destroy(b);
		return NULL;
	}
	pthread_setname_np(b->thread, options->name);
	return b;
}

bool batcher_submit(struct batcher *b, struct batch_item *item)
{
	item->next = NULL;
	pthread_mutex_lock(&b->lock);
	bool taken = !b->stopping && b->waiting < b->options.queue_max;
	if (taken) {
		*b->tail = item;
		b->tail = &item->next;
		b->waiting++;
		if (b->asleep || b->waiting == b->options.batch_max) {
			b->asleep = false;
			pthread_cond_signal(&b->work);
		}
	}
	pthread_mutex_unlock(&b->lock);
	return taken;
}

size_t batcher_waiting(struct batcher *b)
{
	pthread_mutex_lock(&b->lock);
	size_t n = b->waiting;
	pthread_mutex_unlock(&b->lock);
	return n;
}

long batcher_busy_ms(struct batcher *b)
{
	long long since = atomic_load_explicit(&b->busy_since_us, memory_order_relaxed);
	return since ? (long)((clock_mono_us(&clock_system) - since) / 1000) : 0;
}

void batcher_stop(struct batcher *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stopping = true;
	pthread_cond_signal(&b->work);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	destroy(b);
}
