/*
 * internal.h - what the files of the service share
 */
#ifndef SERVICE_INTERNAL_H
#define SERVICE_INTERNAL_H

#include <pthread.h>

#include "simlane/batcher.h"
#include "simlane/file.h"
#include "simlane/service.h"
#include "simlane/snapshot.h"

/* One operator's file and what was last read of it. */
struct watched_file {
	const char *setting, *path; /* path NULL: not set */
	struct file_stamp stamp;
};

struct screen_pool {
	pthread_mutex_t lock; /* guards the rest */
	struct screen *free[64];
	unsigned count;
};

struct service {
	struct service_options options;
	struct snapshot policies;
	bool serving; /* loads are told in the log from now on; before, only the fault is */
	struct screen_pool screens;

	struct watched_file policy_file, keyring_file, revoked_file; /* the reloading thread's */

	pthread_mutex_t waiting_lock; /* guards waiting, and the change of stopping */
	struct service_call *waiting;
	atomic_bool stopping;

	struct batcher *prober;    /* looks at store and disk, so that no HTTP thread does */
	struct batch_item refresh; /* a look for /health's sake */
	atomic_bool refreshing;
	atomic_uint last_failed; /* of enum service_check, as last seen */
	atomic_llong last_probe_us;

	pthread_mutex_t rules_lock; /* guards the two below */
	struct service_rule_count rules[SERVICE_RULES_COUNTED];
	unsigned rule_count;

	atomic_ullong allowed, replayed, reloads_ok, reloads_failed;
	atomic_ullong jobs_created, jobs_completed, jobs_cancelled, jobs_failed;
};

static inline void count_up(atomic_ullong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline struct policy *call_policy(const struct service_call *call)
{
	return policy_of_ref(call->policy);
}

/* ---- call.c: replies ---- */

/* Ends the call: lets go of the policy and calls done. Nothing of the call
 * may be touched afterwards. */
void call_end(struct service_call *call);
void call_fail(struct service_call *call, enum problem problem, const char *detail);
/* A fault of shape: the pointer is in reply.pointer already. */
void call_fail_shape(struct service_call *call, enum problem problem, const char *detail);
void call_fail_store(struct service_call *call, const struct store_result *result);
void call_fail_inbox(struct service_call *call, enum inbox_status status);
void call_fail_token(struct service_call *call, enum token_verdict verdict);
/* Looks at the token once more; ends the call and returns false when it has
 * expired or was revoked meanwhile. */
bool call_token_holds(struct service_call *call);
void call_take_trace(struct service_call *call, const char *trace_id);
void call_take_job(struct service_call *call, const struct job_view *job);
/* {"trace_id","job_id","status" without the closing brace */
void call_begin_status(struct service_call *call, const char *trace_id, const char *job_id, const char *status);

/* ---- shape.c: what a body must look like ---- */

/* Each returns true, or false with reply.pointer set and call_fail_shape done
 * (the call has ended). */
bool shape_schedule(struct service_call *call, uint32_t *seed, int64_t *ttl_ms);
bool shape_job_id(struct service_call *call, char job_id[JOB_ID_SIZE]); /* 404 for another form */
bool shape_inbox(struct service_call *call, uint32_t *seed, struct span *trace_id, uint32_t *shards);

/* ---- seed.c ---- */

/* The seed as it is stored: compact, its goal cut to max_chars code points
 * and a horizontal ellipsis. Gives the code points of the goal as sent. */
uint32_t seed_store(const struct jdoc *doc, uint32_t seed, uint32_t max_chars, struct buf *out);

/* Whether the stored seed holds the whole goal, of which so many code points
 * were sent. One that happens to end like a cut one counts as cut. */
bool seed_is_whole(const struct jdoc *doc, uint32_t seed, uint32_t goal_chars);

/* ---- screen.c ---- */

/* Takes the policy in force into the call. */
void screen_begin(struct service_call *call);
/* Screens; true when allowed. Otherwise the call has ended. */
bool screen_seed(struct service_call *call, uint32_t seed, uint64_t *advice);
bool screen_value(struct service_call *call, uint32_t value);
/* The verdict alone, for a stored seed; one whose goal was cut cannot be
 * screened whole any more, and is denied as policy-error. */
void screen_stored(struct service_call *call, const struct job_view *job, struct policy_verdict *verdict);
void screen_count(struct service *s, const char *rule, const char *effect);
int screens_init(struct screen_pool *p);
void screens_destroy(struct screen_pool *p);

/* ---- wait.c ---- */

/* busy is the answer to an operation on call->job. Waits until the job's
 * revision is another than the one in it or the claim has run out, or until
 * call->deadline_us; then calls woken on another thread. False: no waiting
 * (the service is stopping, or it has moved already): *in_time tells which;
 * woken is not called. */
bool wait_for_change(struct service_call *call, const struct store_result *busy,
                     void (*woken)(struct service_call *call, bool in_time), bool *in_time);

/* ---- health.c ---- */
int prober_start(struct service *s);

/* ---- reload.c ---- */
int reload_all(struct service *s, struct fault *fault);

#endif
