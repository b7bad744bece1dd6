/*
 * inbox - the dream inbox: one durable document a trace
 *
 * inbox_write merges shards into <dir>/<trace_id>.json and completes only when
 * the document is on the disk: temporary file, whole write, fsync, atomic
 * publish, fsync of the directory, in groups across traces by the batcher.
 *
 * The writer trusts nobody: it checks the scope memory.inbox.dreams.write and
 * the expiry of the claims itself, at the moment it writes, and asks the
 * authorize hook (revocation) then too.
 *
 * Locks between processes are bytes of a fixed set of files (.lock.NN, open file
 * description locks), found by a hash of the trace and never waited for: a
 * trace that cannot be locked is put off to a later batch, and given up after
 * three seconds.
 *
 * A write that fails leaves what was there: when the directory cannot be
 * synced after publishing, the earlier document (or none) is put back.
 *
 * COMPLETION  done(arg, result) exactly once, from the batcher's thread, a
 *             timer's, or before inbox_write returns. The request's pointers must stay
 *             valid until then.
 * THREADS     any.
 */
#ifndef SIMLANE_INBOX_H
#define SIMLANE_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/claims.h"
#include "simlane/clock.h"
#include "simlane/fault.h"
#include "simlane/log.h"
#include "simlane/span.h"

#define INBOX_MAX_SHARDS         4096
#define INBOX_MAX_DOCUMENT_BYTES (8 * 1024 * 1024)
#define INBOX_MAX_TAGS           20

struct inbox;
struct regex;

enum inbox_status {
	INBOX_OK,
	INBOX_EXPIRED,     /* the claims have ended: 401 */
	INBOX_REVOKED,     /* the authorize hook said no: 401 */
	INBOX_FORBIDDEN,   /* no scope memory.inbox.dreams.write: 403 */
	INBOX_TRACE_TAKEN, /* the document is another tenant's: 409 */
	INBOX_BAD_VERSION, /* a document of an unknown version: left alone, 503 */
	INBOX_TOO_LARGE,   /* the document would exceed 4096 shards or 8 MiB: 413 */
	INBOX_FULL,        /* ENOSPC, EDQUOT, EFBIG: 507 */
	INBOX_UNAVAILABLE, /* any other failure of the directory, or a full queue: 503 */
	INBOX_STATUSES,
};

const char *inbox_status_name(enum inbox_status s);

struct inbox_result {
	enum inbox_status status;
	const char *file;   /* "<trace_id>.json", the inbox's memory */
	int64_t bytes;      /* of the document as it stands on disk */
	int shards_written; /* new ones */
};

typedef void inbox_done(void *arg, const struct inbox_result *result);

struct inbox_options {
	const char *dir; /* made, with its parents, 0750, when missing */
	bool redact;
	const struct clock *clock;
	struct log *log;
	/* Asked at the moment of writing, on the batcher's thread, NULL for none:
	 * false means revoked. */
	bool (*authorize)(void *ctx, const struct claims *claims);
	void *authorize_ctx;
	size_t queue_max; /* writes waiting; 0: 4096 */
};

struct inbox_write {
	const struct claims *claims;
	const char *trace_id;                            /* trace_id_valid */
	struct span seed;                                /* JSON object, the whole seed: the snapshot is taken here */
	struct span shards;                              /* JSON array of objects, not empty */
	const struct regex *redact_email, *redact_phone; /* used with redact; valid until done */
};

/* Opens the directory, takes the locks' files, removes what a crash of ours
 * left (temporary files that no living process holds). NULL: fault says why. */
struct inbox *inbox_open(const struct inbox_options *options, struct fault *fault);

void inbox_write(struct inbox *i, const struct inbox_write *w, inbox_done *done, void *arg);

/* Can the directory be written? One small file, synced and removed; for
 * readiness, at most once a second, the last answer between. */
bool inbox_check(struct inbox *i);

struct inbox_stats {
	uint64_t writes, batches, shards, corrupt, failures;
	uint64_t waiting;
};
void inbox_stats(struct inbox *i, struct inbox_stats *out);

/* Writes what waits; what comes after that is refused, INBOX_UNAVAILABLE. For
 * a daemon whose store may still call back. */
void inbox_stop(struct inbox *i);
void inbox_close(struct inbox *i); /* stops it and frees it; NULL is fine */

#endif
