/* redis_ops.c - an operation as a command of the pipeline */
#include "redis_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY_ROOM   (REDIS_PREFIX_MAX + 32)
#define CENTURY_MS (INT64_C(100) * 366 * 86400 * 1000)

static const char *const key_names[KEY_NAMES] = {
        [KEY_JOBS] = "jobs", [KEY_TRACES] = "traces", [KEY_KEYS] = "keys",
        [KEY_ENDS] = "ends", [KEY_ENDED] = "ended",   [KEY_MARKER] = "store",
};

int redis_names_make(struct redis_names *names, const char *prefix, struct fault *fault)
{
	size_t len = strlen(prefix);
	const char *open = strchr(prefix, '{');
	const char *close = open ? strchr(open, '}') : NULL;

	if (len > REDIS_PREFIX_MAX)
		return fault_set(fault, "SIM_REDIS_PREFIX is longer than %u characters", REDIS_PREFIX_MAX);
	if (!close || close == open + 1)
		return fault_set(fault, "SIM_REDIS_PREFIX has no {hash tag}: all keys must lie in one slot");
	for (const char *at = prefix; *at; at++)
		if (*at <= ' ' || *at > '~' || strchr("*?[]\\", *at))
			return fault_set(fault, "SIM_REDIS_PREFIX: only printable ASCII without blanks and *?[]\\");
	snprintf(names->prefix, sizeof(names->prefix), "%s", prefix);
	for (unsigned i = 0; i < KEY_NAMES; i++)
		snprintf(names->keys[i], sizeof(names->keys[i]), "%s%s", prefix, key_names[i]);
	return 0;
}

/* ---- commands ---- */

static void add(struct redis_command *c, const char *ptr, size_t len)
{
	c->argv[c->argc] = ptr;
	c->lens[c->argc++] = len;
}

static void add_text(struct redis_command *c, const char *text)
{
	add(c, text, strlen(text));
}

static void add_span(struct redis_command *c, struct span s)
{
	add(c, s.ptr ? s.ptr : "", s.len);
}

static void add_int(struct redis_command *c, int64_t value, char room[24])
{
	add(c, room, (size_t)snprintf(room, 24, "%" PRId64, value));
}

static void begin(struct redis_command *c, const struct redis_scripts *scripts, enum redis_script script,
                  const char *keys)
{
	c->argc = 0;
	add(c, "EVALSHA", 7);
	add(c, scripts->sha[script], SHA1_HEX);
	add(c, keys, 1);
}

static bool append(redisContext *context, struct redis_command *c)
{
	return redisAppendCommandArgv(context, c->argc, c->argv, c->lens) == REDIS_OK;
}

/* ---- create ---- */

int64_t redis_ttl_ms(const struct store_create *c)
{
	return c->ttl_ms < CENTURY_MS ? c->ttl_ms : CENTURY_MS;
}

/* The job as it is kept; see common.lua. */
static void write_job(struct buf *b, const struct store_create *c, struct span key)
{
	buf_text(b, c->trace_id);
	buf_char(b, ' ');
	buf_span(b, key);
	buf_char(b, ' ');
	buf_int(b, redis_ttl_ms(c));
	buf_char(b, ' ');
	buf_uint(b, c->goal_chars);
	buf_text(b, c->stepped_up ? " 1 " : " 0 ");
	buf_uint(b, c->policy_digest);
	buf_char(b, ' ');
	buf_uint(b, c->advice);
	buf_char(b, ' ');
	buf_uint(b, strlen(c->tenant));
	buf_char(b, ' ');
	buf_uint(b, strlen(c->traceparent));
	buf_char(b, ' ');
	buf_uint(b, strlen(c->policy_version));
	buf_char(b, ' ');
	buf_text(b, c->tenant);
	buf_char(b, ' ');
	buf_text(b, c->traceparent);
	buf_char(b, ' ');
	buf_text(b, c->policy_version);
	buf_char(b, '\n');
	buf_span(b, c->seed);
}

/* A digest as text; "-" for none. */
static struct span digest_text(char room[2 * DIGEST_BYTES], const uint8_t *digest)
{
	static const char digits[] = "0123456789abcdef";

	if (!digest)
		return span_of("-");
	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		room[2 * i] = digits[digest[i] >> 4];
		room[2 * i + 1] = digits[digest[i] & 15];
	}
	return (struct span){room, 2 * (size_t)DIGEST_BYTES};
}

/* The text moves while it grows: its pieces are added by their length, and
 * pointed to when all of it is there. */
static void write_piece(struct redis_command *c, struct span piece)
{
	buf_span(&c->text, piece);
	add(c, NULL, piece.len);
}

static void add_job(struct redis_command *c, const struct store_create *job)
{
	char key[2 * DIGEST_BYTES];
	size_t before = c->text.len;

	add_text(c, job->job_id);
	write_job(&c->text, job, digest_text(key, job->key_digest));
	add(c, NULL, c->text.len - before);
}

static void add_key(struct redis_command *c, const struct store_create *job)
{
	char digest[2 * DIGEST_BYTES];

	write_piece(c, digest_text(digest, job->key_digest));
	write_piece(c, digest_text(digest, job->body_digest));
}

/* Those behind the first that go into the same run: the same life, and keys or none. */
static size_t count_alike(struct op *const *ops, size_t n)
{
	const struct store_create *first = ops[0]->create;
	size_t count = 1;

	while (count < n && ops[count]->kind == OP_CREATE && ops[count]->create->ttl_ms == first->ttl_ms &&
	       !ops[count]->create->key_digest == !first->key_digest)
		count++;
	return count;
}

static void point_at_pieces(struct redis_command *c)
{
	const char *at = c->text.ptr;

	for (int i = 0; i < c->argc; i++) {
		if (c->argv[i])
			continue;
		c->argv[i] = at;
		at += c->lens[i];
	}
}

static size_t append_creates(redisContext *context, const struct redis_names *names,
                             const struct redis_scripts *scripts, struct op *const *ops, size_t n, int64_t max_jobs,
                             struct redis_command *c)
{
	char most[24], ttl[24], number[24];
	size_t count = count_alike(ops, n);

	buf_clear(&c->text);
	begin(c, scripts, SCRIPT_CREATE, "5");
	for (unsigned i = KEY_JOBS; i <= KEY_ENDED; i++)
		add_text(c, names->keys[i]);
	add_int(c, max_jobs, most);
	add_int(c, redis_ttl_ms(ops[0]->create), ttl);
	add_int(c, (int64_t)count, number);
	for (size_t i = 0; i < count; i++)
		add_job(c, ops[i]->create);
	for (size_t i = 0; i < count; i++) {
		add_text(c, ops[i]->create->trace_id);
		add_text(c, ops[i]->id);
	}
	for (size_t i = 0; i < count && ops[0]->create->key_digest; i++)
		add_key(c, ops[i]->create);
	point_at_pieces(c);
	return !c->text.failed && append(context, c) ? count : 0;
}

/* ---- the others ---- */

/* The key beside a job. */
static const char *now_key(char room[KEY_ROOM], const struct redis_names *names, const char *job_id)
{
	snprintf(room, KEY_ROOM, "%s%s:now", names->prefix, job_id);
	return room;
}

static const char *const changes[OP_KINDS] = {
        [OP_RELEASE] = "release",
        [OP_FINISH] = "finish",
        [OP_FAIL] = "fail",
        [OP_CANCEL] = "cancel",
};

static bool append_trace(redisContext *context, const struct redis_names *names, const struct redis_scripts *scripts,
                         const struct op *op, struct redis_command *c)
{
	begin(c, scripts, SCRIPT_TRACE, "3");
	add_text(c, names->keys[KEY_JOBS]);
	add_text(c, names->keys[KEY_ENDS]);
	add_text(c, names->keys[KEY_TRACES]);
	add_text(c, op->id);
	return append(context, c);
}

static bool append_one(redisContext *context, const struct redis_names *names, const struct redis_scripts *scripts,
                       const struct op *op, struct redis_command *c)
{
	const char *change = changes[op->kind];
	char room[KEY_ROOM], number[24];

	if (change)
		begin(c, scripts, SCRIPT_CHANGE, "4");
	else
		begin(c, scripts, op->kind == OP_BEGIN ? SCRIPT_BEGIN : SCRIPT_READ, "3");
	add_text(c, names->keys[KEY_JOBS]);
	add_text(c, names->keys[KEY_ENDS]);
	add_text(c, now_key(room, names, op->id));
	if (change)
		add_text(c, names->keys[KEY_ENDED]);
	add_text(c, op->id);
	add_text(c, op->tenant ? op->tenant : "");
	if (change) {
		add_text(c, change);
		add_int(c, (int64_t)op->claim, number);
		add_span(c, op->bytes);
	} else if (op->kind == OP_BEGIN) {
		add_int(c, op->claim_ms, number);
		if (op->bytes.ptr)
			add_span(c, op->bytes);
	}
	return append(context, c);
}

size_t redis_ops_append(redisContext *context, const struct redis_names *names, const struct redis_scripts *scripts,
                        struct op *const *ops, size_t n, int64_t max_jobs, struct redis_command *c)
{
	if (ops[0]->kind == OP_CREATE)
		return append_creates(context, names, scripts, ops, n, max_jobs, c);
	if (ops[0]->kind == OP_TRACE)
		return append_trace(context, names, scripts, ops[0], c);
	return append_one(context, names, scripts, ops[0], c);
}

int redis_sweep_append(redisContext *context, const struct redis_names *names, const struct redis_scripts *scripts,
                       int limit, struct redis_command *c)
{
	char number[24];

	begin(c, scripts, SCRIPT_SWEEP, "6");
	for (unsigned i = 0; i < KEY_NAMES; i++)
		add_text(c, names->keys[i]);
	add_int(c, limit, number);
	return append(context, c) ? 0 : -1;
}
