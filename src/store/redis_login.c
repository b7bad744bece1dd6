/*
 * redis_login - the first words on a new connection: see redis_dial.h
 *
 * AUTH, SELECT, INFO and CLIENT SETNAME go out together; the first one that is
 * refused says why the connection is of no use. What the server answers to
 * AUTH is never repeated: some answers quote the command.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_dial.h"
#include "redis_wire.h"
#include "simlane/span.h"

#define VERSION_LEAST 7

struct login {
	redisContext *c;
	const struct redis_url *url;
	int64_t deadline_us;
	struct link_facts *facts;
	struct fault *why;
};

static enum link_state say(struct login *l, enum link_state state, const char *what)
{
	fault_set(l->why, "%s", what);
	return state;
}

/* What any command may be answered with. LINK_READY: none of these. */
static enum link_state judge_common(struct login *l, const char *error)
{
	static const struct {
		const char *begins, *says;
		enum link_state state;
	} common[] = {
	        {"LOADING", "is loading its data", LINK_AWAY},
	        {"MASTERDOWN", "is a replica without its primary", LINK_AWAY},
	        {"BUSY", "is busy with a script", LINK_AWAY},
	        {"ERR max number of clients", "has no room for another connection", LINK_AWAY},
	        {"DENIED", "is in protected mode: it needs a password, or protected-mode no", LINK_REFUSED},
	        {"NOAUTH", "asks for a password, and REDIS_URL has none", LINK_REFUSED},
	};

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (strncmp(error, common[i].begins, strlen(common[i].begins)) == 0)
			return say(l, common[i].state, common[i].says);
	return LINK_READY;
}

static enum link_state judge_auth(struct login *l, const redisReply *r)
{
	enum link_state state;

	if (r->type != REDIS_REPLY_ERROR)
		return LINK_READY;
	state = judge_common(l, r->str);
	if (state != LINK_READY)
		return state;
	if (strstr(r->str, "without any password configured"))
		return say(l, LINK_REFUSED, "has no password, and REDIS_URL has one");
	return say(l, LINK_REFUSED, "refuses the user or the password in REDIS_URL");
}

static enum link_state judge_select(struct login *l, const redisReply *r)
{
	enum link_state state;

	if (r->type != REDIS_REPLY_ERROR)
		return LINK_READY;
	state = judge_common(l, r->str);
	if (state != LINK_READY)
		return state;
	if (redis_error_is(r->str, "NOPERM"))
		return say(l, LINK_REFUSED, "gives the user in REDIS_URL no right to SELECT a database");
	fault_set(l->why, "has no database %d, which REDIS_URL asks for", l->url->db);
	return LINK_REFUSED;
}

/* The value of a line "key:value" of INFO; absent when there is none. */
static struct span info_value(struct span info, const char *key)
{
	size_t n = strlen(key), at = 0;

	while (at < info.len) {
		const char *line = info.ptr + at, *end = memchr(line, '\r', info.len - at);
		size_t len = end ? (size_t)(end - line) : info.len - at;

		if (len > n && line[n] == ':' && memcmp(line, key, n) == 0)
			return (struct span){line + n + 1, len - n - 1};
		at += len + 2;
	}
	return (struct span){NULL, 0};
}

static bool info_is(struct span info, const char *key, const char *value)
{
	return span_is(info_value(info, key), value);
}

static bool info_read(struct span info, struct link_facts *facts)
{
	struct span version = info_value(info, "redis_version");
	char text[16] = "", *end;
	long major;

	if (version.len == 0)
		return false;
	memcpy(text, version.ptr, version.len < sizeof(text) ? version.len : sizeof(text) - 1);
	major = strtol(text, &end, 10);
	if (end == text || major < 0 || major > 9999)
		return false;
	facts->version_major = (int)major;
	facts->append_only = info_is(info, "aof_enabled", "1");
	facts->evicts = info_value(info, "maxmemory_policy").len > 0 &&
	                !info_is(info, "maxmemory_policy", "noeviction") && !info_is(info, "maxmemory", "0");
	return true;
}

static enum link_state judge_facts(struct login *l, struct span info)
{
	struct span version = info_value(info, "redis_version");

	if (!info_read(info, l->facts))
		return say(l, LINK_REFUSED, "does not say that it is a Redis");
	if (l->facts->version_major < VERSION_LEAST) {
		fault_set(l->why, "is Redis %.*s; %d or later is needed", (int)(version.len < 32 ? version.len : 32),
		          version.ptr, VERSION_LEAST);
		return LINK_REFUSED;
	}
	if (info_is(info, "redis_mode", "sentinel"))
		return say(l, LINK_REFUSED, "is a Sentinel, which REDIS_URL names as redis+sentinel://");
	if (info_is(info, "redis_mode", "cluster"))
		return say(l, LINK_REFUSED, "is part of a Redis Cluster; one Redis, or one under Sentinel, is needed");
	if (info_is(info, "loading", "1"))
		return say(l, LINK_AWAY, "is loading its data");
	if (!info_is(info, "role", "master"))
		return say(l, LINK_AWAY, "is a replica");
	return LINK_READY;
}

static enum link_state judge_info(struct login *l, const redisReply *r)
{
	enum link_state state;

	if (r->type == REDIS_REPLY_STRING)
		return judge_facts(l, (struct span){r->str, r->len});
	if (r->type != REDIS_REPLY_ERROR)
		return say(l, LINK_REFUSED, "does not say that it is a Redis");
	state = judge_common(l, r->str);
	if (state != LINK_READY)
		return state;
	if (redis_error_is(r->str, "NOPERM"))
		return say(l, LINK_REFUSED, "gives the user in REDIS_URL no right to INFO");
	fault_set(l->why, "answers to INFO: %.200s", r->str);
	return LINK_REFUSED;
}

/* The name is for people only. */
static enum link_state judge_name(struct login *l, const redisReply *r)
{
	(void)l, (void)r;
	return LINK_READY;
}

static enum link_state take(struct login *l, enum link_state (*judge)(struct login *, const redisReply *))
{
	redisReply *reply = redis_wire_reply(l->c, l->deadline_us);
	enum link_state state = reply ? judge(l, reply) : redis_wire_failed(l->c, l->why);

	freeReplyObject(reply);
	return state;
}

static bool append_all(struct login *l, const char *name)
{
	const char *auth[] = {"AUTH", l->url->user, l->url->password};
	const char *auth_default[] = {"AUTH", l->url->password};
	int failed = 0;

	if (l->url->user[0])
		failed |= redisAppendCommandArgv(l->c, 3, auth, NULL);
	else if (l->url->password[0])
		failed |= redisAppendCommandArgv(l->c, 2, auth_default, NULL);
	if (l->url->db)
		failed |= redisAppendCommand(l->c, "SELECT %d", l->url->db);
	failed |= redisAppendCommand(l->c, "INFO");
	failed |= redisAppendCommand(l->c, "CLIENT SETNAME %s", name);
	return !failed;
}

enum link_state redis_login(redisContext *c, const struct redis_url *url, const char *name, int64_t deadline_us,
                            struct link_facts *facts, struct fault *why)
{
	struct login l = {.c = c, .url = url, .deadline_us = deadline_us, .facts = facts, .why = why};
	enum link_state state = LINK_READY;

	if (!redis_wire_bound(c, deadline_us) || !append_all(&l, name))
		return redis_wire_failed(c, why);
	/* who closes at once has said why before: that is still there to be read */
	if (!redis_wire_send(c))
		c->err = 0;
	if (url->password[0])
		state = take(&l, judge_auth);
	if (state == LINK_READY && url->db)
		state = take(&l, judge_select);
	if (state == LINK_READY)
		state = take(&l, judge_info);
	if (state == LINK_READY)
		state = take(&l, judge_name);
	return state;
}
