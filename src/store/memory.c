/*
 * memory - the embedded store: every operation under the lock of one shard
 *
 * Completes before the call returns, with no lock held: done may call the
 * store again. memory.h has the structures and the lock order.
 */
#include <stdlib.h>
#include <string.h>

#include "backends.h"
#include "memory.h"

void memory_lock(pthread_mutex_t *lock)
{
	if (pthread_mutex_lock(lock) != 0)
		abort();
}

void memory_unlock(pthread_mutex_t *lock)
{
	if (pthread_mutex_unlock(lock) != 0)
		abort();
}

/* The finalizer of splitmix64: every bit of the input moves every bit. */
uint64_t memory_mix(const struct memory *m, uint64_t x)
{
	x ^= m->salt;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t job_place(const struct memory *m, uint64_t job_id)
{
	return memory_mix(m, job_id);
}

uint64_t trace_place(const struct memory *m, int64_t ms, uint32_t bits)
{
	return memory_mix(m, (uint64_t)ms ^ (uint64_t)bits << 32);
}

uint64_t key_place(const struct memory *m, const uint8_t *key_digest)
{
	uint64_t words[DIGEST_BYTES / sizeof(uint64_t)], place = 0;

	memcpy(words, key_digest, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		place = memory_mix(m, place ^ words[i]);
	return place;
}

bool memory_budget(struct memory *m, size_t need, int64_t limit)
{
	int64_t held = atomic_load_explicit(&m->bytes, memory_order_relaxed);

	do {
		if (need > 0 && limit > 0 && held + (int64_t)need > limit)
			return false;
	} while (!atomic_compare_exchange_weak(&m->bytes, &held, held + (int64_t)need));
	return true;
}

/* ---- what an operation on one job has in hand ---- */

struct op {
	struct memory *m;
	struct shard *shard; /* locked; NULL: the id is not one */
	struct job *job;     /* NULL: not found */
	const char *job_id;  /* the caller's */
	int64_t now_ms;
	uint64_t changed; /* the job's new revision; 0: it was not changed */
	struct reaped reaped;
	struct held_view held;
};

/* Locks the job's shard and finds it. False: not found; op_leave all the same. */
static bool op_enter(struct op *op, struct store *store, const char *tenant, const char *job_id)
{
	uint64_t id, place;
	struct job *job;

	op->m = (struct memory *)store;
	op->shard = NULL;
	op->job = NULL;
	op->job_id = job_id;
	op->changed = 0;
	reaped_init(&op->reaped);
	if (!job_id_parse(span_of(job_id), &id))
		return false;
	place = job_place(op->m, id);
	op->shard = &op->m->shards[place % SHARDS];
	op->now_ms = clock_wall_ms(op->m->clock);
	memory_lock(&op->shard->lock);
	expiry_reap(op->m, op->shard, op->now_ms, EXPIRE_LAZY, &op->reaped);
	job = table_find(&op->shard->jobs, table_hash(place), job_has_id, &id);
	if (job && job->expires_ms > op->now_ms && strcmp(job->origin->tenant, tenant) == 0)
		op->job = job;
	return op->job != NULL;
}

/* Gives the shard back, then wakes and answers. */
static void op_leave(struct op *op, enum store_status status, uint64_t claim, store_done *done, void *arg)
{
	struct job *job = rule_shows_job(status) ? op->job : NULL;
	struct store_result result = {.status = status, .claim = claim, .job = job ? &op->held.view : NULL};

	if (status == STORE_BUSY)
		result.busy_ms = (job->more->claim_until_us - clock_mono_us(op->m->clock)) / 1000 + 1;
	if (job) {
		job_hold(job);
		job_fill_view(job, &op->held, op->job_id, NULL);
	}
	if (op->shard)
		memory_unlock(&op->shard->lock);
	expiry_settle(op->m, &op->reaped);
	if (op->changed)
		watchers_changed(&op->m->watchers, op->job_id, op->changed);
	done(arg, &result);
	if (job)
		job_let_go(op->m, job);
}

static void op_change(struct op *op, enum job_state state)
{
	struct job *job = op->job;

	if (state != JOB_SCHEDULED && state != JOB_RUNNING)
		atomic_fetch_sub(&op->m->unfinished, 1);
	job->state = (uint8_t)state;
	job->revision++;
	if (op->now_ms > job->updated_ms)
		job->updated_ms = op->now_ms;
	op->changed = job->revision;
}

/* Claims are measured on the monotonic clock. */
static struct standing standing(const struct op *op)
{
	const struct job *job = op->job;
	bool begun = job->state == JOB_RUNNING;

	return (struct standing){
	        .state = (enum job_state)job->state,
	        .claim = begun ? job->more->claim : 0,
	        .claim_live = begun && job->more->claim_until_us > clock_mono_us(op->m->clock),
	};
}

/* ---- the operations but create ---- */

static void memory_read(struct store *store, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	struct op op;
	bool found = op_enter(&op, store, tenant, job_id);

	op_leave(&op, found ? STORE_OK : STORE_NOT_FOUND, 0, done, arg);
}

/* Stages within the limit. False: nothing was changed. */
static bool stage(struct op *op, struct span artifacts)
{
	struct job *job = op->job;
	int64_t before = (int64_t)job_bytes(job), need = 0;
	bool staged;

	if (!job->more)
		need += (int64_t)malloc_bytes(sizeof(*job->more));
	if (artifacts.ptr && (!job->more || !job->more->artifacts))
		need += (int64_t)malloc_bytes(artifacts.len + 1);
	if (artifacts.len > UINT32_MAX / 2 || !memory_budget(op->m, (size_t)need, op->m->max_bytes))
		return false;
	staged = job_need_more(job) && job_stage(job, artifacts);
	memory_account(op->m, (int64_t)job_bytes(job) - before - need);
	return staged;
}

static enum store_status begin(struct op *op, struct span artifacts, int64_t claim_ms, uint64_t *claim)
{
	struct standing now = standing(op);
	enum store_status status = rule_unclaimed(&now);
	int64_t longest_ms = INT64_MAX / 4000;

	if (status != STORE_OK)
		return status;
	if (!stage(op, artifacts))
		return STORE_FULL;
	op_change(op, JOB_RUNNING);
	/* A revision never comes twice: it is the fencing token too. */
	*claim = op->job->more->claim = op->job->revision;
	if (claim_ms > longest_ms)
		claim_ms = longest_ms;
	op->job->more->claim_until_us = clock_mono_us(op->m->clock) + claim_ms * 1000;
	return STORE_OK;
}

static void memory_begin(struct store *store, const char *tenant, const char *job_id, struct span artifacts,
                         int64_t claim_ms, store_done *done, void *arg)
{
	struct op op;
	uint64_t claim = 0;
	enum store_status status = STORE_NOT_FOUND;

	for (int attempt = 0; attempt < 2; attempt++) {
		if (op_enter(&op, store, tenant, job_id))
			status = begin(&op, artifacts, claim_ms, &claim);
		else
			status = STORE_NOT_FOUND;
		if (status != STORE_FULL || attempt > 0)
			break;
		/* What has ended may make room. */
		memory_unlock(&op.shard->lock);
		expiry_settle(op.m, &op.reaped);
		expiry_run(op.m, op.now_ms, 0);
	}
	op_leave(&op, status, claim, done, arg);
}

static void memory_release(struct store *store, const char *tenant, const char *job_id, uint64_t claim,
                           store_done *done, void *arg)
{
	struct op op;
	enum store_status status = STORE_NOT_FOUND;

	if (op_enter(&op, store, tenant, job_id)) {
		struct standing now = standing(&op);

		status = rule_held(&now, claim);
		if (status == STORE_OK)
			op_change(&op, JOB_SCHEDULED);
	}
	op_leave(&op, status, 0, done, arg);
}

/* Keeps the note and moves to an end. Bytes are counted, not limited: what
 * began may always end. */
static enum store_status end(struct op *op, enum job_state state, struct span note)
{
	int64_t before = (int64_t)job_bytes(op->job);
	bool kept = note.len <= UINT32_MAX / 2 && job_need_more(op->job) && job_note(op->job, note);

	memory_account(op->m, (int64_t)job_bytes(op->job) - before);
	if (!kept)
		return STORE_UNAVAILABLE;
	op_change(op, state);
	return STORE_OK;
}

static void memory_finish(struct store *store, const char *tenant, const char *job_id, uint64_t claim,
                          struct span receipt, store_done *done, void *arg)
{
	struct op op;
	enum store_status status = STORE_NOT_FOUND;

	if (op_enter(&op, store, tenant, job_id)) {
		struct standing now = standing(&op);

		status = rule_held(&now, claim);
		if (status == STORE_OK)
			status = end(&op, JOB_COMPLETE, receipt);
	}
	op_leave(&op, status, 0, done, arg);
}

static void memory_fail(struct store *store, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
                        store_done *done, void *arg)
{
	struct op op;
	enum store_status status = STORE_NOT_FOUND;

	if (op_enter(&op, store, tenant, job_id)) {
		struct standing now = standing(&op);

		status = rule_fail(&now, claim);
		if (status == STORE_OK)
			status = end(&op, JOB_FAILED, (struct span){reason, strnlen(reason, REASON_MAX)});
	}
	op_leave(&op, status, 0, done, arg);
}

static void memory_cancel(struct store *store, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	struct op op;
	enum store_status status = STORE_NOT_FOUND;

	if (op_enter(&op, store, tenant, job_id)) {
		struct standing now = standing(&op);

		status = rule_unclaimed(&now);
		if (status == STORE_OK)
			op_change(&op, JOB_CANCELLED);
	}
	op_leave(&op, status, 0, done, arg);
}

/* With a reference; NULL: no such trace. */
static struct job *find_trace(struct memory *m, const char *trace_id)
{
	struct job wanted = {.id = 0}, *job;
	struct index *x;
	uint64_t place;

	if (!trace_id_parse(span_of(trace_id), &wanted.trace_ms, &wanted.trace_bits))
		return NULL;
	place = trace_place(m, wanted.trace_ms, wanted.trace_bits);
	x = &m->traces[place % SHARDS];
	memory_lock(&x->lock);
	job = table_find(&x->table, table_hash(place), job_has_trace, &wanted);
	if (job)
		job_hold(job);
	memory_unlock(&x->lock);
	return job;
}

static void memory_trace(struct store *store, const char *trace_id, store_done *done, void *arg)
{
	struct memory *m = (struct memory *)store;
	struct job *job = find_trace(m, trace_id);
	struct store_result result = {.status = STORE_NOT_FOUND};
	struct held_view held;

	if (job) {
		struct shard *s = &m->shards[job_place(m, job->id) % SHARDS];
		int64_t now_ms = clock_wall_ms(m->clock);

		memory_lock(&s->lock);
		if (job_still_there(job, now_ms)) {
			job_fill_view(job, &held, NULL, trace_id);
			result = (struct store_result){.status = STORE_OK, .job = &held.view};
		}
		memory_unlock(&s->lock);
	}
	done(arg, &result);
	if (job)
		job_let_go(m, job);
}

static bool is_still(struct memory *m, const char *job_id, uint64_t revision)
{
	const struct job *job;
	struct shard *s;
	uint64_t id, place;
	bool still;

	if (!job_id_parse(span_of(job_id), &id))
		return false;
	place = job_place(m, id);
	s = &m->shards[place % SHARDS];
	memory_lock(&s->lock);
	job = table_find(&s->jobs, table_hash(place), job_has_id, &id);
	still = job && job->expires_ms > clock_wall_ms(m->clock) && job->revision == revision;
	memory_unlock(&s->lock);
	return still;
}

/* Registered first, looked at then: a change is either seen here or wakes it. */
static bool memory_watch(struct store *store, struct store_watch *w)
{
	struct memory *m = (struct memory *)store;
	uint64_t seen = w->seen_revision;
	char job_id[JOB_ID_SIZE];

	memcpy(job_id, w->job_id, sizeof(job_id)); /* once registered, w may be woken and gone */
	if (!watchers_add(&m->watchers, w))
		return false;
	return is_still(m, job_id, seen) || !watchers_remove(&m->watchers, w);
}

static bool memory_unwatch(struct store *store, struct store_watch *w)
{
	return watchers_remove(&((struct memory *)store)->watchers, w);
}

static bool memory_check(struct store *store)
{
	(void)store;
	return true;
}

/* ---- life ---- */

static int init_locks(struct memory *m)
{
	if (watchers_init(&m->watchers) != 0)
		return -1;
	for (unsigned i = 0; i < SHARDS; i++) {
		atomic_init(&m->next_due[i], INT64_MAX);
		if (pthread_mutex_init(&m->shards[i].lock, NULL) != 0 ||
		    pthread_mutex_init(&m->traces[i].lock, NULL) != 0 ||
		    pthread_mutex_init(&m->keys[i].lock, NULL) != 0)
			return -1;
	}
	return 0;
}

static struct store *memory_open(const struct store_options *options, struct fault *fault)
{
	struct memory *m;

	if (crypto_init() != 0) {
		fault_set(fault, "memory store: no random source");
		return NULL;
	}
	m = aligned_alloc(alignof(struct memory), sizeof(*m));
	if (!m) {
		fault_set(fault, "memory store: no memory");
		return NULL;
	}
	memset(m, 0, sizeof(*m));
	m->store.backend = &store_memory;
	m->clock = options->clock;
	m->max_jobs = options->max_jobs;
	m->max_bytes = options->memory_max_bytes;
	crypto_random(&m->salt, sizeof(m->salt));
	if (init_locks(m) != 0) {
		fault_set(fault, "memory store: no mutex");
		free(m);
		return NULL;
	}
	return &m->store;
}

static void free_shard(struct memory *m, struct shard *s)
{
	for (uint32_t i = 0; i < s->heap_len; i++) {
		origin_drop(m, s, s->heap[i].job->origin);
		job_free(s->heap[i].job);
	}
	free(s->heap);
	table_free(&s->jobs);
	table_free(&s->origins);
}

static void memory_close(struct store *store)
{
	struct memory *m = (struct memory *)store;

	watchers_close(&m->watchers);
	for (unsigned i = 0; i < SHARDS; i++) {
		free_shard(m, &m->shards[i]);
		table_free(&m->traces[i].table);
		table_free(&m->keys[i].table);
		pthread_mutex_destroy(&m->shards[i].lock);
		pthread_mutex_destroy(&m->traces[i].lock);
		pthread_mutex_destroy(&m->keys[i].lock);
	}
	watchers_destroy(&m->watchers);
	free(m);
}

const struct store_backend store_memory = {
        .name = "memory",
        .open = memory_open,
        .close = memory_close,
        .create = memory_create,
        .read = memory_read,
        .begin = memory_begin,
        .release = memory_release,
        .finish = memory_finish,
        .fail = memory_fail,
        .cancel = memory_cancel,
        .trace = memory_trace,
        .watch = memory_watch,
        .unwatch = memory_unwatch,
        .depth = memory_depth,
        .check = memory_check,
        .sweep = memory_sweep,
};
