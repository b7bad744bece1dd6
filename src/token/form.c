/*
 * token/form - PASETO v4.public and compact JWS, taken apart
 *
 * SOURCE  paseto-spec: 01-Protocol-Versions/Common (PAE, footer), Version4
 *         (verify); RFC 7515 sections 4.1, 5.2 and 7.1; RFC 8037 section 3.1;
 *         RFC 9864 (alg "Ed25519").
 */
#include "form.h"

#include <strings.h>

#include "text.h"

static void add_le64(struct buf *out, uint64_t value)
{
	char bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++, value >>= 8)
		bytes[i] = (char)(value & 0xFF);
	buf_add(out, bytes, sizeof(bytes));
}

void token_pae(struct buf *out, const struct span *pieces, size_t n)
{
	add_le64(out, n);
	for (size_t i = 0; i < n; i++) {
		add_le64(out, pieces[i].len);
		buf_span(out, pieces[i]);
	}
}

static struct span span_between(const char *from, const char *to)
{
	return (struct span){from, (size_t)(to - from)};
}

/* The text up to the next dot; *rest is what follows it, absent without one. */
static struct span part(struct span text, struct span *rest)
{
	const char *dot = memchr(text.ptr, '.', text.len);

	if (dot == NULL) {
		*rest = (struct span){NULL, 0};
		return text;
	}
	*rest = span_between(dot + 1, text.ptr + text.len);
	return span_between(text.ptr, dot);
}

static bool decode(uint8_t *out, size_t out_size, struct span text, struct span *decoded)
{
	long n = base64url_decode(out, out_size, text);

	if (n < 0)
		return false;
	*decoded = (struct span){(const char *)out, (size_t)n};
	return true;
}

static enum token_verdict split_paseto(struct token_form *f, struct span token, struct span implicit)
{
	const struct span header = span_of(PASETO_HEADER);
	struct span footer;
	struct span body = part(span_between(token.ptr + header.len, token.ptr + token.len), &footer);
	struct span decoded;

	/* an empty footer behind a dot would be a second spelling of none */
	if (footer.ptr != NULL && (footer.len == 0 || !decode(f->head_bytes, sizeof(f->head_bytes), footer, &f->head)))
		return TOKEN_MALFORMED;
	if (!decode(f->body_bytes, sizeof(f->body_bytes), body, &decoded) || decoded.len < ED25519_SIGNATURE_BYTES)
		return TOKEN_MALFORMED;
	f->payload = (struct span){decoded.ptr, decoded.len - ED25519_SIGNATURE_BYTES};
	f->signature = f->body_bytes + f->payload.len;

	const struct span pieces[] = {header, f->payload, f->head, implicit};
	token_pae(&f->pae, pieces, 4);
	f->message = (struct span){f->pae.ptr, f->pae.len};
	return f->pae.failed ? TOKEN_NO_MEMORY : TOKEN_VALID;
}

static enum token_verdict split_jwt(struct token_form *f, struct span token)
{
	struct span rest, signature, decoded;
	struct span header = part(token, &rest);

	if (rest.ptr == NULL)
		return TOKEN_MALFORMED;
	struct span payload = part(rest, &signature);
	if (signature.ptr == NULL)
		return TOKEN_MALFORMED;
	/* a fourth part would leave a dot in the signature, which is no base64url */
	if (!decode(f->head_bytes, sizeof(f->head_bytes), header, &f->head) ||
	    !decode(f->body_bytes, TOKEN_DECODED_MAX, payload, &f->payload))
		return TOKEN_MALFORMED;
	uint8_t *sig = f->body_bytes + f->payload.len;
	if (!decode(sig, ED25519_SIGNATURE_BYTES, signature, &decoded) || decoded.len != ED25519_SIGNATURE_BYTES)
		return TOKEN_MALFORMED;
	f->jwt = true;
	f->signature = sig;
	f->message = span_between(token.ptr, payload.ptr + payload.len);
	return TOKEN_VALID;
}

enum token_verdict token_form_split(struct token_form *f, struct span token, struct span implicit)
{
	const struct span paseto = span_of(PASETO_HEADER);

	f->jwt = false;
	f->head = f->payload = f->message = (struct span){NULL, 0};
	f->signature = NULL;
	f->pae = BUF_EMPTY;
	if (token.len == 0 || token.len > TOKEN_MAX_BYTES)
		return TOKEN_MALFORMED;
	if (token.len > paseto.len && memcmp(token.ptr, paseto.ptr, paseto.len) == 0)
		return split_paseto(f, token, implicit);
	return split_jwt(f, token);
}

void token_form_free(struct token_form *f)
{
	buf_free(&f->pae);
}

/* ---- header and footer ---- */

static bool span_is_caseless(struct span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.ptr, text, s.len) == 0;
}

static bool header_allowed(const struct jdoc *d)
{
	struct span alg = jdoc_str(d, jdoc_get(d, 0, "alg"));
	uint32_t typ_node = jdoc_get(d, 0, "typ");
	struct span typ = jdoc_str(d, typ_node);

	if (!span_is(alg, "EdDSA") && !span_is(alg, "Ed25519"))
		return false;
	if (typ_node != JDOC_NONE && !span_is_caseless(typ, "JWT") && !span_is_caseless(typ, "at+jwt"))
		return false;
	return jdoc_get(d, 0, "crit") == JDOC_NONE;
}

enum token_verdict token_form_kid(const struct token_form *f, struct jdoc *doc, struct span *kid)
{
	if (f->head.ptr == NULL)
		return TOKEN_MALFORMED;
	enum jdoc_error error = jdoc_parse(doc, f->head, NULL);
	if (error == JDOC_NO_MEMORY)
		return TOKEN_NO_MEMORY;
	if (error != JDOC_OK || (f->jwt && !header_allowed(doc)))
		return TOKEN_MALFORMED;
	*kid = jdoc_str(doc, jdoc_get(doc, 0, "kid"));
	return token_text_valid(*kid) ? TOKEN_VALID : TOKEN_MALFORMED;
}
