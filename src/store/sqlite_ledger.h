/*
 * sqlite_ledger - which rows of the database hold living jobs
 *
 * Job numbers and key digests are random: an index of them in the file costs a
 * page written for each insert once it is large. So the file holds one table
 * in the order of arrival, to which is only appended, and everything that is
 * looked up at random is here, in memory, read from the file when it is
 * opened: about 110 bytes a job. What the ledger does not know does not live,
 * whatever rows there are.
 *
 * A job whose time is over leaves with ledger_pop; its row is deleted later,
 * in steps: rows whose job is gone wait in a list.
 *
 * THREADS  one at a time: who opens the store, then the batcher's.
 */
#ifndef SIMLANE_SQLITE_LEDGER_H
#define SIMLANE_SQLITE_LEDGER_H

#include "memory_table.h"
#include "rules.h"
#include "simlane/crypto.h"

#define LEDGER_PARTS 64u /* of each table, so that no growth takes long */
#define ENTRY_ENDED  (UINT64_C(1) << 63)

struct entry {
	int64_t n;    /* its row; 0: superseded, waits for its time */
	uint64_t job; /* its number, and ENTRY_ENDED: complete, failed or cancelled */
	int64_t trace_ms, expires_ms;
	uint32_t trace_bits;
	uint32_t key_hash; /* 0: no key */
};

struct due {
	int64_t at_ms;
	struct entry *entry;
};

struct ledger {
	struct table jobs[LEDGER_PARTS], traces[LEDGER_PARTS], keys[LEDGER_PARTS];
	struct due *heap; /* the earliest first */
	size_t heap_len, heap_cap;
	int64_t *gone; /* rows to be deleted: from gone_head to gone_len */
	size_t gone_head, gone_len, gone_cap;
	int64_t unfinished;
	uint64_t salt;
};

void ledger_init(struct ledger *l);
void ledger_free(struct ledger *l);

/* NULL: none lives. */
struct entry *ledger_job(const struct ledger *l, uint64_t job);
struct entry *ledger_trace(const struct ledger *l, int64_t ms, uint32_t bits);

/* The entries of a key are told apart by their rows: same(entry, ctx) looks. */
typedef bool ledger_same(const void *entry, const void *ctx);
struct entry *ledger_key(const struct ledger *l, const uint8_t *digest, ledger_same *same, const void *ctx);

/* A new one, found from now on and counted when it has not ended; it comes due
 * only after ledger_settle. digest NULL: no key. NULL: no memory. */
struct entry *ledger_add(struct ledger *l, const struct job_ids *ids, int64_t n, int64_t expires_ms,
                         const uint8_t *digest, bool ended);
void ledger_settle(struct ledger *l, struct entry *e);    /* room is there for each that was added */
void ledger_supersede(struct ledger *l, struct entry *e); /* found no more; its row is gone */
void ledger_undo(struct ledger *l, struct entry *e);      /* one that was added, not settled */

static inline bool entry_ended(const struct entry *e)
{
	return e->job & ENTRY_ENDED;
}

static inline uint64_t entry_number(const struct entry *e)
{
	return e->job & ~ENTRY_ENDED;
}

void ledger_end(struct ledger *l, struct entry *e);    /* the job has ended */
void ledger_revive(struct ledger *l, struct entry *e); /* it has not, after all */

#define LEDGER_NO_JOB UINT64_MAX

/* Takes out one whose time is over (its number, or LEDGER_NO_JOB for one that
 * was superseded); its row is gone from now on. False: there is none. */
bool ledger_pop(struct ledger *l, int64_t now_ms, uint64_t *job);

/* That row is to be deleted. No memory: it stays until the file is opened again. */
void ledger_bury(struct ledger *l, int64_t n);
size_t ledger_graves(const struct ledger *l);
int64_t ledger_grave(const struct ledger *l, size_t i); /* from 0 */
void ledger_buried(struct ledger *l, size_t count);     /* the first ones are deleted */

#endif
