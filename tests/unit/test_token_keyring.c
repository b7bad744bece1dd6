/* test_token_keyring - keyrings, what their keys may say, and revocations */
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

/* ---- what a keyring is ---- */

#define X  "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define K  "\"kty\":\"OKP\",\"crv\":\"Ed25519\"," X
#define K1 K ",\"kid\":\"a\""

struct keyring_example {
	const char *text;
	const char *why; /* a word of the fault; NULL: it is taken */
};

static const struct keyring_example keyrings[] = {
        {"{\"keys\":[{" K1 "}]}", NULL},
        {"{\"keys\":[]}", NULL},
        {"{\"keys\":[{" K1 "},{" K ",\"kid\":\"b\"}],\"other\":1}", NULL},
        {"{\"keys\":[{" K1 ",\"use\":\"sig\",\"alg\":\"EdDSA\",\"key_ops\":[\"verify\"],\"x5t\":\"x\"}]}", NULL},
        {"{\"keys\":[{" K1 ",\"alg\":\"Ed25519\",\"key_ops\":[\"sign\",\"verify\"]}]}", NULL},
        {"{\"keys\":[{" K1 ",\"simlane_scopes\":[],\"simlane_tenants\":[],\"simlane_acr\":[]}]}", NULL},
        {"{\"keys\":[{" K1 ",\"simlane_tenants\":[\"*\"],\"simlane_iss\":\"i\",\"simlane_acr\":[\"gtpsi\"]}]}", NULL},
        {"", "line 1"},
        {"{", "line 1"},
        {"[]", "keys"},
        {"{}", "keys"},
        {"{\"keys\":{}}", "keys"},
        {"{\"keys\":[1]}", "/keys/0"},
        {"{" K1 "}", "keys"},
        {"{\"keys\":[{" K1 "},{" K1 "}]}", "same kid"},
        {"{\"keys\":[{" K1 "},{" K ",\"kid\":\"\\u0061\"}]}", "same kid"},
        {"{\"keys\":[{" K1 ",\"kid\":\"b\"}]}", "duplicate"},
        {"{\"keys\":[{" K1 "}],\"keys\":[]}", "duplicate"},
        {"{\"keys\":[{" K1 ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}]}", "private"},
        {"{\"keys\":[{" K1 ",\"d\":null}]}", "private"},
        {"{" K1 ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}", "private"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "OKP"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AQAB\"}]}", "OKP"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"kid\":\"a\"," X "}]}", "Ed25519"},
        {"{\"keys\":[{\"crv\":\"Ed25519\",\"kid\":\"a\"," X "}]}", "OKP"},
        {"{\"keys\":[{\"kty\":[\"OKP\"],\"crv\":\"Ed25519\",\"kid\":\"a\"," X "}]}", "OKP"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\"}]}", "32 bytes"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"AAAA\"}]}", "32 bytes"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}]}",
         "32 bytes"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURp\"}]}",
         "32 bytes"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS/"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "32 bytes"},
        {"{\"keys\":[{" K "}]}", "kid"},
        {"{\"keys\":[{" K ",\"kid\":\"\"}]}", "kid"},
        {"{\"keys\":[{" K ",\"kid\":7}]}", "kid"},
        {"{\"keys\":[{" K ",\"kid\":\"a\\nb\"}]}", "kid"},
        {"{\"keys\":[{" K1 ",\"use\":\"enc\"}]}", "use"},
        {"{\"keys\":[{" K1 ",\"use\":null}]}", "use"},
        {"{\"keys\":[{" K1 ",\"key_ops\":[\"sign\"]}]}", "key_ops"},
        {"{\"keys\":[{" K1 ",\"key_ops\":\"verify\"}]}", "key_ops"},
        {"{\"keys\":[{" K1 ",\"key_ops\":[\"verify\",1]}]}", "key_ops"},
        {"{\"keys\":[{" K1 ",\"alg\":\"ES256\"}]}", "alg"},
        {"{\"keys\":[{" K1 ",\"simlane_scopes\":\"x\"}]}", "simlane_scopes"},
        {"{\"keys\":[{" K1 ",\"simlane_scopes\":[1]}]}", "simlane_scopes"},
        {"{\"keys\":[{" K1 ",\"simlane_scopes\":[\"schedule\"]}]}", "simlane_scopes"},
        {"{\"keys\":[{" K1 ",\"simlane_scopes\":null}]}", "simlane_scopes"},
        {"{\"keys\":[{" K1 ",\"simlane_tenants\":\"*\"}]}", "simlane_tenants"},
        {"{\"keys\":[{" K1 ",\"simlane_tenants\":[\"a/b\"]}]}", "simlane_tenants"},
        {"{\"keys\":[{" K1 ",\"simlane_tenants\":[\"*\",\"a\"]}]}", "simlane_tenants"},
        {"{\"keys\":[{" K1 ",\"simlane_tenants\":null}]}", "simlane_tenants"},
        {"{\"keys\":[{" K1 ",\"simlane_iss\":[]}]}", "simlane_iss"},
        {"{\"keys\":[{" K1 ",\"simlane_iss\":\"\"}]}", "simlane_iss"},
        {"{\"keys\":[{" K1 ",\"simlane_acr\":\"gtpsi\"}]}", "simlane_acr"},
        {"{\"keys\":[{" K1 ",\"simlane_acr\":[\"gtpsy\"]}]}", "simlane_acr"},
        {"{\"keys\":[{" K1 ",\"simlane_scope\":[]}]}", "simlane_"},
};

START_TEST(a_keyring_is_taken_whole_or_refused_with_the_reason)
{
	for (size_t i = 0; i < sizeof(keyrings) / sizeof(*keyrings); i++) {
		struct fault fault = {""};
		int count = verifier_load_keyring(fixture.verifier, span_of(keyrings[i].text), &fault);

		ck_assert_msg((count >= 0) == (keyrings[i].why == NULL), "%s: %d %s", keyrings[i].text, count,
		              fault.text);
		if (keyrings[i].why != NULL)
			ck_assert_msg(strstr(fault.text, keyrings[i].why) != NULL, "%s: %s", keyrings[i].text,
			              fault.text);
		ck_assert_ptr_null(strstr(fault.text, "nWGxne"));
	}
}
END_TEST

START_TEST(a_broken_keyring_leaves_the_old_one_in_force)
{
	struct fault fault = {""};

	ck_verdict(paseto_verdict(&fixture, "{" WHO EXP "}"), TOKEN_VALID, "before");
	ck_assert_int_eq(verifier_load_keyring(fixture.verifier, span_of("{\"keys\":[{}]}"), &fault), -1);
	ck_verdict(paseto_verdict(&fixture, "{" WHO EXP "}"), TOKEN_VALID, "after");
}
END_TEST

START_TEST(each_of_many_keys_is_found_by_its_kid)
{
	struct buf text = BUF_EMPTY;
	struct fault fault = {""};
	uint8_t seed[32];

	buf_text(&text, "{\"keys\":[");
	for (int i = 0; i < 300; i++) {
		struct buf one = BUF_EMPTY;
		char kid[16];

		memset(seed, 0, sizeof(seed));
		memcpy(seed, &i, sizeof(i));
		snprintf(kid, sizeof(kid), "k%d", i * 7 % 300);
		fixture_keyring(seed, kid, "", &one);
		buf_text(&text, i ? "," : "");
		buf_add(&text, one.ptr + strlen("{\"keys\":["), one.len - strlen("{\"keys\":[") - strlen("]}"));
		buf_free(&one);
	}
	buf_text(&text, "]}");
	ck_assert_int_eq(verifier_load_keyring(fixture.verifier, (struct span){text.ptr, text.len}, &fault), 300);
	for (int i = 0; i < 300; i++) {
		struct buf token = BUF_EMPTY;
		char footer[32];

		memset(seed, 0, sizeof(seed));
		memcpy(seed, &i, sizeof(i));
		snprintf(footer, sizeof(footer), "{\"kid\":\"k%d\"}", i * 7 % 300);
		sign_paseto(seed, span_of("{" WHO EXP "}"), footer, &token);
		ck_verdict(verdict_of(&fixture, &token), TOKEN_VALID, footer);
		buf_free(&token);
	}
	buf_free(&text);
}
END_TEST

START_TEST(a_point_of_small_order_vouches_for_nothing)
{
	/* the identity as key and R, S = 0: holds for every message where small order is let pass */
	static const char keys[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\",\"x\":"
	                           "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";
	struct buf token = BUF_EMPTY, body = BUF_EMPTY;
	uint8_t sig[64] = {1};

	ck_assert_int_eq(verifier_load_keyring(fixture.verifier, span_of(keys), NULL), 1);
	buf_text(&body, "{" WHO EXP "}");
	buf_add(&body, sig, sizeof(sig));
	buf_text(&token, "v4.public.");
	add_base64url(&token, body.ptr, body.len);
	buf_char(&token, '.');
	add_base64url(&token, FOOTER, strlen(FOOTER));
	ck_verdict(verdict_of(&fixture, &token), TOKEN_BAD_SIGNATURE, "small order");
	buf_free(&token);
	buf_free(&body);
}
END_TEST

/* ---- what a key may say ---- */

static const struct {
	const char *limits, *claims;
	enum token_verdict verdict;
} limited[] = {
        {"", ",\"tenant\":\"acme\"", TOKEN_WRONG_TENANT},
        {",\"simlane_tenants\":[\"acme\",\"b\"]", ",\"tenant\":\"acme\"", TOKEN_VALID},
        {",\"simlane_tenants\":[\"acme\"]", "", TOKEN_WRONG_TENANT},
        {",\"simlane_tenants\":[\"acme\"]", ",\"tenant\":\"Acme\"", TOKEN_WRONG_TENANT},
        {",\"simlane_tenants\":[\"acme\"]", ",\"tenant\":\"acm\"", TOKEN_WRONG_TENANT},
        {",\"simlane_tenants\":[]", "", TOKEN_WRONG_TENANT},
        {",\"simlane_tenants\":[\"*\"]", ",\"tenant\":\"any\"", TOKEN_VALID},
        {",\"simlane_tenants\":[\"*\"]", "", TOKEN_VALID},
        {",\"simlane_iss\":\"i\"", "", TOKEN_VALID},
        {",\"simlane_iss\":\"I\"", "", TOKEN_WRONG_ISSUER},
        {",\"simlane_iss\":\"ii\"", "", TOKEN_WRONG_ISSUER},
        {"", ",\"acr\":\"gtpsi\"", TOKEN_ACR_NOT_ALLOWED},
        {"", ",\"acr\":\"gtps\\u0069\"", TOKEN_ACR_NOT_ALLOWED},
        {",\"simlane_acr\":[]", ",\"acr\":\"gtpsi\"", TOKEN_ACR_NOT_ALLOWED},
        {",\"simlane_acr\":[\"gtpsi\"]", ",\"acr\":\"gtpsi\"", TOKEN_VALID},
        {"", ",\"acr\":\"GTPSI\"", TOKEN_VALID},
};

START_TEST(a_key_speaks_within_its_limits)
{
	for (size_t i = 0; i < sizeof(limited) / sizeof(*limited); i++) {
		char payload[256];

		fixture_load(&fixture, fixture.seed, limited[i].limits);
		snprintf(payload, sizeof(payload), "{" WHO EXP "%s}", limited[i].claims);
		ck_verdict(paseto_verdict(&fixture, payload), limited[i].verdict, limited[i].limits);
	}
}
END_TEST

static const struct claims *claims_of(const char *payload)
{
	struct buf token = BUF_EMPTY;
	const struct claims *claims = NULL;

	sign_paseto(fixture.seed, span_of(payload), FOOTER, &token);
	ck_verdict(token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &claims, NULL), TOKEN_VALID,
	           payload);
	buf_free(&token);
	return claims;
}

START_TEST(a_token_never_carries_more_scopes_than_its_key)
{
	const char *payload = "{" WHO EXP ",\"scope\":\"consciousness.simulation.schedule "
	                      "consciousness.simulation.collect memory.inbox.dreams.write\"}";
	const struct claims *claims;

	fixture_load(&fixture, fixture.seed,
	             ",\"simlane_scopes\":[\"consciousness.simulation.collect\",\"consciousness.simulation.work\"]");
	claims = claims_of(payload);
	ck_assert_uint_eq(claims->scopes, SCOPE_COLLECT);
	claims_let_go(claims);
	fixture_load(&fixture, fixture.seed, ",\"simlane_scopes\":[]");
	claims = claims_of(payload);
	ck_assert_uint_eq(claims->scopes, 0);
	claims_let_go(claims);
}
END_TEST

START_TEST(step_up_is_gtpsi_at_most_five_minutes_ago_and_not_from_the_future)
{
	static const struct {
		const char *claims;
		bool met;
	} examples[] = {
	        {",\"acr\":\"gtpsi\",\"auth_time\":\"2026-01-01T00:00:00Z\"", true},
	        {",\"acr\":\"gtpsi\",\"auth_time\":\"2025-12-31T23:55:00Z\"", true},
	        {",\"acr\":\"gtpsi\",\"auth_time\":\"2025-12-31T23:54:59Z\"", false},
	        {",\"acr\":\"gtpsi\",\"auth_time\":\"2026-01-01T00:00:30Z\"", true},
	        {",\"acr\":\"gtpsi\",\"auth_time\":\"2026-01-01T00:00:31Z\"", false},
	        {",\"acr\":\"gtpsi\"", false},
	        {",\"acr\":\"other\",\"auth_time\":\"2026-01-01T00:00:00Z\"", false},
	        {",\"auth_time\":\"2026-01-01T00:00:00Z\"", false},
	        {",\"acr\":\"gtpsi\",\"auth_time\":\"1970-01-01T00:00:00Z\"", false},
	};

	fixture_load(&fixture, fixture.seed, ",\"simlane_acr\":[\"gtpsi\"]");
	for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		char payload[256];

		snprintf(payload, sizeof(payload), "{" WHO EXP "%s}", examples[i].claims);
		const struct claims *claims = claims_of(payload);
		ck_assert_msg(claims_stepped_up(claims, NOW_MS) == examples[i].met, "%s", payload);
		claims_let_go(claims);
	}
}
END_TEST

/* ---- revocation ---- */

static enum token_verdict verdict_with_list(const char *list, const char *payload)
{
	struct fault fault = {""};

	ck_assert_msg(verifier_load_revoked(fixture.verifier, span_of(list), &fault) >= 0, "%s", fault.text);
	return paseto_verdict(&fixture, payload);
}

START_TEST(a_token_is_revoked_by_jti_sub_or_kid)
{
	static const struct {
		const char *list;
		enum token_verdict verdict;
	} lists[] = {
	        {"", TOKEN_VALID},
	        {"\n\n# all is well\n  \t\r\n", TOKEN_VALID},
	        {"j", TOKEN_REVOKED},
	        {"j\n", TOKEN_REVOKED},
	        {"x\r\nj\r\n", TOKEN_REVOKED},
	        {"  j \n", TOKEN_REVOKED},
	        {"jti:j", TOKEN_REVOKED},
	        {"j # stolen", TOKEN_REVOKED},
	        {"sub:s", TOKEN_REVOKED},
	        {"sub: s", TOKEN_REVOKED},
	        {"kid:k1", TOKEN_REVOKED},
	        {"# j", TOKEN_VALID},
	        {"#j", TOKEN_VALID},
	        {"J\ns\nk1\njj\nsub:j\nkid:s\nsub:k1\nSUB:s\n", TOKEN_VALID},
	        {"j\nj\nj\n", TOKEN_REVOKED},
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		ck_verdict(verdict_with_list(lists[i].list, "{" WHO EXP "}"), lists[i].verdict, lists[i].list);
}
END_TEST

START_TEST(no_jti_is_beyond_the_list)
{
	static const struct {
		const char *jti, *line;
	} odd[] = {
	        {"sub:s2", "sub:s2"}, {"sub:s2", "jti:sub:s2"},   {"#x", "jti:#x"},     {"jti:x", "jti:x"},
	        {"a # b", "a # b"},   {"sub:a # b", "sub:a # b"}, {"kid:", "jti:kid:"}, {"Ψ", "Ψ"},
	};

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		char payload[256];

		snprintf(payload, sizeof(payload), "{\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"%s\"" EXP "}", odd[i].jti);
		ck_verdict(verdict_with_list("other\n", payload), TOKEN_VALID, odd[i].jti);
		ck_verdict(verdict_with_list(odd[i].line, payload), TOKEN_REVOKED, odd[i].line);
	}
}
END_TEST

START_TEST(a_broken_list_is_refused_with_its_line_and_leaves_the_old_one_in_force)
{
	static const char *const broken[] = {"a\nsub:\n", "a\nb\x01\n", "a\n\xff\n", "a\nkid: \t\n"};
	struct buf too_long = BUF_EMPTY;
	struct fault fault = {""};

	ck_verdict(verdict_with_list("j", "{" WHO EXP "}"), TOKEN_REVOKED, "before");
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		ck_assert_int_eq(verifier_load_revoked(fixture.verifier, span_of(broken[i]), &fault), -1);
		ck_assert_ptr_nonnull(strstr(fault.text, "line 2"));
	}
	for (int i = 0; i < 257; i++)
		buf_char(&too_long, 'x');
	ck_assert_int_eq(verifier_load_revoked(fixture.verifier, (struct span){too_long.ptr, too_long.len}, &fault),
	                 -1);
	ck_assert_int_eq(verifier_load_revoked(fixture.verifier, (struct span){"a\0b", 3}, &fault), -1);
	ck_verdict(paseto_verdict(&fixture, "{" WHO EXP "}"), TOKEN_REVOKED, "after");
	buf_free(&too_long);
}
END_TEST

START_TEST(a_long_list_is_exact)
{
	struct buf list = BUF_EMPTY;
	struct fault fault = {""};
	int entries = 20000;

	for (int i = 0; i < entries; i++)
		buf_printf(&list, "%sid-%d\n", i % 3 == 0 ? "sub:" : i % 3 == 1 ? "kid:" : "", i);
	ck_assert_int_eq(verifier_load_revoked(fixture.verifier, (struct span){list.ptr, list.len}, &fault), entries);
	for (int i = 0; i < 30; i++) {
		char payload[256];
		int n = i < 15 ? i : entries - i;

		snprintf(payload, sizeof(payload), "{\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"id-%d\"" EXP "}", n);
		ck_verdict(paseto_verdict(&fixture, payload), n % 3 == 2 ? TOKEN_REVOKED : TOKEN_VALID, payload);
		snprintf(payload, sizeof(payload), "{\"iss\":\"i\",\"sub\":\"id-%d\",\"jti\":\"j\"" EXP "}", n);
		ck_verdict(paseto_verdict(&fixture, payload), n % 3 == 0 ? TOKEN_REVOKED : TOKEN_VALID, payload);
	}
	ck_verdict(paseto_verdict(&fixture, "{\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"id-20000\"" EXP "}"), TOKEN_VALID,
	           "");
	buf_free(&list);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token keyring");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, a_keyring_is_taken_whole_or_refused_with_the_reason);
	tcase_add_test(all, a_broken_keyring_leaves_the_old_one_in_force);
	tcase_add_test(all, each_of_many_keys_is_found_by_its_kid);
	tcase_add_test(all, a_point_of_small_order_vouches_for_nothing);
	tcase_add_test(all, a_key_speaks_within_its_limits);
	tcase_add_test(all, a_token_never_carries_more_scopes_than_its_key);
	tcase_add_test(all, step_up_is_gtpsi_at_most_five_minutes_ago_and_not_from_the_future);
	tcase_add_test(all, a_token_is_revoked_by_jti_sub_or_kid);
	tcase_add_test(all, no_jti_is_beyond_the_list);
	tcase_add_test(all, a_broken_list_is_refused_with_its_line_and_leaves_the_old_one_in_force);
	tcase_add_test(all, a_long_list_is_exact);
	suite_add_tcase(suite, all);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
