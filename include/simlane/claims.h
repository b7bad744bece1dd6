/*
 * claims - who calls, as a verified token says
 *
 * Made by the token module only, immutable, reference-counted: a request and
 * the verdict cache share one. Authorisation in the whole program is a look
 * at these and nothing else.
 *
 * OWNERSHIP  claims_hold / claims_let_go; the texts live as long as the claims.
 * THREADS    any.
 */
#ifndef SIMLANE_CLAIMS_H
#define SIMLANE_CLAIMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum scope {
	SCOPE_SCHEDULE = 1u << 0, /* consciousness.simulation.schedule */
	SCOPE_COLLECT = 1u << 1,  /* consciousness.simulation.collect */
	SCOPE_INBOX = 1u << 2,    /* memory.inbox.dreams.write */
	SCOPE_WORK = 1u << 3,     /* consciousness.simulation.work */
};

/* The table of scopes: full name, short name (for the tool), bit. Ends with a
 * NULL name. Lives in src/base/claims.c. */
struct scope_name {
	const char *name;
	const char *brief;
	unsigned bit;
};
extern const struct scope_name scope_names[];

#define STEP_UP_MAX_AGE_MS (300 * 1000)

struct claims {
	atomic_long refs;
	unsigned scopes;       /* of enum scope; already limited by the key */
	bool acr_gtpsi;        /* acr is gtpsi, asserted by a key that may */
	int64_t expires_ms;    /* exp, wall clock, skew not added */
	int64_t not_before_ms; /* nbf, or 0 */
	int64_t auth_time_ms;  /* 0: none */
	int64_t skew_ms;       /* what the verifier allowed */
	uint64_t key_mark;     /* tells the key from another of the same kid */
	const char *iss, *sub, *jti, *tenant, *kid;
};

static inline void claims_hold(const struct claims *c)
{
	atomic_fetch_add_explicit(&((struct claims *)(uintptr_t)c)->refs, 1, memory_order_relaxed);
}

void claims_let_go(const struct claims *c); /* NULL is fine */

static inline bool claims_expired(const struct claims *c, int64_t now_ms)
{
	return now_ms >= c->expires_ms + c->skew_ms;
}

/* GTPsi step-up: acr gtpsi, auth_time at most 300 s old and not in the future
 * beyond the skew (RFC 9470). */
bool claims_stepped_up(const struct claims *c, int64_t now_ms);

#endif
