/* service.c - the lane as a whole: made, stopped, asked about itself */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int init_locks(struct service *s)
{
	if (snapshot_init(&s->policies) != 0)
		return -1;
	if (screens_init(&s->screens) != 0)
		return -1;
	if (pthread_mutex_init(&s->waiting_lock, NULL) != 0)
		return -1;
	return pthread_mutex_init(&s->rules_lock, NULL) == 0 ? 0 : -1;
}

struct service *service_new(const struct service_options *options, struct fault *fault)
{
	struct service *s = calloc(1, sizeof(*s));
	if (!s || init_locks(s) != 0) {
		fault_set(fault, "out of memory");
		free(s);
		return NULL;
	}
	s->options = *options;
	s->policy_file = (struct watched_file){.setting = "SIM_POLICY_FILE", .path = options->policy_file};
	s->keyring_file = (struct watched_file){.setting = "SIM_KEYRING_FILE", .path = options->keyring_file};
	s->revoked_file = (struct watched_file){.setting = "SIM_REVOKED_FILE", .path = options->revoked_file};
	if (prober_start(s) != 0) {
		fault_set(fault, "out of memory");
		service_free(s);
		return NULL;
	}
	if (reload_all(s, fault) != 0) {
		service_free(s);
		return NULL;
	}
	s->serving = true;
	return s;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	service_stop_probes(s);
	snapshot_destroy(&s->policies);
	screens_destroy(&s->screens);
	pthread_mutex_destroy(&s->waiting_lock);
	pthread_mutex_destroy(&s->rules_lock);
	free(s);
}

int64_t service_depth(struct service *s)
{
	return store_depth(s->options.store);
}

const char *service_store_name(const struct service *s)
{
	return s->options.store->backend->name;
}

void service_figures(struct service *s, struct service_figures *out)
{
	memset(out, 0, sizeof(*out));
	out->allowed = atomic_load(&s->allowed);
	out->replayed = atomic_load(&s->replayed);
	out->reloads_ok = atomic_load(&s->reloads_ok);
	out->reloads_failed = atomic_load(&s->reloads_failed);
	out->jobs_created = atomic_load(&s->jobs_created);
	out->jobs_completed = atomic_load(&s->jobs_completed);
	out->jobs_cancelled = atomic_load(&s->jobs_cancelled);
	out->jobs_failed = atomic_load(&s->jobs_failed);
	struct snapshot_ref *ref = snapshot_get(&s->policies);
	strncpy(out->policy_version, policy_version(policy_of_ref(ref)), sizeof(out->policy_version) - 1);
	snapshot_let_go(ref);
	pthread_mutex_lock(&s->rules_lock);
	memcpy(out->rules, s->rules, sizeof(out->rules));
	out->rule_count = s->rule_count;
	pthread_mutex_unlock(&s->rules_lock);
}
