/* claims.c - the scopes' names, and what can be read off verified claims */
#include "simlane/claims.h"

#include <stddef.h>
#include <stdlib.h>

const struct scope_name scope_names[] = {
        {"consciousness.simulation.schedule", "schedule", SCOPE_SCHEDULE},
        {"consciousness.simulation.collect", "collect", SCOPE_COLLECT},
        {"memory.inbox.dreams.write", "inbox", SCOPE_INBOX},
        {"consciousness.simulation.work", "work", SCOPE_WORK},
        {NULL, NULL, 0},
};

void claims_let_go(const struct claims *c)
{
	if (!c)
		return;
	struct claims *mine = (struct claims *)(uintptr_t)c;
	if (atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) == 1)
		free(mine);
}

bool claims_stepped_up(const struct claims *c, int64_t now_ms)
{
	if (!c->acr_gtpsi || c->auth_time_ms <= 0)
		return false;
	return c->auth_time_ms <= now_ms + c->skew_ms && now_ms - c->auth_time_ms <= STEP_UP_MAX_AGE_MS;
}
