/*
 * sqlite - the SQLite store's own structures
 *
 * A batch is one transaction (sqlite_batch.c): performed (sqlite_ops.c),
 * committed, and only then settled in the ledger, told to watches and
 * answered. What an operation finds or makes is kept in its answer; texts and
 * bytes are copied into the arena, which ends with the batch.
 *
 * THREADS  whoever opens the store, then the batcher's thread alone, then
 *          whoever closes it. Other threads see what struct engine has.
 */
#ifndef SIMLANE_SQLITE_H
#define SIMLANE_SQLITE_H

#include <sqlite3.h>

#include "engine.h"
#include "simlane/ids.h"
#include "sqlite_ledger.h"

/* A larger piece of a job is refused before SQLite (10^9 bytes a row) would
 * fail the whole batch. */
#define PIECE_MAX (UINT32_C(256) << 20)

#define BURIED_A_BATCH   64u   /* rows deleted by a batch that has other things to do */
#define BURIED_A_SWEEP   512u  /* by one with a sweep: about a millisecond */
#define PROBE_BYTES      65536 /* what a store that was lost must be able to write */
#define CHECKPOINT_PAGES 1000

/* The file and those that SQLite keeps beside it, by name and by what they are. */
struct dbhome {
	char *names[3];
	uint64_t devices[3], inodes[3];
};

/* ---- memory of a batch (sqlite_arena.c) ---- */

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* the newest first */
};

void *arena_take(struct arena *a, size_t len); /* NULL: no memory; never for len 0 */
void arena_clear(struct arena *a);             /* keeps one chunk of the usual size */
void arena_free(struct arena *a);

/* ---- statements (sqlite_row.c) ---- */

enum statement {
	ST_BEGIN,
	ST_BEGIN_READ,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_INSERT,
	ST_READ,
	ST_READ_ARTIFACTS,
	ST_READ_KEY,
	ST_CHANGE,
	ST_STAGE,
	ST_DELETE,
	ST_DELETE_ARTIFACTS,
	ST_PROBE,
	STATEMENTS,
};

struct statements {
	sqlite3_stmt *all[STATEMENTS];
};

int statements_prepare(struct statements *st, sqlite3 *db); /* an SQLite code */
void statements_free(struct statements *st);

void statement_text(sqlite3_stmt *st, int at, const char *text);   /* the caller's until it has run */
void statement_bytes(sqlite3_stmt *st, int at, struct span bytes); /* the same; an empty one is not absent */

/* Runs one that is bound and gives no row. SQLITE_OK, or what went wrong. */
int statement_run(sqlite3_stmt *st);

/* A job as it is in the file. */
struct row {
	struct job_view view; /* points to the texts below and into an arena */
	uint64_t claim;
	int64_t claim_until_us, claim_epoch;
	bool staged; /* artifacts are there */
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
};

/* SQLITE_ROW: read. SQLITE_DONE: there is no such row. Otherwise an error. */
int row_read(struct statements *st, int64_t n, struct arena *arena, struct row *out);

/* ---- the store ---- */

/* What an operation has come to, until its batch is committed. */
struct answer {
	enum store_status status;
	uint64_t claim;
	struct entry *added, *ended; /* for the case that it does not come to pass; NULL: neither */
	bool changed;                /* the job's watches are to be told */
	struct row row;
};

struct sqlite {
	struct engine engine; /* the first member */
	char *path;
	struct dbhome home;
	int lock_fd; /* of the file itself: opened before SQLite, closed after it */
	sqlite3 *db;
	struct statements statements;
	struct ledger ledger;
	int64_t next_n, epoch;
	int64_t now_ms, now_us; /* of this batch */
	int wal_pages;          /* when it was last written to */
	size_t buried;          /* rows deleted by this batch */
	struct arena arena;
	struct answer answers[ENGINE_BATCH_MAX];
	bool lost;            /* the last writing batch failed, for this reason: */
	int lost_code;        /* an SQLite code */
	bool checkpoint_lost; /* and the last checkpoint */
};

static inline sqlite3_stmt *statement(const struct sqlite *s, enum statement which)
{
	return s->statements.all[which];
}

/* The row of an entry: SQLITE_ROW, SQLITE_DONE (it is not there any more) or an error. */
int sqlite_read_entry(struct sqlite *s, struct entry *e, struct row *out);

int sqlite_create(struct sqlite *s, const struct op *op, struct answer *a); /* as sqlite_perform */

/* Does one operation within the transaction under way. SQLITE_OK, or the code
 * that fails the batch. */
int sqlite_perform(struct sqlite *s, const struct op *op, struct answer *a);

/* The function that the engine calls (sqlite_batch.c). */
void sqlite_run(struct engine *e, struct op **ops, size_t n);
int sqlite_wal_written(void *arg, sqlite3 *db, const char *name, int pages); /* a hook of SQLite's */

/* Deletes at most max rows of jobs that are gone. */
int sqlite_bury(struct sqlite *s, size_t max);

/* ---- the file (sqlite_file.c, sqlite_schema.c) ---- */

#define SCHEMA_APPLICATION 0x53696d4c /* "SimL" */

struct dbfile {
	const char *path;
	int fd;       /* -1: none; locked against other daemons */
	bool created; /* by us, a moment ago */
	bool empty;   /* nothing is in it */
	bool checked; /* all of it was read */
};

/* Opens and locks it and looks at its first bytes: nothing is written but that
 * a missing file is made, empty. 0, or -1 with a fault: the file is as it was. */
int dbfile_claim(struct dbfile *f, const char *path, int newest_version, struct fault *fault);
/* Reads all of it with SQLite, writing nothing. */
int dbfile_check(struct dbfile *f, int newest_version, const struct clock *clock, struct log *log, struct fault *fault);
/* Opens it for the store: WAL, synchronous=FULL. NULL with a fault. */
sqlite3 *dbfile_connect(const struct dbfile *f, struct fault *fault);
/* Notes what bears the names now: once the WAL is there. 0, or -1 with a fault. */
int dbhome_note(struct dbhome *h, const char *path, struct fault *fault);
void dbhome_free(struct dbhome *h);
/* The names still lead there: what is written will be found again. */
bool dbhome_holds(const struct dbhome *h);
/* Gives it back; drop: one that was created and came to nothing is removed. */
void dbfile_release(struct dbfile *f, bool drop);

/* What the system said when SQLite said code; 0: nothing to the point. */
int dbfile_errno(sqlite3 *db, int code);
/* The line for an operator when SQLite said code while doing that; always -1. */
int dbfile_fault(struct fault *fault, const char *path, sqlite3 *db, int code, const char *doing);

/* What brings a database from version i (its place in the table) to i + 1. */
struct schema_step {
	const char *sql;
};

extern const struct schema_step schema_steps[];
extern const int schema_version; /* how many steps there are */

/* Each step that is missing, in a transaction with the new version number. */
int schema_migrate(sqlite3 *db, const char *path, const struct schema_step *steps, int count, struct fault *fault);
/* Reads a number from a pragma or query; false with code set. */
bool schema_number(sqlite3 *db, const char *sql, int64_t *out, int *code);

#endif
