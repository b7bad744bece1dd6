/*
 * token/form - a token taken apart
 *
 * Told apart by their form: "v4.public." begins a PASETO, anything else of
 * three parts is a compact JWS. All base64url is strict, so that one token
 * has one spelling.
 *
 * OWNERSHIP  a struct token_form owns its buffers until token_form_free; its
 *            message may point into the token, which must outlive it.
 * THREADS    one.
 */
#ifndef SIMLANE_TOKEN_FORM_H
#define SIMLANE_TOKEN_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/crypto.h"
#include "simlane/jdoc.h"
#include "simlane/span.h"
#include "simlane/token.h"

#define TOKEN_DECODED_MAX (TOKEN_MAX_BYTES / 4 * 3)

struct token_form {
	bool jwt;
	struct span head; /* JWT: header; PASETO: footer, absent when there is none */
	struct span payload;
	struct span message; /* what the signature is over */
	const uint8_t *signature;
	struct buf pae;
	uint8_t head_bytes[TOKEN_DECODED_MAX];
	uint8_t body_bytes[TOKEN_DECODED_MAX + ED25519_SIGNATURE_BYTES];
};

/* TOKEN_VALID (it is of one of the two forms), TOKEN_MALFORMED or
 * TOKEN_NO_MEMORY. To be freed in each case. */
enum token_verdict token_form_split(struct token_form *f, struct span token, struct span implicit);
void token_form_free(struct token_form *f);

/* Reads the header or footer into doc and hands out its kid (text of doc),
 * once alg, typ and crit are as they must be. */
enum token_verdict token_form_kid(const struct token_form *f, struct jdoc *doc, struct span *kid);

/* PASETO's pre-authentication encoding of n pieces, appended to out. */
void token_pae(struct buf *out, const struct span *pieces, size_t n);

#define PASETO_HEADER "v4.public."

#endif
