/*
 * wait.c - a call that waits for its job to change
 *
 * Two things can end a wait, each on a thread of its own: the store's wake and
 * the timer's deadline. All that either does to the call is done under
 * waiting_lock, and only the timer's thread goes on with it: a wake brings the
 * deadline forward, and so does stopping the service.
 */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static struct service_call *of_watch(struct store_watch *w)
{
	return (struct service_call *)(void *)((char *)w - offsetof(struct service_call, watch));
}

static struct service_call *of_timer(struct timer_entry *e)
{
	return (struct service_call *)(void *)((char *)e - offsetof(struct service_call, timer));
}

/* waiting_lock is held. */
static void list_add(struct service_call *call)
{
	struct service *s = call->service;
	call->next_waiting = s->waiting;
	call->waiting_link = &s->waiting;
	if (s->waiting)
		s->waiting->waiting_link = &call->next_waiting;
	s->waiting = call;
}

/* waiting_lock is held. */
static void list_remove(struct service_call *call)
{
	*call->waiting_link = call->next_waiting;
	if (call->next_waiting)
		call->next_waiting->waiting_link = call->waiting_link;
}

static void wake(struct store_watch *w)
{
	struct service_call *call = of_watch(w);
	struct service *s = call->service;
	pthread_mutex_lock(&s->waiting_lock);
	call->changed = true;
	timer_arm(s->options.timer, &call->timer, 0);
	pthread_mutex_unlock(&s->waiting_lock);
}

static void due(struct timer_entry *e)
{
	struct service_call *call = of_timer(e);
	struct service *s = call->service;
	pthread_mutex_lock(&s->waiting_lock);
	if (!call->changed && !store_unwatch(s->options.store, &call->watch)) {
		/* Its wake has begun and waits for the lock: it will arm the timer again. */
		pthread_mutex_unlock(&s->waiting_lock);
		return;
	}
	bool in_time = call->changed || call->looks_again;
	timer_cancel(s->options.timer, e); /* a wake may have armed it while this call was on its way */
	list_remove(call);
	pthread_mutex_unlock(&s->waiting_lock);
	call->woken(call, in_time);
}

/* Sets up the wait; waiting_lock is held. False: there is none, *in_time tells
 * whether the job has moved already. */
static bool begin_wait(struct service_call *call, int64_t left_ms, int64_t busy_ms, bool *in_time)
{
	struct service *s = call->service;
	*in_time = false;
	/* A claim that runs out (its holder was killed) wakes nobody: look again then. */
	call->looks_again = busy_ms > 0 && busy_ms < left_ms;
	if (call->looks_again)
		left_ms = busy_ms;
	if (s->stopping || left_ms <= 0 || !timer_arm(s->options.timer, &call->timer, left_ms))
		return false;
	if (!store_watch(s->options.store, &call->watch)) {
		call->changed = true;
		if (timer_cancel(s->options.timer, &call->timer)) {
			*in_time = true;
			return false;
		} /* else the deadline is here already, waits for the lock and goes on */
	}
	list_add(call);
	return true;
}

bool wait_for_change(struct service_call *call, const struct store_result *busy,
                     void (*woken)(struct service_call *call, bool in_time), bool *in_time)
{
	struct service *s = call->service;
	int64_t left_ms = (call->deadline_us - clock_mono_us(s->options.clock) + 999) / 1000;
	call->changed = false;
	call->woken = woken;
	call->watch = (struct store_watch){.wake = wake, .seen_revision = busy->job->revision};
	memcpy(call->watch.job_id, call->job, sizeof(call->watch.job_id));
	call->timer = (struct timer_entry){.fire = due};
	pthread_mutex_lock(&s->waiting_lock);
	bool waits = begin_wait(call, left_ms, busy->busy_ms, in_time);
	pthread_mutex_unlock(&s->waiting_lock);
	return waits;
}

void service_stop(struct service *s)
{
	pthread_mutex_lock(&s->waiting_lock);
	s->stopping = true;
	while (s->waiting) { /* until each of them has left, and with it its watch */
		for (struct service_call *call = s->waiting; call; call = call->next_waiting)
			timer_arm(s->options.timer, &call->timer, 0);
		pthread_mutex_unlock(&s->waiting_lock);
		usleep(1000);
		pthread_mutex_lock(&s->waiting_lock);
	}
	pthread_mutex_unlock(&s->waiting_lock);
}
