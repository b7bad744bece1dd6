/*
 * sqlite_schema - the tables, and how an older file becomes one of today
 *
 * One table in the order of arrival, with no index but the order itself: see
 * sqlite_ledger.h for why. The columns that are read when the file is opened
 * come first. Artifacts have a table of their own, so that finishing a job
 * does not write them again. The view jobs is for people.
 */
#include <stdio.h>

#include "sqlite.h"

static const char version_1[] =
        "CREATE TABLE job ("
        " n INTEGER PRIMARY KEY,"
        " number INTEGER NOT NULL," /* the 48 bits of the job id */
        " trace_ms INTEGER NOT NULL,"
        " trace_bits INTEGER NOT NULL,"
        " expires_ms INTEGER NOT NULL,"
        " state INTEGER NOT NULL,"
        " key_digest BLOB,"
        " body_digest BLOB,"
        " revision INTEGER NOT NULL,"
        " created_ms INTEGER NOT NULL,"
        " updated_ms INTEGER NOT NULL,"
        " claim INTEGER NOT NULL,"          /* the newest one's token; 0: never begun */
        " claim_until_us INTEGER NOT NULL," /* on the monotonic clock of the process with that epoch */
        " claim_epoch INTEGER NOT NULL,"
        " goal_chars INTEGER NOT NULL,"
        " stepped_up INTEGER NOT NULL,"
        " policy_digest INTEGER NOT NULL," /* 64 bits, the same in two's complement */
        " advice INTEGER NOT NULL,"
        " tenant TEXT NOT NULL,"
        " policy_version TEXT NOT NULL,"
        " traceparent TEXT NOT NULL,"
        " failure TEXT,"
        " receipt BLOB,"
        " seed BLOB NOT NULL);"
        "CREATE TABLE artifacts (n INTEGER PRIMARY KEY, shards BLOB NOT NULL);"
        /* epoch: how often the store was opened; probe: written to see whether it can be */
        "CREATE TABLE meta (epoch INTEGER NOT NULL, probe BLOB);"
        "INSERT INTO meta VALUES (0, NULL);"
        "CREATE VIEW jobs AS SELECT"
        " printf('JOB-%012x', number) AS job_id,"
        " printf('LT-%d-%08x', trace_ms, trace_bits) AS trace_id,"
        " tenant,"
        " CASE state WHEN 0 THEN 'scheduled' WHEN 1 THEN 'running' WHEN 2 THEN 'complete' WHEN 3 THEN 'failed'"
        " WHEN 4 THEN 'cancelled' END AS state,"
        " strftime('%Y-%m-%dT%H:%M:%fZ', created_ms / 1000.0, 'unixepoch') AS created,"
        " strftime('%Y-%m-%dT%H:%M:%fZ', updated_ms / 1000.0, 'unixepoch') AS updated,"
        " strftime('%Y-%m-%dT%H:%M:%fZ', expires_ms / 1000.0, 'unixepoch') AS expires,"
        " revision, goal_chars, failure, stepped_up, policy_version,"
        " key_digest IS NOT NULL AS has_key,"
        " length(seed) AS seed_bytes,"
        " (SELECT length(shards) FROM artifacts WHERE artifacts.n = job.n) AS artifacts_bytes,"
        " length(receipt) AS receipt_bytes,"
        " traceparent"
        " FROM job;";

const struct schema_step schema_steps[] = {
        {version_1},
};

const int schema_version = sizeof(schema_steps) / sizeof(schema_steps[0]);

bool schema_number(sqlite3 *db, const char *sql, int64_t *out, int *code)
{
	sqlite3_stmt *st = NULL;

	*code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (*code == SQLITE_OK)
		*code = sqlite3_step(st);
	if (*code == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	else if (*code == SQLITE_DONE)
		*code = SQLITE_CORRUPT;
	sqlite3_finalize(st);
	return *code == SQLITE_ROW;
}

/* From version to version + 1, or nothing. */
static int step(sqlite3 *db, const struct schema_step *s, int version)
{
	char numbers[96];
	int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	snprintf(numbers, sizeof(numbers), "PRAGMA application_id = %d; PRAGMA user_version = %d;", SCHEMA_APPLICATION,
	         version + 1);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, s->sql, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, numbers, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	return code;
}

int schema_migrate(sqlite3 *db, const char *path, const struct schema_step *steps, int count, struct fault *fault)
{
	int64_t version = 0;
	int code;

	if (!schema_number(db, "PRAGMA user_version", &version, &code))
		return dbfile_fault(fault, path, db, code, "reading its version");
	for (; version < count; version++) {
		code = step(db, &steps[version], (int)version);
		if (code != SQLITE_OK) {
			char doing[64];

			snprintf(doing, sizeof(doing), "bringing it to version %d", (int)version + 1);
			dbfile_fault(fault, path, db, code, doing);
			if (!sqlite3_get_autocommit(db))
				sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return -1;
		}
	}
	return 0;
}
