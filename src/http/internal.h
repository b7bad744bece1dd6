/*
 * internal.h - what the files of the HTTP layer share
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "simlane/http.h"

/* ---- metrics.c ---- */

#define ROUTES_MAX      16
#define STATUS_SLOTS    24
#define LATENCY_BUCKETS 12

struct metrics {
	atomic_ullong requests[ROUTES_MAX + 1][STATUS_SLOTS]; /* the last row: no route */
	atomic_ullong latency[ROUTES_MAX + 1][LATENCY_BUCKETS + 1];
	atomic_ullong latency_us[ROUTES_MAX + 1];
	atomic_ullong token_verdicts[TOKEN_VERDICTS];
	atomic_ullong token_cache_hits, duress_signals;
};

struct http;
struct request;

void metrics_count(struct metrics *m, unsigned route, int status, int64_t duration_us);
void metrics_print(struct http *h, struct buf *out);

/* ---- routes.c ---- */

enum route_flags {
	ROUTE_BODY = 1,    /* takes a JSON body */
	ROUTE_ENABLED = 2, /* refused while the lane is disabled */
	ROUTE_ADMIN = 4,   /* also on the admin listener */
	ROUTE_PRIVATE = 8, /* on the main listener only while that is private and there is no other */
	ROUTE_PROBE = 16,  /* logged at debug level */
	ROUTE_WAITS = 32,  /* may suspend its connection */
};

struct route {
	const char *method, *path; /* a path that ends with {job_id} takes one segment more */
	unsigned flags;
	unsigned scopes_all, scopes_any; /* 0: none needed */
	/* Starts the work; request_done (through call.done) ends it. */
	void (*start)(struct request *r);
	/* Writes the successful answer: status and headers of its own. */
	void (*finish)(struct request *r);
};

extern const struct route routes[];
extern const unsigned route_count;

/* PROBLEM_NONE (with *route), NOT_FOUND or METHOD_NOT_ALLOWED (with *allow,
 * a constant for the Allow header). */
enum problem route_find(const struct http *h, bool admin, const char *method, const char *path,
                        const struct route **route, struct span *segment, const char **allow);

/* ---- request.c ---- */

enum request_state { REQUEST_RUNNING, REQUEST_SUSPENDED, REQUEST_DONE, REQUEST_TIMED_OUT };

/* A head larger than this leaves the library too little room for an answer. */
#define HEAD_MAX_BYTES   8192
#define HEAD_MAX_HEADERS 64

struct request {
	struct http *http;
	struct MHD_Connection *connection;
	const struct route *route; /* NULL: none was found */
	const char *method;
	bool admin;

	/* From the head. */
	enum problem refusal; /* found before the body: answered when it has arrived */
	const char *refusal_detail;
	const char *allow;
	bool refuse_now, close; /* answer at once and close */
	bool oversized;
	size_t body_bytes;
	struct span segment, prefer;
	unsigned missing_scopes;
	enum token_verdict verdict;
	const struct claims *claims;
	char traceparent[56];
	char trace_id[TRACE_ID_SIZE]; /* drawn for this request */
	int64_t started_us;

	/* The body. */
	struct buf body;
	struct jdoc doc;
	struct jdoc_where where;

	/* The work. */
	struct service_call call;
	bool started;
	bool has_place; /* counted in http.waiting */
	atomic_int state;
	atomic_int refs;              /* MHD's, the work's */
	int64_t give_up_us;           /* suspended_lock: when the client is told that it took too long */
	struct batch_later resume;    /* whoever has moved state from SUSPENDED; MHD's reference keeps it */
	struct request *next, **link; /* suspended requests; next also of the free list */

	/* The answer. */
	struct MHD_Response *response;
	struct buf answer;
	enum problem problem;
	int status;
};

struct listener {
	struct MHD_Daemon *daemon;
	int fd; /* -1: closed */
	pthread_t acceptor;
	int stop_fd;                /* wakes the acceptor */
	bool accepting;             /* the acceptor runs */
	atomic_long accepted, left; /* connections so far */
	bool admin, is_private;
	char address[160];
	char unix_path[110]; /* to unlink, "" otherwise */
	struct http *http;
};

struct http {
	struct http_options options;
	struct listener main, admin;
	struct metrics metrics;
	atomic_bool draining;
	atomic_long in_flight;
	atomic_llong last_start_us;
	atomic_long waiting;            /* requests that are suspended or may yet be */
	atomic_bool closing;            /* no request may begin to wait any more */
	pthread_mutex_t suspended_lock; /* guards suspended */
	struct request *suspended;
	pthread_mutex_t pool_lock; /* guards the two below */
	struct request *pool;
	unsigned pooled;
	pthread_mutex_t visitors_lock; /* guards visitors */
	struct visitor *visitors;
	struct timer_entry slow_timer;
	int64_t started_ms;
};

enum MHD_Result request_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                               const char *version, const char *upload, size_t *upload_size, void **con_cls);
void request_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                       enum MHD_RequestTerminationCode why);
void request_give_up(struct http *h, int64_t now_us); /* resumes those that have waited too long; INT64_MAX: all */
void request_pool_free(struct http *h);
void request_done(struct service_call *call);

static inline struct request *request_of_call(struct service_call *call)
{
	return (struct request *)(void *)((char *)call - offsetof(struct request, call));
}

/* ---- accept.c: connections ---- */

int accept_start(struct listener *l, struct fault *fault);
long accept_connected(const struct listener *l); /* those handed to the library and not closed yet */
void accept_stop(struct listener *l);            /* takes no more in; nothing to do when it was not started */

/* ---- guard.c: framing (RFC 9112) ---- */

struct framing {
	uint64_t content_length;
	size_t head_bytes;
	unsigned headers;
	bool chunked;
};

/* NULL, or what is wrong with the head: 400 and the connection is closed. */
const char *guard_framing(struct MHD_Connection *connection, const char *method, const char *version,
                          struct framing *framing);

/* ---- head.c: what the headers say ---- */

/* Fills in r from its headers; sets r->refusal at the first fault. */
void head_read(struct request *r, uint64_t content_length);
/* Prefer: wait=N; -1 when there is none. */
int64_t head_prefer_wait(struct span value);

/* ---- slow.c ---- */

void slow_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                 enum MHD_ConnectionNotificationCode code);
/* A request of this connection has arrived whole; or it has been answered. */
void slow_working(struct http *h, struct MHD_Connection *connection, bool working);
void slow_start(struct http *h);

/* ---- answer.c ---- */

/* Starts the response to r: status, body (r->answer or r->call.reply.body; the
 * bytes must live as long as r), type. Headers may be added until answer_send. */
void answer_begin(struct request *r, int status, struct span body, const char *type);
void answer_header(struct request *r, const char *name, const char *value);
void answer_json(struct request *r, int status); /* with the call's reply body */
void answer_problem(struct request *r, enum problem problem, const char *detail);
enum MHD_Result answer_send(struct request *r);

/* ---- one file per endpoint ---- */

void schedule_start(struct request *r);
void schedule_finish(struct request *r);
void collect_start(struct request *r);
void collect_finish(struct request *r);
void cancel_start(struct request *r);
void inbox_start(struct request *r);
void job_start(struct request *r);
void health_start(struct request *r);
void health_finish(struct request *r);
void livez_start(struct request *r);
void livez_finish(struct request *r);
void readyz_start(struct request *r);
void readyz_finish(struct request *r);
void metrics_start(struct request *r);
void metrics_finish(struct request *r);
void openapi_start(struct request *r);
void openapi_finish(struct request *r);
/* 200 with the call's body. */
void plain_finish(struct request *r);

/* ---- listen.c ---- */

int listener_open(struct listener *l, const char *where, struct fault *fault);
void listener_close(struct listener *l);

#endif
