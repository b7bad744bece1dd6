/*
 * redis - the store that any number of daemons share
 *
 * Here: opening, closing, and what is asked of a connection that was just
 * made. redis_batch.c runs the operations, redis_listen.c hears of what other
 * daemons change.
 */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends.h"
#include "simlane/crypto.h"

/* ---- the connection ---- */

/* One command, its reply; NULL: lost. */
static redisReply *ask(struct redis *r, int argc, const char **argv)
{
	return redisCommandArgv(redis_link_context(r->link), argc, argv, NULL);
}

/* "simlane 1 <random>": the version of what the keys hold, and which store it is. */
static void draw_marker(char out[REDIS_MARKER_SIZE])
{
	uint64_t random;

	crypto_random(&random, sizeof(random));
	snprintf(out, REDIS_MARKER_SIZE, "simlane 1 %016llx", (unsigned long long)random);
}

static int read_marker(struct redis *r, const redisReply *reply, const char *mine, struct fault *fault)
{
	char before[REDIS_MARKER_SIZE];

	memcpy(before, r->marker, sizeof(before));
	if (reply->type == REDIS_REPLY_NIL)
		snprintf(r->marker, sizeof(r->marker), "%s", mine);
	else if (reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "simlane 1 ", 10) == 0)
		snprintf(r->marker, sizeof(r->marker), "%s", reply->str);
	else
		return fault_set(fault, "%s: %s",
		                 reply->type == REDIS_REPLY_ERROR ? reply->str : "another program's or a newer one's",
		                 r->names.keys[KEY_MARKER]);
	if (before[0] && strcmp(before, r->marker) != 0)
		LOG(r->engine.log, LOG_ERROR, "store-emptied",
		    LOG_STR("reason", "this Redis does not hold the jobs any more that were here before"));
	return 0;
}

int redis_mark(struct redis *r, struct fault *fault)
{
	char mine[REDIS_MARKER_SIZE];
	const char *argv[] = {"SET", r->names.keys[KEY_MARKER], mine, "NX", "GET"};
	redisReply *reply;
	int failed;

	draw_marker(mine);
	reply = ask(r, 5, argv);
	if (!reply)
		return fault_set(fault, "lost at the first command");
	failed = read_marker(r, reply, mine, fault);
	freeReplyObject(reply);
	return failed;
}

/* May this user publish? A script that may not would change a job and tell nobody. */
static int try_publish(struct redis *r, struct fault *fault)
{
	char channel[REDIS_PREFIX_MAX + 16];
	const char *argv[] = {"PUBLISH", channel, ""};
	redisReply *reply;
	int failed = 0;

	snprintf(channel, sizeof(channel), "%schanged:0", r->names.prefix);
	reply = ask(r, 3, argv);
	if (!reply)
		return fault_set(fault, "lost at the first command");
	if (reply->type == REDIS_REPLY_ERROR)
		failed = fault_set(fault, "%s (PUBLISH %s)", reply->str, channel);
	freeReplyObject(reply);
	return failed;
}

/* The first depth; and whether this user may do what the scripts do. */
static int try_sweep(struct redis *r, struct fault *fault)
{
	redisContext *context = redis_link_context(r->link);
	struct redis_swept swept;
	redisReply *reply = NULL;
	int failed = 0;

	buf_clear(&r->commands);
	redis_sweep_put(&r->commands, &r->names, &r->scripts, 1);
	if (r->commands.failed || redisAppendFormattedCommand(context, r->commands.ptr, r->commands.len) != REDIS_OK ||
	    redisGetReply(context, (void **)&reply) != REDIS_OK)
		return fault_set(fault, "lost at the first command");
	if (reply->type == REDIS_REPLY_ERROR)
		failed = fault_set(fault, "%s (the rights it takes: doc/scaling.md)", reply->str);
	else if (redis_swept_read(&swept, reply))
		atomic_store(&r->engine.depth, swept.depth);
	freeReplyObject(reply);
	return failed;
}

static int settle_in(struct redis *r, struct fault *fault)
{
	if (redis_scripts_load(&r->scripts, redis_link_context(r->link), fault) != 0 || try_publish(r, fault) != 0 ||
	    redis_mark(r, fault) != 0)
		return -1;
	return try_sweep(r, fault);
}

enum link_state redis_connect(struct redis *r, struct fault *fault)
{
	bool fresh = false;
	enum link_state state = redis_link_open(r->link, &fresh, fault);

	if (state == LINK_READY && fresh && settle_in(r, fault) != 0) {
		bool lost = redis_link_context(r->link)->err != 0;

		redis_link_lose(r->link, fault->text);
		state = lost || redis_error_moves(fault->text) ? LINK_AWAY : LINK_REFUSED;
	} else if (state == LINK_READY && fresh && r->listener) {
		redis_listener_renew(r->listener); /* it may be another primary now */
	}
	atomic_store(&r->engine.up, state == LINK_READY && !r->troubled);
	return state;
}

void redis_lose(struct redis *r, const char *why)
{
	redis_link_lose(r->link, why);
	r->troubled = false;
	atomic_store(&r->engine.up, false);
}

/* ---- the listener ---- */

static bool listen_to(struct engine *e, unsigned slot)
{
	return redis_listener_want(((struct redis *)e)->listener, slot);
}

static bool is_wanted(void *ctx, unsigned slot)
{
	struct redis *r = ctx;

	return watchers_any(&r->engine.watchers, slot);
}

static void is_listening(void *ctx, unsigned slot)
{
	struct redis *r = ctx;

	engine_listening(&r->engine, slot);
}

static void has_heard(void *ctx, const char *job_id, uint64_t revision)
{
	struct redis *r = ctx;

	engine_changed(&r->engine, job_id, revision);
}

static int start_listener(struct redis *r, const struct store_options *options, struct fault *fault)
{
	r->listener = redis_listener_start(&(struct redis_listener_options){.url = &r->url,
	                                                                    .prefix = r->names.prefix,
	                                                                    .log = options->log,
	                                                                    .slots = WATCH_SLOTS,
	                                                                    .wanted = is_wanted,
	                                                                    .listening = is_listening,
	                                                                    .heard = has_heard,
	                                                                    .ctx = r},
	                                   fault);
	return r->listener ? 0 : -1;
}

/* ---- life ---- */

static void redis_free(struct redis *r)
{
	redis_link_free(r->link);
	buf_free(&r->commands);
	buf_free(&r->line);
	free(r);
}

/* A Redis that is not there yet is waited for; one that will not have us stops the start. */
static int first_connection(struct redis *r, struct fault *fault)
{
	char shown[512];
	struct fault why = {""};
	enum link_state state = redis_connect(r, &why);

	redis_url_show(&r->url, shown, sizeof(shown));
	if (state == LINK_REFUSED)
		return fault_set(fault, "redis store: %s: %s", shown, why.text);
	if (state == LINK_AWAY)
		LOG(r->engine.log, LOG_WARN, "store-away", LOG_STR("server", shown), LOG_STR("reason", why.text));
	return 0;
}

static int prepare(struct redis *r, const struct store_options *options, struct fault *fault)
{
	if (!options->redis_url)
		return fault_set(fault, "redis store: no REDIS_URL");
	if (redis_url_parse(options->redis_url, &r->url, fault) != 0 ||
	    redis_names_make(&r->names, options->redis_prefix, fault) != 0)
		return -1;
	r->engine.log = options->log;
	r->wait_replicas = options->redis_wait_replicas;
	r->link = redis_link_new(&r->url, "simlane", options->log);
	if (!r->link)
		return fault_set(fault, "redis store: no memory");
	return first_connection(r, fault);
}

static struct store *redis_open(const struct store_options *options, struct fault *fault)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (!r) {
		fault_set(fault, "redis store: no memory");
		return NULL;
	}
	r->engine.run = redis_run;
	r->engine.listen = listen_to;
	if (prepare(r, options, fault) != 0 || engine_start(&r->engine, &store_redis, options, fault) != 0) {
		redis_free(r);
		return NULL;
	}
	if (start_listener(r, options, fault) != 0) {
		engine_stop(&r->engine);
		redis_free(r);
		return NULL;
	}
	return &r->engine.store;
}

static void redis_close(struct store *s)
{
	struct redis *r = (struct redis *)s;

	redis_listener_stop(r->listener); /* it asks the engine */
	engine_stop(&r->engine);          /* which may still tell it something */
	redis_listener_free(r->listener);
	redis_free(r);
}

const struct store_backend store_redis = {
        .name = "redis",
        .open = redis_open,
        .close = redis_close,
        .create = engine_create,
        .read = engine_read,
        .begin = engine_begin,
        .release = engine_release,
        .finish = engine_finish,
        .fail = engine_fail,
        .cancel = engine_cancel,
        .trace = engine_trace,
        .watch = engine_watch,
        .unwatch = engine_unwatch,
        .depth = engine_depth,
        .check = engine_check,
        .sweep = engine_sweep,
};
