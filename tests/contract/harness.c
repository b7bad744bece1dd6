/* harness.c - waiters, copies of views, operations */
#include "harness.h"

/* ---- answers ---- */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned calls;
	struct answer *into;
};

static const char *keep_text(char room[160], const char *text)
{
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_lt(strlen(text), 160);
	return strcpy(room, text);
}

static struct span keep_bytes(struct bytes *into, struct span s)
{
	if (!s.ptr)
		return s;
	into->ptr = malloc(s.len + 1);
	ck_assert_ptr_nonnull(into->ptr);
	memcpy(into->ptr, s.ptr, s.len);
	into->len = s.len;
	return (struct span){into->ptr, into->len};
}

static void keep_view(struct answer *a, const struct job_view *v)
{
	a->has_job = true;
	a->job = *v;
	a->job.job_id = keep_text(a->texts[0], v->job_id);
	a->job.trace_id = keep_text(a->texts[1], v->trace_id);
	a->job.tenant = keep_text(a->texts[2], v->tenant);
	a->job.policy_version = keep_text(a->texts[3], v->policy_version);
	a->job.traceparent = keep_text(a->texts[4], v->traceparent);
	a->job.failure = keep_text(a->texts[5], v->failure);
	a->job.seed = keep_bytes(&a->seed, v->seed);
	a->job.artifacts = keep_bytes(&a->artifacts, v->artifacts);
	a->job.receipt = keep_bytes(&a->receipt, v->receipt);
}

/* What a status may carry is part of the contract, so every answer is held to it. */
static void check_form(const struct answer *a)
{
	bool none = a->status == STORE_EXISTS || a->status == STORE_MISMATCH || a->status == STORE_IN_FLIGHT ||
	            a->status == STORE_FULL || a->status == STORE_NOT_FOUND || a->status == STORE_UNAVAILABLE;

	ck_assert_msg(a->has_job != none, "%s: view %s", store_status_name(a->status), none ? "given" : "missing");
	if (a->has_job && a->job.state != JOB_COMPLETE)
		ck_assert_ptr_null(a->job.receipt.ptr);
	if (a->has_job && a->job.state != JOB_FAILED)
		ck_assert_str_eq(a->job.failure, "");
}

void answer_free(struct answer *a)
{
	free(a->seed.ptr);
	free(a->artifacts.ptr);
	free(a->receipt.ptr);
}

struct waiter *waiter_new(struct answer *into)
{
	struct waiter *w = calloc(1, sizeof(*w));

	ck_assert_ptr_nonnull(w);
	ck_assert_int_eq(pthread_mutex_init(&w->lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&w->came, NULL), 0);
	memset(into, 0, sizeof(*into));
	w->into = into;
	return w;
}

void waiter_done(void *arg, const struct store_result *result)
{
	struct waiter *w = arg;

	pthread_mutex_lock(&w->lock);
	w->into->status = result->status;
	w->into->unknown = result->unknown;
	w->into->claim = result->claim;
	w->into->thread = pthread_self();
	if (result->job)
		keep_view(w->into, result->job);
	w->calls++;
	pthread_cond_signal(&w->came);
	pthread_mutex_unlock(&w->lock);
}

void waiter_wait(struct waiter *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->calls)
		pthread_cond_wait(&w->came, &w->lock);
	ck_assert_uint_eq(w->calls, 1);
	pthread_mutex_unlock(&w->lock);
	check_form(w->into);
	pthread_cond_destroy(&w->came);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* ---- operations ---- */

void draft_make(struct rig *r, struct draft *d)
{
	uint64_t n = atomic_fetch_add(&r->ids, 1) + 1;
	uint64_t id = n * UINT64_C(0x9e3779b97f4a7c15) >> 16;

	memset(d, 0, sizeof(*d));
	job_id_format(id, d->job_id);
	trace_id_format(rig_now(r), (uint32_t)n, d->trace_id);
	d->c = (struct store_create){
	        .job_id = d->job_id,
	        .trace_id = d->trace_id,
	        .tenant = "default",
	        .seed = span_of("{\"goal\":\"g\"}"),
	        .goal_chars = 1,
	        .policy_version = "v1",
	        .policy_digest = 7,
	        .traceparent = "",
	        .ttl_ms = TTL_MS,
	};
}

void draft_key(struct draft *d, unsigned key, unsigned body)
{
	memset(d->key, 0xa5, sizeof(d->key));
	memset(d->body, 0x5a, sizeof(d->body));
	/* they differ in the last bytes only: all 32 count */
	memcpy(d->key + DIGEST_BYTES - sizeof(key), &key, sizeof(key));
	memcpy(d->body + DIGEST_BYTES - sizeof(body), &body, sizeof(body));
	d->c.key_digest = d->key;
	d->c.body_digest = d->body;
}

char *hostile_bytes(size_t len, unsigned salt)
{
	char *bytes = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 131 + i / 256 + salt);
	return bytes;
}

void check_hostile(struct span got, size_t len, unsigned salt)
{
	char *want = hostile_bytes(len, salt);

	ck_assert_ptr_nonnull(got.ptr);
	ck_assert(span_equal(got, (struct span){want, len}));
	free(want);
}

#define ASK(a_, call_)                                                                                                 \
	do {                                                                                                           \
		struct waiter *w = waiter_new(a_);                                                                     \
		call_;                                                                                                 \
		waiter_wait(w);                                                                                        \
	} while (0)

void ask_create(struct rig *r, const struct draft *d, struct answer *a)
{
	ASK(a, store_create(r->store, &d->c, waiter_done, w));
}

void ask_read(struct rig *r, const char *tenant, const char *job_id, struct answer *a)
{
	ASK(a, store_read(r->store, tenant, job_id, waiter_done, w));
}

void ask_begin(struct rig *r, const char *tenant, const char *job_id, struct span artifacts, int64_t claim_ms,
               struct answer *a)
{
	ASK(a, store_begin(r->store, tenant, job_id, artifacts, claim_ms, waiter_done, w));
}

void ask_release(struct rig *r, const char *tenant, const char *job_id, uint64_t claim, struct answer *a)
{
	ASK(a, store_release(r->store, tenant, job_id, claim, waiter_done, w));
}

void ask_finish(struct rig *r, const char *tenant, const char *job_id, uint64_t claim, struct span receipt,
                struct answer *a)
{
	ASK(a, store_finish(r->store, tenant, job_id, claim, receipt, waiter_done, w));
}

void ask_fail(struct rig *r, const char *tenant, const char *job_id, uint64_t claim, const char *reason,
              struct answer *a)
{
	ASK(a, store_fail(r->store, tenant, job_id, claim, reason, waiter_done, w));
}

void ask_cancel(struct rig *r, const char *tenant, const char *job_id, struct answer *a)
{
	ASK(a, store_cancel(r->store, tenant, job_id, waiter_done, w));
}

void ask_trace(struct rig *r, const char *trace_id, struct answer *a)
{
	ASK(a, store_trace(r->store, trace_id, waiter_done, w));
}

static enum store_status drop(struct answer *a)
{
	answer_free(a);
	return a->status;
}

enum store_status try_create(struct rig *r, const struct draft *d)
{
	struct answer a;

	ask_create(r, d, &a);
	return drop(&a);
}

enum store_status try_read(struct rig *r, const char *job_id)
{
	struct answer a;

	ask_read(r, "default", job_id, &a);
	return drop(&a);
}

enum store_status try_begin(struct rig *r, const char *job_id, uint64_t *claim)
{
	struct answer a;

	ask_begin(r, "default", job_id, span_of("[{\"index\":0}]"), CLAIM_MS, &a);
	if (claim && a.status == STORE_OK)
		*claim = a.claim;
	return drop(&a);
}

enum store_status try_release(struct rig *r, const char *job_id, uint64_t claim)
{
	struct answer a;

	ask_release(r, "default", job_id, claim, &a);
	return drop(&a);
}

enum store_status try_finish(struct rig *r, const char *job_id, uint64_t claim)
{
	struct answer a;

	ask_finish(r, "default", job_id, claim, span_of("{\"file\":\"f\"}"), &a);
	return drop(&a);
}

enum store_status try_fail(struct rig *r, const char *job_id, uint64_t claim)
{
	struct answer a;

	ask_fail(r, "default", job_id, claim, "because", &a);
	return drop(&a);
}

enum store_status try_cancel(struct rig *r, const char *job_id)
{
	struct answer a;

	ask_cancel(r, "default", job_id, &a);
	return drop(&a);
}

uint64_t revision_of(struct rig *r, const char *job_id)
{
	struct answer a;

	ask_read(r, "default", job_id, &a);
	answer_free(&a);
	return a.has_job ? a.job.revision : 0;
}

/* ---- threads ---- */

struct runner {
	pthread_barrier_t *start;
	void (*body)(void *ctx, unsigned index);
	void *ctx;
	unsigned index;
	pthread_t thread;
};

static void *run(void *arg)
{
	struct runner *r = arg;

	pthread_barrier_wait(r->start);
	r->body(r->ctx, r->index);
	return NULL;
}

void run_threads(unsigned n, void (*body)(void *ctx, unsigned index), void *ctx)
{
	struct runner *runners = calloc(n, sizeof(*runners));
	pthread_barrier_t start;

	ck_assert_ptr_nonnull(runners);
	ck_assert_int_eq(pthread_barrier_init(&start, NULL, n), 0);
	for (unsigned i = 0; i < n; i++) {
		runners[i] = (struct runner){.start = &start, .body = body, .ctx = ctx, .index = i};
		ck_assert_int_eq(pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
	}
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(pthread_join(runners[i].thread, NULL), 0);
	pthread_barrier_destroy(&start);
	free(runners);
}
