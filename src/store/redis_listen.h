/*
 * redis_listen - hears of changes that other daemons made
 *
 * One thread with a connection of its own, made when something is wanted for
 * the first time and kept from then on. A change is published on the channel
 * <prefix>changed:<slot> as "<job id> <revision>"; the thread subscribes to the
 * channels of the slots that are wanted, and leaves one when something is heard
 * on it that nobody wants any more.
 *
 * While a slot is not (yet, or any more) subscribed to, changes in it go
 * unheard; so each time a subscription is confirmed, after a lost connection
 * too, listening(slot) is called and the watches of that slot are verified.
 * A PING goes out every second; a connection on which nothing comes for a
 * second after one is lost.
 *
 * THREADS  want: any, never blocks. The callbacks: the thread's. wanted
 *          is called with the listener's lock held: it may take a lock, but
 *          must not call the listener.
 */
#ifndef SIMLANE_STORE_REDIS_LISTEN_H
#define SIMLANE_STORE_REDIS_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "redis_url.h"
#include "simlane/fault.h"
#include "simlane/log.h"

struct redis_listener;

struct redis_listener_options {
	const struct redis_url *url;
	const char *prefix;
	struct log *log;
	unsigned slots; /* how many there are */
	bool (*wanted)(void *ctx, unsigned slot);
	void (*listening)(void *ctx, unsigned slot);
	void (*heard)(void *ctx, const char *job_id, uint64_t revision); /* job_id: checked to be one */
	void *ctx;
};

/* NULL: fault says why (no memory, no thread). Does not wait for a connection. */
struct redis_listener *redis_listener_start(const struct redis_listener_options *options, struct fault *fault);
/* Joins the thread: no callback after that; want and renew are borne until it is freed. */
void redis_listener_stop(struct redis_listener *l);
void redis_listener_free(struct redis_listener *l); /* stops it too; NULL is fine */

/* True: the slot is subscribed to, its changes are heard from now on. False:
 * listening will be called when that is so. */
bool redis_listener_want(struct redis_listener *l, unsigned slot);

/* Under Sentinel: another connection was lost and found a primary, which may be
 * another one now. A server that was cut off from the others would go on
 * answering PINGs and hear of no change. Elsewhere nothing. Any thread, never
 * blocks. */
void redis_listener_renew(struct redis_listener *l);

#endif
