/*
 * redis_dial - one attempt to get a connection that the store can work on
 *
 * Finds the server (through the Sentinels where the URL names them), connects,
 * logs in, chooses the database, and looks at what the server says of itself:
 * it must be a Redis of version 7 or later, the primary, with its data loaded.
 *
 * THREADS  a struct redis_dial: one at a time.
 */
#ifndef SIMLANE_STORE_REDIS_DIAL_H
#define SIMLANE_STORE_REDIS_DIAL_H

#include "redis_link.h"
#include "redis_tls.h"

struct redis_dial {
	const struct redis_url *url;
	const char *name; /* of the connection */
	struct redis_tls *tls;
	size_t turn;               /* the Sentinel to ask first */
	struct redis_host primary; /* REDIS_SENTINEL: the server last found */
};

struct redis_dialled {
	redisContext *context; /* the caller's to free */
	struct link_facts facts;
};

/* LINK_READY: out is filled. Otherwise why tells, and nothing is left open. */
enum link_state redis_dial(struct redis_dial *d, int64_t deadline_us, struct redis_dialled *out, struct fault *why);

/* redis_login.c: the same for a connection that is there. */
enum link_state redis_login(redisContext *c, const struct redis_url *url, const char *name, int64_t deadline_us,
                            struct link_facts *facts, struct fault *why);

#endif
