/*
 * timer - one thread that calls back later
 *
 * For waits with an end, the sweeper and the look at changed files. Callbacks
 * run on the timer's thread, one after the other, and must be short.
 *
 * OWNERSHIP  a struct timer_entry is the caller's memory and must stay valid
 *            until its callback has begun or timer_cancel has returned true.
 * THREADS    any, a callback included.
 */
#ifndef SIMLANE_TIMER_H
#define SIMLANE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;

struct timer_entry {
	void (*fire)(struct timer_entry *e);
	int64_t due_us;  /* monotonic; the timer's */
	size_t position; /* in the heap, from 1; 0: not armed; the timer's */
};

struct timer *timer_start(void); /* NULL: no memory or no thread */
/* Joins the thread; entries still armed are dropped without a call. */
void timer_stop(struct timer *t);

/* Arms e to fire once, delay_ms from now. An armed entry is moved. False: no
 * memory, or the timer is stopping. */
bool timer_arm(struct timer *t, struct timer_entry *e, int64_t delay_ms);

/* True: it was armed and will not fire. False: it was not armed, or its
 * callback has begun and may still run. */
bool timer_cancel(struct timer *t, struct timer_entry *e);

#endif
