/*
 * failing - the store that always says no, so that error paths can be tested
 *
 * Every operation answers STORE_UNAVAILABLE, from a thread of its own and
 * after some milliseconds, so that a request which waits for it is really
 * suspended. Nothing is ever kept; depth is -1, check is false, a watch is
 * never registered.
 *
 * One exception, so that "in flight" can be seen from outside: a create with
 * an idempotency key whose digest's first byte is odd answers STORE_IN_FLIGHT.
 * Of a few different keys about half do.
 */
#include <stdlib.h>

#include "backends.h"
#include "simlane/batcher.h"

#define DELAY_MS  3
#define QUEUE_MAX 65536
#define BATCH_MAX 256

struct failing {
	struct store store;
	struct batcher *batcher;
};

struct refusal {
	struct batch_item item; /* the first member */
	enum store_status status;
	store_done *done;
	void *arg;
};

static void refuse(void *ctx, struct batch_item **items, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		struct refusal *r = (struct refusal *)(void *)items[i];
		struct store_result result = {.status = r->status};

		r->done(r->arg, &result);
		free(r);
	}
}

static void refuse_later(struct store *s, enum store_status status, store_done *done, void *arg)
{
	struct refusal *r = malloc(sizeof(*r));

	if (r) {
		*r = (struct refusal){.status = status, .done = done, .arg = arg};
		if (batcher_submit(((struct failing *)s)->batcher, &r->item))
			return;
		free(r);
	}
	done(arg, &(struct store_result){.status = status});
}

static struct store *failing_open(const struct store_options *options, struct fault *fault)
{
	struct failing *f = calloc(1, sizeof(*f));
	struct batcher_options batching = {
	        .name = "failing-store",
	        .queue_max = QUEUE_MAX,
	        .batch_max = BATCH_MAX,
	        .linger_ms = DELAY_MS,
	        .execute = refuse,
	        .ctx = f,
	};

	(void)options;
	if (f)
		f->batcher = batcher_start(&batching);
	if (!f || !f->batcher) {
		fault_set(fault, "failing store: no memory or no thread");
		free(f);
		return NULL;
	}
	f->store.backend = &store_failing;
	return &f->store;
}

static void failing_close(struct store *s)
{
	batcher_stop(((struct failing *)s)->batcher);
	free(s);
}

static void failing_create(struct store *s, const struct store_create *c, store_done *done, void *arg)
{
	bool in_flight = c->key_digest && (c->key_digest[0] & 1);

	refuse_later(s, in_flight ? STORE_IN_FLIGHT : STORE_UNAVAILABLE, done, arg);
}

static void failing_read(struct store *s, const char *tenant, const char *job_id, store_done *done, void *arg)
{
	(void)tenant, (void)job_id;
	refuse_later(s, STORE_UNAVAILABLE, done, arg);
}

static void failing_begin(struct store *s, const char *tenant, const char *job_id, struct span artifacts,
                          int64_t claim_ms, store_done *done, void *arg)
{
	(void)tenant, (void)job_id, (void)artifacts, (void)claim_ms;
	refuse_later(s, STORE_UNAVAILABLE, done, arg);
}

static void failing_release(struct store *s, const char *tenant, const char *job_id, uint64_t claim, store_done *done,
                            void *arg)
{
	(void)tenant, (void)job_id, (void)claim;
	refuse_later(s, STORE_UNAVAILABLE, done, arg);
}

static void failing_finish(struct store *s, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                           store_done *done, void *arg)
{
	(void)tenant, (void)job_id, (void)claim, (void)receipt;
	refuse_later(s, STORE_UNAVAILABLE, done, arg);
}

static void failing_fail(struct store *s, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
                         store_done *done, void *arg)
{
	(void)tenant, (void)job_id, (void)claim, (void)reason;
	refuse_later(s, STORE_UNAVAILABLE, done, arg);
}

static void failing_trace(struct store *s, const char *trace_id, store_done *done, void *arg)
{
	(void)trace_id;
	refuse_later(s, STORE_UNAVAILABLE, done, arg);
}

static bool failing_watch(struct store *s, struct store_watch *w)
{
	(void)s, (void)w;
	return false;
}

static int64_t failing_depth(struct store *s)
{
	(void)s;
	return -1;
}

static bool failing_check(struct store *s)
{
	(void)s;
	return false;
}

static void failing_sweep(struct store *s)
{
	(void)s;
}

const struct store_backend store_failing = {
        .name = "failing",
        .open = failing_open,
        .close = failing_close,
        .create = failing_create,
        .read = failing_read,
        .begin = failing_begin,
        .release = failing_release,
        .finish = failing_finish,
        .fail = failing_fail,
        .cancel = failing_read,
        .trace = failing_trace,
        .watch = failing_watch,
        .unwatch = failing_watch,
        .depth = failing_depth,
        .check = failing_check,
        .sweep = failing_sweep,
};
