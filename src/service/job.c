/* job.c - GET /jobs/{job_id}: status and times */
#include "internal.h"

static void add_time(struct buf *b, const char *name, int64_t ms)
{
	buf_text(b, ",\"");
	buf_text(b, name);
	buf_text(b, "\":");
	buf_int(b, ms);
}

static void on_read(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	struct buf *b = &call->reply.body;
	const struct job_view *job = result->job;
	if (result->status != STORE_OK) {
		call_fail_store(call, result);
		return;
	}
	call_take_job(call, job);
	call_begin_status(call, job->trace_id, job->job_id, job_state_name(job->state));
	add_time(b, "created_ms", job->created_ms);
	add_time(b, "updated_ms", job->updated_ms);
	add_time(b, "expires_ms", job->expires_ms);
	if (job->failure[0]) {
		buf_text(b, ",\"failure\":");
		buf_json_string(b, span_of(job->failure));
	}
	if (call->claims->scopes & SCOPE_COLLECT) {
		buf_text(b, ",\"seed\":");
		buf_span(b, job->seed);
	}
	buf_char(b, '}');
	call_end(call);
}

void service_job(struct service *s, struct service_call *call)
{
	call->service = s;
	if (shape_job_id(call, call->job))
		store_read(s->options.store, call->claims->tenant, call->job, on_read, call);
}
