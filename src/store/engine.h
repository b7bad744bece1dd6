/*
 * engine - what the stores on an engine have in common
 *
 * Every operation becomes an item of the batcher. The backend's run function
 * is given all that waits, makes it ONE transaction or ONE pipeline, and then
 * answers each operation with op_answer. So while one batch is under way the
 * next one fills, and whoever waits is a suspended request, never a thread.
 *
 *   any thread        engine_create(), ...  -> batcher
 *   batcher's thread  run(ops, n)           -> op_answer(), each op once
 *
 * A queue that is full, or a store that closes, answers STORE_UNAVAILABLE at
 * once (nothing was asked of the engine).
 *
 * WATCHES  Local changes are told with engine_changed. A watch is verified by
 *          a look at the job after it was registered (OP_READ of any tenant),
 *          so none is missed; engines that hear of other processes' changes
 *          set listen, and call engine_listening when a slot is listened to.
 * DEPTH    set by the backend, before it answers, with every batch; OP_SWEEP
 *          comes twice a second.
 * UP       the backend's word on whether the engine answered last.
 */
#ifndef SIMLANE_STORE_ENGINE_H
#define SIMLANE_STORE_ENGINE_H

#include <stdatomic.h>

#include "rules.h"
#include "simlane/batcher.h"
#include "simlane/log.h"
#include "simlane/store.h"
#include "watchers.h"

#define ENGINE_QUEUE_MAX 65536u
#define ENGINE_BATCH_MAX 256u

enum op_kind {
	OP_CREATE,
	OP_READ,
	OP_BEGIN,
	OP_RELEASE,
	OP_FINISH,
	OP_FAIL,
	OP_CANCEL,
	OP_TRACE,
	OP_SWEEP, /* remove some jobs past their time, set the depth; nobody waits for its answer */
	OP_KINDS,
};

struct op {
	struct batch_item item; /* the first member */
	enum op_kind kind;
	const char *tenant; /* NULL: whatever tenant (a look, a trace) */
	const char *id;     /* a valid job id; OP_TRACE: a valid trace id */
	struct span bytes;  /* begin: artifacts; finish: receipt; fail: reason, at most REASON_MAX */
	uint64_t claim;     /* release, finish, fail */
	int64_t claim_ms;   /* begin; at most a hundred years */
	const struct store_create *create;
	store_done *done;
	void *arg;
	int64_t now_ms; /* the backend sets it with a read: the engine's clock when it was read */
};

struct engine {
	struct store store; /* the first member */
	/* The backend's: runs a batch, see above. ops has room for ENGINE_BATCH_MAX. */
	void (*run)(struct engine *e, struct op **ops, size_t n);
	/* A slot has got a watch: are changes in it heard of? If not, see to it and
	 * call engine_listening then. Any thread, must not block. NULL: all changes
	 * are local. */
	bool (*listen)(struct engine *e, unsigned slot);
	const struct clock *clock;
	struct log *log;
	int64_t max_jobs;
	struct batcher *batcher;
	struct watchers watchers;
	unsigned linger_ms;   /* set before engine_start; 0: a batch goes at once */
	atomic_bool sweeping; /* an OP_SWEEP is in the batcher */
	_Atomic int64_t depth;
	atomic_bool up;
};

/* Fills what all backends have and starts the batcher; e is zeroed but for
 * run, listen, linger_ms and what the backend keeps behind it. 0, or -1 with a
 * fault (nothing to stop then). */
int engine_start(struct engine *e, const struct store_backend *backend, const struct store_options *options,
                 struct fault *fault);
/* Runs what waits, wakes every watch, joins the batcher. Does not free e. */
void engine_stop(struct engine *e);

/* Answers and frees op. result->job ends with the call, as ever. */
void op_answer(struct op *op, const struct store_result *result);
void op_answer_status(struct op *op, enum store_status status); /* one without a view */
/* STORE_UNAVAILABLE to each; unknown for those that may change something, when asked. */
void op_answer_all_unavailable(struct op **ops, size_t n, bool unknown);
/* From inside run: further operations that wait by now, if there are at least
 * min, put behind the n that are there; how many. */
size_t engine_more(struct engine *e, struct op **ops, size_t n, size_t min);

bool op_changes(const struct op *op); /* create, begin, release, finish, fail, cancel */

/* This process has changed that job: wakes who waits for it. */
void engine_changed(struct engine *e, const char *job_id, uint64_t revision);
/* Changes in that slot are heard of from now on: its watches are verified. Any thread. */
void engine_listening(struct engine *e, unsigned slot);

/* The functions of struct store_backend. */
void engine_create(struct store *s, const struct store_create *c, store_done *done, void *arg);
void engine_read(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg);
void engine_begin(struct store *s, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
                  store_done *done, void *arg);
void engine_release(struct store *s, const char *tenant, const char *job_id, uint64_t claim, store_done *done,
                    void *arg);
void engine_finish(struct store *s, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                   store_done *done, void *arg);
void engine_fail(struct store *s, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
                 store_done *done, void *arg);
void engine_cancel(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg);
void engine_trace(struct store *s, const char *trace_id, store_done *done, void *arg);
bool engine_watch(struct store *s, struct store_watch *w);
bool engine_unwatch(struct store *s, struct store_watch *w);
int64_t engine_depth(struct store *s);
bool engine_check(struct store *s); /* up, and the batch under way is not stuck */
void engine_sweep(struct store *s);

#endif
