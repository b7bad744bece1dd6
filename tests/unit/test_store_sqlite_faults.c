/*
 * test_store_sqlite_faults.c - the disk fails, fills up, or is another's; the
 * process is killed
 *
 * Whatever happens: what was acknowledged is there, a failure is said once to
 * each who asked, what may have happened is said to be unknown, and the store
 * comes back by itself.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "sqlite_fixture.h"

static int jobs_in(const struct place *p)
{
	char out[256];

	return atoi(sql(p->path, "SELECT count(*) FROM job", out));
}

/* A store with one job of each kind that is of interest. */
static void setup(struct place *p, struct draft *first)
{
	place_make(p);
	place_open(p);
	draft_make(p, first);
	ck_status(ask_create(p, first).status, STORE_OK);
}

/* ---- a commit that cannot be synced ---- */

START_TEST(a_commit_whose_fsync_fails_is_unknown_and_the_store_is_down_until_it_writes_again)
{
	struct draft first, d;
	struct reply a;
	struct place p;

	setup(&p, &first);
	vfs_plan(VFS_SYNC, 1, SQLITE_IOERR_FSYNC, 1000);
	draft_make(&p, &d);
	draft_key(&d, 1, 1);
	a = ask_create(&p, &d);
	ck_status(a.status, STORE_UNAVAILABLE);
	ck_assert(a.unknown);
	ck_assert(!store_check(p.store));
	ck_assert_int_eq(store_depth(p.store), 1);

	/* what only reads is answered; a probe that fails changes nothing */
	ck_status(ask_read(&p, first.job_id).status, STORE_OK);
	ck_status(ask_read(&p, d.job_id).status, STORE_NOT_FOUND);
	sweep_now(&p);
	ck_assert(!store_check(p.store));
	a = ask_cancel(&p, first.job_id);
	ck_status(a.status, STORE_UNAVAILABLE);
	ck_assert(a.unknown);
	ck_assert_int_eq(store_depth(p.store), 1);

	vfs_calm();
	sweep_now(&p);
	ck_assert(store_check(p.store));
	ck_status(ask_read(&p, first.job_id).status, STORE_OK);
	a = ask_create(&p, &d); /* with its key, as the client would */
	ck_status(a.status, STORE_OK);
	ck_assert_int_eq(store_depth(p.store), 2);
	place_reopen(&p);
	ck_assert_int_eq(store_depth(p.store), 2);
	ck_status(ask_create(&p, &d).status, STORE_REPLAYED);
	ck_assert_int_eq(place_said(&p, "store-lost"), 1);
	ck_assert_int_eq(place_said(&p, "store-recovered"), 1);
	ck_assert_int_ge(place_said(&p, "disk I/O error"), 1);
	place_end(&p);
}
END_TEST

/* Every call of a batch in turn; every code. All or nothing, each time. */
START_TEST(a_fault_at_any_call_leaves_all_of_a_batch_or_nothing)
{
	static const int codes[] = {SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE, SQLITE_FULL};
	struct draft first;
	struct place p;
	bool met = true;

	setup(&p, &first);
	for (int nth = 1; met; nth++) {
		struct draft d;
		struct reply a;
		int before = jobs_in(&p);
		int64_t depth = store_depth(p.store);

		draft_make(&p, &d);
		vfs_plan(VFS_ALL, nth, codes[_i], 1);
		a = ask_create(&p, &d);
		met = atomic_load(&faulty.hits) > 0;
		vfs_calm();
		if (a.status == STORE_OK) {
			depth++;
			before++;
		} else {
			ck_status(a.status, codes[_i] == SQLITE_FULL ? STORE_FULL : STORE_UNAVAILABLE);
			ck_assert(met);
			ck_status(ask_read(&p, d.job_id).status, STORE_NOT_FOUND);
		}
		ck_assert_int_eq(jobs_in(&p), before);
		ck_assert_int_eq(store_depth(p.store), depth);
		sweep_now(&p);
		ck_assert(store_check(p.store));
		ck_assert_int_lt(nth, 100);
		ck_assert(nth > 2 || met);
	}
	place_end(&p);
}
END_TEST

/* ---- a checkpoint that fails ---- */

START_TEST(a_checkpoint_that_fails_costs_nothing_that_was_acknowledged)
{
	enum { JOBS = 3000 };
	struct draft first, *d = calloc(JOBS, sizeof(*d));
	struct place p;
	int there = 1;

	ck_assert_ptr_nonnull(d);
	setup(&p, &first);
	vfs_plan(VFS_SYNC_FILE, 1, SQLITE_IOERR_FSYNC, 2);
	for (int i = 0; i < JOBS; i++, there++) {
		draft_make(&p, &d[i]);
		ck_status(ask_create(&p, &d[i]).status, STORE_OK);
	}
	ck_assert_int_eq(atomic_load(&faulty.hits), 2);
	vfs_calm();
	ck_assert(store_check(p.store));
	place_reopen(&p);
	ck_assert_int_eq(store_depth(p.store), there);
	ck_assert_int_eq(place_said(&p, "store-checkpoint"), 1);
	place_end(&p);
	free(d);
}
END_TEST

/* ---- many at once ---- */

#define MANY 500

struct tally {
	atomic_int answers[STORE_STATUSES], unknown, total;
};

static void tally_done(void *arg, const struct store_result *r)
{
	struct tally *t = arg;

	atomic_fetch_add(&t->answers[r->status], 1);
	atomic_fetch_add(&t->unknown, r->unknown);
	atomic_fetch_add(&t->total, 1);
}

static void wait_for(struct tally *t, int total)
{
	for (int i = 0; i < 10000 && atomic_load(&t->total) < total; i++)
		sleep_ms(1);
	sleep_ms(5); /* and not one more */
	ck_assert_int_eq(atomic_load(&t->total), total);
}

START_TEST(each_member_of_a_failing_batch_fails_once_and_reads_do_not)
{
	static struct draft d[MANY];
	struct tally creates = {.total = 0}, reads = {.total = 0}, cancels = {.total = 0};
	struct draft first;
	struct place p;

	setup(&p, &first);
	for (int i = 0; i < MANY; i++)
		draft_make(&p, &d[i]);
	vfs_plan(VFS_WRITE, 1, SQLITE_FULL, 1000000);
	for (int i = 0; i < MANY; i++) {
		store_create(p.store, &d[i].c, tally_done, &creates);
		store_read(p.store, "default", first.job_id, tally_done, &reads);
		store_cancel(p.store, "default", first.job_id, tally_done, &cancels);
	}
	wait_for(&creates, MANY);
	wait_for(&reads, MANY);
	wait_for(&cancels, MANY);
	ck_assert_int_eq(atomic_load(&creates.answers[STORE_FULL]), MANY);
	ck_assert_int_eq(atomic_load(&reads.answers[STORE_OK]), MANY);
	ck_assert_int_eq(atomic_load(&cancels.answers[STORE_UNAVAILABLE]), MANY);
	ck_assert_int_eq(atomic_load(&creates.unknown) + atomic_load(&cancels.unknown), 0);
	ck_assert_int_eq(store_depth(p.store), 1);
	vfs_calm();
	sweep_now(&p);
	for (int i = 0; i < MANY; i++)
		ck_status(ask_create(&p, &d[i]).status, STORE_OK);
	ck_assert_int_eq(store_depth(p.store), MANY + 1);
	ck_assert_int_eq(place_said(&p, "store-lost"), 1); /* however many failed */
	place_end(&p);
}
END_TEST

/* ---- a disk that really fills up ---- */

static int write_ballast(const char *name, size_t bytes)
{
	static const char zeros[4096];
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	for (size_t i = 0; i < bytes; i += sizeof(zeros))
		if (write(fd, zeros, sizeof(zeros)) != sizeof(zeros))
			return -1;
	return close(fd);
}

/* In a child, on a small file system. 0, or where it went wrong. */
static int fill_and_free(struct place *p)
{
	static char seed[200], job_ids[2000][JOB_ID_SIZE];
	char out[256], ballast[128];
	enum store_status s = STORE_OK;
	struct draft d;
	int made = 0;

	snprintf(ballast, sizeof(ballast), "%s/ballast", p->dir);
	if (write_ballast(ballast, 1024 * 1024) != 0)
		return 1;
	place_open(p);
	for (; made < 2000; made++) {
		draft_make(p, &d);
		d.c.seed = (struct span){seed, sizeof(seed)};
		s = ask_create(p, &d).status;
		if (s != STORE_OK)
			break;
		strcpy(job_ids[made], d.job_id);
	}
	if (s != STORE_FULL || made < 50 || store_check(p->store) || store_depth(p->store) != made)
		return 2;
	/* what is there is answered all the same */
	for (int i = 0; i < made; i += 7)
		if (ask_read(p, job_ids[i]).status != STORE_OK)
			return 3;
	for (int i = 0; i < 3; i++)
		sweep_now(p);
	if (store_check(p->store)) /* a probe must not be content with little */
		return 4;
	if (unlink(ballast) != 0)
		return 5;
	sweep_now(p);
	if (!store_check(p->store) || ask_create(p, &d).status != STORE_OK)
		return 6;
	place_reopen(p);
	if (store_depth(p->store) != made + 1)
		return 7;
	store_close(p->store);
	return strcmp(sql(p->path, "PRAGMA integrity_check", out), "ok") == 0 ? 0 : 8;
}

START_TEST(a_disk_that_fills_up_loses_nothing_and_recovers)
{
	struct place p;
	pid_t pid;
	int code;

	place_make(&p);
	log_close(p.log); /* its thread would not be in the child */
	p.log = NULL;
	pid = fork_child();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("none", p.dir, "tmpfs", 0, "size=2m") != 0)
			_exit(77);
		_exit(fill_and_free(&p));
	}
	code = wait_child(pid);
	if (code == 77)
		printf("skipped: no mounts of its own may be made here\n");
	else
		ck_assert_int_eq(code, 0);
	place_end(&p);
}
END_TEST

/* ---- somebody else is writing ---- */

START_TEST(a_writer_who_takes_too_long_is_borne_and_named)
{
	struct draft first, d;
	struct reply a;
	struct place p;
	int to[2];
	pid_t pid;
	char byte;

	setup(&p, &first);
	ck_assert_int_eq(pipe(to), 0);
	pid = fork_child();
	if (pid == 0) {
		sqlite3 *db;

		if (sqlite3_open(p.path, &db) != SQLITE_OK ||
		    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || write(to[1], "x", 1) != 1)
			_exit(1);
		sleep_ms(900);
		_exit(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK);
	}
	ck_assert_int_eq(read(to[0], &byte, 1), 1);
	draft_make(&p, &d);
	a = ask_create(&p, &d);
	ck_status(a.status, STORE_UNAVAILABLE);
	ck_assert(!a.unknown);
	ck_assert(!store_check(p.store));
	ck_status(ask_read(&p, first.job_id).status, STORE_OK); /* reading needs nobody's leave */
	a = ask_create(&p, &d);                                 /* a short wait is borne */
	ck_status(a.status, STORE_OK);
	ck_assert(store_check(p.store));
	ck_assert_int_eq(wait_child(pid), 0);
	ck_assert_int_eq(place_said(&p, "database is locked"), 1);
	close(to[0]);
	close(to[1]);
	place_end(&p);
}
END_TEST

START_TEST(nothing_is_acknowledged_to_a_file_that_was_moved_away)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	struct draft first, d;
	struct reply a;
	struct place p;
	char name[128], other[128];

	setup(&p, &first);
	snprintf(name, sizeof(name), "%s%s", p.path, tails[_i]);
	snprintf(other, sizeof(other), "%s/other.db", p.dir);
	ck_assert_int_eq(rename(name, other), 0);
	draft_make(&p, &d);
	a = ask_create(&p, &d);
	ck_status(a.status, STORE_UNAVAILABLE);
	ck_assert(!a.unknown);
	sweep_now(&p);
	ck_assert(!store_check(p.store));
	ck_status(ask_read(&p, first.job_id).status, STORE_OK);
	ck_assert_int_eq(rename(other, name), 0);
	sweep_now(&p);
	ck_assert(store_check(p.store));
	ck_status(ask_create(&p, &d).status, STORE_OK);
	ck_assert_int_eq(place_said(&p, "moved, removed or replaced"), 1);
	place_end(&p);
}
END_TEST

/* ---- kill -9 ---- */

/* Creates, begins, finishes for ever; a line into the pipe for each that was answered. */
static void work(const char *path, int out, int nth)
{
	struct place p;
	struct fault fault;

	memset(&p, 0, sizeof(p));
	snprintf(p.path, sizeof(p.path), "%s", path);
	p.clock = clock_system;
	p.store = place_try(&p, 0, &fault);
	if (!p.store)
		_exit(3);
	p.ids = (unsigned)getpid() * 10000;
	if (nth)
		vfs_plan(VFS_ALL, nth, 0, 1);
	for (;;) {
		struct draft d;
		struct reply a;
		char line[32];

		draft_make(&p, &d);
		draft_key(&d, p.ids, 1);
		if (ask_create(&p, &d).status != STORE_OK)
			_exit(4);
		snprintf(line, sizeof(line), "%s s\n", d.job_id);
		if (write(out, line, 19) != 19)
			_exit(5);
		a = ask_begin(&p, d.job_id, 1000);
		if (a.status != STORE_OK || ask_finish(&p, d.job_id, a.claim).status != STORE_OK)
			_exit(6);
		line[17] = 'c';
		if (write(out, line, 19) != 19)
			_exit(7);
	}
}

/* What was acknowledged is there, in the state that was acknowledged. How many lines. */
static int check_acknowledged(struct place *p, int from)
{
	FILE *f = fdopen(from, "r");
	char line[64];
	int lines = 0;

	ck_assert_ptr_nonnull(f);
	for (; fgets(line, sizeof(line), f); lines++) {
		struct reply a;

		line[16] = '\0';
		a = ask_read(p, line);
		ck_status(a.status, STORE_OK);
		if (line[17] == 'c') {
			ck_assert_int_eq(a.state, JOB_COMPLETE);
			ck_assert_str_eq(a.receipt, "{\"file\":\"f\"}");
			ck_assert_str_eq(a.artifacts, "[{\"index\":0}]");
		}
	}
	fclose(f);
	return lines;
}

static int killed_once(struct place *p, int nth, long after_ms)
{
	int pipes[2], lines;
	char out[256];
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_ge(fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20), 0);
	pid = fork_child();
	if (pid == 0) {
		close(pipes[0]);
		work(p->path, pipes[1], nth);
	}
	close(pipes[1]);
	if (!nth) {
		sleep_ms(after_ms);
		kill(pid, SIGKILL);
	}
	ck_assert_int_eq(wait_child(pid), -1);
	place_open(p);
	lines = check_acknowledged(p, pipes[0]);
	store_close(p->store);
	p->store = NULL;
	ck_assert_str_eq(sql(p->path, "PRAGMA integrity_check", out), "ok");
	return lines;
}

START_TEST(kill_9_at_any_moment_loses_nothing_that_was_acknowledged)
{
	struct place p;
	int lines = 0;

	place_make(&p);
	p.clock = clock_system;
	for (int i = 0; i < 25; i++)
		lines += killed_once(&p, 0, 20 + (i * 7919) % 83);
	ck_assert_int_gt(lines, 100);
	place_end(&p);
}
END_TEST

/* Before each call that changes a file, one after the other; the first 60 are
 * of the first few commits, the larger steps come upon checkpoints. */
START_TEST(kill_9_before_any_call_loses_nothing_that_was_acknowledged)
{
	struct place p;

	place_make(&p);
	p.clock = clock_system;
	for (int nth = 1; nth < 9000; nth += nth < 60 ? 1 : nth / 2)
		killed_once(&p, nth, 0);
	place_end(&p);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_sqlite_faults");
	TCase *t = tcase_create("faults");
	SRunner *runner;
	int failed;

	vfs_install();
	tcase_set_timeout(t, 180);
	tcase_add_test(t, a_commit_whose_fsync_fails_is_unknown_and_the_store_is_down_until_it_writes_again);
	tcase_add_loop_test(t, a_fault_at_any_call_leaves_all_of_a_batch_or_nothing, 0, 3);
	tcase_add_test(t, a_checkpoint_that_fails_costs_nothing_that_was_acknowledged);
	tcase_add_test(t, each_member_of_a_failing_batch_fails_once_and_reads_do_not);
	tcase_add_test(t, a_disk_that_fills_up_loses_nothing_and_recovers);
	tcase_add_test(t, a_writer_who_takes_too_long_is_borne_and_named);
	tcase_add_loop_test(t, nothing_is_acknowledged_to_a_file_that_was_moved_away, 0, 3);
	tcase_add_test(t, kill_9_at_any_moment_loses_nothing_that_was_acknowledged);
	tcase_add_test(t, kill_9_before_any_call_loses_nothing_that_was_acknowledged);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
