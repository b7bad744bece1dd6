/* redis_scripts.c - puts the scripts together and loads them */
#include "redis_scripts.h"

#include <string.h>

/* Made by tools/embed from src/store/redis/. */
extern const unsigned char redis_common_lua[], redis_create_lua[], redis_read_lua[], redis_trace_lua[],
        redis_begin_lua[], redis_change_lua[], redis_sweep_lua[];
extern const size_t redis_common_lua_len, redis_create_lua_len, redis_read_lua_len, redis_trace_lua_len,
        redis_begin_lua_len, redis_change_lua_len, redis_sweep_lua_len;

struct script_text {
	const char *flags; /* of the first line, see "Scripting with Lua" in Redis's documentation */
	const unsigned char *body;
	const size_t *len;
};

/* Without allow-oom a script is refused as a whole when memory is short: then no
 * job is added, and those that are there can be brought to their end. */
static const struct script_text texts[SCRIPTS] = {
        [SCRIPT_CREATE] = {"#!lua\n", redis_create_lua, &redis_create_lua_len},
        [SCRIPT_READ] = {"#!lua flags=no-writes\n", redis_read_lua, &redis_read_lua_len},
        [SCRIPT_TRACE] = {"#!lua flags=no-writes\n", redis_trace_lua, &redis_trace_lua_len},
        [SCRIPT_BEGIN] = {"#!lua flags=allow-oom\n", redis_begin_lua, &redis_begin_lua_len},
        [SCRIPT_CHANGE] = {"#!lua flags=allow-oom\n", redis_change_lua, &redis_change_lua_len},
        [SCRIPT_SWEEP] = {"#!lua flags=allow-oom\n", redis_sweep_lua, &redis_sweep_lua_len},
};

static int append(redisContext *context, const struct script_text *t)
{
	struct buf text = BUF_EMPTY;
	const char *argv[] = {"SCRIPT", "LOAD", NULL};
	size_t lens[] = {6, 4, 0};
	int failed = -1;

	buf_text(&text, t->flags);
	buf_add(&text, redis_common_lua, redis_common_lua_len);
	buf_add(&text, t->body, *t->len);
	argv[2] = text.ptr;
	lens[2] = text.len;
	if (!text.failed)
		failed = redisAppendCommandArgv(context, 3, argv, lens);
	buf_free(&text);
	return failed == REDIS_OK ? 0 : -1;
}

int redis_scripts_load(struct redis_scripts *s, redisContext *context, struct fault *fault)
{
	int failed = 0;

	for (unsigned i = 0; i < SCRIPTS; i++)
		if (append(context, &texts[i]) != 0)
			return fault_set(fault, "no memory for the scripts");
	for (unsigned i = 0; i < SCRIPTS; i++) {
		redisReply *reply = NULL;

		if (redisGetReply(context, (void **)&reply) != REDIS_OK)
			return fault_set(fault, "lost while the scripts were loaded: %s", context->errstr);
		if (reply->type == REDIS_REPLY_STRING && reply->len == SHA1_HEX)
			memcpy(s->sha[i], reply->str, SHA1_HEX + 1);
		else
			failed = fault_set(fault, "a script was refused: %s",
			                   reply->type == REDIS_REPLY_ERROR ? reply->str : "not a SHA1");
		freeReplyObject(reply);
	}
	return failed;
}
