/* test_token_claims - what a payload must be: types, names, scopes, times, audience */
#include "token_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_open(&fixture, NULL, 64, "");
}

static void tear_down(void)
{
	fixture_close(&fixture);
}

START_TEST(claims_have_the_types_and_forms_of_the_contract)
{
	static const struct example payloads[] = {
	        {"{" WHO EXP "}", TOKEN_VALID},
	        {"{" WHO EXP ",\"other\":{\"a\":[null]}}", TOKEN_VALID},
	        {" {" WHO EXP "}\n", TOKEN_VALID},
	        {"{" WHO "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"i\",\"sub\":\"s\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"i\",\"jti\":\"s\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"sub\":\"i\",\"jti\":\"s\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":1,\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\nb\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\u001b[2J\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\u0085b\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\u202eb\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\u2028b\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\udb40\\udc41\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\ud83f\\udffe\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a\\u0000b\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\" a\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"a \",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"\xff\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}", TOKEN_MALFORMED},
	        {"{\"iss\":\"Ψ \\ud83d\\ude00 日本\",\"sub\":\"a b\",\"jti\":\"#j\"" EXP "}", TOKEN_VALID},
	        {"{" WHO EXP ",\"iss\":\"i\"}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"tenant\":\"t.1_-A\"}", TOKEN_WRONG_TENANT},
	        {"{" WHO EXP ",\"tenant\":\"default\"}", TOKEN_VALID},
	        {"{" WHO EXP ",\"tenant\":\"\"}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"tenant\":\"a/b\"}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"tenant\":null}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"tenant\":\"*\"}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"scope\":\"\"}", TOKEN_VALID},
	        {"{" WHO EXP ",\"scope\":[]}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"scope\":null}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"scopes\":[]}", TOKEN_VALID},
	        {"{" WHO EXP ",\"scopes\":\"a\"}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"scopes\":[1]}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"scopes\":[],\"scope\":\"\"}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"acr\":1}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"acr\":\"silver\"}", TOKEN_VALID},
	        {"{" WHO EXP ",\"aud\":1}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"aud\":[\"a\",1]}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"aud\":null}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"aud\":\"anything\"}", TOKEN_VALID},
	        {"{" WHO EXP ",\"nbf\":1}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"iat\":true}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"auth_time\":\"\"}", TOKEN_MALFORMED},
	        {"[{" WHO EXP "}]", TOKEN_MALFORMED},
	        {"\"text\"", TOKEN_MALFORMED},
	        {"", TOKEN_MALFORMED},
	        {"{" WHO EXP "}{}", TOKEN_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(payloads) / sizeof(*payloads); i++)
		ck_verdict(paseto_verdict(&fixture, payloads[i].text), payloads[i].verdict, payloads[i].text);
}
END_TEST

START_TEST(a_name_is_256_characters_at_most_not_bytes)
{
	for (int chars = 255; chars <= 257; chars++) {
		struct buf payload = BUF_EMPTY;

		buf_text(&payload, "{\"iss\":\"");
		for (int i = 0; i < chars; i++)
			buf_text(&payload, "Ψ");
		buf_text(&payload, "\",\"sub\":\"s\",\"jti\":\"j\"" EXP "}");
		buf_char(&payload, '\0');
		ck_verdict(paseto_verdict(&fixture, payload.ptr), chars <= 256 ? TOKEN_VALID : TOKEN_MALFORMED, "Ψ");
		buf_free(&payload);
	}
}
END_TEST

START_TEST(deep_nesting_is_refused_and_not_recursed_into)
{
	struct buf payload = BUF_EMPTY;

	buf_text(&payload, "{" WHO EXP ",\"x\":");
	for (int i = 0; i < 1400; i++)
		buf_char(&payload, '[');
	for (int i = 0; i < 1400; i++)
		buf_char(&payload, ']');
	buf_text(&payload, "}");
	buf_char(&payload, '\0');
	ck_verdict(paseto_verdict(&fixture, payload.ptr), TOKEN_MALFORMED, "1400 levels");
	buf_free(&payload);
}
END_TEST

static unsigned scopes_of(const char *member)
{
	struct buf payload = BUF_EMPTY, token = BUF_EMPTY;
	const struct claims *claims = NULL;

	buf_printf(&payload, "{" WHO EXP ",%s}", member);
	sign_paseto(fixture.seed, (struct span){payload.ptr, payload.len}, FOOTER, &token);
	ck_verdict(token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &claims, NULL), TOKEN_VALID,
	           member);
	unsigned scopes = claims->scopes;
	claims_let_go(claims);
	buf_free(&payload);
	buf_free(&token);
	return scopes;
}

START_TEST(scopes_are_read_from_either_claim_and_only_whole_names_count)
{
	ck_assert_uint_eq(scopes_of("\"scope\":\"consciousness.simulation.schedule memory.inbox.dreams.write\""),
	                  SCOPE_SCHEDULE | SCOPE_INBOX);
	ck_assert_uint_eq(scopes_of("\"scopes\":[\"consciousness.simulation.collect\",\"other\"]"), SCOPE_COLLECT);
	ck_assert_uint_eq(scopes_of("\"scope\":\"  consciousness.simulation.work  x \""), SCOPE_WORK);
	ck_assert_uint_eq(scopes_of("\"scope\":\"schedule\""), 0);
	ck_assert_uint_eq(scopes_of("\"scope\":\"consciousness.simulation.schedulex\""), 0);
	ck_assert_uint_eq(scopes_of("\"scope\":\"consciousness.simulation.*\""), 0);
	ck_assert_uint_eq(scopes_of("\"scope\":\"consciousness.simulation.schedule\\tx\""), 0);
	ck_assert_uint_eq(scopes_of("\"scopes\":[\"memory.inbox.dreams.write other\"]"), 0);
	ck_assert_uint_eq(scopes_of("\"x\":1"), 0);
}
END_TEST

/* ---- times ---- */

START_TEST(times_in_a_paseto_are_rfc_3339)
{
	static const struct example times[] = {
	        {"2026-01-01T01:00:00Z", TOKEN_VALID},
	        {"2026-01-01t01:00:00z", TOKEN_VALID},
	        {"2026-01-01T01:00:00+00:00", TOKEN_VALID},
	        {"2026-01-01T01:00:00-00:00", TOKEN_VALID},
	        {"2026-01-01T01:00:00.123456789Z", TOKEN_VALID},
	        {"9999-12-31T23:59:59Z", TOKEN_VALID},
	        {"2028-02-29T00:00:00Z", TOKEN_VALID},
	        {"2026-12-31T23:59:60Z", TOKEN_VALID},
	        {"2027-01-01T00:59:60+01:00", TOKEN_VALID},
	        {"2026-01-01T05:00:00+05:30", TOKEN_EXPIRED},
	        {"2025-12-31T20:00:00-05:00", TOKEN_VALID},
	        {"2025-12-31T23:59:29.999Z", TOKEN_EXPIRED},
	        {"2025-12-31T23:59:30.001Z", TOKEN_VALID},
	        {"2025-12-31T23:59:30Z", TOKEN_EXPIRED},
	        {"1970-01-01T00:00:00Z", TOKEN_EXPIRED},
	        {"1969-12-31T23:59:59Z", TOKEN_MALFORMED},
	        {"0000-01-01T00:00:00Z", TOKEN_MALFORMED},
	        {"9999-12-31T23:59:59-01:00", TOKEN_MALFORMED},
	        {"2026-12-31T22:59:60Z", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:61Z", TOKEN_MALFORMED},
	        {"2026-01-01T24:00:00Z", TOKEN_MALFORMED},
	        {"2026-01-01T01:60:00Z", TOKEN_MALFORMED},
	        {"2026-02-29T00:00:00Z", TOKEN_MALFORMED},
	        {"2100-02-29T00:00:00Z", TOKEN_MALFORMED},
	        {"2026-13-01T00:00:00Z", TOKEN_MALFORMED},
	        {"2026-00-01T00:00:00Z", TOKEN_MALFORMED},
	        {"2026-01-00T00:00:00Z", TOKEN_MALFORMED},
	        {"2026-04-31T00:00:00Z", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:00", TOKEN_MALFORMED},
	        {"2026-01-01 01:00:00Z", TOKEN_MALFORMED},
	        {"2026-01-01T01:00Z", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:00.Z", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:00Zx", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:00+0000", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:00+24:00", TOKEN_MALFORMED},
	        {"2026-01-01T01:00:00+00:60", TOKEN_MALFORMED},
	        {"+2026-01-01T01:00:00Z", TOKEN_MALFORMED},
	        {"12026-01-01T01:00:00Z", TOKEN_MALFORMED},
	        {"2026-1-01T01:00:00Z", TOKEN_MALFORMED},
	        {"-026-01-01T01:00:00Z", TOKEN_MALFORMED},
	        {"1767229200", TOKEN_MALFORMED},
	        {"", TOKEN_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		char payload[256];

		snprintf(payload, sizeof(payload), "{" WHO ",\"exp\":\"%s\"}", times[i].text);
		ck_verdict(paseto_verdict(&fixture, payload), times[i].verdict, payload);
	}
}
END_TEST

START_TEST(times_in_a_jwt_are_numeric_dates)
{
	static const struct example times[] = {
	        {"1767229200", TOKEN_VALID},
	        {"1767229200.75", TOKEN_VALID},
	        {"1.7672292e9", TOKEN_VALID},
	        {"1767225570", TOKEN_EXPIRED},
	        {"1767225570.5", TOKEN_VALID},
	        {"0", TOKEN_EXPIRED},
	        {"253402300799", TOKEN_VALID},
	        {"253402300799.5", TOKEN_VALID},
	        {"253402300800", TOKEN_MALFORMED},
	        {"253402300800.0", TOKEN_MALFORMED},
	        {"9223372036854775807", TOKEN_MALFORMED},
	        {"9223372036854775808", TOKEN_MALFORMED},
	        {"9223372036854775", TOKEN_MALFORMED},
	        {"1767229200000", TOKEN_MALFORMED},
	        {"1e300", TOKEN_MALFORMED},
	        {"1e999", TOKEN_MALFORMED},
	        {"-1", TOKEN_MALFORMED},
	        {"-0.5", TOKEN_MALFORMED},
	        {"-9223372036854775808", TOKEN_MALFORMED},
	        {"NaN", TOKEN_MALFORMED},
	        {"\"1767229200\"", TOKEN_MALFORMED},
	        {"true", TOKEN_MALFORMED},
	        {"null", TOKEN_MALFORMED},
	        {"[1767229200]", TOKEN_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		char payload[256];

		snprintf(payload, sizeof(payload), "{" WHO ",\"exp\":%s}", times[i].text);
		ck_verdict(jwt_verdict(&fixture, JWT_HEADER, payload), times[i].verdict, payload);
	}
}
END_TEST

START_TEST(a_token_from_the_future_is_not_yet_valid_beyond_the_skew)
{
	static const char *const claims[] = {"nbf", "iat"};

	for (size_t i = 0; i < 2; i++) {
		for (int64_t at = NOW_S + 29; at <= NOW_S + 31; at++) {
			char payload[256];

			snprintf(payload, sizeof(payload), "{" WHO JWT_EXP ",\"%s\":%lld}", claims[i], (long long)at);
			ck_verdict(jwt_verdict(&fixture, JWT_HEADER, payload),
			           at <= NOW_S + 30 ? TOKEN_VALID : TOKEN_NOT_YET_VALID, payload);
		}
	}
}
END_TEST

START_TEST(a_token_ends_at_exp_plus_skew)
{
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000 + SKEW_MS - 1);
	ck_verdict(paseto_verdict(&fixture, "{" WHO EXP "}"), TOKEN_VALID, "the last millisecond");
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000 + SKEW_MS);
	ck_verdict(paseto_verdict(&fixture, "{" WHO EXP "}"), TOKEN_EXPIRED, "the next");
}
END_TEST

/* ---- audience ---- */

START_TEST(the_audience_must_be_named_when_one_is_set)
{
	static const struct example payloads[] = {
	        {"{" WHO EXP ",\"aud\":\"lane\"}", TOKEN_VALID},
	        {"{" WHO EXP ",\"aud\":[\"other\",\"lane\"]}", TOKEN_VALID},
	        {"{" WHO EXP "}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":\"\"}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":[]}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":\"lan\"}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":\"lane2\"}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":\"LANE\"}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":[\"lane \"]}", TOKEN_WRONG_AUDIENCE},
	        {"{" WHO EXP ",\"aud\":[[\"lane\"]]}", TOKEN_MALFORMED},
	        {"{" WHO EXP ",\"aud\":{\"lane\":1}}", TOKEN_MALFORMED},
	};
	struct fixture f;

	fixture_open(&f, "lane", 0, "");
	for (size_t i = 0; i < sizeof(payloads) / sizeof(*payloads); i++)
		ck_verdict(paseto_verdict(&f, payloads[i].text), payloads[i].verdict, payloads[i].text);
	fixture_close(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token claims");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 120);
	tcase_add_test(all, claims_have_the_types_and_forms_of_the_contract);
	tcase_add_test(all, a_name_is_256_characters_at_most_not_bytes);
	tcase_add_test(all, deep_nesting_is_refused_and_not_recursed_into);
	tcase_add_test(all, scopes_are_read_from_either_claim_and_only_whole_names_count);
	tcase_add_test(all, times_in_a_paseto_are_rfc_3339);
	tcase_add_test(all, times_in_a_jwt_are_numeric_dates);
	tcase_add_test(all, a_token_from_the_future_is_not_yet_valid_beyond_the_skew);
	tcase_add_test(all, a_token_ends_at_exp_plus_skew);
	tcase_add_test(all, the_audience_must_be_named_when_one_is_set);
	suite_add_tcase(suite, all);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
