/* redis_sentinel.c - see redis_sentinel.h */
#include "redis_sentinel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "redis_wire.h"
#include "simlane/clock.h"

#define SHARE_MIN_US 50000

static bool is_text(const redisReply *r)
{
	return r->type == REDIS_REPLY_STRING && strlen(r->str) == r->len;
}

static bool parse_primary(const redisReply *r, struct redis_host *primary)
{
	char *end;
	long port;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || !is_text(r->element[0]) || !is_text(r->element[1]) ||
	    r->element[0]->len == 0 || r->element[0]->len >= sizeof(primary->name))
		return false;
	port = strtol(r->element[1]->str, &end, 10);
	if (*end || port < 1 || port > 65535)
		return false;
	memcpy(primary->name, r->element[0]->str, r->element[0]->len + 1);
	primary->port = (int)port;
	return true;
}

static enum link_state judge(const redisReply *r, const char *service, struct redis_host *primary, struct fault *why)
{
	if (parse_primary(r, primary))
		return LINK_READY;
	if (r->type == REDIS_REPLY_NIL || (r->type == REDIS_REPLY_ARRAY && r->elements == 0))
		fault_set(why, "knows no Redis named %s", service);
	else if (r->type == REDIS_REPLY_ERROR && redis_error_is(r->str, "NOAUTH"))
		fault_set(why, "asks for a password; Sentinels are asked without one");
	else
		fault_set(why, "is not a Sentinel");
	return LINK_REFUSED;
}

static enum link_state ask_one(const struct redis_host *sentinel, const char *service, int64_t *deadline_us,
                               struct redis_host *primary, struct fault *why)
{
	redisContext *c = redis_wire_connect(NULL, sentinel, deadline_us, why);
	redisReply *reply = NULL;
	enum link_state state;

	if (!c)
		return LINK_AWAY;
	if (redisAppendCommand(c, "SENTINEL GET-MASTER-ADDR-BY-NAME %s", service) == REDIS_OK && redis_wire_send(c))
		reply = redis_wire_reply(c, *deadline_us);
	state = reply ? judge(reply, service, primary, why) : redis_wire_failed(c, why);
	freeReplyObject(reply);
	redisFree(c);
	return state;
}

enum link_state redis_sentinel_ask(const struct redis_url *url, size_t *turn, int64_t *deadline_us,
                                   struct redis_host *primary, struct fault *why)
{
	struct fault refused = {""}, away = {""};
	size_t n = url->host_count, asked = 0;
	enum link_state state;
	int64_t now_us;

	assert(n > 0);
	for (; asked < n && (now_us = clock_mono_us(&clock_system)) < *deadline_us; asked++) {
		size_t at = (*turn + asked) % n;
		int64_t share_us = (*deadline_us - now_us) / (int64_t)(n - asked), end_us, share_end_us;
		struct fault said = {""};

		share_end_us = now_us + (share_us > SHARE_MIN_US ? share_us : SHARE_MIN_US);
		end_us = share_end_us = share_end_us < *deadline_us ? share_end_us : *deadline_us;
		state = ask_one(&url->hosts[at], url->service, &end_us, primary, &said);
		*deadline_us += end_us - share_end_us;
		switch (state) {
		case LINK_READY:
			*turn = (at + 1) % n;
			return LINK_READY;
		case LINK_REFUSED:
			refused = said;
			break;
		default:
			away = said;
			break;
		}
	}
	*turn = (*turn + asked) % n;
	if (refused.text[0] && asked == n) {
		fault_set(why, "the Sentinel %s", refused.text);
		return LINK_REFUSED;
	}
	fault_set(why, "no Sentinel answers: %s", away.text[0] ? away.text : "no time");
	return LINK_AWAY;
}
