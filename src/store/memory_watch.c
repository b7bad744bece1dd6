/*
 * memory_watch - who waits for a change of which job
 *
 * A watch is linked into its shard under the lock under which the job's
 * revision moves, so none is lost; it is taken out there too and called
 * after the lock is given back. link is NULL while it is not linked.
 */
#include <string.h>

#include "memory.h"

static struct shard *watch_shard(struct memory *m, const struct store_watch *w, uint64_t *id, uint64_t *place)
{
	if (!job_id_parse((struct span){w->job_id, strnlen(w->job_id, sizeof(w->job_id))}, id))
		return NULL;
	*place = job_place(m, *id);
	return &m->shards[*place % SHARDS];
}

static struct store_watch **watch_slot(struct shard *s, uint64_t id)
{
	return &s->watches[id / SHARDS % WATCH_SLOTS];
}

static void unlink_watch(struct store_watch *w)
{
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->link = NULL;
}

bool memory_watch(struct store *store, struct store_watch *w)
{
	struct memory *m = (struct memory *)store;
	uint64_t id, place;
	struct shard *s = watch_shard(m, w, &id, &place);
	int64_t now = clock_wall_ms(m->clock);
	const struct job *job;
	bool linked = false;

	if (!s)
		return false;
	memory_lock(&s->lock);
	w->link = NULL;
	job = table_find(&s->jobs, table_hash(place), job_has_id, &id);
	if (!s->closing && job && job->expires_ms > now && job->revision == w->seen_revision) {
		w->link = watch_slot(s, id);
		w->next = *w->link;
		if (w->next)
			w->next->link = &w->next;
		*w->link = w;
		linked = true;
	}
	memory_unlock(&s->lock);
	return linked;
}

bool memory_unwatch(struct store *store, struct store_watch *w)
{
	uint64_t id, place;
	struct shard *s = watch_shard((struct memory *)store, w, &id, &place);
	bool linked;

	if (!s)
		return false;
	memory_lock(&s->lock);
	linked = w->link != NULL;
	if (linked)
		unlink_watch(w);
	memory_unlock(&s->lock);
	return linked;
}

static void take_slot(struct store_watch *w, const char *job_id, struct store_watch **list)
{
	struct store_watch *next;

	for (; w; w = next) {
		next = w->next;
		if (job_id && memcmp(w->job_id, job_id, JOB_ID_SIZE) != 0)
			continue;
		unlink_watch(w);
		w->next = *list;
		*list = w;
	}
}

void watch_take(struct shard *s, const struct job *job, struct store_watch **list)
{
	char job_id[JOB_ID_SIZE];

	if (!job) {
		for (unsigned i = 0; i < WATCH_SLOTS; i++)
			take_slot(s->watches[i], NULL, list);
		return;
	}
	if (!*watch_slot(s, job->id))
		return;
	job_id_format(job->id, job_id);
	take_slot(*watch_slot(s, job->id), job_id, list);
}

void watch_wake(struct store_watch *list)
{
	struct store_watch *next;

	for (; list; list = next) {
		/* Its memory may be gone as soon as it is called. */
		next = list->next;
		list->wake(list);
	}
}
