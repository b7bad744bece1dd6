/*
 * wait.c - a call that waits for its job to change
 *
 * Two things can end a wait, each on a thread of its own: the store's wake and
 * the timer's deadline. Whichever comes second, or knows that the other will
 * not come, goes on; so the call is never touched by one after the other has
 * let it go. Stopping the service brings every deadline forward.
 */
#include <stddef.h>
#include <string.h>

#include "internal.h"

enum wake_state { WAITING, WAKE_DONE, DEADLINE_GAVE_UP };

static struct service_call *of_watch(struct store_watch *w)
{
	return (struct service_call *)(void *)((char *)w - offsetof(struct service_call, watch));
}

static struct service_call *of_timer(struct timer_entry *e)
{
	return (struct service_call *)(void *)((char *)e - offsetof(struct service_call, timer));
}

static bool list_add(struct service_call *call)
{
	struct service *s = call->service;
	pthread_mutex_lock(&s->waiting_lock);
	bool added = !s->stopping;
	if (added) {
		call->next_waiting = s->waiting;
		call->waiting_link = &s->waiting;
		if (s->waiting)
			s->waiting->waiting_link = &call->next_waiting;
		s->waiting = call;
	}
	pthread_mutex_unlock(&s->waiting_lock);
	return added;
}

static void list_remove(struct service_call *call)
{
	struct service *s = call->service;
	pthread_mutex_lock(&s->waiting_lock);
	*call->waiting_link = call->next_waiting;
	if (call->next_waiting)
		call->next_waiting->waiting_link = call->waiting_link;
	pthread_mutex_unlock(&s->waiting_lock);
}

static void go_on(struct service_call *call, bool in_time)
{
	list_remove(call);
	call->woken(call, in_time);
}

static void woken_by_timer(struct timer_entry *e)
{
	go_on(of_timer(e), true);
}

static void wake(struct store_watch *w)
{
	struct service_call *call = of_watch(w);
	struct timer *timer = call->service->options.timer;
	/* Cancelled: the deadline will not come. Else it has begun and either waits for us
	 * to be done with the call, or has gone and left the rest to us. */
	bool ours =
	        timer_cancel(timer, &call->timer) || atomic_exchange(&call->wake_state, WAKE_DONE) == DEADLINE_GAVE_UP;
	if (!ours)
		return;
	call->timer.fire = woken_by_timer;
	if (!timer_arm(timer, &call->timer, 0))
		go_on(call, true); /* the timer is gone: only at the very end of the program */
}

static void deadline(struct timer_entry *e)
{
	struct service_call *call = of_timer(e);
	if (store_unwatch(call->service->options.store, &call->watch))
		go_on(call, false);
	else if (atomic_exchange(&call->wake_state, DEADLINE_GAVE_UP) == WAKE_DONE)
		go_on(call, true);
}

bool wait_for_change(struct service_call *call, const char *job_id, uint64_t seen_revision,
                     void (*woken)(struct service_call *call, bool in_time), bool *in_time)
{
	struct service *s = call->service;
	int64_t left_ms = (call->deadline_us - clock_mono_us(s->options.clock)) / 1000;
	*in_time = false;
	if (left_ms <= 0 || !list_add(call))
		return false;
	atomic_store(&call->wake_state, WAITING);
	call->woken = woken;
	call->watch = (struct store_watch){.wake = wake, .seen_revision = seen_revision};
	memcpy(call->watch.job_id, job_id, sizeof(call->watch.job_id));
	call->timer = (struct timer_entry){.fire = deadline};
	if (!timer_arm(s->options.timer, &call->timer, left_ms)) {
		list_remove(call);
		return false;
	}
	if (store_watch(s->options.store, &call->watch)) {
		/* A deadline that came before the watch was there could not take it out. */
		if (atomic_load(&call->wake_state) != DEADLINE_GAVE_UP ||
		    !store_unwatch(s->options.store, &call->watch))
			return true;
		list_remove(call);
		return false;
	}
	/* It has moved already. The same choice as in wake. */
	if (!timer_cancel(s->options.timer, &call->timer) &&
	    atomic_exchange(&call->wake_state, WAKE_DONE) != DEADLINE_GAVE_UP)
		return true; /* the deadline goes on */
	list_remove(call);
	*in_time = true;
	return false;
}

void service_stop(struct service *s)
{
	pthread_mutex_lock(&s->waiting_lock);
	s->stopping = true;
	for (struct service_call *call = s->waiting; call; call = call->next_waiting)
		if (timer_cancel(s->options.timer, &call->timer))
			timer_arm(s->options.timer, &call->timer, 0);
	pthread_mutex_unlock(&s->waiting_lock);
}
