/*
 * inbox.c - the writer: open, take writes, put them off, close
 *
 * A write goes inbox_write -> batcher -> batch_run (batch.c) -> done. One
 * whose trace is locked by another process goes batch_run -> timer -> batcher
 * again, until lock_wait_ms are over.
 */
#include "inbox_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "simlane/ids.h"

#define QUEUE_DEFAULT  4096
#define RETRY_MS       2 /* before the first new attempt; doubles */
#define RETRY_MAX_MS   50
#define CHECK_EVERY_MS 1000
#define STALLED_MS     5000 /* a batch that has been at it this long: the disk hangs */
#define SYNC_THREADS   31
#define LOCK_WAIT_MS   3000
#define BATCH_MAX      128

const struct inbox_tuning inbox_tuning_default = {.sys = &inbox_sys_real,
                                                  .lock_wait_ms = LOCK_WAIT_MS,
                                                  .sync_threads = SYNC_THREADS,
                                                  .batch_max = BATCH_MAX,
                                                  .linger_ms = 0};

const char *inbox_status_name(enum inbox_status s)
{
	static const char *const names[INBOX_STATUSES] = {
	        [INBOX_OK] = "ok",
	        [INBOX_EXPIRED] = "expired",
	        [INBOX_REVOKED] = "revoked",
	        [INBOX_FORBIDDEN] = "forbidden",
	        [INBOX_TRACE_TAKEN] = "trace-taken",
	        [INBOX_BAD_VERSION] = "bad-version",
	        [INBOX_TOO_LARGE] = "too-large",
	        [INBOX_FULL] = "full",
	        [INBOX_UNAVAILABLE] = "unavailable",
	};
	return (unsigned)s < INBOX_STATUSES ? names[s] : "unknown";
}

/* ---- one write ---- */

/* One more write that must be completed before the inbox can close. */
static bool write_enter(struct inbox *i)
{
	pthread_mutex_lock(&i->lock);
	bool open = !i->closing;
	if (open)
		i->outstanding++;
	pthread_mutex_unlock(&i->lock);
	return open;
}

static void write_leave(struct inbox *i)
{
	pthread_mutex_lock(&i->lock);
	if (--i->outstanding == 0 && i->closing)
		pthread_cond_signal(&i->all_done);
	pthread_mutex_unlock(&i->lock);
}

void write_finish(struct write *w, enum inbox_status status)
{
	struct inbox *i = w->inbox;

	if (status == INBOX_OK) {
		atomic_fetch_add_explicit(&i->writes, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&i->shards, (unsigned)w->result.shards_written, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&i->failures, 1, memory_order_relaxed);
		w->result.bytes = 0;
		w->result.shards_written = 0;
	}
	w->result.status = status;
	w->result.file = w->file;
	w->done(w->arg, &w->result);
	free(w);
	write_leave(i);
}

static void retry(struct timer_entry *entry)
{
	struct write *w = (struct write *)(void *)((char *)entry - offsetof(struct write, timer));

	if (!batcher_submit(w->inbox->batcher, &w->item))
		write_finish(w, INBOX_UNAVAILABLE);
}

void write_put_off(struct write *w)
{
	struct inbox *i = w->inbox;
	int64_t now_ms = clock_mono_ms(i->options.clock);
	int64_t delay_ms = RETRY_MS << (w->tries < 5 ? w->tries : 5);

	if (w->tries++ == 0)
		w->give_up_ms = now_ms + i->tuning.lock_wait_ms;
	w->timer.fire = retry;
	if (delay_ms > RETRY_MAX_MS)
		delay_ms = RETRY_MAX_MS;
	if (now_ms + delay_ms > w->give_up_ms || !timer_arm(i->timer, &w->timer, delay_ms)) {
		LOG(i->options.log, LOG_WARN, "inbox-locked", LOG_STR("trace", w->request.trace_id));
		write_finish(w, INBOX_UNAVAILABLE);
	}
}

static struct write *write_new(struct inbox *i, const struct inbox_write *request, inbox_done *done, void *arg)
{
	struct write *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->inbox = i;
	w->request = *request;
	w->done = done;
	w->arg = arg;
	snprintf(w->file, sizeof(w->file), "%s.json", request->trace_id);
	return w;
}

void inbox_write(struct inbox *i, const struct inbox_write *request, inbox_done *done, void *arg)
{
	struct inbox_result refused = {.status = INBOX_UNAVAILABLE, .file = ""};
	/* a name that is not valid never gets any further */
	bool valid = trace_id_valid(span_of(request->trace_id)) && request->claims;
	struct write *w = valid ? write_new(i, request, done, arg) : NULL;

	if (!w || !write_enter(i)) {
		free(w);
		atomic_fetch_add_explicit(&i->failures, 1, memory_order_relaxed);
		done(arg, &refused);
		return;
	}
	if (!batcher_submit(i->batcher, &w->item))
		write_finish(w, INBOX_UNAVAILABLE);
}

/* ---- health ---- */

/* One small file, written, synced and removed. */
static bool probe(struct inbox *i)
{
	const struct inbox_sys *sys = i->dir.sys;
	char name[DIR_TEMP_SIZE];
	struct stat ours, named;

	/* what lies at the path may be another directory by now: writes would be lost to its readers */
	if (sys->fstat(sys, i->dir.fd, &ours) != 0 || stat(i->options.dir, &named) != 0 ||
	    ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
		return false;
	dir_temp_name(&i->dir, name);
	int fd = sys->openat(sys, i->dir.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
		return false;
	bool good = sys->write(sys, fd, "{}", 2) == 2 && sys->fsync(sys, fd) == 0;
	good = sys->close(sys, fd) == 0 && good;
	return sys->unlink(sys, i->dir.fd, name) == 0 && good;
}

bool inbox_check(struct inbox *i)
{
	if (batcher_busy_ms(i->batcher) > STALLED_MS)
		return false;
	/* whoever comes while somebody looks gets the answer before */
	if (pthread_mutex_trylock(&i->check_lock) != 0)
		return atomic_load(&i->check_good);
	int64_t now_ms = clock_mono_ms(i->options.clock);
	if (i->check_ms == 0 || now_ms - i->check_ms >= CHECK_EVERY_MS) {
		bool good = probe(i);
		if (good != atomic_load(&i->check_good))
			LOG(i->options.log, good ? LOG_INFO : LOG_ERROR, good ? "inbox-writable" : "inbox-not-writable",
			    LOG_STR("dir", i->options.dir));
		atomic_store(&i->check_good, good);
		i->check_ms = now_ms ? now_ms : 1;
	}
	pthread_mutex_unlock(&i->check_lock);
	return atomic_load(&i->check_good);
}

void inbox_stats(struct inbox *i, struct inbox_stats *out)
{
	out->writes = atomic_load_explicit(&i->writes, memory_order_relaxed);
	out->batches = atomic_load_explicit(&i->batches, memory_order_relaxed);
	out->shards = atomic_load_explicit(&i->shards, memory_order_relaxed);
	out->corrupt = atomic_load_explicit(&i->corrupt, memory_order_relaxed);
	out->failures = atomic_load_explicit(&i->failures, memory_order_relaxed);
	pthread_mutex_lock(&i->lock);
	out->waiting = i->outstanding;
	pthread_mutex_unlock(&i->lock);
}

/* ---- open and close ---- */

static int init_sync(struct inbox *i)
{
	if (pthread_mutex_init(&i->lock, NULL) != 0)
		return -1;
	if (pthread_mutex_init(&i->check_lock, NULL) != 0)
		goto no_check;
	if (pthread_cond_init(&i->all_done, NULL) != 0)
		goto no_cond;
	return 0;
no_cond:
	pthread_mutex_destroy(&i->check_lock);
no_check:
	pthread_mutex_destroy(&i->lock);
	return -1;
}

static int start_threads(struct inbox *i)
{
	struct batcher_options batching = {.name = "inbox",
	                                   .queue_max = i->options.queue_max ? i->options.queue_max : QUEUE_DEFAULT,
	                                   .batch_max = i->tuning.batch_max,
	                                   .linger_ms = i->tuning.linger_ms,
	                                   .execute = batch_run,
	                                   .ctx = i};

	i->timer = timer_start();
	i->syncer = syncer_start(i->tuning.sys, i->tuning.sync_threads);
	if (batch_init(i) == 0 && i->timer && i->syncer)
		i->batcher = batcher_start(&batching);
	return i->batcher ? 0 : -1;
}

static void stop_and_free(struct inbox *i)
{
	batcher_stop(i->batcher);
	timer_stop(i->timer);
	syncer_stop(i->syncer);
	batch_free(i);
	locks_close(&i->locks);
	dir_close(&i->dir);
	pthread_cond_destroy(&i->all_done);
	pthread_mutex_destroy(&i->check_lock);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

struct inbox *inbox_open_tuned(const struct inbox_options *options, const struct inbox_tuning *tuning,
                               struct fault *fault)
{
	struct inbox *i = calloc(1, sizeof(*i));

	if (!i || init_sync(i) != 0) {
		free(i);
		fault_set(fault, "inbox: no memory");
		return NULL;
	}
	i->options = *options;
	i->tuning = *tuning;
	atomic_store(&i->check_good, true);
	if (dir_open(&i->dir, options->dir, tuning->sys, fault) != 0)
		goto failed;
	if (locks_open(&i->locks, &i->dir, fault) != 0)
		goto failed;
	if (start_threads(i) != 0) {
		fault_set(fault, "inbox: no memory or no thread");
		goto failed;
	}
	return i;
failed:
	stop_and_free(i);
	return NULL;
}

struct inbox *inbox_open(const struct inbox_options *options, struct fault *fault)
{
	return inbox_open_tuned(options, &inbox_tuning_default, fault);
}

/* Every write ends by itself: it is written, or its wait for a lock ends. */
void inbox_stop(struct inbox *i)
{
	if (!i)
		return;
	pthread_mutex_lock(&i->lock);
	i->closing = true;
	while (i->outstanding)
		pthread_cond_wait(&i->all_done, &i->lock);
	pthread_mutex_unlock(&i->lock);
}

void inbox_close(struct inbox *i)
{
	if (!i)
		return;
	inbox_stop(i);
	stop_and_free(i);
}
