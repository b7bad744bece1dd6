/*
 * redis_batch - a batch of operations as one pipeline
 *
 * Every operation is one atomic script; replies are answered as they come.
 * With SIM_REDIS_WAIT_REPLICAS a WAIT ends the pipeline, and nothing is
 * answered before that many replicas have all of it. (A server counts WAIT
 * from the end of its stream as it was at the connection's last command; so
 * it covers as well what was only read or replayed here and written by others
 * before.)
 *
 * When the connection is lost, the fate of what was asked and not answered is
 * unknown, and it is never asked a second time from here. While Redis is away
 * batches fail at once; the sweep, twice a second, sees to coming back.
 *
 * A server that has forgotten the scripts (SCRIPT FLUSH, a fail-over) did
 * nothing for the operations that say so: these are asked again after loading.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "redis.h"

#define DEPTH_FRESH_US 200000
#define COMPLAIN_US    1000000
#define SWEEP_SOME     100  /* jobs past their time that a batch takes out of the index on its way */
#define SWEEP_MANY     1000 /* that one round of the housekeeping does */
#define SWEEP_ROUNDS   10
#define WAIT_MS        500 /* below LINK_REPLY_MS */
#define COMMANDS_KEPT  (1u << 20)
#define RELOADS_MAX    3
#define FLUSH_OPS      8 /* a command of so many operations is sent at once */

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

/* ---- replies ---- */

/* Not more than once a second: an engine in trouble says the same to everybody. */
static void complain(struct redis *r, const struct op *op, const char *what)
{
	if (now_us() - r->complained_us < COMPLAIN_US)
		return;
	r->complained_us = now_us();
	LOG(r->engine.log, LOG_ERROR, "store-error", LOG_STR("job", op->id), LOG_STR("reason", what));
}

static void note_move(struct redis *r, const char *error)
{
	if (redis_error_moves(error))
		snprintf(r->moved, sizeof(r->moved), "%s", error);
}

static void answer_error(struct redis *r, struct op *op, const char *error)
{
	bool full = strncmp(error, "OOM", 3) == 0 && (op->kind == OP_CREATE || op->kind == OP_BEGIN);
	/* Raised inside a script, which is not rolled back; one that is refused as a whole did nothing. */
	bool inside = strstr(error, " script: ") != NULL;

	complain(r, op, error);
	note_move(r, error);
	if (full && !inside)
		op_answer_status(op, STORE_FULL);
	else
		op_answer_all_unavailable(&op, 1, inside);
}

static void answer(struct redis *r, struct op *op, const redisReply *reply)
{
	struct redis_answer a;

	if (reply->type == REDIS_REPLY_ERROR) {
		answer_error(r, op, reply->str);
	} else if (redis_answer_read(&a, op, reply)) {
		/* the listener hears of it too, but may be away just now */
		if (a.result.status == STORE_OK && op_changes(op) && op->kind != OP_CREATE)
			engine_changed(&r->engine, a.job_id, a.view.revision);
		op_answer(op, &a.result);
	} else {
		complain(r, op, "a reply that no script of this program gives: is something else at this key?");
		op_answer_all_unavailable(&op, 1, true);
	}
}

static bool is_forgotten(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0;
}

static redisReply *next_reply(struct redis *r)
{
	void *reply = NULL;

	return redisGetReply(redis_link_context(r->link), &reply) == REDIS_OK ? reply : NULL;
}

/* ---- one pipeline ---- */

struct pipeline {
	struct redis *r;
	struct op **ops;
	size_t n;
	struct op *again[ENGINE_BATCH_MAX]; /* those whose script was forgotten */
	size_t left;
	int sweep_limit; /* 0: no sweep */
	int64_t swept;
	bool forgotten;                 /* a script was: those that say so are asked again */
	bool emptied;                   /* the marker is not the one that was there before */
	size_t units[ENGINE_BATCH_MAX]; /* operations of each command */
	size_t unit_count;
	/* With a WAIT: what may not be told yet. */
	struct unit {
		struct op **ops;
		size_t n;
		redisReply *reply;
	} kept[ENGINE_BATCH_MAX];
	size_t kept_count;
};

/* Sends what is in the buffer: the server begins while the rest is written. */
static bool flush(struct pipeline *p)
{
	struct redis *r = p->r;
	struct buf *b = &r->commands;
	redisContext *context = redis_link_context(r->link);
	int sent = 0;

	if (b->failed || (b->len > 0 && redisAppendFormattedCommand(context, b->ptr, b->len) != REDIS_OK))
		return false;
	if (b->cap > COMMANDS_KEPT)
		buf_free(b);
	buf_clear(b);
	while (!sent)
		if (redisBufferWrite(context, &sent) != REDIS_OK)
			return false;
	return true;
}

/* Puts the operations from the first on into the buffer; larger commands go at once. */
static bool put_ops(struct pipeline *p, size_t first)
{
	struct redis *r = p->r;

	for (size_t i = first; i < p->n; i += p->units[p->unit_count++]) {
		size_t n = redis_ops_put(&r->commands, &r->line, &r->names, &r->scripts, p->ops + i, p->n - i,
		                         r->engine.max_jobs);

		p->units[p->unit_count] = n;
		if (n >= FLUSH_OPS && i + n < p->n && !flush(p))
			return false;
	}
	return true;
}

static bool fill(struct pipeline *p)
{
	struct redis *r = p->r;
	struct buf *b = &r->commands;

	buf_clear(b);
	p->unit_count = 0;
	if (!put_ops(p, 0))
		return false;
	if (p->sweep_limit)
		redis_sweep_put(b, &r->names, &r->scripts, p->sweep_limit);
	if (r->wait_replicas)
		redis_wait_put(b, r->wait_replicas, WAIT_MS);
	return flush(p);
}

/* While the server is at work: what has come meanwhile joins, so that it need
 * not wait for us, nor we for it. False: the connection is lost. */
static bool extend(struct pipeline *p)
{
	size_t before = p->n, more;

	if (p->sweep_limit || p->r->wait_replicas || p->left > 0)
		return true; /* something else ends this pipeline */
	more = engine_more(&p->r->engine, p->ops, p->n, FLUSH_OPS);
	for (size_t i = 0; i < more; i++) {
		struct op *op = p->ops[before + i];

		if (op->kind == OP_SWEEP)
			p->r->sweep_due = true;
		else
			p->ops[p->n++] = op;
		if (op->kind == OP_SWEEP)
			op_answer_status(op, STORE_OK); /* the next batch does it */
	}
	return p->n == before || (put_ops(p, before) && flush(p));
}

/* The reply to one command, which may be of several creations. */
static void answer_unit(struct redis *r, struct op **ops, size_t n, const redisReply *reply)
{
	/* all created: one number */
	bool each = ops[0]->kind == OP_CREATE && reply->type == REDIS_REPLY_ARRAY && reply->elements == n;

	for (size_t i = 0; i < n; i++)
		answer(r, ops[i], each ? reply->element[i] : reply);
}

static void take_reply(struct pipeline *p, struct op **ops, size_t n, redisReply *reply)
{
	if (is_forgotten(reply)) {
		p->forgotten = true;
		memcpy(p->again + p->left, ops, n * sizeof(struct op *));
		p->left += n;
	} else if (p->r->wait_replicas) {
		p->kept[p->kept_count++] = (struct unit){ops, n, reply};
		return;
	} else {
		answer_unit(p->r, ops, n, reply);
	}
	freeReplyObject(reply);
}

/* An engine that does not even let itself be swept is not well, until it does. */
static void trouble(struct redis *r, const char *error)
{
	if (!r->troubled)
		LOG(r->engine.log, LOG_ERROR, "store-error", LOG_STR("reason", error));
	r->troubled = true;
	atomic_store(&r->engine.up, false);
	note_move(r, error);
}

/* The depth, and whether these are still the jobs that were here before. */
static void take_sweep(struct pipeline *p, const redisReply *reply)
{
	struct redis *r = p->r;
	struct redis_swept swept;

	if (is_forgotten(reply)) {
		p->forgotten = true;
	} else if (reply->type == REDIS_REPLY_ERROR) {
		trouble(r, reply->str);
	} else if (redis_swept_read(&swept, reply)) {
		r->troubled = false;
		atomic_store(&r->engine.up, true);
		p->swept = swept.removed;
		atomic_store(&r->engine.depth, swept.depth);
		r->depth_us = now_us();
		p->emptied = strcmp(swept.marker, r->marker) != 0;
	}
}

/* With a WAIT: the last reply tells whether what is kept may be told. */
static void tell_kept(struct pipeline *p, const redisReply *waited)
{
	struct redis *r = p->r;
	long long have = waited->type == REDIS_REPLY_INTEGER ? waited->integer : 0;
	bool enough = have >= r->wait_replicas;

	if (!enough)
		snprintf(r->moved, sizeof(r->moved), "only %lld of %lld replicas have confirmed", have,
		         r->wait_replicas);
	for (size_t i = 0; i < p->kept_count; i++) {
		struct unit *u = &p->kept[i];

		if (enough || u->reply->type == REDIS_REPLY_ERROR)
			answer_unit(r, u->ops, u->n, u->reply);
		else
			op_answer_all_unavailable(u->ops, u->n, true);
		freeReplyObject(u->reply);
	}
	p->kept_count = 0;
}

/* The connection is lost: nobody knows what became of these. */
static void give_up(struct pipeline *p, size_t next)
{
	struct redis *r = p->r;
	redisContext *context = redis_link_context(r->link);

	redis_lose(r, context->err ? context->errstr : "no memory for a request");
	for (size_t i = 0; i < p->kept_count; i++) {
		freeReplyObject(p->kept[i].reply);
		op_answer_all_unavailable(p->kept[i].ops, p->kept[i].n, true);
	}
	op_answer_all_unavailable(p->again, p->left, false);
	op_answer_all_unavailable(p->ops + next, p->n - next, true);
}

/* Runs it once. False: the connection is lost and all are answered. */
static bool run_once(struct pipeline *p)
{
	redisReply *reply;
	size_t i = 0;

	p->left = p->kept_count = 0;
	p->forgotten = p->emptied = false;
	if (!fill(p)) {
		give_up(p, 0);
		return false;
	}
	for (size_t unit = 0; unit < p->unit_count; i += p->units[unit++]) {
		reply = next_reply(p->r);
		if (!reply) {
			give_up(p, i);
			return false;
		}
		take_reply(p, p->ops + i, p->units[unit], reply);
		if (p->units[unit] >= FLUSH_OPS)
			batcher_end_now();
		if (!extend(p)) {
			give_up(p, i + p->units[unit]);
			return false;
		}
	}
	for (int more = (p->sweep_limit != 0) + (p->r->wait_replicas != 0); more > 0; more--) {
		reply = next_reply(p->r);
		if (!reply) {
			give_up(p, i);
			return false;
		}
		if (more == 1 && p->r->wait_replicas)
			tell_kept(p, reply);
		else
			take_sweep(p, reply);
		freeReplyObject(reply);
	}
	p->n = p->left;
	memcpy(p->ops, p->again, p->left * sizeof(struct op *));
	return true;
}

/* What run_once has found besides. False: the connection is lost. */
static bool put_right(struct pipeline *p)
{
	struct redis *r = p->r;
	struct fault why = {""};

	if (!r->moved[0] && p->emptied && redis_mark(r, &why) != 0)
		snprintf(r->moved, sizeof(r->moved), "%s", why.text);
	if (!r->moved[0] && p->forgotten && redis_scripts_load(&r->scripts, redis_link_context(r->link), &why) != 0)
		snprintf(r->moved, sizeof(r->moved), "%s", why.text);
	if (!r->moved[0])
		return true;
	redis_lose(r, r->moved);
	r->moved[0] = '\0';
	return false;
}

/* Until every operation has its answer. */
static void run_all(struct redis *r, struct op **ops, size_t n, bool housekeeping)
{
	struct pipeline p; /* most of its room is not used: it is not cleared */

	p.r = r;
	p.ops = ops;
	p.n = n;
	for (int round = 0;; round++) {
		p.sweep_limit = housekeeping ? SWEEP_MANY : now_us() - r->depth_us > DEPTH_FRESH_US ? SWEEP_SOME : 0;
		p.swept = 0;
		if (!run_once(&p))
			return;
		batcher_end_now(); /* what follows may take a while */
		if (!put_right(&p) || ((p.n > 0 || p.forgotten) && round >= RELOADS_MAX))
			break;
		housekeeping = housekeeping && p.swept == SWEEP_MANY && round < SWEEP_ROUNDS;
		if (p.n == 0 && !p.forgotten && !housekeeping)
			break;
	}
	op_answer_all_unavailable(p.ops, p.n, false);
}

void redis_run(struct engine *e, struct op **ops, size_t n)
{
	struct redis *r = (struct redis *)e;
	struct op *sweep = NULL;
	struct fault why = {""};
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (ops[i]->kind == OP_SWEEP)
			sweep = ops[i]; /* the engine asks for one at a time */
		else
			ops[count++] = ops[i];
	}
	if (redis_connect(r, &why) == LINK_READY) {
		run_all(r, ops, count, sweep != NULL || r->sweep_due);
		r->sweep_due = false;
	} else
		op_answer_all_unavailable(ops, count, false);
	if (sweep)
		op_answer_status(sweep, atomic_load(&e->up) ? STORE_OK : STORE_UNAVAILABLE);
}
