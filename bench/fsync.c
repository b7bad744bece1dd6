/*
 * fsync - durable documents a second: the inbox at 64 writers against files
 * that are each synced alone
 *
 *   naive    one at a time: temporary file, fsync, rename, fsync of the directory
 *   crowd    the same by 64 threads at once, for comparison
 *   inbox    64 threads, each with one write under way, through inbox_write
 *
 * The three take turns in one run, and the medians are compared; every
 * document is of a new trace and the same size.
 *
 * The directory is removed at the end. (On ext4 the kernel avoids inodes that
 * were deleted within the last minutes, and looks for others one by one: run
 * it on a directory near which thousands of files were just deleted, a second
 * time for instance, and every writer is slower.)
 *
 *   fsync [directory [rounds [sync_threads [linger_ms]]]]
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/inbox/tuning.h"
#include "simlane/crypto.h"
#include "simlane/inbox.h"

#define WRITERS     64
#define NAIVE_FILES 256
#define INBOX_FILES 1280
#define MAX_ROUNDS  50

static const char seed[] = "{\"goal\":\"map the river and its mills\",\"ul_tags\":[\"SIM\",\"RIVER\"],"
                           "\"constraints\":{\"flags\":{\"dry\":true}}}";
static const char shard_form[] =
        "[{\"trace_id\":\"%s\",\"index\":0,\"timestamp\":1700000000000,\"proposal\":{\"summary\":\"Simulated plan for "
        "goal: map the river and its mills\",\"ul_tags\":[\"SIM\",\"RIVER\"]},\"risks\":[],\"scores\":{\"coherence\":"
        "0.92,\"safety\":0.99},\"seed_meta\":{\"goal\":\"map the river and its mills\",\"flags\":{\"dry\":true}}}]";

struct run {
	int dir_fd;
	struct inbox *inbox;
	atomic_int next, failed;
	int files, round;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_s(void)
{
	return (double)clock_mono_us(&clock_system) / 1e6;
}

/* ---- the naive writer ---- */

static bool write_naive(struct run *r, int n)
{
	char temp[64], name[64], text[1024];
	snprintf(temp, sizeof(temp), ".naive.%d", n);
	snprintf(name, sizeof(name), "naive-%d-%d.json", r->round, n);
	size_t len = (size_t)snprintf(text, sizeof(text), shard_form, name);
	int fd = openat(r->dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return false;
	bool good = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
	good = close(fd) == 0 && good;
	return good && renameat(r->dir_fd, temp, r->dir_fd, name) == 0 && fsync(r->dir_fd) == 0;
}

static void *naive_thread(void *arg)
{
	struct run *r = arg;
	int n;
	while ((n = atomic_fetch_add(&r->next, 1)) < r->files)
		if (!write_naive(r, n))
			atomic_fetch_add(&r->failed, 1);
	return NULL;
}

/* ---- through the inbox ---- */

static void written(void *arg, const struct inbox_result *result)
{
	sem_t *done = arg;
	if (result->status != INBOX_OK) {
		fprintf(stderr, "inbox: %s\n", inbox_status_name(result->status));
		exit(1);
	}
	sem_post(done);
}

static void *inbox_thread(void *arg)
{
	struct run *r = arg;
	const struct claims claims = {.scopes = SCOPE_INBOX, .expires_ms = INT64_MAX / 2, .tenant = "default"};
	char trace[64], text[1024];
	sem_t done;
	int n;
	if (sem_init(&done, 0, 0) != 0)
		die("sem_init");
	while ((n = atomic_fetch_add(&r->next, 1)) < r->files) {
		snprintf(trace, sizeof(trace), "LT-%d-%08x", r->round, (unsigned)n);
		snprintf(text, sizeof(text), shard_form, trace);
		struct inbox_write w = {
		        .claims = &claims, .trace_id = trace, .seed = span_of(seed), .shards = span_of(text)};
		inbox_write(r->inbox, &w, written, &done);
		while (sem_wait(&done) != 0)
			continue;
	}
	sem_destroy(&done);
	return NULL;
}

/* ---- runs ---- */

/* Microseconds a file. */
static double measure(struct run *r, void *(*thread)(void *), int threads, int files)
{
	pthread_t ids[WRITERS];
	r->files = files;
	r->round++;
	atomic_store(&r->next, 0);
	double start = now_s();
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, thread, r) != 0)
			die("pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	if (atomic_load(&r->failed)) {
		fprintf(stderr, "naive writer failed\n");
		exit(1);
	}
	return (now_s() - start) / files * 1e6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare);
	return values[n / 2];
}

static void clean(const char *dir)
{
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		die(dir);
}

int main(int argc, char **argv)
{
	char dir[512];
	static double naive[MAX_ROUNDS], crowd[MAX_ROUNDS], inbox[MAX_ROUNDS];
	int rounds = argc > 2 ? atoi(argv[2]) : 7;
	struct inbox_tuning tuning = inbox_tuning_default;
	struct fault fault = {""};
	struct run r = {.dir_fd = -1};

	if (rounds < 1 || rounds > MAX_ROUNDS || crypto_init() != 0) {
		fprintf(stderr, "usage: fsync [directory [rounds [sync_threads [linger_ms]]]]\n");
		return 2;
	}
	if (argc > 3)
		tuning.sync_threads = (unsigned)atoi(argv[3]);
	if (argc > 4)
		tuning.linger_ms = (unsigned)atoi(argv[4]);
	snprintf(dir, sizeof(dir), "%s/fsync-XXXXXX", argc > 1 ? argv[1] : ".");
	if (!mkdtemp(dir))
		die(dir);
	struct inbox_options options = {.dir = dir, .clock = &clock_system};
	r.inbox = inbox_open_tuned(&options, &tuning, &fault);
	if (!r.inbox) {
		fprintf(stderr, "%s\n", fault.text);
		return 1;
	}
	r.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dir_fd < 0)
		die(dir);
	for (int k = 0; k < rounds; k++) {
		naive[k] = measure(&r, naive_thread, 1, NAIVE_FILES);
		crowd[k] = measure(&r, naive_thread, WRITERS, INBOX_FILES);
		inbox[k] = measure(&r, inbox_thread, WRITERS, INBOX_FILES);
	}
	struct inbox_stats stats;
	inbox_stats(r.inbox, &stats);
	inbox_close(r.inbox);
	close(r.dir_fd);
	clean(dir);
	double n = median(naive, rounds), c = median(crowd, rounds), i = median(inbox, rounds);
	printf("naive  %8.1f us a file, one at a time (median of %d; %.1f to %.1f)\n", n, rounds, naive[0],
	       naive[rounds - 1]);
	printf("crowd  %8.1f us a file, %d threads (%.1f to %.1f)\n", c, WRITERS, crowd[0], crowd[rounds - 1]);
	printf("inbox  %8.1f us a file, %d threads (%.1f to %.1f), %.1f a batch\n", i, WRITERS, inbox[0],
	       inbox[rounds - 1], (double)stats.writes / (double)stats.batches);
	printf("ratio  %8.2f x naive, %.2f x crowd\n", n / i, c / i);
	return 0;
}
