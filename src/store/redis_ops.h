/*
 * redis_ops - an operation as a command, a reply as a result
 *
 * Commands are written straight into the batch's buffer in the form of the
 * protocol: hiredis's formatting took a third of the batcher's time.
 *
 * Jobs that are created one after the other in a batch are one run of the
 * script; every other operation is one of its own. src/store/redis/common.lua
 * says which keys there are and what they hold. Besides, behind the prefix:
 *   store            the marker: which store this is, and that nobody emptied it
 *   changed:<slot>   channels, see redis_listen.h
 */
#ifndef SIMLANE_STORE_REDIS_OPS_H
#define SIMLANE_STORE_REDIS_OPS_H

#include <hiredis/hiredis.h>

#include "engine.h"
#include "redis_scripts.h"

#define REDIS_PREFIX_MAX 100u

#define REDIS_NAME_SIZE (REDIS_PREFIX_MAX + 16)

enum redis_key { KEY_JOBS, KEY_TRACES, KEY_KEYS, KEY_ENDS, KEY_ENDED, KEY_MARKER, KEY_NAMES };

struct redis_names {
	char prefix[REDIS_PREFIX_MAX + 1];
	char keys[KEY_NAMES][REDIS_NAME_SIZE];
};

/* 0, or -1: the prefix is too long, has no {hash tag} or odd characters. */
int redis_names_make(struct redis_names *names, const char *prefix, struct fault *fault);

/* A job's life as the engine keeps it: a hundred years at most. */
int64_t redis_ttl_ms(const struct store_create *c);

/* Appends the command for the first of the operations (none is an OP_SWEEP),
 * with those behind it that go into the same one. Returns how many. line is
 * cleared and used. */
size_t redis_ops_put(struct buf *b, struct buf *line, const struct redis_names *names,
                     const struct redis_scripts *scripts, struct op *const *ops, size_t n, int64_t max_jobs);
/* A sweep of at most that many jobs. */
void redis_sweep_put(struct buf *b, const struct redis_names *names, const struct redis_scripts *scripts, int limit);
void redis_wait_put(struct buf *b, long long replicas, int ms);

/* A result with room for the texts of its view. The spans point into the
 * reply, or for a created job into the request. */
struct redis_answer {
	struct store_result result;
	struct job_view view;
	char job_id[JOB_ID_SIZE], trace_id[TRACE_ID_SIZE], tenant[TENANT_MAX + 1], version[VERSION_MAX + 1],
	        traceparent[TRACEPARENT_MAX + 1], failure[REASON_MAX + 1];
};

/* Reads the reply to op, or op's part of one to several; op->now_ms is set with a view. False: it is not what a script
 * of ours gives (an error reply is not for this function). */
bool redis_answer_read(struct redis_answer *a, struct op *op, const redisReply *reply);

struct redis_swept {
	int64_t depth;
	char marker[64]; /* "" when there is none */
	int64_t removed;
};

bool redis_swept_read(struct redis_swept *s, const redisReply *reply);

#endif
