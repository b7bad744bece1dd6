/*
 * redis_wire - connecting, asking and being answered by a deadline
 *
 * hiredis bounds each read and write, not the whole of an exchange; these do,
 * for what comes before a link is ready. Deadlines are monotonic microseconds.
 * Only a name's look-up knows none, as the C library's resolver does not: what
 * it takes is not counted, and who cannot wait for it asks
 * redis_wire_is_address first.
 *
 * THREADS  a connection: one at a time.
 */
#ifndef SIMLANE_STORE_REDIS_WIRE_H
#define SIMLANE_STORE_REDIS_WIRE_H

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "redis_link.h"
#include "redis_url.h"
#include "simlane/fault.h"

int64_t redis_wire_deadline(long ms); /* that many milliseconds from now */

bool redis_wire_is_address(const char *host); /* nothing to look up */

/* To path where it is not NULL, else to host. A look-up puts the deadline off
 * by what it took. NULL: why tells; trying again may help. */
redisContext *redis_wire_connect(const char *path, const struct redis_host *host, int64_t *deadline_us,
                                 struct fault *why);

/* The context's own time-out for each read and write: what is left, at least a millisecond. */
bool redis_wire_bound(redisContext *c, int64_t deadline_us);

/* What was appended goes out. */
bool redis_wire_send(redisContext *c);

/* The next reply, the caller's to free. NULL: it did not come whole, or is no reply. */
redisReply *redis_wire_reply(redisContext *c, int64_t deadline_us);

/* Why send or reply failed, and whether trying again may help. */
enum link_state redis_wire_failed(const redisContext *c, struct fault *why);

bool redis_error_is(const char *error, const char *code); /* "NOAUTH ..." is NOAUTH */

#endif
