/*
 * test_store_sqlite.c - what outlives the process, and what is private to the
 * SQLite store: its ledger, its schema, its steps. What every backend promises
 * is in tests/contract; files that are refused in test_store_sqlite_file.c;
 * faults in test_store_sqlite_faults.c.
 */
#include "sqlite_fixture.h"

/* ---- what a restart keeps ---- */

START_TEST(a_restart_keeps_every_job_as_it_was)
{
	struct draft scheduled, complete, failed, cancelled;
	struct reply a;
	struct place p;

	place_make(&p);
	place_open(&p);
	draft_make(&p, &scheduled);
	draft_key(&scheduled, 1, 1);
	draft_make(&p, &complete);
	draft_key(&complete, 2, 1);
	draft_make(&p, &failed);
	draft_make(&p, &cancelled);
	ck_status(ask_create(&p, &scheduled).status, STORE_OK);
	ck_status(ask_create(&p, &complete).status, STORE_OK);
	ck_status(ask_create(&p, &failed).status, STORE_OK);
	ck_status(ask_create(&p, &cancelled).status, STORE_OK);
	a = ask_begin(&p, complete.job_id, 1000);
	ck_status(ask_finish(&p, complete.job_id, a.claim).status, STORE_OK);
	ck_status(ask_fail(&p, failed.job_id, "deny-ul-tag").status, STORE_OK);
	ck_status(ask_cancel(&p, cancelled.job_id).status, STORE_OK);
	for (int round = 0; round < 3; round++) {
		place_reopen(&p);
		ck_assert_int_eq(store_depth(p.store), 1);
		a = ask_read(&p, scheduled.job_id);
		ck_assert_int_eq(a.state, JOB_SCHEDULED);
		ck_assert_uint_eq(a.revision, 1);
		ck_assert_str_eq(a.trace_id, scheduled.trace_id);
		ck_assert_str_eq(a.seed, "{\"goal\":\"g\"}");
		a = ask_read(&p, complete.job_id);
		ck_assert_int_eq(a.state, JOB_COMPLETE);
		ck_assert_uint_eq(a.revision, 3);
		ck_assert_str_eq(a.artifacts, "[{\"index\":0}]");
		ck_assert_str_eq(a.receipt, "{\"file\":\"f\"}");
		a = ask_read(&p, failed.job_id);
		ck_assert_int_eq(a.state, JOB_FAILED);
		ck_assert_str_eq(a.failure, "deny-ul-tag");
		ck_assert_int_eq(ask_read(&p, cancelled.job_id).state, JOB_CANCELLED);
		ck_status(ask_cancel(&p, complete.job_id).status, STORE_COMPLETE);
	}
	place_end(&p);
}
END_TEST

START_TEST(keys_and_ids_stay_taken_over_a_restart)
{
	struct draft d, other;
	struct reply a;
	struct place p;

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	draft_key(&d, 7, 1);
	ck_status(ask_create(&p, &d).status, STORE_OK);
	place_reopen(&p);
	draft_make(&p, &other);
	draft_key(&other, 7, 1);
	a = ask_create(&p, &other);
	ck_status(a.status, STORE_REPLAYED);
	ck_assert_str_eq(a.job_id, d.job_id);
	draft_key(&other, 7, 2);
	ck_status(ask_create(&p, &other).status, STORE_MISMATCH);
	draft_make(&p, &other);
	other.c.job_id = d.job_id;
	ck_status(ask_create(&p, &other).status, STORE_EXISTS);
	draft_make(&p, &other);
	other.c.trace_id = d.trace_id;
	ck_status(ask_create(&p, &other).status, STORE_EXISTS);

	/* the trace is found, and the limit counts what was there before */
	ASK(&a, store_trace(p.store, d.trace_id, reply_done, &a));
	ck_status(a.status, STORE_OK);
	store_close(p.store);
	p.store = place_try(&p, 1, &(struct fault){""});
	draft_make(&p, &other);
	ck_status(ask_create(&p, &other).status, STORE_FULL);
	place_end(&p);
}
END_TEST

/* The process that held it is gone: whoever comes next need not wait. */
START_TEST(claims_of_a_dead_process_are_void)
{
	uint64_t last = 1, claim;
	struct reply a;
	struct draft d;
	struct place p;

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	ck_status(ask_create(&p, &d).status, STORE_OK);
	for (int round = 0; round < 3; round++) {
		a = ask_begin(&p, d.job_id, 3600000);
		ck_status(a.status, STORE_OK);
		ck_assert_str_eq(a.artifacts, "[{\"index\":0}]");
		ck_assert_uint_gt(a.claim, last);
		claim = last = a.claim;
		ck_status(ask_begin(&p, d.job_id, 1000).status, STORE_BUSY);
		place_reopen(&p);
		/* the machine may have been started anew too */
		atomic_store(&the_mono_us, 1000);
	}
	/* nobody else has begun meanwhile: the token is the newest one still */
	ck_status(ask_finish(&p, d.job_id, claim - 1).status, STORE_LOST);
	ck_status(ask_cancel(&p, d.job_id).status, STORE_OK);
	ck_status(ask_finish(&p, d.job_id, claim).status, STORE_LOST);
	place_end(&p);
}
END_TEST

START_TEST(revisions_grow_by_one_with_each_change)
{
	uint64_t revision = 1;
	struct draft d;
	struct reply a;
	struct place p;

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	a = ask_create(&p, &d);
	ck_assert_uint_eq(a.revision, 1);
	for (int i = 0; i < 300; i++) {
		a = ask_begin(&p, d.job_id, 1000);
		ck_assert_uint_eq(a.revision, ++revision);
		ck_assert_uint_eq(a.claim, revision);
		ck_assert_uint_eq(ask_release(&p, d.job_id, a.claim).revision, ++revision);
		if (i % 100 == 50)
			place_reopen(&p);
	}
	place_end(&p);
}
END_TEST

static void ignored(void *arg, const struct store_result *r)
{
	(void)arg, (void)r;
}

/* Ended while the daemon was away, or while its clock was wrong. */
START_TEST(jobs_that_end_meanwhile_are_gone_at_the_start)
{
	enum { JOBS = 5000 };
	static struct draft d[JOBS];
	struct place p;
	char out[256];

	place_make(&p);
	place_open(&p);
	for (int i = 0; i < JOBS; i++) {
		draft_make(&p, &d[i]);
		d[i].c.ttl_ms = 1000 + i;
		store_create(p.store, &d[i].c, ignored, NULL);
	}
	store_close(p.store);
	p.store = NULL;
	pass_ms(1000 + JOBS / 2);
	place_open(&p);
	ck_assert_int_eq(store_depth(p.store), JOBS / 2 - 1);
	ck_status(ask_read(&p, d[JOBS / 2].job_id).status, STORE_NOT_FOUND);
	ck_status(ask_read(&p, d[JOBS / 2 + 1].job_id).status, STORE_OK);
	ck_status(ask_create(&p, &d[0]).status, STORE_OK); /* its id is free */
	/* the rows go in steps, and then they are gone */
	for (int i = 0; i < 8; i++)
		sweep_now(&p);
	ck_assert_str_eq(sql(p.path, "SELECT count(*) FROM job", out), "2500");
	ck_assert_int_eq(store_depth(p.store), JOBS / 2);
	place_end(&p);
}
END_TEST

/* Two rows of one id: one had ended, then the clock went back before it was swept. */
START_TEST(of_two_rows_with_one_id_the_newer_is_the_job)
{
	struct draft d;
	struct reply a;
	struct place p;
	char out[256];

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	draft_key(&d, 1, 1);
	ck_status(ask_create(&p, &d).status, STORE_OK);
	store_close(p.store);
	sql(p.path,
	    "INSERT INTO job SELECT n + 1, number, trace_ms, trace_bits, expires_ms, 4, key_digest, body_digest, 5,"
	    " created_ms, updated_ms, claim, claim_until_us, claim_epoch, goal_chars, stepped_up, policy_digest, "
	    "advice,"
	    " tenant, policy_version, traceparent, failure, receipt, seed FROM job",
	    out);
	place_open(&p);
	ck_assert_int_eq(store_depth(p.store), 0);
	a = ask_read(&p, d.job_id);
	ck_assert_int_eq(a.state, JOB_CANCELLED);
	ck_assert_uint_eq(a.revision, 5);
	ck_status(ask_create(&p, &d).status, STORE_REPLAYED);
	sweep_now(&p);
	ck_assert_str_eq(sql(p.path, "SELECT count(*) FROM job", out), "1");
	pass_ms(60000);
	ck_status(ask_read(&p, d.job_id).status, STORE_NOT_FOUND);
	place_end(&p);
}
END_TEST

/* ---- in steps ---- */

START_TEST(a_sweep_deletes_in_steps_between_which_others_come)
{
	enum { JOBS = 20000 };
	struct draft *d = calloc(JOBS, sizeof(*d)), lasting;
	struct place p;
	char out[256];
	int left;

	ck_assert_ptr_nonnull(d);
	place_make(&p);
	place_open(&p);
	for (int i = 0; i < JOBS; i++) {
		draft_make(&p, &d[i]);
		store_create(p.store, &d[i].c, ignored, NULL);
	}
	draft_make(&p, &lasting);
	lasting.c.ttl_ms = 3600000;
	ck_status(ask_create(&p, &lasting).status, STORE_OK);
	ck_assert_int_eq(store_depth(p.store), JOBS + 1);
	pass_ms(60000);
	store_sweep(p.store);
	ck_status(ask_read(&p, lasting.job_id).status, STORE_OK);
	ck_assert_int_eq(store_depth(p.store), 1); /* at once, whatever is left to be deleted */
	left = atoi(sql(p.path, "SELECT count(*) FROM job", out));
	ck_assert_int_gt(left, 1);
	for (int i = 0; i < 5000 && left > 1; i++) {
		sleep_ms(2);
		left = atoi(sql(p.path, "SELECT count(*) FROM job", out)); /* one sweep is enough */
	}
	ck_assert_int_eq(left, 1);
	place_end(&p);
	free(d);
}
END_TEST

START_TEST(artifacts_are_deleted_with_their_job)
{
	struct draft d;
	struct place p;
	char out[256];

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	ck_status(ask_create(&p, &d).status, STORE_OK);
	ck_status(ask_begin(&p, d.job_id, 1000).status, STORE_OK);
	ck_assert_str_eq(sql(p.path, "SELECT count(*) FROM artifacts", out), "1");
	pass_ms(60000);
	sweep_now(&p);
	ck_assert_str_eq(sql(p.path, "SELECT count(*) FROM artifacts", out), "0");
	place_end(&p);
}
END_TEST

/* ---- for people ---- */

START_TEST(an_operator_reads_the_view)
{
	static const struct {
		const char *query, *answer;
	} looks[] = {
	        {"SELECT job_id FROM jobs", "JOB-00000000abcd"},
	        {"SELECT trace_id FROM jobs", "LT-1700000000000-0000beef"},
	        {"SELECT tenant FROM jobs", "default"},
	        {"SELECT state FROM jobs", "failed"},
	        {"SELECT created FROM jobs", "2023-11-14T22:13:20.000Z"},
	        {"SELECT updated FROM jobs", "2023-11-14T22:13:21.500Z"},
	        {"SELECT expires FROM jobs", "2023-11-14T22:14:20.000Z"},
	        {"SELECT goal_chars FROM jobs", "42"},
	        {"SELECT failure FROM jobs", "deny-ul-tag"},
	        {"SELECT seed_bytes FROM jobs", "12"},
	        {"SELECT artifacts_bytes FROM jobs", "13"},
	        {"SELECT revision FROM jobs WHERE job_id = 'JOB-00000000abcd'", "4"},
	        {"SELECT count(*) FROM jobs WHERE state IN ('scheduled', 'running')", "0"},
	};
	struct draft d;
	struct reply a;
	struct place p;
	char out[256];

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	d.c.job_id = "JOB-00000000abcd";
	d.c.trace_id = "LT-1700000000000-0000beef";
	d.c.goal_chars = 42;
	ck_status(ask_create(&p, &d).status, STORE_OK);
	pass_ms(1500);
	a = ask_begin(&p, d.c.job_id, 1000);
	ck_status(ask_release(&p, d.c.job_id, a.claim).status, STORE_OK);
	ck_status(ask_fail(&p, d.c.job_id, "deny-ul-tag").status, STORE_OK);
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		ck_assert_str_eq(sql(p.path, looks[i].query, out), looks[i].answer);
	place_end(&p);
}
END_TEST

START_TEST(what_an_operator_has_changed_is_borne)
{
	struct draft d[4];
	struct place p;
	char out[256];

	place_make(&p);
	place_open(&p);
	for (int i = 0; i < 4; i++) {
		draft_make(&p, &d[i]);
		draft_key(&d[i], (unsigned)i, 1);
		ck_status(ask_create(&p, &d[i]).status, STORE_OK);
	}
	sql(p.path, "DELETE FROM job WHERE n = 1; UPDATE job SET state = 4 WHERE n = 2", out);
	ck_status(ask_read(&p, d[0].job_id).status, STORE_NOT_FOUND);
	ck_status(ask_cancel(&p, d[1].job_id).status, STORE_CANCELLED);
	ck_assert_int_eq(ask_read(&p, d[2].job_id).state, JOB_SCHEDULED);
	ck_assert_int_eq(store_depth(p.store), 2);
	draft_make(&p, &d[0]);
	draft_key(&d[0], 0, 2);
	ck_status(ask_create(&p, &d[0]).status, STORE_OK); /* the key of a row that is not there is free */
	ck_status(ask_create(&p, &d[0]).status, STORE_REPLAYED);
	ck_assert_int_eq(store_depth(p.store), 3);

	/* rows and artifacts where the next ones would be */
	sql(p.path, "INSERT INTO artifacts VALUES (7, 'old'); UPDATE job SET n = 6 WHERE n = 4", out);
	draft_make(&p, &d[1]);
	ck_status(ask_create(&p, &d[1]).status, STORE_UNAVAILABLE);
	ck_status(ask_create(&p, &d[1]).status, STORE_OK);
	ck_assert_str_eq(ask_begin(&p, d[1].job_id, 1000).artifacts, "[{\"index\":0}]");
	pass_ms(60000);
	sweep_now(&p);
	ck_assert_int_eq(store_depth(p.store), 0);
	ck_assert_str_eq(sql(p.path, "SELECT count(*) FROM job", out), "1"); /* his own */
	place_end(&p);
}
END_TEST

/* ---- the schema ---- */

static const struct schema_step two_steps[] = {
        {"CREATE TABLE job (n INTEGER PRIMARY KEY, name TEXT); INSERT INTO job VALUES (1, 'one'), (2, 'two')"},
        {"ALTER TABLE job ADD COLUMN length INTEGER; UPDATE job SET length = length(name) + 1"},
};

static const struct schema_step a_bad_step[] = {
        {"CREATE TABLE job (n INTEGER PRIMARY KEY, name TEXT)"},
        {"ALTER TABLE job ADD COLUMN length INTEGER; UPDATE nothing SET x = 1"},
};

static sqlite3 *open_plain(const struct place *p)
{
	sqlite3 *db = NULL;

	ck_assert_int_eq(sqlite3_open(p->path, &db), SQLITE_OK);
	return db;
}

START_TEST(an_older_file_is_brought_up_step_by_step)
{
	struct fault fault = {""};
	struct place p;
	sqlite3 *db;
	char out[256];

	place_make(&p);
	db = open_plain(&p);
	ck_assert_int_eq(schema_migrate(db, p.path, two_steps, 1, &fault), 0);
	ck_assert_str_eq(sql(p.path, "PRAGMA user_version", out), "1");
	ck_assert_int_eq(schema_migrate(db, p.path, two_steps, 2, &fault), 0);
	ck_assert_str_eq(sql(p.path, "PRAGMA user_version", out), "2");
	ck_assert_str_eq(sql(p.path, "SELECT sum(length) FROM job", out), "8");
	/* one that is of today is left alone */
	ck_assert_int_eq(schema_migrate(db, p.path, two_steps, 2, &fault), 0);
	ck_assert_str_eq(sql(p.path, "SELECT sum(length) FROM job", out), "8");
	sqlite3_close(db);
	place_end(&p);
}
END_TEST

START_TEST(a_step_that_fails_leaves_the_version_before_it)
{
	struct fault fault = {""};
	struct place p;
	sqlite3 *db;
	char out[256];

	place_make(&p);
	db = open_plain(&p);
	ck_assert_int_eq(schema_migrate(db, p.path, a_bad_step, 2, &fault), -1);
	ck_assert_ptr_nonnull(strstr(fault.text, "bringing it to version 2"));
	ck_assert_ptr_nonnull(strstr(fault.text, p.path));
	ck_assert_str_eq(sql(p.path, "PRAGMA user_version", out), "1");
	ck_assert_str_eq(sql(p.path, "SELECT count(*) FROM pragma_table_info('job')", out), "2");
	sqlite3_close(db);
	place_end(&p);
}
END_TEST

/* ---- the ledger, held against the plainest model ---- */

#define NUMBERS 300

struct model {
	bool there, ended;
	int64_t n, expires_ms;
};

static void check_model(const struct ledger *l, const struct model *m)
{
	int64_t unfinished = 0;

	for (unsigned i = 1; i < NUMBERS; i++) {
		struct entry *e = ledger_job(l, i);

		ck_assert_int_eq(e != NULL, m[i].there);
		ck_assert(ledger_trace(l, i, i * 3) == e);
		if (e) {
			ck_assert_int_eq(e->n, m[i].n);
			ck_assert_int_eq(entry_ended(e), m[i].ended);
			unfinished += !m[i].ended;
		}
	}
	ck_assert_int_eq(l->unfinished, unfinished);
}

static void one_step(struct ledger *l, struct model *m, unsigned i, unsigned dice, int64_t n, int64_t now)
{
	uint8_t digest[DIGEST_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8)};
	struct job_ids ids = {.job = i, .trace_ms = i, .trace_bits = i * 3};
	struct entry *e = ledger_job(l, i);

	if (!e) {
		e = ledger_add(l, &ids, n, now + dice, dice % 2 ? digest : NULL, false);
		ck_assert_ptr_nonnull(e);
		if (dice % 5 == 0) {
			ledger_undo(l, e);
			return;
		}
		ledger_settle(l, e);
		m[i] = (struct model){.there = true, .n = n, .expires_ms = now + dice};
	} else if (dice % 3 == 0) {
		ledger_end(l, e);
		m[i].ended = true;
	} else if (dice % 3 == 1) {
		ledger_revive(l, e);
		m[i].ended = false;
	} else if (dice % 7 == 0) {
		ledger_supersede(l, e);
		m[i].there = false;
	}
}

START_TEST(the_ledger_is_what_it_was_told)
{
	static struct model m[NUMBERS];
	struct ledger l;
	unsigned random = 1;
	int64_t now = 0;
	uint64_t job;

	ck_assert_int_eq(crypto_init(), 0);
	ledger_init(&l);
	for (int64_t n = 1; n < 30000; n++) {
		random = random * 1103515245u + 12345u;
		one_step(&l, m, 1 + (random >> 8) % (NUMBERS - 1), (random >> 17) % 2000, n, now);
		now++;
		while (ledger_pop(&l, now, &job)) {
			if (job == LEDGER_NO_JOB)
				continue;
			ck_assert(m[job].there && m[job].expires_ms <= now);
			m[job].there = false;
		}
		for (unsigned i = 1; i < NUMBERS; i++)
			if (m[i].there && m[i].expires_ms <= now)
				ck_abort_msg("one that was due was left");
		if (n % 500 == 0)
			check_model(&l, m);
		if (ledger_graves(&l) > 50) {
			int64_t second = ledger_grave(&l, 1);

			ledger_buried(&l, 1);
			ck_assert_int_eq(ledger_grave(&l, 0), second);
			ledger_buried(&l, 30);
		}
	}
	ledger_free(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_sqlite");
	TCase *t = tcase_create("sqlite");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_restart_keeps_every_job_as_it_was);
	tcase_add_test(t, keys_and_ids_stay_taken_over_a_restart);
	tcase_add_test(t, claims_of_a_dead_process_are_void);
	tcase_add_test(t, revisions_grow_by_one_with_each_change);
	tcase_add_test(t, jobs_that_end_meanwhile_are_gone_at_the_start);
	tcase_add_test(t, of_two_rows_with_one_id_the_newer_is_the_job);
	tcase_add_test(t, a_sweep_deletes_in_steps_between_which_others_come);
	tcase_add_test(t, artifacts_are_deleted_with_their_job);
	tcase_add_test(t, an_operator_reads_the_view);
	tcase_add_test(t, what_an_operator_has_changed_is_borne);
	tcase_add_test(t, an_older_file_is_brought_up_step_by_step);
	tcase_add_test(t, a_step_that_fails_leaves_the_version_before_it);
	tcase_add_test(t, the_ledger_is_what_it_was_told);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
