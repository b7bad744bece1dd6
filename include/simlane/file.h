/*
 * file - whole small files, and whether they have changed
 *
 * THREADS  any.
 */
#ifndef SIMLANE_FILE_H
#define SIMLANE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/fault.h"

/* Appends the whole file to out. -1: fault names the file and the reason; a
 * file of more than max bytes, or one that is not a regular file, is one. */
int file_load(const char *path, size_t max, struct buf *out, struct fault *fault);

/* What tells one version of a file from another. All zero: no such file. */
struct file_stamp {
	uint64_t device, inode;
	int64_t size, mtime_ns, ctime_ns;
};

void file_stamp(const char *path, struct file_stamp *out);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

#endif
