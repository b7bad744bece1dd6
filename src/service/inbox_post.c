/* inbox_post.c - POST /inbox: the writer as a service of its own */
#include "internal.h"

static void on_written(void *arg, const struct inbox_result *result)
{
	struct service_call *call = arg;
	struct buf *b = &call->reply.body;
	if (result->status != INBOX_OK) {
		call_fail_inbox(call, result->status);
		return;
	}
	call_take_trace(call, call->write.trace_id);
	buf_text(b, "{\"trace_id\":\"");
	buf_text(b, call->write.trace_id);
	buf_text(b, "\",\"file\":\"");
	buf_text(b, result->file);
	buf_text(b, "\",\"bytes\":");
	buf_int(b, result->bytes);
	buf_text(b, ",\"shards_written\":");
	buf_int(b, result->shards_written);
	buf_char(b, '}');
	call_end(call);
}

static void on_traced(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	if (result->status == STORE_OK)
		call_fail(call, PROBLEM_TRACE_TAKEN, NULL);
	else if (result->status != STORE_NOT_FOUND)
		call_fail_store(call, result);
	else if (call_token_holds(call))
		inbox_write(call->service->options.inbox, &call->write, on_written, call);
}

void service_inbox(struct service *s, struct service_call *call)
{
	uint32_t seed, shards;
	uint64_t advice;
	struct span trace;
	call->service = s;
	if (!shape_inbox(call, &seed, &trace, &shards))
		return;
	screen_begin(call);
	if (!screen_seed(call, seed, &advice) || !screen_value(call, shards))
		return;
	struct policy *policy = call_policy(call);
	seed_store(call->body, seed, policy_max_goal_chars(policy), &call->seed);
	jdoc_compact(call->body, shards, &call->shards);
	size_t head = call->shards.len;
	buf_span(&call->shards, trace); /* the name, behind the shards */
	buf_char(&call->shards, '\0');
	if (call->seed.failed || call->shards.failed) {
		call_fail(call, PROBLEM_INTERNAL, NULL);
		return;
	}
	call->write = (struct inbox_write){
	        .claims = call->claims,
	        .trace_id = call->shards.ptr + head,
	        .seed = {call->seed.ptr, call->seed.len},
	        .shards = {call->shards.ptr, head},
	        .redact_email = policy_redact_email(policy),
	        .redact_phone = policy_redact_phone(policy),
	};
	store_trace(s->options.store, call->write.trace_id, on_traced, call);
}
