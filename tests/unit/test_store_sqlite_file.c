/*
 * test_store_sqlite_file.c - which file is taken, and that one which is
 * refused stays as it was, to the byte
 */
#include <sched.h>
#include <sys/mount.h>

#include "sqlite_fixture.h"

#define NOBODY 65534

/* ---- files as bytes ---- */

struct bytes {
	char *ptr;
	size_t len;
	bool there;
};

static struct bytes bytes_of(const char *path)
{
	struct bytes b = {NULL, 0, false};
	FILE *f = fopen(path, "rb");
	long size;

	if (!f)
		return b;
	b.there = true;
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	rewind(f);
	b.len = (size_t)size;
	b.ptr = malloc(b.len + 1);
	ck_assert_ptr_nonnull(b.ptr);
	ck_assert_uint_eq(fread(b.ptr, 1, b.len, f), b.len);
	fclose(f);
	return b;
}

static void write_bytes(const char *path, const char *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static void overwrite(const char *path, long at, const char *bytes, size_t len)
{
	FILE *f = fopen(path, "r+b");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, at, SEEK_SET), 0);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static bool same_bytes(const struct bytes *a, const struct bytes *b)
{
	return a->there == b->there && a->len == b->len && (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static void wal_path(const struct place *p, char out[128])
{
	snprintf(out, 128, "%s-wal", p->path);
}

/* The start is refused with those words, after the path, and nothing has changed. */
static void refused(struct place *p, const char *words)
{
	struct bytes before = bytes_of(p->path), after, wal_before, wal_after;
	struct fault fault;
	char wal[128];

	wal_path(p, wal);
	wal_before = bytes_of(wal);
	ck_assert_ptr_null(place_try(p, 0, &fault));
	after = bytes_of(p->path);
	wal_after = bytes_of(wal);
	ck_assert_msg(strstr(fault.text, words) != NULL, "\"%s\" lacks \"%s\"", fault.text, words);
	ck_assert_msg(strncmp(fault.text, p->path, strlen(p->path)) == 0, "%s", fault.text);
	ck_assert_ptr_null(strchr(fault.text, '\n'));
	ck_assert(same_bytes(&before, &after));
	ck_assert(same_bytes(&wal_before, &wal_after));
	free(before.ptr);
	free(after.ptr);
	free(wal_before.ptr);
	free(wal_after.ptr);
}

/* A whole one of ours with that many jobs, closed. */
static void make_ours(struct place *p, unsigned jobs)
{
	struct draft d;

	place_open(p);
	for (unsigned i = 0; i < jobs; i++) {
		draft_make(p, &d);
		ck_status(ask_create(p, &d).status, STORE_OK);
	}
	store_close(p->store);
	p->store = NULL;
}

/* ---- what is not ours ---- */

START_TEST(a_database_of_another_program_is_refused)
{
	struct place p;
	char out[256];

	place_make(&p);
	sql(p.path, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)", out);
	refused(&p, "belongs to another program");
	sql(p.path, "PRAGMA application_id = 1234; PRAGMA user_version = 1", out);
	refused(&p, "belongs to another program (SQLite application id 1234)");
	sql(p.path, "PRAGMA journal_mode = WAL; INSERT INTO theirs VALUES (2)", out);
	refused(&p, "belongs to another program");
	place_end(&p);
}
END_TEST

START_TEST(a_file_that_is_no_database_is_refused)
{
	static const char text[] =
	        "This is the only copy of a letter, not a database, and it is longer than a header is."
	        " It must stay as it is.\n";
	struct place p;

	place_make(&p);
	write_bytes(p.path, text, sizeof(text));
	refused(&p, "is not a SQLite database");
	write_bytes(p.path, text, 10);
	refused(&p, "is not a SQLite database");
	write_bytes(p.path, "SQLite format 3", 16);
	refused(&p, "is not a SQLite database");
	ck_assert_int_eq(truncate(p.path, 0), 0);
	ck_assert_int_eq(truncate(p.path, 8192), 0); /* zeros, and no journal that would explain them */
	refused(&p, "is not a SQLite database");
	place_end(&p);
}
END_TEST

START_TEST(a_database_of_a_newer_version_is_refused)
{
	struct place p;
	char out[256];

	place_make(&p);
	make_ours(&p, 3);
	sql(p.path, "PRAGMA user_version = 99", out);
	refused(&p, "made by a newer simlane (version 99 of the file, 1 known here)");
	place_end(&p);
}
END_TEST

/* The header in the file is the old one still. */
static void set_version_in_wal(const struct place *p)
{
	pid_t pid = fork_child();

	if (pid == 0) {
		sqlite3 *db;
		int ok = sqlite3_open(p->path, &db) == SQLITE_OK &&
		         sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL) == SQLITE_OK;

		_exit(!ok); /* without closing: the WAL stays */
	}
	ck_assert_int_eq(wait_child(pid), 0);
}

START_TEST(a_newer_version_that_is_only_in_the_wal_is_seen)
{
	struct place p;

	place_make(&p);
	make_ours(&p, 3);
	set_version_in_wal(&p);
	refused(&p, "made by a newer simlane");
	place_end(&p);
}
END_TEST

/* ---- what is broken ---- */

START_TEST(a_truncated_database_is_refused)
{
	struct place p;
	struct stat st;

	place_make(&p);
	make_ours(&p, 500);
	ck_assert_int_eq(stat(p.path, &st), 0);
	ck_assert_int_eq(truncate(p.path, st.st_size / 2 / 4096 * 4096), 0);
	refused(&p, "is damaged");
	ck_assert_int_eq(truncate(p.path, 100), 0);
	refused(&p, "is damaged");
	place_end(&p);
}
END_TEST

START_TEST(a_garbage_page_in_the_middle_is_refused)
{
	struct place p;
	struct stat st;
	char garbage[4096];

	place_make(&p);
	make_ours(&p, 500);
	ck_assert_int_eq(stat(p.path, &st), 0);
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char)(i * 131 + 7);
	overwrite(p.path, st.st_size / 2 / 4096 * 4096, garbage, sizeof(garbage));
	refused(&p, "move it away to begin with no jobs");
	place_end(&p);
}
END_TEST

START_TEST(a_database_of_ours_without_its_tables_is_refused)
{
	struct place p;
	char out[256];

	place_make(&p);
	make_ours(&p, 1);
	sql(p.path, "DROP VIEW jobs; DROP TABLE job", out);
	refused(&p, "is damaged");
	place_end(&p);
}
END_TEST

/* ---- what cannot be used ---- */

START_TEST(a_directory_that_is_missing_is_named)
{
	struct place p;
	struct fault fault;

	place_make(&p);
	snprintf(p.path, sizeof(p.path), "%s/none/jobs.db", p.dir);
	refused(&p, "its directory does not exist");
	snprintf(p.path, sizeof(p.path), "%s", p.dir);
	ck_assert_ptr_null(place_try(&p, 0, &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, p.dir));
	place_end(&p);
}
END_TEST

/* In a child that is root no more. */
static void as_nobody_refused(struct place *p, const char *words)
{
	pid_t pid = fork_child();

	if (pid == 0) {
		struct fault fault;
		struct store *s;

		if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
			_exit(2);
		s = store_open("sqlite", &(struct store_options){.clock = &clock_system, .sqlite_path = p->path},
		               &fault);
		if (!strstr(fault.text, words))
			fprintf(stderr, "%s\n", fault.text);
		_exit(s || !strstr(fault.text, words));
	}
	ck_assert_int_eq(wait_child(pid), 0);
}

START_TEST(what_may_not_be_written_is_refused)
{
	struct place p;
	struct bytes before, after;

	if (getuid() != 0) {
		printf("skipped: only root can become somebody else\n");
		return;
	}
	place_make(&p);
	make_ours(&p, 3);
	before = bytes_of(p.path);
	ck_assert_int_eq(chmod(p.dir, 0755), 0);
	ck_assert_int_eq(chmod(p.path, 0444), 0);
	as_nobody_refused(&p, "cannot be written");
	ck_assert_int_eq(chmod(p.path, 0666), 0);
	as_nobody_refused(&p, "nothing can be written to its directory");
	after = bytes_of(p.path);
	ck_assert(same_bytes(&before, &after));
	free(before.ptr);
	free(after.ptr);
	snprintf(p.path, sizeof(p.path), "%s/other.db", p.dir);
	as_nobody_refused(&p, "cannot be made");
	ck_assert_int_ne(access(p.path, F_OK), 0);
	place_end(&p);
}
END_TEST

/* In a child with mounts of its own; what it exits with. -1: it may not mount. */
static int in_own_mounts(struct place *p, int (*body)(struct place *p))
{
	pid_t pid;
	int code;

	log_close(p->log); /* its thread would not be in the child */
	p->log = NULL;
	pid = fork_child();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
			_exit(77);
		_exit(body(p));
	}
	code = wait_child(pid);
	if (code == 77)
		printf("skipped: no mounts of its own may be made here\n");
	return code == 77 ? -1 : code;
}

static int open_read_only(struct place *p)
{
	struct fault fault;

	if (mount(p->dir, p->dir, NULL, MS_BIND, NULL) != 0 ||
	    mount(NULL, p->dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0)
		return 77;
	if (place_try(p, 0, &fault) || !strstr(fault.text, "cannot be written: Read-only file system")) {
		fprintf(stderr, "%s\n", fault.text);
		return 1;
	}
	return 0;
}

START_TEST(a_read_only_file_system_is_named)
{
	struct place p;

	place_make(&p);
	make_ours(&p, 3);
	ck_assert_int_le(in_own_mounts(&p, open_read_only), 0);
	place_open(&p);
	place_end(&p);
}
END_TEST

static int fill(const char *dir)
{
	static const char zeros[4096];
	char name[128];
	int fd;

	snprintf(name, sizeof(name), "%s/ballast", dir);
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	if (fd < 0)
		return -1;
	while (write(fd, zeros, sizeof(zeros)) > 0)
		continue;
	return close(fd);
}

static int open_when_full(struct place *p)
{
	char ballast[128];
	struct fault fault;

	if (mount("none", p->dir, "tmpfs", 0, "size=1m") != 0)
		return 77;
	if (fill(p->dir) != 0 || place_try(p, 0, &fault))
		return 1;
	if (!strstr(fault.text, "the disk is full")) {
		fprintf(stderr, "%s\n", fault.text);
		return 2;
	}
	if (access(p->path, F_OK) == 0)
		return 3; /* half a database was left */
	snprintf(ballast, sizeof(ballast), "%s/ballast", p->dir);
	unlink(ballast);
	p->store = place_try(p, 0, &fault);
	if (!p->store)
		return 4;
	store_close(p->store);
	return 0;
}

START_TEST(a_disk_that_is_full_from_the_start_leaves_nothing)
{
	struct place p;

	place_make(&p);
	ck_assert_int_le(in_own_mounts(&p, open_when_full), 0);
	place_end(&p);
}
END_TEST

/* ---- who else has it ---- */

struct holder {
	pid_t pid;
	int to, from; /* pipes: a byte each way */
};

/* A child that holds the file in some way until it is told to end. */
static struct holder hold(struct place *p, int (*take)(struct place *p))
{
	struct holder h;
	int to[2], from[2];
	char byte = 0;

	ck_assert_int_eq(pipe(to), 0);
	ck_assert_int_eq(pipe(from), 0);
	h.pid = fork_child();
	if (h.pid == 0) {
		byte = (char)take(p);
		if (write(from[1], &byte, 1) == 1 && read(to[0], &byte, 1) == 1)
			_exit(0);
		_exit(1);
	}
	h.to = to[1];
	h.from = from[0];
	close(to[0]);
	close(from[1]);
	ck_assert_int_eq(read(h.from, &byte, 1), 1);
	ck_assert_int_eq(byte, 0);
	return h;
}

static void let_go(struct holder *h)
{
	kill(h->pid, SIGKILL);
	ck_assert_int_eq(wait_child(h->pid), -1);
	close(h->to);
	close(h->from);
}

static int take_as_daemon(struct place *p)
{
	return store_open("sqlite", &(struct store_options){.clock = &clock_system, .sqlite_path = p->path},
	                  &(struct fault){""}) == NULL;
}

START_TEST(a_second_daemon_is_refused_until_the_first_is_gone)
{
	struct holder h;
	struct place p;

	place_make(&p);
	make_ours(&p, 3);
	h = hold(&p, take_as_daemon);
	refused(&p, "is in use by another simlaned");
	refused(&p, "is in use by another simlaned");
	let_go(&h); /* kill -9: nothing has to be cleared away */
	place_open(&p);
	ck_assert_int_eq(store_depth(p.store), 3);
	place_end(&p);
}
END_TEST

static int take_exclusively(struct place *p)
{
	sqlite3 *db;

	return !(sqlite3_open(p->path, &db) == SQLITE_OK &&
	         sqlite3_exec(db, "BEGIN EXCLUSIVE; UPDATE meta SET epoch = epoch", NULL, NULL, NULL) == SQLITE_OK);
}

START_TEST(a_file_that_another_process_has_locked_is_refused)
{
	struct holder h;
	struct place p;

	place_make(&p);
	make_ours(&p, 3);
	h = hold(&p, take_exclusively);
	refused(&p, "is locked by another process");
	let_go(&h);
	place_open(&p);
	ck_assert_int_eq(store_depth(p.store), 3);
	place_end(&p);
}
END_TEST

START_TEST(an_operator_may_look_while_the_store_runs)
{
	struct place p;
	struct draft d;
	char out[256];

	place_make(&p);
	place_open(&p);
	for (int i = 1; i < 20; i++) {
		pid_t pid;

		draft_make(&p, &d);
		ck_status(ask_create(&p, &d).status, STORE_OK);
		pid = fork_child(); /* another process, as an operator's is */
		if (pid == 0) {
			sql(p.path, "SELECT count(*) FROM jobs", out);
			_exit(atoi(out));
		}
		ck_assert_int_eq(wait_child(pid), i);
	}
	place_end(&p);
}
END_TEST

/* ---- what is made ---- */

START_TEST(a_new_file_is_ours_and_not_for_everybody)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	struct draft d;
	struct place p;
	mode_t mask = umask(022);
	char out[256];

	place_make(&p);
	place_open(&p);
	draft_make(&p, &d);
	ck_status(ask_create(&p, &d).status, STORE_OK);
	for (size_t i = 0; i < 3; i++) {
		char name[128];
		struct stat st;

		snprintf(name, sizeof(name), "%s%s", p.path, tails[i]);
		ck_assert_int_eq(stat(name, &st), 0);
		ck_assert_int_eq(st.st_mode & 07777, 0640);
	}
	store_close(p.store);
	p.store = NULL;
	ck_assert_str_eq(sql(p.path, "PRAGMA application_id", out), "1399418188");
	ck_assert_str_eq(sql(p.path, "PRAGMA user_version", out), "1");
	ck_assert_str_eq(sql(p.path, "PRAGMA journal_mode", out), "wal");
	umask(mask);
	place_end(&p);
}
END_TEST

START_TEST(an_empty_file_and_a_strange_name_are_taken)
{
	struct place p;

	place_make(&p);
	snprintf(p.path, sizeof(p.path), "%s/100%%25 new?mode=ro#1.db", p.dir);
	write_bytes(p.path, "", 0);
	make_ours(&p, 2);
	place_open(&p);
	ck_assert_int_eq(store_depth(p.store), 2);
	place_end(&p);
}
END_TEST

/* With a WAL that a crash has left beside the file itself: it counts. */
START_TEST(a_link_to_a_file_is_followed)
{
	char real[96], link[96];
	struct fault fault;
	struct place p;

	place_make(&p);
	memcpy(real, p.path, sizeof(real));
	snprintf(link, sizeof(link), "%s/link.db", p.dir);
	ck_assert_int_eq(symlink(real, link), 0);
	make_ours(&p, 3);
	memcpy(p.path, link, sizeof(link));
	place_open(&p);
	ck_assert_int_eq(store_depth(p.store), 3);
	store_close(p.store);
	p.store = NULL;
	memcpy(p.path, real, sizeof(real));
	set_version_in_wal(&p);
	memcpy(p.path, link, sizeof(link));
	ck_assert_ptr_null(place_try(&p, 0, &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, "made by a newer simlane"));
	place_end(&p);
}
END_TEST

START_TEST(a_path_is_required)
{
	struct fault fault = {""};

	ck_assert_ptr_null(store_open("sqlite", &(struct store_options){.clock = &clock_system}, &fault));
	ck_assert_ptr_nonnull(strstr(fault.text, "path"));
}
END_TEST

/* A child makes the file and is killed at its nth call that changes one. */
START_TEST(a_crash_at_any_moment_of_the_making_leaves_a_file_that_opens)
{
	bool over = false;

	for (int nth = 1; !over; nth++) {
		struct place p;
		struct draft d;
		pid_t pid;

		place_make(&p);
		pid = fork_child();
		if (pid == 0) {
			vfs_plan(VFS_ALL, nth, 0, 1);
			_exit(take_as_daemon(&p));
		}
		over = wait_child(pid) == 0;
		place_open(&p);
		draft_make(&p, &d);
		ck_status(ask_create(&p, &d).status, STORE_OK);
		place_end(&p);
		ck_assert_int_lt(nth, 500);
		ck_assert(nth > 10 || !over);
	}
}
END_TEST

/* The same with calls that fail: the start is refused in words, or succeeds. */
START_TEST(a_fault_at_any_moment_of_the_making_is_said_and_leaves_nothing)
{
	static const int codes[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
	bool over = false;

	for (int nth = 1; !over; nth++) {
		struct place p;
		struct fault fault;

		place_make(&p);
		vfs_plan(VFS_ALL, nth, codes[_i], 1000000);
		p.store = place_try(&p, 0, &fault);
		over = p.store && atomic_load(&faulty.hits) == 0;
		vfs_calm();
		if (!p.store) {
			ck_assert(strncmp(fault.text, p.path, strlen(p.path)) == 0);
			ck_assert_int_ne(access(p.path, F_OK), 0);
			place_open(&p);
		}
		place_end(&p);
		ck_assert_int_lt(nth, 500);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_sqlite_file");
	TCase *t = tcase_create("file");
	SRunner *runner;
	int failed;

	vfs_install();
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_database_of_another_program_is_refused);
	tcase_add_test(t, a_file_that_is_no_database_is_refused);
	tcase_add_test(t, a_database_of_a_newer_version_is_refused);
	tcase_add_test(t, a_newer_version_that_is_only_in_the_wal_is_seen);
	tcase_add_test(t, a_truncated_database_is_refused);
	tcase_add_test(t, a_garbage_page_in_the_middle_is_refused);
	tcase_add_test(t, a_database_of_ours_without_its_tables_is_refused);
	tcase_add_test(t, a_directory_that_is_missing_is_named);
	tcase_add_test(t, what_may_not_be_written_is_refused);
	tcase_add_test(t, a_read_only_file_system_is_named);
	tcase_add_test(t, a_disk_that_is_full_from_the_start_leaves_nothing);
	tcase_add_test(t, a_second_daemon_is_refused_until_the_first_is_gone);
	tcase_add_test(t, a_file_that_another_process_has_locked_is_refused);
	tcase_add_test(t, an_operator_may_look_while_the_store_runs);
	tcase_add_test(t, a_new_file_is_ours_and_not_for_everybody);
	tcase_add_test(t, an_empty_file_and_a_strange_name_are_taken);
	tcase_add_test(t, a_link_to_a_file_is_followed);
	tcase_add_test(t, a_path_is_required);
	tcase_add_test(t, a_crash_at_any_moment_of_the_making_leaves_a_file_that_opens);
	tcase_add_loop_test(t, a_fault_at_any_moment_of_the_making_is_said_and_leaves_nothing, 0, 2);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
