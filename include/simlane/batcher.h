/*
 * batcher - the one concurrency idea of the program
 *
 * A bounded queue, one thread, and a function that is given all that waits.
 * While one batch is under way the next one fills, so that group commit,
 * pipelining and grouped fsync are this same mechanism. Before a batch is
 * taken the thread lets others run once: when the cores are busy those are
 * the ones that fill it, when they are idle it costs nothing.
 *
 * The function completes each item itself, exactly once, in whatever way its
 * owner understands; a failing batch fails each of its members.
 *
 * OWNERSHIP  an item is the submitter's until batcher_submit returns true,
 *            the execute function's after that.
 * THREADS    submit: any, the execute function itself included; stop: one.
 * ORDER      items run in the order in which they were submitted.
 */
#ifndef SIMLANE_BATCHER_H
#define SIMLANE_BATCHER_H

#include <stdbool.h>
#include <stddef.h>

struct batcher;

/* Intrusive link: the first member of, or anywhere in, what is queued. */
struct batch_item {
	struct batch_item *next;
};

/* Work put off to the end of a batch; whose memory it is says its owner. */
struct batch_later {
	struct batch_later *next;
	void (*run)(struct batch_later *l);
};

typedef void batcher_execute(void *ctx, struct batch_item **items, size_t n);

struct batcher_options {
	const char *name;   /* of the thread, at most 15 characters */
	size_t queue_max;   /* submit refuses beyond this many waiting items */
	size_t batch_max;   /* items of one execute call */
	unsigned linger_ms; /* after the first item wait this long for company; 0: go at once */
	batcher_execute *execute;
	void *ctx;
};

/* NULL: no memory or no thread. */
struct batcher *batcher_start(const struct batcher_options *options);

/* False when the queue is full or the batcher is stopping: at once, nothing
 * kept. */
bool batcher_submit(struct batcher *b, struct batch_item *item);

/* From inside b's execute function: more items, if at least min wait by now, up
 * to max. For an engine that can be given the next before it has answered the
 * last; the array of items has room for batch_max. */
size_t batcher_more(struct batcher *b, struct batch_item **items, size_t min, size_t max);

/* Called from inside an execute function, by it or by what it calls: l->run(l)
 * when that batch is over, in order. Called from elsewhere: at once. For what
 * other threads would only get in the way of, such as waking a great many of
 * them one by one. */
void batcher_at_end(struct batch_later *l);
/* From inside an execute function: runs what has been put off so far. */
void batcher_end_now(void);

/* Items waiting now, those of the running batch not counted. */
size_t batcher_waiting(struct batcher *b);

/* Milliseconds that the batch under way has been running, 0 when idle: for
 * health checks. */
long batcher_busy_ms(struct batcher *b);

/* No more submissions; runs what waits, then joins and frees. NULL is fine. */
void batcher_stop(struct batcher *b);

#endif
