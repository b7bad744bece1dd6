/*
 * redis - the Redis store's own structure
 *
 * redis.c opens, closes and sees to the connection; redis_batch.c runs a batch
 * over it.
 */
#ifndef SIMLANE_STORE_REDIS_H
#define SIMLANE_STORE_REDIS_H

#include "engine.h"
#include "redis_link.h"
#include "redis_listen.h"
#include "redis_ops.h"
#include "redis_scripts.h"

#define REDIS_MARKER_SIZE 64u

struct redis {
	struct engine engine; /* the first member */
	struct redis_url url;
	struct redis_names names;
	long long wait_replicas;
	struct redis_listener *listener;
	/* The batcher's thread's, and redis_open's before it starts: */
	struct redis_link *link;
	struct redis_scripts scripts;
	char marker[REDIS_MARKER_SIZE]; /* the store's marker as it was last seen; "" before */
	struct buf commands;            /* of the pipeline under way */
	struct buf line;                /* of the job being written into them */
	int64_t depth_us;               /* when the depth was last seen, monotonic */
	int64_t complained_us;          /* when an error was last logged */
	bool sweep_due;                 /* a sweep was asked for in the middle of a pipeline */
	bool troubled;                  /* the last sweep was answered with an error */
	char moved[128];                /* a reply said that this is not the place to write (any more): what it said */
};

/* redis.c */
enum link_state redis_connect(struct redis *r, struct fault *fault);
void redis_lose(struct redis *r, const char *why);
int redis_mark(struct redis *r, struct fault *fault); /* reads or sets the marker; logs when it is another */

/* redis_batch.c */
void redis_run(struct engine *e, struct op **ops, size_t n);

#endif
