/*
 * memory_expiry - jobs end when their time is over
 *
 * Each shard keeps its jobs in a binary heap by expiry. Whatever a job goes
 * through, it stays in the heap until it is due: there is no search and no
 * removal from the middle. Work is in bounded steps: an operation removes at
 * most EXPIRE_LAZY due jobs on its way, which keeps pace with any rate of
 * creation; the sweep does the rest. Nobody sees a due job meanwhile, and
 * depth removes all of them before it counts.
 */
#include <stdlib.h>

#include "memory.h"

#define HEAP_MIN 8u

static bool heap_resize(struct memory *m, struct shard *s, uint32_t cap)
{
	int64_t before = s->heap_cap ? (int64_t)malloc_bytes(s->heap_cap * sizeof(struct due)) : 0;
	struct due *heap = realloc(s->heap, cap * sizeof(struct due));

	if (!heap)
		return false;
	s->heap = heap;
	s->heap_cap = cap;
	memory_account(m, (int64_t)malloc_bytes(cap * sizeof(struct due)) - before);
	return true;
}

bool expiry_reserve(struct memory *m, struct shard *s)
{
	if (s->heap_len < s->heap_cap)
		return true;
	if (s->heap_cap > UINT32_MAX / 2)
		return false;
	return heap_resize(m, s, s->heap_cap ? s->heap_cap + s->heap_cap / 2 : HEAP_MIN);
}

static void heap_drop(struct memory *m, struct shard *s)
{
	memory_account(m, -(int64_t)malloc_bytes(s->heap_cap * sizeof(struct due)));
	free(s->heap);
	s->heap = NULL;
	s->heap_cap = 0;
}

static void publish_due(struct memory *m, const struct shard *s)
{
	int64_t at = s->heap_len ? s->heap[0].at_ms : INT64_MAX;

	atomic_store_explicit(&m->next_due[s - m->shards], at, memory_order_release);
}

void expiry_push(struct memory *m, struct shard *s, struct job *job)
{
	uint32_t i = s->heap_len++;

	while (i > 0 && s->heap[(i - 1) / 2].at_ms > job->expires_ms) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = (struct due){job->expires_ms, job};
	if (i == 0)
		publish_due(m, s);
}

static struct job *heap_pop(struct memory *m, struct shard *s)
{
	struct job *job = s->heap[0].job;
	struct due last = s->heap[--s->heap_len];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < s->heap_len) {
		if (child + 1 < s->heap_len && s->heap[child + 1].at_ms < s->heap[child].at_ms)
			child++;
		if (last.at_ms <= s->heap[child].at_ms)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	if (s->heap_len)
		s->heap[i] = last;
	else
		heap_drop(m, s);
	/* Failing to shrink is no failure. */
	if (s->heap_cap > 4 * HEAP_MIN && s->heap_len < s->heap_cap / 5)
		(void)heap_resize(m, s, s->heap_cap / 2);
	return job;
}

static void leave_shard(struct memory *m, struct shard *s, struct job *job)
{
	int64_t before = (int64_t)table_bytes(&s->jobs);

	table_remove(&s->jobs, table_hash(job_place(m, job->id)), job);
	memory_account(m, (int64_t)table_bytes(&s->jobs) - before);
	if (job->state == JOB_SCHEDULED || job->state == JOB_RUNNING)
		atomic_fetch_sub(&m->unfinished, 1);
	atomic_store_explicit(&job->gone, true, memory_order_release);
	origin_drop(m, s, job->origin);
	job->origin = NULL;
}

void expiry_reap(struct memory *m, struct shard *s, int64_t now_ms, uint32_t max, struct reaped *reaped)
{
	uint32_t had = reaped->count;

	while (reaped->count < max && s->heap_len && s->heap[0].at_ms <= now_ms) {
		struct job *job = heap_pop(m, s);

		leave_shard(m, s, job);
		reaped->jobs[reaped->count++] = job;
	}
	if (reaped->count != had)
		publish_due(m, s);
}

static void leave_index(struct memory *m, struct index *x, uint64_t place, const struct job *job)
{
	int64_t before;

	memory_lock(&x->lock);
	before = (int64_t)table_bytes(&x->table);
	table_remove(&x->table, table_hash(place), job);
	memory_account(m, (int64_t)table_bytes(&x->table) - before);
	memory_unlock(&x->lock);
}

void expiry_settle(struct memory *m, struct reaped *reaped)
{
	for (uint32_t i = 0; i < reaped->count; i++) {
		struct job *job = reaped->jobs[i];
		uint64_t place = trace_place(m, job->trace_ms, job->trace_bits);

		leave_index(m, &m->traces[place % SHARDS], place, job);
		if (job->has & HAS_KEY) {
			place = key_place(m, job_key(job));
			leave_index(m, &m->keys[place % SHARDS], place, job);
		}
	}
	for (uint32_t i = 0; i < reaped->count; i++) {
		char job_id[JOB_ID_SIZE];

		job_id_format(reaped->jobs[i]->id, job_id);
		watchers_lost(&m->watchers, job_id);
		job_let_go(m, reaped->jobs[i]);
	}
	reaped_init(reaped);
}

/* One hold of the shard's lock. */
static uint32_t run_step(struct memory *m, struct shard *s, int64_t now_ms)
{
	struct reaped reaped;
	uint32_t count;

	reaped_init(&reaped);
	memory_lock(&s->lock);
	expiry_reap(m, s, now_ms, EXPIRE_STEP, &reaped);
	memory_unlock(&s->lock);
	count = reaped.count;
	expiry_settle(m, &reaped);
	return count;
}

/* Nearly always not; costs some tens of nanoseconds. */
static bool any_due(const struct memory *m, int64_t now_ms)
{
	bool due = false;

	for (unsigned i = 0; i < SHARDS; i++)
		due |= atomic_load_explicit(&m->next_due[i], memory_order_acquire) <= now_ms;
	return due;
}

uint32_t expiry_run(struct memory *m, int64_t now_ms, uint32_t max)
{
	unsigned from = atomic_load_explicit(&m->sweep_from, memory_order_relaxed);
	uint32_t removed = 0;

	if (!any_due(m, now_ms))
		return 0;
	for (unsigned i = 0; i < SHARDS; i++) {
		unsigned at = (from + i) % SHARDS;

		while (atomic_load_explicit(&m->next_due[at], memory_order_acquire) <= now_ms) {
			removed += run_step(m, &m->shards[at], now_ms);
			if (max && removed >= max) {
				/* the next sweep begins here, so that no shard is starved */
				atomic_store_explicit(&m->sweep_from, at, memory_order_relaxed);
				return removed;
			}
		}
	}
	return removed;
}

int64_t memory_depth(struct store *store)
{
	struct memory *m = (struct memory *)store;

	expiry_run(m, clock_wall_ms(m->clock), 0);
	return atomic_load(&m->unfinished);
}

void memory_sweep(struct store *store)
{
	struct memory *m = (struct memory *)store;

	expiry_run(m, clock_wall_ms(m->clock), SWEEP_MAX);
}
