/* call.c - a call's replies, and how it ends */
#include <string.h>

#include "internal.h"

void service_call_reset(struct service_call *call)
{
	struct buf body = call->reply.body, pointer = call->reply.pointer, seed = call->seed, shards = call->shards;
	memset(call, 0, sizeof(*call));
	buf_clear(&body);
	buf_clear(&pointer);
	buf_clear(&seed);
	buf_clear(&shards);
	call->reply.body = body;
	call->reply.pointer = pointer;
	call->seed = seed;
	call->shards = shards;
	call->reply.waited_s = -1;
	call->wait_s = -1;
	call->traceparent = "";
}

void service_call_free(struct service_call *call)
{
	buf_free(&call->reply.body);
	buf_free(&call->reply.pointer);
	buf_free(&call->seed);
	buf_free(&call->shards);
}

void call_end(struct service_call *call)
{
	snapshot_let_go(call->policy);
	call->policy = NULL;
	if (call->reply.problem == PROBLEM_NONE && call->reply.body.failed)
		call->reply.problem = PROBLEM_INTERNAL;
	call->done(call);
}

void call_fail(struct service_call *call, enum problem problem, const char *detail)
{
	call->reply.problem = problem;
	call->reply.detail = detail;
	call_end(call);
}

void call_fail_shape(struct service_call *call, enum problem problem, const char *detail)
{
	call->reply.has_pointer = true;
	call_fail(call, problem, detail);
}

void call_fail_store(struct service_call *call, const struct store_result *result)
{
	static const enum problem problems[STORE_STATUSES] = {
	        [STORE_OK] = PROBLEM_INTERNAL,
	        [STORE_EXISTS] = PROBLEM_INTERNAL,
	        [STORE_REPLAYED] = PROBLEM_INTERNAL,
	        [STORE_MISMATCH] = PROBLEM_IDEMPOTENCY_MISMATCH,
	        [STORE_IN_FLIGHT] = PROBLEM_IDEMPOTENCY_IN_FLIGHT,
	        [STORE_FULL] = PROBLEM_STORE_FULL,
	        [STORE_NOT_FOUND] = PROBLEM_NOT_FOUND,
	        [STORE_BUSY] = PROBLEM_STORE_UNAVAILABLE,
	        [STORE_COMPLETE] = PROBLEM_INTERNAL,
	        [STORE_FAILED] = PROBLEM_JOB_FAILED,
	        [STORE_CANCELLED] = PROBLEM_JOB_CANCELLED,
	        [STORE_LOST] = PROBLEM_STORE_UNAVAILABLE,
	        [STORE_UNAVAILABLE] = PROBLEM_STORE_UNAVAILABLE,
	};
	const char *detail = NULL;
	if (result->job) {
		call_take_job(call, result->job);
		if (result->status == STORE_FAILED) {
			strncpy(call->reply.rule, result->job->failure, SERVICE_RULE_SIZE - 1);
			detail = "The job failed; rule says why.";
		}
	}
	if (result->status == STORE_NOT_FOUND)
		detail = "No such job.";
	if (result->status == STORE_UNAVAILABLE && result->unknown)
		detail = "The store went away while it was asked: whether this request took effect is unknown.";
	call_fail(call, problems[result->status], detail);
}

void call_fail_inbox(struct service_call *call, enum inbox_status status)
{
	static const struct {
		enum problem problem;
		const char *detail;
	} rows[INBOX_STATUSES] = {
	        [INBOX_OK] = {PROBLEM_INTERNAL, NULL},
	        [INBOX_EXPIRED] = {PROBLEM_INVALID_TOKEN, "The token has expired."},
	        [INBOX_REVOKED] = {PROBLEM_INVALID_TOKEN, NULL},
	        [INBOX_FORBIDDEN] = {PROBLEM_INSUFFICIENT_SCOPE, NULL},
	        [INBOX_TRACE_TAKEN] = {PROBLEM_TRACE_TAKEN, NULL},
	        [INBOX_BAD_VERSION] = {PROBLEM_INBOX_UNAVAILABLE,
	                               "The document of this trace is of an unknown version and was left alone."},
	        [INBOX_TOO_LARGE] = {PROBLEM_BODY_TOO_LARGE,
	                             "The document of this trace would grow beyond 4096 shards or 8 MiB."},
	        [INBOX_FULL] = {PROBLEM_INBOX_FULL, "The disk or quota is full; the job stays collectable."},
	        [INBOX_UNAVAILABLE] = {PROBLEM_INBOX_UNAVAILABLE, "Nothing was stored; the job stays collectable."},
	};
	call->reply.token_expired = status == INBOX_EXPIRED;
	call->reply.verdict = status == INBOX_EXPIRED ? TOKEN_EXPIRED : TOKEN_REVOKED;
	call_fail(call, rows[status].problem, rows[status].detail);
}

void call_fail_token(struct service_call *call, enum token_verdict verdict)
{
	call->reply.verdict = verdict;
	call->reply.token_expired = verdict == TOKEN_EXPIRED;
	call_fail(call, PROBLEM_INVALID_TOKEN, verdict == TOKEN_EXPIRED ? "The token has expired." : NULL);
}

bool call_token_holds(struct service_call *call)
{
	enum token_verdict verdict = token_recheck(call->service->options.verifier, call->claims);
	if (verdict != TOKEN_VALID)
		call_fail_token(call, verdict);
	return verdict == TOKEN_VALID;
}

void call_take_trace(struct service_call *call, const char *trace_id)
{
	size_t len = strnlen(trace_id, TRACE_ANY_SIZE - 1);
	memcpy(call->trace_id, trace_id, len);
	call->trace_id[len] = '\0';
}

void call_take_job(struct service_call *call, const struct job_view *job)
{
	call_take_trace(call, job->trace_id);
	memcpy(call->reply.job_id, job->job_id, JOB_ID_SIZE);
}

void call_begin_status(struct service_call *call, const char *trace_id, const char *job_id, const char *status)
{
	struct buf *b = &call->reply.body;
	buf_reserve(b, 160);
	buf_text(b, "{\"trace_id\":\"");
	buf_text(b, trace_id);
	buf_text(b, "\",\"job_id\":\"");
	buf_text(b, job_id);
	if (status) {
		buf_text(b, "\",\"status\":\"");
		buf_text(b, status);
	}
	buf_char(b, '"');
}

bool service_enabled(const struct service *s)
{
	return s->options.enabled;
}

void service_refuse_disabled(struct service_call *call)
{
	call->reply.problem = PROBLEM_POLICY_VIOLATION;
	call->reply.detail = "The simulation lane is disabled.";
	strcpy(call->reply.rule, "lane-disabled");
	if (!call->reply.logged[0])
		strcpy(call->reply.logged, "lane-disabled");
}
