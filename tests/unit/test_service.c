/* test_service.c - the rules of the lane: schedule, collect, cancel, job, inbox, as a user meets them */
#include "service_fixture.h"

static struct lane lane;
static const struct claims *alice;

static void setup(void)
{
	lane_open(&lane, &(struct lane_setup){.store = NULL});
	alice = lane_claims(&lane, &(struct who){.scopes = ALL_SCOPES});
}

static void teardown(void)
{
	claims_let_go(alice);
	lane_close(&lane);
}

/* The goal's 600 and more code points as a schedule's body; the caller frees it. */
static char *body_of_goal(const char *piece, size_t times)
{
	struct buf b = BUF_EMPTY;
	buf_text(&b, "{\"seed\":{\"context\":{\"k\":1},\"goal\":\"");
	for (size_t i = 0; i < times; i++)
		buf_text(&b, piece);
	buf_text(&b, "\",\"z\":[1]}}");
	return buf_take(&b, NULL);
}

/* ---- the main way ---- */

START_TEST(a_schedule_answers_with_ids_and_nothing_else)
{
	struct ask a;
	const char *trace, *job;
	int accepted;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_schedule, SIMPLE);
	ck_problem(&a, PROBLEM_NONE);
	json_t *body = ask_body(&a);
	ck_assert_int_eq(json_unpack(body, "{s:s,s:s,s:b!}", "trace_id", &trace, "job_id", &job, "accepted", &accepted),
	                 0);
	ck_assert_int_eq(accepted, 1);
	ck_assert(job_id_parse(span_of(job), NULL));
	ck_assert(trace_id_parse(span_of(trace), NULL, NULL));
	ck_assert_str_eq(job, a.call.reply.job_id);
	ck_assert_str_eq(trace, a.call.trace_id);
	ck_assert_int_eq(service_depth(lane.service), 1);
	json_decref(body);
	ask_free(&a);
}
END_TEST

START_TEST(a_collect_publishes_and_a_second_one_repeats_it)
{
	struct ask a, b;
	struct job job;
	json_t *shards, *inbox;
	const char *status, *file;
	int written;
	json_int_t bytes;
	schedule_as(&lane, alice, SIMPLE, &job);
	ask_init(&a, &lane, alice);
	ask_init(&b, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert_str_eq(a.call.trace_id, job.trace_id);
	json_t *body = ask_body(&a);
	ck_assert_int_eq(json_unpack(body, "{s:s,s:s,s:s,s:o,s:{s:s,s:I,s:i!}!}", "trace_id", &file, "job_id", &file,
	                             "status", &status, "shards", &shards, "inbox", "file", &file, "bytes", &bytes,
	                             "shards_written", &written),
	                 0);
	inbox = json_object_get(body, "inbox");
	ck_assert_ptr_nonnull(inbox);
	ck_assert_str_eq(status, "complete");
	ck_assert_uint_eq(json_array_size(shards), 1);
	ck_assert_int_eq(written, 1);
	json_t *doc = lane_document(&lane, job.trace_id);
	ck_assert(json_equal(json_object_get(doc, "shards"), shards));
	json_decref(doc);
	ask(&b, &lane, service_collect, job.body);
	ck_assert(span_equal((struct span){a.call.reply.body.ptr, a.call.reply.body.len},
	                     (struct span){b.call.reply.body.ptr, b.call.reply.body.len}));
	ck_assert_int_eq(service_depth(lane.service), 0);
	ck_assert_int_eq(lane_documents(&lane), 1);
	json_decref(body);
	ask_free(&a);
	ask_free(&b);
}
END_TEST

START_TEST(a_status_tells_times_and_shows_the_seed_to_collectors_only)
{
	struct ask a;
	struct job job;
	const struct claims *scheduler = lane_claims(&lane, &(struct who){.scopes = SCOPE_SCHEDULE});
	schedule_as(&lane, alice, SIMPLE, &job);
	ask_init(&a, &lane, alice);
	a.call.job_id = span_of(job.job_id);
	service_job(lane.service, &a.call);
	ck_assert(ask_wait(&a, 5000));
	json_t *body = ask_body(&a);
	ck_assert_str_eq(json_string_value(json_object_get(body, "status")), "scheduled");
	json_int_t created = json_integer_value(json_object_get(body, "created_ms"));
	ck_assert_int_eq(json_integer_value(json_object_get(body, "expires_ms")), created + TTL_MS);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "seed"), "goal")), "map the river");
	json_decref(body);
	ask_reset(&a, &lane, scheduler);
	a.call.job_id = span_of(job.job_id);
	service_job(lane.service, &a.call);
	ck_assert(ask_wait(&a, 5000));
	body = ask_body(&a);
	ck_assert_ptr_null(json_object_get(body, "seed"));
	ck_assert_uint_eq(json_object_size(body), 6);
	json_decref(body);
	ask_free(&a);
	claims_let_go(scheduler);
}
END_TEST

/* ---- cancel ---- */

static void check_cancel(const struct job *job, const char *want)
{
	struct ask a;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_cancel, job->body);
	ck_problem(&a, PROBLEM_NONE);
	json_t *body = ask_body(&a);
	ck_assert_str_eq(json_string_value(json_object_get(body, "status")), want);
	ck_assert_str_eq(json_string_value(json_object_get(body, "job_id")), job->job_id);
	ck_assert_str_eq(json_string_value(json_object_get(body, "trace_id")), job->trace_id);
	ck_assert_uint_eq(json_object_size(body), 3);
	json_decref(body);
	ask_free(&a);
}

START_TEST(a_cancelled_job_stays_so_and_cannot_be_collected)
{
	struct job job;
	schedule_as(&lane, alice, SIMPLE, &job);
	check_cancel(&job, "cancelled");
	check_cancel(&job, "cancelled");
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_JOB_CANCELLED);
	ck_assert_int_eq(lane_documents(&lane), 0);
	ck_assert_int_eq(service_depth(lane.service), 0);
}
END_TEST

START_TEST(cancelling_a_complete_job_says_complete_and_changes_nothing)
{
	struct job job;
	schedule_as(&lane, alice, SIMPLE, &job);
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	check_cancel(&job, "complete");
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
}
END_TEST

/* ---- whose job ---- */

START_TEST(another_tenants_job_does_not_exist)
{
	struct ask a;
	struct job job;
	static operation *const operations[] = {service_collect, service_cancel};
	const struct claims *other = lane_claims(&lane, &(struct who){.tenant = "other"});
	schedule_as(&lane, alice, SIMPLE, &job);
	for (size_t i = 0; i < 2; i++) {
		ask_init(&a, &lane, other);
		ask(&a, &lane, operations[i], job.body);
		ck_problem(&a, PROBLEM_NOT_FOUND);
		ck_assert_str_ne(a.call.trace_id, job.trace_id);
		ck_assert_str_eq(a.call.reply.job_id, "");
		ask_free(&a);
	}
	ask_init(&a, &lane, other);
	a.call.job_id = span_of(job.job_id);
	service_job(lane.service, &a.call);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_NOT_FOUND);
	ask_free(&a);
	claims_let_go(other);
}
END_TEST

START_TEST(anything_else_than_a_job_id_is_not_found_without_a_look_up)
{
	static const char *const ids[] = {"",
	                                  "JOB-",
	                                  "JOB-0123456789a",
	                                  "JOB-0123456789abc",
	                                  "job-0123456789ab",
	                                  "JOB-0123456789AB",
	                                  "JOB-0123456789ag",
	                                  "JOB_0123456789ab",
	                                  "../../../etc/pas",
	                                  "JOB-0123456789a\\u00e9",
	                                  "JOB-0000\\n000000"};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char body[80];
		snprintf(body, sizeof(body), "{\"job_id\":\"%s\"}", ids[i]);
		ck_assert_int_eq(ask_once(&lane, alice, service_collect, body), PROBLEM_NOT_FOUND);
		ck_assert_int_eq(ask_once(&lane, alice, service_cancel, body), PROBLEM_NOT_FOUND);
	}
	ck_assert_uint_eq(atomic_load(&lane.store.calls[OP_READ]), 0);
	ck_assert_uint_eq(atomic_load(&lane.store.calls[OP_CANCEL]), 0);
}
END_TEST

/* ---- time to live ---- */

START_TEST(a_job_is_gone_when_its_time_is_up_whatever_happened_to_it)
{
	struct job jobs[3];
	const struct claims *longer = lane_claims(&lane, &(struct who){.lives_ms = 3 * TTL_MS});
	for (size_t i = 0; i < 3; i++)
		schedule_as(&lane, longer, "{\"seed\":{},\"ttl_ms\":60000}", &jobs[i]);
	ck_assert_int_eq(ask_once(&lane, longer, service_collect, jobs[1].body), PROBLEM_NONE);
	ck_assert_int_eq(ask_once(&lane, longer, service_cancel, jobs[2].body), PROBLEM_NONE);
	atomic_store(&lane.clock.ahead_ms, 55000);
	for (size_t i = 1; i < 3; i++)
		ck_assert_int_eq(ask_once(&lane, longer, service_collect, jobs[i].body),
		                 i == 1 ? PROBLEM_NONE : PROBLEM_JOB_CANCELLED);
	ck_assert_int_eq(service_depth(lane.service), 1);
	atomic_store(&lane.clock.ahead_ms, 60001);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(ask_once(&lane, longer, service_collect, jobs[i].body), PROBLEM_NOT_FOUND);
	ck_assert_int_eq(service_depth(lane.service), 0);
	claims_let_go(longer);
}
END_TEST

/* ---- idempotency ---- */

static void schedule_keyed(struct ask *a, const struct claims *claims, const char *key, const char *body)
{
	ask_reset(a, &lane, claims);
	a->call.idempotency_key = span_of(key);
	ask(a, &lane, service_schedule, body);
}

START_TEST(the_same_key_and_body_replay_the_same_answer)
{
	struct ask a;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ANY_SIZE];
	ask_init(&a, &lane, alice);
	schedule_keyed(&a, alice, "k", SIMPLE);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(!a.call.reply.replayed);
	memcpy(job_id, a.call.reply.job_id, sizeof(job_id));
	memcpy(trace_id, a.call.trace_id, sizeof(trace_id));
	for (int i = 0; i < 3; i++) {
		schedule_keyed(&a, alice, "k", SIMPLE);
		ck_problem(&a, PROBLEM_NONE);
		ck_assert(a.call.reply.replayed);
		ck_assert_str_eq(a.call.reply.job_id, job_id);
		ck_assert_str_eq(a.call.trace_id, trace_id);
	}
	ck_assert_int_eq(service_depth(lane.service), 1);
	schedule_keyed(&a, alice, "k", "{\"seed\":{\"goal\":\"map the river\"} }");
	ck_problem(&a, PROBLEM_IDEMPOTENCY_MISMATCH);
	schedule_keyed(&a, alice, "K", SIMPLE);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(!a.call.reply.replayed);
	ask_free(&a);
}
END_TEST

START_TEST(a_key_belongs_to_tenant_and_subject)
{
	struct ask a;
	const struct claims *others[] = {lane_claims(&lane, &(struct who){.sub = "bob"}),
	                                 lane_claims(&lane, &(struct who){.tenant = "other"})};
	ask_init(&a, &lane, alice);
	schedule_keyed(&a, alice, "k", SIMPLE);
	for (size_t i = 0; i < 2; i++) {
		schedule_keyed(&a, others[i], "k", "{\"seed\":{\"goal\":\"another\"}}");
		ck_problem(&a, PROBLEM_NONE);
		ck_assert(!a.call.reply.replayed);
		claims_let_go(others[i]);
	}
	ask_free(&a);
}
END_TEST

START_TEST(only_an_accepted_answer_is_remembered)
{
	struct ask a;
	ask_init(&a, &lane, alice);
	schedule_keyed(&a, alice, "k", "{\"seed\":{\"goal\":\"delete everything\"}}");
	ck_problem(&a, PROBLEM_POLICY_VIOLATION);
	schedule_keyed(&a, alice, "k", "{\"seed\":{\"goal\":7}}");
	ck_problem(&a, PROBLEM_INVALID_SEED);
	schedule_keyed(&a, alice, "k", SIMPLE);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert(!a.call.reply.replayed);
	ask_free(&a);
}
END_TEST

/* ---- policy ---- */

START_TEST(a_denial_names_its_rule_and_echoes_nothing)
{
	struct ask a;
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_schedule, "{\"seed\":{\"goal\":\"please delete all zebras\"}}");
	ck_problem(&a, PROBLEM_POLICY_VIOLATION);
	ck_assert_str_eq(a.call.reply.rule, "bulk-destruction");
	ck_assert_str_eq(a.call.reply.logged, "bulk-destruction");
	ck_assert_uint_eq(a.call.reply.body.len, 0);
	ck_assert(!a.call.reply.detail || !strstr(a.call.reply.detail, "zebra"));
	ck_assert_int_eq(service_depth(lane.service), 0);
	ask_free(&a);
}
END_TEST

START_TEST(duress_looks_like_a_disabled_lane_to_everybody_but_the_log)
{
	struct ask duress, disabled;
	ask_init(&duress, &lane, alice);
	ask_init(&disabled, &lane, alice);
	ask(&duress, &lane, service_schedule, "{\"seed\":{\"constraints\":{\"flags\":{\"shadow\":1}}}}");
	service_refuse_disabled(&disabled.call);
	ck_assert_int_eq(duress.call.reply.problem, disabled.call.reply.problem);
	ck_assert_str_eq(duress.call.reply.rule, disabled.call.reply.rule);
	ck_assert_str_eq(duress.call.reply.detail, disabled.call.reply.detail);
	ck_assert_int_eq(duress.call.reply.has_pointer, disabled.call.reply.has_pointer);
	ck_assert_str_eq(duress.call.reply.logged, "duress");
	ck_assert_str_eq(disabled.call.reply.logged, "lane-disabled");
	ask_free(&duress);
	ask_free(&disabled);
}
END_TEST

START_TEST(step_up_is_asked_for_and_met)
{
	struct ask a;
	const char *body = "{\"seed\":{\"goal\":\"restart the production cluster\"}}";
	const struct claims *stepped = lane_claims(&lane, &(struct who){.stepped_up = true});
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_schedule, body);
	ck_problem(&a, PROBLEM_STEP_UP_REQUIRED);
	ck_assert_str_eq(a.call.reply.rule, "privileged-intent");
	ask_free(&a);
	ck_assert_int_eq(ask_once(&lane, stepped, service_schedule, body), PROBLEM_NONE);
	atomic_store(&lane.clock.ahead_ms, 301 * 1000);
	ck_assert_int_eq(ask_once(&lane, stepped, service_schedule, body), PROBLEM_STEP_UP_REQUIRED);
	claims_let_go(stepped);
}
END_TEST

START_TEST(advice_reaches_the_shard)
{
	struct ask a;
	struct job job;
	schedule_as(&lane, alice, "{\"seed\":{\"goal\":\"permanently archive the river maps\"}}", &job);
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	json_t *body = ask_body(&a);
	json_t *shard = json_array_get(json_object_get(body, "shards"), 0);
	json_t *risk = json_array_get(json_object_get(shard, "risks"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(risk, "rule")), "irreversible-change");
	ck_assert_double_eq_tol(json_number_value(json_object_get(json_object_get(shard, "scores"), "safety")), 0.84,
	                        1e-9);
	json_decref(body);
	ask_free(&a);
}
END_TEST

/* ---- the goal's length ---- */

static json_t *stored_seed(const char *body)
{
	struct ask a;
	struct job job;
	schedule_as(&lane, alice, body, &job);
	ask_init(&a, &lane, alice);
	a.call.job_id = span_of(job.job_id);
	service_job(lane.service, &a.call);
	ck_assert(ask_wait(&a, 5000));
	json_t *reply = ask_body(&a), *seed = json_incref(json_object_get(reply, "seed"));
	json_decref(reply);
	ask_free(&a);
	ck_assert_ptr_nonnull(seed);
	return seed;
}

static const char *const pieces[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\\u00e9", "\\\\", "\\\""};

START_TEST(a_goal_of_600_code_points_is_stored_whole_and_a_longer_one_cut)
{
	char *exact = body_of_goal(pieces[_i], 600), *longer = body_of_goal(pieces[_i], 601);
	json_t *whole = stored_seed(exact), *cut = stored_seed(longer), *goals = json_loads(exact, 0, NULL);
	const char *goal = json_string_value(json_object_get(whole, "goal"));
	const char *shorter = json_string_value(json_object_get(cut, "goal"));
	ck_assert(json_equal(whole, json_object_get(goals, "seed")));
	ck_assert_uint_eq(strlen(shorter), strlen(goal) + 3);
	ck_assert_int_eq(memcmp(shorter, goal, strlen(goal)), 0);
	ck_assert_str_eq(shorter + strlen(goal), "\xe2\x80\xa6");
	ck_assert(json_equal(json_object_get(cut, "z"), json_object_get(whole, "z")));
	ck_assert(json_equal(json_object_get(cut, "context"), json_object_get(whole, "context")));
	ck_assert_uint_eq(json_object_size(cut), 3);
	json_decref(whole);
	json_decref(cut);
	json_decref(goals);
	free(exact);
	free(longer);
}
END_TEST

START_TEST(coherence_is_the_share_that_survived)
{
	struct ask a;
	struct job job;
	char *body = body_of_goal("ab", 600);
	schedule_as(&lane, alice, body, &job);
	ask_init(&a, &lane, alice);
	ask(&a, &lane, service_collect, job.body);
	json_t *reply = ask_body(&a);
	json_t *scores = json_object_get(json_array_get(json_object_get(reply, "shards"), 0), "scores");
	ck_assert_double_eq_tol(json_number_value(json_object_get(scores, "coherence")), 0.46, 1e-9);
	json_decref(reply);
	ask_free(&a);
	free(body);
}
END_TEST

/* ---- POST /inbox ---- */

#define FOREIGN "{\"seed\":{\"goal\":\"g\"},\"result\":{\"trace_id\":\"run.7\",\"shards\":[{\"index\":%d}]}}"

static void check_inbox(const struct claims *claims, int index, int written)
{
	struct ask a;
	char body[200];
	const char *trace, *file;
	int got;
	json_int_t bytes;
	snprintf(body, sizeof(body), FOREIGN, index);
	ask_init(&a, &lane, claims);
	ask(&a, &lane, service_inbox, body);
	ck_problem(&a, PROBLEM_NONE);
	ck_assert_str_eq(a.call.trace_id, "run.7");
	json_t *reply = ask_body(&a);
	ck_assert_int_eq(json_unpack(reply, "{s:s,s:s,s:I,s:i!}", "trace_id", &trace, "file", &file, "bytes", &bytes,
	                             "shards_written", &got),
	                 0);
	ck_assert_str_eq(trace, "run.7");
	ck_assert_str_eq(file, "run.7.json");
	ck_assert_int_eq(got, written);
	json_decref(reply);
	ask_free(&a);
}

START_TEST(shards_from_elsewhere_are_merged_into_one_document)
{
	check_inbox(alice, 0, 1);
	check_inbox(alice, 1, 1);
	check_inbox(alice, 0, 0);
	json_t *doc = lane_document(&lane, "run.7");
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "shards")), 2);
	json_decref(doc);
}
END_TEST

START_TEST(a_trace_of_another_tenant_or_of_a_live_job_is_taken)
{
	char body[300];
	struct job job;
	const struct claims *other = lane_claims(&lane, &(struct who){.tenant = "other"});
	check_inbox(alice, 0, 1);
	snprintf(body, sizeof(body), FOREIGN, 5);
	ck_assert_int_eq(ask_once(&lane, other, service_inbox, body), PROBLEM_TRACE_TAKEN);
	schedule_as(&lane, alice, SIMPLE, &job);
	snprintf(body, sizeof(body), "{\"seed\":{},\"result\":{\"trace_id\":\"%s\",\"shards\":[{}]}}", job.trace_id);
	ck_assert_int_eq(ask_once(&lane, alice, service_inbox, body), PROBLEM_TRACE_TAKEN);
	ck_assert_int_eq(ask_once(&lane, other, service_inbox, body), PROBLEM_TRACE_TAKEN);
	ck_assert(!lane_has_document(&lane, job.trace_id));
	claims_let_go(other);
}
END_TEST

START_TEST(shards_from_elsewhere_are_screened)
{
	ck_assert_int_eq(ask_once(&lane, alice, service_inbox,
	                          "{\"seed\":{},\"result\":{\"trace_id\":\"t\",\"shards\":[{\"x\":[\"wipe the entire "
	                          "disk\"]}]}}"),
	                 PROBLEM_POLICY_VIOLATION);
	ck_assert_int_eq(ask_once(&lane, alice, service_inbox,
	                          "{\"seed\":{\"goal\":\"dump the dataset\"},\"result\":{\"trace_id\":\"t\","
	                          "\"shards\":[{}]}}"),
	                 PROBLEM_POLICY_VIOLATION);
	ck_assert_int_eq(lane_documents(&lane), 0);
}
END_TEST

START_TEST(the_writer_checks_the_scope_itself)
{
	char body[200];
	struct ask a;
	const struct claims *weak = lane_claims(&lane, &(struct who){.scopes = SCOPE_SCHEDULE | SCOPE_COLLECT});
	snprintf(body, sizeof(body), FOREIGN, 0);
	ck_assert_int_eq(ask_once(&lane, weak, service_inbox, body), PROBLEM_INSUFFICIENT_SCOPE);
	struct job job;
	schedule_as(&lane, weak, SIMPLE, &job);
	ask_init(&a, &lane, weak);
	ask(&a, &lane, service_collect, job.body);
	ck_problem(&a, PROBLEM_INSUFFICIENT_SCOPE);
	ask_free(&a);
	ck_assert_int_eq(lane_documents(&lane), 0);
	ck_assert_int_eq(ask_once(&lane, alice, service_collect, job.body), PROBLEM_NONE);
	claims_let_go(weak);
}
END_TEST

/* ---- figures ---- */

START_TEST(figures_count_what_happened)
{
	struct service_figures f;
	struct job jobs[2];
	for (size_t i = 0; i < 2; i++)
		schedule_as(&lane, alice, SIMPLE, &jobs[i]);
	ask_once(&lane, alice, service_collect, jobs[0].body);
	ask_once(&lane, alice, service_collect, jobs[0].body);
	ask_once(&lane, alice, service_cancel, jobs[1].body);
	ask_once(&lane, alice, service_cancel, jobs[1].body);
	for (int i = 0; i < 3; i++)
		ask_once(&lane, alice, service_schedule, "{\"seed\":{\"ul_tags\":[\"\xce\x9bROOT\"]}}");
	ask_once(&lane, alice, service_schedule, "{\"seed\":{\"goal\":\"root\"}}");
	service_figures(lane.service, &f);
	ck_assert_uint_eq(f.jobs_created, 2);
	ck_assert_uint_eq(f.jobs_completed, 1);
	ck_assert_uint_eq(f.jobs_cancelled, 1);
	ck_assert_uint_eq(f.jobs_failed, 0);
	ck_assert_uint_eq(f.allowed, 2);
	ck_assert_uint_eq(f.rule_count, 2);
	ck_assert_str_eq(f.rules[0].rule, "deny-ul-tag");
	ck_assert_str_eq(f.rules[0].effect, "deny");
	ck_assert_uint_eq(f.rules[0].count, 3);
	ck_assert_str_eq(f.rules[1].effect, "step-up");
	ck_assert_str_ne(f.policy_version, "");
}
END_TEST

START_TEST(a_well_lane_is_ready)
{
	struct ask a;
	ask_init(&a, &lane, NULL);
	service_ready(lane.service, &a.call);
	ck_assert(ask_wait(&a, 5000));
	ck_problem(&a, PROBLEM_NONE);
	ck_assert_uint_eq(a.call.reply.failed_checks, 0);
	ck_assert_uint_eq(service_health(lane.service), 0);
	ask_free(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("service");
	TCase *t = tcase_create("service");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_schedule_answers_with_ids_and_nothing_else);
	tcase_add_test(t, a_collect_publishes_and_a_second_one_repeats_it);
	tcase_add_test(t, a_status_tells_times_and_shows_the_seed_to_collectors_only);
	tcase_add_test(t, a_cancelled_job_stays_so_and_cannot_be_collected);
	tcase_add_test(t, cancelling_a_complete_job_says_complete_and_changes_nothing);
	tcase_add_test(t, another_tenants_job_does_not_exist);
	tcase_add_test(t, anything_else_than_a_job_id_is_not_found_without_a_look_up);
	tcase_add_test(t, a_job_is_gone_when_its_time_is_up_whatever_happened_to_it);
	tcase_add_test(t, the_same_key_and_body_replay_the_same_answer);
	tcase_add_test(t, a_key_belongs_to_tenant_and_subject);
	tcase_add_test(t, only_an_accepted_answer_is_remembered);
	tcase_add_test(t, a_denial_names_its_rule_and_echoes_nothing);
	tcase_add_test(t, duress_looks_like_a_disabled_lane_to_everybody_but_the_log);
	tcase_add_test(t, step_up_is_asked_for_and_met);
	tcase_add_test(t, advice_reaches_the_shard);
	tcase_add_loop_test(t, a_goal_of_600_code_points_is_stored_whole_and_a_longer_one_cut, 0,
	                    (int)(sizeof(pieces) / sizeof(pieces[0])));
	tcase_add_test(t, coherence_is_the_share_that_survived);
	tcase_add_test(t, shards_from_elsewhere_are_merged_into_one_document);
	tcase_add_test(t, a_trace_of_another_tenant_or_of_a_live_job_is_taken);
	tcase_add_test(t, shards_from_elsewhere_are_screened);
	tcase_add_test(t, the_writer_checks_the_scope_itself);
	tcase_add_test(t, figures_count_what_happened);
	tcase_add_test(t, a_well_lane_is_ready);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
