/*
 * store - the table of backends, the names of things, and the wrappers
 *
 * A new backend is one file and one line of the table below.
 */
#include "simlane/store.h"

#include <stddef.h>
#include <string.h>

#include "backends.h"

static const struct store_backend *const backends[] = {
        &store_memory,
        &store_sqlite,
        &store_redis,
        &store_failing,
};

static const char *const state_names[JOB_STATES] = {
        [JOB_SCHEDULED] = "scheduled", [JOB_RUNNING] = "running",     [JOB_COMPLETE] = "complete",
        [JOB_FAILED] = "failed",       [JOB_CANCELLED] = "cancelled",
};

static const char *const status_names[STORE_STATUSES] = {
        [STORE_OK] = "ok",
        [STORE_EXISTS] = "exists",
        [STORE_REPLAYED] = "replayed",
        [STORE_MISMATCH] = "mismatch",
        [STORE_IN_FLIGHT] = "in-flight",
        [STORE_FULL] = "full",
        [STORE_NOT_FOUND] = "not-found",
        [STORE_BUSY] = "busy",
        [STORE_COMPLETE] = "complete",
        [STORE_FAILED] = "failed",
        [STORE_CANCELLED] = "cancelled",
        [STORE_LOST] = "lost",
        [STORE_UNAVAILABLE] = "unavailable",
};

const char *job_state_name(enum job_state s)
{
	return (unsigned)s < JOB_STATES ? state_names[s] : "unknown";
}

const char *store_status_name(enum store_status s)
{
	return (unsigned)s < STORE_STATUSES ? status_names[s] : "unknown";
}

const struct store_backend *store_backend_at(size_t i)
{
	return i < sizeof(backends) / sizeof(backends[0]) ? backends[i] : NULL;
}

struct store *store_open(const char *name, const struct store_options *options, struct fault *fault)
{
	const struct store_backend *b;

	for (size_t i = 0; (b = store_backend_at(i)) != NULL; i++) {
		if (strcmp(b->name, name) == 0)
			return b->open(options, fault);
	}
	fault_set(fault, "there is no job store named \"%s\"", name);
	return NULL;
}

void store_close(struct store *s)
{
	if (s)
		s->backend->close(s);
}

void store_create(struct store *s, const struct store_create *c, store_done *done, void *arg)
{
	s->backend->create(s, c, done, arg);
}

void store_read(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	s->backend->read(s, tenant, job_id, done, arg);
}

void store_begin(struct store *s, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
                 store_done *done, void *arg)
{
	s->backend->begin(s, tenant, job_id, artifacts, claim_ms, done, arg);
}

void store_release(struct store *s, const char *tenant, const char *job_id, uint64_t claim, store_done *done, void *arg)
{
	s->backend->release(s, tenant, job_id, claim, done, arg);
}

void store_finish(struct store *s, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                  store_done *done, void *arg)
{
	s->backend->finish(s, tenant, job_id, claim, receipt, done, arg);
}

void store_fail(struct store *s, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
                store_done *done, void *arg)
{
	s->backend->fail(s, tenant, job_id, claim, reason, done, arg);
}

void store_cancel(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	s->backend->cancel(s, tenant, job_id, done, arg);
}

void store_trace(struct store *s, const char *trace_id, store_done *done, void *arg)
{
	s->backend->trace(s, trace_id, done, arg);
}

bool store_watch(struct store *s, struct store_watch *w)
{
	return s->backend->watch(s, w);
}

bool store_unwatch(struct store *s, struct store_watch *w)
{
	return s->backend->unwatch(s, w);
}

int64_t store_depth(struct store *s)
{
	return s->backend->depth(s);
}

bool store_check(struct store *s)
{
	return s->backend->check(s);
}

void store_sweep(struct store *s)
{
	s->backend->sweep(s);
}
