/* test_buf.c - a growing buffer, and JSON strings written into it */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/buf.h"

static struct span text_of(const struct buf *b)
{
	return (struct span){b->ptr, b->len};
}

START_TEST(what_is_appended_stands_in_order)
{
	struct buf b = BUF_EMPTY;
	buf_add(&b, "ab\0c", 4);
	buf_text(&b, "-");
	buf_char(&b, 'x');
	buf_span(&b, (struct span){NULL, 0});
	buf_add(&b, NULL, 0);
	buf_printf(&b, "%s/%d", "y", 7);
	ck_assert(span_equal(text_of(&b), (struct span){"ab\0c-xy/7", 9}));
	buf_clear(&b);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_uint_gt(b.cap, 0);
	buf_free(&b);
	ck_assert_ptr_null(b.ptr);
	buf_free(&b);
}
END_TEST

START_TEST(numbers_are_written_to_their_ends)
{
	static const int64_t numbers[] = {0, 1, -1, 9, 10, -10, INT64_MAX, INT64_MIN, INT64_MIN + 1};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct buf b = BUF_EMPTY;
		char want[32];
		snprintf(want, sizeof(want), "%lld", (long long)numbers[i]);
		buf_int(&b, numbers[i]);
		ck_assert_msg(span_is(text_of(&b), want), "%.*s, not %s", (int)b.len, b.ptr, want);
		buf_free(&b);
	}
	struct buf b = BUF_EMPTY;
	buf_uint(&b, UINT64_MAX);
	ck_assert(span_is(text_of(&b), "18446744073709551615"));
	buf_free(&b);
}
END_TEST

START_TEST(it_grows_by_any_step_and_keeps_what_it_has)
{
	struct buf b = BUF_EMPTY;
	size_t want = 0;
	for (size_t step = 0; step < 2000; step++) {
		for (size_t k = 0; k < step % 37; k++, want++)
			buf_char(&b, (char)('a' + want % 26));
	}
	ck_assert_uint_eq(b.len, want);
	for (size_t i = 0; i < want; i++)
		ck_assert_int_eq(b.ptr[i], (char)('a' + i % 26));
	buf_free(&b);
}
END_TEST

START_TEST(a_failed_allocation_is_remembered)
{
	struct buf b = BUF_EMPTY;
	buf_text(&b, "kept");
	ck_assert(!buf_reserve(&b, SIZE_MAX));
	ck_assert(b.failed);
	buf_text(&b, "not appended");
	buf_json_string(&b, span_of("nor this"));
	buf_printf(&b, "%d", 5);
	ck_assert_uint_eq(b.len, 4);
	ck_assert(!buf_reserve(&b, 1));
	ck_assert_ptr_null(buf_take(&b, NULL));
	ck_assert_ptr_null(b.ptr);
	ck_assert(!b.failed);
	buf_text(&b, "good again");
	ck_assert(span_is(text_of(&b), "good again"));
	ck_assert(!buf_reserve(&b, SIZE_MAX / 2));
	buf_clear(&b);
	ck_assert(!b.failed);
	buf_free(&b);
}
END_TEST

START_TEST(what_is_taken_ends_with_a_nul_that_is_not_counted)
{
	struct buf b = BUF_EMPTY;
	size_t len = 99;
	char *empty = buf_take(&b, &len);
	ck_assert_str_eq(empty, "");
	ck_assert_uint_eq(len, 0);
	for (int i = 0; i < 128; i++)
		buf_char(&b, 'x'); /* exactly the first capacity */
	char *full = buf_take(&b, &len);
	ck_assert_uint_eq(len, 128);
	ck_assert_uint_eq(strlen(full), 128);
	ck_assert_ptr_null(b.ptr);
	free(empty);
	free(full);
}
END_TEST

/* ---- JSON strings ---- */

static const struct {
	const char *in, *out;
} strings[] = {
        {"", "\"\""},
        {"plain / text", "\"plain / text\""},
        {"\"\\\b\f\n\r\t", "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xe2\x80\xa8"
         "b\xe2\x80\xa9",
         "\"a\\u2028b\\u2029\""},
        {"\xe2\x80\xaa", "\"\xe2\x80\xaa\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"a\xc3", "\"a\xef\xbf\xbd\""},
        {"\xc3(", "\"\xef\xbf\xbd(\""},
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf0\x9f\x98", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
};

START_TEST(a_json_string_is_escaped)
{
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		struct buf b = BUF_EMPTY;
		buf_json_string(&b, span_of(strings[i].in));
		ck_assert_msg(span_is(text_of(&b), strings[i].out), "%zu: %.*s", i, (int)b.len, b.ptr);
		buf_free(&b);
	}
	struct buf b = BUF_EMPTY;
	buf_json_string(&b, (struct span){"a\0b", 3});
	buf_json_string(&b, (struct span){NULL, 0});
	ck_assert(span_is(text_of(&b), "\"a\\u0000b\"\"\""));
	buf_free(&b);
}
END_TEST

START_TEST(any_bytes_become_a_string_that_a_json_reader_takes)
{
	unsigned seed = 12345;
	for (int round = 0; round < 20000; round++) {
		char bytes[24];
		struct buf b = BUF_EMPTY;
		size_t len = (size_t)round % sizeof(bytes);
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245u + 12345u;
			bytes[i] = (char)(seed >> 16);
			bytes[i] = bytes[i] ? bytes[i] : 1;
		}
		buf_json_string(&b, (struct span){bytes, len});
		json_t *read = json_loadb(b.ptr, b.len, JSON_DECODE_ANY, NULL);
		ck_assert_msg(json_is_string(read), "%.*s", (int)b.len, b.ptr);
		json_decref(read);
		for (size_t i = 0; i < b.len; i++) /* nothing that could begin a new line */
			ck_assert_int_ge((unsigned char)b.ptr[i], ' ');
		buf_free(&b);
	}
}
END_TEST

START_TEST(a_long_print_fits)
{
	struct buf b = BUF_EMPTY;
	char *text = malloc(70001);
	memset(text, 'q', 70000);
	text[70000] = '\0';
	buf_printf(&b, "<%s>", text);
	ck_assert_uint_eq(b.len, 70002);
	ck_assert_int_eq(b.ptr[70001], '>');
	free(text);
	buf_free(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_is_appended_stands_in_order);
	tcase_add_test(t, numbers_are_written_to_their_ends);
	tcase_add_test(t, it_grows_by_any_step_and_keeps_what_it_has);
	tcase_add_test(t, a_failed_allocation_is_remembered);
	tcase_add_test(t, what_is_taken_ends_with_a_nul_that_is_not_counted);
	tcase_add_test(t, a_json_string_is_escaped);
	tcase_add_test(t, any_bytes_become_a_string_that_a_json_reader_takes);
	tcase_add_test(t, a_long_print_fits);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
