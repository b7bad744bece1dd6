/*
 * failing - the store that always says no says it late, from another thread,
 * and to everybody
 */
#include "harness.h"

static const struct subject the_failing = {.name = "failing"};

static void failing_open(struct rig *r)
{
	struct store_options options = {.clock = &clock_system};

	memset(r, 0, sizeof(*r));
	r->subject = &the_failing;
	r->store = store_open("failing", &options, NULL);
	ck_assert_ptr_nonnull(r->store);
}

static void check_refused(struct answer *a)
{
	ck_status(a->status, STORE_UNAVAILABLE);
	ck_assert(!a->unknown);
	ck_assert(!pthread_equal(a->thread, pthread_self()));
	answer_free(a);
}

static void draft_static(struct draft *d)
{
	memset(d, 0, sizeof(*d));
	strcpy(d->job_id, "JOB-000000000001");
	strcpy(d->trace_id, "LT-1-00000001");
	d->c = (struct store_create){
	        .job_id = d->job_id,
	        .trace_id = d->trace_id,
	        .tenant = "default",
	        .seed = span_of("{}"),
	        .policy_version = "v1",
	        .traceparent = "",
	        .ttl_ms = TTL_MS,
	};
}

START_TEST(every_operation_is_unavailable_and_asynchronous)
{
	struct answer a;
	struct draft d;
	struct rig r;

	failing_open(&r);
	draft_static(&d);
	ask_create(&r, &d, &a);
	check_refused(&a);
	ask_read(&r, "default", d.job_id, &a);
	check_refused(&a);
	ask_begin(&r, "default", d.job_id, span_of("[]"), CLAIM_MS, &a);
	check_refused(&a);
	ask_release(&r, "default", d.job_id, 1, &a);
	check_refused(&a);
	ask_finish(&r, "default", d.job_id, 1, span_of("{}"), &a);
	check_refused(&a);
	ask_fail(&r, "default", d.job_id, 0, "x", &a);
	check_refused(&a);
	ask_cancel(&r, "default", d.job_id, &a);
	check_refused(&a);
	ask_trace(&r, d.trace_id, &a);
	check_refused(&a);
	rig_close(&r);
}
END_TEST

START_TEST(the_rest_says_no_at_once)
{
	struct store_watch w = {.seen_revision = 1};
	struct rig r;

	failing_open(&r);
	ck_assert_int_eq(store_depth(r.store), -1);
	ck_assert(!store_check(r.store));
	ck_assert(!store_watch(r.store, &w));
	ck_assert(!store_unwatch(r.store, &w));
	store_sweep(r.store);
	rig_close(&r);
}
END_TEST

START_TEST(a_key_with_an_odd_digest_is_in_flight)
{
	struct answer a;
	struct draft d;
	struct rig r;

	failing_open(&r);
	draft_static(&d);
	draft_key(&d, 1, 1);
	d.key[0] = 1;
	ck_status(try_create(&r, &d), STORE_IN_FLIGHT);
	d.key[0] = 2;
	ask_create(&r, &d, &a);
	check_refused(&a);
	rig_close(&r);
}
END_TEST

START_TEST(closing_completes_what_waits)
{
	enum { WAITING = 100 };
	static struct answer answers[WAITING];
	struct waiter *waiters[WAITING];
	struct rig r;

	failing_open(&r);
	for (int i = 0; i < WAITING; i++) {
		waiters[i] = waiter_new(&answers[i]);
		store_read(r.store, "default", "JOB-000000000001", waiter_done, waiters[i]);
	}
	rig_close(&r);
	for (int i = 0; i < WAITING; i++) {
		waiter_wait(waiters[i]);
		ck_status(answers[i].status, STORE_UNAVAILABLE);
	}
}
END_TEST

/* A backend that nobody has put into the table of subjects is untested. */
START_TEST(every_registered_backend_is_in_the_suite)
{
	const struct store_backend *b;

	for (size_t i = 0; (b = store_backend_at(i)) != NULL; i++) {
		bool known = strcmp(b->name, the_failing.name) == 0 || subject_named(b->name);

		ck_assert_msg(known, "%s is not in tests/contract/rig.c", b->name);
	}
}
END_TEST

TCase *case_failing(void)
{
	TCase *t = tcase_create("failing");

	tcase_add_test(t, every_operation_is_unavailable_and_asynchronous);
	tcase_add_test(t, the_rest_says_no_at_once);
	tcase_add_test(t, a_key_with_an_odd_digest_is_in_flight);
	tcase_add_test(t, closing_completes_what_waits);
	tcase_add_test(t, every_registered_backend_is_in_the_suite);
	return t;
}
