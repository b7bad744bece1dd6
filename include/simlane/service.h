/*
 * service - the rules of the lane, without HTTP
 *
 * Each operation takes a call: who asks (verified claims), what (a parsed
 * body), and a completion. The call's memory is the caller's and must stay
 * valid until done has been called, which happens exactly once: before the
 * operation returns, or later from another thread.
 *
 * The reply is in the call. On success problem is PROBLEM_NONE and body holds
 * the answer's JSON object; otherwise problem says which row of the table,
 * and the fields that the row names are filled in.
 *
 * THREADS  any; one call belongs to one thread at a time.
 */
#ifndef SIMLANE_SERVICE_H
#define SIMLANE_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "simlane/batcher.h"
#include "simlane/buf.h"
#include "simlane/claims.h"
#include "simlane/clock.h"
#include "simlane/fault.h"
#include "simlane/ids.h"
#include "simlane/inbox.h"
#include "simlane/jdoc.h"
#include "simlane/log.h"
#include "simlane/policy.h"
#include "simlane/problem.h"
#include "simlane/store.h"
#include "simlane/timer.h"
#include "simlane/token.h"

#define SERVICE_MAX_TAGS   256
#define SERVICE_RULE_SIZE  65
#define SERVICE_MAX_WAIT_S 60

struct service;

struct service_options {
	const struct clock *clock;
	struct log *log;
	struct store *store;
	struct inbox *inbox;
	struct verifier *verifier;
	struct timer *timer;
	struct idgen *ids;
	bool enabled;
	int64_t job_ttl_ms;
	int64_t request_timeout_ms;
	const char *policy_file, *keyring_file, *revoked_file; /* NULL as in the settings */
};

/* Loads policy, keyring and revocations too. NULL: fault says why. */
struct service *service_new(const struct service_options *options, struct fault *fault);

/* Ends every wait with PROBLEM_SHUTTING_DOWN; calls that come later do not
 * wait. */
void service_stop(struct service *s);
/* No look at store or disk is under way or will be: before they are closed,
 * and when nobody can call service_ready or service_health any more. NULL is
 * fine. */
void service_stop_probes(struct service *s);
/* After the last call is done. NULL is fine. */
void service_free(struct service *s);

struct service_reply {
	enum problem problem;
	const char *detail;             /* a constant sentence, or NULL: the problem's own title */
	char rule[SERVICE_RULE_SIZE];   /* step-up-required, policy-violation, job-failed; "" otherwise */
	char logged[SERVICE_RULE_SIZE]; /* the rule as the log and the metrics have it */
	struct buf pointer;             /* RFC 6901, when has_pointer */
	bool has_pointer;
	bool token_expired;         /* invalid-token: may be told */
	enum token_verdict verdict; /* invalid-token: for the log */
	bool unfinished;            /* collect: 202 and Retry-After instead of 200 */
	bool replayed;              /* schedule: the answer of an earlier request */
	int64_t waited_s;           /* collect: the preference applied, -1 none */
	char job_id[JOB_ID_SIZE];   /* "" when none */
	unsigned failed_checks;     /* service_ready */
	struct buf body;            /* JSON object */
};

struct service_call {
	/* In. */
	const struct claims *claims; /* of the caller; held by him until done */
	const struct jdoc *body;     /* NULL where there is none */
	struct span body_bytes;
	struct span idempotency_key; /* schedule; absent for none */
	struct span job_id;          /* job */
	const char *traceparent;     /* "" for none */
	int64_t wait_s;              /* collect: Prefer: wait, -1 for none */
	void (*done)(struct service_call *call);
	/* In: the trace drawn for this request. Out: the job's own, if there is one. */
	char trace_id[TRACE_ANY_SIZE];
	/* Out. */
	struct service_reply reply;

	/* The service's own; nobody else looks. */
	struct service *service;
	struct snapshot_ref *policy; /* held while its texts and patterns are in use */
	char job[JOB_ID_SIZE];
	char new_trace[TRACE_ID_SIZE];
	struct buf seed, shards;
	struct store_create create;
	struct store_watch watch;
	struct inbox_write write;
	struct timer_entry timer;
	struct batch_item item;
	struct service_call *next_waiting, **waiting_link;
	void (*woken)(struct service_call *call, bool in_time);
	bool changed;     /* the job has; waiting_lock */
	bool looks_again; /* the timer is set to the end of somebody's claim */
	int64_t deadline_us;
	uint64_t claim;
	uint8_t key_digest[DIGEST_BYTES], body_digest[DIGEST_BYTES];
	unsigned attempts;
	int failure; /* collect: the enum inbox_status to report once the claim is given back */
};

/* Empties a call for its first or next use; the reply's memory is kept. */
void service_call_reset(struct service_call *call);
void service_call_free(struct service_call *call);

/* Whether the lane takes new seeds (SIMULATION_ENABLED). */
bool service_enabled(const struct service *s);

/* Fills in the answer of a disabled lane, which is also that of a duress
 * signal. */
void service_refuse_disabled(struct service_call *call);

/* body {"trace_id","job_id","accepted":true} */
void service_schedule(struct service *s, struct service_call *call);
/* body {"trace_id","job_id","status","shards","inbox"}, or without the last
 * two when unfinished */
void service_collect(struct service *s, struct service_call *call);
/* body {"trace_id","job_id","status"} */
void service_cancel(struct service *s, struct service_call *call);
/* body: the job's status and times, with the collect scope its seed too */
void service_job(struct service *s, struct service_call *call);
/* POST /inbox: body {"trace_id","file","bytes","shards_written"} */
void service_inbox(struct service *s, struct service_call *call);

/* ---- health, reload, figures ---- */

int64_t service_depth(struct service *s); /* -1: the store cannot tell */
const char *service_store_name(const struct service *s);

enum service_check { CHECK_STORE, CHECK_INBOX, CHECKS };
/* Readiness: looks at store and disk, on a thread of its own, then calls done
 * with bit i of reply.failed_checks set when check i failed. */
void service_ready(struct service *s, struct service_call *call);
/* The same bits as they were last seen, at most about a second old while
 * somebody asks. Never waits. */
unsigned service_health(struct service *s);
const char *service_check_name(enum service_check c);

/* Reads policy, keyring and revocations again: all of them, or only those
 * whose file has changed. A broken one is logged and counted, and the old one
 * stays in force. */
void service_reload(struct service *s, bool only_changed);

struct service_rule_count {
	char rule[SERVICE_RULE_SIZE];
	const char *effect; /* "deny", "step-up" */
	uint64_t count;
};

#define SERVICE_RULES_COUNTED 128

struct service_figures {
	uint64_t allowed, replayed;
	uint64_t reloads_ok, reloads_failed;
	uint64_t jobs_created, jobs_completed, jobs_cancelled, jobs_failed;
	char policy_version[SERVICE_RULE_SIZE];
	struct service_rule_count rules[SERVICE_RULES_COUNTED];
	unsigned rule_count;
};

void service_figures(struct service *s, struct service_figures *out);

#endif
