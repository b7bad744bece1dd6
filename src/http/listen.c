/* listen.c - listening sockets: HOST:PORT, [HOST]:PORT, unix:PATH, or systemd's */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

#define BACKLOG          1024
#define SYSTEMD_FIRST_FD 3

/* A socket that systemd passed (sd_listen_fds(3)), or -1. */
static int systemd_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid() || strtol(fds, NULL, 10) < 1)
		return -1;
	return SYSTEMD_FIRST_FD;
}

/* A socket nobody answers on is what a crash left; anything else is not ours
 * to remove. */
static int clear_stale(const struct sockaddr_un *sa, struct fault *fault)
{
	struct stat st;
	if (lstat(sa->sun_path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return fault_set(fault, "%s: exists and is not a socket", sa->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_set(fault, "socket: %s", strerror(errno));
	bool alive = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
	close(fd);
	if (alive)
		return fault_set(fault, "%s: somebody is listening there", sa->sun_path);
	if (unlink(sa->sun_path) != 0)
		return fault_set(fault, "%s: %s", sa->sun_path, strerror(errno));
	return 0;
}

static int open_unix(struct listener *l, const char *path, struct fault *fault)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	strncpy(sa.sun_path, path, sizeof(sa.sun_path) - 1);
	if (clear_stale(&sa, fault) != 0)
		return -1;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0)
		return fault_set(fault, "%s: %s", path, strerror(errno));
	strncpy(l->unix_path, path, sizeof(l->unix_path) - 1);
	return 0;
}

static int bind_first(struct listener *l, const struct addrinfo *list)
{
	int on = 1;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		l->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
		if (l->fd < 0)
			continue;
		if (a->ai_family == AF_INET6)
			(void)setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		    bind(l->fd, a->ai_addr, a->ai_addrlen) == 0)
			return 0;
		int error = errno;
		close(l->fd);
		l->fd = -1;
		errno = error;
	}
	return -1;
}

static int open_inet(struct listener *l, const char *where, struct fault *fault)
{
	char host[128];
	const char *colon = strrchr(where, ':');
	size_t len = (size_t)(colon - where);
	const char *start = where;
	if (*start == '[' && len >= 2) {
		start++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return fault_set(fault, "%s: the host's name is too long", where);
	memcpy(host, start, len);
	host[len] = '\0';
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
	int error = getaddrinfo(host, colon + 1, &hints, &list);
	if (error != 0)
		return fault_set(fault, "%s: %s", where, gai_strerror(error));
	int result = bind_first(l, list);
	if (result != 0)
		fault_set(fault, "%s: %s", where, strerror(errno));
	freeaddrinfo(list);
	return result;
}

static bool is_loopback(const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
	if (sa->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
	return sa->ss_family == AF_UNIX;
}

/* What the socket is really bound to, for the log and for /metrics. */
static int describe(struct listener *l, struct fault *fault)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char host[INET6_ADDRSTRLEN + 32], port[12];
	memset(&sa, 0, sizeof(sa));
	if (getsockname(l->fd, (struct sockaddr *)&sa, &len) != 0)
		return fault_set(fault, "getsockname: %s", strerror(errno));
	l->is_private = is_loopback(&sa);
	if (sa.ss_family == AF_UNIX) {
		snprintf(l->address, sizeof(l->address), "unix:%s", ((struct sockaddr_un *)&sa)->sun_path);
		return 0;
	}
	if (getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return fault_set(fault, "getnameinfo failed");
	snprintf(l->address, sizeof(l->address), sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return 0;
}

int listener_open(struct listener *l, const char *where, struct fault *fault)
{
	l->fd = l->admin ? -1 : systemd_socket();
	if (l->fd < 0) {
		int result =
		        strncmp(where, "unix:", 5) == 0 ? open_unix(l, where + 5, fault) : open_inet(l, where, fault);
		if (result != 0)
			goto failed;
		if (listen(l->fd, BACKLOG) != 0) {
			fault_set(fault, "%s: %s", where, strerror(errno));
			goto failed;
		}
	}
	/* systemd's may be a blocking one; a connection may be gone before it is accepted */
	if (fcntl(l->fd, F_SETFL, O_NONBLOCK) != 0) {
		fault_set(fault, "%s: %s", where, strerror(errno));
		goto failed;
	}
	if (describe(l, fault) == 0)
		return 0;
failed:
	listener_close(l);
	return -1;
}

void listener_close(struct listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->unix_path[0])
		(void)unlink(l->unix_path);
	l->unix_path[0] = '\0';
}
