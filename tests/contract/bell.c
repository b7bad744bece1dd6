/* bell.c - watches that count how often they were woken */
#include <errno.h>
#include <time.h>

#include "harness.h"

#define WAIT_S 2

static void ring(struct store_watch *w)
{
	struct bell *b = (struct bell *)w;

	pthread_mutex_lock(&b->lock);
	b->rings++;
	pthread_cond_signal(&b->rang);
	pthread_mutex_unlock(&b->lock);
}

void bell_init(struct bell *b, const char *job_id, uint64_t seen)
{
	memset(b, 0, sizeof(*b));
	ck_assert_int_eq(pthread_mutex_init(&b->lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&b->rang, NULL), 0);
	b->watch.wake = ring;
	b->watch.seen_revision = seen;
	strcpy(b->watch.job_id, job_id);
}

void bell_destroy(struct bell *b)
{
	/* ring may still hold the lock */
	pthread_mutex_lock(&b->lock);
	pthread_mutex_unlock(&b->lock);
	pthread_cond_destroy(&b->rang);
	pthread_mutex_destroy(&b->lock);
}

unsigned bell_rings(struct bell *b, unsigned wanted)
{
	struct timespec until;
	unsigned rings;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&b->lock);
	while (b->rings < wanted && pthread_cond_timedwait(&b->rang, &b->lock, &until) != ETIMEDOUT)
		continue;
	rings = b->rings;
	pthread_mutex_unlock(&b->lock);
	return rings;
}

unsigned bell_rings_now(struct bell *b)
{
	return bell_rings(b, 0);
}

void watch_too_late(struct rig *r, const char *job_id, uint64_t seen)
{
	struct bell b;

	bell_init(&b, job_id, seen);
	if (store_watch(r->store, &b.watch)) {
		ck_assert_msg(r->subject->engine, "a watch that is too late was registered");
		ck_assert_msg(bell_rings(&b, 1) == 1, "a watch that was too late was never woken");
	} else {
		ck_assert_uint_eq(bell_rings_now(&b), 0);
	}
	ck_assert(!store_unwatch(r->store, &b.watch));
	bell_destroy(&b);
}

void bell_rings_at_the_end(struct rig *r, struct bell *b)
{
	/* The time goes on: an engine's look at the end may have come a moment
	 * before it. */
	for (int i = 0; i < WAIT_S * 100 && bell_rings_now(b) == 0; i++) {
		sweep(r);
		if (r->subject->engine) {
			sleep_ms(10);
			pass_ms(r, 10);
		}
	}
	ck_assert_uint_eq(bell_rings_now(b), 1);
}
