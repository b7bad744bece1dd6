/*
 * http - the lane over HTTP/1.1, on libmicrohttpd
 *
 * A pool of epoll threads that never block: whoever waits is a suspended
 * connection. RFC 9110, 9112, 9457 (problem+json), 6750 (bearer), 7240
 * (Prefer), 9470 (step-up).
 */
#ifndef SIMLANE_HTTP_H
#define SIMLANE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "simlane/fault.h"
#include "simlane/service.h"

struct http;

struct http_options {
	struct service *service;
	struct verifier *verifier;
	struct inbox *inbox; /* for its figures only */
	struct timer *timer;
	struct idgen *ids;
	struct log *log;
	const struct clock *clock;
	const char *listen, *admin_listen; /* the latter NULL: none */
	unsigned threads;
	unsigned max_connections;
	size_t max_body_bytes;
	int64_t request_timeout_ms;
};

/* Listens and serves. NULL: fault says why. */
struct http *http_start(const struct http_options *options, struct fault *fault);

/* Where it listens, "127.0.0.1:43210" or "unix:/run/x"; admin: the other
 * listener, NULL when there is none. The http's memory. */
const char *http_address(const struct http *h, bool admin);

/* No new connection, /readyz fails, what was accepted is answered; returns
 * when that is so or drain_ms have passed; what waits then gets 503
 * shutting-down. Then no thread of HTTP runs any more. */
void http_drain(struct http *h, int64_t drain_ms);

/* After http_drain, and after the last call is done. NULL is fine. */
void http_free(struct http *h);

/* "METHOD PATH" lines of the routes table, for the tests and the curious. */
void http_print_routes(FILE *out);

#endif
