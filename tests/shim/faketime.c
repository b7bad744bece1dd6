/*
 * faketime - the wall clock of another program, owned by a test (LD_PRELOAD)
 *
 *   SIMLANE_CLOCK_FILE   a file whose first eight bytes are the time: Unix
 *                        milliseconds, a native int64_t. Whoever maps it
 *                        shared moves the program's time by one store, at
 *                        once; between two stores it stands still.
 *
 * Covers gettimeofday, time, and clock_gettime of the realtime clocks. The
 * monotonic clock is left alone: what the program waits for must come. Without
 * the variable, or where the file cannot be mapped, nothing is changed.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Written before main, by one thread. */
static const _Atomic int64_t *wall_ms; /* NULL: the system's time */
static int (*system_time)(clockid_t clock, struct timespec *t);

static void map_clock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *page;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(int64_t)) {
		page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
		if (page != MAP_FAILED)
			wall_ms = page;
	}
	close(fd);
}

__attribute__((constructor)) static void begin(void)
{
	void *symbol = dlsym(RTLD_NEXT, "clock_gettime");
	const char *path = getenv("SIMLANE_CLOCK_FILE");

	memcpy(&system_time, &symbol, sizeof(symbol)); /* ISO C has no cast for it */
	if (path)
		map_clock(path);
}

static int ask_system(clockid_t clock, struct timespec *t)
{
	if (system_time)
		return system_time(clock, t);
	return (int)syscall(SYS_clock_gettime, clock, t);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int64_t ms;

	if (!wall_ms || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return ask_system(clock, t);
	ms = atomic_load(wall_ms);
	*t = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	*t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *into)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return (time_t)-1;
	if (into)
		*into = now.tv_sec;
	return now.tv_sec;
}
