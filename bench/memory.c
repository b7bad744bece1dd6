/*
 * memory - what a queued job costs in the memory store
 *
 * Schedules a million jobs and compares the resident set before and after:
 * everything counts, indexes and malloc's overhead included. What is printed
 * is the cost of a job beyond the bytes of its seed. Also prints the CPU time of
 * a create (ids included), on one thread and on two.
 *
 * usage: memory [jobs]      exit 1 when a plain job costs more than 256 bytes
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "simlane/clock.h"
#include "simlane/ids.h"
#include "simlane/store.h"

#define BUDGET_BYTES 256
#define JOBS         1000000
#define THREADS_MAX  2

static const char seed[] =
        "{\"goal\":\"Map the tide pools of the northern shore and count what lives in them\","
        "\"ul_tags\":[\"\xce\x9bTIDE\",\"survey\"],\"constraints\":{\"flags\":{},\"budgets\":{\"ms\":500}}}";
static const char traceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct load {
	struct store *store;
	struct idgen *ids;
	unsigned jobs;
	bool keys, traces;
	unsigned exists, refused;
};

static void count(void *arg, const struct store_result *result)
{
	struct load *l = arg;

	if (result->status == STORE_EXISTS)
		l->exists++;
	else if (result->status != STORE_OK)
		l->refused++;
}

static int64_t cpu_ns(void)
{
	struct timespec t = {0, 0};

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
		return 0;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *schedule(void *arg)
{
	struct load *l = arg;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE];
	uint8_t digests[2 * DIGEST_BYTES];

	/* an id that is taken is drawn again, as the service does */
	for (unsigned i = 0; i < l->jobs + l->exists; i++) {
		struct store_create c = {
		        .job_id = job_id,
		        .trace_id = trace_id,
		        .tenant = "default",
		        .seed = {seed, sizeof(seed) - 1},
		        .goal_chars = 66,
		        .policy_version = "default-1",
		        .policy_digest = 1,
		        .traceparent = l->traces ? traceparent : "",
		        .ttl_ms = 86400000,
		};

		idgen_job(l->ids, job_id);
		idgen_trace(l->ids, clock_wall_ms(&clock_system), trace_id);
		if (l->keys) {
			crypto_random(digests, sizeof(digests));
			c.key_digest = digests;
			c.body_digest = digests + DIGEST_BYTES;
		}
		store_create(l->store, &c, count, l);
	}
	return NULL;
}

static long resident_bytes(void)
{
	long pages = -1;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = -1;
	if (f)
		fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static bool run_threads(struct load *loads, unsigned n)
{
	pthread_t threads[THREADS_MAX];
	bool good = true;

	for (unsigned i = 0; i < n; i++) {
		if (pthread_create(&threads[i], NULL, schedule, &loads[i]) != 0)
			return false;
	}
	for (unsigned i = 0; i < n; i++) {
		good = pthread_join(threads[i], NULL) == 0 && good;
		good = loads[i].refused == 0 && good;
	}
	return good;
}

/* The bytes of a job beyond its seed; -1: something failed. */
static double measure(unsigned jobs, unsigned threads, bool keys, bool traces)
{
	struct store_options options = {.clock = &clock_system, .max_jobs = jobs};
	struct load loads[THREADS_MAX] = {{NULL, NULL, 0, false, false, 0, 0}};
	struct fault fault;
	int64_t from_ns;
	double each = -1, ns;
	long before;

	for (unsigned i = 0; i < threads; i++) {
		loads[i].store = i ? loads[0].store : store_open("memory", &options, &fault);
		loads[i].ids = idgen_new();
		loads[i].jobs = jobs / threads;
		loads[i].keys = keys;
		loads[i].traces = traces;
		if (!loads[i].store || !loads[i].ids)
			return -1;
	}
	before = resident_bytes();
	from_ns = cpu_ns();
	if (run_threads(loads, threads)) {
		ns = (double)(cpu_ns() - from_ns) / jobs;
		each = (double)(resident_bytes() - before) / jobs - (double)(sizeof(seed) - 1);
		printf("%u jobs, %u thread%s, seed %zu bytes%s%s: %.0f bytes a job beyond the seed, %.0f ns of CPU "
		       "each\n",
		       jobs, threads, threads > 1 ? "s" : "", sizeof(seed) - 1, keys ? ", idempotency key" : "",
		       traces ? ", traceparent" : "", each, ns);
		fflush(stdout);
	}
	store_close(loads[0].store);
	for (unsigned i = 0; i < threads; i++)
		idgen_free(loads[i].ids);
	return each;
}

/* In a process of its own, so that no run inherits another one's memory. */
static bool measure_apart(unsigned jobs, unsigned threads, bool keys, bool traces)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		double each = measure(jobs, threads, keys, traces);

		_exit(each >= 0 && (traces || each <= BUDGET_BYTES) ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
	long jobs = argc > 1 ? strtol(argv[1], NULL, 10) : JOBS;
	bool good;

	if (jobs < 2 || jobs > 100000000 || crypto_init() != 0) {
		fprintf(stderr, "usage: memory [jobs]\n");
		return 2;
	}
	good = measure_apart((unsigned)jobs, 1, false, false);
	good = measure_apart((unsigned)jobs, 2, false, false) && good;
	good = measure_apart((unsigned)jobs, 1, true, false) && good;
	good = measure_apart((unsigned)jobs, 1, true, true) && good;
	printf("budget: %d bytes a job beyond its seed: %s\n", BUDGET_BYTES, good ? "kept" : "NOT KEPT");
	return good ? 0 : 1;
}
