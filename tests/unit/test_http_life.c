/*
 * test_http_life.c - requests over real sockets, in one process: answered once, whoever goes away
 *
 * The daemon's HTTP layer on a Unix socket, over the lane of service_fixture:
 * connections that vanish while they wait, drains with waits under way and
 * with requests that keep coming. The sanitizers look on.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "service_fixture.h"
#include "simlane/http.h"

static struct lane lane;
static struct http *http;
static const struct claims *alice;
static char socket_path[108], token[1024];

static void mint_token(void)
{
	int64_t now = clock_wall_ms(&clock_system);
	struct buf b = BUF_EMPTY;
	struct token_mint m = {.kid = "k1",
	                       .iss = "tests",
	                       .sub = "alice",
	                       .jti = "j",
	                       .scopes = ALL_SCOPES,
	                       .issued_ms = now - 2000,
	                       .expires_ms = now + 3600000};
	ck_assert(token_mint(&m, lane.key, &b));
	ck_assert_uint_lt(b.len, sizeof(token));
	memcpy(token, b.ptr, b.len);
	token[b.len] = '\0';
	buf_free(&b);
}

static void open_http(int64_t request_timeout_ms)
{
	struct fault fault = {""};
	char where[120];
	lane_open(&lane, &(struct lane_setup){.request_timeout_ms = request_timeout_ms});
	alice = lane_claims(&lane, &(struct who){.scopes = ALL_SCOPES});
	mint_token();
	ck_assert_int_lt(snprintf(socket_path, sizeof(socket_path), "%s/s", lane.dir), (int)sizeof(socket_path));
	snprintf(where, sizeof(where), "unix:%s", socket_path);
	http = http_start(&(struct http_options){.service = lane.service,
	                                         .verifier = lane.verifier,
	                                         .inbox = lane.inbox,
	                                         .timer = lane.timer,
	                                         .ids = lane.ids,
	                                         .clock = &clock_system,
	                                         .listen = where,
	                                         .threads = 2,
	                                         .max_connections = 512,
	                                         .max_body_bytes = 65536,
	                                         .request_timeout_ms = request_timeout_ms},
	                  &fault);
	ck_assert_msg(http != NULL, "%s", fault.text);
}

static void setup(void)
{
	open_http(5000);
}

static void setup_impatient(void)
{
	open_http(150);
}

static void close_http(int64_t drain_ms)
{
	http_drain(http, drain_ms);
	claims_let_go(alice);
	lane_close(&lane);
	http_free(http);
	http = NULL;
}

static void teardown(void)
{
	if (http)
		close_http(1000);
}

/* ---- a client ---- */

/* -1: refused, as it is once a drain has begun. */
static int client_open(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	strcpy(sa.sun_path, socket_path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool client_send(int fd, const char *path, const char *headers, const char *body)
{
	char text[2048];
	int n = snprintf(text, sizeof(text),
	                 "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
	                 "%sContent-Length: %zu\r\n\r\n%s",
	                 path, token, headers, strlen(body), body);
	ck_assert_int_lt(n, (int)sizeof(text));
	return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

struct answer {
	int status;
	bool closes;
	char body[2048];
};

/* One whole answer; false when the connection ended before any of it. */
static bool client_read(int fd, struct answer *a)
{
	char text[8192];
	size_t len = 0;
	char *end = NULL;
	memset(a, 0, sizeof(*a));
	for (;;) {
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ck_assert_msg(len == 0, "half an answer: %.*s", (int)len, text);
			return false;
		}
		len += (size_t)n;
		text[len] = '\0';
		end = end ? end : strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		const char *length = strcasestr(text, "\r\nContent-Length:");
		ck_assert_ptr_nonnull(length);
		size_t body = strtoul(length + 17, NULL, 10);
		if (len < (size_t)(end + 4 - text) + body)
			continue;
		ck_assert_uint_eq(len, (size_t)(end + 4 - text) + body);
		ck_assert_uint_lt(body, sizeof(a->body));
		memcpy(a->body, end + 4, body);
		break;
	}
	ck_assert_int_eq(sscanf(text, "HTTP/1.1 %d", &a->status), 1);
	const char *closes = strcasestr(text, "\r\nConnection: close");
	a->closes = closes && closes < end;
	return true;
}

static bool client_ask(int fd, const char *path, const char *headers, const char *body, struct answer *a)
{
	return client_send(fd, path, headers, body) && client_read(fd, a);
}

static void client_schedule(int fd, struct job *job)
{
	struct answer a;
	ck_assert(client_ask(fd, "/schedule", "", SIMPLE, &a));
	ck_assert_msg(a.status == 202, "%d %s", a.status, a.body);
	const char *id = strstr(a.body, "JOB-");
	ck_assert_ptr_nonnull(id);
	memcpy(job->job_id, id, JOB_ID_SIZE - 1);
	job->job_id[JOB_ID_SIZE - 1] = '\0';
	snprintf(job->body, sizeof(job->body), "{\"job_id\":\"%s\"}", job->job_id);
}

/* ---- one after the other ---- */

START_TEST(a_connection_serves_many_requests)
{
	struct answer a;
	struct job job;
	int fd = client_open();
	for (int i = 0; i < 50; i++) {
		client_schedule(fd, &job);
		ck_assert(client_ask(fd, "/collect", "", job.body, &a));
		ck_assert_msg(a.status == 200, "%d %s", a.status, a.body);
		ck_assert(client_ask(fd, "/collect", "Prefer: wait=3\r\n", job.body, &a));
		ck_assert_int_eq(a.status, 200);
		ck_assert(client_ask(fd, "/cancel", "", "{\"job_id\":1}", &a));
		ck_assert_int_eq(a.status, 422);
		ck_assert(client_ask(fd, "/cancel", "", "{\"job_id\":", &a));
		ck_assert_int_eq(a.status, 400);
		ck_assert(!a.closes);
	}
	close(fd);
}
END_TEST

START_TEST(a_held_collect_is_answered_when_the_job_is_done)
{
	struct answer a;
	struct job job;
	int fd = client_open();
	client_schedule(fd, &job);
	uint64_t claim = claim_take(&lane, &job, 600000);
	ck_assert(client_send(fd, "/collect", "Prefer: wait=30\r\n", job.body));
	sleep_ms(100);
	ck_assert_int_eq(claim_finish(&lane, &job, claim), STORE_OK);
	ck_assert(client_read(fd, &a));
	ck_assert_int_eq(a.status, 200);
	close(fd);
}
END_TEST

/* ---- clients that go away while they wait ---- */

START_TEST(a_client_that_leaves_while_it_waits_hurts_nobody)
{
	struct job job;
	struct answer a;
	int fds[60], fd = client_open();
	for (int round = 0; round < 5; round++) {
		client_schedule(fd, &job);
		uint64_t claim = claim_take(&lane, &job, 600000);
		for (int i = 0; i < 60; i++) {
			fds[i] = client_open();
			ck_assert(client_send(fds[i], i % 3 ? "/collect" : "/cancel", "Prefer: wait=30\r\n", job.body));
		}
		sleep_ms(20);
		for (int i = 0; i < 60; i += 2)
			close(fds[i]);
		ck_assert_int_eq(claim_finish(&lane, &job, claim), STORE_OK);
		for (int i = 1; i < 60; i += 2) {
			ck_assert(client_read(fds[i], &a));
			ck_assert_int_eq(a.status, 200);
			close(fds[i]);
		}
	}
	close(fd);
}
END_TEST

START_TEST(work_that_takes_too_long_is_503_and_may_end_later)
{
	struct job job;
	struct answer a;
	int fd = client_open(), fds[20];
	client_schedule(fd, &job);
	uint64_t claim = claim_take(&lane, &job, 600000);
	/* the service gives up after the request's time; the wait asked for is longer than that */
	for (int i = 0; i < 20; i++) {
		fds[i] = client_open();
		ck_assert(client_send(fds[i], "/collect", i % 2 ? "Prefer: wait=1\r\n" : "", job.body));
	}
	for (int i = 0; i < 20; i++) {
		ck_assert(client_read(fds[i], &a));
		ck_assert_msg(a.status == 202 || a.status == 503, "%d", a.status);
		close(fds[i]);
	}
	ck_assert_int_eq(claim_finish(&lane, &job, claim), STORE_OK);
	close(fd);
}
END_TEST

/* ---- drains ---- */

START_TEST(a_drain_ends_every_wait_with_503)
{
	struct job job;
	struct answer a;
	int fds[100], fd = client_open();
	client_schedule(fd, &job);
	claim_take(&lane, &job, 600000);
	close(fd);
	for (int i = 0; i < 100; i++) {
		fds[i] = client_open();
		ck_assert(client_send(fds[i], i % 3 ? "/collect" : "/cancel", "Prefer: wait=60\r\n", job.body));
	}
	sleep_ms(200);
	int64_t begun = clock_mono_ms(&clock_system);
	close_http(_i * 200);
	ck_assert_int_lt(clock_mono_ms(&clock_system) - begun, _i * 200 + 3000);
	for (int i = 0; i < 100; i++) {
		ck_assert(client_read(fds[i], &a));
		ck_assert_int_eq(a.status, 503);
		ck_assert_ptr_nonnull(strstr(a.body, "shutting-down"));
		ck_assert(a.closes);
		close(fds[i]);
	}
}
END_TEST

/* ---- the last moment of a drain ---- */

/* Locks every slot of the inbox, as another daemon that hangs would. */
static void lock_inbox(void)
{
	DIR *d = opendir(lane.inbox_dir);
	struct dirent *e;
	int locked = 0;
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, ".lock", 5) != 0 || strcmp(e->d_name, ".lock.live") == 0)
			continue;
		struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = openat(dirfd(d), e->d_name, O_RDWR | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &all), 0);
		locked++; /* and kept open */
	}
	closedir(d);
	ck_assert_int_gt(locked, 0);
}

static void *drain_at_once(void *arg)
{
	(void)arg;
	http_drain(http, 0);
	return NULL;
}

START_TEST(a_request_that_waits_when_the_drain_ends_is_no_disaster)
{
	struct job jobs[20];
	struct answer a;
	pthread_t drainer;
	int idle[20], slow = client_open();
	static const char half[] = "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
	ck_assert_int_eq(send(slow, half, sizeof(half) - 1, 0), sizeof(half) - 1);
	for (size_t i = 0; i < 20; i++) {
		idle[i] = client_open();
		client_schedule(idle[i], &jobs[i]);
	}
	lock_inbox();
	ck_assert_int_eq(pthread_create(&drainer, NULL, drain_at_once, NULL), 0);
	/* nothing is waiting, one request never ends: these come in all through the drain's last moments */
	for (size_t i = 0; i < 20; i++) {
		(void)client_send(idle[i], "/collect", "", jobs[i].body);
		sleep_ms(25);
	}
	for (size_t i = 0; i < 20; i++) {
		if (client_read(idle[i], &a))
			ck_assert_msg(a.status == 503, "%d %s", a.status, a.body);
		close(idle[i]);
	}
	pthread_join(drainer, NULL);
	close(slow);
	claims_let_go(alice);
	lane_close(&lane);
	http_free(http);
	http = NULL;
}
END_TEST

struct client {
	pthread_t thread;
	unsigned number, answered, closed;
};

/* Schedules and collects until the daemon is gone. Whatever is answered is
 * answered whole, and is one of these. */
static void *client_run(void *arg)
{
	struct client *c = arg;
	struct job job = {.body = "{\"job_id\":\"JOB-000000000000\"}"};
	unsigned seed = c->number;
	int fd;
	while ((fd = client_open()) >= 0) {
		for (bool open = true; open;) {
			struct answer a;
			seed = seed * 1103515245u + 12345u;
			bool schedule = seed >> 16 & 1;
			if (!(schedule ? client_ask(fd, "/schedule", "", SIMPLE, &a)
			               : client_ask(fd, "/collect", seed >> 17 & 1 ? "Prefer: wait=2\r\n" : "",
			                            job.body, &a))) {
				c->closed++;
				break;
			}
			ck_assert_msg(a.status == 202 || a.status == 200 || a.status == 404 || a.status == 503, "%d %s",
			              a.status, a.body);
			const char *id = a.status == 202 ? strstr(a.body, "JOB-") : NULL;
			if (id)
				snprintf(job.body, sizeof(job.body), "{\"job_id\":\"%.16s\"}", id);
			c->answered++;
			open = !a.closes && seed >> 18 & 15; /* some go without a word */
		}
		close(fd);
	}
	return NULL;
}

START_TEST(a_drain_under_load_ends_cleanly)
{
	static struct client clients[16];
	unsigned answered = 0;
	for (unsigned i = 0; i < 16; i++) {
		clients[i].number = i;
		ck_assert_int_eq(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
	}
	sleep_ms(300 + _i % 7 * 13);
	close_http(_i % 3 * 30);
	for (unsigned i = 0; i < 16; i++) {
		pthread_join(clients[i].thread, NULL);
		answered += clients[i].answered;
	}
	ck_assert_uint_gt(answered, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_life");
	TCase *t = tcase_create("life"), *quick = tcase_create("impatient"), *load = tcase_create("load");
	suite_add_tcase(s, t);
	suite_add_tcase(s, quick);
	suite_add_tcase(s, load);
	tcase_set_timeout(t, 60);
	tcase_set_timeout(quick, 60);
	tcase_set_timeout(load, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_checked_fixture(quick, setup_impatient, teardown);
	tcase_add_checked_fixture(load, setup, teardown);
	tcase_add_test(t, a_connection_serves_many_requests);
	tcase_add_test(t, a_held_collect_is_answered_when_the_job_is_done);
	tcase_add_test(t, a_client_that_leaves_while_it_waits_hurts_nobody);
	tcase_add_loop_test(t, a_drain_ends_every_wait_with_503, 0, 2);
	tcase_add_test(t, a_request_that_waits_when_the_drain_ends_is_no_disaster);
	tcase_add_loop_test(load, a_drain_under_load_ends_cleanly, 0, 12);
	tcase_add_test(quick, work_that_takes_too_long_is_503_and_may_end_later);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
