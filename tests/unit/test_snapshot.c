/* test_snapshot.c - a value that is swapped while others use it lives as long as they do */
#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "simlane/snapshot.h"

#define ALIVE 0x600d600du

struct value {
	struct snapshot_ref ref; /* the first member */
	unsigned number, mark;
};

static atomic_uint freed;

static void value_free(struct snapshot_ref *r)
{
	struct value *v = (struct value *)r;
	ck_assert_uint_eq(v->mark, ALIVE);
	v->mark = 0;
	atomic_fetch_add(&freed, 1);
	free(v);
}

static struct snapshot_ref *value_new(unsigned number)
{
	struct value *v = calloc(1, sizeof(*v));
	ck_assert_ptr_nonnull(v);
	atomic_init(&v->ref.count, 1);
	v->ref.free = value_free;
	v->number = number;
	v->mark = ALIVE;
	return &v->ref;
}

START_TEST(nothing_is_in_force_before_the_first_swap)
{
	struct snapshot s;
	ck_assert_int_eq(snapshot_init(&s), 0);
	ck_assert_ptr_null(snapshot_get(&s));
	ck_assert_uint_eq(snapshot_generation(&s), 0);
	snapshot_destroy(&s);
	snapshot_let_go(NULL);
}
END_TEST

START_TEST(who_holds_the_old_one_keeps_it)
{
	struct snapshot s;
	ck_assert_int_eq(snapshot_init(&s), 0);
	snapshot_swap(&s, value_new(1));
	struct snapshot_ref *old = snapshot_get(&s);
	ck_assert_uint_eq(old->generation, 1);
	snapshot_swap(&s, value_new(2));
	ck_assert_uint_eq(snapshot_generation(&s), 2);
	ck_assert_uint_eq(atomic_load(&freed), 0);
	ck_assert_uint_eq(((struct value *)old)->number, 1);
	snapshot_let_go(old);
	ck_assert_uint_eq(atomic_load(&freed), 1);
	struct snapshot_ref *now = snapshot_get(&s);
	snapshot_destroy(&s);
	ck_assert_uint_eq(((struct value *)now)->number, 2);
	snapshot_let_go(now);
	ck_assert_uint_eq(atomic_load(&freed), 2);
}
END_TEST

static struct snapshot shared;
static atomic_bool enough;

static void *read_it(void *arg)
{
	unsigned last = 0;
	(void)arg;
	while (!atomic_load(&enough)) {
		struct snapshot_ref *r = snapshot_get(&shared);
		struct value *v = (struct value *)r;
		ck_assert_uint_eq(v->mark, ALIVE);
		ck_assert_uint_eq(v->number, r->generation);
		ck_assert_uint_ge(v->number, last); /* never an older one again */
		last = v->number;
		snapshot_let_go(r);
	}
	return NULL;
}

START_TEST(readers_and_swaps_do_not_hurt_each_other)
{
	pthread_t readers[4];
	ck_assert_int_eq(snapshot_init(&shared), 0);
	snapshot_swap(&shared, value_new(1));
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_it, NULL), 0);
	for (unsigned n = 2; n <= 5000; n++) {
		snapshot_swap(&shared, value_new(n));
		ck_assert_uint_eq(snapshot_generation(&shared), n);
	}
	atomic_store(&enough, true);
	for (size_t i = 0; i < 4; i++)
		pthread_join(readers[i], NULL);
	snapshot_destroy(&shared);
	ck_assert_uint_eq(atomic_load(&freed), 5000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("snapshot");
	TCase *t = tcase_create("snapshot");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, nothing_is_in_force_before_the_first_swap);
	tcase_add_test(t, who_holds_the_old_one_keeps_it);
	tcase_add_test(t, readers_and_swaps_do_not_hurt_each_other);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
