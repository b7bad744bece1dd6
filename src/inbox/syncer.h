/*
 * syncer - many files to the disk at once
 *
 * fsync one after the other waits for the disk as often as there are files;
 * at the same time they share the journal's commit and the disk's flush. A
 * few threads that do nothing else run them together. (syncfs would be faster
 * still, but waits for everybody's data and tells older kernels' callers
 * nothing of an error.)
 *
 * ERRORS   each file has its own result; a failed fsync is never repeated.
 * THREADS  syncer_run: one at a time.
 */
#ifndef SIMLANE_INBOX_SYNCER_H
#define SIMLANE_INBOX_SYNCER_H

#include <stddef.h>

#include "sys.h"

struct syncer;

/* NULL: no memory. Fewer threads than asked for, or none, only make it slow. */
struct syncer *syncer_start(const struct inbox_sys *sys, unsigned threads);
void syncer_stop(struct syncer *s); /* NULL is fine */

/* Syncs every fd; errors[i] is 0 or an errno. Returns when all are done. */
void syncer_run(struct syncer *s, const int *fds, int *errors, size_t n);

#endif
