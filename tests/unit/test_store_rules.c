/*
 * test_store_rules - the diagram of simlane/store.h as a table: what each
 * operation answers in each standing, and what may be created at all
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/store/rules.h"

#define CLAIM 7u

/* What a job may be like; the claim, where there is one, is CLAIM. */
static const struct row {
	struct standing standing;
	enum store_status ended, unclaimed, held, fail_holder, fail_anybody, fail_stranger;
} rows[] = {
        {{JOB_SCHEDULED, 0, false}, STORE_OK, STORE_OK, STORE_LOST, STORE_LOST, STORE_OK, STORE_LOST},
        {{JOB_SCHEDULED, CLAIM, false}, STORE_OK, STORE_OK, STORE_LOST, STORE_LOST, STORE_OK, STORE_LOST},
        {{JOB_SCHEDULED, CLAIM, true}, STORE_OK, STORE_OK, STORE_LOST, STORE_LOST, STORE_OK, STORE_LOST},
        {{JOB_RUNNING, CLAIM, true}, STORE_OK, STORE_BUSY, STORE_OK, STORE_OK, STORE_BUSY, STORE_LOST},
        {{JOB_RUNNING, CLAIM, false}, STORE_OK, STORE_OK, STORE_OK, STORE_OK, STORE_OK, STORE_LOST},
        {{JOB_COMPLETE, CLAIM, true},
         STORE_COMPLETE,
         STORE_COMPLETE,
         STORE_LOST,
         STORE_COMPLETE,
         STORE_COMPLETE,
         STORE_COMPLETE},
        {{JOB_FAILED, CLAIM, true}, STORE_FAILED, STORE_FAILED, STORE_LOST, STORE_FAILED, STORE_FAILED, STORE_FAILED},
        {{JOB_CANCELLED, 0, false},
         STORE_CANCELLED,
         STORE_CANCELLED,
         STORE_LOST,
         STORE_CANCELLED,
         STORE_CANCELLED,
         STORE_CANCELLED},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void check_status(size_t row, const char *what, enum store_status got, enum store_status want)
{
	ck_assert_msg(got == want, "row %zu, %s: %s, not %s", row, what, store_status_name(got),
	              store_status_name(want));
}

START_TEST(each_standing_has_its_answers)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct standing *s = &rows[i].standing;

		check_status(i, "ended", rule_ended(s), rows[i].ended);
		check_status(i, "unclaimed", rule_unclaimed(s), rows[i].unclaimed);
		check_status(i, "held", rule_held(s, CLAIM), rows[i].held);
		check_status(i, "held by a stranger", rule_held(s, CLAIM + 1), STORE_LOST);
		check_status(i, "fail by the holder", rule_fail(s, CLAIM), rows[i].fail_holder);
		check_status(i, "fail by anybody", rule_fail(s, 0), rows[i].fail_anybody);
		check_status(i, "fail by a stranger", rule_fail(s, CLAIM + 1), rows[i].fail_stranger);
	}
}
END_TEST

START_TEST(only_answers_about_a_job_show_it)
{
	for (int s = 0; s < STORE_STATUSES; s++) {
		bool none = s == STORE_EXISTS || s == STORE_MISMATCH || s == STORE_IN_FLIGHT || s == STORE_FULL ||
		            s == STORE_NOT_FOUND || s == STORE_UNAVAILABLE;

		ck_assert_int_eq(rule_shows_job((enum store_status)s), !none);
	}
}
END_TEST

static struct store_create good(void)
{
	return (struct store_create){
	        .job_id = "JOB-0123456789ab",
	        .trace_id = "LT-1700000000000-0123abcd",
	        .tenant = "default",
	        .seed = span_of("{}"),
	        .policy_version = "v1",
	        .traceparent = "",
	};
}

static bool formed(const struct store_create *c)
{
	struct job_ids ids;

	return rule_well_formed(c, &ids);
}

START_TEST(a_well_formed_creation_gives_its_numbers)
{
	struct store_create c = good();
	struct job_ids ids;

	ck_assert(rule_well_formed(&c, &ids));
	ck_assert_uint_eq(ids.job, UINT64_C(0x0123456789ab));
	ck_assert_int_eq(ids.trace_ms, INT64_C(1700000000000));
	ck_assert_uint_eq(ids.trace_bits, 0x0123abcdu);
}
END_TEST

START_TEST(what_is_too_long_or_no_id_is_not_well_formed)
{
	char text[128];
	struct store_create c = good();

	memset(text, 'x', sizeof(text));
	c.job_id = "JOB-0123456789AB";
	ck_assert(!formed(&c));
	c = good(), c.trace_id = "foreign.trace";
	ck_assert(!formed(&c));

	text[TENANT_MAX] = '\0';
	c = good(), c.tenant = text;
	ck_assert(formed(&c));
	text[TENANT_MAX] = 'x', text[TENANT_MAX + 1] = '\0';
	ck_assert(!formed(&c));
	c = good(), c.policy_version = text;
	ck_assert(!formed(&c));
	text[VERSION_MAX] = '\0';
	ck_assert(formed(&c));
	text[TRACEPARENT_MAX + 1] = '\0';
	c = good(), c.traceparent = text;
	ck_assert(!formed(&c));
	text[TRACEPARENT_MAX] = '\0';
	ck_assert(formed(&c));
	c = good(), c.seed.len = (size_t)UINT32_MAX / 2;
	ck_assert(formed(&c));
	c.seed.len++;
	ck_assert(!formed(&c));
}
END_TEST

START_TEST(an_end_never_overflows)
{
	ck_assert_int_eq(rule_expiry(1000, 5), 1005);
	ck_assert_int_eq(rule_expiry(1000, INT64_MAX), INT64_MAX - 1);
	ck_assert_int_eq(rule_expiry(1000, INT64_MAX - 1001), INT64_MAX - 1);
	ck_assert_int_eq(rule_expiry(1000, INT64_MAX - 1002), INT64_MAX - 2);
	ck_assert_int_eq(rule_expiry(0, INT64_MAX), INT64_MAX - 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store rules");
	TCase *t = tcase_create("rules");
	SRunner *runner;
	int failed;

	tcase_add_test(t, each_standing_has_its_answers);
	tcase_add_test(t, only_answers_about_a_job_show_it);
	tcase_add_test(t, a_well_formed_creation_gives_its_numbers);
	tcase_add_test(t, what_is_too_long_or_no_id_is_not_well_formed);
	tcase_add_test(t, an_end_never_overflows);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
