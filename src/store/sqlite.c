/*
 * sqlite - jobs in one file on this machine, in groups of one commit
 *
 * All that waits becomes one transaction; synchronous=FULL, so what is
 * answered is on the disk. A batch that fails is rolled back whole: each of its
 * changes fails once, and what only reads is asked again without them.
 *
 *   full disk           create, begin: STORE_FULL; the rest: UNAVAILABLE
 *   a failed COMMIT     UNAVAILABLE and unknown: the pages may reach the disk
 *   anything else       UNAVAILABLE, nothing was changed
 *
 * The connection stays open through all of this. SQLite writes the frames of a
 * commit that failed anew with the next one, so nothing ever rests on a second
 * fsync of the same pages; a fresh connection would take them as written.
 *
 * The WAL is copied into the file (a checkpoint) after a batch is answered,
 * not within it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends.h"
#include "sqlite.h"

static sqlite3_stmt *statement(struct sqlite *s, enum statement which)
{
	return s->statements.all[which];
}

/* ---- the store is lost, and comes back ---- */

static void describe(const struct sqlite *s, int code, char out[160])
{
	int error = dbfile_errno(s->db, code);

	if (code == SQLITE_READONLY_DBMOVED) {
		snprintf(out, 160, "the file was moved, removed or replaced");
		return;
	}
	snprintf(out, 160, "%s (%d)%s%s", sqlite3_errstr(code), code, error ? ": " : "", error ? strerror(error) : "");
}

static void note_lost(struct sqlite *s, int code)
{
	char reason[160];

	atomic_store(&s->engine.up, false);
	if (s->lost && s->lost_code == code)
		return;
	describe(s, code, reason);
	LOG(s->engine.log, LOG_ERROR, "store-lost", LOG_STR("store", "sqlite"), LOG_STR("reason", reason));
	s->lost = true;
	s->lost_code = code;
}

static void note_written(struct sqlite *s)
{
	atomic_store(&s->engine.up, true);
	if (!s->lost)
		return;
	s->lost = false;
	LOG(s->engine.log, LOG_WARN, "store-recovered", LOG_STR("store", "sqlite"));
}

/* ---- a batch ---- */

/* Jobs whose time is over are gone, whatever becomes of this batch. */
static void take_time(struct sqlite *s)
{
	uint64_t number;

	s->now_ms = clock_wall_ms(s->engine.clock);
	s->now_us = clock_mono_us(s->engine.clock);
	while (ledger_pop(&s->ledger, s->now_ms, &number)) {
		char job_id[JOB_ID_SIZE];

		job_id_format(number, job_id);
		watchers_lost(&s->engine.watchers, job_id);
	}
}

static int perform_all(struct sqlite *s, struct op **ops, size_t n, bool writes)
{
	size_t bury = 0;
	int code = SQLITE_OK;

	for (size_t i = 0; i < n && code == SQLITE_OK; i++) {
		code = sqlite_perform(s, ops[i], &s->answers[i]);
		ops[i]->now_ms = s->now_ms;
		if (ops[i]->kind == OP_SWEEP)
			bury = BURIED_A_SWEEP;
		else if (ops[i]->kind == OP_CREATE && bury < BURIED_A_BATCH)
			bury = BURIED_A_BATCH;
	}
	if (code == SQLITE_OK && writes)
		code = sqlite_bury(s, bury);
	return code;
}

/* The ledger as it was. The newest first: what was added may have ended. */
static void undo(struct sqlite *s, size_t n)
{
	while (n-- > 0) {
		struct answer *a = &s->answers[n];

		if (a->ended)
			ledger_revive(&s->ledger, a->ended);
		if (a->added) {
			if (a->added->n < s->next_n)
				s->next_n = a->added->n;
			ledger_undo(&s->ledger, a->added);
		}
	}
}

/* What is written to a file that has no name any more is lost with the process. */
static int check_place(struct sqlite *s)
{
	int moved = 0;
	int code = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);

	if (code == SQLITE_NOTFOUND)
		return SQLITE_OK;
	return moved ? SQLITE_READONLY_DBMOVED : code;
}

/* One transaction. SQLITE_OK: it is done. Otherwise nothing is, unless
 * *unknown is set. */
static int transact(struct sqlite *s, struct op **ops, size_t n, bool writes, bool *unknown)
{
	int code;

	*unknown = false;
	s->buried = 0;
	for (size_t i = 0; i < n; i++) {
		s->answers[i].claim = 0;
		s->answers[i].added = s->answers[i].ended = NULL;
		s->answers[i].changed = false;
	}
	code = writes ? check_place(s) : SQLITE_OK;
	if (code == SQLITE_OK)
		code = statement_run(statement(s, writes ? ST_BEGIN : ST_BEGIN_READ));
	if (code == SQLITE_OK)
		code = perform_all(s, ops, n, writes);
	if (code == SQLITE_OK) {
		code = statement_run(statement(s, ST_COMMIT));
		/* Full and busy are said before the last frame is written. */
		*unknown = code != SQLITE_OK && (code & 0xff) != SQLITE_FULL && (code & 0xff) != SQLITE_BUSY;
	}
	if (code == SQLITE_OK)
		return code;
	if (writes)
		note_lost(s, code);
	if (!sqlite3_get_autocommit(s->db))
		statement_run(statement(s, ST_ROLLBACK));
	undo(s, n);
	return code;
}

static void settle(struct sqlite *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->answers[i].added)
			ledger_settle(&s->ledger, s->answers[i].added);
	ledger_buried(&s->ledger, s->buried);
}

static void answer_all(struct sqlite *s, struct op **ops, size_t n)
{
	atomic_store(&s->engine.depth, s->ledger.unfinished);
	for (size_t i = 0; i < n; i++)
		if (s->answers[i].changed)
			engine_changed(&s->engine, s->answers[i].row.job_id, s->answers[i].row.view.revision);
	for (size_t i = 0; i < n; i++) {
		const struct answer *a = &s->answers[i];
		bool shown = ops[i]->kind != OP_SWEEP && rule_shows_job(a->status);

		int64_t busy_us = a->status == STORE_BUSY ? a->row.claim_until_us - s->now_us : 0;

		op_answer(ops[i], &(struct store_result){.status = a->status,
		                                         .claim = a->claim,
		                                         .busy_ms = (busy_us + 999) / 1000,
		                                         .job = shown ? &a->row.view : NULL});
	}
}

static bool writes(const struct sqlite *s, const struct op *op)
{
	return op_changes(op) || (op->kind == OP_SWEEP && (s->lost || ledger_graves(&s->ledger) > 0));
}

/* Answers the changes of a batch that failed; how many are left in ops. */
static size_t refuse_changes(struct op **ops, size_t n, int code, bool unknown)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		struct op *op = ops[i];

		if (!op_changes(op) && op->kind != OP_SWEEP)
			ops[left++] = op;
		else if ((code & 0xff) == SQLITE_FULL && (op->kind == OP_CREATE || op->kind == OP_BEGIN))
			op_answer_status(op, STORE_FULL);
		else
			op_answer_all_unavailable(&op, 1, unknown);
	}
	return left;
}

static void checkpoint(struct sqlite *s)
{
	char reason[160];
	int code;

	if (s->wal_pages < CHECKPOINT_PAGES)
		return;
	s->wal_pages = 0;
	code = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (code == SQLITE_BUSY)
		code = SQLITE_OK; /* an operator's, under way */
	if (code != SQLITE_OK && !s->checkpoint_lost) {
		describe(s, code, reason);
		LOG(s->engine.log, LOG_ERROR, "store-checkpoint", LOG_STR("store", "sqlite"),
		    LOG_STR("reason", reason));
	}
	s->checkpoint_lost = code != SQLITE_OK;
}

static void run(struct engine *e, struct op **ops, size_t n)
{
	struct sqlite *s = (struct sqlite *)e;
	bool any_write = false, swept = false, unknown;
	int code;

	take_time(s);
	for (size_t i = 0; i < n; i++) {
		any_write |= writes(s, ops[i]);
		swept |= ops[i]->kind == OP_SWEEP;
	}
	code = transact(s, ops, n, any_write, &unknown);
	if (code != SQLITE_OK && any_write) {
		atomic_store(&e->depth, s->ledger.unfinished);
		n = refuse_changes(ops, n, code, unknown);
		any_write = false;
		code = n > 0 ? transact(s, ops, n, false, &unknown) : SQLITE_OK;
	} else if (any_write) {
		note_written(s);
	}
	if (code == SQLITE_OK) {
		settle(s, n);
		answer_all(s, ops, n);
	} else {
		note_lost(s, code);
		op_answer_all_unavailable(ops, n, false);
	}
	arena_clear(&s->arena);
	checkpoint(s);
	/* The next step, unless others came first. */
	if (swept && !s->lost && ledger_graves(&s->ledger) > 0)
		engine_sweep(&e->store);
}

/* ---- open and close ---- */

static int wal_written(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)db, (void)name;
	((struct sqlite *)arg)->wal_pages = pages;
	return SQLITE_OK;
}

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
	code = load(s);
	if (code != SQLITE_OK)
		return dbfile_fault(fault, s->path, s->db, code, "reading the jobs");
	sqlite3_wal_hook(s->db, wal_written, s);
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
	s->engine.run = run;
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
