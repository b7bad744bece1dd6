/*
 * dir - the inbox's directory: the way there, and temporary names
 *
 * Everything below the directory is reached from one descriptor of it, with
 * O_NOFOLLOW. Beside the documents lie only
 *
 *   .lock.live        one byte, at a random place, is locked by each inbox as
 *                     long as it lives
 *   .lock.00 - .03    the traces' locks (locks.h)
 *   .tmp.<id>.<n>     temporary files; id is the maker's byte in .lock.live,
 *                     so anybody can tell whether the maker still lives
 *
 * ERRORS   -1 and a fault.
 * THREADS  dir_temp_name: any; the rest: one.
 */
#ifndef SIMLANE_INBOX_DIR_H
#define SIMLANE_INBOX_DIR_H

#include <stdatomic.h>
#include <stdint.h>

#include "simlane/fault.h"
#include "sys.h"

#define DIR_TEMP_SIZE   48 /* of a temporary name, with its NUL */
#define DIR_MODE        0750
#define FILE_MODE       0640
#define DIR_OFFSET_MASK ((UINT64_C(1) << 62) - 1) /* a lock's byte: within off_t, its end too */

struct inbox_dir {
	const struct inbox_sys *sys;
	int fd;      /* the directory; -1: not open */
	int live_fd; /* .lock.live */
	uint64_t id; /* our byte in .lock.live */
	atomic_ullong next_temp;
};

/* Opens the directory and its locks; makes it, with its parents, when it is
 * missing; removes the temporary files of the dead. After a failure there is
 * nothing to close. */
int dir_open(struct inbox_dir *d, const char *path, const struct inbox_sys *sys, struct fault *fault);
void dir_close(struct inbox_dir *d);

void dir_temp_name(struct inbox_dir *d, char out[DIR_TEMP_SIZE]);

/* A lock's file, made when it is missing. */
int dir_open_lock(const struct inbox_dir *d, const char *name, struct fault *fault);

#endif
