/* token_file - files of the key and token commands, read and put in place */
#include "token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void token_complain(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "simlane %s: ", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int read_all(int fd, size_t max, struct buf *out)
{
	for (;;) {
		if (!buf_reserve(out, 4096)) {
			errno = ENOMEM;
			return -1;
		}
		ssize_t n = read(fd, out->ptr + out->len, 4096);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -1;
		out->len += n > 0 ? (size_t)n : 0;
		if (out->len > max) {
			errno = EFBIG;
			return -1;
		}
	}
}

int token_file_read(const char *command, const char *path, size_t max, struct buf *out, mode_t *mode)
{
	bool from_stdin = strcmp(path, "-") == 0;
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	int result = -1;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (mode != NULL)
			*mode = S_ISREG(st.st_mode) ? st.st_mode & 07777 : 0;
		result = read_all(fd, max, out);
	}
	if (result != 0)
		token_complain(command, "%s: %s", from_stdin ? "standard input" : path, strerror(errno));
	if (fd >= 0 && !from_stdin)
		close(fd);
	return result;
}

static int write_all(int fd, struct span text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.ptr, text.len);

		if (n < 0 && errno != EINTR)
			return -1;
		text.ptr += n > 0 ? n : 0;
		text.len -= n > 0 ? (size_t)n : 0;
	}
	return fsync(fd);
}

/* The directory of a path, "." for a bare name; to be freed. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int open_directory(const char *path)
{
	char *directory = directory_of(path);
	int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(directory);
	return fd;
}

static int sync_directory(const char *path)
{
	int fd = open_directory(path);
	int result = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return result;
}

int token_file_create(const char *command, const char *path, mode_t mode, struct span text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		token_complain(command, "%s: %s", path,
		               errno == EEXIST ? "exists already and is not overwritten" : strerror(errno));
		return -1;
	}
	bool written = write_all(fd, text) == 0 && fchmod(fd, mode) == 0;
	written = close(fd) == 0 && written && sync_directory(path) == 0;
	if (written)
		return 0;
	token_complain(command, "%s: %s", path, strerror(errno));
	unlink(path);
	return -1;
}

/* The new file gets what the old one had. */
static int copy_ownership(int fd, const char *path, mode_t mode)
{
	struct stat old;

	if (stat(path, &old) != 0)
		return errno == ENOENT ? fchmod(fd, mode) : -1;
	if ((old.st_uid != geteuid() || old.st_gid != getegid()) && fchown(fd, old.st_uid, old.st_gid) != 0)
		return -1;
	return fchmod(fd, old.st_mode & 07777);
}

static int replace_through(const char *path, const char *temporary, mode_t mode, struct span text)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -1;
	bool written = write_all(fd, text) == 0 && copy_ownership(fd, path, mode) == 0;
	written = close(fd) == 0 && written && rename(temporary, path) == 0;
	if (!written) {
		int why = errno;

		unlink(temporary);
		errno = why;
		return -1;
	}
	return sync_directory(path);
}

int token_file_replace(const char *command, const char *path, mode_t mode, struct span text)
{
	char *target = realpath(path, NULL); /* through a symbolic link, not over it */
	char *temporary = NULL;
	int result = -1;

	if (target == NULL && errno == ENOENT)
		target = strdup(path);
	if (target != NULL && asprintf(&temporary, "%s.%ld.tmp", target, (long)getpid()) < 0)
		temporary = NULL;
	if (temporary != NULL)
		result = replace_through(target, temporary, mode, text);
	if (result != 0)
		token_complain(command, "%s: %s", path, strerror(errno));
	free(temporary);
	free(target);
	return result;
}

int token_file_lock(const char *command, const char *path)
{
	int fd = open_directory(path);

	if (fd >= 0 && flock(fd, LOCK_EX) == 0)
		return fd;
	token_complain(command, "%s: cannot lock its directory: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}
