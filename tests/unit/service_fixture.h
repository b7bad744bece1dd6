/*
 * service_fixture - a whole lane for a test, without HTTP
 *
 * A real service over a real store, inbox (in a directory of its own),
 * verifier, timer and policy. The store is wrapped, so that a test can step
 * in before each operation (struct hooks); the clocks are the system's with an
 * offset that the test moves.
 */
#ifndef TEST_SERVICE_FIXTURE_H
#define TEST_SERVICE_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "simlane/crypto.h"
#include "simlane/service.h"

#define ALL_SCOPES (SCOPE_SCHEDULE | SCOPE_COLLECT | SCOPE_INBOX)
#define TTL_MS     INT64_C(3600000)
#define SIMPLE     "{\"seed\":{\"goal\":\"map the river\"}}"

/* ---- the clock ---- */

struct lane_clock {
	struct clock clock; /* the first member */
	atomic_llong ahead_ms;
};

static inline int64_t lane_wall_ms(const struct clock *c)
{
	return clock_system.wall_ms(&clock_system) + atomic_load(&((struct lane_clock *)(uintptr_t)c)->ahead_ms);
}

static inline int64_t lane_mono_us(const struct clock *c)
{
	return clock_system.mono_us(&clock_system) + atomic_load(&((struct lane_clock *)(uintptr_t)c)->ahead_ms) * 1000;
}

/* ---- the store, with a test that steps in ---- */

enum store_op { OP_CREATE, OP_READ, OP_BEGIN, OP_RELEASE, OP_FINISH, OP_FAIL, OP_CANCEL, OP_TRACE, STORE_OPS };

struct hooks {
	/* Before the operation reaches the store: false answers with *status
	 * (and unknown) instead. NULL: nothing. */
	bool (*before)(void *ctx, enum store_op op, enum store_status *status, bool *unknown);
	bool (*watch)(void *ctx, struct store *inner, struct store_watch *w);
	bool (*unwatch)(void *ctx, struct store *inner, struct store_watch *w);
	void *ctx;
};

struct hooked {
	struct store store; /* the first member */
	struct store *inner;
	struct hooks hooks;
	atomic_uint calls[STORE_OPS];
};

static inline bool hooked_enter(struct store *s, enum store_op op, store_done *done, void *arg)
{
	struct hooked *h = (struct hooked *)s;
	struct store_result refused = {.status = STORE_UNAVAILABLE};
	atomic_fetch_add(&h->calls[op], 1);
	if (!h->hooks.before || h->hooks.before(h->hooks.ctx, op, &refused.status, &refused.unknown))
		return true;
	done(arg, &refused);
	return false;
}

static inline struct store *hooked_inner(struct store *s)
{
	return ((struct hooked *)s)->inner;
}

static inline void hooked_create(struct store *s, const struct store_create *c, store_done *done, void *arg)
{
	if (hooked_enter(s, OP_CREATE, done, arg))
		store_create(hooked_inner(s), c, done, arg);
}

static inline void hooked_read(struct store *s, const char *tenant, const char *job, store_done *done, void *arg)
{
	if (hooked_enter(s, OP_READ, done, arg))
		store_read(hooked_inner(s), tenant, job, done, arg);
}

static inline void hooked_begin(struct store *s, const char *tenant, const char *job, struct span artifacts,
                                int64_t claim_ms, store_done *done, void *arg)
{
	if (hooked_enter(s, OP_BEGIN, done, arg))
		store_begin(hooked_inner(s), tenant, job, artifacts, claim_ms, done, arg);
}

static inline void hooked_release(struct store *s, const char *tenant, const char *job, uint64_t claim,
                                  store_done *done, void *arg)
{
	if (hooked_enter(s, OP_RELEASE, done, arg))
		store_release(hooked_inner(s), tenant, job, claim, done, arg);
}

static inline void hooked_finish(struct store *s, const char *tenant, const char *job, uint64_t claim,
                                 struct span receipt, store_done *done, void *arg)
{
	if (hooked_enter(s, OP_FINISH, done, arg))
		store_finish(hooked_inner(s), tenant, job, claim, receipt, done, arg);
}

static inline void hooked_fail(struct store *s, const char *tenant, const char *job, uint64_t claim, const char *reason,
                               store_done *done, void *arg)
{
	if (hooked_enter(s, OP_FAIL, done, arg))
		store_fail(hooked_inner(s), tenant, job, claim, reason, done, arg);
}

static inline void hooked_cancel(struct store *s, const char *tenant, const char *job, store_done *done, void *arg)
{
	if (hooked_enter(s, OP_CANCEL, done, arg))
		store_cancel(hooked_inner(s), tenant, job, done, arg);
}

static inline void hooked_trace(struct store *s, const char *trace, store_done *done, void *arg)
{
	if (hooked_enter(s, OP_TRACE, done, arg))
		store_trace(hooked_inner(s), trace, done, arg);
}

static inline bool hooked_watch(struct store *s, struct store_watch *w)
{
	struct hooked *h = (struct hooked *)s;
	return h->hooks.watch ? h->hooks.watch(h->hooks.ctx, h->inner, w) : store_watch(h->inner, w);
}

static inline bool hooked_unwatch(struct store *s, struct store_watch *w)
{
	struct hooked *h = (struct hooked *)s;
	return h->hooks.unwatch ? h->hooks.unwatch(h->hooks.ctx, h->inner, w) : store_unwatch(h->inner, w);
}

static inline int64_t hooked_depth(struct store *s)
{
	return store_depth(hooked_inner(s));
}

static inline bool hooked_check(struct store *s)
{
	return store_check(hooked_inner(s));
}

static inline void hooked_sweep(struct store *s)
{
	store_sweep(hooked_inner(s));
}

static const struct store_backend hooked_backend = {
        .name = "hooked",
        .create = hooked_create,
        .read = hooked_read,
        .begin = hooked_begin,
        .release = hooked_release,
        .finish = hooked_finish,
        .fail = hooked_fail,
        .cancel = hooked_cancel,
        .trace = hooked_trace,
        .watch = hooked_watch,
        .unwatch = hooked_unwatch,
        .depth = hooked_depth,
        .check = hooked_check,
        .sweep = hooked_sweep,
};

/* ---- the lane ---- */

struct lane {
	struct lane_clock clock;
	struct hooked store;
	struct timer *timer;
	struct idgen *ids;
	struct verifier *verifier;
	struct inbox *inbox;
	struct service *service;
	uint8_t key[32];
	char dir[200], inbox_dir[256], keyring_file[256], revoked_file[256], policy_file[256];
};

struct lane_setup {
	const char *store;  /* NULL: memory */
	const char *policy; /* text of a policy file; NULL: the built-in one, and no file */
	bool disabled;
	int64_t request_timeout_ms; /* 0: 5000 */
	int64_t max_jobs;           /* 0: many */
	struct hooks hooks;
};

static inline void file_put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_eq(fwrite(text, 1, strlen(text), f), strlen(text));
	ck_assert_int_eq(fclose(f), 0);
}

static inline void lane_write_keyring(struct lane *l)
{
	uint8_t public_key[32];
	char x[base64url_size(32) + 1], text[400];
	memset(l->key, 7, sizeof(l->key));
	ed25519_public(public_key, l->key);
	x[base64url_encode(x, public_key, 32)] = '\0';
	snprintf(text, sizeof(text),
	         "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\",\"x\":\"%s\","
	         "\"simlane_tenants\":[\"*\"],\"simlane_acr\":[\"gtpsi\"]}]}",
	         x);
	file_put(l->keyring_file, text);
}

static inline bool lane_authorize(void *verifier, const struct claims *claims)
{
	return token_recheck(verifier, claims) == TOKEN_VALID;
}

static inline void lane_paths(struct lane *l)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(l->dir, sizeof(l->dir), "%s/service-test-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(l->dir));
	snprintf(l->inbox_dir, sizeof(l->inbox_dir), "%s/inbox", l->dir);
	snprintf(l->keyring_file, sizeof(l->keyring_file), "%s/keyring.json", l->dir);
	snprintf(l->revoked_file, sizeof(l->revoked_file), "%s/revoked", l->dir);
	snprintf(l->policy_file, sizeof(l->policy_file), "%s/policy.json", l->dir);
}

static inline void lane_open_store(struct lane *l, const struct lane_setup *setup)
{
	struct fault fault = {""};
	l->store = (struct hooked){.store = {.backend = &hooked_backend}, .hooks = setup->hooks};
	l->store.inner = store_open(setup->store ? setup->store : "memory",
	                            &(struct store_options){.clock = &l->clock.clock,
	                                                    .max_jobs = setup->max_jobs ? setup->max_jobs : 1000000,
	                                                    .memory_max_bytes = INT64_C(1) << 30},
	                            &fault);
	ck_assert_msg(l->store.inner != NULL, "%s", fault.text);
}

static inline void lane_open(struct lane *l, const struct lane_setup *setup)
{
	struct fault fault = {""};
	memset(l, 0, sizeof(*l));
	ck_assert_int_eq(crypto_init(), 0);
	json_object_seed(0);
	l->clock.clock = (struct clock){lane_wall_ms, lane_mono_us};
	lane_paths(l);
	lane_write_keyring(l);
	file_put(l->revoked_file, "");
	if (setup->policy)
		file_put(l->policy_file, setup->policy);
	lane_open_store(l, setup);
	l->timer = timer_start();
	l->ids = idgen_new();
	l->verifier =
	        verifier_new(&(struct verifier_options){.skew_ms = 0, .clock = &l->clock.clock, .cache_entries = 1024});
	ck_assert(l->timer && l->ids && l->verifier);
	l->inbox = inbox_open(&(struct inbox_options){.dir = l->inbox_dir,
	                                              .clock = &l->clock.clock,
	                                              .authorize = lane_authorize,
	                                              .authorize_ctx = l->verifier},
	                      &fault);
	ck_assert_msg(l->inbox != NULL, "%s", fault.text);
	l->service = service_new(&(struct service_options){.clock = &l->clock.clock,
	                                                   .store = &l->store.store,
	                                                   .inbox = l->inbox,
	                                                   .verifier = l->verifier,
	                                                   .timer = l->timer,
	                                                   .ids = l->ids,
	                                                   .enabled = !setup->disabled,
	                                                   .job_ttl_ms = TTL_MS,
	                                                   .request_timeout_ms = setup->request_timeout_ms
	                                                                                 ? setup->request_timeout_ms
	                                                                                 : 5000,
	                                                   .policy_file = setup->policy ? l->policy_file : NULL,
	                                                   .keyring_file = l->keyring_file,
	                                                   .revoked_file = l->revoked_file},
	                         &fault);
	ck_assert_msg(l->service != NULL, "%s", fault.text);
}

static inline void dir_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	(void)rmdir(path);
}

/* How many documents lie in the inbox. */
static inline int lane_documents(const struct lane *l)
{
	DIR *d = opendir(l->inbox_dir);
	struct dirent *e;
	int n = 0;
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static inline bool lane_has_document(const struct lane *l, const char *trace_id)
{
	char path[512];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s.json", l->inbox_dir, trace_id);
	return stat(path, &st) == 0;
}

/* The document, parsed; the caller lets it go. */
static inline json_t *lane_document(const struct lane *l, const char *trace_id)
{
	char path[512];
	json_error_t error;
	snprintf(path, sizeof(path), "%s/%s.json", l->inbox_dir, trace_id);
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(doc != NULL, "%s: %s", path, error.text);
	return doc;
}

/* ---- tokens ---- */

struct who {
	unsigned scopes;
	const char *sub, *tenant, *jti; /* NULL: "alice", none, "j" */
	int64_t lives_ms;               /* 0: an hour */
	bool stepped_up;
};

static inline const struct claims *lane_claims(struct lane *l, const struct who *who)
{
	int64_t now = clock_wall_ms(&l->clock.clock);
	struct token_mint m = {
	        .kid = "k1",
	        .iss = "tests",
	        .sub = who->sub ? who->sub : "alice",
	        .jti = who->jti ? who->jti : "j",
	        .tenant = who->tenant,
	        .acr = who->stepped_up ? "gtpsi" : NULL,
	        .scopes = who->scopes ? who->scopes : ALL_SCOPES,
	        .issued_ms = now - 2000,
	        .expires_ms = now + (who->lives_ms ? who->lives_ms : 3600000),
	        .auth_time_ms = who->stepped_up ? now - 2000 : 0,
	};
	struct buf token = BUF_EMPTY;
	const struct claims *claims = NULL;
	ck_assert(token_mint(&m, l->key, &token));
	enum token_verdict v = token_verify(l->verifier, (struct span){token.ptr, token.len}, &claims, NULL);
	ck_assert_msg(v == TOKEN_VALID, "%s", token_verdict_name(v));
	buf_free(&token);
	return claims;
}

static inline void lane_revoke(struct lane *l, const char *text)
{
	struct fault fault = {""};
	ck_assert_msg(verifier_load_revoked(l->verifier, span_of(text), &fault) >= 0, "%s", fault.text);
}

/* ---- asking ---- */

typedef void operation(struct service *s, struct service_call *call);

struct ask {
	struct service_call call; /* the first member */
	struct jdoc doc;
	pthread_mutex_t lock; /* guards ended */
	pthread_cond_t changed;
	int ended; /* how often done was called: once, or it is a defect */
};

static inline void ask_done(struct service_call *call)
{
	struct ask *a = (struct ask *)call;
	pthread_mutex_lock(&a->lock);
	a->ended++;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

/* Also for the next use of the same one. */
static inline void ask_reset(struct ask *a, struct lane *l, const struct claims *claims)
{
	service_call_reset(&a->call);
	a->call.claims = claims;
	a->call.done = ask_done;
	a->ended = 0;
	idgen_trace(l->ids, clock_wall_ms(&l->clock.clock), a->call.trace_id);
}

static inline void ask_init(struct ask *a, struct lane *l, const struct claims *claims)
{
	pthread_condattr_t attr;
	memset(a, 0, sizeof(*a));
	ck_assert_int_eq(pthread_condattr_init(&attr), 0);
	ck_assert_int_eq(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), 0);
	ck_assert_int_eq(pthread_cond_init(&a->changed, &attr), 0);
	pthread_condattr_destroy(&attr);
	ck_assert_int_eq(pthread_mutex_init(&a->lock, NULL), 0);
	ask_reset(a, l, claims);
}

static inline void ask_free(struct ask *a)
{
	service_call_free(&a->call);
	jdoc_free(&a->doc);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
}

/* body must outlive the call. */
static inline void ask_start(struct ask *a, struct lane *l, operation *op, const char *body)
{
	a->call.body_bytes = span_of(body);
	ck_assert_msg(jdoc_parse(&a->doc, a->call.body_bytes, NULL) == JDOC_OK, "%s", body);
	a->call.body = &a->doc;
	op(l->service, &a->call);
}

/* False: not ended within that time. */
static inline bool ask_wait(struct ask *a, int64_t timeout_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&a->lock);
	while (!a->ended && pthread_cond_timedwait(&a->changed, &a->lock, &until) == 0)
		continue;
	bool ended = a->ended > 0;
	ck_assert_int_le(a->ended, 1);
	pthread_mutex_unlock(&a->lock);
	return ended;
}

static inline void ask(struct ask *a, struct lane *l, operation *op, const char *body)
{
	ask_start(a, l, op, body);
	ck_assert_msg(ask_wait(a, 30000), "no answer to %s", body);
}

#define ck_problem(a_, want_)                                                                                          \
	do {                                                                                                           \
		enum problem got__ = (a_)->call.reply.problem, want__ = (want_);                                       \
		ck_assert_msg(got__ == want__, "%s (%s), not %s", problem_rows[got__].code,                            \
		              (a_)->call.reply.detail ? (a_)->call.reply.detail : "", problem_rows[want__].code);      \
	} while (0)

/* The reply's body, which must be one JSON object; the caller lets it go. */
static inline json_t *ask_body(const struct ask *a)
{
	json_error_t error;
	json_t *body = json_loadb(a->call.reply.body.ptr, a->call.reply.body.len, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json_is_object(body), "%s: %.*s", error.text, (int)a->call.reply.body.len,
	              a->call.reply.body.ptr);
	return body;
}

struct job {
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ANY_SIZE];
	char body[40]; /* {"job_id":"..."} */
};

/* Schedules that body, which must be accepted. */
static inline void schedule_as(struct lane *l, const struct claims *claims, const char *body, struct job *job)
{
	struct ask a;
	ask_init(&a, l, claims);
	ask(&a, l, service_schedule, body);
	ck_problem(&a, PROBLEM_NONE);
	memcpy(job->job_id, a.call.reply.job_id, sizeof(job->job_id));
	memcpy(job->trace_id, a.call.trace_id, sizeof(job->trace_id));
	snprintf(job->body, sizeof(job->body), "{\"job_id\":\"%s\"}", job->job_id);
	ask_free(&a);
}

/* One whole request; gives the problem. */
static inline enum problem ask_once(struct lane *l, const struct claims *claims, operation *op, const char *body)
{
	struct ask a;
	ask_init(&a, l, claims);
	ask(&a, l, op, body);
	enum problem p = a.call.reply.problem;
	ask_free(&a);
	return p;
}

/* Nothing may run any more when what it uses is taken away: the prober first,
 * then what is being written, then the timer's thread, which may still be
 * behind the end of a call, inside the store. */
static inline void lane_close(struct lane *l)
{
	service_stop(l->service);
	service_stop_probes(l->service);
	inbox_close(l->inbox);
	timer_stop(l->timer);
	store_close(l->store.inner);
	service_free(l->service);
	verifier_free(l->verifier);
	idgen_free(l->ids);
	dir_remove(l->inbox_dir);
	dir_remove(l->dir);
}

/* ---- the store itself, for who holds a claim from outside ---- */

struct claimed {
	enum store_status status;
	uint64_t claim;
	enum job_state state;
};

static inline void claimed_done(void *arg, const struct store_result *result)
{
	struct claimed *c = arg;
	c->status = result->status;
	c->claim = result->claim;
	if (result->job)
		c->state = result->job->state;
}

/* Takes the claim of a job of tenant "default", as another collector would. */
static inline uint64_t claim_take(struct lane *l, const struct job *job, int64_t claim_ms)
{
	struct claimed c = {.status = STORE_UNAVAILABLE};
	store_begin(l->store.inner, "default", job->job_id, span_of("[{\"index\":0}]"), claim_ms, claimed_done, &c);
	ck_assert_msg(c.status == STORE_OK, "%s", store_status_name(c.status));
	return c.claim;
}

static inline enum store_status claim_give_back(struct lane *l, const struct job *job, uint64_t claim)
{
	struct claimed c = {.status = STORE_UNAVAILABLE};
	store_release(l->store.inner, "default", job->job_id, claim, claimed_done, &c);
	return c.status;
}

static inline enum store_status claim_finish(struct lane *l, const struct job *job, uint64_t claim)
{
	struct claimed c = {.status = STORE_UNAVAILABLE};
	store_finish(l->store.inner, "default", job->job_id, claim,
	             span_of("{\"file\":\"x.json\",\"bytes\":1,\"shards_written\":1}"), claimed_done, &c);
	return c.status;
}

static inline enum job_state job_state(struct lane *l, const struct job *job)
{
	struct claimed c = {.status = STORE_UNAVAILABLE};
	store_read(l->store.inner, "default", job->job_id, claimed_done, &c);
	ck_assert_msg(c.status == STORE_OK, "%s", store_status_name(c.status));
	return c.state;
}

static inline void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

#endif
