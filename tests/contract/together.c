/*
 * together - many operations under way at once: calls from inside answers, the
 * end of the store, the end of the queue
 */
#include "harness.h"

#define QUEUE_MAX 65536u /* operations that an engine lets wait */

/* ---- calls from inside done ---- */

/* create, begin, finish, read: each asked for inside the answer of the one
 * before it. Ends early when the store is closing. */
struct chain {
	struct rig *r;
	struct draft draft;
	int step;
	enum store_status last;
	atomic_uint *ended;
	unsigned ends;
};

static void chain_step(void *arg, const struct store_result *result)
{
	struct chain *c = arg;
	struct store *s = c->r->store;

	c->last = result->status;
	c->step++;
	if (result->status != STORE_OK || c->step == 4) {
		c->ends++;
		atomic_fetch_add(c->ended, 1);
	} else if (c->step == 1) {
		store_begin(s, "default", c->draft.job_id, span_of("[1]"), CLAIM_MS, chain_step, c);
	} else if (c->step == 2) {
		store_finish(s, "default", c->draft.job_id, result->claim, span_of("{}"), chain_step, c);
	} else {
		store_read(s, "default", c->draft.job_id, chain_step, c);
	}
}

static struct chain *chains_start(struct rig *r, unsigned n, atomic_uint *ended)
{
	struct chain *c = calloc(n, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	for (unsigned i = 0; i < n; i++) {
		c[i] = (struct chain){.r = r, .ended = ended};
		draft_make(r, &c[i].draft);
		c[i].draft.c.job_id = c[i].draft.job_id;
		c[i].draft.c.trace_id = c[i].draft.trace_id;
		store_create(r->store, &c[i].draft.c, chain_step, &c[i]);
	}
	return c;
}

START_TEST(done_may_call_the_store_again)
{
	enum { CHAINS = 1000 };
	atomic_uint ended = 0;
	struct chain *c;
	struct rig r;

	rig_open(&r, _i, 0, 0);
	c = chains_start(&r, CHAINS, &ended);
	for (int i = 0; i < 20000 && atomic_load(&ended) < CHAINS; i++)
		sleep_ms(1);
	ck_assert_uint_eq(atomic_load(&ended), CHAINS);
	for (unsigned i = 0; i < CHAINS; i++) {
		ck_status(c[i].last, STORE_OK);
		ck_assert_int_eq(c[i].step, 4);
	}
	expect_depth(&r, 0);
	rig_close(&r);
	free(c);
}
END_TEST

/* ---- the end of the store ---- */

struct last_word {
	atomic_uint calls;
	enum store_status status;
	bool unknown;
};

static void last_word_done(void *arg, const struct store_result *result)
{
	struct last_word *w = arg;

	w->status = result->status;
	w->unknown = result->unknown;
	atomic_fetch_add(&w->calls, 1);
}

static void ask_something(struct rig *r, const struct draft *d, unsigned i, struct last_word *w)
{
	const char *job_id = d[i - i % 4].job_id;

	if (i % 4 == 0)
		store_create(r->store, &d[i].c, last_word_done, w);
	else if (i % 4 == 1)
		store_begin(r->store, "default", job_id, span_of("[1]"), CLAIM_MS, last_word_done, w);
	else if (i % 4 == 2)
		store_read(r->store, "default", job_id, last_word_done, w);
	else
		store_trace(r->store, d[i - i % 4].trace_id, last_word_done, w);
}

START_TEST(closing_answers_each_operation_under_way_once)
{
	enum { ASKED = 8000 };
	struct draft *d = calloc(ASKED, sizeof(*d));
	struct last_word *w = calloc(ASKED, sizeof(*w));
	struct rig r;

	ck_assert(d && w);
	rig_open(&r, _i, 0, 0);
	for (unsigned i = 0; i < ASKED; i++) {
		draft_make(&r, &d[i]);
		ask_something(&r, d, i, &w[i]);
	}
	rig_shut(&r);
	for (unsigned i = 0; i < ASKED; i++) {
		ck_assert_uint_eq(atomic_load(&w[i].calls), 1);
		if (w[i].status != STORE_OK) /* or the creation before it was not */
			ck_assert(w[i].status == STORE_UNAVAILABLE || w[i - i % 4].status == STORE_UNAVAILABLE);
		ck_assert(!w[i].unknown);
	}
	/* what was answered with OK is there, the rest is not */
	if (r.subject->durable) {
		rig_reopen(&r);
		for (unsigned i = 0; i < ASKED; i += 4 * 25) {
			bool made = w[i].status == STORE_OK;

			ck_status(try_read(&r, d[i].job_id), made ? STORE_OK : STORE_NOT_FOUND);
		}
	}
	rig_close(&r);
	free(d);
	free(w);
}
END_TEST

START_TEST(closing_ends_calls_from_inside_done_too)
{
	enum { CHAINS = 2000 };
	atomic_uint ended = 0;
	struct chain *c;
	struct rig r;

	rig_open(&r, _i, 0, 0);
	c = chains_start(&r, CHAINS, &ended);
	store_close(r.store);
	ck_assert_uint_eq(atomic_load(&ended), CHAINS);
	for (unsigned i = 0; i < CHAINS; i++) {
		ck_assert_uint_eq(c[i].ends, 1);
		ck_assert(c[i].last == STORE_UNAVAILABLE || (c[i].last == STORE_OK && c[i].step == 4));
	}
	r.store = NULL;
	rig_close(&r);
	free(c);
}
END_TEST

/* ---- the end of the queue ---- */

START_TEST(a_full_queue_is_said_at_once)
{
	enum { TOO_MANY = 1000 };
	struct tally t = {.asked = 0};
	struct gate gate;
	struct draft d, late;
	struct rig r;

	if (!subject_at(_i)->engine)
		return;
	rig_open(&r, _i, 0, 0);
	draft_make(&r, &d);
	draft_make(&r, &late);
	ck_status(try_create(&r, &d), STORE_OK);
	gate_shut(&gate, &r);
	for (unsigned i = 0; i < QUEUE_MAX; i++)
		store_read(r.store, "default", d.job_id, tally_done, &t);
	ck_assert_uint_eq(atomic_load(&t.total), 0);
	for (unsigned i = 0; i < TOO_MANY; i++) {
		store_create(r.store, &late.c, tally_done, &t);
		ck_assert_uint_eq(atomic_load(&t.total), i + 1);
	}
	ck_assert_uint_eq(atomic_load(&t.answers[STORE_UNAVAILABLE]), TOO_MANY);
	ck_assert_uint_eq(atomic_load(&t.unknown), 0);

	/* nothing that waited is lost, nothing that was refused was done */
	gate_open(&gate);
	t.asked = QUEUE_MAX + TOO_MANY;
	tally_wait(&t);
	ck_assert_uint_eq(atomic_load(&t.answers[STORE_OK]), QUEUE_MAX);
	ck_status(try_read(&r, late.job_id), STORE_NOT_FOUND);
	ck_status(try_create(&r, &late), STORE_OK);
	rig_close(&r);
}
END_TEST

TCase *case_together(void)
{
	TCase *t = tcase_create("together");
	int n = subject_count();

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, done_may_call_the_store_again, 0, n);
	tcase_add_loop_test(t, closing_answers_each_operation_under_way_once, 0, n);
	tcase_add_loop_test(t, closing_ends_calls_from_inside_done_too, 0, n);
	tcase_add_loop_test(t, a_full_queue_is_said_at_once, 0, n);
	return t;
}
