/*
 * states - every operation in every state: what it answers, and what it leaves
 */
#include "harness.h"

/* The states a job can be found in; those with a claim differ by its life. */
enum situation { NONE, SCHEDULED, RELEASED, RUNNING, LAPSED, COMPLETE, FAILED, CANCELLED, SITUATIONS };

static const char *const situation_names[SITUATIONS] = {
        "none", "scheduled", "released", "running", "lapsed", "complete", "failed", "cancelled",
};

enum deed { READ, TRACE, BEGIN, RELEASE, FINISH, FAIL_HOLDER, FAIL_ANYBODY, FAIL_STRANGER, CANCEL, DEEDS };

static const char *const deed_names[DEEDS] = {
        "read",   "trace", "begin", "release", "finish", "fail by the holder", "fail by anybody", "fail by a stranger",
        "cancel",
};

struct outcome {
	enum store_status status;
	int state; /* afterwards, where it changes; -1: nothing changes */
};

#define SAME(s_)                                                                                                       \
	{                                                                                                              \
		STORE_##s_, -1                                                                                         \
	}
#define TO(t_)                                                                                                         \
	{                                                                                                              \
		STORE_OK, JOB_##t_                                                                                     \
	}

/* RELEASED and LAPSED: the claim asked with is the one given before. */
static const struct outcome table[DEEDS][SITUATIONS] = {
        [READ] = {SAME(NOT_FOUND), SAME(OK), SAME(OK), SAME(OK), SAME(OK), SAME(OK), SAME(OK), SAME(OK)},
        [TRACE] = {SAME(NOT_FOUND), SAME(OK), SAME(OK), SAME(OK), SAME(OK), SAME(OK), SAME(OK), SAME(OK)},
        [BEGIN] = {SAME(NOT_FOUND), TO(RUNNING), TO(RUNNING), SAME(BUSY), TO(RUNNING), SAME(COMPLETE), SAME(FAILED),
                   SAME(CANCELLED)},
        [RELEASE] = {SAME(NOT_FOUND), SAME(LOST), SAME(LOST), TO(SCHEDULED), TO(SCHEDULED), SAME(LOST), SAME(LOST),
                     SAME(LOST)},
        [FINISH] = {SAME(NOT_FOUND), SAME(LOST), SAME(LOST), TO(COMPLETE), TO(COMPLETE), SAME(LOST), SAME(LOST),
                    SAME(LOST)},
        [FAIL_HOLDER] = {SAME(NOT_FOUND), SAME(LOST), SAME(LOST), TO(FAILED), TO(FAILED), SAME(COMPLETE), SAME(FAILED),
                         SAME(CANCELLED)},
        [FAIL_ANYBODY] = {SAME(NOT_FOUND), TO(FAILED), TO(FAILED), SAME(BUSY), TO(FAILED), SAME(COMPLETE), SAME(FAILED),
                          SAME(CANCELLED)},
        [FAIL_STRANGER] = {SAME(NOT_FOUND), SAME(LOST), SAME(LOST), SAME(LOST), SAME(LOST), SAME(COMPLETE),
                           SAME(FAILED), SAME(CANCELLED)},
        [CANCEL] = {SAME(NOT_FOUND), TO(CANCELLED), TO(CANCELLED), SAME(BUSY), TO(CANCELLED), SAME(COMPLETE),
                    SAME(FAILED), SAME(CANCELLED)},
};

/* Makes a job of that situation; returns the claim given on the way, or one
 * that nobody has. */
static uint64_t arrange(struct rig *r, enum situation situation, struct draft *d)
{
	uint64_t claim = 987654;

	draft_make(r, d);
	if (situation == NONE)
		return claim;
	ck_status(try_create(r, d), STORE_OK);
	if (situation == SCHEDULED)
		return claim;
	if (situation == CANCELLED) {
		ck_status(try_cancel(r, d->job_id), STORE_OK);
		return claim;
	}
	ck_status(try_begin(r, d->job_id, &claim), STORE_OK);
	if (situation == RELEASED)
		ck_status(try_release(r, d->job_id, claim), STORE_OK);
	if (situation == COMPLETE)
		ck_status(try_finish(r, d->job_id, claim), STORE_OK);
	if (situation == FAILED)
		ck_status(try_fail(r, d->job_id, claim), STORE_OK);
	if (situation == LAPSED)
		pass_ms(r, CLAIM_MS);
	return claim;
}

static void act(struct rig *r, enum deed deed, const struct draft *d, uint64_t claim, struct answer *a)
{
	switch (deed) {
	case READ:
		ask_read(r, "default", d->job_id, a);
		break;
	case TRACE:
		ask_trace(r, d->trace_id, a);
		break;
	case BEGIN:
		ask_begin(r, "default", d->job_id, span_of("[{\"other\":1}]"), CLAIM_MS, a);
		break;
	case RELEASE:
		ask_release(r, "default", d->job_id, claim, a);
		break;
	case FINISH:
		ask_finish(r, "default", d->job_id, claim, span_of("{\"n\":1}"), a);
		break;
	case FAIL_HOLDER:
		ask_fail(r, "default", d->job_id, claim, "a-rule", a);
		break;
	case FAIL_ANYBODY:
		ask_fail(r, "default", d->job_id, 0, "a-rule", a);
		break;
	case FAIL_STRANGER:
		ask_fail(r, "default", d->job_id, claim + 1000, "a-rule", a);
		break;
	case CANCEL:
		ask_cancel(r, "default", d->job_id, a);
		break;
	default:
		ck_abort_msg("no such deed");
	}
}

static bool is_unfinished(const struct answer *a)
{
	return a->has_job && (a->job.state == JOB_SCHEDULED || a->job.state == JOB_RUNNING);
}

static void check_outcome(struct rig *r, enum deed deed, enum situation situation)
{
	const struct outcome *want = &table[deed][situation];
	struct answer before, a, after;
	struct draft d;
	uint64_t claim = arrange(r, situation, &d);

	ask_read(r, "default", d.job_id, &before);
	act(r, deed, &d, claim, &a);
	ask_read(r, "default", d.job_id, &after);
	ck_assert_msg(a.status == want->status, "%s of a %s job: %s, not %s", deed_names[deed],
	              situation_names[situation], store_status_name(a.status), store_status_name(want->status));
	if (want->state >= 0) {
		ck_state(after.job.state, (enum job_state)want->state);
		ck_assert_uint_ne(after.job.revision, before.job.revision);
	} else if (after.has_job) {
		ck_state(after.job.state, before.job.state);
		ck_assert_uint_eq(after.job.revision, before.job.revision);
	}
	if (a.has_job) {
		ck_state(a.job.state, after.job.state);
		ck_assert_uint_eq(a.job.revision, after.job.revision);
		ck_assert_str_eq(a.job.job_id, d.job_id);
	}
	ck_assert_int_eq(a.status == STORE_OK && deed == BEGIN, a.claim != 0);
	expect_depth(r, is_unfinished(&after));
	answer_free(&before);
	answer_free(&a);
	answer_free(&after);
}

START_TEST(every_operation_in_every_state)
{
	for (int deed = 0; deed < DEEDS; deed++) {
		for (int situation = 0; situation < SITUATIONS; situation++) {
			struct rig r;

			rig_open(&r, _i, 1000, 0);
			check_outcome(&r, (enum deed)deed, (enum situation)situation);
			rig_close(&r);
		}
	}
}
END_TEST

START_TEST(a_job_or_trace_id_that_is_taken_is_refused)
{
	struct draft first, same_job, same_trace;
	struct answer a;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &first);
	ck_status(try_create(&r, &first), STORE_OK);
	draft_make(&r, &same_job);
	same_job.c.job_id = first.job_id;
	same_job.c.seed = span_of("{}");
	ck_status(try_create(&r, &same_job), STORE_EXISTS);
	draft_make(&r, &same_trace);
	same_trace.c.trace_id = first.trace_id;
	ck_status(try_create(&r, &same_trace), STORE_EXISTS);

	/* nothing of the refused ones is there, and the first is as it was */
	ck_status(try_read(&r, same_trace.job_id), STORE_NOT_FOUND);
	ask_trace(&r, same_job.trace_id, &a);
	ck_status(a.status, STORE_NOT_FOUND);
	answer_free(&a);
	ask_read(&r, "default", first.job_id, &a);
	ck_assert(span_is(a.job.seed, "{\"goal\":\"g\"}"));
	answer_free(&a);
	expect_depth(&r, 1);
	rig_close(&r);
}
END_TEST

/* Artifacts staged first are those of every later claim. */
START_TEST(artifacts_staged_first_stay_whoever_takes_over)
{
	struct span staged = span_of("[{\"index\":0,\"timestamp\":1}]");
	struct span later = span_of("[{\"index\":0,\"timestamp\":2}]");
	struct answer a, b, c;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ask_begin(&r, "default", d.job_id, staged, CLAIM_MS, &a);
	ck_status(a.status, STORE_OK);
	ck_assert(span_equal(a.job.artifacts, staged));
	ck_status(try_release(&r, d.job_id, a.claim), STORE_OK);

	ask_begin(&r, "default", d.job_id, later, CLAIM_MS, &b);
	ck_status(b.status, STORE_OK);
	ck_assert(span_equal(b.job.artifacts, staged));
	ck_assert_uint_ne(b.claim, a.claim);
	pass_ms(&r, CLAIM_MS);

	ask_begin(&r, "default", d.job_id, later, CLAIM_MS, &c);
	ck_status(c.status, STORE_OK);
	ck_assert(span_equal(c.job.artifacts, staged));
	ck_assert_uint_gt(c.claim, b.claim);
	answer_free(&a);
	answer_free(&b);
	answer_free(&c);
	rig_close(&r);
}
END_TEST

START_TEST(a_claim_that_was_taken_over_is_lost)
{
	uint64_t old, mine;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_begin(&r, d.job_id, &old), STORE_OK);
	pass_ms(&r, CLAIM_MS - 1);
	ck_status(try_begin(&r, d.job_id, &mine), STORE_BUSY);
	pass_ms(&r, 1);
	ck_status(try_begin(&r, d.job_id, &mine), STORE_OK);
	ck_status(try_finish(&r, d.job_id, old), STORE_LOST);
	ck_status(try_release(&r, d.job_id, old), STORE_LOST);
	ck_status(try_fail(&r, d.job_id, old), STORE_LOST);
	ck_status(try_finish(&r, d.job_id, 0), STORE_LOST);
	ck_status(try_release(&r, d.job_id, 0), STORE_LOST);
	ck_status(try_finish(&r, d.job_id, mine), STORE_OK);
	ck_status(try_finish(&r, d.job_id, mine), STORE_LOST);
	rig_close(&r);
}
END_TEST

START_TEST(whoever_cancels_a_lapsed_claim_stops_its_holder)
{
	uint64_t claim;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_begin(&r, d.job_id, &claim), STORE_OK);
	ck_status(try_cancel(&r, d.job_id), STORE_BUSY);
	pass_ms(&r, CLAIM_MS);
	ck_status(try_cancel(&r, d.job_id), STORE_OK);
	ck_status(try_finish(&r, d.job_id, claim), STORE_LOST);
	ck_status(try_cancel(&r, d.job_id), STORE_CANCELLED);
	rig_close(&r);
}
END_TEST

START_TEST(a_job_of_another_tenant_is_not_found)
{
	struct answer a;
	struct draft d;
	uint64_t claim = 1;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	d.c.tenant = "theirs";
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_read(&r, d.job_id), STORE_NOT_FOUND);
	ck_status(try_begin(&r, d.job_id, &claim), STORE_NOT_FOUND);
	ck_status(try_cancel(&r, d.job_id), STORE_NOT_FOUND);
	ck_status(try_fail(&r, d.job_id, 0), STORE_NOT_FOUND);
	ask_begin(&r, "theirs", d.job_id, span_of("[]"), CLAIM_MS, &a);
	ck_status(a.status, STORE_OK);
	claim = a.claim;
	answer_free(&a);
	ck_status(try_release(&r, d.job_id, claim), STORE_NOT_FOUND);
	ck_status(try_finish(&r, d.job_id, claim), STORE_NOT_FOUND);
	ck_status(try_fail(&r, d.job_id, claim), STORE_NOT_FOUND);
	ask_read(&r, "their", d.job_id, &a);
	ck_status(a.status, STORE_NOT_FOUND);
	answer_free(&a);

	/* untouched, and the trace tells whose it is */
	ask_trace(&r, d.trace_id, &a);
	ck_status(a.status, STORE_OK);
	ck_assert_str_eq(a.job.tenant, "theirs");
	ck_state(a.job.state, JOB_RUNNING);
	answer_free(&a);
	rig_close(&r);
}
END_TEST

START_TEST(what_is_no_id_is_not_found)
{
	static const char *const jobs[] = {
	        "",
	        "JOB-",
	        "JOB-00000000000",
	        "JOB-0000000000000",
	        "JOB-00000000000G",
	        "JOB-ABCDEFABCDEF",
	        "job-000000000000",
	        "' OR 1=1 --",
	        "JOB-000000000001",
	};
	static const char *const traces[] = {
	        "",
	        "LT-",
	        "LT-1-",
	        "LT-x-00000000",
	        "LT-1-0000000",
	        "LT-01-00000000",
	        "foreign.trace",
	        "LT--1-00000000",
	};
	struct answer a;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		ck_status(try_read(&r, jobs[i]), STORE_NOT_FOUND);
		ck_status(try_begin(&r, jobs[i], NULL), STORE_NOT_FOUND);
		ck_status(try_release(&r, jobs[i], 1), STORE_NOT_FOUND);
		ck_status(try_finish(&r, jobs[i], 1), STORE_NOT_FOUND);
		ck_status(try_fail(&r, jobs[i], 0), STORE_NOT_FOUND);
		ck_status(try_cancel(&r, jobs[i]), STORE_NOT_FOUND);
	}
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
		ask_trace(&r, traces[i], &a);
		ck_status(a.status, STORE_NOT_FOUND);
		answer_free(&a);
	}
	rig_close(&r);
}
END_TEST

START_TEST(every_status_and_state_has_a_name_of_its_own)
{
	for (int i = 0; i < STORE_STATUSES; i++) {
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(store_status_name((enum store_status)i),
			                 store_status_name((enum store_status)k));
	}
	for (int i = 0; i < JOB_STATES; i++) {
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(job_state_name((enum job_state)i), job_state_name((enum job_state)k));
	}
	ck_assert_str_eq(job_state_name(JOB_SCHEDULED), "scheduled");
	ck_assert_str_eq(job_state_name(JOB_CANCELLED), "cancelled");
}
END_TEST

START_TEST(a_store_of_an_unknown_name_is_refused_by_name)
{
	struct fault fault = {""};

	ck_assert_ptr_null(store_open("mongo", &(struct store_options){.clock = &clock_system}, &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, "mongo"));
	store_close(NULL);
}
END_TEST

TCase *case_states(void)
{
	TCase *t = tcase_create("states");
	int n = subject_count();

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, every_operation_in_every_state, 0, n);
	tcase_add_loop_test(t, a_job_or_trace_id_that_is_taken_is_refused, 0, n);
	tcase_add_loop_test(t, artifacts_staged_first_stay_whoever_takes_over, 0, n);
	tcase_add_loop_test(t, a_claim_that_was_taken_over_is_lost, 0, n);
	tcase_add_loop_test(t, whoever_cancels_a_lapsed_claim_stops_its_holder, 0, n);
	tcase_add_loop_test(t, a_job_of_another_tenant_is_not_found, 0, n);
	tcase_add_loop_test(t, what_is_no_id_is_not_found, 0, n);
	tcase_add_test(t, every_status_and_state_has_a_name_of_its_own);
	tcase_add_test(t, a_store_of_an_unknown_name_is_refused_by_name);
	return t;
}
