/*
 * token_fixture.h - a verifier with a clock of its own, and tokens of any text
 *
 * The tests sign here with the bare primitives, not with token_mint, so that
 * the two are checked against each other.
 */
#ifndef TEST_TOKEN_FIXTURE_H
#define TEST_TOKEN_FIXTURE_H

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/buf.h"
#include "simlane/claims.h"
#include "simlane/clock.h"
#include "simlane/crypto.h"
#include "simlane/token.h"

#define NOW_S       INT64_C(1767225600) /* 2026-01-01T00:00:00Z */
#define NOW_MS      (NOW_S * 1000)
#define SKEW_MS     INT64_C(30000)
#define FOOTER      "{\"kid\":\"k1\"}"
#define JWT_HEADER  "{\"alg\":\"EdDSA\",\"kid\":\"k1\"}"
#define WHO         "\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"j\""
#define EXP         ",\"exp\":\"2026-01-01T01:00:00Z\""
#define JWT_EXP     ",\"exp\":1767229200"
#define NO_IMPLICIT ((struct span){NULL, 0})

/* A text and what is to be said of it. */
struct example {
	const char *text;
	enum token_verdict verdict;
};

struct own_clock {
	struct clock clock;
	atomic_llong now_ms;
};

static inline int64_t own_wall_ms(const struct clock *c)
{
	return atomic_load(&((struct own_clock *)(uintptr_t)c)->now_ms);
}

static inline int64_t own_mono_us(const struct clock *c)
{
	return own_wall_ms(c) * 1000;
}

struct fixture {
	struct own_clock clock;
	struct verifier *verifier;
	uint8_t seed[32], other_seed[32]; /* of kid k1 and of no key */
};

/* {"keys":[{k1's public half, limits}]}; limits is "" or ,"member":value... */
static inline void fixture_keyring(const uint8_t seed[32], const char *kid, const char *limits, struct buf *out)
{
	uint8_t public_key[32];
	char x[base64url_size(32)];

	ed25519_public(public_key, seed);
	size_t n = base64url_encode(x, public_key, 32);
	buf_printf(out, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%.*s\"%s}]}", kid,
	           (int)n, x, limits);
}

static inline int fixture_load(struct fixture *f, const uint8_t seed[32], const char *limits)
{
	struct buf text = BUF_EMPTY;
	struct fault fault = {""};

	fixture_keyring(seed, "k1", limits, &text);
	int count = verifier_load_keyring(f->verifier, (struct span){text.ptr, text.len}, &fault);
	ck_assert_msg(count == 1, "%s", fault.text);
	buf_free(&text);
	return count;
}

static inline void fixture_open(struct fixture *f, const char *audience, size_t cache_entries, const char *limits)
{
	ck_assert_int_eq(crypto_init(), 0);
	f->clock.clock = (struct clock){own_wall_ms, own_mono_us};
	atomic_init(&f->clock.now_ms, NOW_MS);
	memset(f->seed, 7, sizeof(f->seed));
	memset(f->other_seed, 8, sizeof(f->other_seed));
	const struct verifier_options options = {audience, SKEW_MS, &f->clock.clock, cache_entries};
	f->verifier = verifier_new(&options);
	ck_assert_ptr_nonnull(f->verifier);
	fixture_load(f, f->seed, limits);
}

static inline void fixture_close(struct fixture *f)
{
	verifier_free(f->verifier);
}

static inline void add_base64url(struct buf *out, const void *bytes, size_t len)
{
	char *text = malloc(base64url_size(len) + 1);

	ck_assert_ptr_nonnull(text);
	buf_add(out, text, base64url_encode(text, bytes, len));
	free(text);
}

static inline void add_le64(struct buf *out, uint64_t value)
{
	for (int i = 0; i < 8; i++, value >>= 8)
		buf_char(out, (char)(value & 255));
}

static inline void add_piece(struct buf *out, struct span s)
{
	add_le64(out, s.len);
	buf_span(out, s);
}

/* footer NULL: none. */
static inline void sign_paseto(const uint8_t seed[32], struct span payload, const char *footer, struct buf *out)
{
	struct buf pae = BUF_EMPTY, body = BUF_EMPTY;
	uint8_t sig[64];

	add_le64(&pae, 4);
	add_piece(&pae, span_of("v4.public."));
	add_piece(&pae, payload);
	add_piece(&pae, span_of(footer ? footer : ""));
	add_piece(&pae, span_of(""));
	ed25519_sign(sig, (struct span){pae.ptr, pae.len}, seed);
	buf_span(&body, payload);
	buf_add(&body, sig, sizeof(sig));
	buf_text(out, "v4.public.");
	add_base64url(out, body.ptr, body.len);
	if (footer) {
		buf_char(out, '.');
		add_base64url(out, footer, strlen(footer));
	}
	buf_free(&pae);
	buf_free(&body);
}

static inline void sign_jwt(const uint8_t seed[32], struct span payload, const char *header, struct buf *out)
{
	uint8_t sig[64];
	size_t begin = out->len;

	add_base64url(out, header, strlen(header));
	buf_char(out, '.');
	add_base64url(out, payload.ptr, payload.len);
	ed25519_sign(sig, (struct span){out->ptr + begin, out->len - begin}, seed);
	buf_char(out, '.');
	add_base64url(out, sig, sizeof(sig));
}

static inline enum token_verdict verdict_of(struct fixture *f, struct buf *token)
{
	const struct claims *claims = NULL;
	enum token_verdict verdict = token_verify(f->verifier, (struct span){token->ptr, token->len}, &claims, NULL);

	ck_assert_int_eq(claims != NULL, verdict == TOKEN_VALID);
	claims_let_go(claims);
	return verdict;
}

/* The verdict of that payload, well signed by k1. */
static inline enum token_verdict paseto_verdict(struct fixture *f, const char *payload)
{
	struct buf token = BUF_EMPTY;

	sign_paseto(f->seed, span_of(payload), FOOTER, &token);
	enum token_verdict verdict = verdict_of(f, &token);
	buf_free(&token);
	return verdict;
}

static inline enum token_verdict jwt_verdict(struct fixture *f, const char *header, const char *payload)
{
	struct buf token = BUF_EMPTY;

	sign_jwt(f->seed, span_of(payload), header, &token);
	enum token_verdict verdict = verdict_of(f, &token);
	buf_free(&token);
	return verdict;
}

#define ck_verdict(got, want, what)                                                                                    \
	do {                                                                                                           \
		enum token_verdict got_ = (got), want_ = (want);                                                       \
		ck_assert_msg(got_ == want_, "%s: %s, not %s", what, token_verdict_name(got_),                         \
		              token_verdict_name(want_));                                                              \
	} while (0)

#endif
