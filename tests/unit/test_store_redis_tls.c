/*
 * test_store_redis_tls - rediss:// talks to the server that was meant, or to
 * nobody
 *
 * Where hiredis has no TLS there is nothing to test but that
 * (test_store_redis_url does).
 */
#include "../../src/store/redis_link.h"
#include "../../src/store/redis_listen.h"
#include "../../src/store/redis_tls.h"
#include "redis_servers.h"

#define SMALL_MS 500

static char dir[] = "/tmp/redis-tls-XXXXXX";

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	ck_assert_msg(system(command) == 0, "%s", command);
}

/* An authority, and a certificate of its for each of: localhost and 127.0.0.1; another host. */
static void make_certificates(void)
{
	static const char *const names[] = {"right", "DNS:localhost,IP:127.0.0.1", "wrong", "DNS:elsewhere.example"};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test-ca -days 2 "
	      "-keyout ca.key -out ca.crt 2>/dev/null",
	      dir);
	for (size_t i = 0; i < 4; i += 2)
		shell("cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s -keyout "
		      "%s.key -out %s.csr 2>/dev/null && printf 'subjectAltName=%s' >%s.ext && openssl x509 -req -in "
		      "%s.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile %s.ext -out %s.crt 2>/dev/null",
		      dir, names[i], names[i], names[i], names[i + 1], names[i], names[i], names[i], names[i]);
}

static void trust(bool ours)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/ca.crt", dir);
	ck_assert_int_eq(setenv("SSL_CERT_FILE", ours ? path : "/nonexistent", 1), 0);
	ck_assert_int_eq(setenv("SSL_CERT_DIR", "/nonexistent", 1), 0);
}

static struct server tls_server(const char *certificate, char port[8])
{
	static char files[3][64];
	struct server s;

	snprintf(port, 8, "%d", free_port());
	snprintf(files[0], sizeof(files[0]), "%s/%s.crt", dir, certificate);
	snprintf(files[1], sizeof(files[1]), "%s/%s.key", dir, certificate);
	snprintf(files[2], sizeof(files[2]), "%s/ca.crt", dir);
	s = server_new(0, "--tls-port", port, "--tls-cert-file", files[0], "--tls-key-file", files[1],
	               "--tls-ca-cert-file", files[2], "--tls-auth-clients", "no", NULL);
	server_start(&s);
	return s;
}

static void check_link(const char *host, const char *port, enum link_state state, const char *why)
{
	char text[128];
	struct redis_url url;
	struct fault fault = {""};
	struct redis_link *link;
	bool fresh;
	int64_t began = now_ms();
	enum link_state found;

	snprintf(text, sizeof(text), "rediss://%s:%s", host, port);
	ck_assert_msg(redis_url_parse(text, &url, &fault) == 0, "%s", fault.text);
	link = redis_link_new(&url, "test-link", NULL);
	ck_assert_ptr_nonnull(link);
	found = redis_link_open(link, &fresh, &fault);
	ck_assert_msg(found == state && strstr(fault.text, why), "%s: %d %s", host, (int)found, fault.text);
	ck_assert_int_le(now_ms() - began, 2 * LINK_CONNECT_MS + SMALL_MS);
	if (found == LINK_READY) {
		redisReply *r = redisCommand(redis_link_context(link), "PING");
		ck_assert(r && strcmp(r->str, "PONG") == 0);
		freeReplyObject(r);
	}
	redis_link_free(link);
}

START_TEST(the_certificate_must_be_trusted_and_for_the_host)
{
	char port[8], wrong_port[8];
	struct server right, wrong;

	make_certificates();
	right = tls_server("right", port);
	wrong = tls_server("wrong", wrong_port);
	trust(true);
	check_link("localhost", port, LINK_READY, "");
	check_link("127.0.0.1", port, LINK_READY, "");
	check_link("localhost", wrong_port, LINK_REFUSED, "not trusted: hostname mismatch");
	check_link("127.0.0.1", wrong_port, LINK_REFUSED, "not trusted: IP address mismatch");
	trust(false);
	check_link("localhost", port, LINK_REFUSED, "the server's certificate is not trusted");
	server_end(&right);
	server_end(&wrong);
	shell("rm -rf %s", dir);
}
END_TEST

START_TEST(a_server_without_tls_is_never_talked_to)
{
	struct server plain = server_new(free_port(), NULL);
	struct fake rude, silent, closing;
	char port[8];

	server_start(&plain);
	snprintf(port, sizeof(port), "%d", plain.port);
	check_link("127.0.0.1", port, LINK_AWAY, "TLS: no answer: is TLS spoken at this port?");
	fake_start(&rude, "-ERR what is this?\r\n", NULL, FAKE_CLOSES);
	snprintf(port, sizeof(port), "%d", rude.port);
	check_link("127.0.0.1", port, LINK_REFUSED, "no TLS with the server: wrong version number");
	fake_start(&silent, "", NULL, FAKE_STAYS);
	snprintf(port, sizeof(port), "%d", silent.port);
	check_link("127.0.0.1", port, LINK_AWAY, "TLS: no answer");
	fake_start(&closing, "", NULL, FAKE_CLOSES);
	snprintf(port, sizeof(port), "%d", closing.port);
	check_link("127.0.0.1", port, LINK_AWAY, "TLS: ");
	fake_stop(&rude);
	fake_stop(&silent);
	fake_stop(&closing);
	server_end(&plain);
}
END_TEST

/* ---- listening over it ---- */

static bool always(void *ctx, unsigned slot)
{
	(void)ctx, (void)slot;
	return true;
}

static void count_listening(void *ctx, unsigned slot)
{
	(void)slot;
	atomic_fetch_add((atomic_int *)ctx, 1);
}

static void count_heard(void *ctx, const char *job_id, uint64_t revision)
{
	(void)job_id, (void)revision;
	atomic_fetch_add((atomic_int *)ctx, 1000);
}

static void wait_count(atomic_int *count, int least)
{
	for (int64_t until = now_ms() + 3000; atomic_load(count) < least; sleep_ms(2))
		ck_assert_msg(now_ms() < until, "%d of %d", atomic_load(count), least);
}

START_TEST(changes_are_heard_over_tls)
{
	char port[8], text[64];
	struct server server;
	struct redis_url url;
	struct fault fault = {""};
	atomic_int count = 0;
	struct redis_listener *l;

	make_certificates();
	server = tls_server("right", port);
	trust(true);
	snprintf(text, sizeof(text), "rediss://localhost:%s", port);
	ck_assert_int_eq(redis_url_parse(text, &url, &fault), 0);
	l = redis_listener_start(&(struct redis_listener_options){.url = &url,
	                                                          .prefix = "p:",
	                                                          .slots = 8,
	                                                          .wanted = always,
	                                                          .listening = count_listening,
	                                                          .heard = count_heard,
	                                                          .ctx = &count},
	                         &fault);
	ck_assert_ptr_nonnull(l);
	for (unsigned i = 0; i < 8; i++)
		redis_listener_want(l, i);
	wait_count(&count, 8);
	for (int i = 0; i < 500; i++)
		server_say(&server, "PUBLISH p:changed:%d %s", i % 8, "JOB-0123456789ab 1");
	wait_count(&count, 500008);
	sleep_ms(2500); /* PINGs are answered */
	ck_assert_int_eq(atomic_load(&count), 500008);
	redis_listener_free(l);
	server_end(&server);
	shell("rm -rf %s", dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_redis_tls");
	TCase *tc = tcase_create("tls");

	if (crypto_init() != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	tcase_set_timeout(tc, 60);
	if (!redis_tls_built_in()) {
		puts("skipped: hiredis here has no TLS");
	} else if (!redis_installed() || system("command -v openssl >/dev/null 2>&1") != 0) {
		puts("skipped: redis-server or openssl is not installed");
	} else {
		tcase_add_test(tc, the_certificate_must_be_trusted_and_for_the_host);
		tcase_add_test(tc, a_server_without_tls_is_never_talked_to);
		tcase_add_test(tc, changes_are_heard_over_tls);
	}
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
