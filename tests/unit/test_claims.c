/* test_claims.c - what can be read off verified claims */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/claims.h"

#define NOW INT64_C(1767225600000)

static struct claims *claims_new(void)
{
	struct claims *c = calloc(1, sizeof(*c));
	ck_assert_ptr_nonnull(c);
	atomic_init(&c->refs, 1);
	return c;
}

START_TEST(a_token_lives_until_its_end_and_the_skew)
{
	struct claims c = {.expires_ms = NOW, .skew_ms = 30000};
	ck_assert(!claims_expired(&c, NOW - 1));
	ck_assert(!claims_expired(&c, NOW));
	ck_assert(!claims_expired(&c, NOW + 29999));
	ck_assert(claims_expired(&c, NOW + 30000));
	c.skew_ms = 0;
	ck_assert(!claims_expired(&c, NOW - 1));
	ck_assert(claims_expired(&c, NOW));
}
END_TEST

START_TEST(step_up_is_met_for_300_seconds)
{
	struct claims c = {.acr_gtpsi = true, .auth_time_ms = NOW, .skew_ms = 30000};
	ck_assert(claims_stepped_up(&c, NOW));
	ck_assert(claims_stepped_up(&c, NOW + 300000));
	ck_assert(!claims_stepped_up(&c, NOW + 300001));
	/* not in the future, beyond the skew */
	ck_assert(claims_stepped_up(&c, NOW - 30000));
	ck_assert(!claims_stepped_up(&c, NOW - 30001));
	c.acr_gtpsi = false;
	ck_assert(!claims_stepped_up(&c, NOW));
	c = (struct claims){.acr_gtpsi = true, .auth_time_ms = 0};
	ck_assert(!claims_stepped_up(&c, 1));
	c.auth_time_ms = -1;
	ck_assert(!claims_stepped_up(&c, 1));
}
END_TEST

START_TEST(every_scope_has_its_names_and_a_bit_of_its_own)
{
	unsigned seen = 0;
	for (const struct scope_name *s = scope_names; s->name; s++) {
		ck_assert_ptr_nonnull(s->brief);
		ck_assert_uint_ne(s->bit, 0);
		ck_assert_uint_eq(s->bit & (s->bit - 1), 0);
		ck_assert_uint_eq(seen & s->bit, 0);
		seen |= s->bit;
	}
	ck_assert_uint_eq(seen, SCOPE_SCHEDULE | SCOPE_COLLECT | SCOPE_INBOX | SCOPE_WORK);
	ck_assert_str_eq(scope_names[0].name, "consciousness.simulation.schedule");
	ck_assert_str_eq(scope_names[2].name, "memory.inbox.dreams.write");
}
END_TEST

static void *hold_and_let_go(void *arg)
{
	const struct claims *c = arg;
	for (int i = 0; i < 100000; i++) {
		claims_hold(c);
		ck_assert(claims_expired(c, NOW));
		claims_let_go(c);
	}
	claims_let_go(c);
	return NULL;
}

/* The sanitizers see a leak, a double free or a use behind the last let go. */
START_TEST(the_last_one_who_lets_go_frees)
{
	pthread_t threads[4];
	struct claims *c = claims_new();
	for (size_t i = 0; i < 4; i++) {
		claims_hold(c);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hold_and_let_go, c), 0);
	}
	claims_let_go(c);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	claims_let_go(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("claims");
	TCase *t = tcase_create("claims");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_token_lives_until_its_end_and_the_skew);
	tcase_add_test(t, step_up_is_met_for_300_seconds);
	tcase_add_test(t, every_scope_has_its_names_and_a_bit_of_its_own);
	tcase_add_test(t, the_last_one_who_lets_go_frees);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
