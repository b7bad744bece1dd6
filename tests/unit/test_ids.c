/* test_ids.c - identifiers: their form, their randomness, what may be a name */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/crypto.h"
#include "simlane/ids.h"

START_TEST(a_job_id_is_job_and_12_hex_digits)
{
	struct idgen *g;
	char id[JOB_ID_SIZE], again[JOB_ID_SIZE];
	uint64_t bits;
	ck_assert_int_eq(crypto_init(), 0);
	g = idgen_new();
	for (int i = 0; i < 5000; i++) { /* across several pools */
		idgen_job(g, id);
		ck_assert_uint_eq(strlen(id), 16);
		ck_assert(job_id_parse(span_of(id), &bits));
		ck_assert_uint_eq(bits >> 48, 0);
		job_id_format(bits, again);
		ck_assert_str_eq(id, again);
	}
	idgen_free(g);
	idgen_free(NULL);
}
END_TEST

START_TEST(only_that_form_is_a_job_id)
{
	static const char *const wrong[] = {"",
	                                    "JOB-",
	                                    "JOB-00000000000",
	                                    "JOB-0000000000000",
	                                    "job-000000000000",
	                                    "JOB_000000000000",
	                                    "JOB-00000000000A",
	                                    "JOB-00000000000g",
	                                    "JOB-00000000000/",
	                                    "JOB-00000000000:",
	                                    "JOB-00000000000`",
	                                    " JOB-00000000000",
	                                    "JOB-0x0000000000",
	                                    "JOB--00000000000"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!job_id_parse(span_of(wrong[i]), NULL), "%s", wrong[i]);
	ck_assert(!job_id_parse((struct span){NULL, 0}, NULL));
	ck_assert(!job_id_parse((struct span){"JOB-00000000000\0", 16}, NULL));
	ck_assert(job_id_parse(span_of("JOB-0123456789ab"), NULL));
	ck_assert(job_id_parse((struct span){"JOB-0123456789abcdef", 16}, NULL));
}
END_TEST

START_TEST(a_trace_id_reads_back_as_it_was_written)
{
	static const int64_t times[] = {0, 1, 9, 10, 1767225600000, 999999999999999999};
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char id[TRACE_ID_SIZE];
		int64_t ms = -1;
		uint32_t bits = 0;
		trace_id_format(times[i], 0xdeadbeef, id);
		ck_assert(trace_id_parse(span_of(id), &ms, &bits));
		ck_assert_int_eq(ms, times[i]);
		ck_assert_uint_eq(bits, 0xdeadbeef);
		ck_assert(trace_id_valid(span_of(id)));
	}
	char longest[TRACE_ID_SIZE];
	trace_id_format(INT64_MAX, 0, longest);
	ck_assert_str_eq(longest, "LT-9223372036854775807-00000000");
	trace_id_format(-5, 1, longest);
	ck_assert_str_eq(longest, "LT-0-00000001");
}
END_TEST

START_TEST(only_our_form_is_a_trace_of_ours)
{
	static const char *const wrong[] = {"",
	                                    "LT-",
	                                    "LT--00000000",
	                                    "LT-1-0000000",
	                                    "LT-1-000000000",
	                                    "LT-1-0000000G",
	                                    "LT-1-0000000A",
	                                    "LT-01-00000000",
	                                    "LT-00-00000000",
	                                    "LT-1x-00000000",
	                                    "LT-1_00000000",
	                                    "lt-1-00000000",
	                                    "LT-+1-00000000",
	                                    "LT--1-00000000",
	                                    "LT- 1-00000000",
	                                    "LT-1000000000000000000-00000000",
	                                    "LT-99999999999999999999999-00000000"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!trace_id_parse(span_of(wrong[i]), NULL, NULL), "%s", wrong[i]);
	ck_assert(trace_id_parse(span_of("LT-0-00000000"), NULL, NULL));
}
END_TEST

START_TEST(a_foreign_trace_may_become_a_file_name_and_nothing_else_may)
{
	char longest[130];
	static const char *const right[] = {"a", "0", "Z", "run.7", "a-b_c.d", "LT-1-00000000", "a..b", "a."};
	static const char *const wrong[] = {"",    ".",        "..",        ".a",    "-a",   "_a",
	                                    "a/b", "/a",       "a\\b",      "a b",   "a\nb", "a%2f",
	                                    "a:b", "\xc3\xa9", "a\xc3\xa9", "a\x7f", "~a",   "a*"};
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		ck_assert_msg(trace_id_valid(span_of(right[i])), "%s", right[i]);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!trace_id_valid(span_of(wrong[i])), "%s", wrong[i]);
	ck_assert(!trace_id_valid((struct span){"a\0b", 3}));
	ck_assert(!trace_id_valid((struct span){NULL, 0}));
	memset(longest, 'a', sizeof(longest));
	ck_assert(trace_id_valid((struct span){longest, 128}));
	ck_assert(!trace_id_valid((struct span){longest, 129}));
}
END_TEST

START_TEST(a_tenant_is_64_of_the_same_characters)
{
	char longest[70];
	memset(longest, 'a', sizeof(longest));
	ck_assert(tenant_valid(span_of("default")));
	ck_assert(tenant_valid(span_of("-._")));
	ck_assert(tenant_valid((struct span){longest, 64}));
	ck_assert(!tenant_valid((struct span){longest, 65}));
	ck_assert(!tenant_valid(span_of("")));
	ck_assert(!tenant_valid(span_of("a b")));
	ck_assert(!tenant_valid(span_of("a*")));
}
END_TEST

/* ---- many at once ---- */

#define THREADS 8
#define EACH    20000

static struct idgen *shared;
static uint64_t drawn[THREADS * EACH];

static void *draw_many(void *arg)
{
	uint64_t *out = arg;
	char id[JOB_ID_SIZE];
	for (size_t i = 0; i < EACH; i++) {
		idgen_job(shared, id);
		ck_assert(job_id_parse(span_of(id), &out[i]));
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

START_TEST(threads_never_draw_the_same_bits)
{
	pthread_t threads[THREADS];
	uint64_t every = 0, none = UINT64_MAX;
	ck_assert_int_eq(crypto_init(), 0);
	shared = idgen_new();
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, draw_many, drawn + i * EACH), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* 160000 draws of 48 bits: a repetition has a chance of 1 in 20000 */
	qsort(drawn, THREADS * EACH, sizeof(drawn[0]), compare);
	unsigned same = 0;
	for (size_t i = 0; i < THREADS * EACH; i++) {
		same += i && drawn[i] == drawn[i - 1];
		every |= drawn[i];
		none &= drawn[i];
	}
	ck_assert_uint_le(same, 1);
	ck_assert_uint_eq(every, 0xffffffffffff); /* every bit is used */
	ck_assert_uint_eq(none, 0);
	idgen_free(shared);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ids");
	TCase *t = tcase_create("ids");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_job_id_is_job_and_12_hex_digits);
	tcase_add_test(t, only_that_form_is_a_job_id);
	tcase_add_test(t, a_trace_id_reads_back_as_it_was_written);
	tcase_add_test(t, only_our_form_is_a_trace_of_ours);
	tcase_add_test(t, a_foreign_trace_may_become_a_file_name_and_nothing_else_may);
	tcase_add_test(t, a_tenant_is_64_of_the_same_characters);
	tcase_add_test(t, threads_never_draw_the_same_bits);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
