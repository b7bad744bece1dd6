/* redis_tls.c - see redis_tls.h; the one place that knows what hiredis was built with */
#include "redis_tls.h"

#include "config.h"

#if HAVE_HIREDIS_TLS

#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct redis_tls {
	SSL_CTX *context;
};

bool redis_tls_built_in(void)
{
	return true;
}

struct redis_tls *redis_tls_new(void)
{
	struct redis_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->context = SSL_CTX_new(TLS_client_method());
	if (t->context && SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_default_verify_paths(t->context) == 1) {
		SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
		return t;
	}
	ERR_clear_error();
	redis_tls_free(t);
	return NULL;
}

void redis_tls_free(struct redis_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->context);
	free(t);
}

static bool is_address(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Whose certificate it must be; a name is told to the server too (RFC 6066:
 * an address never is). */
static bool expect(SSL *ssl, const char *host)
{
	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* OpenSSL's own complaint, not the network's, is one that stays. */
static enum redis_tls_result what_failed(SSL *ssl, const redisContext *c, struct fault *fault)
{
	long verdict = SSL_get_verify_result(ssl);
	unsigned long error = ERR_peek_last_error();

	if (verdict != X509_V_OK) {
		fault_set(fault, "the server's certificate is not trusted: %s", X509_verify_cert_error_string(verdict));
		return REDIS_TLS_REFUSED;
	}
	if (error && ERR_GET_LIB(error) == ERR_LIB_SSL && SSL_get_shutdown(ssl) == 0
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	    && ERR_GET_REASON(error) != SSL_R_UNEXPECTED_EOF_WHILE_READING
#endif
	) {
		const char *reason = ERR_reason_error_string(error);

		fault_set(fault, "no TLS with the server: %s", reason ? reason : "unknown error");
		return REDIS_TLS_REFUSED;
	}
	if (!SSL_want_nothing(ssl))
		fault_set(fault, "TLS: no answer: is TLS spoken at this port?");
	else
		fault_set(fault, "TLS: %s", c->err ? c->errstr : "the connection broke");
	return REDIS_TLS_AWAY;
}

enum redis_tls_result redis_tls_start(struct redis_tls *t, redisContext *c, const char *host, struct fault *fault)
{
	enum redis_tls_result result;
	SSL *ssl = SSL_new(t->context);

	ERR_clear_error();
	if (!ssl || !expect(ssl, host)) {
		fault_set(fault, "TLS: no memory");
		result = REDIS_TLS_AWAY;
	} else if (redisInitiateSSL(c, ssl) == REDIS_OK) {
		return REDIS_TLS_OK; /* the connection's now */
	} else {
		result = what_failed(ssl, c, fault);
	}
	SSL_free(ssl);
	ERR_clear_error();
	return result;
}

#else

bool redis_tls_built_in(void)
{
	return false;
}

struct redis_tls *redis_tls_new(void)
{
	return NULL;
}

void redis_tls_free(struct redis_tls *t)
{
	(void)t;
}

enum redis_tls_result redis_tls_start(struct redis_tls *t, redisContext *c, const char *host, struct fault *fault)
{
	(void)t, (void)c, (void)host;
	fault_set(fault, "hiredis here has no TLS");
	return REDIS_TLS_REFUSED;
}

#endif
