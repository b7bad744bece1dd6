/*
 * sqlite_file - is that file ours, whole, and ours alone?
 *
 * Everything is looked at before anything is written, so that a file which is
 * refused is as it was. First without SQLite: its header, and a lock (flock)
 * against a second daemon. SQLite's own locks belong to the process and fall
 * when any descriptor of the file is closed, so ours is opened before and
 * closed after all of SQLite's. Then by a reading connection that checks every
 * page. Operators may read the file with sqlite3 meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite.h"

#define HEADER_BYTES    100
#define BUSY_OPENING_MS 2000
#define BUSY_MS         500
#define SLOW_MS         1000
#define SLOW_BYTES      (INT64_C(128) << 20)
#define CACHE_KIB       8192
#define WAL_KEPT_BYTES  (16 << 20)

static const char *const tails[] = {"-wal", "-shm", "-journal"};

/* The path with something behind it; NULL: no memory. The caller frees. */
static char *with_tail(const char *path, const char *tail)
{
	char *name = NULL;

	return asprintf(&name, "%s%s", path, tail) < 0 ? NULL : name;
}

static bool has_tail(const char *path, const char *tail)
{
	char *name = with_tail(path, tail);
	struct stat st;
	bool there = !name || (stat(name, &st) == 0 && st.st_size > 0);

	free(name);
	return there;
}

int dbfile_errno(sqlite3 *db, int code)
{
	switch (code & 0xff) {
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return db ? sqlite3_system_errno(db) : 0;
	default:
		return 0;
	}
}

int dbfile_fault(struct fault *fault, const char *path, sqlite3 *db, int code, const char *doing)
{
	int error = dbfile_errno(db, code);

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return fault_set(fault, "%s: is locked by another process", path);
	case SQLITE_FULL:
		return fault_set(fault, "%s: the disk is full (%s)", path, doing);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return fault_set(fault,
		                 "%s: is damaged (%s: %s); restore it from a copy, or move it away to begin with no "
		                 "jobs (\"sqlite3 FILE .recover\" may save some)",
		                 path, doing, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
	case SQLITE_NOMEM:
		return fault_set(fault, "%s: out of memory (%s)", path, doing);
	default:
		return fault_set(fault, "%s: %s (%s%s%s)", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(code), doing,
		                 error ? ": " : "", error ? strerror(error) : "");
	}
}

/* ---- before SQLite ---- */

static int open_there(struct dbfile *f, struct fault *fault)
{
	f->fd = open(f->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd >= 0 || errno == ENOENT)
		return 0;
	if (errno == EACCES || errno == EROFS || errno == EPERM)
		return fault_set(fault, "%s: cannot be written: %s", f->path, strerror(errno));
	return fault_set(fault, "%s: %s", f->path, strerror(errno));
}

static int open_new(struct dbfile *f, struct fault *fault)
{
	f->fd = open(f->path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0640);
	f->created = f->fd >= 0;
	if (f->fd >= 0)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return fault_set(fault, "%s: its directory does not exist", f->path);
	return fault_set(fault, "%s: cannot be made: %s", f->path, strerror(errno));
}

/* SQLite keeps the WAL beside it. */
static int check_directory(const struct dbfile *f, struct fault *fault)
{
	const char *slash = strrchr(f->path, '/');
	char *dir = slash ? strndup(f->path, (size_t)(slash - f->path) + 1) : strdup(".");
	int result = -1;

	if (!dir)
		fault_set(fault, "%s: out of memory", f->path);
	else if (access(dir, W_OK | X_OK) != 0)
		fault_set(fault, "%s: nothing can be written to its directory, where SQLite keeps the WAL: %s", f->path,
		          strerror(errno));
	else
		result = 0;
	free(dir);
	return result;
}

static int lock_file(struct dbfile *f, struct fault *fault)
{
	struct stat st;

	if (fstat(f->fd, &st) != 0)
		return fault_set(fault, "%s: %s", f->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fault_set(fault, "%s: is not a regular file", f->path);
	if (flock(f->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return fault_set(fault, "%s: is in use by another simlaned (one daemon a file)", f->path);
	return fault_set(fault, "%s: cannot be locked: %s", f->path, strerror(errno));
}

static uint32_t big_endian(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int check_numbers(const char *path, uint32_t application, int64_t version, int newest, struct fault *fault)
{
	if (application != SCHEMA_APPLICATION)
		return fault_set(fault, "%s: belongs to another program (SQLite application id %u)", path, application);
	if (version > newest)
		return fault_set(fault, "%s: was made by a newer simlane (version %lld of the file, %d known here)",
		                 path, (long long)version, newest);
	return 0;
}

/* A file that is there is empty or has our header. (One of zeros with a
 * journal beside it is what a crash left that came while the schema was made.) */
static int check_header(struct dbfile *f, int newest, struct fault *fault)
{
	static const unsigned char blank[HEADER_BYTES];
	unsigned char header[HEADER_BYTES];
	ssize_t got = pread(f->fd, header, sizeof(header), 0);

	if (got < 0)
		return fault_set(fault, "%s: %s", f->path, strerror(errno));
	f->empty = got == 0;
	if (f->empty)
		return 0;
	if (got == HEADER_BYTES && memcmp(header, blank, sizeof(blank)) == 0 && has_tail(f->path, "-journal")) {
		f->empty = true;
		return 0;
	}
	if (got < HEADER_BYTES || memcmp(header, "SQLite format 3", 16) != 0)
		return fault_set(fault, "%s: is not a SQLite database", f->path);
	return check_numbers(f->path, big_endian(header + 68), big_endian(header + 60), newest, fault);
}

int dbfile_claim(struct dbfile *f, const char *path, int newest_version, struct fault *fault)
{
	*f = (struct dbfile){.path = path, .fd = -1};
	if (open_there(f, fault) != 0 || (f->fd < 0 && open_new(f, fault) != 0))
		return -1;
	if (lock_file(f, fault) == 0 && check_directory(f, fault) == 0 && check_header(f, newest_version, fault) == 0)
		return 0;
	dbfile_release(f, f->created);
	return -1;
}

void dbfile_release(struct dbfile *f, bool drop)
{
	for (size_t i = 0; drop && i < sizeof(tails) / sizeof(tails[0]); i++) {
		char *name = with_tail(f->path, tails[i]);

		if (name)
			unlink(name);
		free(name);
	}
	if (drop)
		unlink(f->path);
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct dbfile){.path = f->path, .fd = -1};
}

/* ---- whether it is still there ---- */

int dbhome_note(struct dbhome *h, const char *path, struct fault *fault)
{
	static const char *const parts[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < 3; i++) {
		struct stat st;

		h->names[i] = with_tail(path, parts[i]);
		if (!h->names[i])
			return fault_set(fault, "%s: out of memory", path);
		if (stat(h->names[i], &st) != 0)
			return fault_set(fault, "%s: %s", h->names[i], strerror(errno));
		h->devices[i] = st.st_dev;
		h->inodes[i] = st.st_ino;
	}
	return 0;
}

void dbhome_free(struct dbhome *h)
{
	for (size_t i = 0; i < 3; i++)
		free(h->names[i]);
}

bool dbhome_holds(const struct dbhome *h)
{
	for (size_t i = 0; i < 3; i++) {
		struct stat st;

		if (stat(h->names[i], &st) != 0 || st.st_dev != h->devices[i] || st.st_ino != h->inodes[i])
			return false;
	}
	return true;
}

/* ---- a reading connection ---- */

/* file:PATH for SQLite, escaped. NULL: no memory. The caller frees. */
static char *uri_of(const char *path, bool immutable)
{
	static const char hex[] = "0123456789ABCDEF";
	char *uri = malloc(3 * strlen(path) + 32), *out = uri;

	if (!uri)
		return NULL;
	out += sprintf(out, path[0] == '/' ? "file://" : "file:");
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (c == '%' || c == '?' || c == '#') {
			*out++ = '%';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		} else {
			*out++ = (char)c;
		}
	}
	sprintf(out, immutable ? "?immutable=1" : "");
	return uri;
}

/* The first complaint of SQLite about any page. */
static int check_pages(sqlite3 *db, const char *path, struct fault *fault)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL), result = -1;
	const char *said;

	if (code == SQLITE_OK)
		code = sqlite3_step(st);
	said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	if (said && strcmp(said, "ok") == 0)
		result = 0;
	else if (said)
		fault_set(fault,
		          "%s: is damaged (%.200s); restore it from a copy, or move it away to begin with no jobs "
		          "(\"sqlite3 FILE .recover\" may save some)",
		          path, said);
	else
		dbfile_fault(fault, path, db, code == SQLITE_ROW ? SQLITE_NOMEM : code, "checking its pages");
	sqlite3_finalize(st);
	return result;
}

/* The header as SQLite sees it: with what is in the WAL. And the tables. */
static int check_schema(sqlite3 *db, const char *path, int newest, struct fault *fault)
{
	static const char *const looks[] = {"SELECT n, number, state FROM job LIMIT 0",
	                                    "SELECT n, shards FROM artifacts LIMIT 0"};
	int64_t application = 0, version = 0;
	int code;

	if (!schema_number(db, "PRAGMA application_id", &application, &code) ||
	    !schema_number(db, "PRAGMA user_version", &version, &code))
		return dbfile_fault(fault, path, db, code, "reading its version");
	if (check_numbers(path, (uint32_t)application, version, newest, fault) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		code = sqlite3_exec(db, looks[i], NULL, NULL, NULL);
		if (code != SQLITE_OK)
			return dbfile_fault(fault, path, db, (code & 0xff) == SQLITE_ERROR ? SQLITE_CORRUPT : code,
			                    "looking for its tables");
	}
	return 0;
}

static void harden(sqlite3 *db)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
}

int dbfile_check(struct dbfile *f, int newest_version, const struct clock *clock, struct log *log, struct fault *fault)
{
	/* Without a WAL nothing is written, not even beside it. A journal is
	 * rolled back by the writing connection; then there was no job yet. */
	bool journal = has_tail(f->path, "-journal"), wal = has_tail(f->path, "-wal");
	int64_t began_us = clock_mono_us(clock), took_ms;
	sqlite3 *db = NULL;
	struct stat st;
	char *uri;
	int code, result = -1;

	if (f->empty || journal)
		return 0;
	if (fstat(f->fd, &st) == 0 && st.st_size >= SLOW_BYTES)
		LOG(log, LOG_INFO, "store-check", LOG_STR("file", f->path), LOG_INT("bytes", st.st_size));
	uri = uri_of(f->path, !wal);
	code = uri ? sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL)
	           : SQLITE_NOMEM;
	if (code == SQLITE_OK) {
		harden(db);
		sqlite3_busy_timeout(db, BUSY_OPENING_MS);
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		if (check_pages(db, f->path, fault) == 0)
			result = check_schema(db, f->path, newest_version, fault);
	} else {
		dbfile_fault(fault, f->path, db, code, "opening it");
	}
	sqlite3_close(db);
	free(uri);
	f->checked = result == 0;
	took_ms = (clock_mono_us(clock) - began_us) / 1000;
	if (took_ms >= SLOW_MS)
		LOG(log, LOG_INFO, "store-checked", LOG_STR("file", f->path), LOG_INT("ms", took_ms));
	return result;
}

/* ---- the writing connection ---- */

/* journal_mode says in its answer what came of it. */
static int use_wal(sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &st, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		code = strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0 ? SQLITE_OK : SQLITE_CANTOPEN;
	sqlite3_finalize(st);
	return code;
}

static int configure(sqlite3 *db)
{
	char pragmas[256];
	int code = use_wal(db);

	snprintf(pragmas, sizeof(pragmas),
	         "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -%d;"
	         "PRAGMA journal_size_limit = %d; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
	         CACHE_KIB, WAL_KEPT_BYTES);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
	sqlite3_busy_timeout(db, BUSY_MS);
	return code;
}

sqlite3 *dbfile_connect(const struct dbfile *f, struct fault *fault)
{
	char *uri = uri_of(f->path, false);
	sqlite3 *db = NULL;
	int code = SQLITE_NOMEM;

	if (uri)
		code = sqlite3_open_v2(uri, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	free(uri);
	if (code == SQLITE_OK) {
		harden(db);
		sqlite3_busy_timeout(db, BUSY_OPENING_MS);
		/* The schema is made with a rollback journal, whole or not at
		 * all; the WAL comes after it. */
		if (f->empty)
			code = sqlite3_exec(db, "PRAGMA page_size = 4096; PRAGMA synchronous = FULL;", NULL, NULL,
			                    NULL);
		if (code == SQLITE_OK && f->empty && schema_migrate(db, f->path, schema_steps, schema_version, fault))
			goto fail;
		/* What had to be rolled back first is looked at now. */
		if (code == SQLITE_OK && !f->empty && !f->checked && check_pages(db, f->path, fault) != 0)
			goto fail;
		if (code == SQLITE_OK)
			code = configure(db);
	}
	if (code == SQLITE_OK)
		return db;
	dbfile_fault(fault, f->path, db, code, "opening it for writing");
fail:
	sqlite3_close(db);
	return NULL;
}
