/*
 * token/claim_draft - the claims as a payload states them
 *
 * Shape only: what is there has the type and form that the contract says.
 * Whether the key may say so and whether the time is right is the verifier's
 * question.
 *
 * OWNERSHIP  texts belong to the parsed payload.
 * THREADS    any.
 */
#ifndef SIMLANE_TOKEN_CLAIM_DRAFT_H
#define SIMLANE_TOKEN_CLAIM_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/claims.h"
#include "simlane/jdoc.h"
#include "simlane/span.h"

struct claim_draft {
	struct span iss, sub, jti, tenant;
	int64_t expires_ms, not_before_ms, issued_ms, auth_time_ms; /* 0: not stated (exp always is) */
	unsigned scopes;
	bool acr_gtpsi;
	uint32_t audience; /* node of a string or an array of strings, JDOC_NONE */
};

/* jwt tells how times are written. False: not as the contract says. */
bool claim_draft_read(struct claim_draft *c, const struct jdoc *payload, bool jwt);

bool claim_draft_for(const struct claim_draft *c, const struct jdoc *payload, const char *audience);

/* One malloc block with one reference, texts included; NULL: no memory. */
struct claims *claim_draft_make(const struct claim_draft *c, struct span kid, uint64_t key_mark, int64_t skew_ms);

#endif
