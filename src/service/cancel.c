/* cancel.c - POST /cancel: waits for a collect under way and reports its outcome */
#include "internal.h"

static void try_cancel(struct service_call *call);

static void reply_status(struct service_call *call, const struct job_view *job)
{
	call_take_job(call, job);
	call_begin_status(call, job->trace_id, job->job_id, job_state_name(job->state));
	buf_char(&call->reply.body, '}');
	call_end(call);
}

static void woken(struct service_call *call, bool in_time)
{
	if (!call_token_holds(call))
		return;
	if (in_time)
		try_cancel(call);
	else
		call_fail(call, call->service->stopping ? PROBLEM_SHUTTING_DOWN : PROBLEM_INBOX_UNAVAILABLE,
		          "A collect of this job is under way and takes too long.");
}

static void on_cancelled(void *arg, const struct store_result *result)
{
	struct service_call *call = arg;
	bool in_time;
	switch (result->status) {
	case STORE_OK:
		count_up(&call->service->jobs_cancelled);
		reply_status(call, result->job);
		return;
	case STORE_COMPLETE:
	case STORE_FAILED:
	case STORE_CANCELLED:
		reply_status(call, result->job);
		return;
	case STORE_BUSY:
		if (!wait_for_change(call, result, woken, &in_time))
			woken(call, in_time);
		return;
	default:
		call_fail_store(call, result);
	}
}

static void try_cancel(struct service_call *call)
{
	store_cancel(call->service->options.store, call->claims->tenant, call->job, on_cancelled, call);
}

void service_cancel(struct service *s, struct service_call *call)
{
	call->service = s;
	if (!shape_job_id(call, call->job))
		return;
	call->deadline_us = clock_mono_us(s->options.clock) + s->options.request_timeout_ms * 1000;
	try_cancel(call);
}
