/*
 * collect.c - POST /collect: simulate, claim, write to the inbox, finish
 *
 *   read -> (screen again) -> simulate -> begin -> inbox -> finish -> 200
 *                                          | busy: wait, then read again
 *                                          +-- inbox failed: release, then its problem
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "simlane/sim.h"

#define MAX_ROUNDS 64

static void look(struct service_call *call);

static void reply_complete(struct service_call *call, const struct job_view *job)
{
	struct buf *b = &call->reply.body;
	call_take_job(call, job);
	call_begin_status(call, job->trace_id, job->job_id, "complete");
	buf_text(b, ",\"shards\":");
	buf_span(b, job->artifacts);
	buf_text(b, ",\"inbox\":");
	buf_span(b, job->receipt);
	buf_char(b, '}');
	call_end(call);
}

static void reply_unfinished(struct service_call *call)
{
	if (call->service->stopping) {
		call_fail(call, PROBLEM_SHUTTING_DOWN, NULL);
		return;
	}
	call->reply.unfinished = true;
	call_begin_status(call, call->trace_id, call->job, "running");
	buf_char(&call->reply.body, '}');
	call_end(call);
}

/* ---- waiting for somebody else's collect ---- */

static void woken(struct service_call *call, bool in_time)
{
	if (!call_token_holds(call))
		return;
	if (in_time && ++call->attempts < MAX_ROUNDS)
		look(call);
	else
		reply_unfinished(call);
}

static void wait_for_other(struct service_call *call, const struct store_result *busy)
{
	bool in_time;
	call_take_job(call, busy->job);
	if (!wait_for_change(call, busy, woken, &in_time))
		woken(call, in_time);
}

/* Whatever is not the step's own success. */
static void on_other_status(struct service_call *call, const struct store_result *result)
{
	if (result->status == STORE_BUSY)
		wait_for_other(call, result);
	else if (result->status == STORE_COMPLETE)
		reply_complete(call, result->job);
	else
		call_fail_store(call, result);
}

/* ---- publishing ---- */

static void on_finished(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	if (result->status == STORE_OK) {
		count_up(&call->service->jobs_completed);
		reply_complete(call, result->job);
	} else if (result->status == STORE_LOST && ++call->attempts < MAX_ROUNDS) {
		look(call); /* the claim ran out; whoever has it publishes the same shards */
	} else {
		on_other_status(call, result);
	}
}

static void on_released_for_token(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	(void)result;
	call_fail_token(call, (enum token_verdict)call->failure);
}

static void on_released(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	(void)result; /* given back or run out: either way somebody else may collect */
	call_fail_inbox(call, (enum inbox_status)call->failure);
}

static void release(struct service_call *call, store_done *done)
{
	store_release(call->service->options.store, call->claims->tenant, call->job, call->claim, done, call);
}

static void on_written(void *arg, const struct inbox_result *result)
{
	struct service_call *call = arg;
	char receipt[TRACE_ANY_SIZE + 96];
	if (result->status != INBOX_OK) {
		call->failure = (int)result->status;
		release(call, on_released);
		return;
	}
	int n = snprintf(receipt, sizeof(receipt), "{\"file\":\"%s\",\"bytes\":%lld,\"shards_written\":%d}",
	                 result->file, (long long)result->bytes, result->shards_written);
	buf_clear(&call->seed);
	buf_add(&call->seed, receipt, (size_t)n);
	store_finish(call->service->options.store, call->claims->tenant, call->job, call->claim,
	             (struct span){call->seed.ptr, call->seed.len}, on_finished, call);
}

static void publish(struct service_call *call)
{
	struct service *s = call->service;
	struct policy *policy = call_policy(call);
	enum token_verdict verdict = token_recheck(s->options.verifier, call->claims);
	if (verdict != TOKEN_VALID) {
		call->failure = (int)verdict;
		release(call, on_released_for_token);
		return;
	}
	call->write = (struct inbox_write){
	        .claims = call->claims,
	        .trace_id = call->trace_id,
	        .seed = {call->seed.ptr, call->seed.len},
	        .shards = {call->shards.ptr, call->shards.len},
	        .redact_email = policy_redact_email(policy),
	        .redact_phone = policy_redact_phone(policy),
	};
	inbox_write(s->options.inbox, &call->write, on_written, call);
}

static void on_begun(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	if (result->status != STORE_OK) {
		on_other_status(call, result);
		return;
	}
	call->claim = result->claim;
	call_take_job(call, result->job);
	buf_clear(&call->shards); /* those staged first are the ones to publish */
	buf_span(&call->shards, result->job->artifacts);
	if (call->shards.failed || call->seed.failed) {
		call->failure = INBOX_UNAVAILABLE;
		release(call, on_released);
		return;
	}
	publish(call);
}

/* ---- simulating ---- */

static bool simulate(struct service_call *call, const struct job_view *job, uint64_t advice)
{
	struct policy *policy = call_policy(call);
	struct sim_risk risks[POLICY_MAX_ADVICE];
	size_t n = 0, count = policy_advice_count(policy);
	for (size_t i = 0; i < count && i < POLICY_MAX_ADVICE; i++) {
		if (!(advice >> i & 1))
			continue;
		struct policy_advice a = policy_advice_at(policy, i);
		risks[n++] = (struct sim_risk){
		        .rule = a.rule, .title = a.title, .mitigation = a.mitigation, .weight = a.weight};
	}
	struct sim_request request = {
	        .trace_id = job->trace_id,
	        .timestamp_ms = clock_wall_ms(call->service->options.clock),
	        .seed = job->seed,
	        .goal_chars = job->goal_chars,
	        .max_goal_chars = policy_max_goal_chars(policy),
	        .risks = risks,
	        .risk_count = n,
	};
	buf_clear(&call->shards);
	buf_clear(&call->seed);
	buf_span(&call->seed, job->seed);
	return sim_template_run(&request, &call->shards) && !call->shards.failed && !call->seed.failed;
}

static void on_failed(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	if (result->status == STORE_OK) {
		struct store_result failed = {.status = STORE_FAILED, .job = result->job};
		count_up(&call->service->jobs_failed);
		call_fail_store(call, &failed);
	} else {
		call->reply.rule[0] = call->reply.logged[0] = '\0';
		on_other_status(call, result);
	}
}

/* The policy has changed since the job was scheduled: it must pass again. */
static bool passes_again(struct service_call *call, const struct job_view *job, uint64_t *advice)
{
	struct policy_verdict v;
	screen_stored(call, job, &v);
	*advice = v.advice;
	if (v.effect == POLICY_ALLOW)
		return true;
	screen_count(call->service, v.rule, v.effect == POLICY_DENY ? "deny" : "step-up");
	strncpy(call->reply.logged, v.rule, SERVICE_RULE_SIZE - 1);
	/* call->reply.rule lives as long as the store needs it */
	strncpy(call->reply.rule, v.duress ? "lane-disabled" : v.rule, SERVICE_RULE_SIZE - 1);
	store_fail(call->service->options.store, call->claims->tenant, call->job, 0, call->reply.rule, on_failed, call);
	return false;
}

static void begin(struct service_call *call, const struct job_view *job)
{
	struct service *s = call->service;
	uint64_t advice = job->advice;
	snapshot_let_go(call->policy);
	screen_begin(call);
	if (job->policy_digest != policy_digest(call_policy(call)) && !passes_again(call, job, &advice))
		return;
	if (!simulate(call, job, advice)) {
		call_fail(call, PROBLEM_INTERNAL, NULL);
		return;
	}
	int64_t claim_ms = 4 * s->options.request_timeout_ms;
	store_begin(s->options.store, call->claims->tenant, call->job,
	            (struct span){call->shards.ptr, call->shards.len}, claim_ms < 30000 ? 30000 : claim_ms, on_begun,
	            call);
}

static void on_read(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	struct store_result as_status = *result;
	if (result->status != STORE_OK) {
		call_fail_store(call, result);
		return;
	}
	switch (result->job->state) {
	case JOB_COMPLETE:
		reply_complete(call, result->job);
		return;
	case JOB_FAILED:
		as_status.status = STORE_FAILED;
		call_fail_store(call, &as_status);
		return;
	case JOB_CANCELLED:
		as_status.status = STORE_CANCELLED;
		call_fail_store(call, &as_status);
		return;
	default:
		begin(call, result->job);
	}
}

static void look(struct service_call *call)
{
	store_read(call->service->options.store, call->claims->tenant, call->job, on_read, call);
}

void service_collect(struct service *s, struct service_call *call)
{
	call->service = s;
	if (!shape_job_id(call, call->job))
		return;
	int64_t wait_ms = s->options.request_timeout_ms;
	if (call->wait_s >= 0) {
		call->reply.waited_s = call->wait_s < SERVICE_MAX_WAIT_S ? call->wait_s : SERVICE_MAX_WAIT_S;
		wait_ms = call->reply.waited_s * 1000;
	}
	call->deadline_us = clock_mono_us(s->options.clock) + wait_ms * 1000;
	look(call);
}
