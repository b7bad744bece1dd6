/* redis_dial.c - see redis_dial.h */
#include "redis_dial.h"

#include <stdio.h>

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
	redisContext *c = redis_wire_connect(path, host, deadline_us, why);
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
	int64_t now_us = clock_mono_us(&clock_system);
	struct fault said = {""};
	enum link_state state;

	/* half the time for finding it, what is left for connecting */
	state = redis_sentinel_ask(d->url, &d->turn, now_us + (deadline_us - now_us) / 2, &d->primary, why);
	if (state != LINK_READY)
		return state;
	state = dial_server(d, &d->primary, deadline_us, out, &said);
	if (state != LINK_READY)
		fault_set(why, "%s:%d, which a Sentinel names: %s", d->primary.name, d->primary.port, said.text);
	return state;
}

enum link_state redis_dial(struct redis_dial *d, int64_t deadline_us, struct redis_dialled *out, struct fault *why)
{
	if (d->url->kind == REDIS_SENTINEL)
		return dial_primary(d, deadline_us, out, why);
	return dial_server(d, &d->url->hosts[0], deadline_us, out, why);
}
