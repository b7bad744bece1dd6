/*
 * crypto - the few primitives the lane needs, over libsodium
 *
 * The only place that includes libsodium. Base64url is RFC 4648 section 5
 * without padding, strict: no other character, no non-zero trailing bits.
 *
 * THREADS  any, once crypto_init has returned 0.
 */
#ifndef SIMLANE_CRYPTO_H
#define SIMLANE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/span.h"

#define ED25519_PUBLIC_BYTES    32
#define ED25519_SEED_BYTES      32
#define ED25519_SIGNATURE_BYTES 64
#define HASH128_BYTES           16
#define HASH128_KEY_BYTES       16
#define DIGEST_BYTES            32

int crypto_init(void); /* 0, or -1: no usable random source */

void crypto_random(void *out, size_t len);
void crypto_wipe(void *mem, size_t len);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */

/* SipHash-2-4 with 128 bits of output: short, keyed, for tables in memory. */
void crypto_hash128(uint8_t out[HASH128_BYTES], struct span in, const uint8_t key[HASH128_KEY_BYTES]);

/* BLAKE2b-256 over the parts one after the other, each preceded by its length
 * in 8 bytes, little endian (as PASETO's PAE does): what two different lists
 * of parts share is nothing. */
void crypto_digest(uint8_t out[DIGEST_BYTES], const struct span *parts, size_t n);

/* SHA-256 (FIPS 180-4), for JWK thumbprints (RFC 7638). */
#define SHA256_BYTES 32
void crypto_sha256(uint8_t out[SHA256_BYTES], struct span in);

/* Unkeyed BLAKE2b (RFC 7693) with 16 to 64 bytes of output, for PASERK ids. */
void crypto_blake2b(uint8_t *out, size_t out_len, struct span in);

/* Ed25519 (RFC 8032); verification refuses small-order and non-canonical
 * points and non-canonical S. */
bool ed25519_verify(const uint8_t sig[ED25519_SIGNATURE_BYTES], struct span message,
                    const uint8_t public_key[ED25519_PUBLIC_BYTES]);
void ed25519_sign(uint8_t sig[ED25519_SIGNATURE_BYTES], struct span message, const uint8_t seed[ED25519_SEED_BYTES]);
void ed25519_public(uint8_t public_key[ED25519_PUBLIC_BYTES], const uint8_t seed[ED25519_SEED_BYTES]);

/* Bytes written, or -1 when the text is not strict base64url or out is too
 * small. */
long base64url_decode(uint8_t *out, size_t out_size, struct span text);
/* Characters written (no NUL). out has room for base64url_size(len). */
size_t base64url_encode(char *out, const uint8_t *bytes, size_t len);
#define base64url_size(len) (((len)*4 + 2) / 3)

#endif
