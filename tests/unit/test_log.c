/* test_log.c - lines that nothing in them can break, in order, none torn */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "simlane/buf.h"
#include "simlane/log.h"

static int64_t fixed_wall_ms(const struct clock *c)
{
	(void)c;
	return INT64_C(1767323045678); /* 2026-01-02T03:04:05.678Z */
}

static int64_t fixed_mono_us(const struct clock *c)
{
	(void)c;
	return 0;
}

static const struct clock fixed = {fixed_wall_ms, fixed_mono_us};

static int out; /* a file without a name */

static struct log *open_log(enum log_level level, enum log_format format)
{
	char name[] = "/tmp/log-test-XXXXXX";
	out = mkstemp(name);
	ck_assert_int_ge(out, 0);
	ck_assert_int_eq(unlink(name), 0);
	struct log *l = log_open(out, level, format, &fixed);
	ck_assert_ptr_nonnull(l);
	return l;
}

/* What has been written by now, NUL-terminated; the caller frees it. */
static char *written(void)
{
	struct buf b = BUF_EMPTY;
	char bytes[65536];
	ssize_t n;
	off_t at = 0;
	while ((n = pread(out, bytes, sizeof(bytes), at)) > 0) {
		buf_add(&b, bytes, (size_t)n);
		at += n;
	}
	return buf_take(&b, NULL);
}

START_TEST(a_text_line_is_as_the_header_shows)
{
	struct log *l = open_log(LOG_DEBUG, LOG_TEXT);
	LOG(l, LOG_INFO, "request", LOG_STR("trace", "LT-1-00000000"), LOG_INT("status", 202),
	    LOG_SPAN("absent", ((struct span){NULL, 0})), LOG_STR("empty", ""), LOG_INT("low", INT64_MIN));
	LOG(l, LOG_DEBUG, "d", LOG_INT("n", 0));
	log_close(l);
	char *text = written();
	ck_assert_str_eq(text, "2026-01-02T03:04:05.678Z info  request trace=LT-1-00000000 status=202 empty=\"\" "
	                       "low=-9223372036854775808\n"
	                       "2026-01-02T03:04:05.678Z debug d n=0\n");
	free(text);
}
END_TEST

static const char *const nasty[] = {"a b",      "a\nb", "a\r\nb level=error", "x=y",      "\"quoted\"",   "back\\slash",
                                    "\x1b[31m", "\x7f", "\xff\xfe",           "\xc2\x85", "\xe2\x80\xa8", "\t"};

START_TEST(a_value_can_begin_no_line_and_no_member)
{
	struct log *l = open_log(LOG_INFO, LOG_TEXT);
	for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]); i++)
		LOG(l, LOG_INFO, "e", LOG_STR("v", nasty[i]));
	log_close(l);
	char *text = written();
	size_t lines = 0;
	for (char *at = text; *at; at++) {
		lines += *at == '\n';
		ck_assert(*at == '\n' || (unsigned char)*at >= ' ');
	}
	ck_assert_uint_eq(lines, sizeof(nasty) / sizeof(nasty[0]));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		/* everything behind v= is one quoted JSON string */
		char *value = strstr(line, " v=") + 3;
		json_t *read = json_loads(value, JSON_DECODE_ANY, NULL);
		ck_assert_msg(json_is_string(read), "%s", line);
		json_decref(read);
	}
	free(text);
}
END_TEST

START_TEST(json_lines_are_json_with_the_same_members)
{
	struct log *l = open_log(LOG_INFO, LOG_JSON);
	for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]); i++)
		LOG(l, LOG_WARN, "event", LOG_STR("v", nasty[i]), LOG_INT("n", (int64_t)i));
	log_close(l);
	char *text = written();
	size_t i = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), i++) {
		const char *time, *level, *event, *v;
		json_int_t n;
		json_t *read = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		ck_assert_int_eq(json_unpack(read, "{s:s,s:s,s:s,s:s,s:I!}", "time", &time, "level", &level, "event",
		                             &event, "v", &v, "n", &n),
		                 0);
		ck_assert_str_eq(level, "warn");
		ck_assert_str_eq(time, "2026-01-02T03:04:05.678Z");
		if (nasty[i][0] != '\xff')
			ck_assert_str_eq(v, nasty[i]);
		json_decref(read);
	}
	ck_assert_uint_eq(i, sizeof(nasty) / sizeof(nasty[0]));
	free(text);
}
END_TEST

START_TEST(lines_below_the_level_are_not_written)
{
	struct log *l = open_log(LOG_WARN, LOG_TEXT);
	ck_assert(!log_wants(l, LOG_INFO));
	ck_assert(log_wants(l, LOG_WARN));
	ck_assert(!log_wants(NULL, LOG_ERROR));
	LOG(l, LOG_INFO, "no", LOG_INT("n", 1));
	LOG(NULL, LOG_ERROR, "no", LOG_INT("n", 1));
	log_event(l, LOG_WARN, "bare", NULL, 0);
	log_close(l);
	char *text = written();
	ck_assert_str_eq(text, "2026-01-02T03:04:05.678Z warn  bare\n");
	free(text);
	log_close(NULL);
}
END_TEST

START_TEST(a_reader_who_stops_holds_nobody_up)
{
	int ends[2];
	struct timespec begun, ended;
	ck_assert_int_eq(pipe(ends), 0);
	struct log *l = log_open(ends[1], LOG_INFO, LOG_TEXT, &fixed);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (int i = 0; i < 5000; i++)
		LOG(l, LOG_ERROR, "line", LOG_INT("n", i), LOG_STR("pad", "................................"));
	usleep(300000);
	ck_assert_uint_eq(log_dropped(l), 0);
	log_close(l);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	ck_assert_int_lt(ended.tv_sec - begun.tv_sec, 5);
	close(ends[0]);
	close(ends[1]);
	ck_assert_uint_eq(log_dropped(NULL), 0);
}
END_TEST

/* ---- many at once ---- */

static struct log *shared;

static void *write_many(void *arg)
{
	for (int64_t i = 0; i < 2000; i++)
		LOG(shared, i % 500 ? LOG_INFO : LOG_ERROR, "line", LOG_INT("who", (int64_t)(intptr_t)arg),
		    LOG_INT("n", i), LOG_STR("pad", "------------------------------------------------"));
	return NULL;
}

START_TEST(lines_of_many_threads_are_whole_and_each_threads_own_in_order)
{
	pthread_t threads[8];
	int64_t next[8] = {0};
	shared = open_log(LOG_INFO, LOG_TEXT);
	for (intptr_t i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, (void *)i), 0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	log_close(shared);
	char *text = written();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		long long who, n;
		ck_assert_msg(sscanf(line, "%*s %*s line who=%lld n=%lld pad=-----", &who, &n) == 2, "%s", line);
		ck_assert_int_eq(n, next[who]);
		next[who]++;
	}
	for (size_t i = 0; i < 8; i++)
		ck_assert_int_eq(next[i], 2000);
	free(text);
}
END_TEST

/* ---- an end that takes little at a time ---- */

static int pipe_ends[2];

static void *read_slowly(void *arg)
{
	struct buf *b = arg;
	char bytes[1024];
	ssize_t n;
	while ((n = read(pipe_ends[0], bytes, sizeof(bytes))) > 0) {
		buf_add(b, bytes, (size_t)n);
		usleep(200);
	}
	return NULL;
}

static void check_pipe(int flags)
{
	pthread_t reader;
	struct buf b = BUF_EMPTY;
	size_t lines = 0;
	ck_assert_int_eq(pipe2(pipe_ends, 0), 0);
	ck_assert_int_eq(fcntl(pipe_ends[1], F_SETFL, flags), 0);
	struct log *l = log_open(pipe_ends[1], LOG_INFO, LOG_TEXT, &fixed);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, &b), 0);
	for (int i = 0; i < 3000; i++)
		LOG(l, LOG_INFO, "line", LOG_INT("n", i), LOG_STR("pad", "................................"));
	log_close(l);
	close(pipe_ends[1]);
	pthread_join(reader, NULL);
	for (size_t i = 0; i < b.len; i++)
		lines += b.ptr[i] == '\n';
	ck_assert_uint_eq(lines, 3000);
	buf_free(&b);
	close(pipe_ends[0]);
}

START_TEST(a_slow_pipe_gets_every_line)
{
	check_pipe(0);
}
END_TEST

START_TEST(a_pipe_that_does_not_block_gets_every_line_too)
{
	/* standard error may be shared with somebody who has set it so */
	check_pipe(O_NONBLOCK);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_text_line_is_as_the_header_shows);
	tcase_add_test(t, a_value_can_begin_no_line_and_no_member);
	tcase_add_test(t, json_lines_are_json_with_the_same_members);
	tcase_add_test(t, lines_below_the_level_are_not_written);
	tcase_add_test(t, a_reader_who_stops_holds_nobody_up);
	tcase_add_test(t, lines_of_many_threads_are_whole_and_each_threads_own_in_order);
	tcase_add_test(t, a_slow_pipe_gets_every_line);
	tcase_add_test(t, a_pipe_that_does_not_block_gets_every_line_too);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
