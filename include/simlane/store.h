/*
 * store - the jobs, in whole changes of state
 *
 *              create            begin              finish
 *     (none) ---------> scheduled ----> running ------------> complete
 *                          |  ^  \        |  |
 *                          |  |   \       |  +--- fail -----> failed
 *                          |  +----\------+ release
 *                          |        \---- fail -------------> failed
 *                          +------------ cancel ------------> cancelled
 *
 * Never get-then-put: each operation below is one lock, one statement or one
 * script. Every operation names the tenant; a job of another tenant, or one
 * past its time to live, is not found. Nothing is evicted to make room.
 *
 * begin gives a claim to one collector: a time-limited right to publish. It
 * stages the artifacts (the shards, compact JSON array) in the job. If an
 * earlier claim was released or ran out, the artifacts staged first stay and
 * are handed to the new claimant, so that every publication of a job is of
 * the same shards. A live claim makes begin and cancel STORE_BUSY: watch the
 * job and try again. A claim that ran out is still its holder's (release,
 * finish and fail work) until somebody else begins, cancels or fails the job:
 * the newest claim counts. Tokens only grow. Claims are measured on the
 * monotonic clock, times to live on the wall clock.
 *
 * What a key was used for is remembered as long as its job lives, in whatever
 * state; only a creation that succeeded holds its key.
 *
 * COMPLETION  each operation answers through done(arg, result), exactly once,
 *             before the call returns or later from another thread. The
 *             result and everything it points to are the store's and end with
 *             the callback. The request's own pointers must stay valid until
 *             done is called.
 * ERRORS      STORE_UNAVAILABLE: nothing was changed, or the change's fate is
 *             unknown (result.unknown).
 * THREADS     any; done may call the store again. store_close: one, when no
 *             other call is under way.
 */
#ifndef SIMLANE_STORE_H
#define SIMLANE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/clock.h"
#include "simlane/crypto.h"
#include "simlane/fault.h"
#include "simlane/log.h"
#include "simlane/span.h"

enum job_state { JOB_SCHEDULED, JOB_RUNNING, JOB_COMPLETE, JOB_FAILED, JOB_CANCELLED, JOB_STATES };

const char *job_state_name(enum job_state s); /* "scheduled", ... */

enum store_status {
	STORE_OK,
	STORE_EXISTS,    /* create: the job or trace id is taken, draw another */
	STORE_REPLAYED,  /* create: the key was used with the same body; the view is that job */
	STORE_MISMATCH,  /* create: the key was used with another body */
	STORE_IN_FLIGHT, /* create: the key is being used at this moment */
	STORE_FULL,      /* create: too many unfinished jobs, or too many bytes; begin: no room for artifacts */
	STORE_NOT_FOUND,
	STORE_BUSY,     /* begin, cancel, fail: somebody holds a live claim */
	STORE_COMPLETE, /* the job is complete, and stays so */
	STORE_FAILED,
	STORE_CANCELLED,
	STORE_LOST, /* finish, release, fail: the claim is not held (any more); the view says what the job is now */
	STORE_UNAVAILABLE,
	STORE_STATUSES,
};

const char *store_status_name(enum store_status s);

/* A job as it is at this moment. Texts are the store's (see COMPLETION). */
struct job_view {
	const char *job_id, *trace_id, *tenant;
	enum job_state state;
	uint64_t revision; /* moves with every change of the job */
	int64_t created_ms, updated_ms, expires_ms;
	struct span seed;      /* compact JSON object */
	uint32_t goal_chars;   /* code points of the goal as it was sent */
	struct span artifacts; /* compact JSON array of shards, or absent */
	struct span receipt;   /* compact JSON object given to finish, or absent */
	const char *policy_version;
	uint64_t policy_digest;
	bool stepped_up;         /* as in store_create */
	uint64_t advice;         /* advisory rules that matched when it was scheduled */
	const char *traceparent; /* "" when there was none */
	const char *failure;     /* the reason given to fail, "" otherwise */
};

struct store_result {
	enum store_status status;
	bool unknown;               /* with STORE_UNAVAILABLE: it may have happened */
	uint64_t claim;             /* begin, STORE_OK: the fencing token */
	int64_t busy_ms;            /* with STORE_BUSY: how long that claim still lasts */
	const struct job_view *job; /* NULL with EXISTS, MISMATCH, IN_FLIGHT, FULL, NOT_FOUND, UNAVAILABLE */
};

typedef void store_done(void *arg, const struct store_result *result);

struct store_create {
	const char *job_id, *trace_id; /* of idgen's forms; another is STORE_UNAVAILABLE */
	const char *tenant;            /* at most 64 bytes */
	struct span seed;
	uint32_t goal_chars;
	const char *policy_version; /* at most 64 bytes */
	uint64_t policy_digest, advice;
	bool stepped_up;            /* the token that scheduled it satisfied step-up */
	const char *traceparent;    /* "" for none; at most 55 bytes */
	int64_t ttl_ms;             /* created_ms is the store's clock at the moment of creation */
	const uint8_t *key_digest;  /* DIGEST_BYTES over tenant, issuer, subject and key; NULL: no key */
	const uint8_t *body_digest; /* DIGEST_BYTES over the body's bytes, with a key */
};

/* Wakes once when the job's revision is no longer seen_revision, when the job
 * is gone (at the latest with the sweep that removes it), or when the store
 * closes. A claim that runs out changes nothing and wakes nobody: a waiter
 * keeps a timer of its own (result.busy_ms). The caller's memory, until its
 * wake has begun or unwatch has returned true. */
struct store_watch {
	void (*wake)(struct store_watch *w); /* any thread; no store call from inside it */
	char job_id[17];
	uint64_t seen_revision;
	struct store_watch *next, **link; /* the store's */
	int64_t ends_us;                  /* the store's: when the job ends, as far as is known */
};

struct store;

/* memory_max_bytes is the memory store's: all that its jobs take, finished ones
 * and their artifacts, indexes and malloc's overhead included. Creations are
 * refused at seven eighths of it, so that there is room for the artifacts of
 * jobs that are there; begin is refused at the whole. What has begun can
 * always release, finish or fail: receipts and reasons are counted, never
 * refused. Jobs past their time are removed before anything is refused. */
struct store_options {
	const struct clock *clock;
	struct log *log;             /* for what happens to the engine; NULL: none */
	int64_t max_jobs;            /* unfinished ones; 0: no limit */
	int64_t memory_max_bytes;    /* 0: no limit */
	const char *sqlite_path;     /* sqlite: the file */
	const char *redis_url;       /* redis: see doc/scaling.md; may hold a password, never shown */
	const char *redis_prefix;    /* redis: of every key and channel, with a {hash tag} */
	int64_t redis_wait_replicas; /* redis: replicas that must have a batch before it is acknowledged */
};

/* One const struct a backend, registered by one line in src/store/store.c.
 * Every function is required. See the wrappers below for what each does. */
struct store_backend {
	const char *name;
	struct store *(*open)(const struct store_options *options, struct fault *fault);
	void (*close)(struct store *s);
	void (*create)(struct store *s, const struct store_create *c, store_done *done, void *arg);
	void (*read)(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg);
	void (*begin)(struct store *s, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
	              store_done *done, void *arg);
	void (*release)(struct store *s, const char *tenant, const char *job_id, uint64_t claim, store_done *done,
	                void *arg);
	void (*finish)(struct store *s, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
	               store_done *done, void *arg);
	void (*fail)(struct store *s, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
	             store_done *done, void *arg);
	void (*cancel)(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg);
	void (*trace)(struct store *s, const char *trace_id, store_done *done, void *arg);
	bool (*watch)(struct store *s, struct store_watch *w);
	bool (*unwatch)(struct store *s, struct store_watch *w);
	int64_t (*depth)(struct store *s);
	bool (*check)(struct store *s);
	void (*sweep)(struct store *s);
};

/* First member of every backend's own struct. */
struct store {
	const struct store_backend *backend;
};

/* By name ("memory", and "failing" for tests). NULL: fault says why. */
struct store *store_open(const char *name, const struct store_options *options, struct fault *fault);
const struct store_backend *store_backend_at(size_t i); /* NULL behind the last: for messages and tests */
void store_close(struct store *s);                      /* wakes every watch; NULL is fine */

/* STORE_OK (view: the new job), EXISTS, REPLAYED, MISMATCH, IN_FLIGHT, FULL. */
void store_create(struct store *s, const struct store_create *c, store_done *done, void *arg);

/* STORE_OK in whatever state, NOT_FOUND. */
void store_read(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg);

/* STORE_OK (claim; view.artifacts: those to publish), BUSY, COMPLETE, FAILED,
 * CANCELLED, NOT_FOUND; FULL: no room for the artifacts, nothing was changed.
 * An absent span stages none. */
void store_begin(struct store *s, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
                 store_done *done, void *arg);

/* The claim given back, nothing was published: back to scheduled. OK, LOST, NOT_FOUND. */
void store_release(struct store *s, const char *tenant, const char *job_id, uint64_t claim, store_done *done,
                   void *arg);

/* Published: complete, the receipt kept. OK, LOST, NOT_FOUND. */
void store_finish(struct store *s, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                  store_done *done, void *arg);

/* failed, with a reason (at most 64 bytes). claim 0: only while nobody holds
 * a live one (BUSY otherwise). OK, BUSY, LOST, COMPLETE, FAILED, CANCELLED, NOT_FOUND. */
void store_fail(struct store *s, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
                store_done *done, void *arg);

/* OK (cancelled by this call), BUSY, COMPLETE, FAILED, CANCELLED (before), NOT_FOUND. */
void store_cancel(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg);

/* The job of that trace, of whatever tenant, in whatever state: OK or NOT_FOUND. */
void store_trace(struct store *s, const char *trace_id, store_done *done, void *arg);

/* Registers w (zero but for wake, job_id, seen_revision). False: the revision
 * has already moved, the job is gone, or the store closes: w is not registered
 * and will not be woken. A store on an engine may register it all the same and
 * wake it as soon as it knows. */
bool store_watch(struct store *s, struct store_watch *w);
/* True: taken out, will not be woken. False: its wake has begun (and may still
 * be running) or it was never registered. */
bool store_unwatch(struct store *s, struct store_watch *w);

/* Live scheduled and running jobs, exactly; at most a second old on an engine. */
int64_t store_depth(struct store *s);
/* Can the store answer? May touch the engine. */
bool store_check(struct store *s);
/* Removes a bounded number of jobs past their time; called every second or so. */
void store_sweep(struct store *s);

#endif
