/* test_inbox_existing.c - what stands on the disk already: unreadable, of another version, at its limits */
#include "inbox_util.h"

START_TEST(what_is_not_readable_json_is_kept_and_a_new_document_begun)
{
	static const char *const bad[] = {"",
	                                  "{",
	                                  "not json",
	                                  "[1]",
	                                  "{\"a\":1,\"a\":2}",
	                                  "{\"a\":\"\\u0000\"}",
	                                  "{\"version\":1,\"shards\":7}",
	                                  "{\"version\":1,\"trace_id\":\"other\"}",
	                                  "{\"a\":\xff}",
	                                  "{\"version\":1,\"tenant\":[]}"};
	struct inbox *i = inbox_start(NULL);
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
		char name[40], prefix[60];
		snprintf(name, sizeof(name), "t%zu.json", k);
		inbox_put(name, bad[k], strlen(bad[k]));
		snprintf(prefix, sizeof(prefix), "%s.corrupt-", name);
		*strrchr(name, '.') = '\0';
		struct inbox_result r = inbox_write_as(i, "default", name, inbox_shard(name, 0));
		ck_assert_msg(r.status == INBOX_OK && r.shards_written == 1, "%s: %s", bad[k],
		              inbox_status_name(r.status));
		ck_assert_msg(inbox_count(prefix) == 1, "%s", bad[k]);
		ck_assert_uint_eq(inbox_shards(name), 1);
	}
	struct inbox_stats stats;
	inbox_stats(i, &stats);
	ck_assert_uint_eq(stats.corrupt, sizeof(bad) / sizeof(bad[0]));
	ck_assert_int_eq(inbox_count(".tmp"), 0);
	inbox_close(i);
}
END_TEST

START_TEST(deeper_than_33_levels_is_corrupt)
{
	char text[200] = "{\"version\":1,\"x\":";
	for (int k = 0; k < 33; k++)
		strcat(text, "[");
	for (int k = 0; k < 33; k++)
		strcat(text, "]");
	strcat(text, "}");
	inbox_put("deep.json", text, strlen(text));
	struct inbox *i = inbox_start(NULL);
	ck_assert_int_eq(inbox_write_as(i, "default", "deep", "[{}]").status, INBOX_OK);
	ck_assert_int_eq(inbox_count("deep.json.corrupt-"), 1);
	inbox_close(i);
}
END_TEST

static int64_t frozen_wall(const struct clock *c)
{
	(void)c;
	return 1700000000000;
}

static int64_t frozen_mono(const struct clock *c)
{
	(void)c;
	return 1;
}

START_TEST(two_corruptions_in_the_same_millisecond_are_both_kept)
{
	static const struct clock frozen = {frozen_wall, frozen_mono};
	struct inbox_options options = {.dir = inbox_path, .clock = &frozen};
	struct inbox *i = inbox_open(&options, NULL);
	for (int k = 0; k < 3; k++) {
		char text[20];
		snprintf(text, sizeof(text), "broken %d", k);
		inbox_put("c.json", text, strlen(text));
		ck_assert_int_eq(inbox_write_as(i, "default", "c", "[{}]").status, INBOX_OK);
	}
	inbox_close(i);
	for (int k = 0; k < 3; k++) {
		char name[60], expected[20];
		snprintf(name, sizeof(name), "c.json.corrupt-%lld", 1700000000000LL + k);
		snprintf(expected, sizeof(expected), "broken %d", k);
		char *text = inbox_get(name);
		ck_assert_ptr_nonnull(text);
		ck_assert_str_eq(text, expected);
		free(text);
	}
}
END_TEST

START_TEST(an_unknown_version_is_left_alone)
{
	static const char *const unknown[] = {"{\"version\":2,\"shards\":{}}", "{\"version\":\"1\"}", "{}",
	                                      "{\"version\":1.0}"};
	struct inbox *i = inbox_start(NULL);
	for (size_t k = 0; k < sizeof(unknown) / sizeof(unknown[0]); k++) {
		inbox_put("v.json", unknown[k], strlen(unknown[k]));
		ck_assert_int_eq(inbox_write_as(i, "default", "v", "[{}]").status, INBOX_BAD_VERSION);
		char *text = inbox_get("v.json");
		ck_assert_str_eq(text, unknown[k]);
		free(text);
	}
	ck_assert_int_eq(inbox_count("v.json.corrupt"), 0);
	ck_assert_int_eq(inbox_count(".tmp"), 0);
	inbox_close(i);
}
END_TEST

START_TEST(a_document_grows_to_4096_shards)
{
	struct inbox *i = inbox_start(NULL);
	static char text[4096 * 16];
	size_t at = 0;
	for (int k = 0; k < 4096; k++)
		at += (size_t)sprintf(text + at, "%s{\"index\":%d}", k ? "," : "[", k);
	strcpy(text + at, "]");
	ck_assert_int_eq(inbox_write_as(i, "default", "t", text).shards_written, 4096);
	ck_assert_int_eq(inbox_write_as(i, "default", "t", "[{\"index\":4096}]").status, INBOX_TOO_LARGE);
	ck_assert_int_eq(inbox_write_as(i, "default", "t", "[{\"index\":7}]").status, INBOX_OK);
	ck_assert_uint_eq(inbox_shards("t"), 4096);
	inbox_close(i);
}
END_TEST

START_TEST(a_document_grows_to_8_mib)
{
	struct inbox *i = inbox_start(NULL);
	size_t big = 3 * 1024 * 1024;
	char *text = malloc(big + 100);
	for (int k = 0; k < 3; k++) {
		size_t at = (size_t)sprintf(text, "[{\"index\":%d,\"x\":\"", k);
		memset(text + at, 'x', big);
		strcpy(text + at + big, "\"}]");
		ck_assert_int_eq(inbox_write_as(i, "default", "t", text).status, k < 2 ? INBOX_OK : INBOX_TOO_LARGE);
	}
	free(text);
	ck_assert_uint_eq(inbox_shards("t"), 2);
	ck_assert_int_eq(inbox_write_as(i, "default", "t", "[{\"index\":9}]").status, INBOX_OK);
	char *huge = malloc(INBOX_MAX_DOCUMENT_BYTES + 1);
	memset(huge, ' ', INBOX_MAX_DOCUMENT_BYTES + 1);
	inbox_put("huge.json", huge, INBOX_MAX_DOCUMENT_BYTES + 1);
	free(huge);
	ck_assert_int_eq(inbox_write_as(i, "default", "huge", "[{}]").status, INBOX_TOO_LARGE);
	inbox_close(i);
}
END_TEST

START_TEST(shards_too_deep_to_be_read_again_are_refused)
{
	struct inbox *i = inbox_start(NULL);
	char text[200];
	for (int levels = 29; levels <= 31; levels++) {
		size_t at = (size_t)sprintf(text, "[{\"index\":%d,\"x\":", levels);
		for (int k = 0; k < levels; k++)
			text[at++] = '[';
		for (int k = 0; k < levels; k++)
			text[at++] = ']';
		strcpy(text + at, "}]");
		ck_assert_int_eq(inbox_write_as(i, "default", "t", text).status,
		                 levels <= 30 ? INBOX_OK : INBOX_TOO_LARGE);
	}
	ck_assert_int_eq(inbox_write_as(i, "default", "t", "[{}]").status, INBOX_OK);
	ck_assert_int_eq(inbox_count("t.json.corrupt"), 0);
	inbox_close(i);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inbox_existing");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, inbox_dir_make, inbox_dir_remove);
	tcase_add_test(tc, what_is_not_readable_json_is_kept_and_a_new_document_begun);
	tcase_add_test(tc, deeper_than_33_levels_is_corrupt);
	tcase_add_test(tc, two_corruptions_in_the_same_millisecond_are_both_kept);
	tcase_add_test(tc, an_unknown_version_is_left_alone);
	tcase_add_test(tc, a_document_grows_to_4096_shards);
	tcase_add_test(tc, a_document_grows_to_8_mib);
	tcase_add_test(tc, shards_too_deep_to_be_read_again_are_refused);
	suite_add_tcase(suite, tc);
	return inbox_run(suite);
}
