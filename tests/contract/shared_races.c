/*
 * shared_races - what comes through several stores at once happens in some
 * order, once
 */
#include "harness.h"

#define THREADS 12u

enum contest { BEGINS, BEGINS_AND_CANCELS, CREATES, CREATES_WITH_A_KEY };

struct race {
	struct pair p;
	enum contest contest;
	struct draft drafts[THREADS];
	struct answer answers[THREADS];
};

static void compete(void *ctx, unsigned index)
{
	struct race *race = ctx;
	struct rig *r = index % 2 ? &race->p.one : &race->p.two;
	struct answer *a = &race->answers[index];
	const char *job_id = race->drafts[0].job_id;

	if (race->contest >= CREATES)
		ask_create(r, &race->drafts[index], a);
	else if (race->contest == BEGINS_AND_CANCELS && index / 2 % 2)
		ask_cancel(r, "default", job_id, a);
	else
		ask_begin(r, "default", job_id, span_of("[]"), CLAIM_MS, a);
}

static unsigned count(const struct race *race, enum store_status status)
{
	unsigned n = 0;

	for (unsigned i = 0; i < THREADS; i++)
		n += race->answers[i].status == status;
	return n;
}

static void race_drafts(struct race *race, unsigned round)
{
	for (unsigned i = 0; i < THREADS; i++) {
		draft_make(i % 2 ? &race->p.one : &race->p.two, &race->drafts[i]);
		if (race->contest == CREATES_WITH_A_KEY)
			draft_key(&race->drafts[i], round, 1);
	}
	if (race->contest < CREATES)
		ck_status(try_create(&race->p.one, &race->drafts[0]), STORE_OK);
}

static void race_run(struct race *race, unsigned round)
{
	race_drafts(race, round);
	run_threads(THREADS, compete, race);
	for (unsigned i = 0; i < THREADS; i++)
		answer_free(&race->answers[i]);
}

static struct race *race_open(int subject, enum contest contest, int64_t max_jobs)
{
	struct race *race = calloc(1, sizeof(*race));

	ck_assert_ptr_nonnull(race);
	race->contest = contest;
	pair_open(&race->p, subject, max_jobs);
	return race;
}

static void race_close(struct race *race)
{
	pair_close(&race->p);
	free(race);
}

START_TEST(of_begins_through_both_one_wins)
{
	struct race *race;

	if (!subject_at(_i)->shared)
		return;
	race = race_open(_i, BEGINS, 0);
	for (unsigned round = 0; round < 100; round++) {
		race_run(race, round);
		ck_assert_uint_eq(count(race, STORE_OK), 1);
		ck_assert_uint_eq(count(race, STORE_BUSY), THREADS - 1);
	}
	race_close(race);
}
END_TEST

START_TEST(a_begin_through_one_and_a_cancel_through_the_other_never_both_win)
{
	struct race *race;

	if (!subject_at(_i)->shared)
		return;
	race = race_open(_i, BEGINS_AND_CANCELS, 0);
	for (unsigned round = 0; round < 100; round++) {
		race_run(race, round);
		ck_assert_uint_eq(count(race, STORE_OK), 1);
		ck_assert(count(race, STORE_BUSY) == THREADS - 1 || count(race, STORE_CANCELLED) == THREADS - 1);
	}
	race_close(race);
}
END_TEST

START_TEST(of_creations_with_one_key_through_both_one_creates)
{
	struct race *race;

	if (!subject_at(_i)->shared)
		return;
	race = race_open(_i, CREATES_WITH_A_KEY, 0);
	for (unsigned round = 0; round < 100; round++) {
		race_run(race, round);
		ck_assert_uint_eq(count(race, STORE_OK), 1);
		ck_assert_uint_eq(count(race, STORE_REPLAYED) + count(race, STORE_IN_FLIGHT), THREADS - 1);
	}
	expect_depth(&race->p.one, 100);
	expect_depth(&race->p.two, 100);
	race_close(race);
}
END_TEST

START_TEST(the_limit_is_that_of_all_together)
{
	enum { MAX = 5 };
	struct race *race;

	if (!subject_at(_i)->shared)
		return;
	race = race_open(_i, CREATES, MAX);
	for (unsigned round = 0; round < 50; round++) {
		race_run(race, round);
		ck_assert_uint_eq(count(race, STORE_OK), MAX);
		ck_assert_uint_eq(count(race, STORE_FULL), THREADS - MAX);
		for (unsigned i = 0; i < THREADS; i++)
			if (race->answers[i].status == STORE_OK)
				ck_status(try_cancel(&race->p.one, race->drafts[i].job_id), STORE_OK);
	}
	race_close(race);
}
END_TEST

TCase *case_shared_races(void)
{
	TCase *t = tcase_create("shared_races");
	int n = subject_count();

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, of_begins_through_both_one_wins, 0, n);
	tcase_add_loop_test(t, a_begin_through_one_and_a_cancel_through_the_other_never_both_win, 0, n);
	tcase_add_loop_test(t, of_creations_with_one_key_through_both_one_creates, 0, n);
	tcase_add_loop_test(t, the_limit_is_that_of_all_together, 0, n);
	return t;
}
