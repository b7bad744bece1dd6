/* gate.c - an engine held up inside a callback */
#include <errno.h>

#include "harness.h"

static void wait_for(sem_t *s)
{
	while (sem_wait(s) != 0)
		ck_assert_int_eq(errno, EINTR);
}

static void gate_done(void *arg, const struct store_result *result)
{
	struct gate *g = arg;

	(void)result;
	sem_post(&g->shut);
	wait_for(&g->open);
}

void gate_shut(struct gate *g, struct rig *r)
{
	ck_assert_int_eq(sem_init(&g->shut, 0, 0), 0);
	ck_assert_int_eq(sem_init(&g->open, 0, 0), 0);
	g->used = r->subject->engine;
	if (!g->used)
		return;
	store_read(r->store, "default", "JOB-0123456789ab", gate_done, g);
	wait_for(&g->shut);
}

void gate_open(struct gate *g)
{
	if (g->used)
		sem_post(&g->open);
}
