/* rules.c - what is looked at before a job is created */
#include "rules.h"

#include <string.h>

#include "simlane/ids.h"

bool rule_well_formed(const struct store_create *c, struct job_ids *ids)
{
	return job_id_parse(span_of(c->job_id), &ids->job) &&
	       trace_id_parse(span_of(c->trace_id), &ids->trace_ms, &ids->trace_bits) &&
	       strnlen(c->tenant, TENANT_MAX + 1) <= TENANT_MAX &&
	       strnlen(c->policy_version, VERSION_MAX + 1) <= VERSION_MAX &&
	       strnlen(c->traceparent, TRACEPARENT_MAX + 1) <= TRACEPARENT_MAX && c->seed.len <= UINT32_MAX / 2;
}

int64_t rule_expiry(int64_t now_ms, int64_t ttl_ms)
{
	return ttl_ms > INT64_MAX - 1 - now_ms ? INT64_MAX - 1 : now_ms + ttl_ms;
}
