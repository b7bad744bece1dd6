/*
 * queued - the memory store behind an engine's queue
 *
 * What all engines have in common (src/store/engine.c: queue, answers, looks,
 * watches) is held to the contract here without an engine: its batches go to a
 * memory store, one operation after the other.
 */
#include "../../src/store/engine.h"
#include "harness.h"

#define TENANTS 64

struct queued {
	struct engine engine; /* the first member */
	struct store *memory;
	/* The batcher's thread's: a look names no tenant, but memory's read does. */
	char tenants[TENANTS][TENANT_MAX + 1];
};

struct relay {
	struct queued *q;
	struct op *op;
};

static void relay_done(void *arg, const struct store_result *result)
{
	struct relay *relay = arg;
	struct engine *e = &relay->q->engine;
	struct op *op = relay->op;

	atomic_store(&e->depth, store_depth(relay->q->memory));
	op->now_ms = clock_wall_ms(e->clock);
	if (op_changes(op) && result->status == STORE_OK)
		engine_changed(e, result->job->job_id, result->job->revision);
	op_answer(op, result);
}

static void remember_tenant(struct queued *q, const char *tenant)
{
	for (int i = 0; i < TENANTS; i++) {
		if (!q->tenants[i][0])
			strcpy(q->tenants[i], tenant);
		if (strcmp(q->tenants[i], tenant) == 0)
			return;
	}
	abort();
}

static void status_done(void *arg, const struct store_result *result)
{
	*(enum store_status *)arg = result->status;
}

static const char *whose(struct queued *q, const char *job_id)
{
	for (int i = 0; i < TENANTS && q->tenants[i][0]; i++) {
		enum store_status status;

		store_read(q->memory, q->tenants[i], job_id, status_done, &status);
		if (status == STORE_OK)
			return q->tenants[i];
	}
	return "nobody";
}

static void run_one(struct queued *q, struct op *op)
{
	struct relay relay = {q, op};
	struct store *m = q->memory;

	switch (op->kind) {
	case OP_CREATE:
		remember_tenant(q, op->tenant);
		store_create(m, op->create, relay_done, &relay);
		break;
	case OP_READ:
		store_read(m, op->tenant ? op->tenant : whose(q, op->id), op->id, relay_done, &relay);
		break;
	case OP_BEGIN:
		store_begin(m, op->tenant, op->id, op->bytes, op->claim_ms, relay_done, &relay);
		break;
	case OP_RELEASE:
		store_release(m, op->tenant, op->id, op->claim, relay_done, &relay);
		break;
	case OP_FINISH:
		store_finish(m, op->tenant, op->id, op->claim, op->bytes, relay_done, &relay);
		break;
	case OP_FAIL:
		store_fail(m, op->tenant, op->id, op->claim, op->bytes.ptr, relay_done, &relay);
		break;
	case OP_CANCEL:
		store_cancel(m, op->tenant, op->id, relay_done, &relay);
		break;
	case OP_TRACE:
		store_trace(m, op->id, relay_done, &relay);
		break;
	default:
		store_sweep(m);
		relay_done(&relay, &(struct store_result){.status = STORE_OK});
		break;
	}
}

static void run(struct engine *e, struct op **ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		run_one((struct queued *)e, ops[i]);
}

static struct store *queued_open(const struct store_options *options, struct fault *fault)
{
	struct queued *q = calloc(1, sizeof(*q));

	ck_assert_ptr_nonnull(q);
	q->memory = store_open("memory", options, fault);
	ck_assert_ptr_nonnull(q->memory);
	q->engine.run = run;
	atomic_store(&q->engine.up, true);
	ck_assert_int_eq(engine_start(&q->engine, &queued_backend, options, fault), 0);
	return &q->engine.store;
}

static void queued_close(struct store *s)
{
	struct queued *q = (struct queued *)s;

	engine_stop(&q->engine);
	store_close(q->memory);
	free(q);
}

const struct store_backend queued_backend = {
        .name = "queued",
        .open = queued_open,
        .close = queued_close,
        .create = engine_create,
        .read = engine_read,
        .begin = engine_begin,
        .release = engine_release,
        .finish = engine_finish,
        .fail = engine_fail,
        .cancel = engine_cancel,
        .trace = engine_trace,
        .watch = engine_watch,
        .unwatch = engine_unwatch,
        .depth = engine_depth,
        .check = engine_check,
        .sweep = engine_sweep,
};
