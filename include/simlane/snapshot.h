/*
 * snapshot - something immutable that is swapped while it is used
 *
 * Policy, keyring and revocations are built whole, then put in place; who
 * holds the old one keeps it until he lets go. A reader never waits for a
 * reload, nor a reload for a reader: taking a reference is a few
 * instructions under a spin of one word.
 *
 * The generation counts swaps, so that a cached verdict can be compared with
 * what is in force.
 *
 * OWNERSHIP  the snapshot owns one reference of the value in force; values
 *            embed struct snapshot_ref and are freed by its function when the
 *            last reference goes.
 * THREADS    any.
 */
#ifndef SIMLANE_SNAPSHOT_H
#define SIMLANE_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct snapshot_ref {
	atomic_long count; /* starts at 1, the maker's */
	void (*free)(struct snapshot_ref *self);
	uint64_t generation; /* set by snapshot_swap, before anybody can see it */
};

struct snapshot {
	pthread_spinlock_t lock; /* guards value */
	struct snapshot_ref *value;
	atomic_ullong generation;
};

int snapshot_init(struct snapshot *s); /* 0 or -1 */
void snapshot_destroy(struct snapshot *s);

/* Takes the caller's reference of value; the one before is let go. */
void snapshot_swap(struct snapshot *s, struct snapshot_ref *value);

/* A reference of the value in force (NULL before the first swap). */
struct snapshot_ref *snapshot_get(struct snapshot *s);

static inline uint64_t snapshot_generation(struct snapshot *s)
{
	return atomic_load_explicit(&s->generation, memory_order_acquire);
}

static inline void snapshot_hold(struct snapshot_ref *r)
{
	atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
}

void snapshot_let_go(struct snapshot_ref *r); /* NULL is fine */

#endif
