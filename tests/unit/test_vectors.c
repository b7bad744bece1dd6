/*
 * test_vectors - the official vectors, read where they are
 *
 * SIMLANE_VECTORS names their directory (default: ../shared/vectors beside
 * the repository). Without it the program says "skipped"; own small vectors
 * are in test_token.c and always run.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "simlane/buf.h"
#include "simlane/crypto.h"
#include "simlane/token.h"

static const char *directory(void)
{
	const char *named = getenv("SIMLANE_VECTORS");

	return named ? named : "../shared/vectors";
}

static json_t *load(const char *name)
{
	char path[4096];
	json_error_t error;

	snprintf(path, sizeof(path), "%s/%s", directory(), name);
	json_t *document = json_load_file(path, 0, &error);
	ck_assert_msg(document != NULL, "%s: %s", path, error.text);
	ck_assert_int_eq(crypto_init(), 0);
	return document;
}

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

/* Bytes of a member in hex; their number. */
static size_t bytes_of(const json_t *object, const char *member, uint8_t *out, size_t room)
{
	const char *hex = text_of(object, member);
	size_t n = strlen(hex) / 2;

	ck_assert_uint_le(n, room);
	for (size_t i = 0; i < n; i++) {
		unsigned byte = 0;

		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

struct opened {
	enum token_verdict verdict;
	struct buf payload, head;
};

static struct opened open_token(const char *token, const uint8_t *public_key, const char *implicit)
{
	struct opened o = {TOKEN_MALFORMED, BUF_EMPTY, BUF_EMPTY};

	o.verdict = token_open(span_of(token), public_key, span_of(implicit), &o.payload, &o.head);
	return o;
}

static void close_token(struct opened *o)
{
	buf_free(&o->payload);
	buf_free(&o->head);
}

static bool buf_is(const struct buf *b, const char *text)
{
	return span_is((struct span){b->ptr, b->len}, text);
}

/* ---- PASETO ---- */

static void check_signed(const json_t *t)
{
	uint8_t public_key[32], seed[32], derived[32];

	ck_assert_uint_eq(bytes_of(t, "public-key", public_key, 32), 32);
	ck_assert_uint_eq(bytes_of(t, "secret-key-seed", seed, 32), 32);
	ed25519_public(derived, seed);
	ck_assert_mem_eq(derived, public_key, 32);
	const char *implicit = text_of(t, "implicit-assertion");
	struct opened o = open_token(text_of(t, "token"), public_key, implicit);
	ck_assert_msg(o.verdict == TOKEN_VALID, "%s: %s", text_of(t, "name"), token_verdict_name(o.verdict));
	ck_assert(buf_is(&o.payload, text_of(t, "payload")));
	ck_assert(buf_is(&o.head, text_of(t, "footer")));
	close_token(&o);
	o = open_token(text_of(t, "token"), public_key, "{\"another\":\"implicit assertion\"}");
	ck_assert_int_eq(o.verdict, TOKEN_BAD_SIGNATURE);
	close_token(&o);
}

START_TEST(every_paseto_v4_public_vector_opens)
{
	json_t *file = load("paseto/v4.json"), *t;
	size_t i, done = 0;

	json_array_foreach(json_object_get(file, "tests"), i, t)
	{
		if (strncmp(text_of(t, "name"), "4-S-", 4) != 0)
			continue;
		check_signed(t);
		done++;
	}
	ck_assert_uint_eq(done, 3);
	json_decref(file);
}
END_TEST

START_TEST(every_other_paseto_vector_is_refused)
{
	json_t *file = load("paseto/v4.json"), *t;
	size_t i, local = 0, failing = 0;
	uint8_t public_key[32], seed[32] = {0};

	json_array_foreach(json_object_get(file, "tests"), i, t)
	{
		if (strncmp(text_of(t, "name"), "4-S-", 4) == 0)
			continue;
		/* those of encryption have no public key; any will do, none may open them */
		ed25519_public(public_key, seed);
		if (json_object_get(t, "public-key"))
			bytes_of(t, "public-key", public_key, 32);
		struct opened o = open_token(text_of(t, "token"), public_key, text_of(t, "implicit-assertion"));
		ck_assert_msg(o.verdict != TOKEN_VALID, "%s", text_of(t, "name"));
		ck_assert_uint_eq(o.payload.len, 0);
		close_token(&o);
		failing += json_is_true(json_object_get(t, "expect-fail"));
		local += strncmp(text_of(t, "name"), "4-E-", 4) == 0;
	}
	ck_assert_uint_eq(failing, 5);
	ck_assert_uint_eq(local, 9);
	json_decref(file);
}
END_TEST

/* ---- PASERK: the key bytes behind the prefix are what a keyring's x is ---- */

static long paserk_bytes(const char *paserk, const char *prefix, uint8_t *out, size_t room)
{
	if (strncmp(paserk, prefix, strlen(prefix)) != 0)
		return -1;
	return base64url_decode(out, room, span_of(paserk + strlen(prefix)));
}

/* Does a keyring take these bytes for an Ed25519 key? */
static bool keyring_takes(const uint8_t *bytes, size_t n)
{
	const struct verifier_options options = {.clock = &clock_system};
	struct verifier *verifier = verifier_new(&options);
	char x[base64url_size(96)];
	struct buf text = BUF_EMPTY;

	buf_text(&text, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"");
	buf_add(&text, x, base64url_encode(x, bytes, n));
	buf_text(&text, "\"}]}");
	int count = verifier_load_keyring(verifier, (struct span){text.ptr, text.len}, NULL);
	verifier_free(verifier);
	buf_free(&text);
	return count == 1;
}

START_TEST(paserk_public_keys_are_base64url_as_we_read_and_write_it)
{
	json_t *file = load("paseto/PASERK/k4.public.json"), *t;
	uint8_t key[64], decoded[64];
	char encoded[base64url_size(64)];
	size_t i;

	json_array_foreach(json_object_get(file, "tests"), i, t)
	{
		const char *paserk = text_of(t, "paserk");
		size_t n = bytes_of(t, "key", key, sizeof(key));

		if (json_is_true(json_object_get(t, "expect-fail"))) {
			ck_assert(!keyring_takes(key, n));
			continue;
		}
		ck_assert_int_eq(paserk_bytes(paserk, "k4.public.", decoded, sizeof(decoded)), 32);
		ck_assert_mem_eq(decoded, key, 32);
		ck_assert(keyring_takes(key, n));
		ck_assert(span_is((struct span){encoded, base64url_encode(encoded, key, 32)},
		                  paserk + strlen("k4.public.")));
	}
	json_decref(file);
}
END_TEST

START_TEST(paserk_secret_keys_are_our_seed_and_its_public_key)
{
	json_t *file = load("paseto/PASERK/k4.secret.json"), *t;
	uint8_t key[96], decoded[96], public_key[32];
	size_t i;

	json_array_foreach(json_object_get(file, "tests"), i, t)
	{
		const char *paserk = text_of(t, "paserk");
		size_t n = bytes_of(t, "key", key, sizeof(key));

		if (json_is_true(json_object_get(t, "expect-fail"))) {
			ck_assert(!keyring_takes(key, n));
			continue;
		}
		ck_assert_int_eq(paserk_bytes(paserk, "k4.secret.", decoded, sizeof(decoded)), 64);
		ck_assert_mem_eq(decoded, key, 64);
		ed25519_public(public_key, decoded);
		ck_assert_mem_eq(public_key, decoded + 32, 32);
	}
	json_decref(file);
}
END_TEST

/* ---- Ed25519 ---- */

START_TEST(every_wycheproof_ed25519_signature_is_judged_as_it_should_be)
{
	json_t *file = load("wycheproof/testvectors_v1/ed25519_test.json"), *group, *t;
	uint8_t public_key[32], sig[256], message[4096];
	size_t g, i, done = 0;

	json_array_foreach(json_object_get(file, "testGroups"), g, group)
	{
		ck_assert_uint_eq(bytes_of(json_object_get(group, "publicKey"), "pk", public_key, 32), 32);
		json_array_foreach(json_object_get(group, "tests"), i, t)
		{
			size_t message_len = bytes_of(t, "msg", message, sizeof(message));
			bool right = bytes_of(t, "sig", sig, sizeof(sig)) == ED25519_SIGNATURE_BYTES &&
			             ed25519_verify(sig, (struct span){(char *)message, message_len}, public_key);

			ck_assert_msg(right == (strcmp(text_of(t, "result"), "valid") == 0), "tcId %d: %s",
			              (int)json_integer_value(json_object_get(t, "tcId")), text_of(t, "comment"));
			done++;
		}
	}
	ck_assert_uint_eq(done, 151);
	json_decref(file);
}
END_TEST

/* The same signatures inside a token: lengths are the token reader's to check. */
START_TEST(every_wycheproof_signature_is_judged_the_same_in_a_paseto_form)
{
	json_t *file = load("wycheproof/testvectors_v1/ed25519_test.json"), *group, *t;
	uint8_t public_key[32], sig[256], message[4096];
	char text[8192];
	size_t g, i;

	json_array_foreach(json_object_get(file, "testGroups"), g, group)
	{
		bytes_of(json_object_get(group, "publicKey"), "pk", public_key, 32);
		json_array_foreach(json_object_get(group, "tests"), i, t)
		{
			/* what is signed is not PAE, so none may open */
			size_t n = bytes_of(t, "msg", message, sizeof(message));
			size_t sig_len = bytes_of(t, "sig", sig, sizeof(sig));
			memcpy(message + n, sig, sig_len);
			size_t len = (size_t)sprintf(text, "v4.public.");
			len += base64url_encode(text + len, message, n + sig_len);
			text[len] = '\0';
			struct opened o = open_token(text, public_key, "");
			ck_assert_int_ne(o.verdict, TOKEN_VALID);
			close_token(&o);
		}
	}
	json_decref(file);
}
END_TEST

/* ---- RFC 8037 appendix A ---- */

START_TEST(the_rfc_8037_key_signs_and_opens_the_rfc_8037_jws)
{
	json_t *v = load("rfc8037/rfc8037_appendix_a.json");
	uint8_t seed[32], x[32], derived[32], sig[64];
	char text[base64url_size(64) + 1];
	struct buf input = BUF_EMPTY;

	ck_assert_int_eq(base64url_decode(seed, 32, span_of(text_of(json_object_get(v, "jwk_private"), "d"))), 32);
	ck_assert_int_eq(base64url_decode(x, 32, span_of(text_of(json_object_get(v, "jwk_public"), "x"))), 32);
	ed25519_public(derived, seed);
	ck_assert_mem_eq(derived, x, 32);

	const char *jws = text_of(v, "jws_compact");
	struct opened o = open_token(jws, x, "");
	ck_assert_int_eq(o.verdict, TOKEN_VALID);
	ck_assert(buf_is(&o.payload, text_of(v, "jws_payload")));
	ck_assert(buf_is(&o.head, text_of(v, "jws_header")));
	close_token(&o);

	const char *last_dot = strrchr(jws, '.');
	buf_add(&input, jws, (size_t)(last_dot - jws));
	ed25519_sign(sig, (struct span){input.ptr, input.len}, seed);
	text[base64url_encode(text, sig, 64)] = '\0';
	ck_assert_str_eq(text, last_dot + 1);
	buf_free(&input);
	json_decref(v);
}
END_TEST

START_TEST(the_rfc_8037_public_key_is_a_keyring_and_the_private_one_is_not)
{
	json_t *v = load("rfc8037/rfc8037_appendix_a.json");
	const struct verifier_options options = {.clock = &clock_system};
	const char *const members[] = {"jwk_public", "jwk_private"};

	for (int i = 0; i < 2; i++) {
		json_t *jwk = json_copy(json_object_get(v, members[i]));
		json_object_set_new(jwk, "kid", json_string("a"));
		json_t *set = json_pack("{s:[o]}", "keys", jwk);
		char *text = json_dumps(set, 0);
		struct verifier *verifier = verifier_new(&options);
		struct fault fault = {""};

		ck_assert_int_eq(verifier_load_keyring(verifier, span_of(text), &fault), i == 0 ? 1 : -1);
		verifier_free(verifier);
		free(text);
		json_decref(set);
	}
	json_decref(v);
}
END_TEST

/* Every vector of a PASERK id file, the refused ones included. */
static void check_paserk_ids(const char *path, bool secret)
{
	json_t *file = load(path), *t;
	uint8_t key[128];
	char id[TOKEN_PASERK_ID_SIZE];
	size_t i;

	json_array_foreach(json_object_get(file, "tests"), i, t)
	{
		size_t n = bytes_of(t, "key", key, sizeof(key));
		bool refused = json_is_true(json_object_get(t, "expect-fail"));

		if (refused && n == (secret ? 64 : 32))
			continue; /* a key of another version, which only its type could tell */
		ck_assert_int_eq(token_paserk_id(secret, key, n, id), !refused);
		if (!refused)
			ck_assert_str_eq(id, text_of(t, "paserk"));
	}
	json_decref(file);
}

START_TEST(paserk_ids_of_public_keys_are_as_the_vectors_say)
{
	check_paserk_ids("paseto/PASERK/k4.pid.json", false);
}
END_TEST

START_TEST(paserk_ids_of_secret_keys_are_as_the_vectors_say)
{
	check_paserk_ids("paseto/PASERK/k4.sid.json", true);
}
END_TEST

START_TEST(the_rfc_8037_key_has_the_rfc_8037_thumbprint)
{
	json_t *v = load("rfc8037/rfc8037_appendix_a.json");
	uint8_t x[32];
	char thumbprint[TOKEN_THUMBPRINT_SIZE];

	ck_assert_int_eq(base64url_decode(x, 32, span_of(text_of(json_object_get(v, "jwk_public"), "x"))), 32);
	token_thumbprint(x, thumbprint);
	ck_assert_str_eq(thumbprint, text_of(v, "jwk_thumbprint_sha256"));
	json_decref(v);
}
END_TEST

static void print_exempt(void)
{
	puts("exempt: paseto v4.local (4-E-*) opens nowhere: the lane takes public tokens only (refusal is tested)");
}

int main(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/paseto/v4.json", directory());
	if (access(path, R_OK) != 0) {
		printf("skipped: no official vectors in %s (set SIMLANE_VECTORS)\n", directory());
		return EXIT_SUCCESS;
	}
	print_exempt();
	Suite *suite = suite_create("official vectors");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_test(all, every_paseto_v4_public_vector_opens);
	tcase_add_test(all, every_other_paseto_vector_is_refused);
	tcase_add_test(all, paserk_public_keys_are_base64url_as_we_read_and_write_it);
	tcase_add_test(all, paserk_secret_keys_are_our_seed_and_its_public_key);
	tcase_add_test(all, paserk_ids_of_public_keys_are_as_the_vectors_say);
	tcase_add_test(all, paserk_ids_of_secret_keys_are_as_the_vectors_say);
	tcase_add_test(all, the_rfc_8037_key_has_the_rfc_8037_thumbprint);
	tcase_add_test(all, every_wycheproof_ed25519_signature_is_judged_as_it_should_be);
	tcase_add_test(all, every_wycheproof_signature_is_judged_the_same_in_a_paseto_form);
	tcase_add_test(all, the_rfc_8037_key_signs_and_opens_the_rfc_8037_jws);
	tcase_add_test(all, the_rfc_8037_public_key_is_a_keyring_and_the_private_one_is_not);
	suite_add_tcase(suite, all);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
