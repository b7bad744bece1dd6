/*
 * rules - what a job in a given state may become, and what is said otherwise
 *
 * The diagram of simlane/store.h as functions without side effects, for every
 * backend that decides in C. (The Redis scripts say the same in Lua; the
 * contract suite holds all of them to it.)
 */
#ifndef SIMLANE_STORE_RULES_H
#define SIMLANE_STORE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/store.h"

#define TENANT_MAX      64u
#define VERSION_MAX     64u
#define TRACEPARENT_MAX 55u
#define REASON_MAX      64u

/* The numbers behind a job's identifiers. */
struct job_ids {
	uint64_t job;
	int64_t trace_ms;
	uint32_t trace_bits;
};

/* The ids and the lengths that the service has seen to already. */
bool rule_well_formed(const struct store_create *c, struct job_ids *ids);

/* When a job that is created now ends: no overflow, however long it may live. */
int64_t rule_expiry(int64_t now_ms, int64_t ttl_ms);

/* A job's state, and who may publish it. */
struct standing {
	enum job_state state;
	uint64_t claim;  /* the newest one; 0: never begun */
	bool claim_live; /* it has not run out */
};

/* STORE_OK while the job is unfinished; otherwise how it ended. */
static inline enum store_status rule_ended(const struct standing *s)
{
	switch (s->state) {
	case JOB_COMPLETE:
		return STORE_COMPLETE;
	case JOB_FAILED:
		return STORE_FAILED;
	case JOB_CANCELLED:
		return STORE_CANCELLED;
	default:
		return STORE_OK;
	}
}

/* begin, cancel, and fail without a claim: not while somebody holds a live one. */
static inline enum store_status rule_unclaimed(const struct standing *s)
{
	enum store_status status = rule_ended(s);

	if (status == STORE_OK && s->state == JOB_RUNNING && s->claim_live)
		return STORE_BUSY;
	return status;
}

/* release and finish: the newest claim counts, run out or not. */
static inline enum store_status rule_held(const struct standing *s, uint64_t claim)
{
	return s->state == JOB_RUNNING && s->claim == claim ? STORE_OK : STORE_LOST;
}

static inline enum store_status rule_fail(const struct standing *s, uint64_t claim)
{
	enum store_status status = rule_ended(s);

	if (status != STORE_OK)
		return status;
	return claim ? rule_held(s, claim) : rule_unclaimed(s);
}

/* Which answers carry a view of the job. */
static inline bool rule_shows_job(enum store_status status)
{
	switch (status) {
	case STORE_EXISTS:
	case STORE_MISMATCH:
	case STORE_IN_FLIGHT:
	case STORE_FULL:
	case STORE_NOT_FOUND:
	case STORE_UNAVAILABLE:
		return false;
	default:
		return true;
	}
}

#endif
