/*
 * test_store_engine - what the stores on an engine have in common, over an
 * engine that does what the test says
 */
#include <check.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../src/store/engine.h"

#define JOB        "JOB-0000000000ab"
#define TRACE      "LT-1700000000000-0123abcd"
#define CENTURY_MS (INT64_C(100) * 366 * 86400 * 1000)
#define SEEN_MAX   1000u

/* What came to the engine, copied: an operation is gone once it is answered. */
struct seen {
	struct op op;
	char tenant[32], id[64], bytes[128];
	bool any_tenant;
};

enum mode {
	AGREE,  /* everything is there, with revision and end as below */
	NOBODY, /* nothing is there */
	AWAY,   /* the engine does not answer: unavailable, changes unknown */
};

struct fake {
	struct engine engine; /* the first member */
	sem_t entered, go;    /* with gated: a batch says that it runs, and waits */
	atomic_bool gated;
	_Atomic enum mode mode;
	_Atomic uint64_t revision;
	_Atomic int64_t left_ms; /* until the job ends */
	atomic_uint batches, count, looks, sweeps;
	struct seen seen[SEEN_MAX]; /* the batcher's thread's, until it is idle */
	unsigned listened[8], listens;
	bool hears; /* the slot is listened to already */
	struct clock clock;
	_Atomic int64_t mono_us;
};

static struct fake *f;

/* ---- the engine ---- */

static void wait_for(sem_t *s)
{
	while (sem_wait(s) != 0)
		ck_assert_int_eq(errno, EINTR);
}

static void note(const struct op *op)
{
	unsigned at = atomic_fetch_add(&f->count, 1);
	struct seen *s = &f->seen[at % SEEN_MAX];

	memset(s, 0, sizeof(*s));
	s->op = *op;
	s->any_tenant = !op->tenant;
	if (op->tenant)
		strncpy(s->tenant, op->tenant, sizeof(s->tenant) - 1);
	if (op->id)
		strncpy(s->id, op->id, sizeof(s->id) - 1);
	if (op->bytes.ptr && op->bytes.len < sizeof(s->bytes))
		memcpy(s->bytes, op->bytes.ptr, op->bytes.len);
	if (op->kind == OP_SWEEP)
		atomic_fetch_add(&f->sweeps, 1);
	if (op->kind == OP_READ && !op->tenant)
		atomic_fetch_add(&f->looks, 1);
}

static void agree(struct op *op)
{
	struct job_view view = {
	        .job_id = op->id ? op->id : JOB,
	        .trace_id = TRACE,
	        .tenant = "default",
	        .revision = atomic_load(&f->revision),
	        .expires_ms = 1000000 + atomic_load(&f->left_ms),
	        .policy_version = "v1",
	        .traceparent = "",
	        .failure = "",
	};

	op->now_ms = 1000000;
	op_answer(op, &(struct store_result){.status = STORE_OK, .job = &view});
}

static void fake_run(struct engine *e, struct op **ops, size_t n)
{
	ck_assert_ptr_eq(e, &f->engine);
	atomic_fetch_add(&f->batches, 1);
	for (size_t i = 0; i < n; i++)
		note(ops[i]);
	if (atomic_load(&f->gated)) {
		sem_post(&f->entered);
		wait_for(&f->go);
	}
	if (atomic_load(&f->mode) == AWAY) {
		op_answer_all_unavailable(ops, n, true);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (atomic_load(&f->mode) == AGREE)
			agree(ops[i]);
		else
			op_answer_status(ops[i], STORE_NOT_FOUND);
	}
}

static bool fake_listen(struct engine *e, unsigned slot)
{
	ck_assert_ptr_eq(e, &f->engine);
	f->listened[f->listens++ % 8] = slot;
	return f->hears;
}

static int64_t fake_mono_us(const struct clock *c)
{
	(void)c;
	return atomic_load(&f->mono_us);
}

static const struct store_backend fake_backend = {
        .name = "fake",
        .create = engine_create,
        .read = engine_read,
        .begin = engine_begin,
        .release = engine_release,
        .finish = engine_finish,
        .fail = engine_fail,
        .cancel = engine_cancel,
        .trace = engine_trace,
        .watch = engine_watch,
        .unwatch = engine_unwatch,
        .depth = engine_depth,
        .check = engine_check,
        .sweep = engine_sweep,
};

static void start(bool listens)
{
	struct store_options options = {.clock = &f->clock, .max_jobs = 77};

	f->engine.run = fake_run;
	f->engine.listen = listens ? fake_listen : NULL;
	atomic_store(&f->engine.up, true);
	ck_assert_int_eq(engine_start(&f->engine, &fake_backend, &options, NULL), 0);
	ck_assert_ptr_eq(f->engine.store.backend, &fake_backend);
	ck_assert_int_eq(f->engine.max_jobs, 77);
}

static struct store *store(void)
{
	return &f->engine.store;
}

static void setup(void)
{
	f = calloc(1, sizeof(*f));
	ck_assert_ptr_nonnull(f);
	sem_init(&f->entered, 0, 0);
	sem_init(&f->go, 0, 0);
	f->clock = (struct clock){.wall_ms = fake_mono_us, .mono_us = fake_mono_us};
	atomic_store(&f->revision, 1);
	atomic_store(&f->left_ms, 60000);
}

static void teardown(void)
{
	sem_destroy(&f->entered);
	sem_destroy(&f->go);
	free(f);
}

static void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0)
		continue;
}

/* Until *value is wanted, five seconds at most. */
static void expect(atomic_uint *value, unsigned wanted)
{
	unsigned got;

	for (int i = 0; i < 5000 && atomic_load(value) != wanted; i++)
		pause_ms(1);
	got = atomic_load(value);
	ck_assert_uint_eq(got, wanted);
}

/* ---- askers ---- */

struct answer {
	atomic_uint calls;
	enum store_status status;
	bool unknown, has_job;
};

static void keep(void *arg, const struct store_result *result)
{
	struct answer *a = arg;

	a->status = result->status;
	a->unknown = result->unknown;
	a->has_job = result->job != NULL;
	atomic_fetch_add(&a->calls, 1);
}

static void check_answer(struct answer *a, enum store_status status)
{
	expect(&a->calls, 1);
	ck_assert_str_eq(store_status_name(a->status), store_status_name(status));
}

/* At once: before the call returned. */
static void check_at_once(struct answer *a, enum store_status status)
{
	ck_assert_uint_eq(atomic_load(&a->calls), 1);
	check_answer(a, status);
	ck_assert(!a->unknown);
	memset(a, 0, sizeof(*a));
}

static struct store_create good(void)
{
	return (struct store_create){
	        .job_id = JOB,
	        .trace_id = TRACE,
	        .tenant = "default",
	        .seed = span_of("{}"),
	        .policy_version = "v1",
	        .traceparent = "",
	};
}

/* The first batch waits at the gate with one operation; what is asked then
 * comes in the next. */
static void shut_gate(struct answer *first)
{
	atomic_store(&f->gated, true);
	store_read(store(), "first", JOB, keep, first);
	wait_for(&f->entered);
}

static void open_gate(void)
{
	atomic_store(&f->gated, false);
	sem_post(&f->go);
}

#define OPERATIONS 8u

static void ask_each(const struct store_create *c, struct answer *a)
{
	store_create(store(), c, keep, &a[0]);
	store_read(store(), "t1", JOB, keep, &a[1]);
	store_begin(store(), "t2", JOB, span_of("[1]"), 5000, keep, &a[2]);
	store_release(store(), "t3", JOB, 30, keep, &a[3]);
	store_finish(store(), "t4", JOB, 40, span_of("{4}"), keep, &a[4]);
	store_fail(store(), "t5", JOB, 50, "why", keep, &a[5]);
	store_cancel(store(), "t6", JOB, keep, &a[6]);
	store_trace(store(), TRACE, keep, &a[7]);
}

START_TEST(each_operation_reaches_the_engine_whole_and_in_order)
{
	static const enum op_kind kinds[OPERATIONS] = {OP_CREATE, OP_READ, OP_BEGIN,  OP_RELEASE,
	                                               OP_FINISH, OP_FAIL, OP_CANCEL, OP_TRACE};
	struct answer first = {.calls = 0}, a[OPERATIONS];
	struct store_create c = good();

	memset(a, 0, sizeof(a));
	start(false);
	shut_gate(&first);
	ask_each(&c, a);
	for (unsigned i = 0; i < OPERATIONS; i++)
		ck_assert_uint_eq(atomic_load(&a[i].calls), 0);
	open_gate();
	for (unsigned i = 0; i < OPERATIONS; i++) {
		const struct seen *s = &f->seen[i + 1];
		char tenant[] = {'t', (char)('0' + i), '\0'};

		check_answer(&a[i], STORE_OK);
		ck_assert(a[i].has_job);
		ck_assert_int_eq(s->op.kind, kinds[i]);
		ck_assert_str_eq(s->id, i == 7 ? TRACE : JOB);
		ck_assert_str_eq(s->tenant, i == 0 ? "default" : i == 7 ? "" : tenant);
		ck_assert_int_eq(s->any_tenant, i == 7);
		ck_assert_uint_eq(s->op.claim, i == 3 || i == 4 || i == 5 ? i * 10 : 0);
		ck_assert_int_eq(s->op.claim_ms, i == 2 ? 5000 : 0);
		ck_assert_ptr_eq(s->op.create, i == 0 ? &c : NULL);
		ck_assert_str_eq(s->bytes, i == 2 ? "[1]" : i == 4 ? "{4}" : i == 5 ? "why" : "");
		ck_assert_int_eq(op_changes(&s->op), i != 1 && i != 7);
	}
	/* one batch for the first, one for all that came meanwhile */
	ck_assert_uint_eq(atomic_load(&f->batches), 2);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(what_cannot_be_asked_is_answered_at_once)
{
	static const char *const no_jobs[] = {"", "JOB-", "JOB-00000000000G", "JOB-0000000000000", "' OR 1=1"};
	struct answer a = {.calls = 0};
	struct store_create c = good();

	start(false);
	for (size_t i = 0; i < sizeof(no_jobs) / sizeof(no_jobs[0]); i++) {
		store_read(store(), "t", no_jobs[i], keep, &a);
		check_at_once(&a, STORE_NOT_FOUND);
		store_begin(store(), "t", no_jobs[i], span_of("[]"), 1, keep, &a);
		check_at_once(&a, STORE_NOT_FOUND);
		store_release(store(), "t", no_jobs[i], 1, keep, &a);
		check_at_once(&a, STORE_NOT_FOUND);
		store_finish(store(), "t", no_jobs[i], 1, span_of("{}"), keep, &a);
		check_at_once(&a, STORE_NOT_FOUND);
		store_fail(store(), "t", no_jobs[i], 1, "x", keep, &a);
		check_at_once(&a, STORE_NOT_FOUND);
		store_cancel(store(), "t", no_jobs[i], keep, &a);
		check_at_once(&a, STORE_NOT_FOUND);
		c.job_id = no_jobs[i];
		store_create(store(), &c, keep, &a);
		check_at_once(&a, STORE_UNAVAILABLE);
	}
	store_trace(store(), "foreign", keep, &a);
	check_at_once(&a, STORE_NOT_FOUND);
	store_begin(store(), "t", JOB, (struct span){"", (size_t)UINT32_MAX / 2 + 1}, 1, keep, &a);
	check_at_once(&a, STORE_FULL);
	engine_stop(&f->engine);
	ck_assert_uint_eq(atomic_load(&f->count), 0);
}
END_TEST

START_TEST(lengths_and_times_have_an_end)
{
	char reason[REASON_MAX + 100];
	struct answer a = {.calls = 0}, b = {.calls = 0};

	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	start(false);
	store_fail(store(), "t", JOB, 0, reason, keep, &a);
	store_begin(store(), "t", JOB, span_of("[]"), INT64_MAX, keep, &b);
	check_answer(&a, STORE_OK);
	check_answer(&b, STORE_OK);
	ck_assert_uint_eq(f->seen[0].op.bytes.len, REASON_MAX);
	ck_assert_int_eq(f->seen[1].op.claim_ms, CENTURY_MS);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(a_full_queue_answers_at_once_and_asks_nothing)
{
	static struct answer waiting[ENGINE_QUEUE_MAX];
	struct answer first = {.calls = 0}, late[OPERATIONS];
	struct store_create c = good();

	memset(late, 0, sizeof(late));
	start(false);
	shut_gate(&first);
	for (unsigned i = 0; i < ENGINE_QUEUE_MAX; i++) {
		store_read(store(), "t", JOB, keep, &waiting[i]);
		ck_assert_uint_eq(atomic_load(&waiting[i].calls), 0);
	}
	ask_each(&c, late);
	for (unsigned i = 0; i < OPERATIONS; i++)
		check_at_once(&late[i], STORE_UNAVAILABLE);
	store_sweep(store()); /* not kept either, and asked for again later */
	open_gate();
	for (unsigned i = 0; i < ENGINE_QUEUE_MAX; i++)
		check_answer(&waiting[i], STORE_OK);
	ck_assert_uint_eq(atomic_load(&f->count), ENGINE_QUEUE_MAX + 1);
	ck_assert_uint_le(ENGINE_QUEUE_MAX / ENGINE_BATCH_MAX, atomic_load(&f->batches));
	store_sweep(store());
	expect(&f->sweeps, 1);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(a_failing_batch_fails_each_of_its_members_once)
{
	struct answer first = {.calls = 0}, a[OPERATIONS];
	struct store_create c = good();

	memset(a, 0, sizeof(a));
	atomic_store(&f->mode, AWAY);
	start(false);
	shut_gate(&first);
	ask_each(&c, a);
	open_gate();
	for (unsigned i = 0; i < OPERATIONS; i++) {
		check_answer(&a[i], STORE_UNAVAILABLE);
		ck_assert(!a[i].has_job);
		/* who only looked knows that nothing happened */
		ck_assert_int_eq(a[i].unknown, i != 1 && i != 7);
	}
	engine_stop(&f->engine);
	for (unsigned i = 0; i < OPERATIONS; i++)
		ck_assert_uint_eq(atomic_load(&a[i].calls), 1);
}
END_TEST

/* Asks again from inside the answer, for ever, until it is told no. */
struct insistent {
	unsigned asked, answered;
	atomic_uint refused;
};

static void insist(void *arg, const struct store_result *result)
{
	struct insistent *i = arg;

	i->answered++;
	if (result->status == STORE_UNAVAILABLE) {
		atomic_fetch_add(&i->refused, 1);
		return;
	}
	i->asked++;
	store_read(store(), "t", JOB, insist, i);
}

START_TEST(stopping_answers_all_that_waits_and_whoever_asks_from_inside)
{
	static struct answer a[2000];
	struct insistent again = {.asked = 1};
	struct answer first = {.calls = 0};

	start(false);
	shut_gate(&first);
	store_read(store(), "t", JOB, insist, &again);
	for (unsigned i = 0; i < 2000; i++)
		store_cancel(store(), "t", JOB, keep, &a[i]);
	open_gate();
	engine_stop(&f->engine);
	for (unsigned i = 0; i < 2000; i++) {
		ck_assert_uint_eq(atomic_load(&a[i].calls), 1);
		ck_assert_int_eq(a[i].status, STORE_OK);
	}
	ck_assert_uint_eq(atomic_load(&again.refused), 1);
	ck_assert_uint_eq(again.answered, again.asked);
}
END_TEST

START_TEST(one_sweep_at_a_time_waits)
{
	struct answer first = {.calls = 0};

	start(false);
	shut_gate(&first);
	for (int i = 0; i < 10; i++)
		store_sweep(store());
	open_gate();
	expect(&f->sweeps, 1);
	for (unsigned i = 2; i < 5; i++) {
		pause_ms(2); /* the answer to the last one */
		store_sweep(store());
		expect(&f->sweeps, i);
	}
	engine_stop(&f->engine);
}
END_TEST

START_TEST(a_sweep_that_failed_is_not_the_last)
{
	atomic_store(&f->mode, AWAY);
	start(false);
	for (unsigned i = 1; i < 5; i++) {
		store_sweep(store());
		expect(&f->sweeps, i);
		pause_ms(2);
	}
	engine_stop(&f->engine);
}
END_TEST

START_TEST(check_says_no_when_the_engine_is_away_or_stuck)
{
	struct answer first = {.calls = 0};

	start(false);
	ck_assert(store_check(store()));
	atomic_store(&f->engine.up, false);
	ck_assert(!store_check(store()));
	atomic_store(&f->engine.up, true);
	ck_assert(store_check(store()));
	shut_gate(&first);
	ck_assert(store_check(store()));
	pause_ms(1050);
	ck_assert(!store_check(store()));
	open_gate();
	check_answer(&first, STORE_OK);
	for (int i = 0; i < 1000 && !store_check(store()); i++)
		pause_ms(1);
	ck_assert(store_check(store()));
	atomic_store(&f->engine.depth, 12);
	ck_assert_int_eq(store_depth(store()), 12);
	engine_stop(&f->engine);
}
END_TEST

/* ---- watches ---- */

struct bell {
	struct store_watch watch; /* the first member */
	atomic_uint rings;
};

static void ring(struct store_watch *w)
{
	atomic_fetch_add(&((struct bell *)w)->rings, 1);
}

static void watch(struct bell *b, const char *job_id, uint64_t seen)
{
	memset(b, 0, sizeof(*b));
	b->watch.wake = ring;
	b->watch.seen_revision = seen;
	strcpy(b->watch.job_id, job_id);
	ck_assert(store_watch(store(), &b->watch));
}

/* All that was asked has been answered. */
static void settle(void)
{
	struct answer a = {.calls = 0};

	store_read(store(), "t", JOB, keep, &a);
	expect(&a.calls, 1);
}

START_TEST(a_watch_is_verified_by_a_look_of_any_tenant)
{
	struct bell b, moved;

	start(false);
	watch(&b, JOB, 1);
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), 1);
	ck_assert(f->seen[0].any_tenant);
	ck_assert_str_eq(f->seen[0].id, JOB);
	ck_assert_uint_eq(atomic_load(&b.rings), 0);

	watch(&moved, JOB, 7); /* the job is at 1 */
	expect(&moved.rings, 1);
	ck_assert_uint_eq(atomic_load(&b.rings), 0);
	engine_changed(&f->engine, JOB, 2);
	expect(&b.rings, 1);
	engine_stop(&f->engine);
	ck_assert_uint_eq(atomic_load(&moved.rings), 1);
}
END_TEST

START_TEST(a_watch_of_what_is_not_there_or_not_known_is_woken)
{
	struct bell gone, away;

	atomic_store(&f->mode, NOBODY);
	start(false);
	watch(&gone, JOB, 1);
	expect(&gone.rings, 1);
	atomic_store(&f->mode, AWAY);
	watch(&away, JOB, 1);
	expect(&away.rings, 1);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(a_watch_that_cannot_be_verified_is_refused)
{
	static struct answer waiting[ENGINE_QUEUE_MAX];
	struct answer first = {.calls = 0};
	struct bell b = {.watch = {.wake = ring, .job_id = JOB, .seen_revision = 1}};

	start(false);
	shut_gate(&first);
	for (unsigned i = 0; i < ENGINE_QUEUE_MAX; i++)
		store_read(store(), "t", JOB, keep, &waiting[i]);
	ck_assert(!store_watch(store(), &b.watch));
	ck_assert(!store_unwatch(store(), &b.watch));
	open_gate();
	engine_stop(&f->engine);
	ck_assert_uint_eq(atomic_load(&b.rings), 0);
}
END_TEST

START_TEST(the_end_of_a_job_is_looked_for_when_it_comes)
{
	struct bell b;

	atomic_store(&f->left_ms, 5000);
	start(false);
	watch(&b, JOB, 1);
	settle();
	store_sweep(store());
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), 1);
	atomic_fetch_add(&f->mono_us, 4999999);
	store_sweep(store());
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), 1);

	/* the end has come, but not by the engine's clock */
	atomic_fetch_add(&f->mono_us, 1);
	atomic_store(&f->left_ms, 10);
	store_sweep(store());
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), 2);
	ck_assert_uint_eq(atomic_load(&b.rings), 0);
	atomic_fetch_add(&f->mono_us, 10000);
	atomic_store(&f->mode, NOBODY);
	store_sweep(store());
	expect(&b.rings, 1);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(an_engine_that_hears_of_changes_is_asked_to_listen_first)
{
	struct bell b, other, same;

	start(true);
	watch(&b, JOB, 1);
	settle();
	ck_assert_uint_eq(f->listens, 1);
	ck_assert_uint_eq(f->listened[0], 0xab);
	ck_assert_uint_eq(atomic_load(&f->looks), 0);

	/* then, and not before, a look can miss nothing */
	engine_listening(&f->engine, 0xab);
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), 1);
	ck_assert_uint_eq(atomic_load(&b.rings), 0);

	/* listened to anew after it was lost: both jobs of the slot, no other */
	watch(&other, "JOB-0000000000ac", 1);
	watch(&same, "JOB-0000000001ab", 1);
	atomic_store(&f->revision, 2);
	engine_listening(&f->engine, 0xab);
	expect(&b.rings, 1);
	expect(&same.rings, 1);
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), 3);
	ck_assert_uint_eq(atomic_load(&other.rings), 0);
	engine_stop(&f->engine);
	ck_assert_uint_eq(atomic_load(&other.rings), 1);
}
END_TEST

/* However many wait in a slot that is listened to: one more costs one look. */
START_TEST(a_watch_in_a_slot_that_is_listened_to_costs_one_look)
{
	enum { JOBS = 20 };
	static struct bell b[JOBS];

	start(true);
	f->hears = true;
	for (unsigned i = 0; i < JOBS; i++) {
		char job_id[JOB_ID_SIZE];

		job_id_format((uint64_t)i << 8 | 0xab, job_id);
		watch(&b[i], job_id, 1);
	}
	settle();
	ck_assert_uint_eq(atomic_load(&f->looks), JOBS);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(a_listening_engine_that_is_away_wakes_nobody_before_it_is_back)
{
	struct bell b;

	atomic_store(&f->mode, AWAY);
	start(true);
	watch(&b, JOB, 1);
	engine_listening(&f->engine, 0xab);
	settle();
	ck_assert_uint_eq(atomic_load(&b.rings), 0);
	store_sweep(store());
	settle();
	ck_assert_uint_eq(atomic_load(&b.rings), 0);
	ck_assert_uint_eq(atomic_load(&f->looks), 2);

	/* it never stopped listening: only a sweep can look again */
	atomic_store(&f->mode, AGREE);
	atomic_store(&f->revision, 2);
	store_sweep(store());
	expect(&b.rings, 1);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(however_many_jobs_a_slot_has_all_are_verified)
{
	enum { JOBS = 300 };
	static struct bell b[JOBS];

	start(true);
	for (unsigned i = 0; i < JOBS; i++) {
		char job_id[JOB_ID_SIZE];

		job_id_format((uint64_t)i << 8 | 0xab, job_id);
		watch(&b[i], job_id, 1);
	}
	atomic_store(&f->revision, 2);
	engine_listening(&f->engine, 0xab);
	/* what did not fit is made up for with the sweeps */
	for (int i = 0; i < 20; i++) {
		settle();
		store_sweep(store());
	}
	for (unsigned i = 0; i < JOBS; i++)
		expect(&b[i].rings, 1);
	engine_stop(&f->engine);
}
END_TEST

START_TEST(stopping_wakes_every_watch_and_takes_no_more)
{
	struct bell b[2], late = {.watch = {.wake = ring, .job_id = JOB, .seen_revision = 1}};

	start(false);
	watch(&b[0], JOB, 1);
	watch(&b[1], "JOB-0000000000ac", 1);
	settle();
	watchers_close(&f->engine.watchers); /* as engine_stop begins */
	ck_assert(!store_watch(store(), &late.watch));
	engine_stop(&f->engine);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_uint_eq(atomic_load(&b[i].rings), 1);
	ck_assert_uint_eq(atomic_load(&late.rings), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store engine");
	TCase *t = tcase_create("engine");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, each_operation_reaches_the_engine_whole_and_in_order);
	tcase_add_test(t, what_cannot_be_asked_is_answered_at_once);
	tcase_add_test(t, lengths_and_times_have_an_end);
	tcase_add_test(t, a_full_queue_answers_at_once_and_asks_nothing);
	tcase_add_test(t, a_failing_batch_fails_each_of_its_members_once);
	tcase_add_test(t, stopping_answers_all_that_waits_and_whoever_asks_from_inside);
	tcase_add_test(t, one_sweep_at_a_time_waits);
	tcase_add_test(t, a_sweep_that_failed_is_not_the_last);
	tcase_add_test(t, check_says_no_when_the_engine_is_away_or_stuck);
	tcase_add_test(t, a_watch_is_verified_by_a_look_of_any_tenant);
	tcase_add_test(t, a_watch_of_what_is_not_there_or_not_known_is_woken);
	tcase_add_test(t, a_watch_that_cannot_be_verified_is_refused);
	tcase_add_test(t, the_end_of_a_job_is_looked_for_when_it_comes);
	tcase_add_test(t, an_engine_that_hears_of_changes_is_asked_to_listen_first);
	tcase_add_test(t, a_watch_in_a_slot_that_is_listened_to_costs_one_look);
	tcase_add_test(t, a_listening_engine_that_is_away_wakes_nobody_before_it_is_back);
	tcase_add_test(t, however_many_jobs_a_slot_has_all_are_verified);
	tcase_add_test(t, stopping_wakes_every_watch_and_takes_no_more);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
