/*
 * request.c - the life of a request
 *
 * libmicrohttpd calls request_handle once with the head, then with pieces of
 * the body, then to be answered. The work may end before it has returned, or
 * later on another thread: state is one atomic, and only a request that is
 * still running when the work's start returns suspends its connection:
 *
 *   RUNNING -> DONE                             answered at once
 *   RUNNING -> SUSPENDED -> DONE                the work resumes it
 *   RUNNING -> SUSPENDED -> TIMED_OUT           the look-round resumes it; 503
 *
 * A request is freed when MHD and the work have let it go.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define POOL_MAX         256
#define BODY_KEPT        65536   /* a larger body buffer is not kept for the next request */
#define BODY_WAITS       4096    /* nor for a request that waits */
#define DOC_WAITS        256     /* nodes, the same */
#define OVERSIZE_DRAINED 1048576 /* so much too much is read and dropped before the connection is cut */

/* ---- memory ---- */

static struct request *request_new(struct http *h)
{
	pthread_mutex_lock(&h->pool_lock);
	struct request *r = h->pool;
	if (r) {
		h->pool = r->next;
		h->pooled--;
	}
	pthread_mutex_unlock(&h->pool_lock);
	return r ? r : calloc(1, sizeof(*r));
}

static void request_free(struct request *r)
{
	buf_free(&r->body);
	buf_free(&r->answer);
	jdoc_free(&r->doc);
	service_call_free(&r->call);
	free(r);
}

static void request_recycle(struct request *r)
{
	struct http *h = r->http;
	claims_let_go(r->claims);
	r->claims = NULL;
	if (r->body.cap > BODY_KEPT || r->call.seed.cap > BODY_KEPT || r->call.reply.body.cap > BODY_KEPT ||
	    r->answer.cap > BODY_KEPT || r->doc.cap > BODY_KEPT / sizeof(struct jdoc_node)) {
		request_free(r);
		return;
	}
	pthread_mutex_lock(&h->pool_lock);
	bool kept = h->pooled < POOL_MAX;
	if (kept) {
		r->next = h->pool;
		h->pool = r;
		h->pooled++;
	}
	pthread_mutex_unlock(&h->pool_lock);
	if (!kept)
		request_free(r);
}

static void request_let_go(struct request *r)
{
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		request_recycle(r);
}

void request_pool_free(struct http *h)
{
	while (h->pool) {
		struct request *next = h->pool->next;
		request_free(h->pool);
		h->pool = next;
	}
}

/* Makes a pooled or fresh one empty, keeping the buffers' memory. */
static void request_reset(struct request *r, struct http *h)
{
	struct buf body = r->body, answer = r->answer;
	struct jdoc doc = r->doc;
	struct service_call *call = &r->call;
	service_call_reset(call);
	memset(r, 0, offsetof(struct request, call));
	memset((char *)r + offsetof(struct request, started), 0, sizeof(*r) - offsetof(struct request, started));
	buf_clear(&body);
	buf_clear(&answer);
	r->body = body;
	r->answer = answer;
	r->doc = doc;
	r->http = h;
	call->traceparent = r->traceparent;
	call->done = request_done;
	atomic_init(&r->refs, 1);
	atomic_init(&r->state, REQUEST_RUNNING);
}

/* ---- the list of suspended requests ---- */

static void list_add(struct request *r)
{
	struct http *h = r->http;
	pthread_mutex_lock(&h->suspended_lock);
	r->next = h->suspended;
	r->link = &h->suspended;
	if (r->next)
		r->next->link = &r->next;
	h->suspended = r;
	pthread_mutex_unlock(&h->suspended_lock);
}

static void list_remove(struct request *r)
{
	struct http *h = r->http;
	pthread_mutex_lock(&h->suspended_lock);
	if (r->link) {
		*r->link = r->next;
		if (r->next)
			r->next->link = r->link;
		r->link = NULL;
	}
	pthread_mutex_unlock(&h->suspended_lock);
}

void request_give_up(struct http *h, int64_t now_us)
{
	pthread_mutex_lock(&h->suspended_lock);
	for (struct request *r = h->suspended; r; r = r->next) {
		int expected = REQUEST_SUSPENDED;
		if (r->give_up_us <= now_us && atomic_compare_exchange_strong(&r->state, &expected, REQUEST_TIMED_OUT))
			MHD_resume_connection(r->connection);
	}
	pthread_mutex_unlock(&h->suspended_lock);
}

/* ---- done, suspended, timed out ---- */

static void resume(struct batch_later *l)
{
	struct request *r = (struct request *)(void *)((char *)l - offsetof(struct request, resume));
	MHD_resume_connection(r->connection);
}

void request_done(struct service_call *call)
{
	struct request *r = request_of_call(call);
	int before = REQUEST_RUNNING;
	if (!atomic_compare_exchange_strong(&r->state, &before, REQUEST_DONE) && before == REQUEST_SUSPENDED &&
	    atomic_compare_exchange_strong(&r->state, &before, REQUEST_DONE)) {
		/* A batch ends many at once: the threads that are woken would fight its
		 * thread for the library's lock. */
		r->resume.run = resume;
		batcher_at_end(&r->resume);
	}
	request_let_go(r);
}

/* How long the work may take before the client is told 503. */
static int64_t patience_ms(const struct request *r)
{
	int64_t wait_ms = r->call.wait_s > 0 ? r->call.wait_s * 1000 : 0;
	if (wait_ms > SERVICE_MAX_WAIT_S * 1000)
		wait_ms = SERVICE_MAX_WAIT_S * 1000;
	return r->http->options.request_timeout_ms * 2 + wait_ms;
}

/* The connection is suspended before anybody else is told so: a resume that
 * came first would be lost. */
static void suspend(struct request *r)
{
	int expected = REQUEST_RUNNING;
	MHD_suspend_connection(r->connection);
	r->give_up_us = clock_mono_us(r->http->options.clock) + patience_ms(r) * 1000;
	list_add(r);
	if (!atomic_compare_exchange_strong(&r->state, &expected, REQUEST_SUSPENDED))
		MHD_resume_connection(r->connection); /* it was done meanwhile */
}

/* ---- answering ---- */

static enum MHD_Result refuse(struct request *r, enum problem problem, const char *detail)
{
	answer_problem(r, problem, detail);
	return answer_send(r);
}

static enum MHD_Result reply(struct request *r)
{
	if (atomic_load(&r->state) == REQUEST_TIMED_OUT)
		return refuse(r, atomic_load(&r->http->closing) ? PROBLEM_SHUTTING_DOWN : PROBLEM_INBOX_UNAVAILABLE,
		              "No answer in time: whether this request took effect is unknown.");
	if (r->call.reply.problem != PROBLEM_NONE)
		return refuse(r, r->call.reply.problem, r->call.reply.detail);
	r->route->finish(r);
	return answer_send(r);
}

/* Takes a place among those that may wait. None is given once the daemon stops,
 * so that from some moment on no connection is suspended any more. */
static enum problem take_place(struct request *r)
{
	struct http *h = r->http;
	long waiting = atomic_fetch_add(&h->waiting, 1);
	bool probe = r->route->flags & ROUTE_PROBE;
	if (!atomic_load(&h->closing) && (probe || waiting < (long)h->options.max_connections / 2)) {
		r->has_place = true;
		return PROBLEM_NONE;
	}
	atomic_fetch_sub(&h->waiting, 1);
	return atomic_load(&h->closing) ? PROBLEM_SHUTTING_DOWN : PROBLEM_STORE_UNAVAILABLE;
}

static void give_place_back(struct request *r)
{
	if (r->has_place)
		atomic_fetch_sub(&r->http->waiting, 1);
	r->has_place = false;
}

static enum MHD_Result work(struct request *r)
{
	enum problem full = r->route->flags & ROUTE_WAITS ? take_place(r) : PROBLEM_NONE;
	if (full != PROBLEM_NONE)
		return refuse(r, full, full == PROBLEM_SHUTTING_DOWN ? NULL : "Too many requests are waiting.");
	atomic_fetch_add(&r->refs, 1); /* the work's */
	r->route->start(r);
	if (atomic_load(&r->state) == REQUEST_DONE) {
		give_place_back(r);
		return reply(r);
	}
	/* What was read has been copied where it is needed; many may wait for long. */
	if (r->doc.cap > DOC_WAITS)
		jdoc_free(&r->doc);
	if (r->body.cap > BODY_WAITS)
		buf_free(&r->body);
	suspend(r);
	return MHD_YES;
}

/* Everything has arrived: the rest of the order of checks, then the work. */
static enum MHD_Result start(struct request *r)
{
	struct http *h = r->http;
	r->started = true;
	slow_working(h, r->connection, true);
	if (r->oversized && r->route && r->refusal != PROBLEM_BAD_REQUEST)
		return refuse(r, PROBLEM_BODY_TOO_LARGE, NULL);
	if (r->refusal != PROBLEM_NONE || !r->route)
		return refuse(r, r->refusal, r->refusal_detail);
	if ((r->route->flags & ROUTE_ENABLED) && !service_enabled(h->options.service)) {
		service_refuse_disabled(&r->call);
		return reply(r);
	}
	r->call.claims = r->claims;
	r->call.job_id = r->segment;
	if (r->route->flags & ROUTE_BODY) {
		r->call.body_bytes = (struct span){r->body.ptr ? r->body.ptr : "", r->body.len};
		if (r->body.failed || jdoc_parse(&r->doc, r->call.body_bytes, &r->where) == JDOC_NO_MEMORY)
			return refuse(r, PROBLEM_INTERNAL, NULL);
		if (r->where.error != JDOC_OK)
			return refuse(r, PROBLEM_INVALID_JSON, NULL);
		r->call.body = &r->doc;
	}
	return work(r);
}

/* ---- what libmicrohttpd calls ---- */

static void read_head(struct request *r, const char *url, const char *version)
{
	struct framing framing;
	const char *fault = guard_framing(r->connection, r->method, version, &framing);
	if (fault) {
		r->refusal = PROBLEM_BAD_REQUEST;
		r->refusal_detail = fault;
		r->refuse_now = r->close = true;
		return;
	}
	if (framing.head_bytes > HEAD_MAX_BYTES || framing.headers > HEAD_MAX_HEADERS) {
		r->refusal = PROBLEM_HEADERS_TOO_LARGE;
		r->refuse_now = r->close = true;
		return;
	}
	/* Where a chunk ends, parties disagree in more ways than can be seen from here: what
	 * stands behind such a body is never read as a request. */
	r->close = framing.chunked;
	r->refusal = route_find(r->http, r->admin, r->method, url, &r->route, &r->segment, &r->allow);
	head_read(r, framing.content_length);
}

static enum MHD_Result begin(struct listener *l, struct MHD_Connection *connection, const char *url, const char *method,
                             const char *version, void **con_cls)
{
	struct http *h = l->http;
	struct request *r = request_new(h);
	if (!r)
		return MHD_NO;
	request_reset(r, h);
	r->connection = connection;
	r->method = method;
	r->admin = l->admin;
	r->started_us = clock_mono_us(h->options.clock);
	idgen_trace(h->options.ids, clock_wall_ms(h->options.clock), r->trace_id);
	memcpy(r->call.trace_id, r->trace_id, TRACE_ID_SIZE);
	atomic_fetch_add_explicit(&h->in_flight, 1, memory_order_relaxed);
	atomic_store_explicit(&h->last_start_us, r->started_us, memory_order_relaxed);
	*con_cls = r;
	read_head(r, url, version);
	if (r->refuse_now) {
		r->started = true;
		return refuse(r, r->refusal, r->refusal_detail);
	}
	return MHD_YES;
}

/* A piece of the body: kept only if somebody will read it. */
static enum MHD_Result take_body(struct request *r, const char *bytes, size_t len)
{
	size_t max = r->http->options.max_body_bytes;
	r->body_bytes += len;
	if (r->body_bytes > max) {
		r->oversized = r->close = true;
		buf_clear(&r->body);
		return r->body_bytes - max > OVERSIZE_DRAINED ? MHD_NO : MHD_YES;
	}
	if (clock_mono_us(r->http->options.clock) - r->started_us > r->http->options.request_timeout_ms * 1000)
		return MHD_NO;
	if (r->refusal == PROBLEM_NONE && (r->route->flags & ROUTE_BODY))
		buf_add(&r->body, bytes, len);
	return MHD_YES;
}

enum MHD_Result request_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                               const char *version, const char *upload, size_t *upload_size, void **con_cls)
{
	struct request *r = *con_cls;
	if (!r)
		return begin(cls, connection, url, method, version, con_cls);
	if (*upload_size) {
		enum MHD_Result result = take_body(r, upload, *upload_size);
		*upload_size = 0;
		return result;
	}
	if (!r->started)
		return start(r);
	int state = atomic_load(&r->state);
	if (state != REQUEST_DONE && state != REQUEST_TIMED_OUT)
		return MHD_YES;
	list_remove(r);
	give_place_back(r);
	return reply(r);
}

void request_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                       enum MHD_RequestTerminationCode why)
{
	struct request *r = *con_cls;
	(void)cls;
	(void)why;
	if (!r)
		return;
	*con_cls = NULL;
	slow_working(r->http, connection, false);
	list_remove(r);
	give_place_back(r);
	atomic_fetch_sub_explicit(&r->http->in_flight, 1, memory_order_relaxed);
	request_let_go(r);
}
