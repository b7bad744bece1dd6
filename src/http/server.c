/* server.c - the thread pools of libmicrohttpd: started, drained, stopped */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define CONNECTION_MEMORY 14336
#define GRACE_MS          200
#define QUIET_US          150000 /* so long no new request: nobody was about to send one */

static void mhd_log(void *cls, const char *format, va_list args)
{
	struct http *h = cls;
	char line[256];
	int n = vsnprintf(line, sizeof(line), format, args);
	if (n > 0 && line[strnlen(line, sizeof(line)) - 1] == '\n')
		line[strnlen(line, sizeof(line)) - 1] = '\0';
	LOG(h->options.log, LOG_DEBUG, "microhttpd", LOG_STR("message", line));
}

/* Paths are compared as they were sent: one spelling, one resource. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

/* A batcher wakes many of the library's threads one after the other: it is
 * cheaper to let it finish than to have each of them preempt it. The threads
 * inherit this from the one that starts them; where it is not allowed, things
 * only cost more. Returns what there was before. */
static int set_policy(int policy)
{
	struct sched_param none = {.sched_priority = 0};
	int before = sched_getscheduler(0);
	if (before == SCHED_OTHER || before == SCHED_BATCH)
		(void)sched_setscheduler(0, policy, &none);
	return before;
}

static int listener_start(struct listener *l, unsigned threads, struct fault *fault)
{
	struct http *h = l->http;
	struct MHD_OptionItem pool[] = {
	        {threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)threads, NULL},
	        {MHD_OPTION_END, 0, NULL},
	};
	unsigned timeout_s = (unsigned)((h->options.request_timeout_ms + 999) / 1000);
	/* accept.c holds the limit; the library deals its own out to the threads, so
	 * it must not be the one that is reached. */
	unsigned connections = (h->options.max_connections + 1) * threads;
	int before = set_policy(SCHED_BATCH);
	l->daemon = MHD_start_daemon(
	        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
	        0, NULL, NULL, request_handle, l, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, h, MHD_OPTION_CONNECTION_LIMIT,
	        connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
	        MHD_OPTION_CONNECTION_TIMEOUT, timeout_s, MHD_OPTION_NOTIFY_COMPLETED, request_completed, NULL,
	        MHD_OPTION_NOTIFY_CONNECTION, slow_notify, l, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
	        MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
	set_policy(before);
	if (!l->daemon)
		return fault_set(fault, "%s: libmicrohttpd could not start", l->address);
	return accept_start(l, fault);
}

static int start_listener(struct http *h, struct listener *l, const char *where, unsigned threads, struct fault *fault)
{
	l->http = h;
	if (listener_open(l, where, fault) != 0)
		return -1;
	return listener_start(l, threads, fault);
}

struct http *http_start(const struct http_options *options, struct fault *fault)
{
	struct http *h = calloc(1, sizeof(*h));
	if (!h) {
		fault_set(fault, "out of memory");
		return NULL;
	}
	h->options = *options;
	h->main.fd = h->admin.fd = -1;
	h->admin.admin = true;
	h->started_ms = clock_wall_ms(options->clock);
	if (pthread_mutex_init(&h->suspended_lock, NULL) != 0 || pthread_mutex_init(&h->pool_lock, NULL) != 0 ||
	    pthread_mutex_init(&h->visitors_lock, NULL) != 0) {
		fault_set(fault, "out of memory");
		free(h);
		return NULL;
	}
	if ((options->admin_listen && start_listener(h, &h->admin, options->admin_listen, 1, fault) != 0) ||
	    start_listener(h, &h->main, options->listen, options->threads, fault) != 0) {
		http_drain(h, 0);
		http_free(h);
		return NULL;
	}
	slow_start(h);
	return h;
}

const char *http_address(const struct http *h, bool admin)
{
	const struct listener *l = admin ? &h->admin : &h->main;
	return l->daemon ? l->address : NULL;
}

static void stop(struct listener *l)
{
	if (l->daemon) {
		accept_stop(l);
		MHD_stop_daemon(l->daemon);
	}
	l->daemon = NULL;
	listener_close(l);
}

/* Waits until every request is answered and no new one has come for a
 * moment, nobody is connected, or the time is up. */
static void wait_idle(struct http *h, int64_t drain_ms)
{
	int64_t end_us = clock_mono_us(h->options.clock) + drain_ms * 1000;
	for (;;) {
		int64_t now_us = clock_mono_us(h->options.clock);
		bool quiet = now_us - atomic_load(&h->last_start_us) > QUIET_US;
		if (now_us >= end_us || accept_connected(&h->main) <= 0 || (atomic_load(&h->in_flight) == 0 && quiet))
			return;
		usleep(5000);
	}
}

void http_drain(struct http *h, int64_t drain_ms)
{
	atomic_store(&h->draining, true);
	atomic_store(&h->last_start_us, clock_mono_us(h->options.clock));
	accept_stop(&h->main); /* who is connected stays so */
	listener_close(&h->main);
	wait_idle(h, drain_ms);
	service_stop(h->options.service);
	if (atomic_load(&h->in_flight) > 0)
		wait_idle(h, GRACE_MS); /* what only waited has now been told so */
	/* libmicrohttpd aborts when it is stopped with a suspended connection. */
	atomic_store(&h->closing, true);
	while (atomic_load(&h->waiting) > 0) {
		request_give_up(h, INT64_MAX);
		usleep(1000);
	}
	wait_idle(h, GRACE_MS);
	stop(&h->main);
	stop(&h->admin);
}

void http_free(struct http *h)
{
	if (!h)
		return;
	request_pool_free(h);
	pthread_mutex_destroy(&h->suspended_lock);
	pthread_mutex_destroy(&h->pool_lock);
	pthread_mutex_destroy(&h->visitors_lock);
	free(h);
}
