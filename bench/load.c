/*
 * load - one request under way on each of so many connections, for so long or
 * so many
 *
 * The same generator for this daemon and for what it is compared with:
 *
 *   schedule   POST /schedule with the token in TOKEN, to any number of daemons
 *   set        PUT /SET/<a new key> to a webdis, the body is the value
 *   put        a beanstalkd's put
 *
 * Every request is of the same body. An answer that is not the expected one
 * ends the run with an error. Prints one line:
 *
 *   requests/s  p99 in us  CPU us a request of each PID, in their order
 *
 * The CPU time is the kernel's account of those whole processes between start
 * and end of the run, to the nanosecond.
 *
 *   load [-c connections] [-t threads] [-s seconds | -n requests] [-b body] [-p PID]...
 *        schedule|set|put ADDRESS:PORT...
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX     1024 /* of one thread */
#define THREADS_MAX   8
#define TARGETS_MAX   16
#define PIDS_MAX      16
#define REQUEST_BYTES 8192
#define ANSWER_BYTES  4096
#define BUCKETS       100000 /* of 10 us: up to a second */
#define BUCKET_US     10
#define PATIENCE_MS   20000

struct protocol {
	const char *name;
	/* Writes the request; returns where a number of KEY_DIGITS goes, 0 for nowhere. */
	size_t (*build)(char *out, size_t size, const char *body);
	bool http;
	const char *good; /* how the answer begins */
};

#define KEY_DIGITS 12

struct load {
	const struct protocol *protocol;
	struct sockaddr_in targets[TARGETS_MAX];
	unsigned target_count, connections, threads;
	double seconds;
	unsigned long requests; /* 0: for that many seconds */
	char request[REQUEST_BYTES];
	size_t request_bytes, key_at;
	_Atomic unsigned long started; /* also the next key */
	int64_t end_us;
	clockid_t clocks[PIDS_MAX];
	unsigned pid_count;
};

struct peer {
	int fd;
	int64_t sent_us;
	size_t got;
	char answer[ANSWER_BYTES];
};

struct worker {
	struct load *load;
	pthread_t thread;
	int epoll;
	unsigned peer_count;
	unsigned long done;
	struct peer *peers;
	unsigned *latency;
	char request[REQUEST_BYTES];
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t clock_us(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		die("clock_gettime");
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* ---- protocols ---- */

static size_t build_schedule(char *out, size_t size, const char *body)
{
	const char *token = getenv("TOKEN");

	snprintf(out, size,
	         "POST /schedule HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
	         "Authorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n%s",
	         token ? token : "", strlen(body), body);
	return 0;
}

static size_t build_set(char *out, size_t size, const char *body)
{
	static const char start[] = "PUT /SET/bench-";

	snprintf(out, size, "%s%0*d HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n%s", start, KEY_DIGITS, 0,
	         strlen(body), body);
	return sizeof(start) - 1;
}

static size_t build_put(char *out, size_t size, const char *body)
{
	snprintf(out, size, "put 1000 0 60 %zu\r\n%s\r\n", strlen(body), body);
	return 0;
}

static const struct protocol protocols[] = {
        {"schedule", build_schedule, true, "HTTP/1.1 202 "},
        {"set", build_set, true, "HTTP/1.1 200 "},
        {"put", build_put, false, "INSERTED "},
};

/* The bytes of the whole answer, 0: not all of it is there. */
static size_t answer_bytes(const struct protocol *protocol, const char *text)
{
	const char *end = strstr(text, protocol->http ? "\r\n\r\n" : "\n");
	const char *length = protocol->http && end ? strcasestr(text, "\r\nContent-Length:") : NULL;

	if (!end || !protocol->http)
		return end ? (size_t)(end - text) + 1 : 0;
	return (size_t)(end - text) + 4 + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

/* ---- one connection ---- */

/* A request is far smaller than an idle socket's buffer: whole or an error. */
static void send_request(struct worker *w, struct peer *p, unsigned long number)
{
	const struct load *l = w->load;

	for (size_t i = KEY_DIGITS; l->key_at && i > 0; i--) {
		w->request[l->key_at + i - 1] = (char)('0' + number % 10);
		number /= 10;
	}
	p->got = 0;
	p->sent_us = now_us();
	if (send(p->fd, w->request, l->request_bytes, MSG_NOSIGNAL) != (ssize_t)l->request_bytes)
		die("send");
}

/* False: that was all. */
static bool send_next(struct worker *w, struct peer *p)
{
	struct load *l = w->load;
	unsigned long number;

	if (!l->requests && now_us() >= l->end_us)
		return false;
	number = atomic_fetch_add(&l->started, 1);
	if (l->requests && number >= l->requests)
		return false;
	send_request(w, p, number);
	return true;
}

static bool read_answer(const struct protocol *protocol, struct peer *p)
{
	ssize_t n = recv(p->fd, p->answer + p->got, sizeof(p->answer) - 1 - p->got, 0);
	size_t whole;

	if (n <= 0)
		die(n ? "recv" : "connection closed");
	p->got += (size_t)n;
	p->answer[p->got] = '\0';
	whole = answer_bytes(protocol, p->answer);
	if ((!whole || p->got < whole) && p->got < sizeof(p->answer) - 1)
		return false;
	if (p->got != whole || strncmp(p->answer, protocol->good, strlen(protocol->good)) != 0) {
		fprintf(stderr, "load: answered %s\n", p->answer);
		exit(1);
	}
	return true;
}

static void connect_peer(struct worker *w, struct peer *p, const struct sockaddr_in *address)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
	int one = 1;

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		die("connect");
	if (setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
		die("setsockopt");
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, p->fd, &event) != 0)
		die("epoll_ctl");
}

/* ---- threads ---- */

static void count(struct worker *w, const struct peer *p)
{
	int64_t bucket = (now_us() - p->sent_us) / BUCKET_US;

	w->latency[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	w->done++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[PEERS_MAX];
	unsigned busy = 0;

	for (unsigned i = 0; i < w->peer_count; i++)
		busy += send_next(w, &w->peers[i]);
	while (busy > 0) {
		int n = epoll_wait(w->epoll, events, PEERS_MAX, PATIENCE_MS);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		if (n == 0) {
			errno = ETIMEDOUT;
			die("no answer");
		}
		for (int i = 0; i < n; i++) {
			struct peer *p = events[i].data.ptr;
			if (!read_answer(w->load->protocol, p))
				continue;
			count(w, p);
			busy -= !send_next(w, p);
		}
	}
	return NULL;
}

static void prepare(struct worker *w, struct load *l, unsigned nth)
{
	w->load = l;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->peers = calloc(PEERS_MAX, sizeof(*w->peers));
	w->latency = calloc(BUCKETS, sizeof(*w->latency));
	if (w->epoll < 0 || !w->peers || !w->latency)
		die("prepare");
	memcpy(w->request, l->request, sizeof(w->request));
	for (unsigned i = nth; i < l->connections; i += l->threads)
		connect_peer(w, &w->peers[w->peer_count++], &l->targets[i / l->threads % l->target_count]);
}

/* ---- the run ---- */

static long p99_us(const struct load *l, const struct worker *workers, unsigned long done)
{
	unsigned long seen = 0;

	for (long i = 0; i < BUCKETS; i++) {
		for (unsigned t = 0; t < l->threads; t++)
			seen += workers[t].latency[i];
		if (seen >= done - done / 100)
			return (i + 1) * BUCKET_US;
	}
	return (long)BUCKETS * BUCKET_US;
}

static void run(struct load *l)
{
	static struct worker workers[THREADS_MAX];
	int64_t cpu_us[PIDS_MAX], start_us;
	unsigned long done = 0;

	for (unsigned t = 0; t < l->threads; t++)
		prepare(&workers[t], l, t);
	for (unsigned i = 0; i < l->pid_count; i++)
		cpu_us[i] = clock_us(l->clocks[i]);
	start_us = now_us();
	l->end_us = start_us + (int64_t)(l->seconds * 1e6);
	for (unsigned t = 0; t < l->threads; t++) {
		errno = pthread_create(&workers[t].thread, NULL, work, &workers[t]);
		if (errno)
			die("pthread_create");
	}
	for (unsigned t = 0; t < l->threads; t++) {
		errno = pthread_join(workers[t].thread, NULL);
		if (errno)
			die("pthread_join");
		done += workers[t].done;
	}
	double took_us = (double)(now_us() - start_us);
	printf("%.0f %ld", (double)done * 1e6 / took_us, p99_us(l, workers, done));
	for (unsigned i = 0; i < l->pid_count; i++)
		printf(" %.2f", (double)(clock_us(l->clocks[i]) - cpu_us[i]) / (double)done);
	printf("\n");
}

/* ---- the command line ---- */

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: load [-c connections] [-t threads] [-s seconds | -n requests] [-b body] [-p PID]...\n"
	                "            schedule|set|put ADDRESS:PORT...\n");
	exit(2);
}

static void add_pid(struct load *l, const char *text)
{
	if (l->pid_count == PIDS_MAX)
		usage();
	errno = clock_getcpuclockid((pid_t)strtol(text, NULL, 10), &l->clocks[l->pid_count++]);
	if (errno)
		die(text);
}

static void add_target(struct load *l, char *text)
{
	char *colon = strrchr(text, ':');
	struct sockaddr_in *a = &l->targets[l->target_count];

	if (!colon || l->target_count == TARGETS_MAX)
		usage();
	*colon = '\0';
	a->sin_family = AF_INET;
	a->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, text, &a->sin_addr) != 1)
		usage();
	l->target_count++;
}

static void choose_protocol(struct load *l, const char *name, const char *body)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (strcmp(protocols[i].name, name) == 0)
			l->protocol = &protocols[i];
	if (!l->protocol || strlen(body) > REQUEST_BYTES / 2 || strlen(getenv("TOKEN") ? getenv("TOKEN") : "") > 3000)
		usage();
	l->key_at = l->protocol->build(l->request, sizeof(l->request), body);
	l->request_bytes = strlen(l->request);
}

int main(int argc, char **argv)
{
	static struct load l = {.connections = 64, .threads = 2, .seconds = 3};
	const char *body = "{}";

	for (int option; (option = getopt(argc, argv, "c:t:s:n:b:p:")) != -1;) {
		switch (option) {
		case 'c':
			l.connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			l.threads = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			l.seconds = strtod(optarg, NULL);
			break;
		case 'n':
			l.requests = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			body = optarg;
			break;
		case 'p':
			add_pid(&l, optarg);
			break;
		default:
			usage();
		}
	}
	if (optind + 1 >= argc || l.threads < 1 || l.threads > THREADS_MAX || l.connections < l.threads ||
	    l.connections > PEERS_MAX)
		usage();
	choose_protocol(&l, argv[optind], body);
	for (int i = optind + 1; i < argc; i++)
		add_target(&l, argv[i]);
	run(&l);
	return 0;
}
