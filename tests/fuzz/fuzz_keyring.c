/*
 * fuzz_keyring - any bytes as a keyring (first byte k) or a revocation list
 *
 * A file is taken whole or refused with a line that says why; nothing of a
 * refused one is in force.
 */
#include <stdlib.h>
#include <string.h>

#include "simlane/buf.h"
#include "simlane/crypto.h"
#include "simlane/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_fault(int count, const struct fault *fault)
{
	require((count < 0) == (fault->text[0] != '\0'));
	require(strchr(fault->text, '\n') == NULL);
}

/* Whatever the keyring, a token by a key that was never in one is not valid. */
static void check_stranger(struct verifier *v)
{
	static const uint8_t seed[32] = {9, 9, 9};
	const struct token_mint m = {
	        .kid = "k1", .iss = "i", .sub = "s", .jti = "j", .expires_ms = clock_wall_ms(&clock_system) + 60000};
	struct buf token = BUF_EMPTY;
	const struct claims *claims = NULL;

	require(token_mint(&m, seed, &token));
	require(token_verify(v, (struct span){token.ptr, token.len}, &claims, NULL) != TOKEN_VALID);
	buf_free(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct verifier_options options = {.clock = &clock_system};
	struct fault fault = {""};

	require(crypto_init() == 0);
	if (size == 0)
		return 0;
	struct verifier *v = verifier_new(&options);
	struct span text = {(const char *)data + 1, size - 1};
	require(v != NULL);
	int count = *data == 'k' ? verifier_load_keyring(v, text, &fault) : verifier_load_revoked(v, text, &fault);
	check_fault(count, &fault);
	check_stranger(v);
	verifier_free(v);
	return 0;
}
