/*
 * test_store_redis_listen - no change goes unheard without listening() being
 * called after it
 */
#include "../../src/store/redis_link.h"
#include "../../src/store/redis_listen.h"
#include "redis_servers.h"

#define SLOTS  256u
#define PREFIX "{t %s}:" /* a prefix is no format */
#define JOB    "JOB-0123456789ab"

#define SOON_MS 5000 /* for what takes milliseconds, on a machine that is busy */
#define STOP_MS 1000 /* what stopping may take */

struct subject {
	struct redis_url url;
	struct lines lines;
	struct redis_listener *listener;
	atomic_bool wanted[SLOTS];
	atomic_int listening[SLOTS];
	atomic_int heard;
	_Atomic uint64_t revision; /* of the last one heard */
	char job_id[32];           /* of the first one heard */
};

static bool is_wanted(void *ctx, unsigned slot)
{
	return atomic_load(&((struct subject *)ctx)->wanted[slot]);
}

static void is_listening(void *ctx, unsigned slot)
{
	atomic_fetch_add(&((struct subject *)ctx)->listening[slot], 1);
}

static void has_heard(void *ctx, const char *job_id, uint64_t revision)
{
	struct subject *s = ctx;

	if (!s->job_id[0])
		snprintf(s->job_id, sizeof(s->job_id), "%s", job_id);
	atomic_store(&s->revision, revision);
	atomic_fetch_add(&s->heard, 1);
}

static void subject_start(struct subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void subject_start(struct subject *s, const char *format, ...)
{
	char text[256];
	struct fault fault = {""};
	va_list args;

	memset(s, 0, sizeof(*s));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_assert_int_eq(redis_url_parse(text, &s->url, &fault), 0);
	lines_open(&s->lines);
	s->listener = redis_listener_start(&(struct redis_listener_options){.url = &s->url,
	                                                                    .prefix = PREFIX,
	                                                                    .log = s->lines.log,
	                                                                    .slots = SLOTS,
	                                                                    .wanted = is_wanted,
	                                                                    .listening = is_listening,
	                                                                    .heard = has_heard,
	                                                                    .ctx = s},
	                                   &fault);
	ck_assert_msg(s->listener != NULL, "%s", fault.text);
}

static void subject_stop(struct subject *s)
{
	int64_t began = now_ms();

	redis_listener_free(s->listener);
	ck_assert_int_le(now_ms() - began, STOP_MS);
	lines_close(&s->lines);
}

static void want(struct subject *s, unsigned slot)
{
	atomic_store(&s->wanted[slot], true);
	(void)redis_listener_want(s->listener, slot);
}

static void wait_count(atomic_int *count, int least, long ms)
{
	for (int64_t until = now_ms() + ms; atomic_load(count) < least; sleep_ms(2))
		ck_assert_msg(now_ms() < until, "%d of %d", atomic_load(count), least);
}

/* How many heard it. */
static int publish(const struct server *server, unsigned slot, const char *text)
{
	return atoi(server_say(server, "PUBLISH %schanged:%u %s", PREFIX, slot, text));
}

static void wait_subscribers(const struct server *server, unsigned slot, int count, long ms)
{
	for (int64_t until = now_ms() + ms; publish(server, slot, "") != count; sleep_ms(5))
		ck_assert_msg(now_ms() < until, "never %d", count);
}

/* ---- hearing ---- */

START_TEST(a_change_in_a_wanted_slot_is_heard)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	sleep_ms(50);
	ck_assert_int_eq(count_of(server_say(&server, "CLIENT LIST"), "simlane-listen"), 0); /* nothing wanted yet */
	want(&s, 7);
	wait_count(&s.listening[7], 1, SOON_MS);
	ck_assert_int_eq(publish(&server, 7, JOB " 18446744073709551615"), 1);
	wait_count(&s.heard, 1, SOON_MS);
	ck_assert_uint_eq(atomic_load(&s.revision), UINT64_MAX);
	ck_assert_str_eq(s.job_id, JOB);
	ck_assert_int_eq(publish(&server, 8, JOB " 1"), 0);
	ck_assert_int_eq(count_of(server_say(&server, "CLIENT LIST"), "name=simlane-listen "), 1);
	subject_stop(&s);
	ck_assert_int_eq(count_of(s.lines.text, "store-connected"), 1);
	server_end(&server);
}
END_TEST

START_TEST(what_is_no_message_is_ignored)
{
	static const char *const bad[] = {
	        "",
	        " ",
	        JOB,
	        JOB " ",
	        JOB "  1",
	        JOB " 1 ",
	        JOB " -1",
	        JOB " 1x",
	        JOB " 18446744073709551616",
	        JOB "0 1",
	        "JOB-0123456789AB 1",
	        "job-0123456789ab 1",
	        " " JOB " 1",
	        "1 JOB-0123456789ab",
	        "\xff\xfe\xfd",
	};
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	want(&s, 255);
	wait_count(&s.listening[255], 1, SOON_MS);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(publish(&server, 255, bad[i]), 1);
	server_say(&server, "PUBLISH %schanged:255 %b", PREFIX, JOB " 1\0 2", strlen(JOB) + 5);
	publish(&server, 255, JOB " 77");
	wait_count(&s.heard, 1, SOON_MS);
	ck_assert_int_eq(atomic_load(&s.heard), 1);
	ck_assert_uint_eq(atomic_load(&s.revision), 77);
	subject_stop(&s);
	server_end(&server);
}
END_TEST

START_TEST(many_slots_are_subscribed_to_and_a_second_want_is_answered_at_once)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	for (unsigned i = 0; i < SLOTS; i++)
		want(&s, i);
	for (unsigned i = 0; i < SLOTS; i++)
		wait_count(&s.listening[i], 1, SOON_MS);
	for (unsigned i = 0; i < SLOTS; i++) {
		int before = atomic_load(&s.listening[i]);
		ck_assert(redis_listener_want(s.listener, i));
		ck_assert_int_eq(atomic_load(&s.listening[i]), before);
	}
	for (int i = 0; i < 2000; i++)
		publish(&server, (unsigned)i % SLOTS, JOB " 5");
	wait_count(&s.heard, 2000, SOON_MS);
	subject_stop(&s);
	server_end(&server);
}
END_TEST

START_TEST(a_slot_that_nobody_wants_is_left_and_can_be_wanted_again)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	want(&s, 1);
	want(&s, 2);
	wait_count(&s.listening[1], 1, SOON_MS);
	wait_count(&s.listening[2], 1, SOON_MS);
	atomic_store(&s.wanted[1], false);
	ck_assert_int_eq(publish(&server, 1, JOB " 1"), 1);
	for (int64_t until = now_ms() + SOON_MS; publish(&server, 1, "not a message") != 0; sleep_ms(5))
		ck_assert(now_ms() < until);
	ck_assert_int_eq(publish(&server, 2, JOB " 2"), 1);
	wait_count(&s.heard, 1, SOON_MS);
	ck_assert_uint_eq(atomic_load(&s.revision), 2); /* the unwanted one was told to nobody */
	want(&s, 1);
	wait_count(&s.listening[1], 2, SOON_MS);
	ck_assert_int_eq(publish(&server, 1, JOB " 3"), 1);
	wait_count(&s.heard, 2, SOON_MS);
	subject_stop(&s);
	server_end(&server);
}
END_TEST

/* ---- losing and coming back ---- */

START_TEST(a_restarted_server_is_listened_to_again)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	want(&s, 3);
	want(&s, 4);
	wait_count(&s.listening[3], 1, SOON_MS);
	wait_count(&s.listening[4], 1, SOON_MS);
	server_kill(&server);
	atomic_store(&s.wanted[4], false);
	want(&s, 5); /* while it is away */
	sleep_ms(200);
	server_start(&server);
	wait_count(&s.listening[3], 2, SOON_MS);
	wait_count(&s.listening[5], 1, SOON_MS);
	ck_assert_int_eq(publish(&server, 3, JOB " 9"), 1);
	ck_assert_int_eq(publish(&server, 4, JOB " 9"), 0);
	wait_count(&s.heard, 1, SOON_MS);
	ck_assert_int_eq(atomic_load(&s.listening[4]), 1);
	subject_stop(&s);
	server_end(&server);
}
END_TEST

START_TEST(a_connection_that_was_killed_is_made_again)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	want(&s, 3);
	wait_count(&s.listening[3], 1, SOON_MS);
	for (int i = 2; i < 5; i++) {
		ck_assert_str_eq(server_say(&server, "CLIENT KILL TYPE pubsub"), "1");
		wait_count(&s.listening[3], i, SOON_MS);
		ck_assert_int_eq(publish(&server, 3, JOB " 9"), 1);
		wait_count(&s.heard, i - 1, SOON_MS);
	}
	subject_stop(&s);
	server_end(&server);
}
END_TEST

START_TEST(a_server_that_stands_still_is_given_up_and_found_again)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	want(&s, 3);
	wait_count(&s.listening[3], 1, SOON_MS);
	server_signal(&server, SIGSTOP);
	sleep_ms(2500);
	server_signal(&server, SIGCONT);
	wait_count(&s.listening[3], 2, SOON_MS);
	wait_subscribers(&server, 3, 1, SOON_MS);
	publish(&server, 3, JOB " 9");
	wait_count(&s.heard, 1, SOON_MS);
	subject_stop(&s);
	ck_assert_int_eq(count_of(s.lines.text, "reason=\"does not answer\""), 1);
	server_end(&server);
}
END_TEST

START_TEST(a_quiet_connection_stays)
{
	struct server server = server_new(0, "--timeout", "1", NULL);
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	want(&s, 3);
	wait_count(&s.listening[3], 1, SOON_MS);
	atomic_store(&s.wanted[3], false);
	publish(&server, 3, JOB " 1"); /* from here on it subscribes to nothing */
	sleep_ms(3500);
	subject_stop(&s);
	ck_assert_int_eq(count_of(s.lines.text, "store-"), 1);
	server_end(&server);
}
END_TEST

START_TEST(a_user_who_may_not_subscribe_is_told)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	server_say(&server, "ACL SETUSER deaf on >pw ~* resetchannels +@all");
	subject_start(&s, "unix://deaf:pw@%s", server.socket);
	want(&s, 3);
	sleep_ms(300);
	ck_assert_int_eq(atomic_load(&s.listening[3]), 0);
	server_say(&server, "ACL SETUSER deaf &*");
	wait_count(&s.listening[3], 1, SOON_MS);
	subject_stop(&s);
	ck_assert_int_eq(count_of(s.lines.text, "reason=\"NOPERM"), 1);
	server_end(&server);
}
END_TEST

START_TEST(the_listener_moves_to_the_primary_that_another_connection_found)
{
	struct server before = server_new(free_port(), NULL), after = server_new(free_port(), NULL), sentinel;
	struct subject s;

	server_start(&before);
	server_start(&after);
	sentinel = sentinel_new(before.port);
	subject_start(&s, "redis+sentinel://127.0.0.1:%d/main", sentinel.port);
	redis_listener_renew(s.listener); /* before there is anything to renew */
	want(&s, 3);
	wait_count(&s.listening[3], 1, SOON_MS);
	ck_assert_int_eq(publish(&before, 3, JOB " 1"), 1);
	server_say(&sentinel, "SENTINEL REMOVE main");
	ck_assert_str_eq(server_say(&sentinel, "SENTINEL MONITOR main 127.0.0.1 %d 1", after.port), "OK");
	redis_listener_renew(s.listener);
	wait_count(&s.listening[3], 2, SOON_MS);
	ck_assert_int_eq(publish(&before, 3, JOB " 1"), 0);
	ck_assert_int_eq(publish(&after, 3, JOB " 1"), 1);
	wait_count(&s.heard, 2, SOON_MS);
	subject_stop(&s);
	server_end(&sentinel);
	server_end(&after);
	server_end(&before);
}
END_TEST

/* ---- the end ---- */

START_TEST(a_listener_stops_soon_whatever_the_server_does)
{
	struct server server = server_new(0, NULL);
	struct subject unused, away, still, asking;
	struct fake silent;

	server_start(&server);
	redis_listener_free(NULL);
	subject_start(&unused, "unix://%s", server.socket);
	subject_stop(&unused);
	subject_start(&away, "redis://127.0.0.1:%d", free_port());
	want(&away, 1);
	sleep_ms(1500); /* in its longest pauses */
	subject_stop(&away);
	subject_start(&still, "unix://%s", server.socket);
	want(&still, 1);
	wait_count(&still.listening[1], 1, SOON_MS);
	server_signal(&server, SIGSTOP);
	sleep_ms(100);
	want(&still, 2);
	subject_stop(&still);
	fake_start(&silent, "", NULL, FAKE_STAYS);
	subject_start(&asking, "redis://127.0.0.1:%d", silent.port);
	want(&asking, 1);
	sleep_ms(50);
	subject_stop(&asking);
	fake_stop(&silent);
	server_end(&server);
}
END_TEST

START_TEST(a_server_that_talks_nonsense_does_no_harm)
{
	/* what the subscription gets */
	static const char *const talks[] = {
	        ("*3\r\n$9\r\nsubscribe\r\n$16\r\n" PREFIX "changed:3\r\n:1\r\n"
	         "*3\r\n$7\r\nmessage\r\n$-1\r\n$-1\r\n"),
	        ("*0\r\n*1\r\n*0\r\n:5\r\n$-1\r\n*3\r\n:1\r\n:2\r\n:3\r\n"
	         "*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n"),
	        ("*3\r\n$9\r\nsubscribe\r\n$18\r\n" PREFIX "changed:256\r\n:1\r\n"
	         "*3\r\n$9\r\nsubscribe\r\n$3\r\nxyz\r\n:1\r\n"),
	        ("*3\r\n$7\r\nmessage\r\n$16\r\n" PREFIX "changed:3\r\n$-1\r\n"
	         "+PONG\r\n-ERR what?\r\n"),
	        "garbage\r\n",
	};
	static const char login[] = "$44\r\nredis_version:7.0.15\r\nrole:master\r\nx:yzabcde\r\n+OK\r\n";
	struct fake fake;
	struct subject s;

	fake_start(&fake, login, talks[_i], FAKE_STAYS);
	subject_start(&s, "redis://127.0.0.1:%d", fake.port);
	want(&s, 3);
	sleep_ms(1300);
	ck_assert_int_eq(atomic_load(&s.listening[3]) > 0, _i == 0);
	subject_stop(&s);
	ck_assert_int_eq(atomic_load(&s.heard), 0);
	ck_assert_msg(count_of(s.lines.text, "store-connected") == 1, "%s", s.lines.text);
	ck_assert_int_eq(count_of(s.lines.text, "reason=\"ERR what?\""), _i == 3);
	ck_assert_int_eq(count_of(s.lines.text, "does not speak the Redis protocol"), _i == 4);
	fake_stop(&fake);
}
END_TEST

/* ---- races ---- */

enum { WANTERS = 6, ROUNDS = 300 };

struct wanter {
	struct subject *s;
	const struct server *server;
	unsigned number;
	pthread_t thread;
	atomic_int unheard;
};

/* Waits as the store does: wants, and is content once listening was called
 * after that; a change is made after each, by somebody else. */
static void *keep_wanting(void *arg)
{
	struct wanter *w = arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned slot = (w->number * 7 + (unsigned)i) % 16;
		int before;

		atomic_store(&w->s->wanted[slot], true);
		before = atomic_load(&w->s->listening[slot]);
		if (redis_listener_want(w->s->listener, slot))
			atomic_fetch_add(&w->s->listening[slot], 1);
		for (int64_t until = now_ms() + 5000; atomic_load(&w->s->listening[slot]) == before; sleep_ms(0))
			if (now_ms() > until) {
				atomic_fetch_add(&w->unheard, 1);
				return NULL;
			}
		if (i % 3 == 0)
			atomic_store(&w->s->wanted[slot], false);
	}
	return NULL;
}

static void *keep_publishing(void *arg)
{
	struct wanter *w = arg;
	redisContext *c = server_connect(w->server);

	while (atomic_load(&w->unheard) == 0) {
		for (unsigned slot = 0; slot < 16; slot++)
			redisAppendCommand(c, "PUBLISH %schanged:%u %s", PREFIX, slot, JOB " 4");
		for (unsigned slot = 0; slot < 16; slot++) {
			void *reply = NULL;
			if (redisGetReply(c, &reply) != REDIS_OK)
				break;
			freeReplyObject(reply);
		}
	}
	redisFree(c);
	return NULL;
}

START_TEST(each_want_is_answered_while_others_come_and_go)
{
	struct server server = server_new(0, NULL);
	struct wanter wanters[WANTERS], publisher = {.server = &server};
	struct subject s;

	server_start(&server);
	subject_start(&s, "unix://%s", server.socket);
	ck_assert_int_eq(pthread_create(&publisher.thread, NULL, keep_publishing, &publisher), 0);
	for (unsigned i = 0; i < WANTERS; i++) {
		wanters[i] = (struct wanter){.s = &s, .number = i};
		ck_assert_int_eq(pthread_create(&wanters[i].thread, NULL, keep_wanting, &wanters[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		sleep_ms(150);
		server_say(&server, "CLIENT KILL TYPE pubsub");
	}
	for (unsigned i = 0; i < WANTERS; i++) {
		ck_assert_int_eq(pthread_join(wanters[i].thread, NULL), 0);
		ck_assert_int_eq(atomic_load(&wanters[i].unheard), 0);
	}
	atomic_store(&publisher.unheard, 1);
	ck_assert_int_eq(pthread_join(publisher.thread, NULL), 0);
	subject_stop(&s);
	server_end(&server);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_redis_listen");
	TCase *alone = tcase_create("no server"), *served = tcase_create("servers");

	if (crypto_init() != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	tcase_set_timeout(alone, 30);
	tcase_set_timeout(served, 60);
	tcase_add_loop_test(alone, a_server_that_talks_nonsense_does_no_harm, 0, 5);
	suite_add_tcase(suite, alone);
	if (redis_installed()) {
		tcase_add_test(served, a_change_in_a_wanted_slot_is_heard);
		tcase_add_test(served, what_is_no_message_is_ignored);
		tcase_add_test(served, many_slots_are_subscribed_to_and_a_second_want_is_answered_at_once);
		tcase_add_test(served, a_slot_that_nobody_wants_is_left_and_can_be_wanted_again);
		tcase_add_test(served, a_restarted_server_is_listened_to_again);
		tcase_add_test(served, a_connection_that_was_killed_is_made_again);
		tcase_add_test(served, a_server_that_stands_still_is_given_up_and_found_again);
		tcase_add_test(served, a_quiet_connection_stays);
		tcase_add_test(served, a_user_who_may_not_subscribe_is_told);
		tcase_add_test(served, the_listener_moves_to_the_primary_that_another_connection_found);
		tcase_add_test(served, a_listener_stops_soon_whatever_the_server_does);
		tcase_add_test(served, each_want_is_answered_while_others_come_and_go);
	} else {
		puts("skipped: redis-server is not installed");
	}
	suite_add_tcase(suite, served);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
