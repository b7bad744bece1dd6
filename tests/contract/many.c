/* many.c - many operations under way at once */
#include "harness.h"

/* An engine's queue is bounded, and says so (see together.c). */
#define UNDER_WAY 10000u

void tally_done(void *arg, const struct store_result *result)
{
	struct tally *t = arg;

	if (result->unknown)
		atomic_fetch_add(&t->unknown, 1);
	atomic_fetch_add(&t->answers[result->status], 1);
	atomic_fetch_add(&t->total, 1);
}

struct tally *tally_ask(struct tally *t)
{
	while (t->asked - atomic_load(&t->total) >= UNDER_WAY)
		sleep_ms(1);
	t->asked++;
	return t;
}

void tally_wait(struct tally *t)
{
	while (atomic_load(&t->total) < t->asked)
		sleep_ms(1);
	ck_assert_uint_eq(atomic_load(&t->total), t->asked);
}

void tally_check(struct tally *t, enum store_status status)
{
	tally_wait(t);
	for (int s = 0; s < STORE_STATUSES; s++)
		ck_assert_msg(s == (int)status || atomic_load(&t->answers[s]) == 0, "%u of %u answers are %s",
		              atomic_load(&t->answers[s]), t->asked, store_status_name((enum store_status)s));
	memset(t, 0, sizeof(*t));
}

void create_many(struct rig *r, const struct draft *d, unsigned n)
{
	struct tally t = {.asked = 0};

	for (unsigned i = 0; i < n; i++)
		store_create(r->store, &d[i].c, tally_done, tally_ask(&t));
	tally_check(&t, STORE_OK);
}
