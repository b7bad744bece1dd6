/* syncer.c - many files to the disk at once */
#include "syncer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define STACK_BYTES (256 * 1024)

struct syncer {
	const struct inbox_sys *sys;
	pthread_t *threads;
	unsigned thread_count;

	/* the group under way: written before the threads are woken */
	const int *fds;
	int *errors;
	size_t n;
	atomic_size_t next; /* the first file that nobody has taken */

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t work, idle;
	unsigned wanted; /* threads that may still join the group */
	unsigned active; /* threads that are in it */
	bool stopping;
};

static void sync_some(struct syncer *s)
{
	size_t i;

	while ((i = atomic_fetch_add(&s->next, 1)) < s->n)
		s->errors[i] = s->sys->fsync(s->sys, s->fds[i]) == 0 ? 0 : errno ? errno : EIO;
}

static void *run(void *arg)
{
	struct syncer *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		if (s->wanted == 0) {
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		s->wanted--;
		s->active++;
		pthread_mutex_unlock(&s->lock);
		sync_some(s);
		pthread_mutex_lock(&s->lock);
		if (--s->active == 0)
			pthread_cond_signal(&s->idle);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Signals are for the main thread. */
static void start_threads(struct syncer *s, unsigned threads)
{
	pthread_attr_t attr;
	sigset_t all, before;

	if (pthread_attr_init(&attr) != 0)
		return;
	sigfillset(&all);
	if (pthread_attr_setstacksize(&attr, STACK_BYTES) == 0 && pthread_sigmask(SIG_SETMASK, &all, &before) == 0) {
		while (s->thread_count < threads && pthread_create(&s->threads[s->thread_count], &attr, run, s) == 0) {
			pthread_setname_np(s->threads[s->thread_count], "inbox-sync");
			s->thread_count++;
		}
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	pthread_attr_destroy(&attr);
}

struct syncer *syncer_start(const struct inbox_sys *sys, unsigned threads)
{
	struct syncer *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->sys = sys;
	s->threads = calloc(threads ? threads : 1, sizeof(*s->threads));
	if (!s->threads)
		goto no_threads;
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		goto no_threads;
	if (pthread_cond_init(&s->work, NULL) != 0)
		goto no_work;
	if (pthread_cond_init(&s->idle, NULL) != 0)
		goto no_idle;
	start_threads(s, threads);
	return s;
no_idle:
	pthread_cond_destroy(&s->work);
no_work:
	pthread_mutex_destroy(&s->lock);
no_threads:
	free(s->threads);
	free(s);
	return NULL;
}

void syncer_stop(struct syncer *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->thread_count; i++)
		pthread_join(s->threads[i], NULL);
	pthread_cond_destroy(&s->idle);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	free(s->threads);
	free(s);
}

void syncer_run(struct syncer *s, const int *fds, int *errors, size_t n)
{
	size_t helpers = n > 1 ? n - 1 : 0;

	if (helpers > s->thread_count)
		helpers = s->thread_count;
	s->fds = fds;
	s->errors = errors;
	s->n = n;
	atomic_store(&s->next, 0);
	if (helpers) {
		pthread_mutex_lock(&s->lock);
		s->wanted = (unsigned)helpers;
		for (size_t i = 0; i < helpers; i++)
			pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->lock);
	}
	sync_some(s);
	if (!helpers)
		return;
	pthread_mutex_lock(&s->lock);
	s->wanted = 0; /* whoever has not joined by now need not */
	while (s->active)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
}
