/* watchers.c - see watchers.h */
#include "watchers.h"

#include <stdlib.h>
#include <string.h>

static void lock(struct watch_slot *s)
{
	if (pthread_mutex_lock(&s->lock) != 0)
		abort();
}

static void unlock(struct watch_slot *s)
{
	if (pthread_mutex_unlock(&s->lock) != 0)
		abort();
}

int watchers_init(struct watchers *ws)
{
	int failed = 0;

	memset(ws, 0, sizeof(*ws));
	for (unsigned i = 0; i < WATCH_SLOTS; i++)
		failed |= pthread_mutex_init(&ws->slots[i].lock, NULL);
	return failed ? -1 : 0;
}

void watchers_destroy(struct watchers *ws)
{
	for (unsigned i = 0; i < WATCH_SLOTS; i++)
		pthread_mutex_destroy(&ws->slots[i].lock);
}

unsigned watchers_slot(const char *job_id)
{
	uint64_t bits = 0;

	job_id_parse(span_of(job_id), &bits);
	return (unsigned)(bits % WATCH_SLOTS);
}

/* NULL: not a job id. */
static struct watch_slot *slot_of(struct watchers *ws, const struct store_watch *w)
{
	uint64_t bits;

	if (!job_id_parse((struct span){w->job_id, strnlen(w->job_id, sizeof(w->job_id))}, &bits))
		return NULL;
	return &ws->slots[bits % WATCH_SLOTS];
}

static void take_out(struct watchers *ws, struct store_watch *w)
{
	atomic_fetch_sub(&ws->count, 1);
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->link = NULL;
}

bool watchers_add(struct watchers *ws, struct store_watch *w)
{
	struct watch_slot *s = slot_of(ws, w);
	bool added;

	if (!s)
		return false;
	lock(s);
	w->link = NULL;
	added = !s->closing;
	if (added) {
		w->ends_us = INT64_MAX;
		w->link = &s->first;
		w->next = s->first;
		if (w->next)
			w->next->link = &w->next;
		s->first = w;
		atomic_fetch_add(&ws->count, 1);
	}
	unlock(s);
	return added;
}

bool watchers_remove(struct watchers *ws, struct store_watch *w)
{
	struct watch_slot *s = slot_of(ws, w);
	bool linked;

	if (!s)
		return false;
	lock(s);
	linked = w->link != NULL;
	if (linked)
		take_out(ws, w);
	unlock(s);
	return linked;
}

static void move(struct watchers *ws, struct store_watch *w, struct store_watch **list)
{
	take_out(ws, w);
	w->next = *list;
	*list = w;
}

static void wake(struct store_watch *list)
{
	struct store_watch *next;

	for (; list; list = next) {
		/* Its memory may be gone as soon as it is called. */
		next = list->next;
		list->wake(list);
	}
}

void watchers_changed(struct watchers *ws, const char *job_id, uint64_t revision)
{
	struct watch_slot *s;
	struct store_watch *list = NULL, *next;

	/* A watch is counted before its job is looked at: one that is not seen
	 * here yet will see the change. */
	if (atomic_load(&ws->count) == 0)
		return;
	s = &ws->slots[watchers_slot(job_id)];
	lock(s);
	for (struct store_watch *w = s->first; w; w = next) {
		next = w->next;
		if (w->seen_revision < revision && strcmp(w->job_id, job_id) == 0)
			move(ws, w, &list);
	}
	unlock(s);
	wake(list);
}

void watchers_looked(struct watchers *ws, const char *job_id, bool found, uint64_t revision, int64_t ends_us)
{
	struct watch_slot *s = &ws->slots[watchers_slot(job_id)];
	struct store_watch *list = NULL, *next;

	lock(s);
	for (struct store_watch *w = s->first; w; w = next) {
		next = w->next;
		if (strcmp(w->job_id, job_id) != 0)
			continue;
		if (!found || w->seen_revision != revision)
			move(ws, w, &list);
		else
			w->ends_us = ends_us;
	}
	unlock(s);
	wake(list);
}

void watchers_unsure(struct watchers *ws, const char *job_id)
{
	struct watch_slot *s = &ws->slots[watchers_slot(job_id)];

	lock(s);
	for (struct store_watch *w = s->first; w; w = w->next)
		if (strcmp(w->job_id, job_id) == 0)
			w->ends_us = 0;
	unlock(s);
}

void watchers_lost(struct watchers *ws, const char *job_id)
{
	if (atomic_load(&ws->count) > 0)
		watchers_looked(ws, job_id, false, 0, 0);
}

void watchers_close(struct watchers *ws)
{
	for (unsigned i = 0; i < WATCH_SLOTS; i++) {
		struct watch_slot *s = &ws->slots[i];
		struct store_watch *list = NULL;

		lock(s);
		s->closing = true;
		while (s->first)
			move(ws, s->first, &list);
		unlock(s);
		wake(list);
	}
}

bool watchers_any(struct watchers *ws, unsigned slot)
{
	struct watch_slot *s = &ws->slots[slot];
	bool any;

	lock(s);
	any = s->first != NULL;
	unlock(s);
	return any;
}

static bool listed(char (*job_ids)[JOB_ID_SIZE], size_t n, const char *job_id)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(job_ids[i], job_id) == 0)
			return true;
	return false;
}

/* Those that end by then: appends to the n there are. */
static size_t list_slot(struct watch_slot *s, int64_t until_us, char (*job_ids)[JOB_ID_SIZE], size_t n, size_t max)
{
	lock(s);
	for (const struct store_watch *w = s->first; w && n < max; w = w->next)
		if (w->ends_us <= until_us && !listed(job_ids, n, w->job_id))
			memcpy(job_ids[n++], w->job_id, JOB_ID_SIZE);
	unlock(s);
	return n;
}

size_t watchers_jobs(struct watchers *ws, unsigned slot, char (*job_ids)[JOB_ID_SIZE], size_t max)
{
	return list_slot(&ws->slots[slot], INT64_MAX, job_ids, 0, max);
}

size_t watchers_count(struct watchers *ws, unsigned slot)
{
	struct watch_slot *s = &ws->slots[slot];
	size_t n = 0;

	lock(s);
	for (const struct store_watch *w = s->first; w; w = w->next)
		n++;
	unlock(s);
	return n;
}

size_t watchers_ended(struct watchers *ws, int64_t now_us, char (*job_ids)[JOB_ID_SIZE], size_t max)
{
	size_t n = 0;

	for (unsigned i = 0; i < WATCH_SLOTS && n < max; i++)
		n = list_slot(&ws->slots[i], now_us, job_ids, n, max);
	return n;
}
