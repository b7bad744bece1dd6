/*
 * locks - one trace, one writer, between processes
 *
 * The hash of a trace names one of a fixed set of files, .lock.00 to .lock.03,
 * and a byte in it; that byte is locked while the trace is written. Two traces
 * do not meet (62 bits of SipHash), so who hangs holds up his own traces only.
 *
 * The locks are open file description locks (fcntl(2), F_OFD_SETLK): they hold
 * between processes and between two struct inbox_locks of one process, and
 * end with the process however it ends. The files are never removed. Nobody
 * ever waits for a lock, so their order cannot matter.
 *
 * ERRORS   locks_open: -1 and a fault; locks_take: an errno.
 * THREADS  one at a time.
 */
#ifndef SIMLANE_INBOX_LOCKS_H
#define SIMLANE_INBOX_LOCKS_H

#include "dir.h"

#define LOCK_FILES 4

struct inbox_locks {
	const struct inbox_sys *sys;
	int fds[LOCK_FILES];
	bool used[LOCK_FILES]; /* something is locked in it */
};

int locks_open(struct inbox_locks *l, const struct inbox_dir *d, struct fault *fault);
void locks_close(struct inbox_locks *l); /* one that is all zero is fine */

/* 0, EAGAIN (somebody else writes that trace) or another errno. */
int locks_take(struct inbox_locks *l, const char *trace_id);
void locks_release(struct inbox_locks *l); /* all */

#endif
