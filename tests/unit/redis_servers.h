/*
 * redis_servers.h - what the tests of the Redis connections share: real
 * servers in a directory of their own, servers that say what a test wants, a
 * name server that is slow, and what was logged
 *
 * A server dies with the test that started it, however that ends.
 */
#ifndef TEST_REDIS_SERVERS_H
#define TEST_REDIS_SERVERS_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simlane/clock.h"
#include "simlane/crypto.h"
#include "simlane/log.h"

#define SERVER_ARGS_MAX 32

static inline int64_t now_ms(void)
{
	return clock_mono_ms(&clock_system);
}

static inline void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* ---- real servers ---- */

struct server {
	pid_t pid;
	char dir[32];
	char socket[64];
	int port; /* 0: only the socket */
	const char *extra[SERVER_ARGS_MAX];
	size_t extra_count;
};

static inline bool redis_installed(void)
{
	return system("command -v redis-server >/dev/null 2>&1") == 0;
}

static inline int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static inline pid_t spawn(const char *const *argv)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	int null = open("/dev/null", O_RDWR);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		_exit(126);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* A connection of the test's own. */
static inline redisContext *server_connect(const struct server *s)
{
	struct timeval limit = {.tv_sec = 2};
	redisContext *c = redisConnectUnixWithTimeout(s->socket, limit);

	ck_assert_ptr_nonnull(c);
	return c;
}

static inline bool server_answers(const struct server *s)
{
	redisContext *c = server_connect(s);
	redisReply *r = c->err ? NULL : redisCommand(c, "PING");
	bool answers = r && !(r->type == REDIS_REPLY_ERROR && strncmp(r->str, "LOADING", 7) == 0);

	freeReplyObject(r);
	redisFree(c);
	return answers;
}

static inline void server_start(struct server *s)
{
	char port[8];
	const char *argv[16 + SERVER_ARGS_MAX] = {
	        "redis-server", "--port", port,     "--bind", "127.0.0.1",  "--unixsocket", s->socket,
	        "--dir",        s->dir,   "--save", "",       "--loglevel", "warning",      NULL};
	size_t n = 13;
	int64_t until = now_ms() + 10000;

	snprintf(port, sizeof(port), "%d", s->port);
	for (size_t i = 0; i < s->extra_count; i++)
		argv[n++] = s->extra[i];
	s->pid = spawn(argv);
	while (!server_answers(s)) {
		ck_assert_msg(now_ms() < until, "redis-server does not come up");
		sleep_ms(5);
	}
}

/* extra: "--option", "value", ..., NULL */
static inline struct server server_new(int port, const char *extra, ...)
{
	struct server s = {.pid = 0, .dir = "/tmp/redis-test-XXXXXX", .port = port};
	va_list args;

	ck_assert_ptr_nonnull(mkdtemp(s.dir));
	snprintf(s.socket, sizeof(s.socket), "%s/redis.sock", s.dir);
	va_start(args, extra);
	for (; extra; extra = va_arg(args, const char *))
		s.extra[s.extra_count++] = extra;
	va_end(args);
	return s;
}

static inline void server_signal(const struct server *s, int signal)
{
	ck_assert_int_eq(kill(s->pid, signal), 0);
}

static inline void server_kill(struct server *s)
{
	if (s->pid == 0)
		return;
	server_signal(s, SIGKILL);
	ck_assert_int_eq(waitpid(s->pid, NULL, 0), s->pid);
	s->pid = 0;
}

static inline void server_end(struct server *s)
{
	char command[64];

	server_kill(s);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	ck_assert_int_eq(system(command), 0);
}

/* One command; what it answers as text, in memory that the next one uses. */
static inline const char *server_say(const struct server *s, const char *format, ...)
{
	static char said[65536];
	redisContext *c = server_connect(s);
	va_list args;

	va_start(args, format);
	redisReply *r = redisvCommand(c, format, args);
	va_end(args);
	ck_assert_msg(r != NULL, "%s: %s", format, c->errstr);
	if (r->type == REDIS_REPLY_INTEGER)
		snprintf(said, sizeof(said), "%lld", r->integer);
	else if (r->type == REDIS_REPLY_ARRAY)
		snprintf(said, sizeof(said), "%zu elements", r->elements);
	else
		snprintf(said, sizeof(said), "%s", r->str ? r->str : "");
	freeReplyObject(r);
	redisFree(c);
	return said;
}

/* A Sentinel that watches the Redis at that port as "main". */
static inline struct server sentinel_new(int primary_port)
{
	struct server s = server_new(free_port(), NULL);
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sentinel.conf", s.dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f,
	        "port %d\nbind 127.0.0.1\nunixsocket %s\ndir %s\nloglevel warning\n"
	        "sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 500\n"
	        "sentinel failover-timeout main 3000\n",
	        s.port, s.socket, s.dir, primary_port);
	ck_assert_int_eq(fclose(f), 0);
	s.pid = spawn((const char *[]){"redis-server", path, "--sentinel", NULL});
	for (int64_t until = now_ms() + 5000; !server_answers(&s); sleep_ms(5))
		ck_assert(now_ms() < until);
	return s;
}

/* ---- a server that says what the test wants, whatever it is asked ---- */

enum fake_manner { FAKE_STAYS, FAKE_CLOSES, FAKE_DRIPS /* a byte every 20 ms */ };

struct fake {
	const char *bytes, *second; /* said to what is heard first, and to what comes after that (or NULL) */
	enum fake_manner manner;
	int port;
	int fd;
	pthread_t thread;
	atomic_bool stopping;
	atomic_int visits;
};

static inline bool fake_say(struct fake *f, int fd, const char *bytes)
{
	size_t n = strlen(bytes), step = f->manner == FAKE_DRIPS ? 1 : n;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char heard[4096];

	if (poll(&p, 1, 1000) != 1 || read(fd, heard, sizeof(heard)) <= 0)
		return false;
	for (size_t at = 0; at < n && !atomic_load(&f->stopping); at += step) {
		if (send(fd, bytes + at, step, MSG_NOSIGNAL) < 0)
			return false;
		if (f->manner == FAKE_DRIPS)
			sleep_ms(20);
	}
	return true;
}

static inline void fake_talk(struct fake *f, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	if (!fake_say(f, fd, f->bytes) || (f->second && !fake_say(f, fd, f->second)))
		return;
	while (f->manner != FAKE_CLOSES && !atomic_load(&f->stopping) && poll(&p, 1, 10) == 0)
		;
}

static inline void *fake_run(void *arg)
{
	struct fake *f = arg;

	while (!atomic_load(&f->stopping)) {
		struct pollfd p = {.fd = f->fd, .events = POLLIN};
		int fd = poll(&p, 1, 10) == 1 ? accept4(f->fd, NULL, NULL, SOCK_CLOEXEC) : -1;

		if (fd < 0)
			continue;
		atomic_fetch_add(&f->visits, 1);
		fake_talk(f, fd);
		close(fd);
	}
	return NULL;
}

static inline int listen_on_loopback(int *port, int backlog)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, size), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static inline void fake_start(struct fake *f, const char *bytes, const char *second, enum fake_manner manner)
{
	memset(f, 0, sizeof(*f));
	f->bytes = bytes;
	f->second = second;
	f->manner = manner;
	f->fd = listen_on_loopback(&f->port, 16);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static inline void fake_stop(struct fake *f)
{
	atomic_store(&f->stopping, true);
	ck_assert_int_eq(pthread_join(f->thread, NULL), 0);
	close(f->fd);
}

/* ---- a name server that answers when the test wants it to ---- */

/* Makes resolv.conf name it, for this process (a test's own) alone. -1: this
 * may not be done here. */
static inline int name_server_start(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(53)};
	char address[INET_ADDRSTRLEN], lines[128];
	char path[] = "/tmp/redis-test-resolv-XXXXXX";
	int fd = -1, file;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return -1;
	/* this process's own, whatever else runs here */
	a.sin_addr.s_addr = htonl(0x7f400000u + (uint32_t)getpid() % 0x3fffffu);
	inet_ntop(AF_INET, &a.sin_addr, address, sizeof(address));
	snprintf(lines, sizeof(lines), "nameserver %s\nsearch .\noptions timeout:20 attempts:1\n", address);
	file = mkstemp(path);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(write(file, lines, strlen(lines)), (ssize_t)strlen(lines));
	close(file);
	if (chmod(path, 0644) == 0 && mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Is somebody waiting for an answer? */
static inline bool name_server_is_asked(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

/* To the one that asked first: the name is 127.0.0.1 (RFC 1035, 4.1). */
static inline void name_server_answer(int fd)
{
	static const unsigned char answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1};
	unsigned char packet[512 + sizeof(answer)];
	struct sockaddr_storage who;
	socklen_t size = sizeof(who);
	ssize_t n = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&who, &size);
	size_t end = 12;

	ck_assert_int_gt(n, 16);
	while (packet[end])
		end += packet[end] + 1u;
	end += 5;
	packet[2] |= 0x80; /* an answer */
	packet[3] = 0x80;  /* that may have been asked for */
	packet[7] = 1;     /* of one record, */
	packet[11] = 0;    /* and nothing added */
	memcpy(packet + end, answer, sizeof(answer));
	end += sizeof(answer);
	ck_assert_int_eq(sendto(fd, packet, end, 0, (struct sockaddr *)&who, size), (ssize_t)end);
}

/* Threads of this process of that name. */
static inline int threads_named(const char *name)
{
	char command[128];
	int n;

	snprintf(command, sizeof(command), "cat /proc/%d/task/*/comm 2>/dev/null | grep -cx '%s'", (int)getpid(), name);
	FILE *f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* ---- what was logged ---- */

struct lines {
	struct log *log;
	int fd;
	char text[65536];
};

static inline void lines_open(struct lines *l)
{
	l->fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ge(l->fd, 0);
	l->log = log_open(l->fd, LOG_INFO, LOG_TEXT, &clock_system);
	ck_assert_ptr_nonnull(l->log);
}

/* Ends the log; l->text is all that was written. */
static inline void lines_close(struct lines *l)
{
	ssize_t n;

	log_close(l->log);
	n = pread(l->fd, l->text, sizeof(l->text) - 1, 0);
	ck_assert_int_ge(n, 0);
	l->text[n] = '\0';
	close(l->fd);
}

static inline int count_of(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

#endif
