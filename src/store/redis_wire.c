/* redis_wire.c - see redis_wire.h */
#include "redis_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>

#include "simlane/clock.h"

/* No reply to what is asked here comes near it. */
#define REPLY_MAX_BYTES (1024u * 1024u)

int64_t redis_wire_deadline(long ms)
{
	return clock_mono_us(&clock_system) + (int64_t)ms * 1000;
}

/* 0 when it has passed. */
static int64_t left_us(int64_t deadline_us)
{
	int64_t now_us = clock_mono_us(&clock_system);

	return deadline_us > now_us ? deadline_us - now_us : 0;
}

/* Never zero, which would mean for ever. */
static struct timeval left_timeval(int64_t deadline_us)
{
	int64_t us = left_us(deadline_us);

	if (us < 1000)
		us = 1000;
	return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

bool redis_wire_bound(redisContext *c, int64_t deadline_us)
{
	return redisSetTimeout(c, left_timeval(deadline_us)) == REDIS_OK;
}

bool redis_wire_is_address(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* To path, or to an address. */
static redisContext *connect_there(const char *path, const char *address, int port, int64_t deadline_us,
                                   struct fault *why)
{
	struct timeval limit = left_timeval(deadline_us);
	redisContext *c =
	        path ? redisConnectUnixWithTimeout(path, limit) : redisConnectWithTimeout(address, port, limit);

	if (!c) {
		fault_set(why, "no memory");
		return NULL;
	}
	if (c->err == 0 && fcntl(c->fd, F_SETFD, FD_CLOEXEC) == 0 && redis_wire_bound(c, deadline_us) &&
	    (path || redisEnableKeepAlive(c) == REDIS_OK))
		return c;
	fault_set(why, "%s", c->err ? c->errstr : strerror(errno));
	redisFree(c);
	return NULL;
}

/* The caller's to free; NULL: why tells. */
static struct addrinfo *look_up(const char *name, struct fault *why)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
	int failed = getaddrinfo(name, NULL, &hints, &found);

	/* a name server that does not answer is not asked again for as long */
	if (failed && failed != EAI_AGAIN) {
		hints.ai_family = AF_INET6;
		failed = getaddrinfo(name, NULL, &hints, &found);
	}
	if (!failed)
		return found;
	fault_set(why, "%s", failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
	return NULL;
}

static redisContext *connect_name(const struct redis_host *host, int64_t *deadline_us, struct fault *why)
{
	int64_t began_us = clock_mono_us(&clock_system);
	struct addrinfo *found = look_up(host->name, why);
	redisContext *c = NULL;

	*deadline_us += clock_mono_us(&clock_system) - began_us;
	for (struct addrinfo *a = found; a && !c && left_us(*deadline_us) > 0; a = a->ai_next) {
		char address[NI_MAXHOST];
		int failed = getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST);

		if (failed)
			fault_set(why, "%s", gai_strerror(failed));
		else
			c = connect_there(NULL, address, host->port, *deadline_us, why);
	}
	if (found)
		freeaddrinfo(found);
	return c;
}

redisContext *redis_wire_connect(const char *path, const struct redis_host *host, int64_t *deadline_us,
                                 struct fault *why)
{
	if (path || redis_wire_is_address(host->name))
		return connect_there(path, host->name, host->port, *deadline_us, why);
	return connect_name(host, deadline_us, why);
}

bool redis_wire_send(redisContext *c)
{
	int done = 0;

	while (!done)
		if (redisBufferWrite(c, &done) != REDIS_OK)
			return false;
	return true;
}

static bool wait_readable(const redisContext *c, int64_t deadline_us)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int64_t us;

	while ((us = left_us(deadline_us)) > 0) {
		int n = poll(&p, 1, (int)((us + 999) / 1000));

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
	return false;
}

redisReply *redis_wire_reply(redisContext *c, int64_t deadline_us)
{
	for (;;) {
		void *reply = NULL;

		if (redisGetReplyFromReader(c, &reply) != REDIS_OK)
			return NULL;
		if (reply)
			return reply;
		if (c->reader->len > REPLY_MAX_BYTES || !wait_readable(c, deadline_us) ||
		    redisBufferRead(c) != REDIS_OK)
			return NULL;
	}
}

enum link_state redis_wire_failed(const redisContext *c, struct fault *why)
{
	switch (c->err) {
	case REDIS_ERR_PROTOCOL:
		fault_set(why, "does not speak the Redis protocol: is it another service, or is TLS expected?");
		return LINK_REFUSED;
	case REDIS_ERR_EOF:
		fault_set(why, "the server closed the connection");
		return LINK_AWAY;
	case 0:
		if (c->reader->len > REPLY_MAX_BYTES) {
			fault_set(why, "answers with more than was asked for: is it another service?");
			return LINK_REFUSED;
		}
		fault_set(why, "does not answer");
		return LINK_AWAY;
	default:
		fault_set(why, "%s", c->errstr);
		return LINK_AWAY;
	}
}

bool redis_error_is(const char *error, const char *code)
{
	size_t n = strlen(code);

	return strncmp(error, code, n) == 0 && (error[n] == '\0' || error[n] == ' ');
}
