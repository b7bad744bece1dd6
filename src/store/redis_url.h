/*
 * redis_url - what REDIS_URL says
 *
 *   redis://[[user]:password@]host[:port][/db]
 *   rediss://...                                   TLS, where hiredis has it
 *   unix://[[user]:password@]/path[?db=n]
 *   redis+sentinel://[[user]:password@]host[:port],host[:port].../name[/db]
 *
 * Without a port 6379 (Sentinels: 26379), without a database 0. Percent-encoding
 * (RFC 3986) in user, password and path; [::1] for IPv6. User and password are
 * those of the Redis itself; Sentinels are asked without. Nothing else is taken:
 * no other query, no fragment, no user without a password, no blank.
 *
 * THREADS  any.
 */
#ifndef SIMLANE_STORE_REDIS_URL_H
#define SIMLANE_STORE_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "simlane/fault.h"

#define REDIS_MAX_HOSTS 16u

enum redis_kind { REDIS_TCP, REDIS_UNIX, REDIS_SENTINEL };

struct redis_host {
	char name[256]; /* without brackets */
	int port;
};

struct redis_url {
	enum redis_kind kind;
	bool tls;
	struct redis_host hosts[REDIS_MAX_HOSTS]; /* REDIS_TCP: one; REDIS_SENTINEL: the Sentinels */
	size_t host_count;
	char path[108];      /* REDIS_UNIX */
	char service[128];   /* REDIS_SENTINEL: the name they know the Redis by */
	char user[256];      /* "" for none */
	char password[1024]; /* "" for none; a secret */
	int db;
};

/* 0, or -1: the fault says what is wrong and never shows the password (url is
 * wiped then). */
int redis_url_parse(const char *text, struct redis_url *url, struct fault *fault);

/* For people, cut to fit: without user and password. */
void redis_url_show(const struct redis_url *url, char *out, size_t size);

#endif
