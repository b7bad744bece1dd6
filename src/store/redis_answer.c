/* redis_answer.c - what a script said, as a result */
#include <stdlib.h>
#include <string.h>

#include "redis_ops.h"

#define VIEW_MEMBERS 12u

/* ---- words ---- */

static bool is_text(const redisReply *r)
{
	return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS;
}

static struct span text_of(const redisReply *r)
{
	return is_text(r) ? (struct span){r->str, (size_t)r->len} : (struct span){NULL, 0};
}

/* The word's place in a list of names; count when it is none of them. */
static unsigned find_word(struct span word, const char *(*name)(unsigned), unsigned count)
{
	unsigned i = 0;

	while (i < count && !span_is(word, name(i)))
		i++;
	return i;
}

static const char *status_name(unsigned i)
{
	return store_status_name((enum store_status)i);
}

static const char *state_name(unsigned i)
{
	return job_state_name((enum job_state)i);
}

static bool read_status(struct span word, enum store_status *status)
{
	unsigned found = find_word(word, status_name, STORE_STATUSES);

	*status = (enum store_status)found;
	return found < STORE_STATUSES && *status != STORE_UNAVAILABLE;
}

/* ---- numbers and fields of the job's line ---- */

struct cursor {
	const char *at, *end;
	bool failed;
};

static uint64_t take_number(struct cursor *c)
{
	uint64_t value = 0;
	const char *begin = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - begin < 20)
		value = value * 10 + (uint64_t)(*c->at++ - '0');
	if (c->at == begin || c->at == c->end || (*c->at != ' ' && *c->at != '\n'))
		c->failed = true;
	else
		c->at++;
	return value;
}

/* The next len bytes and the separator behind them, as a string. */
static void take_text(struct cursor *c, size_t len, char separator, char *out, size_t size)
{
	if (c->failed || len >= size || (size_t)(c->end - c->at) <= len || c->at[len] != separator) {
		c->failed = true;
		return;
	}
	memcpy(out, c->at, len);
	out[len] = '\0';
	c->at += len + 1;
}

/* As take_text, up to the next blank. */
static void take_word(struct cursor *c, char *out, size_t size)
{
	const char *blank = c->failed ? NULL : memchr(c->at, ' ', (size_t)(c->end - c->at));

	if (blank)
		take_text(c, (size_t)(blank - c->at), ' ', out, size);
	else
		c->failed = true;
}

static bool read_line(struct redis_answer *a, struct span job, int64_t *ttl_ms)
{
	struct cursor c = {.at = job.ptr, .end = job.ptr + job.len};
	struct job_view *v = &a->view;
	char key_digest[2 * DIGEST_BYTES + 1];
	size_t tenant, traceparent, version;

	take_word(&c, a->trace_id, sizeof(a->trace_id));
	take_word(&c, key_digest, sizeof(key_digest)); /* of no interest here */
	*ttl_ms = (int64_t)take_number(&c);
	v->goal_chars = (uint32_t)take_number(&c);
	v->stepped_up = take_number(&c) == 1;
	v->policy_digest = take_number(&c);
	v->advice = take_number(&c);
	tenant = take_number(&c);
	traceparent = take_number(&c);
	version = take_number(&c);
	take_text(&c, tenant, ' ', a->tenant, sizeof(a->tenant));
	take_text(&c, traceparent, ' ', a->traceparent, sizeof(a->traceparent));
	take_text(&c, version, '\n', a->version, sizeof(a->version));
	v->seed = (struct span){c.at, (size_t)(c.end - c.at)};
	return !c.failed;
}

static bool read_number(const redisReply *r, uint64_t fallback, uint64_t *value)
{
	struct span text = text_of(r);
	char digits[24], *end;

	*value = fallback;
	if (!text.ptr)
		return r->type == REDIS_REPLY_NIL;
	if (text.len == 0 || text.len >= sizeof(digits))
		return false;
	memcpy(digits, text.ptr, text.len);
	digits[text.len] = '\0';
	*value = strtoull(digits, &end, 10);
	return *end == '\0';
}

/* ---- results ---- */

static void point_at_texts(struct redis_answer *a)
{
	a->view.job_id = a->job_id;
	a->view.trace_id = a->trace_id;
	a->view.tenant = a->tenant;
	a->view.policy_version = a->version;
	a->view.traceparent = a->traceparent;
	a->view.failure = a->failure;
	a->result.job = &a->view;
}

/* A job that was created just now, from the request. */
static void view_created(struct redis_answer *a, const struct op *op, int64_t now_ms)
{
	const struct store_create *c = op->create;
	int64_t expires_ms = now_ms + redis_ttl_ms(c);

	a->view = (struct job_view){
	        .job_id = c->job_id,
	        .trace_id = c->trace_id,
	        .tenant = c->tenant,
	        .state = JOB_SCHEDULED,
	        .revision = 1,
	        .created_ms = now_ms,
	        .updated_ms = now_ms,
	        .expires_ms = expires_ms,
	        .seed = c->seed,
	        .goal_chars = c->goal_chars,
	        .policy_version = c->policy_version,
	        .policy_digest = c->policy_digest,
	        .stepped_up = c->stepped_up,
	        .advice = c->advice,
	        .traceparent = c->traceparent,
	        .failure = "",
	};
	a->result = (struct store_result){.status = STORE_OK, .job = &a->view};
}

/* {status, now, id, job, ends, state, revision, updated, artifacts, receipt, failure, until} */
static bool read_view(struct redis_answer *a, struct op *op, redisReply *const *m)
{
	struct span id = text_of(m[2]), job = text_of(m[3]), state = text_of(m[5]), failure = text_of(m[10]);
	unsigned found = state.ptr ? find_word(state, state_name, JOB_STATES) : JOB_SCHEDULED;
	uint64_t updated = 0, until = 0;
	int64_t ttl_ms = 0;

	if (!read_status(text_of(m[0]), &a->result.status) || m[1]->type != REDIS_REPLY_INTEGER || !id.ptr ||
	    !job_id_parse(id, NULL) || !job.ptr || m[4]->type != REDIS_REPLY_INTEGER || !read_line(a, job, &ttl_ms) ||
	    found == JOB_STATES || !read_number(m[6], 1, &a->view.revision) || !read_number(m[7], 0, &updated) ||
	    !read_number(m[11], 0, &until) || failure.len > REASON_MAX)
		return false;
	memcpy(a->job_id, id.ptr, id.len);
	a->job_id[id.len] = '\0';
	if (failure.len > 0)
		memcpy(a->failure, failure.ptr, failure.len);
	a->failure[failure.len] = '\0';
	a->view.state = (enum job_state)found;
	a->view.expires_ms = m[4]->integer;
	a->view.created_ms = a->view.expires_ms - ttl_ms;
	a->view.updated_ms = updated ? (int64_t)updated : a->view.created_ms;
	a->view.artifacts = text_of(m[8]);
	a->view.receipt = text_of(m[9]);
	op->now_ms = m[1]->integer;
	if (a->result.status == STORE_BUSY)
		a->result.busy_ms = (int64_t)until - op->now_ms;
	if (a->result.status == STORE_OK && op->kind == OP_BEGIN)
		a->result.claim = a->view.revision;
	point_at_texts(a);
	return true;
}

bool redis_answer_read(struct redis_answer *a, struct op *op, const redisReply *reply)
{
	memset(&a->result, 0, sizeof(a->result));
	memset(&a->view, 0, sizeof(a->view));
	switch (reply->type) {
	case REDIS_REPLY_INTEGER:
		if (op->kind != OP_CREATE)
			return false;
		view_created(a, op, reply->integer);
		return true;
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		return read_status(text_of(reply), &a->result.status) && !rule_shows_job(a->result.status);
	case REDIS_REPLY_ARRAY:
		return reply->elements == VIEW_MEMBERS && read_view(a, op, reply->element);
	default:
		return false;
	}
}

bool redis_swept_read(struct redis_swept *s, const redisReply *reply)
{
	struct span marker;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
	    reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[2]->type != REDIS_REPLY_INTEGER)
		return false;
	s->depth = reply->element[0]->integer;
	s->removed = reply->element[2]->integer;
	marker = text_of(reply->element[1]);
	if (marker.len >= sizeof(s->marker))
		return false;
	if (marker.len > 0)
		memcpy(s->marker, marker.ptr, marker.len);
	s->marker[marker.len] = '\0';
	return true;
}
