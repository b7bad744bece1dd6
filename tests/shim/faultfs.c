/*
 * faultfs - a disk that fails when it is told to (LD_PRELOAD)
 *
 *   SIMLANE_FAULT_DIR   only calls on this directory and the files in it count
 *                       (an absolute path without symbolic links); without it
 *                       nothing fails
 *   SIMLANE_FAULT       what is to happen, see below
 *   SIMLANE_FAULT_FILE  a file that holds the same, read at each call that
 *                       counts, so that a running daemon can be told; a
 *                       changed text starts to count anew, an empty or missing
 *                       file is no fault
 *   SIMLANE_FAULT_LOG   a file to which each fault that happened is appended,
 *                       one line: "<call> <n> <error>"
 *
 * A fault is written  call:nth:error[:count]
 *
 *   call   open write fsync chmod range rename link unlink read close lock, or any
 *   nth    the first call that fails, from 1
 *   error  EIO ENOSPC EDQUOT EROFS EACCES EMFILE EINTR EAGAIN EINVAL,
 *          SHORT (write: half of it is written),
 *          KILL (the process ends as if by kill -9, before the call),
 *          SLEEP (the call waits ten seconds, then goes on)
 *   count  how many calls in a row; 1 unless told, 0 for all that follow
 *
 * fsync stands for fdatasync too, rename for renameat and renameat2, lock for
 * fcntl with F_OFD_SETLK. A close that fails has closed. With a sanitizer put
 * the sanitizer's library first in LD_PRELOAD, or set
 * ASAN_OPTIONS=verify_asan_link_order=0.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHORT_WRITE -1
#define SLEEP_S     10

struct plan {
	char text[128]; /* as it was read: a change starts anew */
	char call[16], error[16];
	long nth, count;
	long seen; /* calls that counted */
};

static pthread_mutex_t plan_lock = PTHREAD_MUTEX_INITIALIZER; /* guards plan */
static struct plan plan;

static const struct {
	const char *name;
	int value;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS},   {"EACCES", EACCES},
              {"EMFILE", EMFILE}, {"EINTR", EINTR},   {"EAGAIN", EAGAIN}, {"EINVAL", EINVAL}, {"SHORT", SHORT_WRITE}};

/* ---- the plan ---- */

/* The text in force, by plain system calls: the functions are those below. */
static void read_plan(char *text, size_t size)
{
	const char *file = getenv("SIMLANE_FAULT_FILE"), *fixed = getenv("SIMLANE_FAULT");
	text[0] = '\0';
	if (!file) {
		if (fixed && strlen(fixed) < size)
			strcpy(text, fixed);
		return;
	}
	long fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	long n = syscall(SYS_read, (int)fd, text, size - 1);
	syscall(SYS_close, (int)fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static void load_plan(void)
{
	char text[sizeof(plan.text)];
	read_plan(text, sizeof(text));
	if (strcmp(text, plan.text) == 0)
		return;
	memset(&plan, 0, sizeof(plan));
	strcpy(plan.text, text);
	plan.count = 1;
	if (sscanf(text, "%15[a-z]:%ld:%15[A-Z]:%ld", plan.call, &plan.nth, plan.error, &plan.count) < 3)
		plan.nth = 0;
}

static void report(const char *call)
{
	char line[80];
	const char *file = getenv("SIMLANE_FAULT_LOG");
	if (!file)
		return;
	long fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	int n = snprintf(line, sizeof(line), "%s %ld %s\n", call, plan.seen, plan.error);
	if (fd < 0)
		return;
	syscall(SYS_write, (int)fd, line, (size_t)n);
	syscall(SYS_close, (int)fd);
}

static void act(const char *error)
{
	if (strcmp(error, "KILL") == 0) {
		raise(SIGKILL);
	} else if (strcmp(error, "SLEEP") == 0) {
		struct timespec wait = {SLEEP_S, 0};
		nanosleep(&wait, NULL);
	}
}

/* 0: go on; otherwise an errno or SHORT_WRITE. */
static int due(const char *call)
{
	char error[sizeof(plan.error)] = "";
	pthread_mutex_lock(&plan_lock);
	load_plan();
	if (plan.nth > 0 && (strcmp(plan.call, call) == 0 || strcmp(plan.call, "any") == 0)) {
		plan.seen++;
		if (plan.seen >= plan.nth && (plan.count == 0 || plan.seen < plan.nth + plan.count)) {
			strcpy(error, plan.error);
			report(call);
		}
	}
	pthread_mutex_unlock(&plan_lock);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(error, errors[i].name) == 0)
			return errors[i].value;
	act(error);
	return 0;
}

/* Does the descriptor name the directory or something in it? */
static bool counts(int fd)
{
	char link[64], path[1024];
	const char *dir = getenv("SIMLANE_FAULT_DIR");
	if (!dir || fd < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	long n = syscall(SYS_readlink, link, path, sizeof(path) - 1);
	size_t len = strlen(dir);
	if (n < (long)len)
		return false;
	path[n] = '\0';
	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* The error to fail with, 0 for none. */
static int fault(const char *call, int fd)
{
	int saved = errno;
	int error = counts(fd) ? due(call) : 0;
	errno = saved;
	return error;
}

/* ISO C has no cast from an object's pointer to a function's: through memory. */
#define NEXT(type, name)                                                                                               \
	__extension__({                                                                                                \
		void *found_ = dlsym(RTLD_NEXT, name);                                                                 \
		type *real_;                                                                                           \
		if (!found_)                                                                                           \
			abort();                                                                                       \
		memcpy(&real_, &found_, sizeof(real_));                                                                \
		real_;                                                                                                 \
	})

#define FAIL_IF(call, fd)                                                                                              \
	do {                                                                                                           \
		int error_ = fault(call, fd);                                                                          \
		if (error_ > 0) {                                                                                      \
			errno = error_;                                                                                \
			return -1;                                                                                     \
		}                                                                                                      \
	} while (0)

/* ---- the calls ---- */

typedef int openat_fn(int, const char *, int, ...);
typedef ssize_t write_fn(int, const void *, size_t);
typedef ssize_t read_fn(int, void *, size_t);
typedef int fd_fn(int);
typedef int chmod_fn(int, mode_t);
typedef int range_fn(int, off_t, off_t, unsigned);
typedef int renameat_fn(int, const char *, int, const char *);
typedef int renameat2_fn(int, const char *, int, const char *, unsigned);
typedef int linkat_fn(int, const char *, int, const char *, int);
typedef int unlinkat_fn(int, const char *, int);
typedef int fcntl_fn(int, int, ...);

int openat(int dir_fd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
		va_list args;
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	FAIL_IF("open", dir_fd);
	return NEXT(openat_fn, "openat")(dir_fd, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	int error = fault("write", fd);
	if (error > 0) {
		errno = error;
		return -1;
	}
	return NEXT(write_fn, "write")(fd, bytes, error == SHORT_WRITE ? len / 2 : len);
}

ssize_t read(int fd, void *bytes, size_t len)
{
	FAIL_IF("read", fd);
	return NEXT(read_fn, "read")(fd, bytes, len);
}

int fsync(int fd)
{
	FAIL_IF("fsync", fd);
	return NEXT(fd_fn, "fsync")(fd);
}

int fdatasync(int fd)
{
	FAIL_IF("fsync", fd);
	return NEXT(fd_fn, "fdatasync")(fd);
}

int close(int fd)
{
	int error = fault("close", fd);
	int rc = NEXT(fd_fn, "close")(fd);
	if (error > 0) {
		errno = error;
		return -1;
	}
	return rc;
}

int fchmod(int fd, mode_t mode)
{
	FAIL_IF("chmod", fd);
	return NEXT(chmod_fn, "fchmod")(fd, mode);
}

int sync_file_range(int fd, off_t offset, off_t len, unsigned flags)
{
	FAIL_IF("range", fd);
	return NEXT(range_fn, "sync_file_range")(fd, offset, len, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	FAIL_IF("rename", to_fd);
	return NEXT(renameat_fn, "renameat")(from_fd, from, to_fd, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	FAIL_IF("rename", to_fd);
	return NEXT(renameat2_fn, "renameat2")(from_fd, from, to_fd, to, flags);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	FAIL_IF("link", to_fd);
	return NEXT(linkat_fn, "linkat")(from_fd, from, to_fd, to, flags);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
	FAIL_IF("unlink", dir_fd);
	return NEXT(unlinkat_fn, "unlinkat")(dir_fd, path, flags);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	va_start(args, command);
	void *arg = va_arg(args, void *); /* every argument that fcntl takes fits in one */
	va_end(args);
	if (command == F_OFD_SETLK)
		FAIL_IF("lock", fd);
	return NEXT(fcntl_fn, "fcntl")(fd, command, arg);
}
