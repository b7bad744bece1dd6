/* sqlite_row.c - the statements, kept prepared, and rows copied out of them */
#include <stdlib.h>
#include <string.h>

#include "sqlite.h"

/* clang-format off */
static const char *const texts[STATEMENTS] = {
        [ST_BEGIN] = "BEGIN IMMEDIATE",
        [ST_BEGIN_READ] = "BEGIN",
        [ST_COMMIT] = "COMMIT",
        [ST_ROLLBACK] = "ROLLBACK",
        [ST_INSERT] = ("INSERT INTO job (n, number, trace_ms, trace_bits, expires_ms, state, key_digest, body_digest,"
                       " revision, created_ms, updated_ms, claim, claim_until_us, claim_epoch, goal_chars, stepped_up,"
                       " policy_digest, advice, tenant, policy_version, traceparent, seed)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, 1, ?8, ?8, 0, 0, 0, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"
                       " ?16)"),
        [ST_READ] = ("SELECT number, trace_ms, trace_bits, expires_ms, state, revision, created_ms, updated_ms, claim,"
                     " claim_until_us, claim_epoch, goal_chars, stepped_up, policy_digest, advice, tenant,"
                     " policy_version, traceparent, failure, receipt, seed FROM job WHERE n = ?1"),
        [ST_READ_ARTIFACTS] = "SELECT shards FROM artifacts WHERE n = ?1",
        [ST_READ_KEY] = "SELECT key_digest, body_digest FROM job WHERE n = ?1",
        [ST_CHANGE] = ("UPDATE job SET state = ?2, revision = ?3, updated_ms = ?4, claim = ?5, claim_until_us = ?6,"
                       " claim_epoch = ?7, failure = ?8, receipt = ?9 WHERE n = ?1"),
        [ST_STAGE] = "INSERT OR REPLACE INTO artifacts (n, shards) VALUES (?1, ?2)",
        [ST_DELETE] = "DELETE FROM job WHERE n BETWEEN ?1 AND ?2",
        [ST_DELETE_ARTIFACTS] = "DELETE FROM artifacts WHERE n BETWEEN ?1 AND ?2",
        [ST_PROBE] = "UPDATE meta SET probe = randomblob(?1)",
};
/* clang-format on */

/* The columns of ST_READ. */
enum column {
	COL_NUMBER,
	COL_TRACE_MS,
	COL_TRACE_BITS,
	COL_EXPIRES_MS,
	COL_STATE,
	COL_REVISION,
	COL_CREATED_MS,
	COL_UPDATED_MS,
	COL_CLAIM,
	COL_CLAIM_UNTIL_US,
	COL_CLAIM_EPOCH,
	COL_GOAL_CHARS,
	COL_STEPPED_UP,
	COL_POLICY_DIGEST,
	COL_ADVICE,
	COL_TENANT,
	COL_POLICY_VERSION,
	COL_TRACEPARENT,
	COL_FAILURE,
	COL_RECEIPT,
	COL_SEED,
};

int statements_prepare(struct statements *st, sqlite3 *db)
{
	int code = SQLITE_OK;

	memset(st, 0, sizeof(*st));
	for (int i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &st->all[i], NULL);
	return code;
}

void statements_free(struct statements *st)
{
	for (int i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(st->all[i]);
		st->all[i] = NULL;
	}
}

int statement_run(sqlite3_stmt *st)
{
	int code = sqlite3_step(st);

	sqlite3_reset(st);
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

void statement_bytes(sqlite3_stmt *st, int at, struct span bytes)
{
	sqlite3_bind_blob64(st, at, bytes.len ? bytes.ptr : "", bytes.len, SQLITE_STATIC);
}

void statement_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

/* The bytes of a column; absent when it is NULL. False: no memory. */
static bool copy_bytes(sqlite3_stmt *st, int column, struct arena *arena, struct span *out)
{
	const void *bytes = sqlite3_column_blob(st, column);
	size_t len = (size_t)sqlite3_column_bytes(st, column);
	char *copy;

	*out = (struct span){NULL, 0};
	if (sqlite3_column_type(st, column) == SQLITE_NULL)
		return true;
	if (len == 0) {
		*out = (struct span){"", 0};
		return true;
	}
	copy = bytes ? arena_take(arena, len) : NULL;
	if (!copy)
		return false;
	memcpy(copy, bytes, len);
	*out = (struct span){copy, len};
	return true;
}

/* The same with a NUL at the end; "" when the column is NULL. */
static bool copy_text(sqlite3_stmt *st, int column, struct arena *arena, const char **out)
{
	const void *text = sqlite3_column_text(st, column);
	size_t len = (size_t)sqlite3_column_bytes(st, column);
	char *copy;

	*out = "";
	if (len == 0)
		return true;
	copy = text ? arena_take(arena, len + 1) : NULL;
	if (!copy)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*out = copy;
	return true;
}

static void read_numbers(sqlite3_stmt *st, struct row *out)
{
	struct job_view *v = &out->view;

	*v = (struct job_view){
	        .job_id = out->job_id,
	        .trace_id = out->trace_id,
	        .state = (enum job_state)sqlite3_column_int(st, COL_STATE),
	        .revision = (uint64_t)sqlite3_column_int64(st, COL_REVISION),
	        .created_ms = sqlite3_column_int64(st, COL_CREATED_MS),
	        .updated_ms = sqlite3_column_int64(st, COL_UPDATED_MS),
	        .expires_ms = sqlite3_column_int64(st, COL_EXPIRES_MS),
	        .goal_chars = (uint32_t)sqlite3_column_int64(st, COL_GOAL_CHARS),
	        .policy_digest = (uint64_t)sqlite3_column_int64(st, COL_POLICY_DIGEST),
	        .stepped_up = sqlite3_column_int(st, COL_STEPPED_UP) != 0,
	        .advice = (uint64_t)sqlite3_column_int64(st, COL_ADVICE),
	};
	job_id_format((uint64_t)sqlite3_column_int64(st, COL_NUMBER), out->job_id);
	trace_id_format(sqlite3_column_int64(st, COL_TRACE_MS), (uint32_t)sqlite3_column_int64(st, COL_TRACE_BITS),
	                out->trace_id);
	out->claim = (uint64_t)sqlite3_column_int64(st, COL_CLAIM);
	out->claim_until_us = sqlite3_column_int64(st, COL_CLAIM_UNTIL_US);
	out->claim_epoch = sqlite3_column_int64(st, COL_CLAIM_EPOCH);
}

static bool read_texts(sqlite3_stmt *st, struct arena *arena, struct job_view *v)
{
	return copy_text(st, COL_TENANT, arena, &v->tenant) &&
	       copy_text(st, COL_POLICY_VERSION, arena, &v->policy_version) &&
	       copy_text(st, COL_TRACEPARENT, arena, &v->traceparent) &&
	       copy_text(st, COL_FAILURE, arena, &v->failure) && copy_bytes(st, COL_RECEIPT, arena, &v->receipt) &&
	       copy_bytes(st, COL_SEED, arena, &v->seed);
}

static int read_artifacts(sqlite3_stmt *st, int64_t n, struct arena *arena, struct row *out)
{
	int code;

	out->staged = false;
	sqlite3_bind_int64(st, 1, n);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		out->staged = true;
		if (!copy_bytes(st, 0, arena, &out->view.artifacts))
			code = SQLITE_NOMEM;
	}
	sqlite3_reset(st);
	return code == SQLITE_DONE ? SQLITE_ROW : code;
}

int row_read(struct statements *st, int64_t n, struct arena *arena, struct row *out)
{
	sqlite3_stmt *read = st->all[ST_READ];
	int code;

	sqlite3_bind_int64(read, 1, n);
	code = sqlite3_step(read);
	if (code == SQLITE_ROW) {
		read_numbers(read, out);
		if ((unsigned)out->view.state >= JOB_STATES)
			code = SQLITE_CORRUPT;
		else if (!read_texts(read, arena, &out->view))
			code = SQLITE_NOMEM;
	}
	sqlite3_reset(read);
	/* A job that was never begun has none. */
	if (code == SQLITE_ROW && out->claim != 0)
		code = read_artifacts(st->all[ST_READ_ARTIFACTS], n, arena, out);
	else
		out->staged = false;
	return code;
}
