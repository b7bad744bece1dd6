/* redis_ops.c - an operation as a command of the pipeline */
#include "redis_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CREATE_MAX 32 /* jobs of one run of the script: the server works on one while others are under way */
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

/* ---- commands, as the protocol writes them (RESP: an array of bulk strings) ---- */

static void put_count(struct buf *b, char kind, size_t count)
{
	buf_char(b, kind);
	buf_uint(b, count);
	buf_add(b, "\r\n", 2);
}

static void put(struct buf *b, struct span argument)
{
	put_count(b, '$', argument.len);
	buf_span(b, argument);
	buf_add(b, "\r\n", 2);
}

static void put_text(struct buf *b, const char *argument)
{
	put(b, span_of(argument));
}

static void put_int(struct buf *b, int64_t argument)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, argument);

	put(b, (struct span){digits, (size_t)len});
}

/* EVALSHA of that script with so many keys and arguments, which follow. */
static void put_script(struct buf *b, const struct redis_scripts *scripts, enum redis_script script, size_t keys,
                       size_t arguments)
{
	put_count(b, '*', 3 + keys + arguments);
	put_text(b, "EVALSHA");
	put(b, (struct span){scripts->sha[script], SHA1_HEX});
	put_int(b, (int64_t)keys);
}

/* ---- create ---- */

int64_t redis_ttl_ms(const struct store_create *c)
{
	return c->ttl_ms < CENTURY_MS ? c->ttl_ms : CENTURY_MS;
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

/* The job as it is kept: a line, see common.lua, and the seed. */
static void put_job(struct buf *b, struct buf *line, const struct store_create *c)
{
	char key[2 * DIGEST_BYTES];
	size_t lens[] = {strlen(c->tenant), strlen(c->traceparent), strlen(c->policy_version)};
	uint64_t numbers[] = {(uint64_t)redis_ttl_ms(c),
	                      c->goal_chars,
	                      c->stepped_up,
	                      c->policy_digest,
	                      c->advice,
	                      lens[0],
	                      lens[1],
	                      lens[2]};
	const char *texts[] = {c->tenant, c->traceparent, c->policy_version};

	buf_clear(line);
	buf_text(line, c->trace_id);
	buf_char(line, ' ');
	buf_span(line, digest_text(key, c->key_digest));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		buf_char(line, ' ');
		buf_uint(line, numbers[i]);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		buf_char(line, ' ');
		buf_add(line, texts[i], lens[i]);
	}
	buf_char(line, '\n');
	put_count(b, '$', line->len + c->seed.len);
	buf_add(b, line->ptr, line->len);
	buf_span(b, c->seed);
	buf_add(b, "\r\n", 2);
	if (line->failed)
		b->failed = true;
}

static void put_digests(struct buf *b, const struct store_create *c)
{
	char digest[2 * DIGEST_BYTES];

	put(b, digest_text(digest, c->key_digest));
	put(b, digest_text(digest, c->body_digest));
}

/* Those behind the first that go into the same run: the same life, and keys or none. */
static size_t count_alike(struct op *const *ops, size_t n)
{
	const struct store_create *first = ops[0]->create;
	size_t count = 1;

	while (count < n && count < CREATE_MAX && ops[count]->kind == OP_CREATE &&
	       ops[count]->create->ttl_ms == first->ttl_ms && !ops[count]->create->key_digest == !first->key_digest)
		count++;
	return count;
}

static size_t put_creates(struct buf *b, struct buf *line, const struct redis_names *names,
                          const struct redis_scripts *scripts, struct op *const *ops, size_t n, int64_t max_jobs)
{
	size_t count = count_alike(ops, n);
	bool keyed = ops[0]->create->key_digest != NULL;

	put_script(b, scripts, SCRIPT_CREATE, 5, 3 + (keyed ? 6 : 4) * count);
	for (unsigned i = KEY_JOBS; i <= KEY_ENDED; i++)
		put_text(b, names->keys[i]);
	put_int(b, max_jobs);
	put_int(b, redis_ttl_ms(ops[0]->create));
	put_int(b, (int64_t)count);
	for (size_t i = 0; i < count; i++) {
		put_text(b, ops[i]->id);
		put_job(b, line, ops[i]->create);
	}
	for (size_t i = 0; i < count; i++) {
		put_text(b, ops[i]->create->trace_id);
		put_text(b, ops[i]->id);
	}
	for (size_t i = 0; keyed && i < count; i++)
		put_digests(b, ops[i]->create);
	return count;
}

/* ---- the others ---- */

static const char *const changes[OP_KINDS] = {
        [OP_RELEASE] = "release",
        [OP_FINISH] = "finish",
        [OP_FAIL] = "fail",
        [OP_CANCEL] = "cancel",
};

/* The keys of one job, its id and its tenant: what they all begin with. */
static void put_whose(struct buf *b, const struct redis_names *names, const struct op *op)
{
	char now[REDIS_NAME_SIZE + JOB_ID_SIZE];
	int len = snprintf(now, sizeof(now), "%s%s:now", names->prefix, op->id);

	put_text(b, names->keys[KEY_JOBS]);
	put_text(b, names->keys[KEY_ENDS]);
	put(b, (struct span){now, (size_t)len});
	if (changes[op->kind])
		put_text(b, names->keys[KEY_ENDED]);
	put_text(b, op->id);
	if (op->tenant)
		put_text(b, op->tenant);
}

static void put_trace(struct buf *b, const struct redis_names *names, const struct redis_scripts *scripts,
                      const struct op *op)
{
	put_script(b, scripts, SCRIPT_TRACE, 3, 1);
	put_text(b, names->keys[KEY_JOBS]);
	put_text(b, names->keys[KEY_ENDS]);
	put_text(b, names->keys[KEY_TRACES]);
	put_text(b, op->id);
}

static void put_begin(struct buf *b, const struct redis_names *names, const struct redis_scripts *scripts,
                      const struct op *op)
{
	put_script(b, scripts, SCRIPT_BEGIN, 3, op->bytes.ptr ? 4 : 3);
	put_whose(b, names, op);
	put_int(b, op->claim_ms);
	if (op->bytes.ptr)
		put(b, op->bytes);
}

static void put_change(struct buf *b, const struct redis_names *names, const struct redis_scripts *scripts,
                       const struct op *op)
{
	put_script(b, scripts, SCRIPT_CHANGE, 4, 5);
	put_whose(b, names, op);
	put_text(b, changes[op->kind]);
	put_int(b, (int64_t)op->claim);
	put(b, op->bytes);
}

size_t redis_ops_put(struct buf *b, struct buf *line, const struct redis_names *names,
                     const struct redis_scripts *scripts, struct op *const *ops, size_t n, int64_t max_jobs)
{
	switch (ops[0]->kind) {
	case OP_CREATE:
		return put_creates(b, line, names, scripts, ops, n, max_jobs);
	case OP_TRACE:
		put_trace(b, names, scripts, ops[0]);
		return 1;
	case OP_BEGIN:
		put_begin(b, names, scripts, ops[0]);
		return 1;
	case OP_READ:
		put_script(b, scripts, SCRIPT_READ, 3, ops[0]->tenant ? 2 : 1);
		put_whose(b, names, ops[0]);
		return 1;
	default:
		put_change(b, names, scripts, ops[0]);
		return 1;
	}
}

void redis_sweep_put(struct buf *b, const struct redis_names *names, const struct redis_scripts *scripts, int limit)
{
	put_script(b, scripts, SCRIPT_SWEEP, KEY_NAMES, 1);
	for (unsigned i = 0; i < KEY_NAMES; i++)
		put_text(b, names->keys[i]);
	put_int(b, limit);
}

void redis_wait_put(struct buf *b, long long replicas, int ms)
{
	put_count(b, '*', 3);
	put_text(b, "WAIT");
	put_int(b, replicas);
	put_int(b, ms);
}
