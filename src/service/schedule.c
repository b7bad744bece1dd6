/* schedule.c - POST /schedule: shape, policy, then a job in the store */
#include <string.h>

#include "internal.h"

#define MAX_DRAWS 8

static void try_create(struct service_call *call);

static void reply_accepted(struct service_call *call, const struct job_view *job)
{
	call_take_job(call, job);
	call_begin_status(call, job->trace_id, job->job_id, NULL);
	buf_text(&call->reply.body, ",\"accepted\":true}");
	call_end(call);
}

static void on_created(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	switch (result->status) {
	case STORE_OK:
		count_up(&call->service->jobs_created);
		reply_accepted(call, result->job);
		return;
	case STORE_REPLAYED:
		count_up(&call->service->replayed);
		call->reply.replayed = true;
		reply_accepted(call, result->job);
		return;
	case STORE_EXISTS:
		if (++call->attempts < MAX_DRAWS) {
			idgen_trace(call->service->options.ids, clock_wall_ms(call->service->options.clock),
			            call->new_trace);
			call->create.trace_id = call->new_trace;
			try_create(call);
			return;
		}
		call_fail(call, PROBLEM_INTERNAL, NULL);
		return;
	default:
		call_fail_store(call, result);
	}
}

static void try_create(struct service_call *call)
{
	idgen_job(call->service->options.ids, call->job);
	store_create(call->service->options.store, &call->create, on_created, call);
}

/* The key is scoped to tenant, issuer and subject; what is kept is a digest. */
static void digest_key(struct service_call *call)
{
	struct span parts[] = {span_of(call->claims->tenant), span_of(call->claims->iss), span_of(call->claims->sub),
	                       call->idempotency_key};
	crypto_digest(call->key_digest, parts, 4);
	crypto_digest(call->body_digest, &call->body_bytes, 1);
	call->create.key_digest = call->key_digest;
	call->create.body_digest = call->body_digest;
}

void service_schedule(struct service *s, struct service_call *call)
{
	uint32_t seed;
	int64_t ttl_ms;
	uint64_t advice;
	call->service = s;
	if (!shape_schedule(call, &seed, &ttl_ms))
		return;
	screen_begin(call);
	if (!screen_seed(call, seed, &advice))
		return;
	struct policy *policy = call_policy(call);
	uint32_t goal_chars = seed_store(call->body, seed, policy_max_goal_chars(policy), &call->seed);
	if (call->seed.failed) {
		call_fail(call, PROBLEM_INTERNAL, NULL);
		return;
	}
	memcpy(call->new_trace, call->trace_id, TRACE_ID_SIZE);
	call->create = (struct store_create){
	        .job_id = call->job,
	        .trace_id = call->new_trace,
	        .tenant = call->claims->tenant,
	        .seed = {call->seed.ptr, call->seed.len},
	        .goal_chars = goal_chars,
	        .policy_version = policy_version(policy),
	        .policy_digest = policy_digest(policy),
	        .advice = advice,
	        .stepped_up = claims_stepped_up(call->claims, clock_wall_ms(s->options.clock)),
	        .traceparent = call->traceparent,
	        .ttl_ms = ttl_ms,
	};
	if (call->idempotency_key.ptr)
		digest_key(call);
	try_create(call);
}
