/* test_service_races.c - many at once: each document is written once, a cancelled job has none */
#include "service_fixture.h"

#define THREADS 64
#define JOBS    16

static struct lane lane;
static const struct claims *alice;
static struct job jobs[JOBS];
static pthread_barrier_t barrier;

static void setup(void)
{
	lane_open(&lane, &(struct lane_setup){.request_timeout_ms = 60000});
	alice = lane_claims(&lane, &(struct who){.scopes = ALL_SCOPES});
}

static void teardown(void)
{
	claims_let_go(alice);
	lane_close(&lane);
}

static void schedule_all(void)
{
	for (size_t i = 0; i < JOBS; i++)
		schedule_as(&lane, alice, SIMPLE, &jobs[i]);
}

struct worker {
	pthread_t thread;
	size_t number;
	operation *op;
	struct {
		enum problem problem;
		char *body; /* NULL unless there was one */
		char trace_id[TRACE_ANY_SIZE];
	} answers[JOBS];
};

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct ask a;
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < JOBS; i++) {
		size_t k = (i + w->number) % JOBS;
		ask_init(&a, &lane, alice);
		ask(&a, &lane, w->op, jobs[k].body);
		w->answers[k].problem = a.call.reply.problem;
		w->answers[k].body = a.call.reply.problem ? NULL : buf_take(&a.call.reply.body, NULL);
		memcpy(w->answers[k].trace_id, a.call.trace_id, TRACE_ANY_SIZE);
		ck_assert(!a.call.reply.unfinished);
		ask_free(&a);
	}
	return NULL;
}

static void run(struct worker *workers, size_t n)
{
	ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, (unsigned)n), 0);
	for (size_t i = 0; i < n; i++) {
		workers[i].number = i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

static void check_document(const struct job *job)
{
	json_t *doc = lane_document(&lane, job->trace_id);
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "shards")), 1);
	json_decref(doc);
}

START_TEST(many_collectors_of_the_same_jobs_write_each_document_once)
{
	static struct worker workers[THREADS];
	struct inbox_stats stats;
	schedule_all();
	for (size_t i = 0; i < THREADS; i++)
		workers[i].op = service_collect;
	run(workers, THREADS);
	inbox_stats(lane.inbox, &stats);
	ck_assert_uint_eq(stats.shards, JOBS);
	ck_assert_uint_eq(stats.writes, JOBS);
	ck_assert_uint_eq(atomic_load(&lane.store.calls[OP_FINISH]), JOBS);
	for (size_t k = 0; k < JOBS; k++) {
		check_document(&jobs[k]);
		ck_assert_ptr_nonnull(strstr(workers[0].answers[k].body, "\"shards_written\":1"));
		for (size_t i = 0; i < THREADS; i++) {
			ck_assert_int_eq(workers[i].answers[k].problem, PROBLEM_NONE);
			ck_assert_str_eq(workers[i].answers[k].body, workers[0].answers[k].body);
			ck_assert_str_eq(workers[i].answers[k].trace_id, jobs[k].trace_id);
			if (i)
				free(workers[i].answers[k].body);
		}
		free(workers[0].answers[k].body);
	}
	ck_assert_int_eq(service_depth(lane.service), 0);
}
END_TEST

static void check_against_cancel(struct worker *workers, size_t n, const struct job *job, size_t k)
{
	bool complete = job_state(&lane, job) == JOB_COMPLETE;
	ck_assert_int_eq(lane_has_document(&lane, job->trace_id), complete);
	ck_assert(complete || job_state(&lane, job) == JOB_CANCELLED);
	for (size_t i = 0; i < n; i++) {
		const char *body = workers[i].answers[k].body;
		enum problem p = workers[i].answers[k].problem;
		if (workers[i].op == service_collect)
			ck_assert_int_eq(p, complete ? PROBLEM_NONE : PROBLEM_JOB_CANCELLED);
		else
			ck_assert_int_eq(p, PROBLEM_NONE);
		if (p == PROBLEM_NONE)
			ck_assert_ptr_nonnull(
			        strstr(body, complete ? "\"status\":\"complete\"" : "\"status\":\"cancelled\""));
		free(workers[i].answers[k].body);
	}
}

START_TEST(a_cancel_against_collects_has_one_outcome_that_all_report)
{
	static struct worker workers[8];
	int cancelled = 0, complete = 0;
	for (int round = 0; round < 30; round++) {
		schedule_all();
		for (size_t i = 0; i < 8; i++)
			workers[i].op = i % 2 ? service_collect : service_cancel;
		run(workers, 8);
		for (size_t k = 0; k < JOBS; k++) {
			*(job_state(&lane, &jobs[k]) == JOB_COMPLETE ? &complete : &cancelled) += 1;
			check_against_cancel(workers, 8, &jobs[k], k);
		}
		ck_assert_int_eq(service_depth(lane.service), 0);
	}
	ck_assert_int_gt(cancelled, 0);
	ck_assert_int_gt(complete, 0);
}
END_TEST

/* ---- the same key at once ---- */

static void *keyed_run(void *arg)
{
	struct worker *w = arg;
	struct ask a;
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < JOBS; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key-%zu", i);
		ask_init(&a, &lane, alice);
		a.call.idempotency_key = span_of(key);
		ask(&a, &lane, service_schedule, SIMPLE);
		w->answers[i].problem = a.call.reply.problem;
		w->answers[i].body = a.call.reply.problem ? NULL : buf_take(&a.call.reply.body, NULL);
		ask_free(&a);
	}
	return NULL;
}

START_TEST(the_same_key_at_once_makes_one_job)
{
	static struct worker workers[16];
	ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 16), 0);
	for (size_t i = 0; i < 16; i++)
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, keyed_run, &workers[i]), 0);
	for (size_t i = 0; i < 16; i++)
		pthread_join(workers[i].thread, NULL);
	ck_assert_int_eq(service_depth(lane.service), JOBS);
	for (size_t k = 0; k < JOBS; k++) {
		const char *first = NULL;
		for (size_t i = 0; i < 16; i++) {
			enum problem p = workers[i].answers[k].problem;
			ck_assert(p == PROBLEM_NONE || p == PROBLEM_IDEMPOTENCY_IN_FLIGHT);
			if (p)
				continue;
			first = first ? first : workers[i].answers[k].body;
			ck_assert_str_eq(workers[i].answers[k].body, first);
		}
		ck_assert_ptr_nonnull(first);
		for (size_t i = 0; i < 16; i++)
			free(workers[i].answers[k].body);
	}
	pthread_barrier_destroy(&barrier);
}
END_TEST

/* ---- reloads under way ---- */

static atomic_bool enough;

static void *reload_run(void *arg)
{
	(void)arg;
	for (unsigned i = 0; !atomic_load(&enough); i++) {
		struct service_figures f;
		lane_revoke(&lane, i % 2 ? "somebody\n" : "");
		service_reload(lane.service, false);
		service_figures(lane.service, &f);
		service_health(lane.service);
		ck_assert_int_ge(service_depth(lane.service), 0);
		store_sweep(lane.store.inner);
	}
	return NULL;
}

START_TEST(reloads_never_hurt_who_is_under_way)
{
	static struct worker workers[8];
	pthread_t reloader;
	ck_assert_int_eq(pthread_create(&reloader, NULL, reload_run, NULL), 0);
	for (int round = 0; round < 5; round++) {
		schedule_all();
		for (size_t i = 0; i < 8; i++)
			workers[i].op = service_collect;
		run(workers, 8);
		for (size_t k = 0; k < JOBS; k++)
			for (size_t i = 0; i < 8; i++) {
				ck_assert_int_eq(workers[i].answers[k].problem, PROBLEM_NONE);
				free(workers[i].answers[k].body);
			}
	}
	atomic_store(&enough, true);
	pthread_join(reloader, NULL);
}
END_TEST

/* ---- readiness ---- */

static void *ready_run(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		struct ask a;
		ask_init(&a, &lane, NULL);
		service_ready(lane.service, &a.call);
		ck_assert(ask_wait(&a, 10000));
		ck_assert_uint_eq(a.call.reply.failed_checks, 0);
		ck_assert_uint_eq(service_health(lane.service), 0);
		ask_free(&a);
	}
	return NULL;
}

START_TEST(all_who_ask_for_readiness_are_answered)
{
	pthread_t threads[8];
	for (size_t i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ready_run, NULL), 0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service_races");
	TCase *t = tcase_create("races");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, many_collectors_of_the_same_jobs_write_each_document_once);
	tcase_add_test(t, a_cancel_against_collects_has_one_outcome_that_all_report);
	tcase_add_test(t, the_same_key_at_once_makes_one_job);
	tcase_add_test(t, reloads_never_hurt_who_is_under_way);
	tcase_add_test(t, all_who_ask_for_readiness_are_answered);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
