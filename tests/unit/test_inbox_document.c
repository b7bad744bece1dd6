/* test_inbox_document.c - the merge, as text, and what redaction leaves of it */
#include <string.h>

#include "../../src/inbox/document.h"
#include "inbox_util.h"
#include "simlane/regex.h"

static struct document doc;
static char *made; /* the last document's text */

static void setup(void)
{
	ck_assert_int_eq(crypto_init(), 0);
	document_init(&doc);
	made = NULL;
}

static void teardown(void)
{
	document_free(&doc);
	free(made);
}

static enum inbox_status add(const char *tenant, const char *seed, const char *shards, int *written)
{
	int count;
	struct document_write w = {
	        .tenant = tenant, .seed = span_of(seed), .shards = span_of(shards), .now_ms = 42, .redactor = NULL};
	return document_add(&doc, &w, written ? written : &count);
}

static const char *text(void)
{
	struct span t = document_text(&doc);
	free(made);
	made = t.ptr ? strndup(t.ptr, t.len) : NULL;
	return made;
}

/* The document that stands on disk, one write, the document that comes of it. */
static const char *merge(const char *old, const char *shards, int *written)
{
	ck_assert_int_eq(document_begin(&doc, "t", span_of(old)), DOCUMENT_READY);
	ck_assert_int_eq(add("default", "{}", shards, written), INBOX_OK);
	return text();
}

START_TEST(the_same_identity_is_one_shard)
{
	static const struct {
		const char *shards;
		int written;
	} cases[] = {
	        {"[{\"trace_id\":\"a\",\"index\":0,\"timestamp\":1},{\"trace_id\":\"a\",\"index\":0,\"timestamp\":1}]",
	         1},
	        {"[{\"trace_id\":\"a\",\"index\":0,\"timestamp\":1},{\"trace_id\":\"b\",\"index\":0,\"timestamp\":1}]",
	         2},
	        {"[{\"trace_id\":\"a\",\"index\":0,\"timestamp\":1},{\"trace_id\":\"a\",\"index\":1,\"timestamp\":1}]",
	         2},
	        {"[{\"trace_id\":\"a\",\"index\":0,\"timestamp\":1},{\"trace_id\":\"a\",\"index\":0,\"timestamp\":2}]",
	         2},
	        {"[{\"index\":1},{\"index\":1.0},{\"index\":10e-1}]", 1},
	        {"[{\"index\":0},{\"index\":-0.0},{\"index\":0.5}]", 2},
	        {"[{\"index\":1},{\"index\":\"1\"},{\"index\":true}]", 3},
	        {"[{\"index\":null},{},{\"trace_id\":null}]", 1},
	        {"[{\"trace_id\":\"a\\u0062\"},{\"trace_id\":\"ab\"}]", 1},
	        {"[{\"trace_id\":\"a\",\"index\":\"b\"},{\"trace_id\":\"ab\",\"index\":\"\"}]", 2},
	        {"[{\"index\":9223372036854775807},{\"index\":9223372036854775808.0}]", 2},
	        {"[{\"index\":[1, 2]},{\"index\":[1,2]},{\"index\":[2,1]}]", 2},
	};
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		int written;
		ck_assert_int_eq(document_begin(&doc, "t", (struct span){NULL, 0}), DOCUMENT_READY);
		ck_assert_int_eq(add("default", "{}", cases[k].shards, &written), INBOX_OK);
		ck_assert_msg(written == cases[k].written, "%s: %d", cases[k].shards, written);
		ck_assert_int_eq(add("default", "{}", cases[k].shards, &written), INBOX_OK);
		ck_assert_msg(written == 0, "again: %s", cases[k].shards);
	}
}
END_TEST

START_TEST(the_seed_is_the_snapshot_and_nothing_more)
{
	char seed[400] = "{\"context\":{\"x\":1},\"ul_tags\":[";
	for (int k = 0; k < 25; k++)
		sprintf(seed + strlen(seed), "%s\"t%d\"", k ? "," : "", k);
	strcat(seed, "],\"goal\":\"g\",\"constraints\":{\"budgets\":{},\"flags\":{\"f\" : [1]}}}");
	document_begin(&doc, "t", (struct span){NULL, 0});
	ck_assert_int_eq(add("default", seed, "[{}]", NULL), INBOX_OK);
	ck_assert_str_eq(text(), "{\"trace_id\":\"t\",\"tenant\":\"default\",\"saved_ts\":42,\"seed\":{\"goal\":\"g\","
	                         "\"ul_tags\":[\"t0\",\"t1\",\"t2\",\"t3\",\"t4\",\"t5\",\"t6\",\"t7\",\"t8\",\"t9\","
	                         "\"t10\",\"t11\",\"t12\",\"t13\",\"t14\",\"t15\",\"t16\",\"t17\",\"t18\",\"t19\"],"
	                         "\"constraints\":{\"flags\":{\"f\":[1]}}},\"shards\":[{}],\"version\":1,"
	                         "\"schema_ref\":\"lukhas://schemas/matada_node_v1.json\"}");
}
END_TEST

START_TEST(a_seed_without_members_has_an_empty_snapshot)
{
	static const char *const seeds[] = {"{}", "{\"goal\":null,\"ul_tags\":null,\"constraints\":null}",
	                                    "{\"constraints\":{\"flags\":null}}"};
	for (size_t k = 0; k < 3; k++) {
		document_begin(&doc, "t", (struct span){NULL, 0});
		ck_assert_int_eq(add("default", seeds[k], "[{}]", NULL), INBOX_OK);
		ck_assert_ptr_nonnull(
		        strstr(text(), "\"seed\":{\"goal\":null,\"ul_tags\":[],\"constraints\":{\"flags\":{}}}"));
	}
}
END_TEST

START_TEST(unknown_members_the_seed_and_every_number_stay_as_they_were)
{
	const char *old =
	        "{ \"first\" : 1e2, \"version\":1, \"matada_nodes\":[{\"x\": 0.10}], \"seed\":{\"goal\":\"old\"},"
	        "\"saved_ts\":7,\"shards\":[ {\"n\":0.92, \"m\":1.0, \"e\":1E-7} ],\"tenant\":\"default\","
	        "\"trace_id\":\"t\",\"last\":{\"\\u00e4\":null} }";
	int written;
	ck_assert_str_eq(merge(old, "[{\"index\":5, \"r\":0.1}]", &written),
	                 "{\"first\":1e2,\"version\":1,\"matada_nodes\":[{\"x\":0.10}],\"seed\":{\"goal\":\"old\"},"
	                 "\"saved_ts\":42,\"shards\":[{\"n\":0.92,\"m\":1.0,\"e\":1E-7},{\"index\":5,\"r\":0.1}],"
	                 "\"tenant\":\"default\",\"trace_id\":\"t\",\"last\":{\"\\u00e4\":null},"
	                 "\"schema_ref\":\"lukhas://schemas/matada_node_v1.json\"}");
	ck_assert_int_eq(written, 1);
}
END_TEST

START_TEST(what_a_document_lacks_is_added)
{
	ck_assert_str_eq(
	        merge("{\"version\":1}", "[{}]", NULL),
	        "{\"version\":1,\"trace_id\":\"t\",\"tenant\":\"default\",\"saved_ts\":42,\"seed\":{\"goal\":null,"
	        "\"ul_tags\":[],\"constraints\":{\"flags\":{}}},\"shards\":[{}],"
	        "\"schema_ref\":\"lukhas://schemas/matada_node_v1.json\"}");
	ck_assert_str_eq(
	        merge("{\"shards\":null,\"seed\":null,\"tenant\":null,\"version\":1,\"schema_ref\":\"x\","
	              "\"trace_id\":\"t\"}",
	              "[{}]", NULL),
	        "{\"shards\":[{}],\"seed\":{\"goal\":null,\"ul_tags\":[],\"constraints\":{\"flags\":{}}},"
	        "\"tenant\":\"default\",\"version\":1,\"schema_ref\":\"x\",\"trace_id\":\"t\",\"saved_ts\":42}");
}
END_TEST

START_TEST(a_document_without_a_tenant_is_defaults)
{
	static const char *const olds[] = {"{\"version\":1}", "{\"version\":1,\"tenant\":null}"};
	for (size_t k = 0; k < 2; k++) {
		document_begin(&doc, "t", span_of(olds[k]));
		ck_assert_int_eq(add("acme", "{}", "[{}]", NULL), INBOX_TRACE_TAKEN);
		ck_assert_int_eq(add("default", "{}", "[{}]", NULL), INBOX_OK);
	}
	document_begin(&doc, "t", span_of("{\"version\":1,\"tenant\":\"\"}"));
	ck_assert_int_eq(add("acme", "{}", "[{}]", NULL), INBOX_TRACE_TAKEN);
	ck_assert_int_eq(add("default", "{}", "[{}]", NULL), INBOX_TRACE_TAKEN);
}
END_TEST

START_TEST(a_refused_write_leaves_no_mark)
{
	static char many[4096 * 20];
	size_t at = 0;
	int written;
	for (int k = 0; k <= 4096; k++)
		at += (size_t)sprintf(many + at, "%s{\"index\":%d}", k ? "," : "[", k);
	strcpy(many + at, "]");
	document_begin(&doc, "t", (struct span){NULL, 0});
	ck_assert_int_eq(add("acme", "{\"goal\":\"refused\"}", many, &written), INBOX_TOO_LARGE);
	ck_assert_int_eq(written, 0);
	ck_assert_ptr_null(text());
	document_begin(&doc, "t", (struct span){NULL, 0});
	ck_assert_int_eq(add("acme", "{\"goal\":\"refused\"}", many, &written), INBOX_TOO_LARGE);
	ck_assert_int_eq(add("other", "{\"goal\":\"taken\"}", "[{\"index\":3}]", &written), INBOX_OK);
	ck_assert_int_eq(add("other", "{\"goal\":\"late\"}", many, &written), INBOX_TOO_LARGE);
	ck_assert_int_eq(add("other", "{\"goal\":\"late\"}", "[{\"index\":4},{\"index\":3}]", &written), INBOX_OK);
	ck_assert_int_eq(written, 1);
	ck_assert_ptr_nonnull(strstr(text(), "\"tenant\":\"other\",\"saved_ts\":42,\"seed\":{\"goal\":\"taken\""));
	ck_assert_ptr_nonnull(strstr(made, "\"shards\":[{\"index\":3},{\"index\":4}]"));
}
END_TEST

START_TEST(what_is_not_shards_is_refused)
{
	static const char *const bad[] = {"", "{", "[]", "{}", "[1]", "[{},null]", "[{\"a\":1,\"a\":2}]"};
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
		document_begin(&doc, "t", (struct span){NULL, 0});
		ck_assert_int_eq(add("default", "{}", bad[k], NULL), INBOX_UNAVAILABLE);
		ck_assert_int_eq(add("default", "[]", "[{}]", NULL), INBOX_UNAVAILABLE);
	}
}
END_TEST

/* ---- redaction ---- */

static struct redactor redactor;
static struct regex *email, *phone;

static void setup_redactor(void)
{
	struct fault fault = {""};
	setup();
	ck_assert_int_eq(redactor_init(&redactor), 0);
	email = regex_compile(span_of("\\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\\.[A-Z]{2,}\\b"), &fault);
	phone = regex_compile(span_of("\\b(\\+?\\d{1,3})?[-.\\s]?\\(?\\d{2,4}\\)?[-.\\s]?\\d{3,4}[-.\\s]?\\d{3,4}\\b"),
	                      &fault);
	ck_assert_msg(email && phone, "%s", fault.text);
	redactor.email = email;
	redactor.phone = phone;
}

static void teardown_redactor(void)
{
	redactor_free(&redactor);
	regex_free(email);
	regex_free(phone);
	teardown();
}

static const char *redacted(const char *json)
{
	struct jdoc d = JDOC_EMPTY;
	struct buf out = BUF_EMPTY;
	ck_assert_msg(jdoc_parse(&d, span_of(json), NULL) == JDOC_OK, "%s", json);
	redact_value(&redactor, &d, 0, &out);
	free(made);
	made = buf_take(&out, NULL);
	ck_assert_msg(jdoc_parse(&d, span_of(made), NULL) == JDOC_OK, "not JSON any more: %s", made);
	jdoc_free(&d);
	return made;
}

START_TEST(secrets_go_by_their_name_whatever_the_value)
{
	static const char *const names[] = {"password",
	                                    "PassWord2",
	                                    "my_secret",
	                                    "tokens",
	                                    "apikey",
	                                    "API_KEY",
	                                    "author",
	                                    "Bearer",
	                                    "x-auth-y",
	                                    "to\xe2\x84\xaa"
	                                    "en"};
	static const char *const values[] = {"\"x\"", "1", "null", "true", "[1,{\"a\":2}]", "{\"b\":\"c\"}", "\"\""};
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			char in[200], expected[200];
			snprintf(in, sizeof(in), "{\"a\":[{\"%s\":%s,\"z\":1}]}", names[k], values[v]);
			snprintf(expected, sizeof(expected), "{\"a\":[{\"%s\":\"***REDACTED***\",\"z\":1}]}", names[k]);
			ck_assert_str_eq(redacted(in), expected);
		}
	}
	ck_assert_str_eq(redacted("{\"passwor\":1,\"tok\":2,\"aut\":3,\"api-key\":4}"),
	                 "{\"passwor\":1,\"tok\":2,\"aut\":3,\"api-key\":4}");
}
END_TEST

START_TEST(addresses_and_numbers_go_from_every_other_string)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	        {"[\"joe@example.org\"]", "[\"[email]\"]"},
	        {"[\"Joe <JOE.x+1@Mail.Example.ORG>, and a@b.cd\"]", "[\"Joe <[email]>, and [email]\"]"},
	        {"[\"\\u006aoe@example.org\\n\\\"\"]", "[\"[email]\\n\\\"\"]"},
	        {"[\"555-123-4567\"]", "[\"[phone]\"]"},
	        {"[\"no number 12 here\", 5551234567]", "[\"no number 12 here\",5551234567]"},
	        {"{\"joe@example.org\":\"x\"}", "{\"[email]\":\"x\"}"},
	        {"{\"a@b.cd\":1,\"b@b.cd\":2,\"[email]#3\":3,\"c@b.cd\":4}",
	         "{\"[email]\":1,\"[email]#2\":2,\"[email]#3\":3,\"[email]#4\":4}"},
	        {"{\"[email]\":0,\"a@b.cd\":1,\"a@b.cd#1\":2}", "{\"[email]\":0,\"[email]#1\":1,\"[email]#1#2\":2}"},
	        {"{\"a@b.cd#2\":1,\"a@b.cd\":2}", "{\"[email]#2\":1,\"[email]#3\":2}"},
	        {"[\"\xce\xbb joe@example.org \xce\xbb\"]", "[\"\xce\xbb [email] \xce\xbb\"]"},
	        {"[\"\", \"plain\"]", "[\"\",\"plain\"]"},
	};
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
		ck_assert_str_eq(redacted(cases[k].in), cases[k].out);
}
END_TEST

START_TEST(identities_and_times_keep_their_text)
{
	static const char *const same[] = {
	        "{\"trace_id\":\"LT-1700000000000-0123abcd\",\"job_id\":\"JOB-012345678901\"}",
	        "{\"trace_id\":\"foreign-555-123-4567\",\"id\":\"555-123-4567\",\"node_id\":\"5551234567\"}",
	        "{\"timestamp\":\"1700000000000\",\"saved_ts\":\"1700000000000\",\"ts\":1700000000000}",
	        "{\"x\":\"LT-1700000000000-0123abcd\",\"y\":\"JOB-012345678901\"}",
	        "{\"when\":\"2026-01-02T03:04:55.123456+00:00\",\"then\":\"2026-01-02 03:04:55.123456789\"}",
	};
	for (size_t k = 0; k < sizeof(same) / sizeof(same[0]); k++)
		ck_assert_str_eq(redacted(same[k]), same[k]);
	/* the name exempts a string, not what lies below it */
	ck_assert_str_eq(redacted("{\"id\":{\"password\":\"x\",\"y\":\"a@b.cd\"}}"),
	                 "{\"id\":{\"password\":\"***REDACTED***\",\"y\":\"[email]\"}}");
	ck_assert_str_eq(redacted("{\"x\":\"2026-01-02T03:04:05 call 555-123-4567\"}"),
	                 "{\"x\":\"2026-01-02T03:04:05 call[phone]\"}");
}
END_TEST

START_TEST(a_redacted_shard_is_still_the_same_shard)
{
	static const char *const shards[] = {"[{\"index\":\"a@b.cd\"}]", "[{\"index\":{\"token\":1}}]",
	                                     "[{\"timestamp\":[\"a@b.cd\"]}]",
	                                     "[{\"trace_id\":{\"a@b.cd\":0,\"b@b.cd\":0}}]"};
	for (size_t k = 0; k < sizeof(shards) / sizeof(shards[0]); k++) {
		int written;
		struct document_write w = {.tenant = "default",
		                           .seed = span_of("{}"),
		                           .shards = span_of(shards[k]),
		                           .now_ms = 42,
		                           .redactor = &redactor};
		ck_assert_int_eq(document_begin(&doc, "t", (struct span){NULL, 0}), DOCUMENT_READY);
		ck_assert_int_eq(document_add(&doc, &w, &written), INBOX_OK);
		ck_assert_int_eq(written, 1);
		ck_assert_int_eq(document_begin(&doc, "t", span_of(text())), DOCUMENT_READY);
		ck_assert_int_eq(document_add(&doc, &w, &written), INBOX_OK);
		ck_assert_msg(written == 0, "%s", shards[k]);
	}
}
END_TEST

START_TEST(a_pattern_that_cannot_be_matched_hides_the_whole_string)
{
	redactor.phone = NULL;
	ck_assert_str_eq(redacted("{\"a\":\"b\",\"id\":\"kept\"}"),
	                 "{\"***REDACTED***\":\"***REDACTED***\",\"id\":\"kept\"}");
}
END_TEST

START_TEST(many_names_that_change_cost_little)
{
	size_t at = 0, n = 20000;
	char *in = malloc(n * 24);
	for (size_t k = 0; k < n; k++)
		at += (size_t)sprintf(in + at, "%s\"a%zu@b.cd\":1", k ? "," : "{", k);
	strcpy(in + at, "}");
	int64_t start = clock_mono_ms(&clock_system);
	redacted(in);
	ck_assert_int_lt(clock_mono_ms(&clock_system) - start, 5000);
	free(in);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inbox_document");
	TCase *tc = tcase_create("merge");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_same_identity_is_one_shard);
	tcase_add_test(tc, the_seed_is_the_snapshot_and_nothing_more);
	tcase_add_test(tc, a_seed_without_members_has_an_empty_snapshot);
	tcase_add_test(tc, unknown_members_the_seed_and_every_number_stay_as_they_were);
	tcase_add_test(tc, what_a_document_lacks_is_added);
	tcase_add_test(tc, a_document_without_a_tenant_is_defaults);
	tcase_add_test(tc, a_refused_write_leaves_no_mark);
	tcase_add_test(tc, what_is_not_shards_is_refused);
	suite_add_tcase(suite, tc);
	tc = tcase_create("redaction");
	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup_redactor, teardown_redactor);
	tcase_add_test(tc, secrets_go_by_their_name_whatever_the_value);
	tcase_add_test(tc, addresses_and_numbers_go_from_every_other_string);
	tcase_add_test(tc, identities_and_times_keep_their_text);
	tcase_add_test(tc, a_redacted_shard_is_still_the_same_shard);
	tcase_add_test(tc, a_pattern_that_cannot_be_matched_hides_the_whole_string);
	tcase_add_test(tc, many_names_that_change_cost_little);
	suite_add_tcase(suite, tc);
	return inbox_run(suite);
}
