/*
 * dir - the inbox's directory: its name, its locks, its temporary names
 *
 * Everything below the directory is reached from one descriptor of it, with
 * O_NOFOLLOW. Beside the documents lie only
 *
 *   .lock.live        one byte, at a random place, is locked by each process
 *                     as long as it lives
 *   .lock.00 - .15    the traces' locks: the hash of a trace names a file and
 *                     a byte in it, so that two traces do not meet
 *   .tmp.<id>.<n>     temporary files; id is the maker's byte in .lock.live,
 *                     so anybody can tell whether the maker still lives
 *
 * All locks are open file description locks (fcntl(2), F_OFD_SETLK): they
 * hold between processes, between two inboxes of one process, and end with
 * the process however it ends. The files themselves are never removed.
 *
 * ERRORS   dir_open: -1 and a fault; the rest: 0 or an errno.
 * THREADS  dir_temp_name: any; dir_lock and dir_unlock_all: one.
 */
#ifndef SIMLANE_INBOX_DIR_H
#define SIMLANE_INBOX_DIR_H

#include <stdatomic.h>
#include <stdint.h>

#include "simlane/fault.h"
#include "sys.h"

#define DIR_SLOT_FILES 16
#define DIR_TEMP_SIZE  48 /* of a temporary name, with its NUL */
#define DIR_MODE       0750
#define FILE_MODE      0640

struct inbox_dir {
	const struct inbox_sys *sys;
	int fd;      /* the directory; -1: not open */
	int live_fd; /* .lock.live */
	int slot_fds[DIR_SLOT_FILES];
	bool slot_used[DIR_SLOT_FILES]; /* something is locked in it */
	uint64_t id;                    /* our byte in .lock.live */
	atomic_ullong next_temp;
};

/* Opens the directory and its locks; makes it, with its parents, when it is
 * missing; removes the temporary files of the dead. After a failure there is
 * nothing to close. */
int dir_open(struct inbox_dir *d, const char *path, const struct inbox_sys *sys, struct fault *fault);
void dir_close(struct inbox_dir *d);

void dir_temp_name(struct inbox_dir *d, char out[DIR_TEMP_SIZE]);

/* 0, EAGAIN (somebody else has it) or another errno. */
int dir_lock(struct inbox_dir *d, const char *trace_id);
void dir_unlock_all(struct inbox_dir *d);

#endif
