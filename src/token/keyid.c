/* keyid.c - names that follow from a key: RFC 7638 thumbprints, PASERK ids */
#include <stdio.h>
#include <string.h>

#include "simlane/crypto.h"
#include "simlane/token.h"

#define PASERK_HASH_BYTES 33
#define PASERK_KEY_MAX    64

void token_thumbprint(const uint8_t public_key[ED25519_PUBLIC_BYTES], char out[TOKEN_THUMBPRINT_SIZE])
{
	char x[base64url_size(ED25519_PUBLIC_BYTES) + 1], jwk[128];
	uint8_t hash[SHA256_BYTES];
	x[base64url_encode(x, public_key, ED25519_PUBLIC_BYTES)] = '\0';
	/* The required members only, in lexicographic order, without white space. */
	snprintf(jwk, sizeof(jwk), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
	crypto_sha256(hash, span_of(jwk));
	out[base64url_encode(out, hash, sizeof(hash))] = '\0';
}

bool token_paserk_id(bool secret, const uint8_t *key, size_t len, char out[TOKEN_PASERK_ID_SIZE])
{
	const char *header = secret ? "k4.sid." : "k4.pid.";
	char text[32 + base64url_size(PASERK_KEY_MAX)];
	uint8_t hash[PASERK_HASH_BYTES];
	if (len != (secret ? 64 : ED25519_PUBLIC_BYTES))
		return false;
	int head = snprintf(text, sizeof(text), "%s%s", header, secret ? "k4.secret." : "k4.public.");
	size_t used = (size_t)head + base64url_encode(text + head, key, len);
	crypto_blake2b(hash, sizeof(hash), (struct span){text, used});
	crypto_wipe(text, sizeof(text));
	memcpy(out, header, 7);
	out[7 + base64url_encode(out + 7, hash, sizeof(hash))] = '\0';
	return true;
}
