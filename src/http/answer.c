/* answer.c - responses, problem+json, and the line in the log */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Once the work was given up, its reply may still be written to: only what is
 * the request's own is read then. */
static bool has_reply(const struct request *r)
{
	return atomic_load(&((struct request *)(uintptr_t)r)->state) != REQUEST_TIMED_OUT;
}

static const char *trace_of(const struct request *r)
{
	return has_reply(r) ? r->call.trace_id : r->trace_id;
}

void answer_header(struct request *r, const char *name, const char *value)
{
	if (r->response && MHD_add_response_header(r->response, name, value) != MHD_YES) {
		MHD_destroy_response(r->response);
		r->response = NULL;
	}
}

void answer_begin(struct request *r, int status, struct span body, const char *type)
{
	r->status = status;
	/* The bytes live in the request, and the request until MHD has sent them. */
	r->response = MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.ptr, MHD_RESPMEM_PERSISTENT);
	answer_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	answer_header(r, "X-Trace-Id", trace_of(r));
}

void answer_json(struct request *r, int status)
{
	answer_begin(r, status, (struct span){r->call.reply.body.ptr, r->call.reply.body.len}, "application/json");
}

/* ---- problems ---- */

static void add_scopes(struct buf *b, unsigned scopes, const char *separator, bool quoted)
{
	bool first = true;
	for (const struct scope_name *s = scope_names; s->name; s++) {
		if (!(scopes & s->bit))
			continue;
		if (!first)
			buf_text(b, separator);
		first = false;
		if (quoted)
			buf_json_string(b, span_of(s->name));
		else
			buf_text(b, s->name);
	}
}

static void add_fields(struct request *r, enum problem problem)
{
	struct buf *b = &r->answer;
	if (problem == PROBLEM_INVALID_JSON)
		buf_printf(b, ",\"line\":%u,\"column\":%u", r->where.line, r->where.column);
	if (problem == PROBLEM_INSUFFICIENT_SCOPE) {
		buf_text(b, ",\"missing_scopes\":[");
		add_scopes(b, r->missing_scopes ? r->missing_scopes : SCOPE_INBOX, ",", true);
		buf_char(b, ']');
	}
	if (!has_reply(r))
		return;
	if (r->call.reply.rule[0]) {
		buf_text(b, ",\"rule\":");
		buf_json_string(b, span_of(r->call.reply.rule));
	}
	if (r->call.reply.has_pointer) {
		buf_text(b, ",\"pointer\":");
		buf_json_string(b, (struct span){r->call.reply.pointer.ptr, r->call.reply.pointer.len});
	}
}

/* RFC 6750 section 3, RFC 9470 section 3 */
static void add_challenge(struct request *r, enum problem problem)
{
	struct buf b = BUF_EMPTY;
	if (problem != PROBLEM_MISSING_TOKEN && problem != PROBLEM_INVALID_TOKEN &&
	    problem != PROBLEM_STEP_UP_REQUIRED && problem != PROBLEM_INSUFFICIENT_SCOPE)
		return;
	buf_text(&b, "Bearer realm=\"simlane\"");
	if (problem == PROBLEM_INVALID_TOKEN) {
		buf_text(&b, ", error=\"invalid_token\"");
		if (r->verdict == TOKEN_EXPIRED || (has_reply(r) && r->call.reply.token_expired))
			buf_text(&b, ", error_description=\"The token has expired\"");
	} else if (problem == PROBLEM_STEP_UP_REQUIRED) {
		buf_text(&b, ", error=\"insufficient_user_authentication\", acr_values=\"gtpsi\", max_age=\"300\"");
	} else if (problem == PROBLEM_INSUFFICIENT_SCOPE) {
		buf_text(&b, ", error=\"insufficient_scope\", scope=\"");
		add_scopes(&b, r->route ? r->route->scopes_all | r->route->scopes_any : SCOPE_INBOX, " ", false);
		buf_char(&b, '"');
	}
	char *value = buf_take(&b, NULL);
	answer_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, value ? value : "Bearer realm=\"simlane\"");
	free(value);
}

static const char *default_detail(enum problem problem, const struct request *r)
{
	switch (problem) {
	case PROBLEM_INVALID_JSON:
		return jdoc_error_text(r->where.error);
	case PROBLEM_NOT_FOUND:
		return "No such path.";
	default:
		return problem_rows[problem].title;
	}
}

void answer_problem(struct request *r, enum problem problem, const char *detail)
{
	const struct problem_row *row = &problem_rows[problem];
	struct buf *b = &r->answer;
	char retry[12];
	buf_clear(b);
	buf_printf(b, "{\"type\":\"urn:simlane:problem:%s\",\"title\":\"%s\",\"status\":%d,\"detail\":", row->code,
	           row->title, row->status);
	buf_json_string(b, span_of(detail ? detail : default_detail(problem, r)));
	buf_printf(b, ",\"code\":\"%s\",\"trace_id\":\"%s\"", row->code, trace_of(r));
	add_fields(r, problem);
	buf_char(b, '}');
	r->problem = problem;
	answer_begin(r, row->status, (struct span){b->ptr, b->len}, "application/problem+json");
	add_challenge(r, problem);
	if (row->retry_after_s) {
		snprintf(retry, sizeof(retry), "%d", row->retry_after_s);
		answer_header(r, MHD_HTTP_HEADER_RETRY_AFTER, retry);
	}
	if (r->allow && problem == PROBLEM_METHOD_NOT_ALLOWED)
		answer_header(r, MHD_HTTP_HEADER_ALLOW, r->allow);
}

/* ---- the log ---- */

static struct span text_or_none(const char *text)
{
	return text && *text ? span_of(text) : (struct span){NULL, 0};
}

static const char *logged_verdict(const struct request *r)
{
	if (r->problem != PROBLEM_INVALID_TOKEN)
		return NULL;
	return token_verdict_name(r->verdict != TOKEN_VALID || !has_reply(r) ? r->verdict : r->call.reply.verdict);
}

static void log_request(struct request *r, int64_t duration_us)
{
	struct log *log = r->http->options.log;
	enum log_level level = r->status >= 500                              ? LOG_WARN
	                       : r->route && (r->route->flags & ROUTE_PROBE) ? LOG_DEBUG
	                                                                     : LOG_INFO;
	if (!log_wants(log, level))
		return;
	bool reply = has_reply(r);
	const char *rule = reply ? (r->call.reply.logged[0] ? r->call.reply.logged : r->call.reply.rule) : NULL;
	LOG(log, level, "request", LOG_STR("trace", trace_of(r)), LOG_STR("method", r->method),
	    LOG_STR("route", r->route ? r->route->path : "none"), LOG_INT("status", r->status),
	    LOG_INT("duration_us", duration_us),
	    LOG_SPAN("code", text_or_none(r->problem ? problem_rows[r->problem].code : NULL)),
	    LOG_SPAN("rule", text_or_none(rule)), LOG_SPAN("verdict", text_or_none(logged_verdict(r))),
	    LOG_SPAN("subject", text_or_none(r->claims ? r->claims->sub : NULL)),
	    LOG_SPAN("tenant", text_or_none(r->claims ? r->claims->tenant : NULL)),
	    LOG_SPAN("job", text_or_none(reply ? r->call.reply.job_id : NULL)),
	    LOG_SPAN("traceparent", text_or_none(r->traceparent)));
}

enum MHD_Result answer_send(struct request *r)
{
	struct http *h = r->http;
	int64_t duration_us = clock_mono_us(h->options.clock) - r->started_us;
	if (r->close || atomic_load_explicit(&h->draining, memory_order_relaxed))
		answer_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	if (!r->response || r->answer.failed)
		return MHD_NO;
	metrics_count(&h->metrics, r->route ? (unsigned)(r->route - routes) : ROUTES_MAX, r->status, duration_us);
	if (has_reply(r) && strcmp(r->call.reply.logged, "duress") == 0)
		atomic_fetch_add(&h->metrics.duress_signals, 1);
	log_request(r, duration_us);
	enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)r->status, r->response);
	MHD_destroy_response(r->response);
	r->response = NULL;
	return result;
}
