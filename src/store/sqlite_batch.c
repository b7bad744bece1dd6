/*
 * sqlite_batch - all that waits becomes one transaction
 *
 * synchronous=FULL, so what is answered is on the disk. A batch that fails is
 * rolled back whole: each of its changes fails once, and what only reads is
 * asked again without them.
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
#include <stdio.h>
#include <string.h>

#include "sqlite.h"

/* ---- the store is lost, and comes back ---- */

static void describe(const struct sqlite *s, int code, char out[160])
{
	int error = dbfile_errno(s->db, code);

	if (code == SQLITE_READONLY_DBMOVED) {
		snprintf(out, 160, "the file, its -wal or its -shm was moved, removed or replaced");
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

int sqlite_wal_written(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)db, (void)name;
	((struct sqlite *)arg)->wal_pages = pages;
	return SQLITE_OK;
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

		if (number == LEDGER_NO_JOB)
			continue;
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

/* Somebody else has put rows into it. */
static void find_next_n(struct sqlite *s)
{
	int code;

	schema_number(s->db, "SELECT coalesce(max(n), 0) + 1 FROM job", &s->next_n, &code);
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
	/* What is written to files that have lost their names nobody finds again. */
	code = writes && !dbhome_holds(&s->home) ? SQLITE_READONLY_DBMOVED : SQLITE_OK;
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
	if ((code & 0xff) == SQLITE_CONSTRAINT)
		find_next_n(s);
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

void sqlite_run(struct engine *e, struct op **ops, size_t n)
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
