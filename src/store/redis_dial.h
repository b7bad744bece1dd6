/*
 * redis_dial - one attempt to get a connection that the store can work on
 *
 * Finds the server (through the Sentinels where the URL names them), connects,
 * logs in, chooses the database, and looks at what the server says of itself:
 * it must be a Redis of version 7 or later, the primary, with its data loaded.
 *
 * A name must be looked up, which may take as long as the resolver likes: such
 * a dial is an errand, on a thread of its own that nobody ever waits for
 * longer than they want to. An errand that is left behind ends by itself.
 *
 * THREADS  a struct redis_dial, a struct redis_errand: one at a time.
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
	bool may_look_up;          /* false: a server that a Sentinel names by name is found, not connected to */
};

struct redis_dialled {
	redisContext *context; /* the caller's to free */
	struct link_facts facts;
};

/* Is there a name in the way? */
bool redis_dial_looks_up(const struct redis_dial *d);

/* LINK_READY: out is filled. Otherwise why tells, and nothing is left open.
 * Look-ups put the deadline off by what they took. */
enum link_state redis_dial(struct redis_dial *d, int64_t deadline_us, struct redis_dialled *out, struct fault *why);

struct redis_errand;

enum redis_errand_stage {
	ERRAND_NONE,
	ERRAND_OUT,  /* the thread is on its way */
	ERRAND_BACK, /* what it brings is to be taken */
};

struct redis_errand *redis_errand_new(const struct redis_dial *d); /* NULL: no memory. Copies what it needs. */
void redis_errand_leave(struct redis_errand *e);                   /* never waits: for good; the last one frees it */

/* Dials from where d stands; only at ERRAND_NONE. False: no thread. */
bool redis_errand_send(struct redis_errand *e, const struct redis_dial *d, long ms);

/* While it is out, until until_us at most (0: not at all). */
enum redis_errand_stage redis_errand_wait(struct redis_errand *e, int64_t until_us);

/* At ERRAND_BACK: as redis_dial, and d stands where the errand does. */
enum link_state redis_errand_take(struct redis_errand *e, struct redis_dial *d, struct redis_dialled *out,
                                  struct fault *why);

/* Never waits: what it brings or will bring is of no use any more. It stays out until it is through. */
void redis_errand_drop(struct redis_errand *e);

/* redis_login.c: the same for a connection that is there. */
enum link_state redis_login(redisContext *c, const struct redis_url *url, const char *name, int64_t deadline_us,
                            struct link_facts *facts, struct fault *why);

#endif
