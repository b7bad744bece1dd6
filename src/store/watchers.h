/*
 * watchers - who waits for a change of which job
 *
 * A table of WATCH_SLOTS lists, a lock each. The slot of a job is the last
 * byte of its id: engines that tell of changes across processes use a channel
 * a slot, and listen to it while the slot is not empty.
 *
 * A watch is taken out under its slot's lock and called after that is given
 * back. link is NULL while a watch is not registered.
 *
 * THREADS  any.
 */
#ifndef SIMLANE_STORE_WATCHERS_H
#define SIMLANE_STORE_WATCHERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/ids.h"
#include "simlane/store.h"

#define WATCH_SLOTS 256u

struct watch_slot {
	pthread_mutex_t lock; /* guards all below */
	struct store_watch *first;
	bool closing;
};

struct watchers {
	atomic_size_t count; /* of all slots; nobody waits, nearly always */
	struct watch_slot slots[WATCH_SLOTS];
};

int watchers_init(struct watchers *ws); /* 0, or -1: no mutex; destroy all the same */
void watchers_destroy(struct watchers *ws);

unsigned watchers_slot(const char *job_id); /* of a valid job id */

/* False: not a job id, or closing. */
bool watchers_add(struct watchers *ws, struct store_watch *w);
/* As store_unwatch. */
bool watchers_remove(struct watchers *ws, struct store_watch *w);

/* A change was heard of: wakes whoever has seen less than revision. */
void watchers_changed(struct watchers *ws, const char *job_id, uint64_t revision);
/* The job was looked at after the watches were registered: wakes whoever has
 * not seen exactly this, and notes for the others when the job ends (in
 * monotonic time). found false: it is gone, all are woken. */
void watchers_looked(struct watchers *ws, const char *job_id, bool found, uint64_t revision, int64_t ends_us);
/* It could not be looked at: watchers_ended names it until it was. */
void watchers_unsure(struct watchers *ws, const char *job_id);
/* Nothing is known of that job any more: wakes all who wait for it. */
void watchers_lost(struct watchers *ws, const char *job_id);
/* No more watches; wakes all. */
void watchers_close(struct watchers *ws);

size_t watchers_count(struct watchers *ws, unsigned slot);
bool watchers_any(struct watchers *ws, unsigned slot);

/* The different job ids watched in that slot, max at most; how many. */
size_t watchers_jobs(struct watchers *ws, unsigned slot, char (*job_ids)[JOB_ID_SIZE], size_t max);
/* Of all slots those whose end has come. */
size_t watchers_ended(struct watchers *ws, int64_t now_us, char (*job_ids)[JOB_ID_SIZE], size_t max);

#endif
