/*
 * failing - the store that always says no, so that error paths can be tested
 *
 * An engine that refuses every batch, from the batcher's thread and after some
 * milliseconds, so that a request which waits for it is really suspended.
 * Nothing is ever kept; depth is -1, check is false, a watch is never
 * registered.
 *
 * One exception, so that "in flight" can be seen from outside: a create with
 * an idempotency key whose digest's first byte is odd answers STORE_IN_FLIGHT.
 * Of a few different keys about half do.
 */
#include <stdlib.h>

#include "backends.h"
#include "engine.h"

#define DELAY_MS 3

static bool in_flight(const struct op *op)
{
	return op->kind == OP_CREATE && op->create->key_digest && (op->create->key_digest[0] & 1);
}

static void refuse(struct engine *e, struct op **ops, size_t n)
{
	(void)e;
	for (size_t i = 0; i < n; i++)
		op_answer_status(ops[i], in_flight(ops[i]) ? STORE_IN_FLIGHT : STORE_UNAVAILABLE);
}

static struct store *failing_open(const struct store_options *options, struct fault *fault)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e) {
		fault_set(fault, "failing store: no memory");
		return NULL;
	}
	e->run = refuse;
	e->linger_ms = DELAY_MS;
	atomic_init(&e->depth, -1);
	if (engine_start(e, &store_failing, options, fault) == 0)
		return &e->store;
	free(e);
	return NULL;
}

static void failing_close(struct store *s)
{
	engine_stop((struct engine *)s);
	free(s);
}

static bool failing_watch(struct store *s, struct store_watch *w)
{
	(void)s, (void)w;
	return false;
}

const struct store_backend store_failing = {
        .name = "failing",
        .open = failing_open,
        .close = failing_close,
        .create = engine_create,
        .read = engine_read,
        .begin = engine_begin,
        .release = engine_release,
        .finish = engine_finish,
        .fail = engine_fail,
        .cancel = engine_cancel,
        .trace = engine_trace,
        .watch = failing_watch,
        .unwatch = failing_watch,
        .depth = engine_depth,
        .check = engine_check,
        .sweep = engine_sweep,
};
