/*
 * content - what was given comes back, byte for byte
 */
#include "harness.h"

/* Every combination of what a job may have or not. */
static void check_combination(struct rig *r, unsigned with)
{
	struct answer a, b;
	struct draft d;

	draft_make(r, &d);
	if (with & 1)
		d.c.advice = UINT64_C(0x8000000000000001);
	if (with & 2)
		d.c.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	if (with & 4)
		draft_key(&d, 1000 + with, 1);
	if (with & 8)
		d.c.seed = span_of("{}");
	d.c.stepped_up = with & 1;
	d.c.goal_chars = 4000000000u;
	d.c.policy_version = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	d.c.policy_digest = UINT64_MAX;
	d.c.tenant = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-abcdefghijklmnopqrstuvwxyz_0123456789";
	d.c.ttl_ms = 1000 + with;
	ask_create(r, &d, &a);
	ck_status(a.status, STORE_OK);
	ask_read(r, d.c.tenant, d.job_id, &b);
	ck_status(b.status, STORE_OK);
	for (const struct job_view *v = &a.job; v; v = v == &a.job ? &b.job : NULL) {
		ck_assert_str_eq(v->job_id, d.job_id);
		ck_assert_str_eq(v->trace_id, d.trace_id);
		ck_assert_str_eq(v->tenant, d.c.tenant);
		ck_state(v->state, JOB_SCHEDULED);
		ck_assert(span_equal(v->seed, d.c.seed));
		ck_assert_uint_eq(v->goal_chars, 4000000000u);
		ck_assert_ptr_null(v->artifacts.ptr);
		ck_assert_ptr_null(v->receipt.ptr);
		ck_assert_str_eq(v->policy_version, d.c.policy_version);
		ck_assert_uint_eq(v->policy_digest, UINT64_MAX);
		ck_assert_uint_eq(v->advice, d.c.advice);
		ck_assert_int_eq(v->stepped_up, d.c.stepped_up);
		ck_assert_str_eq(v->traceparent, d.c.traceparent);
		ck_assert_str_eq(v->failure, "");
		ck_assert_int_eq(v->updated_ms, v->created_ms);
		ck_assert_int_eq(v->expires_ms, v->created_ms + d.c.ttl_ms);
		ck_assert_int_eq(v->created_ms, rig_now(r));
	}
	answer_free(&a);
	answer_free(&b);
}

START_TEST(a_job_is_shown_as_it_was_given)
{
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	for (unsigned with = 0; with < 16; with++)
		check_combination(&r, with);
	rig_close(&r);
}
END_TEST

START_TEST(the_longest_identifiers_are_kept)
{
	struct answer a;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	d.c.job_id = "JOB-ffffffffffff";
	d.c.trace_id = "LT-999999999999999999-ffffffff";
	ck_status(try_create(&r, &d), STORE_OK);
	ask_trace(&r, d.c.trace_id, &a);
	ck_assert_str_eq(a.job.job_id, d.c.job_id);
	answer_free(&a);
	draft_make(&r, &d);
	d.c.job_id = "JOB-000000000000";
	d.c.trace_id = "LT-0-00000000";
	ck_status(try_create(&r, &d), STORE_OK);
	ask_read(&r, "default", d.c.job_id, &a);
	ck_assert_str_eq(a.job.trace_id, d.c.trace_id);
	answer_free(&a);
	rig_close(&r);
}
END_TEST

static void check_bytes(struct rig *r, size_t len)
{
	char *seed = hostile_bytes(len, 0), *shards = hostile_bytes(len, 1), *receipt = hostile_bytes(len, 2);
	struct answer a, b, c;
	struct draft d;

	draft_make(r, &d);
	d.c.seed = (struct span){seed, len};
	ask_create(r, &d, &a);
	ck_status(a.status, STORE_OK);
	memset(seed, 0, len); /* the store has its own copy */
	ask_begin(r, "default", d.job_id, (struct span){shards, len}, CLAIM_MS, &b);
	ck_status(b.status, STORE_OK);
	memset(shards, 0, len);
	ask_finish(r, "default", d.job_id, b.claim, (struct span){receipt, len}, &c);
	ck_status(c.status, STORE_OK);
	memset(receipt, 0, len);
	answer_free(&a);
	answer_free(&b);
	answer_free(&c);
	free(seed);
	free(shards);
	free(receipt);

	seed = hostile_bytes(len, 0), shards = hostile_bytes(len, 1), receipt = hostile_bytes(len, 2);
	ask_read(r, "default", d.job_id, &a);
	ck_assert(span_equal(a.job.seed, (struct span){seed, len}));
	ck_assert(span_equal(a.job.artifacts, (struct span){shards, len}));
	ck_assert(span_equal(a.job.receipt, (struct span){receipt, len}));
	ck_assert_ptr_nonnull(a.job.artifacts.ptr);
	ck_assert_ptr_nonnull(a.job.receipt.ptr);
	answer_free(&a);
	free(seed);
	free(shards);
	free(receipt);
}

START_TEST(hostile_bytes_come_back_byte_for_byte)
{
	static const size_t sizes[] = {0,   1,   2,   7,   8,    15,    16,     17,     127,
	                               128, 129, 255, 256, 1000, 70000, 262144, 3000000};
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_bytes(&r, sizes[i]);
	rig_close(&r);
}
END_TEST

/* Ids and numbers are the store's own, texts are anybody's. */
START_TEST(texts_of_all_characters_are_kept)
{
	static const char odd[] = "a b\n\t'\"\\%s{}[]\x01\x7f\xc3\xbc\xff;--$*:,|";
	struct answer a;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	for (unsigned i = 0; i < sizeof(odd); i++) {
		draft_make(&r, &d);
		d.c.tenant = odd + i;
		d.c.policy_version = odd + i;
		d.c.traceparent = odd + i;
		d.c.seed = span_of(odd + i);
		ck_status(try_create(&r, &d), STORE_OK);
		ask_fail(&r, d.c.tenant, d.job_id, 0, odd + i, &a);
		ck_status(a.status, STORE_OK);
		answer_free(&a);
		ask_trace(&r, d.trace_id, &a);
		ck_assert_str_eq(a.job.tenant, odd + i);
		ck_assert_str_eq(a.job.policy_version, odd + i);
		ck_assert_str_eq(a.job.traceparent, odd + i);
		ck_assert_str_eq(a.job.failure, odd + i);
		ck_assert(span_is(a.job.seed, odd + i));
		answer_free(&a);
	}
	rig_close(&r);
}
END_TEST

START_TEST(a_failed_job_says_why)
{
	static const char reason[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct answer a;
	struct draft d;
	uint64_t claim;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ask_fail(&r, "default", d.job_id, 0, "deny-ul-tag", &a);
	ck_assert_str_eq(a.job.failure, "deny-ul-tag");
	answer_free(&a);

	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_begin(&r, d.job_id, &claim), STORE_OK);
	ask_fail(&r, "default", d.job_id, claim, reason, &a);
	ck_assert_str_eq(a.job.failure, reason);
	answer_free(&a);
	ask_begin(&r, "default", d.job_id, span_of("[]"), CLAIM_MS, &a);
	ck_status(a.status, STORE_FAILED);
	ck_assert_str_eq(a.job.failure, reason);
	answer_free(&a);
	rig_close(&r);
}
END_TEST

START_TEST(a_complete_job_shows_artifacts_and_receipt_to_whoever_asks)
{
	struct answer a;
	struct draft d;
	uint64_t claim;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ck_status(try_begin(&r, d.job_id, &claim), STORE_OK);
	pass_ms(&r, 10);
	ck_status(try_finish(&r, d.job_id, claim), STORE_OK);
	pass_ms(&r, 10);
	ask_begin(&r, "default", d.job_id, span_of("[]"), CLAIM_MS, &a);
	ck_status(a.status, STORE_COMPLETE);
	ck_assert(span_is(a.job.artifacts, "[{\"index\":0}]"));
	ck_assert(span_is(a.job.receipt, "{\"file\":\"f\"}"));
	ck_assert_int_eq(a.job.updated_ms, rig_now(&r) - 10);
	answer_free(&a);
	ask_cancel(&r, "default", d.job_id, &a);
	ck_status(a.status, STORE_COMPLETE);
	ck_assert(span_is(a.job.receipt, "{\"file\":\"f\"}"));
	answer_free(&a);
	rig_close(&r);
}
END_TEST

/* A begin without artifacts stages none; the next one may. */
START_TEST(a_claim_may_come_without_artifacts)
{
	struct span none = {NULL, 0};
	struct answer a;
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &d);
	ck_status(try_create(&r, &d), STORE_OK);
	ask_begin(&r, "default", d.job_id, none, CLAIM_MS, &a);
	ck_status(a.status, STORE_OK);
	ck_assert_ptr_null(a.job.artifacts.ptr);
	ck_status(try_release(&r, d.job_id, a.claim), STORE_OK);
	answer_free(&a);
	ask_begin(&r, "default", d.job_id, span_of("[1]"), CLAIM_MS, &a);
	ck_assert(span_is(a.job.artifacts, "[1]"));
	answer_free(&a);
	rig_close(&r);
}
END_TEST

/* Removes the job that it is shown, and looks at it again. */
struct inside {
	struct rig *r;
	atomic_bool looked;
};

static void look_inside(void *arg, const struct store_result *result)
{
	struct inside *in = arg;
	const struct job_view *v = result->job;
	char seed[4096];

	ck_status(result->status, STORE_OK);
	ck_assert_uint_lt(v->seed.len, sizeof(seed));
	memcpy(seed, v->seed.ptr, v->seed.len);
	pass_ms(in->r, TTL_MS);
	store_sweep(in->r->store);
	if (!in->r->subject->engine) /* this is the engine's thread: not before it has returned */
		ck_assert_int_eq(store_depth(in->r->store), 0);
	ck_assert(memcmp(seed, v->seed.ptr, v->seed.len) == 0);
	ck_assert_str_eq(v->tenant, "default");
	ck_assert_str_eq(v->policy_version, "v1");
	ck_assert_str_eq(v->traceparent, "00-1-2-3");
	atomic_store(&in->looked, true);
}

static void wait_looked(struct inside *in)
{
	for (int i = 0; i < 2000 && in->r->subject->engine && !atomic_load(&in->looked); i++)
		sleep_ms(1);
	ck_assert(atomic_exchange(&in->looked, false));
	expect_depth(in->r, 0);
}

START_TEST(a_view_holds_during_its_callback_even_when_the_job_ends)
{
	struct inside in = {NULL, false};
	struct draft d;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	in.r = &r;
	draft_make(&r, &d);
	d.c.traceparent = "00-1-2-3";
	ck_status(try_create(&r, &d), STORE_OK);
	store_read(r.store, "default", d.job_id, look_inside, &in);
	wait_looked(&in);
	draft_make(&r, &d);
	d.c.traceparent = "00-1-2-3";
	store_create(r.store, &d.c, look_inside, &in);
	wait_looked(&in);
	rig_close(&r);
}
END_TEST

TCase *case_content(void)
{
	TCase *t = tcase_create("content");
	int n = subject_count();

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_job_is_shown_as_it_was_given, 0, n);
	tcase_add_loop_test(t, the_longest_identifiers_are_kept, 0, n);
	tcase_add_loop_test(t, hostile_bytes_come_back_byte_for_byte, 0, n);
	tcase_add_loop_test(t, texts_of_all_characters_are_kept, 0, n);
	tcase_add_loop_test(t, a_failed_job_says_why, 0, n);
	tcase_add_loop_test(t, a_complete_job_shows_artifacts_and_receipt_to_whoever_asks, 0, n);
	tcase_add_loop_test(t, a_claim_may_come_without_artifacts, 0, n);
	tcase_add_loop_test(t, a_view_holds_during_its_callback_even_when_the_job_ends, 0, n);
	return t;
}
