/*
 * harness - what the contract suite needs to hold a backend to its word
 *
 * A rig is one open store with a clock that the test owns. ask_* call an
 * operation, wait for its completion whichever thread it comes from, and copy
 * the whole view: an answer stays valid until answer_free.
 *
 * A new backend is one line in the table of subjects (rig.c). The time of
 * every subject is the test's, to the millisecond: where the engine keeps it
 * itself (Redis), its process is given the test's clock (tests/shim/faketime.c).
 *
 * Everything that a test leaves on the disk is below one directory, which the
 * program removes when it ends.
 */
#ifndef SIMLANE_CONTRACT_HARNESS_H
#define SIMLANE_CONTRACT_HARNESS_H

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/clock.h"
#include "simlane/ids.h"
#include "simlane/store.h"

#define TTL_MS   60000
#define CLAIM_MS 5000

/* What the header allows an engine to do later, or leaves to a backend. */
struct subject {
	const char *name;
	bool engine;       /* depth and sweep come later; a watch that is too late may be registered and woken */
	bool limits_bytes; /* memory_max_bytes is its own limit */
	bool durable;      /* what was answered is there when it is opened again */
	bool shared;       /* several stores may be open on the same data */
	bool exclusive;    /* a second store on the same data is refused */
	bool claims_stay;  /* a claim outlives the store that gave it: other daemons are there to see it */
	bool wall_claims;  /* claims are measured on the engine's wall clock: its daemons share no other */
	bool server;       /* needs a redis-server and the shim */
	const struct store_backend *own; /* of the suite itself, not of store_open */
};

extern const struct store_backend queued_backend; /* queued.c */

/* The suite as it is run: subjects that lack something are left out, with a
 * line that says so. CONTRACT_SUBJECT names a single one; with CONTRACT_LOG
 * the stores log to standard error. */
void harness_begin(void);
void harness_end(void);
const struct subject *subject_at(int i);
int subject_count(void);
const struct subject *subject_named(const char *name); /* left out or not; NULL: unknown */

struct test_clock {
	struct clock clock; /* the first member */
	_Atomic int64_t mono_us, own_wall_ms;
	_Atomic int64_t *wall_ms; /* own_wall_ms, or what the engine's process sees too */
};

struct rig {
	const struct subject *subject;
	struct store *store;
	struct store_options options;
	struct log *log; /* NULL: none */
	struct test_clock own_clock, *clock;
	atomic_ullong ids;
	char dir[64], path[80], url[96], prefix[32];
};

void rig_open(struct rig *r, int subject, int64_t max_jobs, int64_t max_bytes);
void rig_close(struct rig *r);
void rig_shut(struct rig *r);   /* closed, the data stay */
void rig_reopen(struct rig *r); /* shut, where it is not yet, and opened again on the same data */
/* A second store on the data and clock of the first, which must be closed later. */
void rig_join(struct rig *second, struct rig *first);

/* Two daemons on one engine. */
struct pair {
	struct rig one, two;
};

void pair_open(struct pair *p, int subject, int64_t max_jobs);
void pair_close(struct pair *p);

void pass_ms(struct rig *r, int64_t ms); /* wall and monotonic */
void wall_pass_ms(struct rig *r, int64_t ms);
int64_t rig_now(struct rig *r);
void sleep_ms(int64_t ms); /* in earnest */

/* What the engine holds: keys, or bytes on the disk; 0 where nobody can tell. */
int64_t rig_footprint(struct rig *r);

/* Sweeps, and returns when that is done. */
void sweep(struct rig *r);
/* Exactly n live unfinished jobs: at once, or on an engine within two seconds. */
void expect_depth(struct rig *r, int64_t n);

struct bytes {
	char *ptr; /* NULL: absent */
	size_t len;
};

struct answer {
	enum store_status status;
	bool unknown, has_job;
	uint64_t claim;
	struct job_view job; /* texts and spans point to the members below */
	char texts[6][160];  /* job, trace, tenant, version, traceparent, failure */
	struct bytes seed, artifacts, receipt;
	pthread_t thread; /* in which it came */
};

void answer_free(struct answer *a);

/* For a call of one's own: store_x(..., waiter_done, w). */
struct waiter;
struct waiter *waiter_new(struct answer *into);
store_done waiter_done;
void waiter_wait(struct waiter *w); /* until done was called; frees it */

/* A job to be created, with memory for its texts. */
struct draft {
	struct store_create c;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
	uint8_t key[DIGEST_BYTES], body[DIGEST_BYTES];
};

/* Fresh ids, tenant "default", seed {"goal":"g"}, TTL_MS, no key. */
void draft_make(struct rig *r, struct draft *d);
void draft_key(struct draft *d, unsigned key, unsigned body);

/* Not JSON at all: the store has no opinion. The caller frees it. */
char *hostile_bytes(size_t len, unsigned salt);
void check_hostile(struct span got, size_t len, unsigned salt);

void ask_create(struct rig *r, const struct draft *d, struct answer *a);
void ask_read(struct rig *r, const char *tenant, const char *job_id, struct answer *a);
void ask_begin(struct rig *r, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
               struct answer *a);
void ask_release(struct rig *r, const char *tenant, const char *job_id, uint64_t claim, struct answer *a);
void ask_finish(struct rig *r, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                struct answer *a);
void ask_fail(struct rig *r, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
              struct answer *a);
void ask_cancel(struct rig *r, const char *tenant, const char *job_id, struct answer *a);
void ask_trace(struct rig *r, const char *trace_id, struct answer *a);

/* The same for tenant "default", only the status is of interest (and the claim). */
enum store_status try_create(struct rig *r, const struct draft *d);
enum store_status try_read(struct rig *r, const char *job_id);
enum store_status try_begin(struct rig *r, const char *job_id, uint64_t *claim);
enum store_status try_release(struct rig *r, const char *job_id, uint64_t claim);
enum store_status try_finish(struct rig *r, const char *job_id, uint64_t claim);
enum store_status try_fail(struct rig *r, const char *job_id, uint64_t claim);
enum store_status try_cancel(struct rig *r, const char *job_id);
uint64_t revision_of(struct rig *r, const char *job_id); /* 0: not found */

/* Runs n threads of body(ctx, index) at once and joins them. */
void run_threads(unsigned n, void (*body)(void *ctx, unsigned index), void *ctx);

/* ---- many.c: many operations under way, only how they ended is of interest ---- */

struct tally {
	atomic_uint answers[STORE_STATUSES], total;
	atomic_uint unknown; /* of the unavailable ones */
	unsigned asked;      /* by the one thread that asks */
};

store_done tally_done;
/* Before each call: waits while too many are under way, and counts it. Gives
 * tally_done's argument. */
struct tally *tally_ask(struct tally *t);
void tally_wait(struct tally *t);
/* All have ended with that status; begins anew. */
void tally_check(struct tally *t, enum store_status status);
/* Creates them all. */
void create_many(struct rig *r, const struct draft *d, unsigned n);

/* ---- bell.c: watches ---- */

struct bell {
	struct store_watch watch; /* the first member */
	pthread_mutex_t lock;
	pthread_cond_t rang;
	unsigned rings;
};

void bell_init(struct bell *b, const char *job_id, uint64_t seen);
void bell_destroy(struct bell *b);
/* Waits for the number of rings, two seconds at most; how many there were. */
unsigned bell_rings(struct bell *b, unsigned wanted);
unsigned bell_rings_now(struct bell *b);
/* A watch of what has passed already: refused, or on an engine rung at once. */
void watch_too_late(struct rig *r, const char *job_id, uint64_t seen);
/* Sweeps until the bell of a job that has ended rings. */
void bell_rings_at_the_end(struct rig *r, struct bell *b);

/* ---- gate.c: an engine held up inside a callback ---- */

/* What is asked while it is shut comes to the engine as one batch. A store
 * that answers at once needs none. */
struct gate {
	sem_t shut, open;
	bool used;
};

void gate_shut(struct gate *g, struct rig *r);
void gate_open(struct gate *g);

/* ---- server.c: a redis-server with the test's clock ---- */

struct server {
	char url[96];
	_Atomic int64_t *wall_ms;
};

int64_t server_keys(const struct server *server); /* how many it holds */

/* NULL: it can be started; otherwise what is missing. */
const char *server_missing(void);
/* The one of this process: started by the first call, dies with the process. */
const struct server *server_here(const char *dir, int64_t start_ms);
const char *harness_dir(void);

#define ck_status(got_, want_) ck_assert_str_eq(store_status_name(got_), store_status_name(want_))
#define ck_state(got_, want_)  ck_assert_str_eq(job_state_name(got_), job_state_name(want_))

/* One a file of the suite. */
TCase *case_states(void);
TCase *case_content(void);
TCase *case_life(void);
TCase *case_limits(void);
TCase *case_races(void);
TCase *case_watches(void);
TCase *case_batch(void);
TCase *case_together(void);
TCase *case_restart(void);
TCase *case_shared(void);
TCase *case_shared_races(void);
TCase *case_failing(void);

#endif
