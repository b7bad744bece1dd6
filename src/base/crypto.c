/* crypto.c - the few primitives the lane needs, over libsodium */
#include "simlane/crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(HASH128_BYTES == crypto_shorthash_siphashx24_BYTES, "SipHash-2-4-128");
_Static_assert(HASH128_KEY_BYTES == crypto_shorthash_siphashx24_KEYBYTES, "SipHash-2-4-128");
_Static_assert(ED25519_SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519");

int crypto_init(void)
{
	return sodium_init() < 0 ? -1 : 0;
}

void crypto_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

void crypto_wipe(void *mem, size_t len)
{
	sodium_memzero(mem, len);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void crypto_hash128(uint8_t out[HASH128_BYTES], struct span in, const uint8_t key[HASH128_KEY_BYTES])
{
	crypto_shorthash_siphashx24(out, (const uint8_t *)in.ptr, in.len, key);
}

void crypto_digest(uint8_t out[DIGEST_BYTES], const struct span *parts, size_t n)
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
	for (size_t i = 0; i < n; i++) {
		uint8_t length[8];
		for (unsigned k = 0; k < 8; k++)
			length[k] = (uint8_t)((uint64_t)parts[i].len >> (8 * k));
		crypto_generichash_update(&state, length, sizeof(length));
		crypto_generichash_update(&state, (const uint8_t *)parts[i].ptr, parts[i].len);
	}
	crypto_generichash_final(&state, out, DIGEST_BYTES);
}

void crypto_sha256(uint8_t out[SHA256_BYTES], struct span in)
{
	crypto_hash_sha256(out, (const uint8_t *)in.ptr, in.len);
}

void crypto_blake2b(uint8_t *out, size_t out_len, struct span in)
{
	crypto_generichash(out, out_len, (const uint8_t *)in.ptr, in.len, NULL, 0);
}

bool ed25519_verify(const uint8_t sig[ED25519_SIGNATURE_BYTES], struct span message,
                    const uint8_t public_key[ED25519_PUBLIC_BYTES])
{
	return crypto_sign_verify_detached(sig, (const uint8_t *)message.ptr, message.len, public_key) == 0;
}

void ed25519_sign(uint8_t sig[ED25519_SIGNATURE_BYTES], struct span message, const uint8_t seed[ED25519_SEED_BYTES])
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	crypto_sign_seed_keypair(public_key, secret, seed);
	crypto_sign_detached(sig, NULL, (const uint8_t *)message.ptr, message.len, secret);
	sodium_memzero(secret, sizeof(secret));
}

void ed25519_public(uint8_t public_key[ED25519_PUBLIC_BYTES], const uint8_t seed[ED25519_SEED_BYTES])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	crypto_sign_seed_keypair(public_key, secret, seed);
	sodium_memzero(secret, sizeof(secret));
}

long base64url_decode(uint8_t *out, size_t out_size, struct span text)
{
	size_t len = 0;
	const char *end = NULL;
	if (text.len == 0)
		return 0;
	if (sodium_base642bin(out, out_size, text.ptr, text.len, NULL, &len, &end,
	                      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return -1;
	return end == text.ptr + text.len ? (long)len : -1;
}

/* Written out because libsodium's encoder is constant-time, which a public
 * token does not need, and writes a NUL. */
size_t base64url_encode(char *out, const uint8_t *bytes, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t at = 0;
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | bytes[i]) & 0xffff;
		have += 8;
		while (have >= 6) {
			have -= 6;
			out[at++] = alphabet[bits >> have & 63];
		}
	}
	if (have)
		out[at++] = alphabet[bits << (6 - have) & 63];
	return at;
}
