/*
 * sqlite_create - the key, the ids, the limits, and then the row
 *
 * The ledger finds an entry by a hash of the key; the row says whether it is
 * that key.
 */
#include <string.h>

#include "sqlite.h"

/* Asked of entries whose key has the same hash. */
struct key_question {
	struct sqlite *s;
	const struct store_create *c;
	bool *same_body;
	int *code;
};

static bool same_key(const void *item, const void *ctx)
{
	const struct entry *e = item;
	const struct key_question *q = ctx;
	sqlite3_stmt *st = statement(q->s, ST_READ_KEY);
	bool same = false;
	int code;

	sqlite3_bind_int64(st, 1, e->n);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW && sqlite3_column_bytes(st, 0) == DIGEST_BYTES &&
	    sqlite3_column_bytes(st, 1) == DIGEST_BYTES) {
		same = memcmp(sqlite3_column_blob(st, 0), q->c->key_digest, DIGEST_BYTES) == 0;
		*q->same_body = memcmp(sqlite3_column_blob(st, 1), q->c->body_digest, DIGEST_BYTES) == 0;
	} else if (code != SQLITE_ROW && code != SQLITE_DONE) {
		*q->code = code;
	}
	sqlite3_reset(st);
	return same;
}

/* STORE_OK: the key is free (or there is none). */
static int ask_key(struct sqlite *s, const struct store_create *c, struct answer *a)
{
	bool same_body = false;
	int code = SQLITE_OK;
	struct key_question q = {.s = s, .c = c, .same_body = &same_body, .code = &code};
	struct entry *e;

	a->status = STORE_OK;
	e = c->key_digest ? ledger_key(&s->ledger, c->key_digest, same_key, &q) : NULL;
	if (code != SQLITE_OK || !e)
		return code;
	if (!same_body) {
		a->status = STORE_MISMATCH;
		return SQLITE_OK;
	}
	a->status = STORE_REPLAYED;
	code = sqlite_read_entry(s, e, &a->row);
	if (code == SQLITE_DONE)
		return SQLITE_CORRUPT; /* it was there a moment ago, in this transaction */
	return code == SQLITE_ROW ? SQLITE_OK : code;
}

static void bind_new(sqlite3_stmt *st, const struct sqlite *s, const struct store_create *c, const struct job_ids *ids,
                     int64_t expires_ms)
{
	sqlite3_bind_int64(st, 1, s->next_n);
	sqlite3_bind_int64(st, 2, (int64_t)ids->job);
	sqlite3_bind_int64(st, 3, ids->trace_ms);
	sqlite3_bind_int64(st, 4, ids->trace_bits);
	sqlite3_bind_int64(st, 5, expires_ms);
	if (c->key_digest) {
		sqlite3_bind_blob(st, 6, c->key_digest, DIGEST_BYTES, SQLITE_STATIC);
		sqlite3_bind_blob(st, 7, c->body_digest, DIGEST_BYTES, SQLITE_STATIC);
	} else {
		sqlite3_bind_null(st, 6);
		sqlite3_bind_null(st, 7);
	}
	sqlite3_bind_int64(st, 8, s->now_ms);
	sqlite3_bind_int64(st, 9, c->goal_chars);
	sqlite3_bind_int(st, 10, c->stepped_up);
	sqlite3_bind_int64(st, 11, (int64_t)c->policy_digest);
	sqlite3_bind_int64(st, 12, (int64_t)c->advice);
	statement_text(st, 13, c->tenant);
	statement_text(st, 14, c->policy_version);
	statement_text(st, 15, c->traceparent);
	statement_bytes(st, 16, c->seed);
}

/* The view of a job that has just been made. False: no memory. */
static bool show_new(struct sqlite *s, const struct store_create *c, int64_t expires_ms, struct row *row)
{
	const char *texts[] = {c->tenant, c->policy_version, c->traceparent};
	const char **into[] = {&row->view.tenant, &row->view.policy_version, &row->view.traceparent};
	char *seed = c->seed.len ? arena_take(&s->arena, c->seed.len) : NULL;

	row->view = (struct job_view){
	        .job_id = row->job_id,
	        .trace_id = row->trace_id,
	        .revision = 1,
	        .created_ms = s->now_ms,
	        .updated_ms = s->now_ms,
	        .expires_ms = expires_ms,
	        .seed = {seed ? seed : "", c->seed.len},
	        .goal_chars = c->goal_chars,
	        .policy_digest = c->policy_digest,
	        .stepped_up = c->stepped_up,
	        .advice = c->advice,
	        .failure = "",
	};
	memcpy(row->job_id, c->job_id, strlen(c->job_id) + 1);
	memcpy(row->trace_id, c->trace_id, strlen(c->trace_id) + 1);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t size = strlen(texts[i]) + 1;
		char *copy = arena_take(&s->arena, size);

		if (!copy)
			return false;
		*into[i] = memcpy(copy, texts[i], size);
	}
	if (seed)
		memcpy(seed, c->seed.ptr, c->seed.len);
	return seed || c->seed.len == 0;
}

static int insert(struct sqlite *s, const struct store_create *c, const struct job_ids *ids, struct answer *a)
{
	sqlite3_stmt *st = statement(s, ST_INSERT);
	int64_t expires_ms = rule_expiry(s->now_ms, c->ttl_ms);
	int code;

	if (!show_new(s, c, expires_ms, &a->row)) {
		a->status = STORE_FULL;
		return SQLITE_OK;
	}
	a->added = ledger_add(&s->ledger, ids, s->next_n, expires_ms, c->key_digest, false);
	if (!a->added) {
		a->status = STORE_FULL;
		return SQLITE_OK;
	}
	bind_new(st, s, c, ids, expires_ms);
	code = statement_run(st);
	if (code == SQLITE_OK)
		s->next_n++;
	return code;
}

int sqlite_create(struct sqlite *s, const struct op *op, struct answer *a)
{
	const struct store_create *c = op->create;
	struct job_ids ids;
	int code = ask_key(s, c, a);

	if (code != SQLITE_OK || a->status != STORE_OK)
		return code;
	if (!rule_well_formed(c, &ids))
		a->status = STORE_UNAVAILABLE;
	else if (ledger_job(&s->ledger, ids.job) || ledger_trace(&s->ledger, ids.trace_ms, ids.trace_bits))
		a->status = STORE_EXISTS;
	else if (c->seed.len > PIECE_MAX || (s->engine.max_jobs > 0 && s->ledger.unfinished >= s->engine.max_jobs))
		a->status = STORE_FULL;
	else
		return insert(s, c, &ids, a);
	return SQLITE_OK;
}
