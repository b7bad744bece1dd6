/* snapshot.c - something immutable that is swapped while it is used */
#include "simlane/snapshot.h"

#include <stddef.h>

int snapshot_init(struct snapshot *s)
{
	s->value = NULL;
	atomic_init(&s->generation, 0);
	return pthread_spin_init(&s->lock, PTHREAD_PROCESS_PRIVATE) == 0 ? 0 : -1;
}

void snapshot_destroy(struct snapshot *s)
{
	snapshot_let_go(s->value);
	s->value = NULL;
	pthread_spin_destroy(&s->lock);
}

void snapshot_swap(struct snapshot *s, struct snapshot_ref *value)
{
	pthread_spin_lock(&s->lock);
	struct snapshot_ref *before = s->value;
	uint64_t next = atomic_load_explicit(&s->generation, memory_order_relaxed) + 1;
	value->generation = next;
	s->value = value;
	atomic_store_explicit(&s->generation, next, memory_order_release);
	pthread_spin_unlock(&s->lock);
	snapshot_let_go(before);
}

struct snapshot_ref *snapshot_get(struct snapshot *s)
{
	pthread_spin_lock(&s->lock);
	struct snapshot_ref *value = s->value;
	if (value)
		snapshot_hold(value);
	pthread_spin_unlock(&s->lock);
	return value;
}

void snapshot_let_go(struct snapshot_ref *r)
{
	if (r && atomic_fetch_sub_explicit(&r->count, 1, memory_order_acq_rel) == 1)
		r->free(r);
}
