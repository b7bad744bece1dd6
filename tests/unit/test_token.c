/* test_token - the two forms of capability tokens and their signatures */
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

START_TEST(a_minted_token_of_either_format_is_valid_and_says_what_was_minted)
{
	const struct token_mint m = {.kid = "k1",
	                             .iss = "issuer",
	                             .sub = "alice \"A\" é",
	                             .jti = "t-1",
	                             .audience = "lane",
	                             .scopes = SCOPE_SCHEDULE | SCOPE_INBOX,
	                             .issued_ms = NOW_MS,
	                             .expires_ms = NOW_MS + 1500,
	                             .not_before_ms = NOW_MS,
	                             .auth_time_ms = NOW_MS - 1000,
	                             .jwt = _i == 1};
	struct buf token = BUF_EMPTY;
	const struct claims *c = NULL;

	ck_assert(token_mint(&m, fixture.seed, &token));
	ck_verdict(token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &c, NULL), TOKEN_VALID,
	           "minted");
	ck_assert_str_eq(c->iss, "issuer");
	ck_assert_str_eq(c->sub, "alice \"A\" é");
	ck_assert_str_eq(c->jti, "t-1");
	ck_assert_str_eq(c->kid, "k1");
	ck_assert_str_eq(c->tenant, "default");
	ck_assert_uint_eq(c->scopes, SCOPE_SCHEDULE | SCOPE_INBOX);
	ck_assert_int_eq(c->expires_ms, NOW_MS + 1500);
	ck_assert_int_eq(c->not_before_ms, NOW_MS);
	ck_assert_int_eq(c->auth_time_ms, NOW_MS - 1000);
	ck_assert_int_eq(c->skew_ms, SKEW_MS);
	ck_assert(!c->acr_gtpsi);
	claims_let_go(c);
	buf_free(&token);
}
END_TEST

START_TEST(what_is_minted_is_what_the_standards_say)
{
	const struct token_mint m = {.kid = "k1", .iss = "i", .sub = "s", .jti = "j", .expires_ms = NOW_MS + 3600000};
	struct token_mint as_jwt = m;
	struct buf minted = BUF_EMPTY, own = BUF_EMPTY;

	sign_paseto(fixture.seed, span_of("{" WHO EXP "}"), FOOTER, &own);
	ck_assert(token_mint(&m, fixture.seed, &minted));
	ck_assert(span_equal((struct span){minted.ptr, minted.len}, (struct span){own.ptr, own.len}));
	buf_clear(&own);
	buf_clear(&minted);
	as_jwt.jwt = true;
	sign_jwt(fixture.seed, span_of("{" WHO JWT_EXP "}"), "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"k1\"}",
	         &own);
	ck_assert(token_mint(&as_jwt, fixture.seed, &minted));
	ck_assert(span_equal((struct span){minted.ptr, minted.len}, (struct span){own.ptr, own.len}));
	buf_free(&own);
	buf_free(&minted);
}
END_TEST

START_TEST(what_is_no_token_is_malformed)
{
	static const char *const texts[] = {
	        "x",
	        ".",
	        "..",
	        "...",
	        "v4.public.",
	        "v4.public.AAAA",
	        "v4.local.AAAA",
	        "v3.public.AAAA",
	        "V4.public.AAAA",
	        "Bearer x",
	        "e30.e30.e30",
	        "eyJhbGciOiJub25lIn0.e30.",
	        "a.b",
	        "\xff\xfe",
	        "v4.public",
	        "v4.public..",
	        "e30.e30.e30.e30",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const struct claims *claims = NULL;

		ck_verdict(token_verify(fixture.verifier, span_of(texts[i]), &claims, NULL), TOKEN_MALFORMED, texts[i]);
	}
	const struct claims *claims = NULL;
	ck_verdict(token_verify(fixture.verifier, (struct span){"", 0}, &claims, NULL), TOKEN_MALFORMED, "empty");
}
END_TEST

START_TEST(a_token_is_4096_bytes_at_most)
{
	struct buf payload = BUF_EMPTY, token = BUF_EMPTY;
	const struct claims *claims = NULL;
	size_t longest = 0;

	for (size_t fill = 2900; fill < 3000; fill++) {
		buf_clear(&payload);
		buf_clear(&token);
		buf_printf(&payload, "{" WHO EXP ",\"fill\":\"%0*d\"}", (int)fill, 0);
		sign_paseto(fixture.seed, (struct span){payload.ptr, payload.len}, FOOTER, &token);
		enum token_verdict verdict =
		        token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &claims, NULL);
		claims_let_go(claims);
		ck_verdict(verdict, token.len <= 4096 ? TOKEN_VALID : TOKEN_MALFORMED, "long");
		longest = token.len <= 4096 ? token.len : longest;
	}
	ck_assert_uint_ge(longest, 4095);
	buf_free(&payload);
	buf_free(&token);
}
END_TEST

/* Each character of a token changed in turn: nothing of it is beside the
 * point, so that one token has one spelling. */
START_TEST(no_character_can_be_changed_dropped_or_added)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
	struct buf token = BUF_EMPTY;

	if (_i == 0)
		sign_paseto(fixture.seed, span_of("{" WHO EXP "}"), FOOTER, &token);
	else
		sign_jwt(fixture.seed, span_of("{" WHO JWT_EXP "}"), JWT_HEADER, &token);
	ck_verdict(verdict_of(&fixture, &token), TOKEN_VALID, "whole");
	for (size_t at = 0; at < token.len; at++) {
		char was = token.ptr[at];

		for (const char *c = alphabet; *c; c++) {
			if (*c == was)
				continue;
			token.ptr[at] = *c;
			ck_assert_int_ne(verdict_of(&fixture, &token), TOKEN_VALID);
		}
		token.ptr[at] = was;
	}
	for (size_t len = 0; len < token.len; len++) {
		struct buf cut = {.ptr = token.ptr, .len = len, .cap = token.cap};

		ck_assert_int_ne(verdict_of(&fixture, &cut), TOKEN_VALID);
	}
	for (const char *c = alphabet; *c; c++) {
		buf_char(&token, *c);
		ck_assert_int_ne(verdict_of(&fixture, &token), TOKEN_VALID);
		token.len--;
	}
	buf_add(&token, "", 1);
	ck_verdict(verdict_of(&fixture, &token), TOKEN_MALFORMED, "a NUL behind");
	buf_free(&token);
}
END_TEST

START_TEST(an_empty_footer_is_no_second_spelling_of_none)
{
	struct buf token = BUF_EMPTY, payload = BUF_EMPTY, head = BUF_EMPTY;

	sign_paseto(fixture.seed, span_of("{" WHO EXP "}"), NULL, &token);
	ck_verdict(verdict_of(&fixture, &token), TOKEN_MALFORMED, "no footer, so no kid");
	ck_verdict(token_open((struct span){token.ptr, token.len}, NULL, NO_IMPLICIT, &payload, &head), TOKEN_VALID,
	           "open");
	buf_char(&token, '.');
	ck_verdict(token_open((struct span){token.ptr, token.len}, NULL, NO_IMPLICIT, &payload, &head), TOKEN_MALFORMED,
	           "a dot behind");
	buf_free(&token);
	buf_free(&payload);
	buf_free(&head);
}
END_TEST

START_TEST(a_footer_is_an_object_with_a_kid)
{
	static const struct example footers[] = {
	        {"{\"kid\":\"k1\"}", TOKEN_VALID},
	        {"{\"kid\":\"k1\",\"other\":[1]}", TOKEN_VALID},
	        {"{\"k\\u0069d\":\"k1\"}", TOKEN_VALID},
	        {"{\"kid\":\"k2\"}", TOKEN_UNKNOWN_KEY},
	        {"{\"kid\":\"K1\"}", TOKEN_UNKNOWN_KEY},
	        {"{\"kid\":\"k1\\u0000\"}", TOKEN_MALFORMED},
	        {"{\"kid\":\"k1\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"kid\":\"k1\",\"k\\u0069d\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"kid\":1}", TOKEN_MALFORMED},
	        {"{\"kid\":null}", TOKEN_MALFORMED},
	        {"{\"kid\":\"\"}", TOKEN_MALFORMED},
	        {"{\"kid\":[\"k1\"]}", TOKEN_MALFORMED},
	        {"[\"kid\",\"k1\"]", TOKEN_MALFORMED},
	        {"\"k1\"", TOKEN_MALFORMED},
	        {"k1", TOKEN_MALFORMED},
	        {"{}", TOKEN_MALFORMED},
	        {"{\"kid\":\"k1\"} x", TOKEN_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(footers) / sizeof(*footers); i++) {
		struct buf token = BUF_EMPTY;

		sign_paseto(fixture.seed, span_of("{" WHO EXP "}"), footers[i].text, &token);
		ck_verdict(verdict_of(&fixture, &token), footers[i].verdict, footers[i].text);
		buf_free(&token);
	}
}
END_TEST

START_TEST(a_jwt_header_is_eddsa_with_a_kid_and_nothing_critical)
{
	static const struct example headers[] = {
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\"}", TOKEN_VALID},
	        {"{\"alg\":\"Ed25519\",\"kid\":\"k1\"}", TOKEN_VALID},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"JWT\"}", TOKEN_VALID},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"at+JWT\"}", TOKEN_VALID},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"jwk\":{},\"jku\":\"https://x\",\"x5c\":[]}", TOKEN_VALID},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"JWE\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":null}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"dpop+jwt\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"none\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"HS256\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"ES256\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"eddsa\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"Ed448\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":[\"EdDSA\"],\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\",\"kid\":\"k1\"}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"crit\":[]}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"crit\":[\"b64\"],\"b64\":false}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"crit\":null}", TOKEN_MALFORMED},
	        {"{\"alg\":\"EdDSA\",\"kid\":\"nobody\"}", TOKEN_UNKNOWN_KEY},
	        {"[]", TOKEN_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
		ck_verdict(jwt_verdict(&fixture, headers[i].text, "{" WHO JWT_EXP "}"), headers[i].verdict,
		           headers[i].text);
}
END_TEST

START_TEST(a_key_that_signed_is_the_key_that_is_named)
{
	struct buf token = BUF_EMPTY;

	sign_paseto(fixture.other_seed, span_of("{" WHO EXP "}"), FOOTER, &token);
	ck_verdict(verdict_of(&fixture, &token), TOKEN_BAD_SIGNATURE, "PASETO");
	buf_clear(&token);
	sign_jwt(fixture.other_seed, span_of("{" WHO JWT_EXP "}"), JWT_HEADER, &token);
	ck_verdict(verdict_of(&fixture, &token), TOKEN_BAD_SIGNATURE, "JWT");
	buf_free(&token);
}
END_TEST

START_TEST(the_two_formats_do_not_pass_for_one_another)
{
	struct buf token = BUF_EMPTY;
	uint8_t sig[64];

	/* PASETO's form around a signature over the bare text, without PAE */
	struct buf body = BUF_EMPTY;
	buf_text(&body, "{" WHO EXP "}");
	ed25519_sign(sig, (struct span){body.ptr, body.len}, fixture.seed);
	buf_add(&body, sig, sizeof(sig));
	buf_text(&token, "v4.public.");
	add_base64url(&token, body.ptr, body.len);
	buf_char(&token, '.');
	add_base64url(&token, FOOTER, strlen(FOOTER));
	ck_verdict(verdict_of(&fixture, &token), TOKEN_BAD_SIGNATURE, "no PAE");
	buf_free(&body);
	buf_free(&token);
	/* times are of the format */
	ck_verdict(paseto_verdict(&fixture, "{" WHO JWT_EXP "}"), TOKEN_MALFORMED, "a number in PASETO");
	ck_verdict(jwt_verdict(&fixture, JWT_HEADER, "{" WHO EXP "}"), TOKEN_MALFORMED, "a string in a JWT");
}
END_TEST

START_TEST(every_verdict_has_a_name_of_its_own)
{
	for (int i = 0; i < TOKEN_VERDICTS; i++) {
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(token_verdict_name((enum token_verdict)i),
			                 token_verdict_name((enum token_verdict)k));
	}
}
END_TEST

START_TEST(without_a_keyring_no_key_is_known)
{
	const struct verifier_options options = {.clock = &clock_system, .cache_entries = 8};
	struct buf token = BUF_EMPTY;
	struct fixture f = {.verifier = verifier_new(&options)};

	sign_paseto(fixture.seed, span_of("{" WHO EXP "}"), FOOTER, &token);
	ck_verdict(verdict_of(&f, &token), TOKEN_UNKNOWN_KEY, "no keyring");
	verifier_free(f.verifier);
	buf_free(&token);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 120);
	tcase_add_loop_test(all, a_minted_token_of_either_format_is_valid_and_says_what_was_minted, 0, 2);
	tcase_add_test(all, what_is_minted_is_what_the_standards_say);
	tcase_add_test(all, what_is_no_token_is_malformed);
	tcase_add_test(all, a_token_is_4096_bytes_at_most);
	tcase_add_loop_test(all, no_character_can_be_changed_dropped_or_added, 0, 2);
	tcase_add_test(all, an_empty_footer_is_no_second_spelling_of_none);
	tcase_add_test(all, a_footer_is_an_object_with_a_kid);
	tcase_add_test(all, a_jwt_header_is_eddsa_with_a_kid_and_nothing_critical);
	tcase_add_test(all, a_key_that_signed_is_the_key_that_is_named);
	tcase_add_test(all, the_two_formats_do_not_pass_for_one_another);
	tcase_add_test(all, every_verdict_has_a_name_of_its_own);
	tcase_add_test(all, without_a_keyring_no_key_is_known);
	suite_add_tcase(suite, all);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
