/*
 * sqlite - jobs in one file on this machine: opened, filled into the ledger, closed
 *
 * Looks before it writes (sqlite_file.c), brings the schema up
 * (sqlite_schema.c), and then leaves all to the batcher's thread
 * (sqlite_batch.c).
 */
#include <stdlib.h>
#include <string.h>

#include "backends.h"
#include "sqlite.h"

/* False: no memory. */
static bool load_row(struct sqlite *s, sqlite3_stmt *st)
{
	struct job_ids ids = {.job = (uint64_t)sqlite3_column_int64(st, 1),
	                      .trace_ms = sqlite3_column_int64(st, 2),
	                      .trace_bits = (uint32_t)sqlite3_column_int64(st, 3)};
	int64_t n = sqlite3_column_int64(st, 0), expires_ms = sqlite3_column_int64(st, 4);
	int state = sqlite3_column_int(st, 5);
	const uint8_t *key = sqlite3_column_bytes(st, 6) == DIGEST_BYTES ? sqlite3_column_blob(st, 6) : NULL;
	bool ended = state != JOB_SCHEDULED && state != JOB_RUNNING;
	struct entry *e;

	s->next_n = n + 1;
	if (expires_ms <= s->now_ms) {
		ledger_bury(&s->ledger, n);
		return true;
	}
	/* Of two with the same id the first had ended when the second was made. */
	e = ledger_job(&s->ledger, ids.job);
	if (e)
		ledger_supersede(&s->ledger, e);
	e = ledger_add(&s->ledger, &ids, n, expires_ms, key, ended);
	if (e)
		ledger_settle(&s->ledger, e);
	return e != NULL;
}

/* Fills the ledger from the file. An SQLite code. */
static int load(struct sqlite *s)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(s->db,
	                              "SELECT n, number, trace_ms, trace_bits, expires_ms, state, key_digest"
	                              " FROM job ORDER BY n",
	                              -1, &st, NULL);

	s->next_n = 1;
	if (code == SQLITE_OK)
		while ((code = sqlite3_step(st)) == SQLITE_ROW)
			if (!load_row(s, st)) {
				code = SQLITE_NOMEM;
				break;
			}
	sqlite3_finalize(st);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The first thing written to a file that was there: all claims of an earlier
 * process are void from now on. */
static int begin_epoch(struct sqlite *s)
{
	int64_t epoch = 0;
	int code = sqlite3_exec(s->db, "BEGIN IMMEDIATE; UPDATE meta SET epoch = epoch + 1, probe = NULL; COMMIT", NULL,
	                        NULL, NULL);

	if (code == SQLITE_OK)
		schema_number(s->db, "SELECT epoch FROM meta", &epoch, &code);
	s->epoch = epoch;
	return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int start(struct sqlite *s, struct fault *fault)
{
	int code;

	if (schema_migrate(s->db, s->path, schema_steps, schema_version, fault) != 0)
		return -1;
	code = statements_prepare(&s->statements, s->db);
	if (code != SQLITE_OK)
		return dbfile_fault(fault, s->path, s->db, code, "looking for its tables");
	code = begin_epoch(s);
	if (code != SQLITE_OK)
		return dbfile_fault(fault, s->path, s->db, code, "writing to it");
	/* What a commit that failed left in the WAL is on the disk after this. */
	code = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (code != SQLITE_OK && code != SQLITE_BUSY)
		return dbfile_fault(fault, s->path, s->db, code, "writing its WAL into it");
	if (dbhome_note(&s->home, s->path, fault) != 0)
		return -1;
	code = load(s);
	if (code != SQLITE_OK)
		return dbfile_fault(fault, s->path, s->db, code, "reading the jobs");
	sqlite3_wal_hook(s->db, sqlite_wal_written, s);
	return 0;
}

static void let_go(struct sqlite *s, bool drop)
{
	struct dbfile file = {.path = s->path, .fd = s->lock_fd, .created = drop};

	statements_free(&s->statements);
	sqlite3_close(s->db);
	dbfile_release(&file, drop);
	ledger_free(&s->ledger);
	arena_free(&s->arena);
	dbhome_free(&s->home);
	free(s->path);
	free(s);
}

static struct sqlite *sqlite_new(const struct store_options *options, struct fault *fault)
{
	struct sqlite *s = calloc(1, sizeof(*s));

	/* SQLite keeps the WAL beside the file that a link leads to. */
	if (s && options->sqlite_path)
		s->path = realpath(options->sqlite_path, NULL);
	if (s && options->sqlite_path && !s->path)
		s->path = strdup(options->sqlite_path);
	if (!s || !s->path) {
		fault_set(fault, "sqlite store: %s", options->sqlite_path ? "no memory" : "no path");
		free(s);
		return NULL;
	}
	s->lock_fd = -1;
	s->now_ms = clock_wall_ms(options->clock);
	ledger_init(&s->ledger);
	return s;
}

static struct store *sqlite_open(const struct store_options *options, struct fault *fault)
{
	struct sqlite *s = NULL;
	struct dbfile file;

	if (crypto_init() != 0) {
		fault_set(fault, "sqlite store: no random source");
		return NULL;
	}
	s = sqlite_new(options, fault);
	if (!s)
		return NULL;
	if (dbfile_claim(&file, s->path, schema_version, fault) != 0)
		goto fail;
	s->lock_fd = file.fd;
	if (dbfile_check(&file, schema_version, options->clock, options->log, fault) != 0)
		goto fail;
	s->db = dbfile_connect(&file, fault);
	if (!s->db || start(s, fault) != 0)
		goto fail;
	s->engine.run = sqlite_run;
	atomic_init(&s->engine.depth, s->ledger.unfinished);
	atomic_init(&s->engine.up, true);
	if (engine_start(&s->engine, &store_sqlite, options, fault) == 0)
		return &s->engine.store;
fail:
	let_go(s, file.created);
	return NULL;
}

static void sqlite_close(struct store *store)
{
	struct sqlite *s = (struct sqlite *)store;

	engine_stop(&s->engine);
	let_go(s, false);
}

const struct store_backend store_sqlite = {
        .name = "sqlite",
        .open = sqlite_open,
        .close = sqlite_close,
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
