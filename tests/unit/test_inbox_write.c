/* test_inbox_write.c - the inbox as its callers see it: what is kept, for whom, and what lies in the directory */
#include <poll.h>

#include "inbox_util.h"
#include "simlane/regex.h"

START_TEST(a_write_makes_the_document_of_the_contract)
{
	struct inbox *i = inbox_start(NULL);
	int64_t before = clock_wall_ms(&clock_system);
	struct inbox_result r = inbox_write_as(i, "acme", TRACE, inbox_shard(TRACE, 0));
	ck_assert_int_eq(r.status, INBOX_OK);
	ck_assert_int_eq(r.shards_written, 1);
	char *text = inbox_get(TRACE ".json");
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(r.bytes, (int64_t)strlen(text));
	json_t *doc = inbox_document(TRACE);
	int64_t saved = json_integer_value(json_object_get(doc, "saved_ts"));
	ck_assert_int_ge(saved, before);
	ck_assert_int_le(saved, clock_wall_ms(&clock_system));
	char expected[1024];
	snprintf(expected, sizeof(expected),
	         "{\"trace_id\":\"" TRACE "\",\"tenant\":\"acme\",\"saved_ts\":%lld,\"seed\":" SEED ",\"shards\":%s,"
	         "\"version\":1,\"schema_ref\":\"lukhas://schemas/matada_node_v1.json\"}",
	         (long long)saved, inbox_shard(TRACE, 0));
	ck_assert_str_eq(text, expected);
	json_decref(doc);
	free(text);
	inbox_close(i);
	ck_assert_int_eq(inbox_count(""), 1 + inbox_count(".lock."));
}
END_TEST

START_TEST(the_result_names_the_file)
{
	struct inbox *i = inbox_start(NULL);
	struct claims claims = inbox_claims("default");
	struct inbox_write request = inbox_request(&claims, "t.1", inbox_shard("t.1", 0));
	struct inbox_wait w;
	inbox_wait_init(&w);
	inbox_write(i, &request, inbox_wait_done, &w);
	ck_assert_str_eq(inbox_wait_for(&w).file, "t.1.json");
	inbox_close(i);
}
END_TEST

START_TEST(a_second_write_merges_and_moves_saved_ts)
{
	struct inbox *i = inbox_start(NULL);
	ck_assert_int_eq(inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 0)).shards_written, 1);
	json_t *first = inbox_document(TRACE);
	poll(NULL, 0, 3);
	struct inbox_result r = inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 1));
	ck_assert_int_eq(r.status, INBOX_OK);
	ck_assert_int_eq(r.shards_written, 1);
	json_t *second = inbox_document(TRACE);
	ck_assert_uint_eq(json_array_size(json_object_get(second, "shards")), 2);
	ck_assert_int_gt(json_integer_value(json_object_get(second, "saved_ts")),
	                 json_integer_value(json_object_get(first, "saved_ts")));
	json_decref(first);
	json_decref(second);
	inbox_close(i);
}
END_TEST

START_TEST(the_same_shard_again_is_ok_and_writes_none)
{
	struct inbox *i = inbox_start(NULL);
	inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 0));
	struct inbox_result r = inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 0));
	ck_assert_int_eq(r.status, INBOX_OK);
	ck_assert_int_eq(r.shards_written, 0);
	ck_assert_uint_eq(inbox_shards(TRACE), 1);
	inbox_close(i);
}
END_TEST

/* Many writes at once, several to each trace, so that batches hold them together. */
START_TEST(concurrent_writes_lose_nothing)
{
	enum { TRACES = 20, EACH = 10 };
	static struct inbox_wait waits[TRACES][EACH];
	static char names[TRACES][32], texts[TRACES][EACH][128];
	struct inbox *i = inbox_start(NULL);
	struct claims claims = inbox_claims("default");
	for (int t = 0; t < TRACES; t++)
		snprintf(names[t], sizeof(names[t]), "trace-%d", t);
	for (int k = 0; k < EACH; k++) {
		for (int t = 0; t < TRACES; t++) {
			snprintf(texts[t][k], sizeof(texts[t][k]), "[{\"index\":%d}]", k);
			struct inbox_write request = inbox_request(&claims, names[t], texts[t][k]);
			inbox_wait_init(&waits[t][k]);
			inbox_write(i, &request, inbox_wait_done, &waits[t][k]);
		}
	}
	for (int t = 0; t < TRACES; t++) {
		for (int k = 0; k < EACH; k++) {
			struct inbox_result r = inbox_wait_for(&waits[t][k]);
			ck_assert_int_eq(r.status, INBOX_OK);
			ck_assert_int_eq(r.shards_written, 1);
		}
		json_t *doc = inbox_document(names[t]), *shard;
		size_t at;
		ck_assert_uint_eq(json_array_size(json_object_get(doc, "shards")), EACH);
		json_array_foreach(json_object_get(doc, "shards"), at, shard)
		        ck_assert_int_eq(json_integer_value(json_object_get(shard, "index")), (json_int_t)at);
		json_decref(doc);
	}
	struct inbox_stats stats;
	inbox_stats(i, &stats);
	ck_assert_uint_eq(stats.writes, TRACES * EACH);
	ck_assert_uint_eq(stats.shards, TRACES * EACH);
	ck_assert_uint_eq(stats.failures, 0);
	inbox_close(i);
}
END_TEST

START_TEST(another_tenants_trace_is_taken)
{
	struct inbox *i = inbox_start(NULL);
	inbox_write_as(i, "acme", TRACE, inbox_shard(TRACE, 0));
	char *before = inbox_get(TRACE ".json");
	ck_assert_int_eq(inbox_write_as(i, "other", TRACE, inbox_shard(TRACE, 1)).status, INBOX_TRACE_TAKEN);
	char *after = inbox_get(TRACE ".json");
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	inbox_close(i);
}
END_TEST

static bool says_no(void *ctx, const struct claims *claims)
{
	(void)ctx;
	(void)claims;
	return false;
}

START_TEST(the_writer_checks_the_claims_itself)
{
	struct inbox *i = inbox_start(NULL);
	struct claims claims = inbox_claims("default");
	struct inbox_write request = inbox_request(&claims, TRACE, inbox_shard(TRACE, 0));
	claims.scopes = SCOPE_SCHEDULE | SCOPE_COLLECT;
	ck_assert_int_eq(inbox_write_wait(i, &request).status, INBOX_FORBIDDEN);
	claims.scopes = SCOPE_INBOX;
	claims.expires_ms = clock_wall_ms(&clock_system) - 1;
	ck_assert_int_eq(inbox_write_wait(i, &request).status, INBOX_EXPIRED);
	claims.skew_ms = 30000;
	ck_assert_int_eq(inbox_write_wait(i, &request).status, INBOX_OK);
	inbox_close(i);
	struct inbox_options options = {.dir = inbox_path, .clock = &clock_system, .authorize = says_no};
	i = inbox_open(&options, NULL);
	ck_assert_int_eq(inbox_write_as(i, "default", "t2", inbox_shard("t2", 0)).status, INBOX_REVOKED);
	inbox_close(i);
	ck_assert_int_ne(access(inbox_file_path("t2.json"), F_OK), 0);
}
END_TEST

START_TEST(only_valid_trace_ids_become_file_names)
{
	static const char *const bad[] = {"", ".", "..", "../x", "a/b", ".lock.00", ".tmp.x", "-a", "a b", "\xc3\xa4"};
	struct inbox *i = inbox_start(NULL);
	char longest[140];
	int before = inbox_count("");
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
		ck_assert_int_eq(inbox_write_as(i, "default", bad[k], "[{}]").status, INBOX_UNAVAILABLE);
	memset(longest, 'a', sizeof(longest));
	longest[129] = '\0';
	ck_assert_int_eq(inbox_write_as(i, "default", longest, "[{}]").status, INBOX_UNAVAILABLE);
	ck_assert_int_eq(inbox_count(""), before);
	longest[128] = '\0';
	ck_assert_int_eq(inbox_write_as(i, "default", longest, "[{}]").status, INBOX_OK);
	inbox_close(i);
}
END_TEST

/* ---- the directory ---- */

static mode_t mode_of(const char *path)
{
	struct stat st;
	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void modes_hold(mode_t mask)
{
	char deep[400], document[500];
	mode_t before = umask(mask);
	snprintf(deep, sizeof(deep), "%s/a/b", inbox_path);
	struct inbox_options options = {.dir = deep, .clock = &clock_system};
	struct fault fault = {""};
	struct inbox *i = inbox_open(&options, &fault);
	ck_assert_msg(i != NULL, "%s", fault.text);
	ck_assert_int_eq(inbox_write_as(i, "default", "t", "[{}]").status, INBOX_OK);
	inbox_close(i);
	umask(before);
	snprintf(document, sizeof(document), "%s/t.json", deep);
	ck_assert_uint_eq(mode_of(document), 0640);
	unlink(document);
	snprintf(document, sizeof(document), "%s/.lock.00", deep);
	ck_assert_uint_eq(mode_of(document), 0640);
	ck_assert_uint_eq(mode_of(deep), 0750);
	*strrchr(deep, '/') = '\0';
	ck_assert_uint_eq(mode_of(deep), 0750);
	snprintf(deep, sizeof(deep), "rm -rf '%s/a'", inbox_path);
	ck_assert_int_eq(system(deep), 0);
}

START_TEST(files_are_0640_and_directories_0750_whatever_the_umask)
{
	modes_hold(0);
	modes_hold(0777);
	modes_hold(022);
}
END_TEST

START_TEST(a_planted_symbolic_link_is_never_followed)
{
	char target[600];
	snprintf(target, sizeof(target), "%s", inbox_file_path("victim"));
	inbox_put("victim", "{}", 2);
	ck_assert_int_eq(symlink(target, inbox_file_path(TRACE ".json")), 0);
	ck_assert_int_eq(symlink("nowhere", inbox_file_path("t2.json")), 0);
	struct inbox *i = inbox_start(NULL);
	ck_assert_int_eq(inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 0)).status, INBOX_UNAVAILABLE);
	ck_assert_int_eq(inbox_write_as(i, "default", "t2", inbox_shard("t2", 0)).status, INBOX_UNAVAILABLE);
	inbox_close(i);
	char *text = inbox_get("victim");
	ck_assert_str_eq(text, "{}");
	free(text);
	ck_assert_int_ne(access(inbox_file_path("nowhere"), F_OK), 0);
	ck_assert_int_eq(inbox_count(".tmp"), 0);
}
END_TEST

START_TEST(a_planted_lock_link_stops_the_start)
{
	struct fault fault = {""};
	ck_assert_int_eq(symlink("victim", inbox_file_path(".lock.03")), 0);
	struct inbox_options options = {.dir = inbox_path, .clock = &clock_system};
	ck_assert_ptr_null(inbox_open(&options, &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, ".lock.03"));
	ck_assert_int_ne(access(inbox_file_path("victim"), F_OK), 0);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
	ck_assert_int_eq(mkfifo(inbox_file_path("fifo.json"), 0600), 0);
	ck_assert_int_eq(mkdir(inbox_file_path("dir.json"), 0700), 0);
	struct inbox *i = inbox_start(NULL);
	ck_assert_int_eq(inbox_write_as(i, "default", "fifo", "[{}]").status, INBOX_UNAVAILABLE);
	ck_assert_int_eq(inbox_write_as(i, "default", "dir", "[{}]").status, INBOX_UNAVAILABLE);
	inbox_close(i);
	ck_assert_int_eq(inbox_count(".tmp"), 0);
}
END_TEST

START_TEST(a_directory_that_cannot_be_is_a_fault_that_names_it)
{
	struct fault fault = {""};
	inbox_put("plain", "x", 1);
	char path[700];
	snprintf(path, sizeof(path), "%s/sub", inbox_file_path("plain"));
	struct inbox_options options = {.dir = path, .clock = &clock_system};
	ck_assert_ptr_null(inbox_open(&options, &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, path));
}
END_TEST

/* ---- start and end ---- */

START_TEST(the_dead_ones_temporary_files_are_purged_and_nothing_else)
{
	inbox_put(".tmp.0123456789abcdef.1", "x", 1);
	inbox_put(".tmp.0123456789abcdef.ffff", "x", 1);
	inbox_put(".tmp.notours", "x", 1);
	inbox_put("doc.json.tmp", "x", 1);
	inbox_put("t.json", "{\"version\":1}", 13);
	struct inbox *i = inbox_start(NULL);
	ck_assert_int_eq(inbox_count(".tmp.0"), 0);
	ck_assert_int_eq(inbox_count(".tmp.notours"), 1);
	ck_assert_int_eq(inbox_count("doc.json.tmp"), 1);
	ck_assert_int_eq(inbox_count("t.json"), 1);
	inbox_close(i);
}
END_TEST

START_TEST(closing_writes_what_waits)
{
	enum { N = 300 };
	static struct inbox_wait waits[N];
	static char names[N][16];
	struct inbox *i = inbox_start(NULL);
	struct claims claims = inbox_claims("default");
	for (int k = 0; k < N; k++) {
		snprintf(names[k], sizeof(names[k]), "t%d", k);
		struct inbox_write request = inbox_request(&claims, names[k], "[{}]");
		inbox_wait_init(&waits[k]);
		inbox_write(i, &request, inbox_wait_done, &waits[k]);
	}
	inbox_close(i);
	for (int k = 0; k < N; k++) {
		ck_assert_int_eq(waits[k].done, 1);
		ck_assert_int_eq(waits[k].result.status, INBOX_OK);
		ck_assert_uint_eq(inbox_shards(names[k]), 1);
	}
}
END_TEST

START_TEST(a_full_queue_refuses_at_once)
{
	enum { N = 400 };
	static struct inbox_wait waits[N];
	struct claims claims = inbox_claims("default");
	struct inbox_options options = {.dir = inbox_path, .clock = &clock_system, .queue_max = 2};
	struct inbox *i = inbox_open(&options, NULL);
	int refused = 0;
	for (int k = 0; k < N; k++) {
		struct inbox_write request = inbox_request(&claims, TRACE, "[{}]");
		inbox_wait_init(&waits[k]);
		inbox_write(i, &request, inbox_wait_done, &waits[k]);
	}
	inbox_close(i);
	for (int k = 0; k < N; k++) {
		ck_assert_int_eq(waits[k].done, 1);
		refused += waits[k].result.status == INBOX_UNAVAILABLE;
	}
	ck_assert_int_gt(refused, 0);
	ck_assert_int_lt(refused, N);
	ck_assert_uint_eq(inbox_shards(TRACE), 1);
}
END_TEST

START_TEST(the_check_tells_whether_the_directory_can_be_written)
{
	struct inbox *i = inbox_start(NULL);
	ck_assert(inbox_check(i));
	ck_assert_int_eq(inbox_count(".tmp"), 0);
	inbox_close(i);
}
END_TEST

START_TEST(redaction_is_of_the_stored_text_and_keeps_shards_the_same)
{
	struct fault fault = {""};
	struct regex *email = regex_compile(span_of("\\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\\.[A-Z]{2,}\\b"), &fault);
	ck_assert_msg(email != NULL, "%s", fault.text);
	struct regex *phone = regex_compile(
	        span_of("\\b(\\+?\\d{1,3})?[-.\\s]?\\(?\\d{2,4}\\)?[-.\\s]?\\d{3,4}[-.\\s]?\\d{3,4}\\b"), &fault);
	ck_assert_msg(phone != NULL, "%s", fault.text);
	struct inbox_options options = {.dir = inbox_path, .clock = &clock_system, .redact = true};
	struct inbox *i = inbox_open(&options, &fault);
	struct claims claims = inbox_claims("default");
	struct inbox_write w = {.claims = &claims,
	                        .trace_id = "t",
	                        .seed = span_of("{\"goal\":\"write to joe@example.org\",\"constraints\":"
	                                        "{\"flags\":{\"api_key\":{\"a\":1}}}}"),
	                        .shards = span_of("[{\"trace_id\":\"LT-1700000000000-0123abcd\",\"index\":0,"
	                                          "\"timestamp\":\"1700000000000\",\"tel\":\"call 555-123-4567\"}]"),
	                        .redact_email = email,
	                        .redact_phone = phone};
	ck_assert_int_eq(inbox_write_wait(i, &w).shards_written, 1);
	ck_assert_int_eq(inbox_write_wait(i, &w).shards_written, 0);
	inbox_close(i);
	char *text = inbox_get("t.json");
	ck_assert_ptr_nonnull(strstr(text, "\"seed\":{\"goal\":\"write to [email]\",\"ul_tags\":[],\"constraints\":"
	                                   "{\"flags\":{\"api_key\":\"***REDACTED***\"}}}"));
	ck_assert_ptr_nonnull(strstr(text, "{\"trace_id\":\"LT-1700000000000-0123abcd\",\"index\":0,"
	                                   "\"timestamp\":\"1700000000000\",\"tel\":\"call[phone]\"}"));
	free(text);
	regex_free(email);
	regex_free(phone);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inbox_write");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, inbox_dir_make, inbox_dir_remove);
	tcase_add_test(tc, a_write_makes_the_document_of_the_contract);
	tcase_add_test(tc, the_result_names_the_file);
	tcase_add_test(tc, a_second_write_merges_and_moves_saved_ts);
	tcase_add_test(tc, the_same_shard_again_is_ok_and_writes_none);
	tcase_add_test(tc, concurrent_writes_lose_nothing);
	tcase_add_test(tc, another_tenants_trace_is_taken);
	tcase_add_test(tc, the_writer_checks_the_claims_itself);
	tcase_add_test(tc, only_valid_trace_ids_become_file_names);
	tcase_add_test(tc, files_are_0640_and_directories_0750_whatever_the_umask);
	tcase_add_test(tc, a_planted_symbolic_link_is_never_followed);
	tcase_add_test(tc, a_planted_lock_link_stops_the_start);
	tcase_add_test(tc, what_is_no_regular_file_is_refused);
	tcase_add_test(tc, a_directory_that_cannot_be_is_a_fault_that_names_it);
	tcase_add_test(tc, the_dead_ones_temporary_files_are_purged_and_nothing_else);
	tcase_add_test(tc, closing_writes_what_waits);
	tcase_add_test(tc, a_full_queue_refuses_at_once);
	tcase_add_test(tc, the_check_tells_whether_the_directory_can_be_written);
	tcase_add_test(tc, redaction_is_of_the_stored_text_and_keeps_shards_the_same);
	suite_add_tcase(suite, tc);
	return inbox_run(suite);
}
