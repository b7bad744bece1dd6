/*
 * sys - the system calls of the inbox, where a test can make them fail
 *
 * Everything that the writer does to the disk goes through this table: the
 * real one calls the C library, a test's own fails the n-th call. Results and
 * errno are as the system's. Whoever uses it looks at every result.
 *
 * THREADS  any.
 */
#ifndef SIMLANE_INBOX_SYS_H
#define SIMLANE_INBOX_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct inbox_sys {
	int (*openat)(const struct inbox_sys *s, int dir_fd, const char *name, int flags, mode_t mode);
	int (*fstat)(const struct inbox_sys *s, int fd, struct stat *st);
	int (*fchmod)(const struct inbox_sys *s, int fd, mode_t mode);
	ssize_t (*read)(const struct inbox_sys *s, int fd, void *bytes, size_t len);
	ssize_t (*write)(const struct inbox_sys *s, int fd, const void *bytes, size_t len);
	int (*write_back)(const struct inbox_sys *s, int fd); /* begins to write the pages, waits for nothing */
	int (*fsync)(const struct inbox_sys *s, int fd);
	int (*close)(const struct inbox_sys *s, int fd);
	int (*rename)(const struct inbox_sys *s, int dir_fd, const char *from, const char *to, unsigned flags);
	int (*link)(const struct inbox_sys *s, int dir_fd, const char *from, const char *to);
	int (*unlink)(const struct inbox_sys *s, int dir_fd, const char *name);
	/* An open file description lock on the bytes, never waiting: 0, or -1
	 * with EAGAIN or EACCES when somebody else holds it. */
	int (*lock)(const struct inbox_sys *s, int fd, bool take, off_t start, off_t len);
};

extern const struct inbox_sys inbox_sys_real;

#endif
