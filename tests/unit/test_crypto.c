/* test_crypto.c - the primitives, against published vectors */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/crypto.h"

static void from_hex(const char *hex, uint8_t *out)
{
	for (; *hex; hex += 2) {
		unsigned byte;
		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		*out++ = (uint8_t)byte;
	}
}

static void setup(void)
{
	ck_assert_int_eq(crypto_init(), 0);
}

/* RFC 8032 section 7.1, tests 1 to 3 */
static const struct {
	const char *seed, *public_key, *message, *signature;
} ed25519[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bb"
         "e"
         "24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302"
         "a"
         "eeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed"
         "2"
         "8dc027beceea1ec40a"},
};

START_TEST(ed25519_is_rfc_8032s)
{
	for (size_t i = 0; i < sizeof(ed25519) / sizeof(ed25519[0]); i++) {
		uint8_t seed[32], key[32], sig[64], made_key[32], made_sig[64], message[4];
		struct span m = {(char *)message, strlen(ed25519[i].message) / 2};
		from_hex(ed25519[i].seed, seed);
		from_hex(ed25519[i].public_key, key);
		from_hex(ed25519[i].signature, sig);
		from_hex(ed25519[i].message, message);
		ed25519_public(made_key, seed);
		ed25519_sign(made_sig, m, seed);
		ck_assert_mem_eq(made_key, key, 32);
		ck_assert_mem_eq(made_sig, sig, 64);
		ck_assert(ed25519_verify(sig, m, key));
	}
}
END_TEST

START_TEST(a_signature_with_any_bit_changed_is_refused)
{
	uint8_t seed[32] = {1}, key[32], sig[64];
	char text[] = "message";
	ed25519_public(key, seed);
	ed25519_sign(sig, span_of(text), seed);
	for (int bit = 0; bit < 512; bit++) {
		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(!ed25519_verify(sig, span_of(text), key));
		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	text[0] ^= 1;
	ck_assert(!ed25519_verify(sig, span_of(text), key));
}
END_TEST

START_TEST(a_small_order_key_verifies_nothing)
{
	/* the neutral element as key and R, S = 0: holds for every message where it is not refused */
	uint8_t key[32] = {1}, sig[64] = {1};
	ck_assert(!ed25519_verify(sig, span_of("x"), key));
}
END_TEST

START_TEST(s_beyond_the_group_order_is_refused)
{
	/* S + L of a good signature: the same equation, another spelling */
	static const char order[] = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
	uint8_t seed[32] = {2}, key[32], sig[64], l[32];
	unsigned carry = 0;
	from_hex(order, l);
	ed25519_public(key, seed);
	ed25519_sign(sig, span_of("m"), seed);
	for (int i = 0; i < 32; i++) {
		carry += sig[32 + i] + (unsigned)l[i];
		sig[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	ck_assert(!ed25519_verify(sig, span_of("m"), key));
}
END_TEST

START_TEST(siphash_is_the_reference)
{
	/* the reference implementation's vectors for 128 bits: key 00..0f, input empty and 00 */
	uint8_t key[16], out[16], want[16], zero[1] = {0};
	for (unsigned i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	crypto_hash128(out, (struct span){NULL, 0}, key);
	from_hex("a3817f04ba25a8e66df67214c7550293", want);
	ck_assert_mem_eq(out, want, 16);
	crypto_hash128(out, (struct span){(char *)zero, 1}, key);
	from_hex("da87c1d86b99af44347659119b22fc45", want);
	ck_assert_mem_eq(out, want, 16);
}
END_TEST

START_TEST(a_digest_tells_lists_of_parts_apart)
{
	static const struct span lists[][3] = {
	        {{"ab", 2}, {"c", 1}, {"", 0}}, {{"a", 1}, {"bc", 2}, {"", 0}}, {{"abc", 3}, {"", 0}, {"", 0}},
	        {{"", 0}, {"abc", 3}, {"", 0}}, {{"", 0}, {"", 0}, {"abc", 3}},
	};
	uint8_t digests[6][DIGEST_BYTES];
	for (size_t i = 0; i < 5; i++)
		crypto_digest(digests[i], lists[i], 3);
	crypto_digest(digests[5], lists[2], 2); /* one part less */
	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_mem_ne(digests[i], digests[k], DIGEST_BYTES);
	crypto_digest(digests[5], lists[0], 3);
	ck_assert_mem_eq(digests[5], digests[0], DIGEST_BYTES);
	/* absent and empty read the same */
	crypto_digest(digests[4], &(struct span){NULL, 0}, 1);
	crypto_digest(digests[5], &(struct span){"", 0}, 1);
	ck_assert_mem_eq(digests[5], digests[4], DIGEST_BYTES);
}
END_TEST

START_TEST(random_bytes_differ_and_wiped_ones_are_zero)
{
	uint8_t a[32], b[32], zero[32] = {0};
	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	ck_assert(!crypto_equal(a, b, 32));
	ck_assert(crypto_equal(a, a, 32));
	ck_assert(crypto_equal(a, b, 0));
	crypto_wipe(a, sizeof(a));
	ck_assert_mem_eq(a, zero, 32);
}
END_TEST

/* ---- base64url ---- */

/* RFC 4648 section 10, without padding */
static const struct {
	const char *bytes, *text;
} base64[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
              {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"}};

START_TEST(base64url_is_rfc_4648s)
{
	for (size_t i = 0; i < sizeof(base64) / sizeof(base64[0]); i++) {
		char text[16];
		uint8_t bytes[16];
		size_t len = strlen(base64[i].bytes);
		size_t n = base64url_encode(text, (const uint8_t *)base64[i].bytes, len);
		ck_assert_uint_eq(n, base64url_size(len));
		ck_assert(span_is((struct span){text, n}, base64[i].text));
		ck_assert_int_eq(base64url_decode(bytes, sizeof(bytes), span_of(base64[i].text)), (long)len);
		ck_assert_mem_eq(bytes, base64[i].bytes, len);
	}
}
END_TEST

START_TEST(only_the_one_strict_spelling_is_base64url)
{
	static const char *const wrong[] = {"Zg==",   "Zg=",  "Z",    "Zm9vY", "Zh",       "Zm9",  "Zm9v ", " Zm9v",
	                                    "Zm\n9v", "Zm+v", "Zm/v", "Zm9v.", "Zm9v\x80", "Zg\t", "=",     "A"};
	uint8_t out[16];
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(base64url_decode(out, sizeof(out), span_of(wrong[i])) == -1, "%s", wrong[i]);
	ck_assert_int_eq(base64url_decode(out, sizeof(out), (struct span){"Zg\0\0", 4}), -1);
	ck_assert_int_eq(base64url_decode(out, 5, span_of("Zm9vYmFy")), -1); /* no room */
	ck_assert_int_eq(base64url_decode(out, 6, span_of("Zm9vYmFy")), 6);
	ck_assert_int_eq(base64url_decode(out, 0, span_of("Zg")), -1);
}
END_TEST

START_TEST(what_is_encoded_decodes_to_the_same)
{
	uint8_t bytes[256], back[256];
	char text[base64url_size(256)];
	for (size_t len = 0; len <= 256; len++) {
		crypto_random(bytes, sizeof(bytes));
		size_t n = base64url_encode(text, bytes, len);
		ck_assert_uint_eq(n, base64url_size(len));
		ck_assert_int_eq(base64url_decode(back, len, (struct span){text, n}), (long)len);
		ck_assert_mem_eq(bytes, back, len);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crypto");
	TCase *t = tcase_create("crypto");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, ed25519_is_rfc_8032s);
	tcase_add_test(t, a_signature_with_any_bit_changed_is_refused);
	tcase_add_test(t, a_small_order_key_verifies_nothing);
	tcase_add_test(t, s_beyond_the_group_order_is_refused);
	tcase_add_test(t, siphash_is_the_reference);
	tcase_add_test(t, a_digest_tells_lists_of_parts_apart);
	tcase_add_test(t, random_bytes_differ_and_wiped_ones_are_zero);
	tcase_add_test(t, base64url_is_rfc_4648s);
	tcase_add_test(t, only_the_one_strict_spelling_is_base64url);
	tcase_add_test(t, what_is_encoded_decodes_to_the_same);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
