/*
 * inbox_private - the inbox's own structs, for inbox.c and batch.c
 */
#ifndef SIMLANE_INBOX_PRIVATE_H
#define SIMLANE_INBOX_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "dir.h"
#include "document.h"
#include "file.h"
#include "locks.h"
#include "redact.h"
#include "simlane/batcher.h"
#include "simlane/inbox.h"
#include "simlane/timer.h"
#include "syncer.h"
#include "tuning.h"

/* One inbox_write under way; freed by write_finish. */
struct write {
	struct batch_item item; /* first: the batcher's handle */
	struct inbox *inbox;
	struct inbox_write request;
	inbox_done *done;
	void *arg;
	struct inbox_result result;
	enum inbox_status status; /* so far, while its batch runs */
	size_t arrival;           /* place in the batch */
	struct timer_entry timer; /* armed while it is put off */
	unsigned tries;           /* how often it has been put off */
	int64_t give_up_ms;       /* monotonic; set when it is put off first */
	char file[FILE_NAME_SIZE];
};

/* One trace of a batch: its writes are neighbours in inbox.sorted. */
struct target {
	struct write **writes;
	size_t n;
	struct inbox_file file;
	bool put_off; /* its lock was not to be had */
	bool ready;   /* written whole to the temporary file, or later published */
	int64_t bytes;
};

struct inbox {
	struct inbox_options options;
	struct inbox_tuning tuning;
	struct inbox_dir dir;
	struct batcher *batcher;
	struct timer *timer;
	struct syncer *syncer;

	/* the batcher's thread */
	struct inbox_locks locks;
	struct document document;
	struct redactor redactor;
	struct buf text; /* a document as read */
	struct write **sorted;
	struct target *targets;
	struct target **syncing;
	int *fds, *errors;
	int64_t now_ms; /* the batch's */

	atomic_ullong writes, batches, shards, corrupt, failures;

	pthread_mutex_t lock; /* guards the next three */
	pthread_cond_t all_done;
	size_t outstanding; /* writes not yet completed */
	bool closing;

	pthread_mutex_t check_lock; /* guards check_ms; held while the directory is probed */
	int64_t check_ms;           /* monotonic, of the last probe; 0: none */
	atomic_bool check_good;
};

/* Completes and frees the write. */
void write_finish(struct write *w, enum inbox_status status);

/* Tries again later, or completes it as unavailable. */
void write_put_off(struct write *w);

int batch_init(struct inbox *i); /* 0, or -1: no memory (batch_free what there is) */
void batch_free(struct inbox *i);
batcher_execute batch_run; /* ctx: the inbox */

#endif
