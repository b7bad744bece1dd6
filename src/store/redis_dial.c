/* redis_dial.c - see redis_dial.h */
#include "redis_dial.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "redis_sentinel.h"
#include "redis_wire.h"
#include "simlane/clock.h"

static enum link_state start_tls(struct redis_dial *d, redisContext *c, struct fault *why)
{
	if (!d->url->tls)
		return LINK_READY;
	switch (redis_tls_start(d->tls, c, d->url->hosts[0].name, why)) {
	case REDIS_TLS_OK:
		return LINK_READY;
	case REDIS_TLS_REFUSED:
		return LINK_REFUSED;
	default:
		return LINK_AWAY;
	}
}

static enum link_state dial_server(struct redis_dial *d, const struct redis_host *host, int64_t deadline_us,
                                   struct redis_dialled *out, struct fault *why)
{
	const char *path = d->url->kind == REDIS_UNIX ? d->url->path : NULL;
	redisContext *c = redis_wire_connect(path, host, &deadline_us, why);
	enum link_state state;

	if (!c)
		return LINK_AWAY;
	state = start_tls(d, c, why);
	if (state == LINK_READY)
		state = redis_login(c, d->url, d->name, deadline_us, &out->facts, why);
	if (state == LINK_READY)
		out->context = c;
	else
		redisFree(c);
	return state;
}

static enum link_state dial_primary(struct redis_dial *d, int64_t deadline_us, struct redis_dialled *out,
                                    struct fault *why)
{
	int64_t now_us = clock_mono_us(&clock_system), half_us, ask_us;
	struct fault said = {""};
	enum link_state state;

	/* half the time for finding it, what is left for connecting */
	half_us = ask_us = now_us + (deadline_us - now_us) / 2;
	state = redis_sentinel_ask(d->url, &d->turn, &ask_us, &d->primary, why);
	if (state != LINK_READY)
		return state;
	if (!d->may_look_up && !redis_wire_is_address(d->primary.name)) {
		fault_set(why, "a Sentinel names %s, which must be looked up", d->primary.name);
		return LINK_AWAY;
	}
	state = dial_server(d, &d->primary, deadline_us + (ask_us - half_us), out, &said);
	if (state != LINK_READY)
		fault_set(why, "%s:%d, which a Sentinel names: %s", d->primary.name, d->primary.port, said.text);
	return state;
}

bool redis_dial_looks_up(const struct redis_dial *d)
{
	for (size_t i = 0; i < d->url->host_count; i++)
		if (!redis_wire_is_address(d->url->hosts[i].name))
			return true;
	return d->primary.name[0] && !redis_wire_is_address(d->primary.name);
}

enum link_state redis_dial(struct redis_dial *d, int64_t deadline_us, struct redis_dialled *out, struct fault *why)
{
	if (d->url->kind == REDIS_SENTINEL)
		return dial_primary(d, deadline_us, out, why);
	return dial_server(d, &d->url->hosts[0], deadline_us, out, why);
}

/* ---- errands ---- */

struct redis_errand {
	/* the thread's while it is out, the owner's otherwise */
	struct redis_url url;
	char name[64];
	struct redis_dial dial;
	long ms;
	struct redis_dialled dialled;
	enum link_state state;
	struct fault why;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t back;
	enum redis_errand_stage stage;
	bool dropped; /* while it is out */
	int holders;  /* the owner, the thread */
};

static void lock(struct redis_errand *e)
{
	if (pthread_mutex_lock(&e->lock) != 0)
		abort();
}

static void unlock(struct redis_errand *e)
{
	if (pthread_mutex_unlock(&e->lock) != 0)
		abort();
}

static int init_lock(struct redis_errand *e)
{
	pthread_condattr_t attr;
	int failed;

	if (pthread_condattr_init(&attr) != 0)
		return -1;
	failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 || pthread_cond_init(&e->back, &attr) != 0;
	pthread_condattr_destroy(&attr);
	if (failed)
		return -1;
	if (pthread_mutex_init(&e->lock, NULL) == 0)
		return 0;
	pthread_cond_destroy(&e->back);
	return -1;
}

struct redis_errand *redis_errand_new(const struct redis_dial *d)
{
	struct redis_errand *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->url = *d->url;
	snprintf(e->name, sizeof(e->name), "%s", d->name);
	e->dial = (struct redis_dial){.url = &e->url, .name = e->name, .may_look_up = true};
	e->holders = 1;
	if (e->url.tls)
		e->dial.tls = redis_tls_new();
	if ((!e->url.tls || e->dial.tls) && init_lock(e) == 0)
		return e;
	redis_tls_free(e->dial.tls);
	free(e);
	return NULL;
}

/* lock is held, and no more afterwards. */
static void let_go(struct redis_errand *e)
{
	bool last = --e->holders == 0;

	unlock(e);
	if (!last)
		return;
	pthread_cond_destroy(&e->back);
	pthread_mutex_destroy(&e->lock);
	redis_tls_free(e->dial.tls);
	free(e);
}

/* lock is held, and it is back. */
static void throw_away(struct redis_errand *e)
{
	if (e->dialled.context)
		redisFree(e->dialled.context);
	e->dialled.context = NULL;
	e->stage = ERRAND_NONE;
}

static void come_back(struct redis_errand *e)
{
	lock(e);
	e->stage = ERRAND_BACK;
	if (e->dropped)
		throw_away(e);
	pthread_cond_signal(&e->back);
	let_go(e);
}

static void *run(void *arg)
{
	struct redis_errand *e = arg;

	pthread_setname_np(pthread_self(), "redis-dial");
	e->state = redis_dial(&e->dial, redis_wire_deadline(e->ms), &e->dialled, &e->why);
	come_back(e);
	return NULL;
}

static bool start_detached(struct redis_errand *e)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool started;

	if (pthread_attr_init(&attr) != 0)
		return false;
	started = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
	          pthread_create(&thread, &attr, run, e) == 0;
	pthread_attr_destroy(&attr);
	return started;
}

static void set_out(struct redis_errand *e, bool out)
{
	lock(e);
	e->stage = out ? ERRAND_OUT : ERRAND_NONE;
	e->holders += out ? 1 : -1;
	e->dropped = false;
	unlock(e);
}

bool redis_errand_send(struct redis_errand *e, const struct redis_dial *d, long ms)
{
	e->dial.turn = d->turn;
	e->dial.primary = d->primary;
	e->dialled = (struct redis_dialled){.context = NULL};
	e->ms = ms;
	set_out(e, true);
	if (start_detached(e))
		return true;
	set_out(e, false);
	return false;
}

enum redis_errand_stage redis_errand_wait(struct redis_errand *e, int64_t until_us)
{
	struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	enum redis_errand_stage stage;

	lock(e);
	while (until_us > 0 && e->stage == ERRAND_OUT)
		if (pthread_cond_timedwait(&e->back, &e->lock, &until) != 0)
			break;
	stage = e->stage;
	unlock(e);
	return stage;
}

enum link_state redis_errand_take(struct redis_errand *e, struct redis_dial *d, struct redis_dialled *out,
                                  struct fault *why)
{
	enum link_state state;

	lock(e);
	*out = e->dialled;
	*why = e->why;
	state = e->state;
	d->turn = e->dial.turn;
	d->primary = e->dial.primary;
	e->dialled.context = NULL;
	e->stage = ERRAND_NONE;
	unlock(e);
	return state;
}

/* lock is held. */
static void drop(struct redis_errand *e)
{
	if (e->stage == ERRAND_BACK)
		throw_away(e);
	else
		e->dropped = e->stage == ERRAND_OUT;
}

void redis_errand_drop(struct redis_errand *e)
{
	lock(e);
	drop(e);
	unlock(e);
}

void redis_errand_leave(struct redis_errand *e)
{
	if (!e)
		return;
	lock(e);
	drop(e);
	let_go(e);
}
