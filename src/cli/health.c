/*
 * health.c - simlane health: asks a running daemon, for health checks
 *
 * A container's HEALTHCHECK needs no shell and no curl with it.
 */
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

#define TIMEOUT_S 5

static const char usage[] = "usage: simlane health [--ready | --live] [LISTEN]\n\n"
                            "Asks the daemon at LISTEN (default: SIM_LISTEN, else 127.0.0.1:8080) for /health,\n"
                            "or with --ready for /readyz, with --live for /livez. Prints the answer.\n"
                            "Exit codes: 0 well, 1 not well or not there, 2 usage.\n";

static int connect_unix(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int connect_inet(const char *where)
{
	char host[128];
	const char *colon = strrchr(where, ':');
	size_t len = colon ? (size_t)(colon - where) : 0;
	if (!colon || len == 0 || len >= sizeof(host)) {
		errno = EINVAL;
		return -1;
	}
	bool bracketed = where[0] == '[' && len >= 2;
	snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? len - 2 : len), where + bracketed);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
	if (getaddrinfo(host, colon + 1, &hints, &list) != 0) {
		errno = EINVAL;
		return -1;
	}
	int fd = -1;
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* Sends the request and reads the whole answer into text. */
static int ask(int fd, const char *path, char *text, size_t size)
{
	char request[128];
	struct timeval timeout = {.tv_sec = TIMEOUT_S, .tv_usec = 0};
	int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: simlane\r\nConnection: close\r\n\r\n",
	                 path);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		return -1;
	size_t used = 0;
	while (used < size - 1) {
		ssize_t got = recv(fd, text + used, size - 1 - used, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	text[used] = '\0';
	return 0;
}

int command_health(int argc, char **argv)
{
	const char *path = "/health", *listen = getenv("SIM_LISTEN");
	char text[8192];
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		} else if (strcmp(argv[i], "--ready") == 0) {
			path = "/readyz";
		} else if (strcmp(argv[i], "--live") == 0) {
			path = "/livez";
		} else if (argv[i][0] == '-' || i != argc - 1) {
			fputs(usage, stderr);
			return 2;
		} else {
			listen = argv[i];
		}
	}
	if (!listen)
		listen = "127.0.0.1:8080";
	int fd = strncmp(listen, "unix:", 5) == 0 ? connect_unix(listen + 5) : connect_inet(listen);
	if (fd < 0) {
		fprintf(stderr, "simlane health: %s: %s\n", listen, strerror(errno));
		return 1;
	}
	int failed = ask(fd, path, text, sizeof(text));
	close(fd);
	if (failed) {
		fprintf(stderr, "simlane health: %s: no answer\n", listen);
		return 1;
	}
	const char *body = strstr(text, "\r\n\r\n");
	puts(body ? body + 4 : text);
	return strncmp(text, "HTTP/1.1 200 ", 13) == 0 ? 0 : 1;
}
