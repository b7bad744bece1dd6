/*
 * batch - operations that come to an engine in one batch: their order, and
 * whose view is whose
 */
#include "harness.h"

/* ---- order ---- */

#define LINES_MAX 64

/* What is asked, and what must be answered. */
struct scene {
	struct rig *r;
	struct gate gate;
	struct answer answers[LINES_MAX];
	struct waiter *waiters[LINES_MAX];
	enum store_status want[LINES_MAX];
	int n;
};

static void scene_open(struct scene *s, struct rig *r)
{
	memset(s, 0, sizeof(*s));
	s->r = r;
	gate_shut(&s->gate, r);
}

static struct waiter *expect(struct scene *s, enum store_status want)
{
	ck_assert_int_lt(s->n, LINES_MAX);
	s->want[s->n] = want;
	s->waiters[s->n] = waiter_new(&s->answers[s->n]);
	return s->waiters[s->n++];
}

static void create(struct scene *s, const struct draft *d, enum store_status want)
{
	store_create(s->r->store, &d->c, waiter_done, expect(s, want));
}

static void read_job(struct scene *s, const struct draft *d, enum store_status want)
{
	store_read(s->r->store, "default", d->job_id, waiter_done, expect(s, want));
}

static void begin(struct scene *s, const struct draft *d, enum store_status want)
{
	store_begin(s->r->store, "default", d->job_id, span_of("[1]"), CLAIM_MS, waiter_done, expect(s, want));
}

static void cancel(struct scene *s, const struct draft *d, enum store_status want)
{
	store_cancel(s->r->store, "default", d->job_id, waiter_done, expect(s, want));
}

static void fail_job(struct scene *s, const struct draft *d, enum store_status want)
{
	store_fail(s->r->store, "default", d->job_id, 0, "a-rule", waiter_done, expect(s, want));
}

/* Lets it run and holds each answer to what was expected. */
static void scene_play(struct scene *s)
{
	gate_open(&s->gate);
	for (int i = 0; i < s->n; i++) {
		waiter_wait(s->waiters[i]);
		ck_assert_msg(s->answers[i].status == s->want[i], "line %d: %s, not %s", i,
		              store_status_name(s->answers[i].status), store_status_name(s->want[i]));
	}
}

static void scene_close(struct scene *s)
{
	for (int i = 0; i < s->n; i++)
		answer_free(&s->answers[i]);
}

START_TEST(operations_of_one_batch_see_each_other_in_order)
{
	struct draft a, again, other, same_job, same_trace, b, c;
	struct scene s;
	struct rig r;

	rig_open(&r, _i, 1000, 0);
	draft_make(&r, &a), draft_key(&a, 1, 1);
	draft_make(&r, &again), draft_key(&again, 1, 1);
	draft_make(&r, &other), draft_key(&other, 1, 2);
	draft_make(&r, &same_job), same_job.c.job_id = a.job_id;
	draft_make(&r, &same_trace), same_trace.c.trace_id = a.trace_id;
	draft_make(&r, &b);
	draft_make(&r, &c);
	scene_open(&s, &r);
	read_job(&s, &a, STORE_NOT_FOUND);
	create(&s, &a, STORE_OK);
	create(&s, &again, STORE_REPLAYED);
	create(&s, &other, STORE_MISMATCH);
	create(&s, &same_job, STORE_EXISTS);
	create(&s, &same_trace, STORE_EXISTS);
	read_job(&s, &again, STORE_NOT_FOUND);
	begin(&s, &a, STORE_OK);
	begin(&s, &a, STORE_BUSY);
	cancel(&s, &a, STORE_BUSY);
	fail_job(&s, &a, STORE_BUSY);
	read_job(&s, &a, STORE_OK);
	cancel(&s, &b, STORE_NOT_FOUND);
	create(&s, &b, STORE_OK);
	cancel(&s, &b, STORE_OK);
	cancel(&s, &b, STORE_CANCELLED);
	begin(&s, &b, STORE_CANCELLED);
	create(&s, &c, STORE_OK);
	fail_job(&s, &c, STORE_OK);
	begin(&s, &c, STORE_FAILED);
	fail_job(&s, &c, STORE_FAILED);
	store_trace(r.store, a.trace_id, waiter_done, expect(&s, STORE_OK));
	scene_play(&s);
	ck_state(s.answers[1].job.state, JOB_SCHEDULED); /* as it was then, not as it became */
	ck_assert_str_eq(s.answers[2].job.job_id, a.job_id);
	ck_state(s.answers[11].job.state, JOB_RUNNING);
	ck_assert(span_is(s.answers[11].job.artifacts, "[1]"));
	ck_state(s.answers[13].job.state, JOB_SCHEDULED);
	scene_close(&s);
	expect_depth(&r, 1);
	rig_close(&r);
}
END_TEST

START_TEST(the_limit_is_exact_within_one_batch)
{
	struct draft d[6];
	struct scene s;
	struct rig r;

	rig_open(&r, _i, 3, 0);
	for (int i = 0; i < 6; i++)
		draft_make(&r, &d[i]);
	scene_open(&s, &r);
	for (int i = 0; i < 3; i++)
		create(&s, &d[i], STORE_OK);
	create(&s, &d[3], STORE_FULL);
	cancel(&s, &d[0], STORE_OK);
	create(&s, &d[3], STORE_OK);
	create(&s, &d[4], STORE_FULL);
	begin(&s, &d[1], STORE_OK);
	create(&s, &d[4], STORE_FULL);
	fail_job(&s, &d[2], STORE_OK);
	create(&s, &d[4], STORE_OK);
	create(&s, &d[5], STORE_FULL);
	scene_play(&s);
	scene_close(&s);
	expect_depth(&r, 3);
	rig_close(&r);
}
END_TEST

/* ---- views of a big batch ---- */

#define VIEWS 300u

static size_t size_of(unsigned i)
{
	static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 127, 128, 255, 256, 1000, 4096, 16384, 65536, 100001};

	return i == 150 ? 1500000 : sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

struct crowd {
	struct rig *r;
	struct gate gate;
	struct draft drafts[VIEWS];
	char *bytes[VIEWS];
	struct answer answers[VIEWS];
	struct waiter *waiters[VIEWS];
	uint64_t claims[VIEWS];
};

static struct span crowd_bytes(struct crowd *c, unsigned i, unsigned salt)
{
	c->bytes[i] = hostile_bytes(size_of(i), i + salt);
	return (struct span){c->bytes[i], size_of(i)};
}

/* All at once: what is asked of the i-th; holds each view to what was given. */
static void crowd_all(struct crowd *c, void (*ask)(struct crowd *c, unsigned i), bool begun, bool finished)
{
	gate_shut(&c->gate, c->r);
	for (unsigned i = 0; i < VIEWS; i++) {
		c->bytes[i] = NULL;
		c->waiters[i] = waiter_new(&c->answers[i]);
		ask(c, i);
	}
	gate_open(&c->gate);
	for (unsigned i = 0; i < VIEWS; i++) {
		struct answer *a = &c->answers[i];

		waiter_wait(c->waiters[i]);
		free(c->bytes[i]);
		ck_status(a->status, STORE_OK);
		ck_assert_str_eq(a->job.job_id, c->drafts[i].job_id);
		ck_assert_str_eq(a->job.trace_id, c->drafts[i].trace_id);
		check_hostile(a->job.seed, size_of(i), i);
		if (begun)
			check_hostile(a->job.artifacts, size_of(i), i + 1);
		if (finished)
			check_hostile(a->job.receipt, size_of(i), i + 2);
		if (a->claim)
			c->claims[i] = a->claim;
		answer_free(a);
	}
}

static void crowd_create(struct crowd *c, unsigned i)
{
	draft_make(c->r, &c->drafts[i]);
	c->drafts[i].c.seed = crowd_bytes(c, i, 0);
	store_create(c->r->store, &c->drafts[i].c, waiter_done, c->waiters[i]);
}

static void crowd_begin(struct crowd *c, unsigned i)
{
	store_begin(c->r->store, "default", c->drafts[i].job_id, crowd_bytes(c, i, 1), CLAIM_MS, waiter_done,
	            c->waiters[i]);
}

static void crowd_finish(struct crowd *c, unsigned i)
{
	store_finish(c->r->store, "default", c->drafts[i].job_id, c->claims[i], crowd_bytes(c, i, 2), waiter_done,
	             c->waiters[i]);
}

static void crowd_read(struct crowd *c, unsigned i)
{
	if (i % 2)
		store_read(c->r->store, "default", c->drafts[i].job_id, waiter_done, c->waiters[i]);
	else
		store_trace(c->r->store, c->drafts[i].trace_id, waiter_done, c->waiters[i]);
}

START_TEST(every_view_of_a_big_batch_is_that_of_its_own_job)
{
	struct crowd *c = calloc(1, sizeof(*c));
	struct rig r;

	ck_assert_ptr_nonnull(c);
	rig_open(&r, _i, 0, 0);
	c->r = &r;
	crowd_all(c, crowd_create, false, false);
	crowd_all(c, crowd_begin, true, false);
	crowd_all(c, crowd_finish, true, true);
	crowd_all(c, crowd_read, true, true);
	rig_close(&r);
	free(c);
}
END_TEST

TCase *case_batch(void)
{
	TCase *t = tcase_create("batch");
	int n = subject_count();

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, operations_of_one_batch_see_each_other_in_order, 0, n);
	tcase_add_loop_test(t, the_limit_is_exact_within_one_batch, 0, n);
	tcase_add_loop_test(t, every_view_of_a_big_batch_is_that_of_its_own_job, 0, n);
	return t;
}
