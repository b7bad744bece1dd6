/* file.c - whole small files */
#include "simlane/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, const char *path, size_t max, struct buf *out, struct fault *fault)
{
	size_t before = out->len;
	for (;;) {
		if (!buf_reserve(out, 4096))
			return fault_set(fault, "%s: out of memory", path);
		ssize_t n = read(fd, out->ptr + out->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set(fault, "%s: %s", path, strerror(errno));
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		if (out->len - before > max)
			return fault_set(fault, "%s: larger than %zu bytes", path, max);
	}
}

int file_load(const char *path, size_t max, struct buf *out, struct fault *fault)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fault_set(fault, "%s: %s", path, strerror(errno));
	int result = -1;
	if (fstat(fd, &st) != 0)
		fault_set(fault, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		fault_set(fault, "%s: not a regular file", path);
	else
		result = read_all(fd, path, max, out, fault);
	close(fd);
	return result;
}

void file_stamp(const char *path, struct file_stamp *out)
{
	struct stat st;
	memset(out, 0, sizeof(*out));
	if (stat(path, &st) != 0)
		return;
	out->device = st.st_dev;
	out->inode = st.st_ino;
	out->size = st.st_size;
	out->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	out->ctime_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns;
}
