/*
 * sqlite_ops - the operations, each within the transaction of its batch
 *
 * What lives is asked of the ledger, what it is of the file. Rows that an
 * operator has deleted under the store are jobs that have ended.
 */
#include <string.h>

#include "sqlite.h"

static bool row_ended(const struct row *row)
{
	return row->view.state != JOB_SCHEDULED && row->view.state != JOB_RUNNING;
}

int sqlite_read_entry(struct sqlite *s, struct entry *e, struct row *out)
{
	int code = row_read(&s->statements, e->n, &s->arena, out);
	uint64_t number;

	if (code == SQLITE_ROW && (!job_id_parse(span_of(out->job_id), &number) || number != entry_number(e)))
		code = SQLITE_DONE;
	/* What an operator has done to it counts. */
	if (code == SQLITE_DONE || (code == SQLITE_ROW && row_ended(out)))
		ledger_end(&s->ledger, e);
	else if (code == SQLITE_ROW)
		ledger_revive(&s->ledger, e);
	return code;
}

/* Reads the job that an operation names. e is NULL when it is not found. */
static int find(struct sqlite *s, const struct op *op, struct row *row, struct entry **found)
{
	uint64_t number;
	struct entry *e;
	int code;

	*found = NULL;
	e = job_id_parse(span_of(op->id), &number) ? ledger_job(&s->ledger, number) : NULL;
	if (!e)
		return SQLITE_OK;
	code = sqlite_read_entry(s, e, row);
	if (code != SQLITE_ROW)
		return code == SQLITE_DONE ? SQLITE_OK : code;
	if (!op->tenant || strcmp(row->view.tenant, op->tenant) == 0)
		*found = e;
	return SQLITE_OK;
}

static struct standing standing(const struct sqlite *s, const struct row *row)
{
	return (struct standing){
	        .state = row->view.state,
	        .claim = row->claim,
	        /* one of an earlier process is nobody's: the file was its own */
	        .claim_live = row->claim_epoch == s->epoch && row->claim_until_us > s->now_us,
	};
}

/* ---- changes ---- */

static int change(struct sqlite *s, struct entry *e, enum job_state state, struct answer *a)
{
	sqlite3_stmt *st = statement(s, ST_CHANGE);
	struct job_view *v = &a->row.view;

	v->state = state;
	v->revision++;
	if (s->now_ms > v->updated_ms)
		v->updated_ms = s->now_ms;
	a->changed = true;
	sqlite3_bind_int64(st, 1, e->n);
	sqlite3_bind_int(st, 2, (int)state);
	sqlite3_bind_int64(st, 3, (int64_t)v->revision);
	sqlite3_bind_int64(st, 4, v->updated_ms);
	sqlite3_bind_int64(st, 5, (int64_t)a->row.claim);
	sqlite3_bind_int64(st, 6, a->row.claim_until_us);
	sqlite3_bind_int64(st, 7, a->row.claim_epoch);
	if (state == JOB_FAILED)
		statement_text(st, 8, v->failure);
	else
		sqlite3_bind_null(st, 8);
	if (state == JOB_COMPLETE)
		statement_bytes(st, 9, v->receipt);
	else
		sqlite3_bind_null(st, 9);
	if (row_ended(&a->row)) {
		ledger_end(&s->ledger, e);
		a->ended = e;
	}
	return statement_run(st);
}

static bool copy_into(struct sqlite *s, struct span from, struct span *out)
{
	char *copy = arena_take(&s->arena, from.len + 1);

	if (!copy)
		return false;
	if (from.len)
		memcpy(copy, from.ptr, from.len);
	copy[from.len] = '\0';
	*out = (struct span){copy, from.len};
	return true;
}

/* Those that were staged first stay. */
static int stage(struct sqlite *s, struct entry *e, struct span artifacts, struct row *row)
{
	sqlite3_stmt *st = statement(s, ST_STAGE);

	if (!artifacts.ptr || row->staged)
		return SQLITE_OK;
	if (!copy_into(s, artifacts, &row->view.artifacts))
		return SQLITE_NOMEM;
	sqlite3_bind_int64(st, 1, e->n);
	statement_bytes(st, 2, artifacts);
	return statement_run(st);
}

static int begin(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a)
{
	struct standing now = standing(s, &a->row);
	int code;

	a->status = rule_unclaimed(&now);
	if (a->status == STORE_OK && op->bytes.len > PIECE_MAX)
		a->status = STORE_FULL;
	if (a->status != STORE_OK)
		return SQLITE_OK;
	code = stage(s, e, op->bytes, &a->row);
	if (code != SQLITE_OK)
		return code;
	/* A revision never comes twice: it is the fencing token too. */
	a->claim = a->row.claim = a->row.view.revision + 1;
	a->row.claim_until_us = s->now_us + op->claim_ms * 1000;
	a->row.claim_epoch = s->epoch;
	return change(s, e, JOB_RUNNING, a);
}

static int release(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a)
{
	struct standing now = standing(s, &a->row);

	a->status = rule_held(&now, op->claim);
	return a->status == STORE_OK ? change(s, e, JOB_SCHEDULED, a) : SQLITE_OK;
}

static int finish(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a)
{
	struct standing now = standing(s, &a->row);

	a->status = rule_held(&now, op->claim);
	if (a->status == STORE_OK && op->bytes.len > PIECE_MAX)
		a->status = STORE_UNAVAILABLE;
	if (a->status != STORE_OK)
		return SQLITE_OK;
	if (!copy_into(s, op->bytes, &a->row.view.receipt))
		return SQLITE_NOMEM;
	return change(s, e, JOB_COMPLETE, a);
}

static int fail(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a)
{
	struct standing now = standing(s, &a->row);
	struct span reason;

	a->status = rule_fail(&now, op->claim);
	if (a->status != STORE_OK)
		return SQLITE_OK;
	if (!copy_into(s, op->bytes, &reason))
		return SQLITE_NOMEM;
	a->row.view.failure = reason.ptr;
	return change(s, e, JOB_FAILED, a);
}

static int cancel(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a)
{
	struct standing now = standing(s, &a->row);

	(void)op;
	a->status = rule_unclaimed(&now);
	return a->status == STORE_OK ? change(s, e, JOB_CANCELLED, a) : SQLITE_OK;
}

static int read_job(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a)
{
	(void)s, (void)op, (void)e;
	a->status = STORE_OK;
	return SQLITE_OK;
}

typedef int job_function(struct sqlite *s, const struct op *op, struct entry *e, struct answer *a);

static job_function *const functions[OP_KINDS] = {
        [OP_READ] = read_job, [OP_BEGIN] = begin, [OP_RELEASE] = release,
        [OP_FINISH] = finish, [OP_FAIL] = fail,   [OP_CANCEL] = cancel,
};

/* ---- the rest ---- */

static int trace(struct sqlite *s, const struct op *op, struct answer *a)
{
	struct entry *e = NULL;
	int64_t ms;
	uint32_t bits;
	int code;

	a->status = STORE_NOT_FOUND;
	if (trace_id_parse(span_of(op->id), &ms, &bits))
		e = ledger_trace(&s->ledger, ms, bits);
	if (!e)
		return SQLITE_OK;
	code = sqlite_read_entry(s, e, &a->row);
	if (code == SQLITE_ROW)
		a->status = STORE_OK;
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* A store that was lost has to show that it can write again. */
static int sweep(struct sqlite *s)
{
	sqlite3_stmt *st = statement(s, ST_PROBE);

	if (!s->lost)
		return SQLITE_OK;
	sqlite3_bind_int(st, 1, PROBE_BYTES);
	return statement_run(st);
}

static int delete_rows(struct sqlite *s, int64_t first, int64_t last)
{
	enum statement ways[] = {ST_DELETE, ST_DELETE_ARTIFACTS};
	int code = SQLITE_OK;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && code == SQLITE_OK; i++) {
		sqlite3_bind_int64(statement(s, ways[i]), 1, first);
		sqlite3_bind_int64(statement(s, ways[i]), 2, last);
		code = statement_run(statement(s, ways[i]));
	}
	return code;
}

/* Mostly they end in the order in which they came: a statement for each run. */
int sqlite_bury(struct sqlite *s, size_t max)
{
	size_t count = ledger_graves(&s->ledger), i = 0;
	int code = SQLITE_OK;

	if (count > max)
		count = max;
	while (i < count && code == SQLITE_OK) {
		int64_t first = ledger_grave(&s->ledger, i), last = first;

		while (++i < count && ledger_grave(&s->ledger, i) == last + 1)
			last++;
		code = delete_rows(s, first, last);
	}
	if (code == SQLITE_OK)
		s->buried = count;
	return code;
}

int sqlite_perform(struct sqlite *s, const struct op *op, struct answer *a)
{
	struct entry *e;
	int code;

	a->status = STORE_NOT_FOUND;
	switch (op->kind) {
	case OP_CREATE:
		return sqlite_create(s, op, a);
	case OP_TRACE:
		return trace(s, op, a);
	case OP_SWEEP:
		a->status = STORE_OK;
		return sweep(s);
	default:
		code = find(s, op, &a->row, &e);
		return code == SQLITE_OK && e ? functions[op->kind](s, op, e, a) : code;
	}
}
