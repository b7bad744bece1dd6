/* token/mint - a token made, for the tool and the tests */
#include <inttypes.h>

#include "form.h"
#include "keyring.h"
#include "simlane/claims.h"
#include "simlane/token.h"
#include "text.h"

/* A JSON object that is being written. */
struct writing {
	struct buf *out;
	bool jwt;
};

static void add_name(const struct writing *w, const char *name)
{
	buf_char(w->out, w->out->len > 1 ? ',' : '{');
	buf_json_string(w->out, span_of(name));
	buf_char(w->out, ':');
}

static void add_string(const struct writing *w, const char *name, const char *value)
{
	if (value == NULL)
		return;
	add_name(w, name);
	buf_json_string(w->out, span_of(value));
}

static void add_time(const struct writing *w, const char *name, int64_t ms)
{
	char text[RFC3339_SIZE];

	if (ms == 0)
		return;
	add_name(w, name);
	if (!w->jwt) {
		rfc3339_format(ms, text);
		buf_json_string(w->out, span_of(text));
	} else if (ms % 1000 == 0) {
		buf_int(w->out, ms / 1000);
	} else {
		buf_printf(w->out, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
	}
}

static void add_scopes(const struct writing *w, unsigned scopes)
{
	const char *between = "";

	if (scopes == 0)
		return;
	add_name(w, "scope");
	buf_char(w->out, '"');
	for (const struct scope_name *s = scope_names; s->name != NULL; s++) {
		if ((scopes & s->bit) == 0)
			continue;
		buf_text(w->out, between);
		buf_text(w->out, s->name);
		between = " ";
	}
	buf_char(w->out, '"');
}

static void write_payload(const struct token_mint *m, struct buf *out)
{
	const struct writing w = {out, m->jwt};

	add_string(&w, "iss", m->iss);
	add_string(&w, "sub", m->sub);
	add_string(&w, "jti", m->jti);
	add_string(&w, "aud", m->audience);
	add_time(&w, "iat", m->issued_ms);
	add_time(&w, "nbf", m->not_before_ms);
	add_time(&w, "exp", m->expires_ms);
	add_string(&w, "tenant", m->tenant);
	add_scopes(&w, m->scopes);
	add_string(&w, "acr", m->acr);
	add_time(&w, "auth_time", m->auth_time_ms);
	buf_text(out, out->len == 0 ? "{}" : "}");
}

static void add_base64url(struct buf *out, struct span bytes)
{
	if (buf_reserve(out, base64url_size(bytes.len) + 1))
		out->len += base64url_encode(out->ptr + out->len, (const uint8_t *)bytes.ptr, bytes.len);
}

static void write_paseto(const struct token_mint *m, const uint8_t seed[32], struct span payload, struct buf *out)
{
	struct buf footer = BUF_EMPTY, pae = BUF_EMPTY, body = BUF_EMPTY;
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	const struct writing w = {&footer, false};

	if (m->kid != NULL) {
		add_string(&w, "kid", m->kid);
		buf_char(&footer, '}');
	}
	const struct span pieces[] = {span_of(PASETO_HEADER), payload, {footer.ptr, footer.len}, {NULL, 0}};
	token_pae(&pae, pieces, 4);
	ed25519_sign(signature, (struct span){pae.ptr, pae.len}, seed);
	buf_span(&body, payload);
	buf_add(&body, signature, sizeof(signature));

	buf_text(out, PASETO_HEADER);
	add_base64url(out, (struct span){body.ptr, body.len});
	if (footer.len > 0) {
		buf_char(out, '.');
		add_base64url(out, (struct span){footer.ptr, footer.len});
	}
	out->failed = out->failed || footer.failed || pae.failed || body.failed;
	buf_free(&footer);
	buf_free(&pae);
	buf_free(&body);
}

static void write_jwt(const struct token_mint *m, const uint8_t seed[32], struct span payload, struct buf *out)
{
	struct buf header = BUF_EMPTY;
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	const struct writing w = {&header, true};
	size_t begin = out->len;

	add_string(&w, "alg", "EdDSA");
	add_string(&w, "typ", "JWT");
	add_string(&w, "kid", m->kid);
	buf_char(&header, '}');
	add_base64url(out, (struct span){header.ptr, header.len});
	buf_char(out, '.');
	add_base64url(out, payload);
	if (!out->failed && !header.failed) {
		ed25519_sign(signature, (struct span){out->ptr + begin, out->len - begin}, seed);
		buf_char(out, '.');
		add_base64url(out, (struct span){(const char *)signature, sizeof(signature)});
	}
	out->failed = out->failed || header.failed;
	buf_free(&header);
}

bool token_mint(const struct token_mint *m, const uint8_t seed[32], struct buf *out)
{
	struct buf payload = BUF_EMPTY;

	write_payload(m, &payload);
	if (payload.failed)
		out->failed = true;
	else if (m->jwt)
		write_jwt(m, seed, (struct span){payload.ptr, payload.len}, out);
	else
		write_paseto(m, seed, (struct span){payload.ptr, payload.len}, out);
	buf_free(&payload);
	return !out->failed;
}
