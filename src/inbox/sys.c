/* sys.c - the inbox's system calls as the C library has them */
#include "sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int real_openat(const struct inbox_sys *s, int dir_fd, const char *name, int flags, mode_t mode)
{
	(void)s;
	return openat(dir_fd, name, flags, mode);
}

static int real_fstat(const struct inbox_sys *s, int fd, struct stat *st)
{
	(void)s;
	return fstat(fd, st);
}

static int real_fchmod(const struct inbox_sys *s, int fd, mode_t mode)
{
	(void)s;
	return fchmod(fd, mode);
}

static ssize_t real_read(const struct inbox_sys *s, int fd, void *bytes, size_t len)
{
	(void)s;
	return read(fd, bytes, len);
}

static ssize_t real_write(const struct inbox_sys *s, int fd, const void *bytes, size_t len)
{
	(void)s;
	return write(fd, bytes, len);
}

static int real_write_back(const struct inbox_sys *s, int fd)
{
	(void)s;
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int real_fsync(const struct inbox_sys *s, int fd)
{
	(void)s;
	return fsync(fd);
}

static int real_close(const struct inbox_sys *s, int fd)
{
	(void)s;
	return close(fd);
}

static int real_rename(const struct inbox_sys *s, int dir_fd, const char *from, const char *to, unsigned flags)
{
	(void)s;
	return flags ? renameat2(dir_fd, from, dir_fd, to, flags) : renameat(dir_fd, from, dir_fd, to);
}

static int real_link(const struct inbox_sys *s, int dir_fd, const char *from, const char *to)
{
	(void)s;
	return linkat(dir_fd, from, dir_fd, to, 0);
}

static int real_unlink(const struct inbox_sys *s, int dir_fd, const char *name)
{
	(void)s;
	return unlinkat(dir_fd, name, 0);
}

static int real_lock(const struct inbox_sys *s, int fd, bool take, off_t start, off_t len)
{
	(void)s;
	struct flock range = {
	        .l_type = take ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len, .l_pid = 0};
	return fcntl(fd, F_OFD_SETLK, &range);
}

const struct inbox_sys inbox_sys_real = {
        .openat = real_openat,
        .fstat = real_fstat,
        .fchmod = real_fchmod,
        .read = real_read,
        .write = real_write,
        .write_back = real_write_back,
        .fsync = real_fsync,
        .close = real_close,
        .rename = real_rename,
        .link = real_link,
        .unlink = real_unlink,
        .lock = real_lock,
};
