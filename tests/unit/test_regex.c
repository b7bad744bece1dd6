/*
 * test_regex - what base/regex promises: caseless Unicode matching, the ASCII
 * compilation that never differs, limits that end in an error, replacement
 */
#include <check.h>
#include <stdlib.h>

#include "simlane/clock.h"
#include "simlane/regex.h"

static struct regex *must_compile(const char *pattern)
{
	struct fault fault = {""};
	struct regex *r = regex_compile(span_of(pattern), &fault);

	ck_assert_msg(r != NULL, "%s: %s", pattern, fault.text);
	return r;
}

static enum regex_result match(const char *pattern, const char *subject, bool ascii)
{
	struct regex *r = must_compile(pattern);
	struct regex_scratch *s = regex_scratch_new();
	enum regex_result result = regex_match(r, s, span_of(subject), ascii);

	regex_scratch_free(s);
	regex_free(r);
	return result;
}

START_TEST(patterns_are_caseless_unicode_and_dot_matches_newline)
{
	ck_assert_int_eq(match("\\bdrop\\b.*\\ball\\b", "DROP\n\nit ALL", true), REGEX_MATCH);
	ck_assert_int_eq(match("\\bdrop\\b.*\\ball\\b", "DROP\n\nit ALL", false), REGEX_MATCH);
	ck_assert_int_eq(match("straße", "STRAßE", false), REGEX_MATCH);
	ck_assert_int_eq(match("ПРАВДА", "правда", false), REGEX_MATCH);
	ck_assert_int_eq(match("^.$", "\xF0\x9F\x98\x80", false), REGEX_MATCH);
	ck_assert_int_eq(match("\\bdrop\\b", "кdrop", false), REGEX_NO_MATCH);
	ck_assert_int_eq(match("\\bdrop\\b", "dropped", true), REGEX_NO_MATCH);
	ck_assert_int_eq(match("a", "", true), REGEX_NO_MATCH);
}
END_TEST

START_TEST(an_empty_or_absent_subject_is_fine)
{
	struct regex *r = must_compile("^$");
	struct regex_scratch *s = regex_scratch_new();

	ck_assert_int_eq(regex_match(r, s, (struct span){NULL, 0}, true), REGEX_MATCH);
	ck_assert_int_eq(regex_match(r, s, (struct span){"", 0}, false), REGEX_MATCH);
	regex_scratch_free(s);
	regex_free(r);
}
END_TEST

START_TEST(the_ascii_compilation_agrees_with_the_unicode_one)
{
	static const char *const patterns[] = {
	        "\\bdrop\\b.*\\ball\\b",
	        "\\w+\\s\\d",
	        "[[:punct:]]x",
	        "[^a-z]",
	        "\\x41",
	        "\\p{Lu}",
	        "k",
	        "\\R",
	        "\\h\\v",
	        "[[:graph:]]{3}",
	        "\\Bs",
	        "\\X",
	        "ſ",
	        "a|b",
	        "\\N+$",
	};
	static const char alphabet[] = "aAkKsS09 _-.\n\t\r\v!$+<=>^`|~\x1f\x7f";
	struct regex_scratch *s = regex_scratch_new();
	unsigned seed = 12345;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct regex *r = must_compile(patterns[i]);
		for (int round = 0; round < 3000; round++) {
			char subject[12];
			size_t len = (size_t)(rand_r(&seed) % (int)sizeof(subject));
			for (size_t k = 0; k < len; k++)
				subject[k] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
			ck_assert_int_eq(regex_match(r, s, (struct span){subject, len}, true),
			                 regex_match(r, s, (struct span){subject, len}, false));
		}
		regex_free(r);
	}
	regex_scratch_free(s);
}
END_TEST

START_TEST(a_bad_pattern_is_refused_with_its_reason)
{
	static const char *const bad[] = {"(", "a)", "[z-a]", "*a", "\\", "(?<n", "\\C", "(?<=a+)b", "\xff"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fault fault = {""};
		ck_assert_ptr_null(regex_compile(span_of(bad[i]), &fault));
		ck_assert_msg(fault.text[0] != '\0', "%s", bad[i]);
	}
}
END_TEST

START_TEST(a_pattern_that_escapes_the_jit_is_refused)
{
	struct fault fault = {""};

	ck_assert_ptr_null(regex_compile(span_of("(*NO_JIT)a"), &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, "JIT"));
}
END_TEST

START_TEST(a_match_that_hits_the_limit_is_an_error_not_a_miss)
{
	char subject[600];

	memset(subject, 'a', sizeof(subject) - 1);
	subject[sizeof(subject) - 1] = '\0';
	ck_assert_int_eq(match("(a+)+[bc]$", subject, true), REGEX_ERROR);
	ck_assert_int_eq(match("(a+)+[bc]$", subject, false), REGEX_ERROR);
}
END_TEST

START_TEST(the_shortest_subject_is_known)
{
	struct regex *r = must_compile("\\b(drop|delete)\\b.*\\b(all|full)\\b");

	ck_assert_uint_eq(regex_shortest(r), 7);
	regex_free(r);
}
END_TEST

START_TEST(find_says_where)
{
	struct regex *r = must_compile("all");
	struct regex_scratch *s = regex_scratch_new();
	size_t at = 0, len = 0;

	ck_assert_int_eq(regex_find(r, s, span_of("ж all"), false, &at, &len), REGEX_MATCH);
	ck_assert_uint_eq(at, 3);
	ck_assert_uint_eq(len, 3);
	regex_scratch_free(s);
	regex_free(r);
}
END_TEST

static void replaced(const char *pattern, const char *subject, const char *literal, const char *want)
{
	struct regex *r = must_compile(pattern);
	struct regex_scratch *s = regex_scratch_new();
	struct buf out = BUF_EMPTY;
	enum regex_result result = regex_replace(r, s, span_of(subject), literal, &out);

	ck_assert_int_eq(result, strcmp(subject, want) == 0 ? REGEX_NO_MATCH : REGEX_MATCH);
	ck_assert_uint_eq(out.len, strlen(want));
	ck_assert_msg(out.len == 0 || memcmp(out.ptr, want, out.len) == 0, "%.*s", (int)out.len, out.ptr);
	buf_free(&out);
	regex_scratch_free(s);
	regex_free(r);
}

#define EMAIL "\\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\\.[A-Z]{2,}\\b"
#define PHONE "\\b(\\+?\\d{1,3})?[-.\\s]?\\(?\\d{2,4}\\)?[-.\\s]?\\d{3,4}[-.\\s]?\\d{3,4}\\b"

START_TEST(replace_replaces_every_match_and_nothing_else)
{
	replaced(EMAIL, "a@b.co, and Ünal c.d@e.example.org!", "[email]", "[email], and Ünal [email]!");
	replaced(EMAIL, "nobody here", "[email]", "nobody here");
	replaced(EMAIL, "", "[email]", "");
	replaced(PHONE, "call 555-123-4567 or 030 1234 5678.", "[phone]", "call[phone] or[phone].");
	replaced("a\\Kb", "xabx", "-", "xa-x");
	replaced("x*", "axxb", "-", "a-b");
	replaced("ж", "aжжb", "", "ab");
}
END_TEST

START_TEST(replace_finds_a_match_that_crosses_its_own_steps)
{
	char subject[2100], want[2100];

	for (size_t pad = 490; pad < 530; pad++) {
		memset(subject, ' ', pad);
		strcpy(subject + pad, "жжsomebody@example.org");
		memset(want, ' ', pad);
		strcpy(want + pad, "жж[email]");
		replaced("(?<=ж)[a-z]+@[a-z.]+", subject, "[email]", want);
	}
}
END_TEST

START_TEST(replace_keeps_to_its_time)
{
	size_t len = 256 * 1024;
	char *subject = malloc(len);
	struct regex *r = must_compile(EMAIL);
	struct regex_scratch *s = regex_scratch_new();
	struct buf out = BUF_EMPTY;
	int64_t start_us;

	for (size_t i = 0; i < len; i++)
		subject[i] = i % 2 ? '.' : 'a';
	start_us = clock_mono_us(&clock_system);
	regex_scratch_budget(s, 20000);
	ck_assert_int_eq(regex_replace(r, s, (struct span){subject, len}, "[email]", &out), REGEX_ERROR);
	ck_assert_int_lt(clock_mono_us(&clock_system) - start_us, 5000000);
	buf_free(&out);
	regex_scratch_free(s);
	regex_free(r);
	free(subject);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("regex");
	TCase *tc = tcase_create("promises");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, patterns_are_caseless_unicode_and_dot_matches_newline);
	tcase_add_test(tc, an_empty_or_absent_subject_is_fine);
	tcase_add_test(tc, the_ascii_compilation_agrees_with_the_unicode_one);
	tcase_add_test(tc, a_bad_pattern_is_refused_with_its_reason);
	tcase_add_test(tc, a_pattern_that_escapes_the_jit_is_refused);
	tcase_add_test(tc, a_match_that_hits_the_limit_is_an_error_not_a_miss);
	tcase_add_test(tc, the_shortest_subject_is_known);
	tcase_add_test(tc, find_says_where);
	tcase_add_test(tc, replace_replaces_every_match_and_nothing_else);
	tcase_add_test(tc, replace_finds_a_match_that_crosses_its_own_steps);
	tcase_add_test(tc, replace_keeps_to_its_time);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
