/*
 * memory - the memory store's own structures
 *
 * Three sets of SHARDS tables, a mutex each:
 *
 *   shards   jobs by the 48 bits of the job id; owns what changes in a job
 *   traces   the same jobs by (ms, bits) of the trace id
 *   keys     those created with an idempotency key, by its digest
 *
 * LOCK ORDER  key index, then shard, then trace index; at most one of each.
 *             Only create holds more than one. A job that is removed leaves
 *             its shard first, under that lock alone, then the trace index,
 *             then the key index: whoever finds it there meanwhile sees gone.
 *             No lock is held while done or wake is called, or a watch is
 *             looked for.
 *
 * A job is one allocation: what every queued job has, then what only some
 * have (key and body digests, advice, traceparent), then the seed. What a
 * begun job has besides is in struct job_more. Whatever a view points to is
 * written once and lives until the last reference goes, so a view needs
 * nothing but a reference.
 *
 * A job leaves its shard only when its time is over, so the heap of expiries
 * is pushed and popped, never searched.
 */
#ifndef SIMLANE_MEMORY_H
#define SIMLANE_MEMORY_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "memory_table.h"
#include "rules.h"
#include "simlane/ids.h"
#include "simlane/store.h"
#include "watchers.h"

#define SHARDS      64u
#define NOTE_ROOM   128u /* a receipt of up to that size is kept without a further allocation */
#define EXPIRE_LAZY 2u   /* due jobs that an operation removes on its way */
#define EXPIRE_STEP 64u  /* due jobs removed under one hold of a lock */
#define SWEEP_MAX   (256u * EXPIRE_STEP)

/* Who scheduled a job under which policy: shared by all such jobs of a shard. */
struct origin {
	uint32_t refs, hash; /* refs: the shard's lock */
	uint64_t policy_digest;
	const char *version; /* behind the tenant */
	char tenant[];
};

struct job_more {
	uint64_t claim; /* 0: nobody's; the shard's lock */
	int64_t claim_until_us;
	char *artifacts; /* NULL: none staged */
	char *note;      /* receipt or reason: room, or its own allocation; NULL: none */
	uint32_t artifacts_len, note_len;
	char room[NOTE_ROOM];
};

struct job {
	uint64_t id;
	int64_t trace_ms;
	int64_t created_ms, expires_ms;
	int64_t updated_ms;    /* the shard's lock, as all that is marked so */
	struct origin *origin; /* the shard's lock; NULL once gone */
	struct job_more *more; /* the shard's lock; NULL until it is needed */
	uint32_t trace_bits;
	uint32_t goal_chars;
	uint32_t seed_len;
	uint32_t revision; /* the shard's lock */
	atomic_uint refs;  /* one of the tables', one a view */
	atomic_bool gone;  /* written under the shard's lock */
	uint8_t state;     /* the shard's lock; enum job_state */
	uint8_t has;       /* enum job_has */
	uint8_t traceparent_len;
	char tail[];
};

enum job_has { HAS_KEY = 1, HAS_ADVICE = 2, HAS_STEPPED_UP = 4 };

struct due {
	int64_t at_ms;
	struct job *job;
};

struct shard {
	alignas(64) pthread_mutex_t lock; /* guards all below */
	struct table jobs, origins;
	struct origin *last_origin;
	struct due *heap; /* every job, the first to end at [0] */
	uint32_t heap_len, heap_cap;
};

struct index {
	alignas(64) pthread_mutex_t lock; /* guards all below */
	struct table table;
};

struct memory {
	struct store store;
	const struct clock *clock;
	int64_t max_jobs, max_bytes;
	uint64_t salt; /* so that nobody can choose a slot */
	atomic_uint sweep_from;
	/* What counts against the limits. */
	alignas(64) _Atomic int64_t unfinished;
	_Atomic int64_t bytes;
	/* A shard's earliest expiry (INT64_MAX: none), so that depth and sweep
	 * need not lock it; written under its lock. */
	alignas(64) _Atomic int64_t next_due[SHARDS];
	struct shard shards[SHARDS];
	struct index traces[SHARDS], keys[SHARDS];
	struct watchers watchers;
};

/* What has left its shard and must leave the indexes, and who must be woken,
 * once the shard's lock is given back. */
struct reaped {
	uint32_t count;
	struct job *jobs[EXPIRE_STEP];
};

/* Not the array: an operation costs less than clearing that. */
static inline void reaped_init(struct reaped *reaped)
{
	reaped->count = 0;
}

/* A view with the memory for its short texts. */
struct held_view {
	struct job_view view;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
	char tenant[TENANT_MAX + 1], version[VERSION_MAX + 1];
};

void memory_lock(pthread_mutex_t *lock);
void memory_unlock(pthread_mutex_t *lock);
static inline void memory_account(struct memory *m, int64_t bytes)
{
	atomic_fetch_add_explicit(&m->bytes, bytes, memory_order_relaxed);
}

/* Counts need bytes, unless the limit (0: none) would be passed: false. */
bool memory_budget(struct memory *m, size_t need, int64_t limit);

/* Places: a well-mixed number of which the low bits choose the shard and the
 * high ones the slot. */
uint64_t memory_mix(const struct memory *m, uint64_t x);
uint64_t job_place(const struct memory *m, uint64_t job_id);
uint64_t trace_place(const struct memory *m, int64_t ms, uint32_t bits);
uint64_t key_place(const struct memory *m, const uint8_t *key_digest);

/* ---- memory_job.c ---- */

/* A record in state scheduled with two references (tables, the creator's
 * view); nothing locked, accounted or shared yet. NULL: no memory. */
struct job *job_new(const struct store_create *c, const struct job_ids *ids, int64_t now_ms);
size_t job_bytes(const struct job *job); /* all that it holds */
const uint8_t *job_key(const struct job *job);
const uint8_t *job_body(const struct job *job);
/* Comparisons for table_find; key: uint64_t id, a job with that trace, a digest. */
bool job_has_id(const void *job, const void *id);
bool job_has_trace(const void *job, const void *like);
bool job_has_key(const void *job, const void *key_digest);
/* Neither past its time nor removed; any lock, or none. */
bool job_still_there(const struct job *job, int64_t now_ms);
static inline void job_hold(struct job *job)
{
	atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
}
void job_let_go(struct memory *m, struct job *job);
void job_free(struct job *job);
/* All three under the shard's lock, nothing accounted; false: no memory.
 * Artifacts that are staged already stay; a note is set once. */
bool job_need_more(struct job *job);
bool job_stage(struct job *job, struct span artifacts);
bool job_note(struct job *job, struct span note);
/* Under the shard's lock, and not once gone. The caller has a reference. The
 * ids' texts where they are known (they are copied); NULL: written anew. */
void job_fill_view(const struct job *job, struct held_view *out, const char *job_id, const char *trace_id);

struct origin *origin_take(struct memory *m, struct shard *s, const struct store_create *c); /* NULL: no memory */
void origin_drop(struct memory *m, struct shard *s, struct origin *o);

/* ---- memory_create.c ---- */

void memory_create(struct store *store, const struct store_create *c, store_done *done, void *arg);

/* ---- memory_expiry.c ---- */

bool expiry_reserve(struct memory *m, struct shard *s);
void expiry_push(struct memory *m, struct shard *s, struct job *job); /* reserved before */
/* Removes due jobs from the shard until reaped holds max. Under its lock. */
void expiry_reap(struct memory *m, struct shard *s, int64_t now_ms, uint32_t max, struct reaped *reaped);
/* No lock held: takes them out of the indexes, wakes, lets go; empty afterwards. */
void expiry_settle(struct memory *m, struct reaped *reaped);
/* Removes all that is due everywhere, at most max jobs (0: no limit). Returns how many. */
uint32_t expiry_run(struct memory *m, int64_t now_ms, uint32_t max);
int64_t memory_depth(struct store *store);
void memory_sweep(struct store *store);

#endif
