/* rig.c - the subjects of the suite, their clocks, their data */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define START_MS      INT64_C(1700000000000)
#define START_MONO_US INT64_C(5000000)

static const struct subject subjects[] = {
        {.name = "memory", .limits_bytes = true},
        {.name = "queued", .engine = true, .limits_bytes = true, .own = &queued_backend},
        {.name = "sqlite", .engine = true, .durable = true, .exclusive = true},
        {.name = "redis",
         .engine = true,
         .durable = true,
         .shared = true,
         .claims_stay = true,
         .wall_claims = true,
         .server = true},
};

#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

/* Written once, before the first test: the tests' processes inherit them. */
static struct {
	int chosen[SUBJECTS], count;
	char dir[48];
} suite;

const struct subject *subject_at(int i)
{
	return &subjects[suite.chosen[i]];
}

int subject_count(void)
{
	return suite.count;
}

const struct subject *subject_named(const char *name)
{
	for (size_t i = 0; i < SUBJECTS; i++)
		if (strcmp(subjects[i].name, name) == 0)
			return &subjects[i];
	return NULL;
}

const char *harness_dir(void)
{
	return suite.dir;
}

/* NULL: nothing. */
static const char *what_is_missing(const struct subject *s)
{
	const struct store_backend *b = s->own ? s->own : store_backend_at(0);

	for (size_t i = 0; b && strcmp(b->name, s->name) != 0; i++)
		b = store_backend_at(i + 1);
	if (!b)
		return "store_open does not know it";
	return s->server ? server_missing() : NULL;
}

void harness_begin(void)
{
	const char *only = getenv("CONTRACT_SUBJECT");

	strcpy(suite.dir, "/tmp/store-contract-XXXXXX");
	if (!mkdtemp(suite.dir)) {
		perror(suite.dir);
		exit(1);
	}
	for (int i = 0; i < (int)SUBJECTS; i++) {
		const char *missing = what_is_missing(&subjects[i]);

		if (only && *only && strcmp(only, subjects[i].name) != 0)
			continue;
		if (missing)
			printf("skipped: %s: %s\n", subjects[i].name, missing);
		else
			suite.chosen[suite.count++] = i;
	}
	fflush(stdout);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *place)
{
	(void)st, (void)type, (void)place;
	return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

static void remove_tree(const char *dir)
{
	if (nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		perror(dir);
}

void harness_end(void)
{
	remove_tree(suite.dir);
}

/* ---- the clock ---- */

static int64_t test_wall_ms(const struct clock *c)
{
	return atomic_load(((const struct test_clock *)c)->wall_ms);
}

static int64_t test_mono_us(const struct clock *c)
{
	return atomic_load(&((const struct test_clock *)c)->mono_us);
}

void sleep_ms(int64_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		continue;
}

void wall_pass_ms(struct rig *r, int64_t ms)
{
	atomic_fetch_add(r->clock->wall_ms, ms);
}

void pass_ms(struct rig *r, int64_t ms)
{
	wall_pass_ms(r, ms);
	atomic_fetch_add(&r->clock->mono_us, ms * 1000);
}

int64_t rig_now(struct rig *r)
{
	return atomic_load(r->clock->wall_ms);
}

/* ---- the engine's own ---- */

static int64_t file_bytes(const char *path, const char *suffix)
{
	char whole[96];
	struct stat st;

	snprintf(whole, sizeof(whole), "%s%s", path, suffix);
	return stat(whole, &st) == 0 ? st.st_size : 0;
}

int64_t rig_footprint(struct rig *r)
{
	if (r->subject->server)
		return server_keys(server_here(harness_dir(), START_MS));
	return file_bytes(r->path, "") + file_bytes(r->path, "-wal");
}

/* ---- rigs ---- */

static void open_store(struct rig *r)
{
	struct fault fault = {""};

	r->store = r->subject->own ? r->subject->own->open(&r->options, &fault)
	                           : store_open(r->subject->name, &r->options, &fault);
	ck_assert_msg(r->store != NULL, "%s", fault.text);
}

static void make_clock(struct rig *r)
{
	const struct server *server = r->subject->server ? server_here(harness_dir(), START_MS) : NULL;

	r->clock = &r->own_clock;
	r->clock->clock = (struct clock){.wall_ms = test_wall_ms, .mono_us = test_mono_us};
	r->clock->wall_ms = server ? server->wall_ms : &r->clock->own_wall_ms;
	atomic_store(&r->clock->own_wall_ms, START_MS);
	atomic_store(&r->clock->mono_us, START_MONO_US);
	if (server)
		strcpy(r->url, server->url);
}

/* Data of its own: a directory, and a prefix that no rig of this process had. */
static void make_place(struct rig *r)
{
	static atomic_uint rigs;

	snprintf(r->dir, sizeof(r->dir), "%s/rig-XXXXXX", harness_dir());
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/jobs.db", r->dir);
	snprintf(r->prefix, sizeof(r->prefix), "{test%u}:", atomic_fetch_add(&rigs, 1));
}

void rig_open(struct rig *r, int subject, int64_t max_jobs, int64_t max_bytes)
{
	memset(r, 0, sizeof(*r));
	r->subject = subject_at(subject);
	make_clock(r);
	make_place(r);
	if (getenv("CONTRACT_LOG"))
		r->log = log_open(STDERR_FILENO, LOG_DEBUG, LOG_TEXT, &clock_system);
	r->options = (struct store_options){
	        .clock = &r->clock->clock,
	        .log = r->log,
	        .max_jobs = max_jobs,
	        .memory_max_bytes = max_bytes,
	        .sqlite_path = r->path,
	        .redis_url = r->url,
	        .redis_prefix = r->prefix,
	};
	open_store(r);
}

void rig_close(struct rig *r)
{
	rig_shut(r);
	log_close(r->log);
	if (r->dir[0])
		remove_tree(r->dir);
}

void rig_shut(struct rig *r)
{
	store_close(r->store);
	r->store = NULL;
}

void rig_reopen(struct rig *r)
{
	rig_shut(r);
	open_store(r);
}

void rig_join(struct rig *second, struct rig *first)
{
	memset(second, 0, sizeof(*second));
	second->subject = first->subject;
	second->options = first->options;
	second->clock = first->clock;
	atomic_store(&second->ids, UINT64_C(1) << 30);
	open_store(second);
}

void pair_open(struct pair *p, int subject, int64_t max_jobs)
{
	rig_open(&p->one, subject, max_jobs, 0);
	rig_join(&p->two, &p->one);
}

void pair_close(struct pair *p)
{
	rig_close(&p->two);
	rig_close(&p->one);
}

void sweep(struct rig *r)
{
	store_sweep(r->store);
	if (r->subject->engine) /* behind it in the queue */
		ck_status(try_read(r, "JOB-0123456789ab"), STORE_NOT_FOUND);
}

void expect_depth(struct rig *r, int64_t n)
{
	if (r->subject->engine) {
		for (int i = 0; i < 2000 && store_depth(r->store) != n; i++) {
			sweep(r);
			sleep_ms(1);
		}
	}
	ck_assert_int_eq(store_depth(r->store), n);
}
