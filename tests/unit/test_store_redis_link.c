/*
 * test_store_redis_link - a link is to the primary or to nobody, says why, and
 * comes back
 */
#include "../../src/store/redis_dial.h"
#include "../../src/store/redis_link.h"
#include "../../src/store/redis_wire.h"
#include "redis_servers.h"

/* What the network of a busy machine may add. */
#define SMALL_MS 500

struct subject {
	struct redis_url url;
	struct lines lines;
	struct redis_link *link;
	struct fault fault;
};

static void subject_open(struct subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void subject_open(struct subject *s, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->fault.text[0] = '\0';
	ck_assert_msg(redis_url_parse(text, &s->url, &s->fault) == 0, "%s", s->fault.text);
	lines_open(&s->lines);
	s->link = redis_link_new(&s->url, "test-link", s->lines.log);
	ck_assert_ptr_nonnull(s->link);
}

static void subject_close(struct subject *s)
{
	redis_link_free(s->link);
	lines_close(&s->lines);
}

static enum link_state try_once(struct subject *s)
{
	bool fresh;

	sleep_ms(redis_link_pause_ms(s->link));
	return redis_link_open(s->link, &fresh, &s->fault);
}

static void check_not(struct subject *s, enum link_state state, const char *why)
{
	ck_assert_int_eq(try_once(s), state);
	ck_assert_msg(strstr(s->fault.text, why) != NULL, "%s", s->fault.text);
	ck_assert_ptr_null(redis_link_context(s->link));
}

static void check_ready(struct subject *s)
{
	enum link_state state = try_once(s);

	ck_assert_msg(state == LINK_READY, "%s", s->fault.text);
	ck_assert_ptr_nonnull(redis_link_context(s->link));
}

/* Tries until it is so. */
static void wait_for(struct subject *s, enum link_state state, long ms)
{
	int64_t until = now_ms() + ms;

	while (try_once(s) != state)
		ck_assert_msg(now_ms() < until, "%s", s->fault.text);
}

static void check_logged(struct subject *s, const char *what, int times)
{
	ck_assert_msg(count_of(s->lines.text, what) == times, "%s\n%s", what, s->lines.text);
}

static const char *ask(struct subject *s, const char *command)
{
	static char said[256];
	redisReply *r = redisCommand(redis_link_context(s->link), command);

	if (!r)
		return NULL;
	snprintf(said, sizeof(said), "%s", r->str ? r->str : "");
	freeReplyObject(r);
	return said;
}

/* ---- connecting ---- */

START_TEST(a_link_is_connected_named_and_on_its_database)
{
	struct server server = server_new(free_port(), NULL);
	struct subject unix_way, tcp_way;
	bool fresh = false;

	server_start(&server);
	subject_open(&unix_way, "unix://%s?db=3", server.socket);
	subject_open(&tcp_way, "redis://127.0.0.1:%d/2", server.port);
	ck_assert_int_eq(redis_link_open(unix_way.link, &fresh, &unix_way.fault), LINK_READY);
	ck_assert(fresh);
	ck_assert_int_eq(redis_link_open(unix_way.link, &fresh, &unix_way.fault), LINK_READY);
	ck_assert(!fresh);
	ck_assert_int_eq(redis_link_pause_ms(unix_way.link), 0);
	check_ready(&tcp_way);
	ck_assert_str_eq(ask(&unix_way, "SET here 1"), "OK");
	ck_assert_ptr_nonnull(strstr(server_say(&server, "INFO keyspace"), "db3:keys=1"));
	const char *list = server_say(&server, "CLIENT LIST");
	ck_assert_int_eq(count_of(list, "name=test-link "), 2);
	ck_assert_int_eq(count_of(list, "name=test-link age=0 idle=0 flags=N db=2 "), 1);
	ck_assert_int_eq(redis_link_facts(unix_way.link).version_major, 7);
	ck_assert(!redis_link_facts(unix_way.link).append_only && !redis_link_facts(unix_way.link).evicts);
	subject_close(&unix_way);
	subject_close(&tcp_way);
	check_logged(&unix_way, "info  store-connected server=", 1);
	check_logged(&unix_way, "link=test-link redis=7 appendonly=no", 1);
	check_logged(&tcp_way, "store-connected server=redis://127.0.0.1:", 1);
	server_end(&server);
}
END_TEST

START_TEST(a_redis_that_may_evict_is_warned_of)
{
	struct server server =
	        server_new(0, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes", NULL);
	struct subject s;

	server_start(&server);
	subject_open(&s, "unix://%s", server.socket);
	check_ready(&s);
	ck_assert(redis_link_facts(s.link).evicts && redis_link_facts(s.link).append_only);
	redis_link_lose(s.link, "a test");
	server_say(&server, "CONFIG SET maxmemory 0");
	check_ready(&s);
	ck_assert(!redis_link_facts(s.link).evicts);
	subject_close(&s);
	check_logged(&s, "warn  store-evicts", 1);
	check_logged(&s, "appendonly=yes", 1);
	server_end(&server);
}
END_TEST

/* ---- logging in ---- */

START_TEST(the_password_must_be_right)
{
	struct server server = server_new(0, "--requirepass", "se cret/1", NULL);
	struct subject right, wrong, none;

	server_start(&server);
	subject_open(&right, "unix://:se%%20cret%%2f1@%s", server.socket);
	subject_open(&wrong, "unix://:guess@%s", server.socket);
	subject_open(&none, "unix://%s", server.socket);
	check_ready(&right);
	for (int i = 0; i < 3; i++)
		check_not(&wrong, LINK_REFUSED, "refuses the user or the password in REDIS_URL");
	check_not(&none, LINK_REFUSED, "asks for a password, and REDIS_URL has none");
	ck_assert_ptr_null(strstr(wrong.fault.text, "guess"));
	subject_close(&right);
	subject_close(&wrong);
	subject_close(&none);
	check_logged(&right, "cret", 0);
	check_logged(&wrong, "guess", 0);
	check_logged(&wrong, "error store-refused", 1);
	server_end(&server);
}
END_TEST

START_TEST(a_password_where_there_is_none_is_told)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_open(&s, "unix://:guess@%s", server.socket);
	check_not(&s, LINK_REFUSED, "has no password, and REDIS_URL has one");
	subject_close(&s);
	server_end(&server);
}
END_TEST

START_TEST(a_user_logs_in_with_the_rights_it_has)
{
	struct server server = server_new(0, NULL);
	struct subject s;
	static const struct {
		const char *user, *tail;
		enum link_state state;
		const char *why;
	} users[] = {
	        {"full:pw", "", LINK_READY, ""},
	        {"full:wrong", "", LINK_REFUSED, "refuses the user or the password"},
	        {"nobody:pw", "", LINK_REFUSED, "refuses the user or the password"},
	        {"blind:pw", "", LINK_REFUSED, "gives the user in REDIS_URL no right to INFO"},
	        {"nameless:pw", "", LINK_READY, ""},
	        {"tied:pw", "", LINK_READY, ""},
	        {"tied:pw", "?db=1", LINK_REFUSED, "no right to SELECT"},
	        {"full:pw", "?db=16", LINK_REFUSED, "has no database 16, which REDIS_URL asks for"},
	};

	server_start(&server);
	server_say(&server, "ACL SETUSER full on >pw ~* &* +@all");
	server_say(&server, "ACL SETUSER blind on >pw ~* &* +@all -info");
	server_say(&server, "ACL SETUSER nameless on >pw ~* &* +@all -client");
	server_say(&server, "ACL SETUSER tied on >pw ~* &* +@all -select");
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		subject_open(&s, "unix://%s@%s%s", users[i].user, server.socket, users[i].tail);
		if (users[i].state == LINK_READY)
			check_ready(&s);
		else
			check_not(&s, users[i].state, users[i].why);
		subject_close(&s);
	}
	server_end(&server);
}
END_TEST

START_TEST(a_replica_is_away_until_it_is_the_primary)
{
	struct server server = server_new(0, "--replicaof", "127.0.0.1 1", NULL);
	struct subject s;

	server_start(&server);
	subject_open(&s, "unix://%s", server.socket);
	check_not(&s, LINK_AWAY, "is a replica");
	ck_assert_str_eq(server_say(&server, "REPLICAOF NO ONE"), "OK");
	check_ready(&s);
	subject_close(&s);
	check_logged(&s, "warn  store-lost", 1);
	check_logged(&s, "store-connected", 1);
	server_end(&server);
}
END_TEST

START_TEST(a_full_server_is_away)
{
	struct server server = server_new(0, "--maxclients", "1", NULL);
	struct subject first, second;

	server_start(&server);
	subject_open(&first, "unix://%s", server.socket);
	subject_open(&second, "unix://%s", server.socket);
	wait_for(&first, LINK_READY, 1000); /* the one that saw it come up may not be gone yet */
	check_not(&second, LINK_AWAY, "no room for another connection");
	subject_close(&first);
	subject_close(&second);
	server_end(&server);
}
END_TEST

/* ---- whatever answers ---- */

/* What INFO answers. */
#define INFO(text) "INFO" text

static const struct strange {
	const char *bytes;
	enum fake_manner manner;
	enum link_state state;
	const char *why;
} strange[] = {
        {"-LOADING Redis is loading the dataset in memory\r\n", FAKE_STAYS, LINK_AWAY, "is loading its data"},
        {INFO("redis_version:7.0.15\r\nloading:1\r\nrole:master"), FAKE_STAYS, LINK_AWAY, "is loading its data"},
        {INFO("redis_version:6.0.16\r\nloading:0\r\nrole:master"), FAKE_STAYS, LINK_REFUSED,
         "is Redis 6.0.16; 7 or later is needed"},
        {INFO("redis_version:10.1.3\r\nloading:0\r\nrole:master"), FAKE_STAYS, LINK_READY, ""},
        {INFO("redis_version:7.4.1a\r\nloading:0\r\nrole:slaver"), FAKE_STAYS, LINK_AWAY, "is a replica"},
        {INFO("redis_version:7.0.1\r\nredis_mode:sentinel\r\nx:yz"), FAKE_STAYS, LINK_REFUSED,
         "is a Sentinel, which REDIS_URL names as redis+sentinel://"},
        {INFO("redis_version:7.0.1\r\nredis_mode:cluster\r\nx:yz"), FAKE_STAYS, LINK_REFUSED,
         "is part of a Redis Cluster"},
        {INFO("role:master"), FAKE_STAYS, LINK_REFUSED, "does not say that it is a Redis"},
        {INFO("redis_version:x"), FAKE_STAYS, LINK_REFUSED, "does not say that it is a Redis"},
        {INFO("redis_version:"), FAKE_STAYS, LINK_REFUSED, "does not say that it is a Redis"},
        {INFO(""), FAKE_STAYS, LINK_REFUSED, "does not say that it is a Redis"},
        {"+OK\r\n+OK\r\n", FAKE_STAYS, LINK_REFUSED, "does not say that it is a Redis"},
        {"*2\r\n:1\r\n*0\r\n+OK\r\n", FAKE_STAYS, LINK_REFUSED, "does not say that it is a Redis"},
        {"-ERR unknown command 'INFO'\r\n+OK\r\n", FAKE_STAYS, LINK_REFUSED, "answers to INFO: ERR unknown command"},
        {"-DENIED Redis is running in protected mode\r\n", FAKE_CLOSES, LINK_REFUSED, "is in protected mode"},
        {"-ERR max number of clients reached\r\n", FAKE_CLOSES, LINK_AWAY, "no room for another connection"},
        {"-MASTERDOWN Link with MASTER is down\r\n", FAKE_STAYS, LINK_AWAY, "is a replica without its primary"},
        {"-BUSY Redis is busy running a script\r\n", FAKE_STAYS, LINK_AWAY, "is busy with a script"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", FAKE_CLOSES, LINK_REFUSED, "does not speak the Redis protocol"},
        {"*99999999999\r\n", FAKE_STAYS, LINK_REFUSED, "does not speak the Redis protocol"},
        {"\x15\x03\x01", FAKE_CLOSES, LINK_REFUSED, "does not speak the Redis protocol"},
        {"", FAKE_CLOSES, LINK_AWAY, "the server closed the connection"},
        {"$42\r\nredis_ver", FAKE_CLOSES, LINK_AWAY, "the server closed the connection"},
        {"$42\r\nredis_ver", FAKE_STAYS, LINK_AWAY, "does not answer"},
        {"$4200\r\nredis_version:7.0.15\r\nthis is very slow and never ends", FAKE_DRIPS, LINK_AWAY, "does not answer"},
        {"", FAKE_STAYS, LINK_AWAY, "does not answer"},
};

START_TEST(whatever_answers_is_judged_in_time)
{
	const struct strange *t = &strange[_i];
	const char *bytes = t->bytes;
	char info[256];
	struct fake fake;
	struct subject s;
	int64_t began;

	if (strncmp(bytes, "INFO", 4) == 0) {
		snprintf(info, sizeof(info), "$%zu\r\n%s\r\n+OK\r\n", strlen(bytes) - 4, bytes + 4);
		bytes = info;
	}
	fake_start(&fake, bytes, NULL, t->manner);
	subject_open(&s, "redis://127.0.0.1:%d", fake.port);
	began = now_ms();
	if (t->state == LINK_READY)
		check_ready(&s);
	else
		check_not(&s, t->state, t->why);
	ck_assert_int_le(now_ms() - began, LINK_CONNECT_MS + SMALL_MS);
	subject_close(&s);
	fake_stop(&fake);
}
END_TEST

START_TEST(a_password_is_not_repeated_even_if_the_server_does)
{
	struct fake fake;
	struct subject s;

	fake_start(&fake, "-ERR unknown command 'AUTH', with args beginning with: 'secret'\r\n", NULL, FAKE_STAYS);
	subject_open(&s, "redis://:secret@127.0.0.1:%d", fake.port);
	check_not(&s, LINK_REFUSED, "refuses the user or the password");
	subject_close(&s);
	check_logged(&s, "secret", 0);
	fake_stop(&fake);
}
END_TEST

START_TEST(nobody_there_is_away)
{
	struct subject tcp, file, name;

	subject_open(&tcp, "redis://127.0.0.1:%d", free_port());
	subject_open(&file, "unix:///nonexistent/redis.sock");
	subject_open(&name, "redis://nobody.invalid");
	check_not(&tcp, LINK_AWAY, "Connection refused");
	check_not(&file, LINK_AWAY, "No such file or directory");
	check_not(&name, LINK_AWAY, "");
	subject_close(&tcp);
	subject_close(&file);
	subject_close(&name);
}
END_TEST

START_TEST(a_host_that_swallows_connections_costs_the_time_for_connecting)
{
	int port, fd = listen_on_loopback(&port, 0), filler[4];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct subject s;
	int64_t began;

	a.sin_port = htons((uint16_t)port);
	for (size_t i = 0; i < 4; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(filler[i], (struct sockaddr *)&a, sizeof(a));
	}
	subject_open(&s, "redis://127.0.0.1:%d", port);
	began = now_ms();
	check_not(&s, LINK_AWAY, "timed out");
	ck_assert_int_ge(now_ms() - began, LINK_CONNECT_MS - 50);
	ck_assert_int_le(now_ms() - began, LINK_CONNECT_MS + SMALL_MS);
	subject_close(&s);
	for (size_t i = 0; i < 4; i++)
		close(filler[i]);
	close(fd);
}
END_TEST

/* ---- coming back ---- */

START_TEST(pauses_grow_to_their_bound_with_jitter)
{
	struct subject s;
	long whole = LINK_PAUSE_MIN_MS;
	bool fresh = true, differ = false;

	subject_open(&s, "redis://127.0.0.1:%d", free_port());
	ck_assert_int_eq(redis_link_pause_ms(s.link), 0);
	for (int i = 0; i < 8; i++) {
		check_not(&s, LINK_AWAY, "refused");
		long pause = redis_link_pause_ms(s.link);
		ck_assert_int_le(pause, whole);
		ck_assert_int_ge(pause, whole / 2 - 20); /* some of it may be over */
		differ |= pause != whole;
		int64_t began = now_ms();
		ck_assert_int_eq(redis_link_open(s.link, &fresh, &s.fault), LINK_AWAY);
		ck_assert(!fresh && strstr(s.fault.text, "refused"));
		ck_assert_int_le(now_ms() - began, 20);
		whole = whole * 2 < LINK_PAUSE_MAX_MS ? whole * 2 : LINK_PAUSE_MAX_MS;
	}
	ck_assert(differ);
	subject_close(&s);
	check_logged(&s, "store-lost", 1);
}
END_TEST

START_TEST(a_server_that_was_started_anew_is_found_again)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_open(&s, "unix://%s", server.socket);
	check_ready(&s);
	sleep_ms(LINK_PAUSE_MAX_MS); /* it has proved itself */
	server_kill(&server);
	ck_assert_ptr_null(ask(&s, "PING"));
	redis_link_lose(s.link, "gone");
	ck_assert_int_le(redis_link_pause_ms(s.link), LINK_PAUSE_MIN_MS);
	ck_assert_int_gt(redis_link_pause_ms(s.link), 0);
	check_not(&s, LINK_AWAY, "refused");
	check_not(&s, LINK_AWAY, "refused");
	server_start(&server);
	int64_t began = now_ms();
	wait_for(&s, LINK_READY, 2000);
	ck_assert_int_le(now_ms() - began, LINK_PAUSE_MAX_MS + SMALL_MS);
	ck_assert_str_eq(ask(&s, "PING"), "PONG");
	subject_close(&s);
	check_logged(&s, "store-connected", 2);
	check_logged(&s, "store-lost", 2);
	check_logged(&s, "reason=gone", 1);
	check_logged(&s, "reason=\"Connection refused\"", 1);
	server_end(&server);
}
END_TEST

START_TEST(a_server_that_is_lost_again_and_again_is_told_once)
{
	struct server server = server_new(0, NULL);
	struct subject s;
	long pause = 0;
	bool fresh;

	server_start(&server);
	subject_open(&s, "unix://%s", server.socket);
	for (int i = 0; i < 6; i++) {
		check_ready(&s);
		redis_link_lose(s.link, "NOREPLICAS");
		redis_link_lose(s.link, "and what is lost cannot be lost again");
		pause = redis_link_pause_ms(s.link);
	}
	ck_assert_int_ge(pause, LINK_PAUSE_MAX_MS / 2 - 20);
	check_ready(&s);
	sleep_ms(LINK_PAUSE_MAX_MS);
	ck_assert_int_eq(redis_link_open(s.link, &fresh, &s.fault), LINK_READY);
	redis_link_lose(s.link, "NOREPLICAS");
	ck_assert_int_le(redis_link_pause_ms(s.link), LINK_PAUSE_MIN_MS);
	subject_close(&s);
	check_logged(&s, "store-connected", 2);
	check_logged(&s, "store-lost", 2);
	server_end(&server);
}
END_TEST

START_TEST(a_server_that_stands_still_costs_a_reply_its_time)
{
	struct server server = server_new(0, NULL);
	struct subject s;

	server_start(&server);
	subject_open(&s, "unix://%s", server.socket);
	check_ready(&s);
	server_signal(&server, SIGSTOP);
	int64_t began = now_ms();
	ck_assert_ptr_null(ask(&s, "PING"));
	ck_assert_int_ge(now_ms() - began, LINK_REPLY_MS - 50);
	ck_assert_int_le(now_ms() - began, LINK_REPLY_MS + SMALL_MS);
	redis_link_lose(s.link, "does not answer");
	check_not(&s, LINK_AWAY, "does not answer");
	server_signal(&server, SIGCONT);
	wait_for(&s, LINK_READY, 2000);
	subject_close(&s);
	server_end(&server);
}
END_TEST

START_TEST(errors_that_mean_another_primary_are_known)
{
	static const char *const moves[] = {"READONLY You can't write against a read only replica.",
	                                    "MASTERDOWN Link with MASTER is down",
	                                    "LOADING x",
	                                    "NOREPLICAS",
	                                    "UNBLOCKED force unblock",
	                                    "NOAUTH Authentication required."};
	static const char *const stays[] = {"",           "ERR unknown command", "OOM command not allowed",
	                                    "NOSCRIPT x", "WRONGTYPE x",         "READONLYS x",
	                                    "readonly x", "MISCONF x",           "ERR READONLY x"};

	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
		ck_assert_msg(redis_error_moves(moves[i]), "%s", moves[i]);
	for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++)
		ck_assert_msg(!redis_error_moves(stays[i]), "%s", stays[i]);
}
END_TEST

/* ---- Sentinel ---- */

/* A primary, its replica and a Sentinel that watches them. */
struct fleet {
	struct server primary, replica, sentinel;
};

static void fleet_start(struct fleet *f)
{
	static char of[32];

	f->primary = server_new(free_port(), "--repl-diskless-sync-delay", "0", NULL);
	server_start(&f->primary);
	snprintf(of, sizeof(of), "127.0.0.1 %d", f->primary.port);
	f->replica = server_new(free_port(), "--replicaof", of, NULL);
	server_start(&f->replica);
	for (int64_t until = now_ms() + 10000; !strstr(server_say(&f->replica, "INFO replication"), "link_status:up");
	     sleep_ms(20))
		ck_assert(now_ms() < until);
	f->sentinel = sentinel_new(f->primary.port);
	/* instead of seconds */
	ck_assert_str_eq(server_say(&f->sentinel, "SENTINEL DEBUG info-period 100 publish-period 100 ping-period 100"),
	                 "OK");
	for (int64_t until = now_ms() + 15000;
	     strcmp(server_say(&f->sentinel, "SENTINEL REPLICAS main"), "1 elements") != 0; sleep_ms(20))
		ck_assert(now_ms() < until);
}

static void fleet_end(struct fleet *f)
{
	server_end(&f->sentinel);
	server_end(&f->replica);
	server_end(&f->primary);
}

START_TEST(sentinels_say_where_the_primary_is)
{
	struct server primary = server_new(free_port(), "--requirepass", "pw", NULL), sentinel;
	struct subject s;

	server_start(&primary);
	sentinel = sentinel_new(primary.port);
	subject_open(&s, "redis+sentinel://:pw@127.0.0.1:%d/main/1", sentinel.port);
	check_ready(&s);
	ck_assert_str_eq(ask(&s, "SET here 1"), "OK");
	subject_close(&s);
	check_logged(&s, "store-connected server=\"sentinel main at 127.0.0.1:", 1);
	char found[64];
	snprintf(found, sizeof(found), " db 1, 127.0.0.1:%d\" link=test-link", primary.port);
	check_logged(&s, found, 1);
	server_end(&sentinel);
	server_end(&primary);
}
END_TEST

START_TEST(dead_sentinels_cost_little)
{
	struct server primary = server_new(free_port(), NULL), sentinel;
	struct fake silent;
	struct subject s;

	server_start(&primary);
	sentinel = sentinel_new(primary.port);
	fake_start(&silent, "", NULL, FAKE_STAYS);
	subject_open(&s, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/main", free_port(), silent.port,
	             sentinel.port);
	for (int i = 0; i < 4; i++) {
		int64_t began = now_ms();
		bool fresh;
		ck_assert_int_eq(redis_link_open(s.link, &fresh, &s.fault), LINK_READY);
		ck_assert_int_le(now_ms() - began, LINK_CONNECT_MS / 2 + SMALL_MS);
		redis_link_lose(s.link, "a test");
		sleep_ms(redis_link_pause_ms(s.link));
	}
	subject_close(&s);
	fake_stop(&silent);
	server_end(&sentinel);
	server_end(&primary);
}
END_TEST

START_TEST(sentinels_that_do_not_help_are_told_apart)
{
	struct server primary = server_new(free_port(), NULL), sentinel;
	struct fake locked, odd;
	struct subject unknown, half, dead, not_one, with_password, nonsense;

	server_start(&primary);
	sentinel = sentinel_new(primary.port);
	fake_start(&locked, "-NOAUTH Authentication required.\r\n", NULL, FAKE_STAYS);
	fake_start(&odd, "*2\r\n$1\r\nh\r\n$5\r\n99999\r\n", NULL, FAKE_STAYS);
	subject_open(&unknown, "redis+sentinel://127.0.0.1:%d/other", sentinel.port);
	subject_open(&half, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/other", free_port(), sentinel.port);
	subject_open(&dead, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/main", free_port(), free_port());
	subject_open(&not_one, "redis+sentinel://127.0.0.1:%d/main", primary.port);
	subject_open(&with_password, "redis+sentinel://127.0.0.1:%d/main", locked.port);
	subject_open(&nonsense, "redis+sentinel://127.0.0.1:%d/main", odd.port);
	check_not(&unknown, LINK_REFUSED, "the Sentinel knows no Redis named other");
	check_not(&half, LINK_REFUSED, "the Sentinel knows no Redis named other");
	check_not(&dead, LINK_AWAY, "no Sentinel answers: Connection refused");
	check_not(&not_one, LINK_REFUSED, "is not a Sentinel");
	check_not(&with_password, LINK_REFUSED, "asks for a password");
	check_not(&nonsense, LINK_REFUSED, "is not a Sentinel");
	subject_close(&unknown);
	subject_close(&half);
	subject_close(&dead);
	subject_close(&not_one);
	subject_close(&with_password);
	subject_close(&nonsense);
	fake_stop(&locked);
	fake_stop(&odd);
	server_end(&sentinel);
	server_end(&primary);
}
END_TEST

START_TEST(a_fail_over_is_followed)
{
	struct fleet f;
	struct subject s;
	char here[64];
	int64_t began;

	fleet_start(&f);
	subject_open(&s, "redis+sentinel://127.0.0.1:%d/main", f.sentinel.port);
	check_ready(&s);
	sleep_ms(LINK_PAUSE_MAX_MS); /* it has proved itself */
	server_kill(&f.primary);
	ck_assert_ptr_null(ask(&s, "SET here 1"));
	redis_link_lose(s.link, "the connection was lost");
	began = now_ms();
	wait_for(&s, LINK_READY, 15000);
	fprintf(stderr, "a fail-over was followed after %lld ms\n", (long long)(now_ms() - began));
	ck_assert_str_eq(ask(&s, "SET here 1"), "OK");
	ck_assert_str_eq(server_say(&f.replica, "GET here"), "1");
	subject_close(&s);
	snprintf(here, sizeof(here), ", 127.0.0.1:%d\"", f.replica.port);
	check_logged(&s, here, 1);
	fleet_end(&f);
}
END_TEST

START_TEST(a_primary_that_became_a_replica_is_left)
{
	struct fleet f;
	struct subject s;
	const char *said;

	fleet_start(&f);
	subject_open(&s, "redis+sentinel://127.0.0.1:%d/main", f.sentinel.port);
	check_ready(&s);
	for (int64_t until = now_ms() + 15000; strcmp(server_say(&f.sentinel, "SENTINEL FAILOVER main"), "OK") != 0;
	     sleep_ms(50))
		ck_assert(now_ms() < until);
	for (int64_t until = now_ms() + 15000; (said = ask(&s, "SET here 1")) && strcmp(said, "OK") == 0; sleep_ms(20))
		ck_assert(now_ms() < until);
	ck_assert(!said || redis_error_moves(said));
	redis_link_lose(s.link, said ? said : "the connection was lost");
	wait_for(&s, LINK_READY, 15000);
	ck_assert_str_eq(ask(&s, "SET there 1"), "OK");
	ck_assert_str_eq(server_say(&f.replica, "GET there"), "1");
	subject_close(&s);
	fleet_end(&f);
}
END_TEST

/* ---- names ---- */

/* Redis behind a name that nothing tells the address of before the name server does. */
struct named {
	struct server server;
	struct subject s;
	int fd;
};

static bool named_open(struct named *n)
{
	n->fd = name_server_start();
	if (n->fd < 0) {
		puts("skipped: no name server can be set up here (root, and a mount namespace)");
		return false;
	}
	n->server = server_new(free_port(), NULL);
	server_start(&n->server);
	subject_open(&n->s, "redis://redis.lane.test:%d/1", n->server.port);
	return true;
}

static void named_close(struct named *n)
{
	subject_close(&n->s);
	server_end(&n->server);
	close(n->fd);
}

/* Takes between least and most ms to say that it is still connecting. */
static void check_still(struct subject *s, long least, long most)
{
	int64_t began = now_ms(), took;
	bool fresh = true;

	ck_assert_int_eq(redis_link_open(s->link, &fresh, &s->fault), LINK_AWAY);
	took = now_ms() - began;
	ck_assert_str_eq(s->fault.text, "still connecting");
	ck_assert(!fresh && !redis_link_context(s->link));
	ck_assert_int_ge(took, least);
	ck_assert_int_le(took, most);
	ck_assert_int_gt(redis_link_pause_ms(s->link), 0);
}

START_TEST(a_name_that_is_known_is_connected_to_in_the_same_call)
{
	struct server server = server_new(free_port(), NULL), sentinel;
	struct subject s, behind;
	bool fresh = false;

	server_start(&server);
	sentinel = sentinel_new(server.port);
	subject_open(&s, "redis://localhost:%d/2", server.port);
	subject_open(&behind, "redis+sentinel://localhost:%d,localhost:%d/main", free_port(), sentinel.port);
	ck_assert_int_eq(redis_link_open(s.link, &fresh, &s.fault), LINK_READY);
	ck_assert(fresh);
	ck_assert_int_eq(redis_link_open(s.link, &fresh, &s.fault), LINK_READY);
	ck_assert(!fresh);
	ck_assert_int_eq(redis_link_open(behind.link, &fresh, &behind.fault), LINK_READY);
	ck_assert_str_eq(ask(&behind, "PING"), "PONG");
	for (int i = 0; i < 3; i++) {
		redis_link_lose(s.link, "a test");
		check_ready(&s);
	}
	ck_assert_int_eq(count_of(server_say(&server, "CLIENT LIST"), "name=test-link "), 2);
	subject_close(&s);
	subject_close(&behind);
	check_logged(&s, "store-connected server=redis://localhost:", 1);
	check_logged(&s, "still connecting", 0);
	check_logged(&behind, ", 127.0.0.1:", 1);
	server_end(&sentinel);
	server_end(&server);
}
END_TEST

START_TEST(a_sentinel_may_name_the_primary_by_name)
{
	struct server server = server_new(free_port(), NULL);
	char answer[64], port[8];
	struct fake sentinel;
	struct subject s;

	server_start(&server);
	snprintf(port, sizeof(port), "%d", server.port);
	snprintf(answer, sizeof(answer), "*2\r\n$9\r\nlocalhost\r\n$%zu\r\n%s\r\n", strlen(port), port);
	fake_start(&sentinel, answer, NULL, FAKE_STAYS);
	subject_open(&s, "redis+sentinel://127.0.0.1:%d/main", sentinel.port);
	check_ready(&s);
	redis_link_lose(s.link, "a test");
	check_ready(&s);
	ck_assert_str_eq(ask(&s, "PING"), "PONG");
	subject_close(&s);
	check_logged(&s, "store-connected server=\"sentinel main at 127.0.0.1:", 1);
	check_logged(&s, ", localhost:", 2);
	fake_stop(&sentinel);
	server_end(&server);
}
END_TEST

START_TEST(a_name_is_refused_for_the_reason_that_an_address_is)
{
	struct subject nobody, silent;
	struct fake fake;

	fake_start(&fake, "", NULL, FAKE_STAYS);
	subject_open(&nobody, "redis://localhost:%d", free_port());
	subject_open(&silent, "redis://localhost:%d", fake.port);
	for (int i = 0; i < 4; i++)
		check_not(&nobody, LINK_AWAY, "Connection refused");
	check_not(&silent, LINK_AWAY, "does not answer");
	subject_close(&nobody);
	subject_close(&silent);
	check_logged(&nobody, "store-lost", 1);
	fake_stop(&fake);
}
END_TEST

START_TEST(a_name_server_that_is_late_costs_one_call_its_time_and_is_heard)
{
	struct named n;
	bool fresh = false;
	int64_t until;

	if (!named_open(&n))
		return;
	check_still(&n.s, LINK_CONNECT_MS - 50, LINK_CONNECT_MS + SMALL_MS);
	for (int i = 0; i < 20; i++) {
		check_still(&n.s, 0, 20);
		sleep_ms(20);
	}
	ck_assert_int_eq(threads_named("redis-dial"), 1);
	ck_assert(name_server_is_asked(n.fd, 0));
	name_server_answer(n.fd);
	for (until = now_ms() + 2000; redis_link_open(n.s.link, &fresh, &n.s.fault) != LINK_READY; sleep_ms(5))
		ck_assert_msg(now_ms() < until, "%s", n.s.fault.text);
	ck_assert(fresh);
	ck_assert_str_eq(ask(&n.s, "SET here 1"), "OK");
	ck_assert_ptr_nonnull(strstr(server_say(&n.server, "INFO keyspace"), "db1:keys=1"));
	ck_assert(!name_server_is_asked(n.fd, 0));
	named_close(&n);
	check_logged(&n.s, "reason=\"still connecting\"", 1);
	check_logged(&n.s, "store-connected", 1);
}
END_TEST

START_TEST(a_look_up_that_was_given_up_is_waited_for_by_nobody_and_not_doubled)
{
	struct named n;
	int64_t began, until;

	if (!named_open(&n))
		return;
	check_still(&n.s, LINK_CONNECT_MS - 50, LINK_CONNECT_MS + SMALL_MS);
	for (int i = 0; i < 5; i++) {
		began = now_ms();
		redis_link_lose(n.s.link, "given up");
		ck_assert_int_le(now_ms() - began, 20);
		sleep_ms(redis_link_pause_ms(n.s.link));
		check_still(&n.s, 0, 20);
	}
	ck_assert_int_eq(threads_named("redis-dial"), 1);
	name_server_answer(n.fd);
	ck_assert(!name_server_is_asked(n.fd, 0));
	/* what came of it is not taken: another dial is made, and asks anew */
	for (until = now_ms() + 2000; !name_server_is_asked(n.fd, 0); sleep_ms(5)) {
		ck_assert_int_eq(try_once(&n.s), LINK_AWAY);
		ck_assert(now_ms() < until);
	}
	ck_assert_int_eq(threads_named("redis-dial"), 1);
	ck_assert_int_eq(count_of(server_say(&n.server, "CLIENT LIST"), "name=test-link "), 0);
	name_server_answer(n.fd);
	wait_for(&n.s, LINK_READY, 2000);
	named_close(&n);
}
END_TEST

START_TEST(a_link_is_freed_at_once_while_a_name_is_looked_up)
{
	struct named n;
	int64_t began, until;

	if (!named_open(&n))
		return;
	check_still(&n.s, LINK_CONNECT_MS - 50, LINK_CONNECT_MS + SMALL_MS);
	began = now_ms();
	subject_close(&n.s);
	ck_assert_int_le(now_ms() - began, 50);
	ck_assert_int_eq(threads_named("redis-dial"), 1);
	name_server_answer(n.fd);
	for (until = now_ms() + 2000; threads_named("redis-dial") > 0; sleep_ms(5))
		ck_assert(now_ms() < until);
	ck_assert_int_eq(count_of(server_say(&n.server, "CLIENT LIST"), "name=test-link "), 0);
	/* and one that is still out when the process ends */
	subject_open(&n.s, "redis://:secret@redis.lane.test:%d", n.server.port);
	check_still(&n.s, LINK_CONNECT_MS - 50, LINK_CONNECT_MS + SMALL_MS);
	named_close(&n);
}
END_TEST

/* One after the other on the same errand, each of them left to itself at another moment. */
static void run_errands(const struct redis_url *url, unsigned moment)
{
	struct redis_dial dial = {.url = url, .name = "test-link"};
	struct redis_errand *e = redis_errand_new(&dial);
	struct redis_dialled dialled;
	struct fault why;

	ck_assert_ptr_nonnull(e);
	for (unsigned i = 0; i < 3; i++, moment = moment * 7 + 3) {
		struct timespec a_bit = {.tv_nsec = (long)(moment * 37 % 1200) * 1000};

		if (redis_errand_wait(e, 0) == ERRAND_NONE)
			ck_assert(redis_errand_send(e, &dial, LINK_CONNECT_MS));
		nanosleep(&a_bit, NULL);
		if (moment % 3 == 0)
			redis_errand_drop(e);
		if (redis_errand_wait(e, moment % 2 ? redis_wire_deadline(2) : 0) == ERRAND_BACK &&
		    redis_errand_take(e, &dial, &dialled, &why) == LINK_READY)
			redisFree(dialled.context);
	}
	redis_errand_leave(e);
}

START_TEST(errands_that_are_taken_dropped_or_left_at_any_moment_leave_nothing)
{
	struct server server = server_new(free_port(), NULL);
	struct redis_url url;
	char text[64];
	int64_t until;

	server_start(&server);
	snprintf(text, sizeof(text), "redis://localhost:%d", server.port);
	ck_assert_int_eq(redis_url_parse(text, &url, NULL), 0);
	for (unsigned moment = 0; moment < 600; moment++)
		run_errands(&url, moment);
	for (until = now_ms() + 2000; threads_named("redis-dial") > 0; sleep_ms(5))
		ck_assert(now_ms() < until);
	ck_assert_int_eq(count_of(server_say(&server, "CLIENT LIST"), "name=test-link "), 0);
	server_end(&server);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, a_link_is_connected_named_and_on_its_database);
	tcase_add_test(tc, a_redis_that_may_evict_is_warned_of);
	tcase_add_test(tc, the_password_must_be_right);
	tcase_add_test(tc, a_password_where_there_is_none_is_told);
	tcase_add_test(tc, a_user_logs_in_with_the_rights_it_has);
	tcase_add_test(tc, a_replica_is_away_until_it_is_the_primary);
	tcase_add_test(tc, a_full_server_is_away);
	tcase_add_test(tc, a_server_that_was_started_anew_is_found_again);
	tcase_add_test(tc, a_server_that_is_lost_again_and_again_is_told_once);
	tcase_add_test(tc, a_server_that_stands_still_costs_a_reply_its_time);
	tcase_add_test(tc, sentinels_say_where_the_primary_is);
	tcase_add_test(tc, dead_sentinels_cost_little);
	tcase_add_test(tc, sentinels_that_do_not_help_are_told_apart);
	tcase_add_test(tc, a_fail_over_is_followed);
	tcase_add_test(tc, a_primary_that_became_a_replica_is_left);
	tcase_add_test(tc, a_name_that_is_known_is_connected_to_in_the_same_call);
	tcase_add_test(tc, a_sentinel_may_name_the_primary_by_name);
	tcase_add_test(tc, a_name_server_that_is_late_costs_one_call_its_time_and_is_heard);
	tcase_add_test(tc, a_look_up_that_was_given_up_is_waited_for_by_nobody_and_not_doubled);
	tcase_add_test(tc, errands_that_are_taken_dropped_or_left_at_any_moment_leave_nothing);
	tcase_add_test(tc, a_link_is_freed_at_once_while_a_name_is_looked_up);
}

int main(void)
{
	Suite *suite = suite_create("store_redis_link");
	TCase *alone = tcase_create("no server"), *served = tcase_create("servers");

	if (crypto_init() != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	tcase_set_timeout(alone, 30);
	tcase_set_timeout(served, 60);
	tcase_add_loop_test(alone, whatever_answers_is_judged_in_time, 0, (int)(sizeof(strange) / sizeof(strange[0])));
	tcase_add_test(alone, a_password_is_not_repeated_even_if_the_server_does);
	tcase_add_test(alone, nobody_there_is_away);
	tcase_add_test(alone, a_host_that_swallows_connections_costs_the_time_for_connecting);
	tcase_add_test(alone, a_name_is_refused_for_the_reason_that_an_address_is);
	tcase_add_test(alone, pauses_grow_to_their_bound_with_jitter);
	tcase_add_test(alone, errors_that_mean_another_primary_are_known);
	suite_add_tcase(suite, alone);
	if (redis_installed())
		add_tests(served);
	else
		puts("skipped: redis-server is not installed");
	suite_add_tcase(suite, served);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
