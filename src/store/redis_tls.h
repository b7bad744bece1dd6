/*
 * redis_tls - TLS under a connection to Redis, where hiredis has it
 *
 * Through hiredis_ssl and OpenSSL: TLS 1.2 or later, the system's store of
 * certificate authorities (SSL_CERT_FILE and SSL_CERT_DIR name others), and
 * the certificate must be for the very host name or address that was connected
 * to. hiredis alone would take any valid certificate of anybody. No client
 * certificates: the server needs "tls-auth-clients no" or "optional".
 *
 * Built in where configure found hiredis_ssl; nothing outside this file's body
 * asks whether it was.
 *
 * THREADS  a struct redis_tls: one at a time.
 */
#ifndef SIMLANE_STORE_REDIS_TLS_H
#define SIMLANE_STORE_REDIS_TLS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "simlane/fault.h"

struct redis_tls;

enum redis_tls_result {
	REDIS_TLS_OK,
	REDIS_TLS_AWAY,    /* the connection broke or nothing came: trying again may help */
	REDIS_TLS_REFUSED, /* not trusted, not for this host, no TLS there */
};

bool redis_tls_built_in(void);

struct redis_tls *redis_tls_new(void); /* NULL: no memory, or not built in */
void redis_tls_free(struct redis_tls *t);

/* Shakes hands on a connection that is connected to host; its time-out holds
 * for each step. fault: why not. */
enum redis_tls_result redis_tls_start(struct redis_tls *t, redisContext *c, const char *host, struct fault *fault);

#endif
