/* redis_link.c - see redis_link.h */
#include "redis_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_dial.h"
#include "redis_wire.h"
#include "simlane/clock.h"
#include "simlane/crypto.h"

/* What a dial on a thread of its own has for all but look-ups: less than it is
 * waited for, so that what it finds out within its time is what is told. */
#define ERRAND_MS (LINK_CONNECT_MS * 7 / 8)

struct redis_link {
	struct redis_dial dial;
	struct redis_errand *errand; /* NULL: no name was in the way yet */
	char name[64];
	struct log *log;
	redisContext *context; /* NULL: not connected */
	struct link_facts facts;
	int64_t ready_us;      /* when it was connected */
	int64_t try_us;        /* not before */
	long pause_ms;         /* the longest that the next pause may be */
	enum link_state state; /* of the last attempt */
	struct fault why;
	char told[sizeof(((struct fault *)NULL)->text)]; /* the reason last logged; "": that it is connected */
	bool shaky;  /* the last connection was lost soon: the next one is no news until it lasts */
	bool untold; /* connected, which is not logged yet */
};

/* ---- what the operator is told ---- */

static void show_server(const struct redis_link *l, char *out, size_t size)
{
	size_t at;

	redis_url_show(l->dial.url, out, size);
	at = strlen(out);
	if (l->dial.url->kind == REDIS_SENTINEL && l->context)
		snprintf(out + at, size - at, ", %s:%d", l->dial.primary.name, l->dial.primary.port);
}

static void tell_ready(struct redis_link *l)
{
	char server[512];

	l->untold = false;
	l->told[0] = '\0';
	show_server(l, server, sizeof(server));
	LOG(l->log, LOG_INFO, "store-connected", LOG_STR("server", server), LOG_STR("link", l->name),
	    LOG_INT("redis", l->facts.version_major), LOG_STR("appendonly", l->facts.append_only ? "yes" : "no"));
	if (l->facts.evicts)
		LOG(l->log, LOG_WARN, "store-evicts", LOG_STR("server", server), LOG_STR("link", l->name),
		    LOG_STR("reason", "maxmemory-policy is not noeviction: this Redis may throw jobs away"));
}

static void tell_not(struct redis_link *l, const char *why)
{
	bool refused = l->state == LINK_REFUSED;
	char server[512];

	if (strcmp(l->told, why) == 0)
		return;
	snprintf(l->told, sizeof(l->told), "%s", why);
	show_server(l, server, sizeof(server));
	LOG(l->log, refused ? LOG_ERROR : LOG_WARN, refused ? "store-refused" : "store-lost", LOG_STR("server", server),
	    LOG_STR("link", l->name), LOG_STR("reason", why));
}

/* ---- pauses ---- */

static void pause_a_while(struct redis_link *l)
{
	int64_t half_us = (int64_t)l->pause_ms * 500;
	uint64_t random;

	crypto_random(&random, sizeof(random));
	l->try_us = clock_mono_us(&clock_system) + half_us + (int64_t)(random % (uint64_t)(half_us + 1));
	l->pause_ms = l->pause_ms * 2 < LINK_PAUSE_MAX_MS ? l->pause_ms * 2 : LINK_PAUSE_MAX_MS;
}

/* It stayed long enough to trust the server with the next attempt soon. */
static bool has_proved(const struct redis_link *l)
{
	return clock_mono_us(&clock_system) - l->ready_us >= (int64_t)LINK_PAUSE_MAX_MS * 1000;
}

long redis_link_pause_ms(const struct redis_link *l)
{
	int64_t us = l->context ? 0 : l->try_us - clock_mono_us(&clock_system);

	return us > 0 ? (long)((us + 999) / 1000) : 0;
}

/* ---- life ---- */

struct redis_link *redis_link_new(const struct redis_url *url, const char *name, struct log *log)
{
	struct redis_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->dial.url = url;
	l->dial.name = l->name;
	l->log = log;
	l->pause_ms = LINK_PAUSE_MIN_MS;
	l->state = LINK_AWAY;
	if (!url->tls)
		return l;
	l->dial.tls = redis_tls_new();
	if (l->dial.tls)
		return l;
	free(l);
	return NULL;
}

void redis_link_free(struct redis_link *l)
{
	if (!l)
		return;
	if (l->context)
		redisFree(l->context);
	redis_errand_leave(l->errand);
	redis_tls_free(l->dial.tls);
	free(l);
}

static enum link_state adopt(struct redis_link *l, enum link_state state, const struct redis_dialled *dialled)
{
	struct timeval limit = {.tv_sec = LINK_REPLY_MS / 1000, .tv_usec = LINK_REPLY_MS % 1000 * 1000};

	if (state == LINK_READY && redisSetTimeout(dialled->context, limit) != REDIS_OK) {
		fault_set(&l->why, "%s", dialled->context->errstr);
		redisFree(dialled->context);
		return LINK_AWAY;
	}
	l->context = dialled->context;
	l->facts = dialled->facts;
	return state;
}

/* An attempt is over: that is what it came to. */
static void conclude(struct redis_link *l, enum link_state state, const struct redis_dialled *dialled)
{
	l->state = adopt(l, state, dialled);
	if (l->state != LINK_READY) {
		pause_a_while(l);
		tell_not(l, l->why.text);
		return;
	}
	l->ready_us = clock_mono_us(&clock_system);
	l->untold = l->shaky;
	if (!l->untold)
		tell_ready(l);
}

/* Told only if nothing else is wrong, so that attempts that all end for the
 * same reason are told once. */
static void still_connecting(struct redis_link *l)
{
	l->state = LINK_AWAY;
	l->try_us = redis_wire_deadline(LINK_PAUSE_MIN_MS);
	fault_set(&l->why, "still connecting");
	if (!l->told[0])
		tell_not(l, l->why.text);
}

static void take_errand(struct redis_link *l)
{
	struct redis_dialled dialled = {.context = NULL};
	enum link_state state = redis_errand_take(l->errand, &l->dial, &dialled, &l->why);

	conclude(l, state, &dialled);
}

static void send_errand(struct redis_link *l, int64_t until_us)
{
	struct redis_dialled none = {.context = NULL};

	if (!l->errand)
		l->errand = redis_errand_new(&l->dial);
	if (l->errand && redis_errand_send(l->errand, &l->dial, ERRAND_MS)) {
		if (redis_errand_wait(l->errand, until_us) == ERRAND_BACK)
			take_errand(l);
		else
			still_connecting(l);
		return;
	}
	fault_set(&l->why, "no memory or no thread to connect with");
	conclude(l, LINK_AWAY, &none);
}

static void try_anew(struct redis_link *l)
{
	int64_t deadline_us = redis_wire_deadline(LINK_CONNECT_MS);
	struct redis_dialled dialled = {.context = NULL};
	enum link_state state = LINK_AWAY;

	if (!redis_dial_looks_up(&l->dial))
		state = redis_dial(&l->dial, deadline_us, &dialled, &l->why);
	/* a Sentinel may have named a name just now */
	if (state == LINK_READY || !redis_dial_looks_up(&l->dial))
		conclude(l, state, &dialled);
	else
		send_errand(l, deadline_us);
}

/* Whatever can be done now about not being connected. */
static void get_on(struct redis_link *l)
{
	switch (l->errand ? redis_errand_wait(l->errand, 0) : ERRAND_NONE) {
	case ERRAND_BACK:
		take_errand(l);
		break;
	case ERRAND_OUT:
		still_connecting(l);
		break;
	default:
		if (redis_link_pause_ms(l) == 0)
			try_anew(l);
		break;
	}
}

enum link_state redis_link_open(struct redis_link *l, bool *fresh, struct fault *fault)
{
	*fresh = false;
	if (l->context) {
		if (l->untold && has_proved(l))
			tell_ready(l);
		return LINK_READY;
	}
	get_on(l);
	*fresh = l->context != NULL;
	if (l->state != LINK_READY)
		fault_set(fault, "%s", l->why.text);
	return l->state;
}

redisContext *redis_link_context(struct redis_link *l)
{
	return l->context;
}

void redis_link_lose(struct redis_link *l, const char *why)
{
	if (!l->context) {
		if (l->errand)
			redis_errand_drop(l->errand);
		return;
	}
	l->shaky = !has_proved(l);
	if (!l->shaky)
		l->pause_ms = LINK_PAUSE_MIN_MS;
	pause_a_while(l);
	l->state = LINK_AWAY;
	fault_set(&l->why, "%s", why);
	tell_not(l, l->why.text);
	redisFree(l->context);
	l->context = NULL;
}

struct link_facts redis_link_facts(const struct redis_link *l)
{
	return l->facts;
}

bool redis_error_moves(const char *error)
{
	static const char *const codes[] = {
	        "READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "UNBLOCKED", "NOAUTH", "WRONGPASS",
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (redis_error_is(error, codes[i]))
			return true;
	return false;
}
