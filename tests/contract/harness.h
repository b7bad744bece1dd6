/*
 * harness - what the contract suite needs to hold a backend to its word
 *
 * A rig is one open store with a clock that the test owns. ask_* call an
 * operation, wait for its completion whichever thread it comes from, and copy
 * the whole view: an answer stays valid until answer_free.
 *
 * A new backend is one line in the table of subjects (harness.c). One whose
 * engine keeps the time itself says owns_time false: pass_ms sleeps then.
 */
#ifndef SIMLANE_CONTRACT_HARNESS_H
#define SIMLANE_CONTRACT_HARNESS_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/clock.h"
#include "simlane/ids.h"
#include "simlane/store.h"

#define TTL_MS   60000
#define CLAIM_MS 5000

struct subject {
	const char *name;
	bool owns_time;    /* the time is options.clock */
	bool limits_bytes; /* memory_max_bytes is its own limit */
};

const struct subject *subject_at(int i);
int subject_count(void);

struct test_clock {
	struct clock clock; /* the first member */
	_Atomic int64_t wall_ms, mono_us;
};

struct rig {
	const struct subject *subject;
	struct store *store;
	struct test_clock clock;
	atomic_ullong ids;
};

void rig_open(struct rig *r, int subject, int64_t max_jobs, int64_t max_bytes);
void rig_close(struct rig *r);
void pass_ms(struct rig *r, int64_t ms); /* wall and monotonic */
int64_t rig_now(struct rig *r);

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

/* Runs n threads of body(ctx, index) at once and joins them. */
void run_threads(unsigned n, void (*body)(void *ctx, unsigned index), void *ctx);

#define ck_status(got_, want_) ck_assert_str_eq(store_status_name(got_), store_status_name(want_))
#define ck_state(got_, want_)  ck_assert_str_eq(job_state_name(got_), job_state_name(want_))

/* One a file of the suite. */
TCase *case_states(void);
TCase *case_content(void);
TCase *case_life(void);
TCase *case_limits(void);
TCase *case_races(void);
TCase *case_watches(void);
TCase *case_failing(void);

#endif
