/*
 * test_store - what is private to the memory store: its table, its books, its
 * steps. What every backend promises is in tests/contract.
 */
#include <check.h>
#include <malloc.h>
#include <stdlib.h>

#include "../../src/store/memory.h"

/* ---- the table ---- */

static bool same_number(const void *item, const void *key)
{
	return item == key;
}

static void *number(uintptr_t n)
{
	return (void *)(n * 16);
}

static uint32_t weak_hash(uintptr_t n, unsigned spread)
{
	return (uint32_t)(n % spread) * 2654435761u | 1;
}

/* A set of numbers held against the plainest model, with hashes that collide
 * more or less. */
static void check_table(unsigned spread)
{
	enum { NUMBERS = 1000, STEPS = 30000 };
	bool in[NUMBERS] = {false};
	struct table t = {NULL, NULL, 0, 0};
	unsigned random = spread, count = 0;

	for (int step = 0; step < STEPS; step++) {
		/* grows first, then shrinks */
		unsigned add_of_8 = step < STEPS / 2 ? 6 : 2;
		uintptr_t n;
		uint32_t hash;

		random = random * 1103515245u + 12345u;
		n = 1 + (random >> 8) % (NUMBERS - 1);
		hash = weak_hash(n, spread);
		ck_assert_int_eq(table_find(&t, hash, same_number, number(n)) != NULL, in[n]);
		if ((random >> 4) % 8 < add_of_8) {
			if (!in[n]) {
				ck_assert(table_reserve(&t));
				table_insert(&t, hash, number(n));
				count++;
			}
			in[n] = true;
		} else {
			ck_assert_int_eq(table_remove(&t, hash, number(n)), in[n]);
			count -= in[n];
			in[n] = false;
		}
		ck_assert_uint_eq(t.count, count);
		ck_assert_uint_le(t.count * 5, t.cap * 4);
	}
	for (uintptr_t n = 1; n < NUMBERS; n++) {
		ck_assert_int_eq(table_find(&t, weak_hash(n, spread), same_number, number(n)) != NULL, in[n]);
		ck_assert_int_eq(table_remove(&t, weak_hash(n, spread), number(n)), in[n]);
	}
	ck_assert_uint_eq(table_bytes(&t), 0);
	table_free(&t);
}

START_TEST(a_table_is_a_set_however_its_hashes_collide)
{
	static const unsigned spreads[] = {1, 2, 7, 50, 1000, 1000003};

	check_table(spreads[_i]);
}
END_TEST

START_TEST(a_table_gives_memory_back)
{
	struct table t = {NULL, NULL, 0, 0};
	size_t full;

	for (uintptr_t n = 1; n <= 100000; n++) {
		ck_assert(table_reserve(&t));
		table_insert(&t, weak_hash(n, 1000003), number(n));
	}
	full = table_bytes(&t);
	ck_assert_uint_lt(full, 100000 * 24);
	for (uintptr_t n = 1; n <= 99000; n++)
		ck_assert(table_remove(&t, weak_hash(n, 1000003), number(n)));
	ck_assert_uint_lt(table_bytes(&t), full / 10);
	table_free(&t);
}
END_TEST

/* ---- the store ---- */

struct test_clock {
	struct clock clock; /* the first member */
	int64_t wall_ms;
};

static int64_t wall(const struct clock *c)
{
	return ((const struct test_clock *)c)->wall_ms;
}

static int64_t mono(const struct clock *c)
{
	return ((const struct test_clock *)c)->wall_ms * 1000;
}

struct rig {
	struct test_clock clock;
	struct memory *m;
	struct store *store;
	uint64_t next;
};

static void rig_open_limited(struct rig *r, int64_t max_jobs)
{
	struct store_options options = {.clock = &r->clock.clock, .max_jobs = max_jobs};

	*r = (struct rig){.clock = {{wall, mono}, INT64_C(1700000000000)}};
	r->store = store_open("memory", &options, NULL);
	ck_assert_ptr_nonnull(r->store);
	r->m = (struct memory *)r->store;
}

static void rig_open(struct rig *r)
{
	rig_open_limited(r, 0);
}

static void keep_result(void *arg, const struct store_result *result)
{
	*(struct store_result *)arg = *result;
}

static enum store_status create(struct rig *r, int64_t ttl_ms, const char *tenant, bool key, size_t seed_bytes)
{
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
	uint8_t digest[DIGEST_BYTES] = {0};
	char *seed = calloc(1, seed_bytes + 1);
	struct store_result result;
	struct store_create c = {
	        .job_id = job_id,
	        .trace_id = trace_id,
	        .tenant = tenant,
	        .seed = {seed, seed_bytes},
	        .policy_version = "v1",
	        .traceparent = "",
	        .ttl_ms = ttl_ms,
	        .key_digest = key ? digest : NULL,
	        .body_digest = key ? digest : NULL,
	};

	ck_assert_ptr_nonnull(seed);
	r->next++;
	memcpy(digest + 5, &r->next, sizeof(r->next));
	job_id_format(r->next, job_id);
	trace_id_format(7, (uint32_t)r->next, trace_id);
	store_create(r->store, &c, keep_result, &result);
	free(seed);
	return result.status;
}

static int64_t books(const struct rig *r)
{
	return atomic_load(&r->m->bytes);
}

/* Even ids that follow each other come to rest evenly. */
START_TEST(jobs_are_spread_over_the_shards)
{
	enum { JOBS = 64000 };
	struct rig r;

	rig_open(&r);
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(create(&r, 1000, "default", true, 10), STORE_OK);
	for (unsigned i = 0; i < SHARDS; i++) {
		ck_assert_uint_gt(r.m->shards[i].jobs.count, JOBS / SHARDS * 8 / 10);
		ck_assert_uint_lt(r.m->shards[i].jobs.count, JOBS / SHARDS * 12 / 10);
		ck_assert_uint_gt(r.m->traces[i].table.count, JOBS / SHARDS * 8 / 10);
		ck_assert_uint_lt(r.m->traces[i].table.count, JOBS / SHARDS * 12 / 10);
		ck_assert_uint_gt(r.m->keys[i].table.count, JOBS / SHARDS * 8 / 10);
		ck_assert_uint_lt(r.m->keys[i].table.count, JOBS / SHARDS * 12 / 10);
	}
	store_close(r.store);
}
END_TEST

static void live_through(struct rig *r, int way)
{
	char job_id[JOB_ID_SIZE];
	static const char big[3000];
	struct store_result a;

	job_id_format(r->next, job_id);
	if (way == 0)
		return;
	if (way == 1) {
		store_cancel(r->store, "default", job_id, keep_result, &a);
	} else if (way == 2) {
		store_fail(r->store, "default", job_id, 0, "a reason", keep_result, &a);
	} else {
		store_begin(r->store, "default", job_id, (struct span){big, (size_t)way * 100}, 1, keep_result, &a);
		ck_assert_int_eq(a.status, STORE_OK);
		if (way % 2)
			store_release(r->store, "default", job_id, a.claim, keep_result, &a);
		else
			store_finish(r->store, "default", job_id, a.claim, (struct span){big, (size_t)way * 40},
			             keep_result, &a);
	}
	ck_assert_int_eq(a.status, STORE_OK);
}

/* Every byte that was counted is counted off again: after all jobs have ended
 * the books are at zero, and so are tables and heaps. */
START_TEST(the_books_balance)
{
	struct rig r;

	rig_open(&r);
	for (int i = 0; i < 20000; i++) {
		char tenant[32];

		snprintf(tenant, sizeof(tenant), "tenant-%d", i % 300);
		ck_assert_int_eq(create(&r, 1000 + i % 700, i % 3 ? "default" : tenant, i % 2, (size_t)i % 500),
		                 STORE_OK);
		if (i % 3)
			live_through(&r, i % 11);
		r.clock.wall_ms += i % 2;
	}
	ck_assert_int_gt(books(&r), 0);
	r.clock.wall_ms += 10000;
	ck_assert_int_eq(store_depth(r.store), 0);
	ck_assert_int_eq(books(&r), 0);
	for (unsigned i = 0; i < SHARDS; i++) {
		ck_assert_uint_eq(r.m->shards[i].heap_cap, 0);
		ck_assert_uint_eq(r.m->shards[i].origins.count, 0);
		ck_assert_int_eq(atomic_load(&r.m->next_due[i]), INT64_MAX);
	}
	store_close(r.store);
}
END_TEST

START_TEST(a_refused_creation_leaves_no_trace_in_the_books)
{
	int64_t full;
	struct rig r;

	rig_open_limited(&r, 2000);
	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(create(&r, 1000, "default", true, 100), STORE_OK);
	full = books(&r);
	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(create(&r, 1000, "default", true, 100), STORE_FULL);
	/* but for a table that made room for the one that did not come */
	ck_assert_int_lt(books(&r) - full, 100000);
	r.clock.wall_ms += 1000;
	ck_assert_int_eq(store_depth(r.store), 0);
	ck_assert_int_eq(books(&r), 0);
	store_close(r.store);
}
END_TEST

START_TEST(all_of_a_digest_counts)
{
	uint8_t a[DIGEST_BYTES] = {0}, b[DIGEST_BYTES] = {0};
	struct store_create c = {.traceparent = "", .key_digest = a, .body_digest = a};
	struct job *job = job_new(&c, &(struct job_ids){.job = 1}, 1);

	ck_assert_ptr_nonnull(job);
	ck_assert(job_has_key(job, b));
	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		b[i] = 1;
		ck_assert(!job_has_key(job, b));
		b[i] = 0;
	}
	job_free(job);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* What the books say is what malloc says, within a few per cent. */
START_TEST(the_books_agree_with_malloc)
{
	struct mallinfo2 before, after;
	double held;
	struct rig r;

	rig_open(&r);
	before = mallinfo2();
	for (int i = 0; i < 50000; i++) {
		ck_assert_int_eq(create(&r, 100000, "default", i % 2, (size_t)i % 300), STORE_OK);
		if (i % 5 == 0)
			live_through(&r, i % 11);
	}
	after = mallinfo2();
	held = (double)(after.uordblks + after.hblkhd) - (double)(before.uordblks + before.hblkhd);
	ck_assert_double_gt((double)books(&r), held * 0.97);
	ck_assert_double_lt((double)books(&r), held * 1.03);
	store_close(r.store);
}
END_TEST
#endif

static uint32_t records(const struct rig *r)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < SHARDS; i++)
		n += r->m->shards[i].heap_len;
	return n;
}

START_TEST(a_sweep_is_bounded_and_an_operation_removes_a_few)
{
	enum { JOBS = 3 * SWEEP_MAX };
	uint32_t left;
	struct rig r;

	rig_open(&r);
	for (unsigned i = 0; i < JOBS; i++)
		ck_assert_int_eq(create(&r, 1000, "default", false, 10), STORE_OK);
	r.clock.wall_ms += 1000;
	store_sweep(r.store);
	left = records(&r);
	ck_assert_uint_le(left, JOBS - SWEEP_MAX);
	ck_assert_uint_ge(left, JOBS - SWEEP_MAX - EXPIRE_STEP);

	/* each creation takes more away than it adds */
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(create(&r, 1000, "default", false, 10), STORE_OK);
	ck_assert_uint_lt(records(&r), left);
	for (int i = 0; i < 3; i++)
		store_sweep(r.store);
	ck_assert_uint_eq(records(&r), 1000);
	ck_assert_int_eq(store_depth(r.store), 1000);
	store_close(r.store);
}
END_TEST

START_TEST(the_record_of_a_plain_job_is_small)
{
	struct store_create c = {.seed = {"{}", 2}, .traceparent = "", .tenant = "t", .policy_version = "v"};
	struct job *job = job_new(&c, &(struct job_ids){.job = 1}, 1);

	ck_assert_ptr_nonnull(job);
	/* with 24 bytes of heap and 2 x 22.5 of tables far below the budget of 256 */
	ck_assert_uint_le(job_bytes(job), 112);
	job_free(job);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memory store");
	TCase *t = tcase_create("memory");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, a_table_is_a_set_however_its_hashes_collide, 0, 6);
	tcase_add_test(t, a_table_gives_memory_back);
	tcase_add_test(t, jobs_are_spread_over_the_shards);
	tcase_add_test(t, the_books_balance);
	tcase_add_test(t, a_refused_creation_leaves_no_trace_in_the_books);
	tcase_add_test(t, all_of_a_digest_counts);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_test(t, the_books_agree_with_malloc);
#endif
	tcase_add_test(t, a_sweep_is_bounded_and_an_operation_removes_a_few);
	tcase_add_test(t, the_record_of_a_plain_job_is_small);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
