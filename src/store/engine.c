/* engine.c - operations become items of a batcher; see engine.h */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#define STUCK_MS     1000
#define LOOKS_A_TIME 64u
#define LONGEST_MS   (INT64_C(100) * 366 * 86400 * 1000)

static struct engine *engine_of(struct store *s)
{
	return (struct engine *)s;
}

/* ---- answers ---- */

void op_answer(struct op *op, const struct store_result *result)
{
	if (op->done)
		op->done(op->arg, result);
	free(op);
}

void op_answer_status(struct op *op, enum store_status status)
{
	op_answer(op, &(struct store_result){.status = status});
}

bool op_changes(const struct op *op)
{
	return op->kind != OP_READ && op->kind != OP_TRACE && op->kind != OP_SWEEP;
}

void op_answer_all_unavailable(struct op **ops, size_t n, bool unknown)
{
	for (size_t i = 0; i < n; i++) {
		bool in_doubt = unknown && op_changes(ops[i]);

		op_answer(ops[i], &(struct store_result){.status = STORE_UNAVAILABLE, .unknown = in_doubt});
	}
}

/* ---- questions ---- */

static void execute(void *ctx, struct batch_item **items, size_t n)
{
	struct engine *e = ctx;

	/* The item is an op's first member, so these are pointers to ops. */
	e->run(e, (struct op **)(void *)items, n);
}

size_t engine_more(struct engine *e, struct op **ops, size_t n, size_t min)
{
	return batcher_more(e->batcher, (struct batch_item **)(void *)(ops + n), min, ENGINE_BATCH_MAX - n);
}

static bool submit(struct engine *e, const struct op *draft)
{
	struct op *op = malloc(sizeof(*op));

	if (!op)
		return false;
	*op = *draft;
	if (batcher_submit(e->batcher, &op->item))
		return true;
	free(op);
	return false;
}

static void ask(struct store *s, const struct op *draft)
{
	if (!submit(engine_of(s), draft))
		draft->done(draft->arg, &(struct store_result){.status = STORE_UNAVAILABLE});
}

/* As ask, of one job by its id. */
static void ask_job(struct store *s, const struct op *draft)
{
	if (job_id_parse(span_of(draft->id), NULL))
		ask(s, draft);
	else
		draft->done(draft->arg, &(struct store_result){.status = STORE_NOT_FOUND});
}

void engine_create(struct store *s, const struct store_create *c, store_done *done, void *arg)
{
	struct job_ids ids;

	if (rule_well_formed(c, &ids))
		ask(s, &(struct op){.kind = OP_CREATE,
		                    .tenant = c->tenant,
		                    .id = c->job_id,
		                    .create = c,
		                    .done = done,
		                    .arg = arg});
	else
		done(arg, &(struct store_result){.status = STORE_UNAVAILABLE});
}

void engine_read(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	ask_job(s, &(struct op){.kind = OP_READ, .tenant = tenant, .id = job_id, .done = done, .arg = arg});
}

void engine_begin(struct store *s, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
                  store_done *done, void *arg)
{
	if (artifacts.len > UINT32_MAX / 2) {
		done(arg, &(struct store_result){.status = STORE_FULL});
		return;
	}
	ask_job(s, &(struct op){.kind = OP_BEGIN,
	                        .tenant = tenant,
	                        .id = job_id,
	                        .bytes = artifacts,
	                        .claim_ms = claim_ms < LONGEST_MS ? claim_ms : LONGEST_MS,
	                        .done = done,
	                        .arg = arg});
}

void engine_release(struct store *s, const char *tenant, const char *job_id, uint64_t claim, store_done *done,
                    void *arg)
{
	ask_job(s,
	        &(struct op){
	                .kind = OP_RELEASE, .tenant = tenant, .id = job_id, .claim = claim, .done = done, .arg = arg});
}

void engine_finish(struct store *s, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                   store_done *done, void *arg)
{
	ask_job(s, &(struct op){.kind = OP_FINISH,
	                        .tenant = tenant,
	                        .id = job_id,
	                        .bytes = receipt,
	                        .claim = claim,
	                        .done = done,
	                        .arg = arg});
}

void engine_fail(struct store *s, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
                 store_done *done, void *arg)
{
	ask_job(s, &(struct op){.kind = OP_FAIL,
	                        .tenant = tenant,
	                        .id = job_id,
	                        .bytes = {reason, strnlen(reason, REASON_MAX)},
	                        .claim = claim,
	                        .done = done,
	                        .arg = arg});
}

void engine_cancel(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	ask_job(s, &(struct op){.kind = OP_CANCEL, .tenant = tenant, .id = job_id, .done = done, .arg = arg});
}

void engine_trace(struct store *s, const char *trace_id, store_done *done, void *arg)
{
	if (trace_id_parse(span_of(trace_id), NULL, NULL))
		ask(s, &(struct op){.kind = OP_TRACE, .id = trace_id, .done = done, .arg = arg});
	else
		done(arg, &(struct store_result){.status = STORE_NOT_FOUND});
}

/* ---- watches ---- */

/* A read whose answer goes to the watches of that job. */
struct look {
	struct engine *engine;
	struct op *op;
	char job_id[JOB_ID_SIZE];
};

static void looked(void *arg, const struct store_result *result)
{
	struct look *l = arg;
	struct watchers *ws = &l->engine->watchers;
	int64_t now_us = clock_mono_us(l->engine->clock);

	if (result->job) {
		int64_t left_ms = result->job->expires_ms - l->op->now_ms;

		if (left_ms > LONGEST_MS)
			left_ms = LONGEST_MS;
		watchers_looked(ws, l->job_id, true, result->job->revision, now_us + left_ms * 1000);
	} else if (result->status == STORE_NOT_FOUND || !l->engine->listen) {
		watchers_lost(ws, l->job_id);
	} else { /* the engine is away */
		watchers_unsure(ws, l->job_id);
	}
	free(l);
}

/* False: the look could not be asked for. */
static bool look(struct engine *e, const char *job_id)
{
	struct look *l = malloc(sizeof(*l));
	struct op *op = malloc(sizeof(*op));

	if (l && op) {
		*l = (struct look){.engine = e, .op = op};
		memcpy(l->job_id, job_id, JOB_ID_SIZE);
		*op = (struct op){.kind = OP_READ, .id = l->job_id, .done = looked, .arg = l};
		if (batcher_submit(e->batcher, &op->item))
			return true;
	}
	free(l);
	free(op);
	return false;
}

static void look_or_wake(struct engine *e, const char *job_id)
{
	if (!look(e, job_id))
		watchers_lost(&e->watchers, job_id);
}

void engine_changed(struct engine *e, const char *job_id, uint64_t revision)
{
	watchers_changed(&e->watchers, job_id, revision);
}

void engine_listening(struct engine *e, unsigned slot)
{
	/* Those that come meanwhile find the slot listened to and ask for themselves. */
	size_t n = watchers_count(&e->watchers, slot);
	char(*job_ids)[JOB_ID_SIZE] = calloc(n + 1, sizeof(*job_ids));

	if (!job_ids)
		return; /* the waiters' own deadlines remain */
	n = watchers_jobs(&e->watchers, slot, job_ids, n);
	for (size_t i = 0; i < n; i++)
		look_or_wake(e, job_ids[i]);
	free(job_ids);
}

bool engine_watch(struct store *s, struct store_watch *w)
{
	struct engine *e = engine_of(s);
	char job_id[JOB_ID_SIZE];

	memcpy(job_id, w->job_id, sizeof(job_id)); /* once registered, w may be woken and gone */
	if (!watchers_add(&e->watchers, w))
		return false;
	if (e->listen && !e->listen(e, watchers_slot(job_id))) {
		watchers_unsure(&e->watchers, job_id); /* looked at when it is, or with the next sweep */
		return true;
	}
	return look(e, job_id) || !watchers_remove(&e->watchers, w);
}

bool engine_unwatch(struct store *s, struct store_watch *w)
{
	return watchers_remove(&engine_of(s)->watchers, w);
}

/* ---- the rest ---- */

int64_t engine_depth(struct store *s)
{
	return atomic_load(&engine_of(s)->depth);
}

bool engine_check(struct store *s)
{
	struct engine *e = engine_of(s);

	return atomic_load(&e->up) && batcher_busy_ms(e->batcher) < STUCK_MS;
}

static void swept(void *arg, const struct store_result *result)
{
	struct engine *e = arg;

	(void)result;
	atomic_store(&e->sweeping, false);
}

void engine_sweep(struct store *s)
{
	struct engine *e = engine_of(s);
	char job_ids[LOOKS_A_TIME][JOB_ID_SIZE];
	size_t n;

	if (!atomic_exchange(&e->sweeping, true) && !submit(e, &(struct op){.kind = OP_SWEEP, .done = swept, .arg = e}))
		atomic_store(&e->sweeping, false);
	n = watchers_ended(&e->watchers, clock_mono_us(e->clock), job_ids, LOOKS_A_TIME);
	for (size_t i = 0; i < n; i++)
		look_or_wake(e, job_ids[i]);
}

int engine_start(struct engine *e, const struct store_backend *backend, const struct store_options *options,
                 struct fault *fault)
{
	struct batcher_options batching = {
	        .name = backend->name,
	        .queue_max = ENGINE_QUEUE_MAX,
	        .batch_max = ENGINE_BATCH_MAX,
	        .linger_ms = e->linger_ms,
	        .execute = execute,
	        .ctx = e,
	};

	e->store.backend = backend;
	e->clock = options->clock;
	e->log = options->log;
	e->max_jobs = options->max_jobs;
	if (watchers_init(&e->watchers) == 0)
		e->batcher = batcher_start(&batching);
	if (e->batcher)
		return 0;
	watchers_destroy(&e->watchers);
	return fault_set(fault, "%s store: no memory or no thread", backend->name);
}

void engine_stop(struct engine *e)
{
	watchers_close(&e->watchers);
	batcher_stop(e->batcher);
	watchers_destroy(&e->watchers);
}
