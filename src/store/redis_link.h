/*
 * redis_link - one connection to the Redis that is the primary now
 *
 * Connects (asking the Sentinels first where the URL names them), logs in,
 * chooses the database, and takes nothing but a primary of version 7 or later
 * with its data loaded. When it is lost or refused it is tried again after a
 * pause that grows from LINK_PAUSE_MIN_MS to LINK_PAUSE_MAX_MS, with jitter
 * (anything from half of it to the whole), so that many daemons do not come
 * back in the same moment. A connection that stays for LINK_PAUSE_MAX_MS makes
 * the next pause a short one again.
 *
 * Every wait has an end: LINK_CONNECT_MS for all of connecting, LINK_REPLY_MS
 * for the next bytes of a reply or room for the next bytes of a request. Only
 * the look-up of a name may take as long as the resolver likes: where there is
 * a name, a thread of its own dials. What it has not brought within
 * LINK_CONNECT_MS is waited for no more but looked for by each
 * redis_link_open; until then the link is away. There is never more than one
 * such thread a link, and none is ever waited for at the end.
 *
 * What happens is logged once a change (store-connected, store-lost,
 * store-refused, and store-evicts at each connection to a Redis that may throw
 * jobs away), never a secret. A server that is lost again and again at once is
 * not said to be connected before it stays.
 *
 * The process must ignore SIGPIPE: hiredis 0.14 writes with write(2).
 *
 * THREADS  one at a time; each thread that talks to Redis has its own link.
 */
#ifndef SIMLANE_STORE_REDIS_LINK_H
#define SIMLANE_STORE_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "redis_url.h"
#include "simlane/fault.h"
#include "simlane/log.h"

#define LINK_CONNECT_MS   400
#define LINK_REPLY_MS     700
#define LINK_PAUSE_MIN_MS 50
#define LINK_PAUSE_MAX_MS 1000

struct redis_link;

enum link_state {
	LINK_READY,
	LINK_AWAY,    /* nobody there, or not yet: trying again helps */
	LINK_REFUSED, /* wrong password, no right, not a Redis, too old: the operator must act */
};

/* name: of the connection, as CLIENT LIST shows it. url must outlive the link.
 * NULL: no memory. Does not connect. */
struct redis_link *redis_link_new(const struct redis_url *url, const char *name, struct log *log);
void redis_link_free(struct redis_link *l);

/* Connects if it is time to; *fresh tells that this call did. While a pause
 * lasts, or an attempt that was begun before, answers at once. fault (may be
 * NULL): why not, without the server's name. */
enum link_state redis_link_open(struct redis_link *l, bool *fresh, struct fault *fault);

/* The connection while ready, NULL otherwise: blocking, with LINK_REPLY_MS as its time-out. */
redisContext *redis_link_context(struct redis_link *l);

/* Closes it because of why (logged); the next redis_link_open connects anew,
 * after a pause. While not connected gives up the attempt that is on its way,
 * if there is one. */
void redis_link_lose(struct redis_link *l, const char *why);

/* Milliseconds until redis_link_open may have news; 0: now. */
long redis_link_pause_ms(const struct redis_link *l);

/* What the primary said of itself when it was connected to. */
struct link_facts {
	int version_major;
	bool evicts;      /* maxmemory is set, and its policy is not noeviction: it may throw jobs away */
	bool append_only; /* AOF is on */
};
/* All zero before the first time. */
struct link_facts redis_link_facts(const struct redis_link *l);

/* Does this error reply mean that the connection must be looked for anew
 * (READONLY, MASTERDOWN, LOADING, NOREPLICAS, UNBLOCKED, NOAUTH ...)? */
bool redis_error_moves(const char *error);

#endif
