/*
 * redis_sentinel - which Redis is the primary now, as the Sentinels say
 *
 * They are asked in turn, each within its share of the time, so that a dead one
 * does not cost the others theirs. What they answer is a hint: who connects
 * there asks the server itself for its role.
 *
 * THREADS  any; *turn is the caller's.
 */
#ifndef SIMLANE_STORE_REDIS_SENTINEL_H
#define SIMLANE_STORE_REDIS_SENTINEL_H

#include <stdint.h>

#include "redis_link.h"
#include "redis_url.h"

/* Begins with *turn, which becomes the one to begin with next time: that behind
 * the last one asked, so that no dead or mistaken one is asked first for ever.
 * LINK_READY: *primary. LINK_REFUSED: all that answer say that they know no
 * Redis of that name. why: why not. Look-ups put the deadline off by what they
 * took. */
enum link_state redis_sentinel_ask(const struct redis_url *url, size_t *turn, int64_t *deadline_us,
                                   struct redis_host *primary, struct fault *why);

#endif
