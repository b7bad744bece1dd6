/* server.c - the redis-server of a test's process; see harness.h */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

#define START_WAIT_MS 5000
#define PATH_ROOM     4096

/* The shim lies beside the test programs: build/tests/contract/test_store
 * finds build/tests/shim/faketime.so. */
static bool find_shim(char path[PATH_ROOM])
{
	char own[PATH_ROOM - 64];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	for (int cut = 0; cut < 2 && n > 0; cut++) {
		own[n] = '\0';
		n = strrchr(own, '/') ? strrchr(own, '/') - own : -1;
	}
	if (n <= 0)
		return false;
	snprintf(path, PATH_ROOM, "%.*s/shim/faketime.so", (int)n, own);
	return access(path, R_OK) == 0;
}

/* As execvp would find it: the child has no time to search. */
static bool find_program(const char *name, char path[PATH_ROOM])
{
	const char *dir = getenv("PATH");

	while (dir && *dir) {
		size_t len = strcspn(dir, ":");

		snprintf(path, PATH_ROOM, "%.*s/%s", (int)len, dir, name);
		if (len && access(path, X_OK) == 0)
			return true;
		dir += len + (dir[len] == ':');
	}
	return false;
}

const char *server_missing(void)
{
	char path[PATH_ROOM];

	if (!find_program("redis-server", path))
		return "redis-server is not installed";
	return find_shim(path) ? NULL : "tests/shim/faketime.so is not built";
}

static _Atomic int64_t *map_clock(const char *path, int64_t start_ms)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	void *page;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(page != MAP_FAILED);
	close(fd);
	atomic_store((_Atomic int64_t *)page, start_ms);
	return page;
}

/* Between fork and exec of a program that may have threads: nothing but calls
 * that are safe there. */
static _Noreturn void become(const char *program, char *const argv[], char *const env[], pid_t parent)
{
	int null = open("/dev/null", O_RDWR);

	if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0 &&
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
		execve(program, argv, env);
	_exit(127);
}

static pid_t spawn(const char *dir, const char *socket_path, const char *clock_path)
{
	char program[PATH_ROOM], shim[PATH_ROOM], preload[PATH_ROOM + 16], clock[PATH_ROOM];
	char *argv[] = {"redis-server",
	                "--port",
	                "0",
	                "--unixsocket",
	                (char *)socket_path,
	                "--save",
	                "",
	                "--appendonly",
	                "no",
	                "--lazyfree-lazy-expire", /* a clock that leaps ends a hundred thousand jobs at once */
	                "yes",
	                "--dir",
	                (char *)dir,
	                NULL};
	char *env[] = {preload, clock, NULL};
	pid_t parent = getpid(), pid;

	ck_assert(find_program("redis-server", program));
	ck_assert(find_shim(shim));
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", shim);
	snprintf(clock, sizeof(clock), "SIMLANE_CLOCK_FILE=%s", clock_path);
	pid = fork();
	if (pid == 0)
		become(program, argv, env, parent);
	ck_assert_int_gt(pid, 0);
	return pid;
}

/* -1: nobody is there. */
static int dial(const char *socket_path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_lt(strlen(socket_path), sizeof(to.sun_path));
	strcpy(to.sun_path, socket_path);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool answers(const char *socket_path)
{
	int fd = dial(socket_path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int64_t server_keys(const struct server *server)
{
	int fd = dial(server->url + strlen("unix://"));
	char reply[32] = "";
	long long keys;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "DBSIZE\r\n", 8), 8);
	ck_assert_int_gt(read(fd, reply, sizeof(reply) - 1), 0);
	ck_assert_int_eq(sscanf(reply, ":%lld", &keys), 1);
	close(fd);
	return keys;
}

const struct server *server_here(const char *dir, int64_t start_ms)
{
	static struct server here;
	static pid_t owner;
	char place[64], socket_path[80], clock_path[80];

	if (owner == getpid())
		return &here;
	snprintf(place, sizeof(place), "%s/redis-XXXXXX", dir);
	ck_assert_ptr_nonnull(mkdtemp(place));
	snprintf(socket_path, sizeof(socket_path), "%s/r.sock", place);
	snprintf(clock_path, sizeof(clock_path), "%s/clock", place);
	here.wall_ms = map_clock(clock_path, start_ms);
	spawn(place, socket_path, clock_path);
	for (int i = 0; i < START_WAIT_MS && !answers(socket_path); i++)
		sleep_ms(1);
	ck_assert_msg(answers(socket_path), "redis-server did not start");
	snprintf(here.url, sizeof(here.url), "unix://%s", socket_path);
	owner = getpid();
	return &here;
}
