/*
 * accept.c - takes connections in and hands them round
 *
 * Threads of the library that share a listening socket race for what comes:
 * one of them may end up with all connections while the others sleep. Here one
 * thread accepts, and the library gives each connection to the next of its
 * threads. So the socket is ours as well, and can be given up while those who
 * are connected are still being answered.
 *
 * At the limit nobody is turned away: who comes waits in the kernel's queue
 * until somebody has left, or the daemon stops.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

#define FULL_LOOK_MS 10 /* how often to see whether somebody has left */
#define SICK_LOOK_MS 50 /* no descriptor, no memory: how long to leave it alone */

long accept_connected(const struct listener *l)
{
	return atomic_load(&l->accepted) - atomic_load(&l->left);
}

static bool full(const struct listener *l)
{
	return accept_connected(l) >= (long)l->http->options.max_connections;
}

/* One connection. False: there is none, or it cannot be taken now (errno). */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED;
	atomic_fetch_add(&l->accepted, 1);
	if (MHD_add_connection(l->daemon, fd, (const struct sockaddr *)&peer, len) != MHD_YES)
		atomic_fetch_add(&l->left, 1); /* it has closed it */
	return true;
}

static void *run(void *arg)
{
	struct listener *l = arg;
	struct pollfd fds[] = {{.fd = l->stop_fd, .events = POLLIN}, {.fd = l->fd, .events = POLLIN}};
	for (;;) {
		bool at_limit;
		int wait_ms = -1;
		while (!(at_limit = full(l)) && accept_one(l))
			continue;
		if (at_limit)
			wait_ms = FULL_LOOK_MS;
		else if (errno != EAGAIN && errno != EWOULDBLOCK)
			wait_ms = SICK_LOOK_MS;
		fds[0].revents = 0;
		(void)poll(fds, wait_ms < 0 ? 2 : 1, wait_ms);
		if (fds[0].revents)
			return NULL;
	}
}

int accept_start(struct listener *l, struct fault *fault)
{
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->stop_fd < 0)
		return fault_set(fault, "eventfd: %s", strerror(errno));
	int error = pthread_create(&l->acceptor, NULL, run, l);
	if (error != 0) {
		close(l->stop_fd);
		return fault_set(fault, "no thread to accept connections: %s", strerror(error));
	}
	pthread_setname_np(l->acceptor, "accept");
	l->accepting = true;
	return 0;
}

void accept_stop(struct listener *l)
{
	uint64_t one = 1;
	if (!l->accepting)
		return;
	if (write(l->stop_fd, &one, sizeof(one)) != sizeof(one))
		abort(); /* an eventfd takes a one */
	pthread_join(l->acceptor, NULL);
	close(l->stop_fd);
	l->accepting = false;
}
