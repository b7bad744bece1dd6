/*
 * limits - full is said, nothing is evicted, and many jobs are no trouble
 */
#include "harness.h"

START_TEST(unfinished_jobs_are_limited)
{
	struct draft d[4];
	uint64_t claim;
	struct rig r;

	rig_open(&r, _i, 3, 0);
	for (int i = 0; i < 4; i++) {
		draft_make(&r, &d[i]);
		draft_key(&d[i], (unsigned)i, 0);
	}
	for (int i = 0; i < 3; i++)
		ck_status(try_create(&r, &d[i]), STORE_OK);
	ck_status(try_create(&r, &d[3]), STORE_FULL);

	/* full or not: what is there is answered, begun, replayed */
	ck_status(try_read(&r, d[0].job_id), STORE_OK);
	ck_status(try_create(&r, &d[0]), STORE_REPLAYED);
	ck_status(try_begin(&r, d[0].job_id, &claim), STORE_OK);
	ck_status(try_create(&r, &d[3]), STORE_FULL);

	/* an end makes room, once */
	ck_status(try_finish(&r, d[0].job_id, claim), STORE_OK);
	ck_status(try_create(&r, &d[3]), STORE_OK);
	expect_depth(&r, 3);
	draft_make(&r, &d[0]);
	ck_status(try_create(&r, &d[0]), STORE_FULL);
	ck_status(try_cancel(&r, d[1].job_id), STORE_OK);
	ck_status(try_create(&r, &d[0]), STORE_OK);
	draft_make(&r, &d[1]);
	ck_status(try_create(&r, &d[1]), STORE_FULL);
	ck_status(try_fail(&r, d[2].job_id, 0), STORE_OK);
	ck_status(try_create(&r, &d[1]), STORE_OK);
	rig_close(&r);
}
END_TEST

START_TEST(jobs_past_their_time_do_not_fill_the_store)
{
	enum { JOBS = 500 };
	static struct draft many[JOBS];
	struct draft d;
	struct rig r;

	rig_open(&r, _i, JOBS, 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < JOBS; i++) {
			draft_make(&r, &many[i]);
			many[i].c.ttl_ms = 1000;
		}
		create_many(&r, many, JOBS);
		draft_make(&r, &d);
		ck_status(try_create(&r, &d), STORE_FULL);
		pass_ms(&r, 1000);
	}
	rig_close(&r);
}
END_TEST

static int fill_bytes(struct rig *r, struct span seed, struct draft *first)
{
	enum store_status status = STORE_OK;
	struct draft d;
	int made = 0;

	while (status == STORE_OK && made < 1000000) {
		draft_make(r, &d);
		d.c.seed = seed;
		status = try_create(r, &d);
		if (made == 0)
			*first = d;
		made += status == STORE_OK;
	}
	ck_status(status, STORE_FULL);
	return made;
}

START_TEST(bytes_are_limited_and_nothing_is_evicted)
{
	enum { LIMIT = 4 * 1024 * 1024, SEED = 2000 };
	char *seed = malloc(SEED);
	struct draft first, d;
	int made;
	struct rig r;

	ck_assert_ptr_nonnull(seed);
	memset(seed, 'x', SEED);
	rig_open(&r, _i, 0, LIMIT);
	if (r.subject->limits_bytes) {
		made = fill_bytes(&r, (struct span){seed, SEED}, &first);
		ck_assert_int_gt(made, LIMIT / SEED / 2);
		ck_assert_int_lt(made, LIMIT / SEED);
		expect_depth(&r, made);
		ck_status(try_read(&r, first.job_id), STORE_OK);

		/* ended jobs are still held: no room; past their time there is */
		ck_status(try_cancel(&r, first.job_id), STORE_OK);
		draft_make(&r, &d);
		d.c.seed = (struct span){seed, SEED};
		ck_status(try_create(&r, &d), STORE_FULL);
		pass_ms(&r, TTL_MS);
		ck_status(try_create(&r, &d), STORE_OK);
		ck_assert_int_gt(fill_bytes(&r, d.c.seed, &first), made - made / 20);
	}
	rig_close(&r);
	free(seed);
}
END_TEST

/* Room is kept for the artifacts of jobs that are there; when that is used up
 * a begin is refused and changes nothing, and what has begun can still end. */
START_TEST(what_began_can_end_however_full_the_store)
{
	enum { LIMIT = 1024 * 1024, SEED = 400, JOBS = 64, SHARDS_BYTES = 4096 };
	static const char blank[8192];
	struct draft d[JOBS], first;
	uint64_t claims[JOBS];
	struct answer a;
	int begun = 0;
	struct rig r;

	rig_open(&r, _i, 0, LIMIT);
	if (!r.subject->limits_bytes) {
		rig_close(&r);
		return;
	}
	for (int i = 0; i < JOBS; i++) {
		draft_make(&r, &d[i]);
		ck_status(try_create(&r, &d[i]), STORE_OK);
	}
	fill_bytes(&r, (struct span){blank, SEED}, &first);
	for (; begun < JOBS; begun++) {
		ask_begin(&r, "default", d[begun].job_id, (struct span){blank, SHARDS_BYTES}, CLAIM_MS, &a);
		claims[begun] = a.claim;
		answer_free(&a);
		if (a.status != STORE_OK)
			break;
	}
	ck_status(a.status, STORE_FULL);
	ck_assert_int_gt(begun, LIMIT / 8 / SHARDS_BYTES / 2);
	ask_read(&r, "default", d[begun].job_id, &a);
	ck_state(a.job.state, JOB_SCHEDULED);
	ck_assert_ptr_null(a.job.artifacts.ptr);
	answer_free(&a);

	ck_status(try_finish(&r, d[0].job_id, claims[0]), STORE_OK);
	ask_finish(&r, "default", d[1].job_id, claims[1], (struct span){blank, sizeof(blank)}, &a);
	ck_status(a.status, STORE_OK);
	answer_free(&a);
	ck_status(try_fail(&r, d[2].job_id, claims[2]), STORE_OK);
	ck_status(try_fail(&r, d[begun].job_id, 0), STORE_OK);
	ck_status(try_release(&r, d[3].job_id, claims[3]), STORE_OK);
	ck_status(try_begin(&r, d[3].job_id, &claims[3]), STORE_OK); /* its artifacts are staged already */
	ck_status(try_cancel(&r, d[begun + 1].job_id), STORE_OK);
	rig_close(&r);
}
END_TEST

START_TEST(jobs_past_their_time_make_room_for_artifacts)
{
	enum { LIMIT = 1024 * 1024, SHARDS_BYTES = LIMIT / 4 };
	char *shards = calloc(1, SHARDS_BYTES);
	struct draft lasting, first;
	struct answer a;
	struct rig r;

	ck_assert_ptr_nonnull(shards);
	rig_open(&r, _i, 0, LIMIT);
	if (r.subject->limits_bytes) {
		draft_make(&r, &lasting);
		lasting.c.ttl_ms = 2 * TTL_MS;
		ck_status(try_create(&r, &lasting), STORE_OK);
		fill_bytes(&r, (struct span){shards, 1000}, &first);
		ask_begin(&r, "default", lasting.job_id, (struct span){shards, SHARDS_BYTES}, CLAIM_MS, &a);
		ck_status(a.status, STORE_FULL);
		answer_free(&a);
		pass_ms(&r, TTL_MS);
		ask_begin(&r, "default", lasting.job_id, (struct span){shards, SHARDS_BYTES}, CLAIM_MS, &a);
		ck_status(a.status, STORE_OK);
		answer_free(&a);
	}
	rig_close(&r);
	free(shards);
}
END_TEST

START_TEST(a_seed_larger_than_all_that_may_be_held_is_refused)
{
	enum { LIMIT = 65536 };
	char *seed = calloc(1, 2 * LIMIT);
	struct draft d;
	struct rig r;

	ck_assert_ptr_nonnull(seed);
	rig_open(&r, _i, 0, LIMIT);
	draft_make(&r, &d);
	d.c.seed = (struct span){seed, 2 * LIMIT};
	if (r.subject->limits_bytes)
		ck_status(try_create(&r, &d), STORE_FULL);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	rig_close(&r);
	free(seed);
}
END_TEST

#define MANY 100000u

static void use_many(struct rig *r, const struct draft *d)
{
	struct tally t = {.asked = 0};

	for (unsigned i = 0; i < MANY; i++)
		store_read(r->store, "default", d[i].job_id, tally_done, tally_ask(&t));
	tally_check(&t, STORE_OK);
	for (unsigned i = 0; i < MANY; i += 4)
		store_create(r->store, &d[i].c, tally_done, tally_ask(&t));
	tally_check(&t, STORE_REPLAYED);
	for (unsigned i = 0; i < MANY; i += 2)
		store_cancel(r->store, "default", d[i].job_id, tally_done, tally_ask(&t));
	tally_check(&t, STORE_OK);
	expect_depth(r, MANY / 2);
}

/* Which ids are free before a sweep has come by is an engine's affair. */
static void draft_anew(struct rig *r, struct draft *d, unsigned key)
{
	draft_make(r, d);
	if (key % 4 == 0)
		draft_key(d, key, 1);
}

START_TEST(a_hundred_thousand_jobs_come_and_go)
{
	struct draft *d = calloc(MANY, sizeof(*d));
	struct rig r;

	ck_assert_ptr_nonnull(d);
	rig_open(&r, _i, MANY, 0);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < MANY; i++)
			if (round == 0 || r.subject->engine)
				draft_anew(&r, &d[i], i);
		create_many(&r, d, MANY);
		expect_depth(&r, MANY);
		use_many(&r, d);
		pass_ms(&r, TTL_MS);
		for (int i = 0; i < 3; i++)
			sweep(&r);
		expect_depth(&r, 0);
	}
	rig_close(&r);
	free(d);
}
END_TEST

TCase *case_limits(void)
{
	TCase *t = tcase_create("limits");
	int n = subject_count();

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, unfinished_jobs_are_limited, 0, n);
	tcase_add_loop_test(t, jobs_past_their_time_do_not_fill_the_store, 0, n);
	tcase_add_loop_test(t, bytes_are_limited_and_nothing_is_evicted, 0, n);
	tcase_add_loop_test(t, what_began_can_end_however_full_the_store, 0, n);
	tcase_add_loop_test(t, jobs_past_their_time_make_room_for_artifacts, 0, n);
	tcase_add_loop_test(t, a_seed_larger_than_all_that_may_be_held_is_refused, 0, n);
	tcase_add_loop_test(t, a_hundred_thousand_jobs_come_and_go, 0, n);
	return t;
}
