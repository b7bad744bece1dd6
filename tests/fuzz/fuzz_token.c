/*
 * fuzz_token - any bytes as a token, and any bytes well signed
 *
 * The first byte says what the rest is: a whole token; the payload of a
 * PASETO or a JWT that the known key signs; or a JWT's header, a NUL, and
 * the payload, signed. So that the claims' reader is reached without luck.
 * Whatever comes: no verdict without claims, the same verdict again, and
 * nothing valid that was not signed here.
 */
#include <stdlib.h>
#include <string.h>

#include "simlane/buf.h"
#include "simlane/crypto.h"
#include "simlane/token.h"

#define NOW_MS INT64_C(1767225600000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t fixed_wall_ms(const struct clock *c)
{
	(void)c;
	return NOW_MS;
}

static const struct clock fixed = {fixed_wall_ms, fixed_wall_ms};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void add_base64url(struct buf *out, const void *bytes, size_t len)
{
	if (buf_reserve(out, base64url_size(len) + 1))
		out->len += base64url_encode(out->ptr + out->len, bytes, len);
}

static void add_piece(struct buf *out, struct span s)
{
	uint64_t len = s.len;

	for (int i = 0; i < 8; i++, len >>= 8)
		buf_char(out, (char)(len & 255));
	buf_span(out, s);
}

static void sign_paseto(const uint8_t seed[32], struct span payload, struct buf *out)
{
	const struct span footer = span_of("{\"kid\":\"k1\"}");
	struct buf pae = BUF_EMPTY, body = BUF_EMPTY;
	uint8_t sig[64];

	buf_add(&pae, "\4\0\0\0\0\0\0\0", 8);
	add_piece(&pae, span_of("v4.public."));
	add_piece(&pae, payload);
	add_piece(&pae, footer);
	add_piece(&pae, span_of(""));
	ed25519_sign(sig, (struct span){pae.ptr, pae.len}, seed);
	buf_span(&body, payload);
	buf_add(&body, sig, sizeof(sig));
	buf_text(out, "v4.public.");
	add_base64url(out, body.ptr, body.len);
	buf_char(out, '.');
	add_base64url(out, footer.ptr, footer.len);
	buf_free(&pae);
	buf_free(&body);
}

static void sign_jwt(const uint8_t seed[32], struct span header, struct span payload, struct buf *out)
{
	uint8_t sig[64];

	add_base64url(out, header.ptr, header.len);
	buf_char(out, '.');
	add_base64url(out, payload.ptr, payload.len);
	ed25519_sign(sig, (struct span){out->ptr, out->len}, seed);
	buf_char(out, '.');
	add_base64url(out, sig, sizeof(sig));
}

static struct verifier *make_verifier(const uint8_t seed[32])
{
	const struct verifier_options options = {.skew_ms = 30000, .clock = &fixed, .cache_entries = 64};
	struct verifier *v = verifier_new(&options);
	struct buf keys = BUF_EMPTY;
	uint8_t public_key[32];

	require(v != NULL);
	ed25519_public(public_key, seed);
	buf_text(&keys, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\",\"simlane_tenants\":[\"*\"],"
	                "\"simlane_acr\":[\"gtpsi\"],\"x\":\"");
	add_base64url(&keys, public_key, sizeof(public_key));
	buf_text(&keys, "\"}]}");
	require(verifier_load_keyring(v, (struct span){keys.ptr, keys.len}, NULL) == 1);
	require(verifier_load_revoked(v, span_of("revoked\nsub:gone\n"), NULL) == 2);
	buf_free(&keys);
	return v;
}

static void check_claims(struct verifier *v, const struct claims *c)
{
	require(*c->iss && *c->sub && *c->jti && *c->tenant && strcmp(c->kid, "k1") == 0);
	require(strcmp(c->jti, "revoked") != 0 && strcmp(c->sub, "gone") != 0);
	require(strlen(c->tenant) <= 64 && strlen(c->sub) <= 1024);
	require(c->expires_ms + c->skew_ms > NOW_MS && c->not_before_ms <= NOW_MS + c->skew_ms);
	require(token_recheck(v, c) == TOKEN_VALID);
}

static void check_token(struct verifier *v, struct span token, bool was_signed)
{
	const struct claims *first = NULL, *second = NULL;
	struct buf payload = BUF_EMPTY, head = BUF_EMPTY;
	bool cached = false;
	enum token_verdict verdict = token_verify(v, token, &first, NULL);

	require((first != NULL) == (verdict == TOKEN_VALID));
	require(token_verify(v, token, &second, &cached) == verdict);
	require(was_signed || verdict != TOKEN_VALID);
	if (verdict == TOKEN_VALID)
		check_claims(v, second);
	enum token_verdict opened = token_open(token, NULL, (struct span){NULL, 0}, &payload, &head);
	require(opened == TOKEN_VALID || opened == TOKEN_MALFORMED);
	require(verdict != TOKEN_VALID || opened == TOKEN_VALID);
	claims_let_go(first);
	claims_let_go(second);
	buf_free(&payload);
	buf_free(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct verifier *v;
	static const uint8_t seed[32] = {42};
	struct buf token = BUF_EMPTY;

	if (v == NULL) {
		require(crypto_init() == 0);
		v = make_verifier(seed);
	}
	if (size == 0)
		return 0;
	struct span rest = {(const char *)data + 1, size - 1};
	const char *nul = memchr(rest.ptr, '\0', rest.len);
	switch (*data) {
	case 'p':
		sign_paseto(seed, rest, &token);
		break;
	case 'j':
		sign_jwt(seed, span_of("{\"alg\":\"EdDSA\",\"kid\":\"k1\"}"), rest, &token);
		break;
	case 'h':
		if (nul == NULL)
			return 0;
		sign_jwt(seed, (struct span){rest.ptr, (size_t)(nul - rest.ptr)},
		         (struct span){nul + 1, rest.len - (size_t)(nul + 1 - rest.ptr)}, &token);
		break;
	default:
		check_token(v, rest, false);
		return 0;
	}
	check_token(v, (struct span){token.ptr, token.len}, true);
	buf_free(&token);
	return 0;
}
