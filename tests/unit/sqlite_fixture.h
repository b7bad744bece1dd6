/*
 * sqlite_fixture.h - a directory, a clock and a store for the tests of the
 * SQLite store, and a file system under SQLite that fails when it is told to
 *
 * The file system ("VFS" in SQLite's words) is the system's own with a counter
 * before each call that changes a file: when the counter comes to its end the
 * call fails with a code, or the process ends as if by kill -9.
 */
#ifndef SIMLANE_TEST_SQLITE_FIXTURE_H
#define SIMLANE_TEST_SQLITE_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../src/store/sqlite.h"
#include "simlane/store.h"

#define UNUSED __attribute__((unused))

/* Children of these tests are daemons: they start threads. */
#ifdef __SANITIZE_THREAD__
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

/* ---- the file system ---- */

enum vfs_call {
	VFS_WRITE = 1,
	VFS_SYNC = 2,
	VFS_TRUNCATE = 4,
	VFS_DELETE = 8,
	VFS_OPEN = 16,
	VFS_ALL = 31,
	VFS_SYNC_FILE = 32 /* of the database itself, as a checkpoint does */
};

static struct {
	sqlite3_vfs vfs; /* registered as the default */
	sqlite3_vfs *real;
	atomic_uint calls;    /* which ones count: bits of enum vfs_call; 0: none */
	atomic_int countdown; /* at 0 it happens */
	atomic_int code;      /* what it returns then; 0: the process is killed */
	atomic_int times;     /* how often in a row */
	atomic_int hits;
} faulty;

struct faulty_file {
	sqlite3_file file; /* the first member */
	sqlite3_file *real;
	bool is_database;
};

/* SQLITE_OK, or what the call returns instead of doing anything. */
static int vfs_strike(enum vfs_call call)
{
	if (!(atomic_load(&faulty.calls) & call) || atomic_fetch_sub(&faulty.countdown, 1) > 1)
		return SQLITE_OK;
	if (atomic_load(&faulty.code) == 0) {
		kill(getpid(), SIGKILL);
		pause();
	}
	if (atomic_fetch_sub(&faulty.times, 1) <= 0)
		return SQLITE_OK;
	atomic_fetch_add(&faulty.hits, 1);
	return atomic_load(&faulty.code);
}

static sqlite3_file *real_file(sqlite3_file *f)
{
	return ((struct faulty_file *)f)->real;
}

static int f_close(sqlite3_file *f)
{
	return real_file(f)->pMethods->xClose(real_file(f));
}

static int f_read(sqlite3_file *f, void *into, int n, sqlite3_int64 at)
{
	return real_file(f)->pMethods->xRead(real_file(f), into, n, at);
}

static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	int code = vfs_strike(VFS_WRITE);

	return code ? code : real_file(f)->pMethods->xWrite(real_file(f), from, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int code = vfs_strike(VFS_TRUNCATE);

	return code ? code : real_file(f)->pMethods->xTruncate(real_file(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
	int code = vfs_strike(VFS_SYNC);

	if (code == SQLITE_OK && ((struct faulty_file *)f)->is_database)
		code = vfs_strike(VFS_SYNC_FILE);
	return code ? code : real_file(f)->pMethods->xSync(real_file(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_file(f)->pMethods->xFileSize(real_file(f), size);
}

static int f_lock(sqlite3_file *f, int level)
{
	return real_file(f)->pMethods->xLock(real_file(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
	return real_file(f)->pMethods->xUnlock(real_file(f), level);
}

static int f_reserved(sqlite3_file *f, int *out)
{
	return real_file(f)->pMethods->xCheckReservedLock(real_file(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return real_file(f)->pMethods->xFileControl(real_file(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return real_file(f)->pMethods->xSectorSize(real_file(f));
}

static int f_character(sqlite3_file *f)
{
	return real_file(f)->pMethods->xDeviceCharacteristics(real_file(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_file(f)->pMethods->xShmMap(real_file(f), page, size, extend, out);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_file(f)->pMethods->xShmLock(real_file(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
	real_file(f)->pMethods->xShmBarrier(real_file(f));
}

static int f_shm_unmap(sqlite3_file *f, int drop)
{
	return real_file(f)->pMethods->xShmUnmap(real_file(f), drop);
}

static const sqlite3_io_methods faulty_methods = {
        .iVersion = 2,
        .xClose = f_close,
        .xRead = f_read,
        .xWrite = f_write,
        .xTruncate = f_truncate,
        .xSync = f_sync,
        .xFileSize = f_size,
        .xLock = f_lock,
        .xUnlock = f_unlock,
        .xCheckReservedLock = f_reserved,
        .xFileControl = f_control,
        .xSectorSize = f_sector,
        .xDeviceCharacteristics = f_character,
        .xShmMap = f_shm_map,
        .xShmLock = f_shm_lock,
        .xShmBarrier = f_shm_barrier,
        .xShmUnmap = f_shm_unmap,
};

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct faulty_file *f = (struct faulty_file *)file;
	int code = vfs_strike(VFS_OPEN);

	(void)v;
	f->file.pMethods = NULL;
	f->real = (sqlite3_file *)(f + 1);
	f->is_database = flags & SQLITE_OPEN_MAIN_DB;
	if (code == SQLITE_OK)
		code = faulty.real->xOpen(faulty.real, name, f->real, flags, out);
	if (code == SQLITE_OK)
		f->file.pMethods = &faulty_methods;
	return code;
}

static int v_delete(sqlite3_vfs *v, const char *name, int sync)
{
	int code = vfs_strike(VFS_DELETE);

	(void)v;
	return code ? code : faulty.real->xDelete(faulty.real, name, sync);
}

static UNUSED void vfs_install(void)
{
	faulty.real = sqlite3_vfs_find(NULL);
	if (!faulty.real)
		abort();
	faulty.vfs = *faulty.real; /* what is not named below gets the real one's own pointer */
	faulty.vfs.zName = "faulty";
	faulty.vfs.szOsFile = (int)sizeof(struct faulty_file) + faulty.real->szOsFile;
	faulty.vfs.xOpen = v_open;
	faulty.vfs.xDelete = v_delete;
	if (sqlite3_vfs_register(&faulty.vfs, 1) != SQLITE_OK)
		abort();
}

/* The nth of those calls from now on, and the times - 1 after it. */
static UNUSED void vfs_plan(unsigned calls, int nth, int code, int times)
{
	atomic_store(&faulty.calls, 0);
	atomic_store(&faulty.countdown, nth);
	atomic_store(&faulty.code, code);
	atomic_store(&faulty.times, times);
	atomic_store(&faulty.hits, 0);
	atomic_store(&faulty.calls, calls);
}

static UNUSED void vfs_calm(void)
{
	atomic_store(&faulty.calls, 0);
}

/* ---- a directory, a clock, a store ---- */

struct place {
	char dir[64], path[96];
	struct clock clock; /* the test's own */
	struct log *log;
	FILE *said; /* what was logged */
	struct store *store;
	unsigned ids;
};

static _Atomic int64_t the_wall_ms, the_mono_us;

static int64_t own_wall_ms(const struct clock *c)
{
	(void)c;
	return atomic_load(&the_wall_ms);
}

static int64_t own_mono_us(const struct clock *c)
{
	(void)c;
	return atomic_load(&the_mono_us);
}

static UNUSED void pass_ms(int64_t ms)
{
	atomic_fetch_add(&the_wall_ms, ms);
	atomic_fetch_add(&the_mono_us, ms * 1000);
}

static UNUSED void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		continue;
}

static void place_in(struct place *p, const char *parent)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->dir, sizeof(p->dir), "%s/sqlite-test-XXXXXX", parent);
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/jobs.db", p->dir);
	p->clock = (struct clock){.wall_ms = own_wall_ms, .mono_us = own_mono_us};
	atomic_store(&the_wall_ms, INT64_C(1700000000000));
	atomic_store(&the_mono_us, INT64_C(5000000));
	p->said = tmpfile();
	ck_assert_ptr_nonnull(p->said);
	p->log = log_open(fileno(p->said), LOG_DEBUG, LOG_TEXT, &clock_system);
	ck_assert_ptr_nonnull(p->log);
}

static UNUSED void place_make(struct place *p)
{
	place_in(p, "/tmp");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static UNUSED void place_end(struct place *p)
{
	store_close(p->store);
	log_close(p->log);
	fclose(p->said);
	ck_assert_int_eq(nftw(p->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* How often that text is in the log by now. */
static UNUSED int place_said(struct place *p, const char *text)
{
	char line[2048];
	int count = 0;

	log_close(p->log); /* writes what waits */
	rewind(p->said);
	while (fgets(line, sizeof(line), p->said))
		count += strstr(line, text) != NULL;
	p->log = NULL;
	return count;
}

static struct store *place_try(struct place *p, int64_t max_jobs, struct fault *fault)
{
	fault->text[0] = '\0';
	return store_open("sqlite",
	                  &(struct store_options){
	                          .clock = &p->clock, .log = p->log, .max_jobs = max_jobs, .sqlite_path = p->path},
	                  fault);
}

static UNUSED void place_open(struct place *p)
{
	struct fault fault;

	p->store = place_try(p, 0, &fault);
	ck_assert_msg(p->store != NULL, "%s", fault.text);
}

static UNUSED void place_reopen(struct place *p)
{
	store_close(p->store);
	place_open(p);
}

/* ---- operations, waited for ---- */

struct reply {
	enum store_status status;
	bool unknown, has_job;
	uint64_t claim, revision;
	enum job_state state;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
	char seed[256], artifacts[256], receipt[256], failure[80];
	pthread_mutex_t lock;
	pthread_cond_t came;
	int calls;
};

static void keep(char out[256], struct span s)
{
	ck_assert_uint_lt(s.len, 256);
	if (s.len)
		memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
}

static void reply_done(void *arg, const struct store_result *r)
{
	struct reply *a = arg;

	pthread_mutex_lock(&a->lock);
	a->status = r->status;
	a->unknown = r->unknown;
	a->claim = r->claim;
	a->has_job = r->job != NULL;
	if (r->job) {
		strcpy(a->job_id, r->job->job_id);
		strcpy(a->trace_id, r->job->trace_id);
		a->state = r->job->state;
		a->revision = r->job->revision;
		keep(a->seed, r->job->seed);
		keep(a->artifacts, r->job->artifacts);
		keep(a->receipt, r->job->receipt);
		strcpy(a->failure, r->job->failure);
	}
	a->calls++;
	pthread_cond_signal(&a->came);
	pthread_mutex_unlock(&a->lock);
}

static void reply_init(struct reply *a)
{
	memset(a, 0, sizeof(*a));
	ck_assert_int_eq(pthread_mutex_init(&a->lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&a->came, NULL), 0);
}

static void reply_wait(struct reply *a)
{
	pthread_mutex_lock(&a->lock);
	while (!a->calls)
		pthread_cond_wait(&a->came, &a->lock);
	ck_assert_int_eq(a->calls, 1);
	pthread_mutex_unlock(&a->lock);
	pthread_cond_destroy(&a->came);
	pthread_mutex_destroy(&a->lock);
}

#define ASK(a_, call_)                                                                                                 \
	do {                                                                                                           \
		reply_init(a_);                                                                                        \
		call_;                                                                                                 \
		reply_wait(a_);                                                                                        \
	} while (0)

struct draft {
	struct store_create c;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
	uint8_t key[DIGEST_BYTES], body[DIGEST_BYTES];
};

static void draft_number(struct draft *d, unsigned n)
{
	memset(d, 0, sizeof(*d));
	job_id_format(n * UINT64_C(0x9e3779b97f4a7c15) >> 16, d->job_id);
	trace_id_format(atomic_load(&the_wall_ms), n, d->trace_id);
	d->c = (struct store_create){.job_id = d->job_id,
	                             .trace_id = d->trace_id,
	                             .tenant = "default",
	                             .seed = span_of("{\"goal\":\"g\"}"),
	                             .goal_chars = 1,
	                             .policy_version = "v1",
	                             .traceparent = "",
	                             .ttl_ms = 60000};
}

static UNUSED void draft_make(struct place *p, struct draft *d)
{
	draft_number(d, ++p->ids);
}

static UNUSED void draft_key(struct draft *d, unsigned key, unsigned body)
{
	memcpy(d->key, &key, sizeof(key));
	memcpy(d->body, &body, sizeof(body));
	d->c.key_digest = d->key;
	d->c.body_digest = d->body;
}

static UNUSED struct reply ask_create(struct place *p, const struct draft *d)
{
	struct reply a;

	ASK(&a, store_create(p->store, &d->c, reply_done, &a));
	return a;
}

static UNUSED struct reply ask_read(struct place *p, const char *job_id)
{
	struct reply a;

	ASK(&a, store_read(p->store, "default", job_id, reply_done, &a));
	return a;
}

static UNUSED struct reply ask_begin(struct place *p, const char *job_id, int64_t claim_ms)
{
	struct reply a;

	ASK(&a, store_begin(p->store, "default", job_id, span_of("[{\"index\":0}]"), claim_ms, reply_done, &a));
	return a;
}

static UNUSED struct reply ask_release(struct place *p, const char *job_id, uint64_t claim)
{
	struct reply a;

	ASK(&a, store_release(p->store, "default", job_id, claim, reply_done, &a));
	return a;
}

static UNUSED struct reply ask_finish(struct place *p, const char *job_id, uint64_t claim)
{
	struct reply a;

	ASK(&a, store_finish(p->store, "default", job_id, claim, span_of("{\"file\":\"f\"}"), reply_done, &a));
	return a;
}

static UNUSED struct reply ask_cancel(struct place *p, const char *job_id)
{
	struct reply a;

	ASK(&a, store_cancel(p->store, "default", job_id, reply_done, &a));
	return a;
}

static UNUSED struct reply ask_fail(struct place *p, const char *job_id, const char *reason)
{
	struct reply a;

	ASK(&a, store_fail(p->store, "default", job_id, 0, reason, reply_done, &a));
	return a;
}

/* When this ends, the sweep has been made. */
static UNUSED void sweep_now(struct place *p)
{
	store_sweep(p->store);
	ask_read(p, "JOB-ffffffffffff");
}

#define ck_status(got_, want_) ck_assert_str_eq(store_status_name(got_), store_status_name(want_))

/* ---- looking at the file from outside ---- */

/* The first column of the first row as text; "" when there is none. */
static UNUSED const char *sql(const char *path, const char *text, char out[256])
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int code;

	out[0] = '\0';
	ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 2000);
	while (*text) {
		ck_assert_msg(sqlite3_prepare_v2(db, text, -1, &st, &text) == SQLITE_OK, "%s: %s", text,
		              sqlite3_errmsg(db));
		if (!st)
			break;
		code = sqlite3_step(st);
		if (code == SQLITE_ROW && sqlite3_column_text(st, 0) && !out[0])
			snprintf(out, 256, "%s", (const char *)sqlite3_column_text(st, 0));
		ck_assert_msg(code == SQLITE_ROW || code == SQLITE_DONE, "%s: %s", sqlite3_sql(st), sqlite3_errmsg(db));
		while (code == SQLITE_ROW)
			code = sqlite3_step(st);
		sqlite3_finalize(st);
		while (*text == ' ' || *text == ';')
			text++;
	}
	sqlite3_close(db);
	return out;
}

/* A child that dies with the test. */
static UNUSED pid_t fork_child(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Its exit code; -1: it was killed. */
static UNUSED int wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
