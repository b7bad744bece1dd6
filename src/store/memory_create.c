/*
 * memory_create - a job is there whole, in all tables, or not at all
 *
 * The record is made before any lock is taken. Under the locks everything
 * that can fail comes first (room in the tables, the limits), so that what
 * follows cannot.
 */
#include <string.h>

#include "memory.h"

static bool budget_job(struct memory *m)
{
	int64_t n = atomic_load_explicit(&m->unfinished, memory_order_relaxed);

	do {
		if (m->max_jobs > 0 && n >= m->max_jobs)
			return false;
	} while (!atomic_compare_exchange_weak(&m->unfinished, &n, n + 1));
	return true;
}

struct creation {
	struct memory *m;
	const struct store_create *c;
	struct job *job; /* not yet in any table */
	struct shard *shard;
	struct index *traces, *keys; /* keys: NULL without a key */
	uint64_t place, trace, key;
	int64_t now_ms;
	struct reaped reaped;
	struct held_view held;
};

/* The three tables, the heap, the origin and both limits; all or nothing. */
static bool make_room(struct creation *n)
{
	struct memory *m = n->m;
	struct table *tables[] = {&n->shard->jobs, &n->traces->table, n->keys ? &n->keys->table : NULL};

	for (size_t i = 0; i < 3 && tables[i]; i++) {
		int64_t before = (int64_t)table_bytes(tables[i]);

		if (!table_reserve(tables[i]))
			return false;
		if ((int64_t)table_bytes(tables[i]) != before)
			memory_account(m, (int64_t)table_bytes(tables[i]) - before);
	}
	if (!expiry_reserve(m, n->shard))
		return false;
	n->job->origin = origin_take(m, n->shard, n->c);
	if (!n->job->origin)
		return false;
	/* The last eighth is for the artifacts of jobs that are there. */
	if (memory_budget(m, job_bytes(n->job), m->max_bytes - m->max_bytes / 8)) {
		if (budget_job(m))
			return true;
		memory_account(m, -(int64_t)job_bytes(n->job));
	}
	origin_drop(m, n->shard, n->job->origin);
	return false;
}

static enum store_status insert(struct creation *n)
{
	struct job *job = n->job;

	if (table_find(&n->shard->jobs, table_hash(n->place), job_has_id, &job->id) ||
	    table_find(&n->traces->table, table_hash(n->trace), job_has_trace, job))
		return STORE_EXISTS;
	if (!make_room(n))
		return STORE_FULL;
	table_insert(&n->shard->jobs, table_hash(n->place), job);
	table_insert(&n->traces->table, table_hash(n->trace), job);
	if (n->keys)
		table_insert(&n->keys->table, table_hash(n->key), job);
	expiry_push(n->m, n->shard, job);
	job_fill_view(job, &n->held, n->c->job_id, n->c->trace_id);
	return STORE_OK;
}

static enum store_status insert_locked(struct creation *n)
{
	enum store_status status;

	memory_lock(&n->shard->lock);
	expiry_reap(n->m, n->shard, n->now_ms, EXPIRE_LAZY, &n->reaped);
	memory_lock(&n->traces->lock);
	status = insert(n);
	memory_unlock(&n->traces->lock);
	memory_unlock(&n->shard->lock);
	return status;
}

/* The job that was created with that key, with a reference; NULL: none lives.
 * One that has ended is taken out: its key is free again. Under keys' lock. */
static struct job *find_key(struct creation *n)
{
	struct job *old = table_find(&n->keys->table, table_hash(n->key), job_has_key, n->c->key_digest);

	if (!old)
		return NULL;
	if (job_still_there(old, n->now_ms)) {
		job_hold(old);
		return old;
	}
	int64_t before = (int64_t)table_bytes(&n->keys->table);
	table_remove(&n->keys->table, table_hash(n->key), old);
	memory_account(n->m, (int64_t)table_bytes(&n->keys->table) - before);
	return NULL;
}

/* NOT_FOUND: it has gone meanwhile. Takes over the reference of old: it is
 * let go after the answer. */
static enum store_status replay(struct creation *n, struct job *old)
{
	struct shard *s = &n->m->shards[job_place(n->m, old->id) % SHARDS];
	enum store_status status = STORE_NOT_FOUND;

	memory_lock(&s->lock);
	if (job_still_there(old, n->now_ms)) {
		bool same = memcmp(job_body(old), n->c->body_digest, DIGEST_BYTES) == 0;

		status = same ? STORE_REPLAYED : STORE_MISMATCH;
		if (same)
			job_fill_view(old, &n->held, NULL, NULL);
	}
	memory_unlock(&s->lock);
	return status;
}

static enum store_status create_once(struct creation *n, struct job **replayed)
{
	enum store_status status;

	if (!n->keys)
		return insert_locked(n);
	do {
		memory_lock(&n->keys->lock);
		*replayed = find_key(n);
		if (!*replayed) {
			status = insert_locked(n);
			memory_unlock(&n->keys->lock);
			return status;
		}
		memory_unlock(&n->keys->lock);
		status = replay(n, *replayed);
		if (status == STORE_REPLAYED)
			return status;
		job_let_go(n->m, *replayed);
		*replayed = NULL;
	} while (status == STORE_NOT_FOUND);
	return status;
}

static void creation_prepare(struct creation *n, struct memory *m, const struct store_create *c, int64_t now_ms,
                             struct job *job)
{
	n->m = m;
	n->c = c;
	n->job = job;
	n->now_ms = now_ms;
	reaped_init(&n->reaped);
	n->place = job_place(m, job->id);
	n->shard = &m->shards[n->place % SHARDS];
	n->trace = trace_place(m, job->trace_ms, job->trace_bits);
	n->traces = &m->traces[n->trace % SHARDS];
	n->key = c->key_digest ? key_place(m, c->key_digest) : 0;
	n->keys = c->key_digest ? &m->keys[n->key % SHARDS] : NULL;
}

/* Full: removes all that is due. True: there was something. */
static bool make_way(struct creation *n)
{
	uint32_t removed = n->reaped.count;

	expiry_settle(n->m, &n->reaped);
	return removed + expiry_run(n->m, n->now_ms, 0) > 0;
}

void memory_create(struct store *store, const struct store_create *c, store_done *done, void *arg)
{
	struct memory *m = (struct memory *)store;
	struct job *job, *shown, *replayed = NULL;
	enum store_status status;
	struct job_ids ids;
	struct creation n;
	int64_t now_ms = clock_wall_ms(m->clock);

	if (!rule_well_formed(c, &ids)) {
		done(arg, &(struct store_result){.status = STORE_UNAVAILABLE});
		return;
	}
	job = job_new(c, &ids, now_ms);
	if (!job) {
		done(arg, &(struct store_result){.status = STORE_FULL});
		return;
	}
	creation_prepare(&n, m, c, now_ms, job);
	status = create_once(&n, &replayed);
	if (status == STORE_FULL && make_way(&n))
		status = create_once(&n, &replayed);
	expiry_settle(m, &n.reaped);
	if (status != STORE_OK)
		job_free(job);
	shown = status == STORE_OK ? job : replayed;
	done(arg, &(struct store_result){.status = status, .job = shown ? &n.held.view : NULL});
	if (shown)
		job_let_go(m, shown);
}
