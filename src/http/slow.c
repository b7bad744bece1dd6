/*
 * slow.c - connections that take for ever to send a request
 *
 * The library's own time-out counts from the last byte, so a byte now and
 * then holds a connection as long as its peer likes, without a token. Here
 * each connection has a deadline for its next request to have arrived whole:
 * the time it may be idle and the time a request may take. While a request is
 * being worked on, or waits, there is none: then it is the answer that has a
 * deadline, and the same look-round sees to it.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "internal.h"

#define LOOK_EVERY_MS 500

struct visitor {
	struct visitor *next, **link; /* visitors_lock */
	int fd;
	atomic_llong since_us; /* connected, or its last request was answered */
	atomic_bool working;
};

static struct visitor *visitor_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

static void arrive(struct http *h, struct MHD_Connection *connection, void **socket_context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct visitor *v = info ? calloc(1, sizeof(*v)) : NULL;
	if (!v)
		return;
	v->fd = info->connect_fd;
	atomic_init(&v->since_us, clock_mono_us(h->options.clock));
	pthread_mutex_lock(&h->visitors_lock);
	v->next = h->visitors;
	v->link = &h->visitors;
	if (v->next)
		v->next->link = &v->next;
	h->visitors = v;
	pthread_mutex_unlock(&h->visitors_lock);
	*socket_context = v;
}

static void leave(struct http *h, struct visitor *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&h->visitors_lock);
	*v->link = v->next;
	if (v->next)
		v->next->link = v->link;
	pthread_mutex_unlock(&h->visitors_lock);
	free(v);
}

/* The library closes the socket only after the second of these. */
void slow_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                 enum MHD_ConnectionNotificationCode code)
{
	struct listener *l = cls;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		arrive(l->http, connection, socket_context);
	else {
		atomic_fetch_add(&l->left, 1);
		leave(l->http, *socket_context);
	}
}

void slow_working(struct http *h, struct MHD_Connection *connection, bool working)
{
	struct visitor *v = visitor_of(connection);
	if (!v)
		return;
	if (!working)
		atomic_store_explicit(&v->since_us, clock_mono_us(h->options.clock), memory_order_relaxed);
	atomic_store_explicit(&v->working, working, memory_order_release);
}

static void look(struct timer_entry *e)
{
	struct http *h = (struct http *)(void *)((char *)e - offsetof(struct http, slow_timer));
	int64_t oldest_us = clock_mono_us(h->options.clock) - h->options.request_timeout_ms * 2000;
	pthread_mutex_lock(&h->visitors_lock);
	for (struct visitor *v = h->visitors; v; v = v->next)
		if (!atomic_load_explicit(&v->working, memory_order_acquire) &&
		    atomic_load_explicit(&v->since_us, memory_order_relaxed) < oldest_us)
			(void)shutdown(v->fd, SHUT_RDWR); /* the library sees the end and closes it */
	pthread_mutex_unlock(&h->visitors_lock);
	request_give_up(h, clock_mono_us(h->options.clock));
	timer_arm(h->options.timer, e, LOOK_EVERY_MS);
}

void slow_start(struct http *h)
{
	h->slow_timer = (struct timer_entry){.fire = look};
	timer_arm(h->options.timer, &h->slow_timer, LOOK_EVERY_MS);
}
