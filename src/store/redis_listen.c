/*
 * redis_listen.c - see redis_listen.h
 *
 *        want               SUBSCRIBE goes out        confirmed
 *   OFF -----> ASKED --------------------------> SENT ---------> ON
 *    ^           |  ^                              |             | |
 *    |<----------+  +---------- lost --------------+-------------+ |
 *    |  nobody wants it                                            |
 *    +----------- UNSUBSCRIBE: heard, and nobody wants it ---------+
 *
 * Nobody wants it: asked with the lock held, so that a want that comes after
 * the question finds the slot OFF. Redis answers in order, so a confirmation
 * that comes while a slot is SENT is that of the last SUBSCRIBE.
 */
#include "redis_listen.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "redis_link.h"
#include "redis_wire.h"
#include "simlane/clock.h"
#include "simlane/ids.h"

#define PING_US   1000000 /* from one PING to the next */
#define ANSWER_US 1000000 /* within which something must be heard after one */

enum slot_state { OFF, ASKED, SENT, ON };

struct redis_listener {
	struct redis_listener_options options;
	char *channel; /* what all of them begin with */
	size_t channel_len;
	int kick; /* eventfd: look at what has changed below */
	pthread_t thread;

	/* the thread's: */
	struct redis_link *link;
	int64_t ping_us, heard_us; /* when the last PING went out, when anything was heard last */
	bool awaiting;             /* the answer to that PING */

	pthread_mutex_t lock; /* guards all below */
	bool stopping;
	bool used;  /* something was wanted once: the connection is kept from then on */
	bool renew; /* see redis_listener_renew */
	unsigned char slots[];
};

static void lock(struct redis_listener *l)
{
	if (pthread_mutex_lock(&l->lock) != 0)
		abort();
}

static void unlock(struct redis_listener *l)
{
	if (pthread_mutex_unlock(&l->lock) != 0)
		abort();
}

static void kick(struct redis_listener *l)
{
	const uint64_t one = 1;
	ssize_t n;

	do
		n = write(l->kick, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* full means kicked */
	if (n < 0 && errno != EAGAIN)
		abort();
}

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

/* ---- speaking ---- */

static bool append(struct redis_listener *l, const char *command, unsigned slot)
{
	return redisAppendCommand(redis_link_context(l->link), "%s %s%u", command, l->channel, slot) == REDIS_OK;
}

static void lose(struct redis_listener *l, const char *why)
{
	redis_link_lose(l->link, why);
	lock(l);
	for (unsigned i = 0; i < l->options.slots; i++)
		if (l->slots[i] != OFF)
			l->slots[i] = ASKED;
	unlock(l);
}

static bool subscribe_asked(struct redis_listener *l)
{
	bool appended = true;

	lock(l);
	for (unsigned i = 0; i < l->options.slots && appended; i++) {
		if (l->slots[i] != ASKED)
			continue;
		l->slots[i] = l->options.wanted(l->options.ctx, i) ? SENT : OFF;
		if (l->slots[i] == SENT)
			appended = append(l, "SUBSCRIBE", i);
	}
	unlock(l);
	return appended;
}

static bool ping_if_due(struct redis_listener *l)
{
	int64_t now = now_us();

	if (l->awaiting || now - l->ping_us < PING_US)
		return true;
	l->awaiting = true;
	l->ping_us = now;
	return redisAppendCommand(redis_link_context(l->link), "PING") == REDIS_OK;
}

static void speak(struct redis_listener *l)
{
	redisContext *c = redis_link_context(l->link);

	if (!subscribe_asked(l) || !ping_if_due(l))
		lose(l, "no memory");
	else if (!redis_wire_send(c))
		lose(l, c->errstr);
}

/* ---- hearing ---- */

/* Digits and nothing else. */
static bool parse_digits(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(unsigned char)*text - '0';

		if (digit > 9 || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

static bool parse_channel(const struct redis_listener *l, const char *text, unsigned *slot)
{
	uint64_t number;

	if (strncmp(text, l->channel, l->channel_len) != 0 ||
	    !parse_digits(text + l->channel_len, l->options.slots - 1, &number))
		return false;
	*slot = (unsigned)number;
	return true;
}

static void confirm(struct redis_listener *l, unsigned slot)
{
	bool is_on;

	lock(l);
	is_on = l->slots[slot] == SENT;
	if (is_on)
		l->slots[slot] = ON;
	unlock(l);
	if (is_on)
		l->options.listening(l->options.ctx, slot);
}

/* Is what comes in that slot of use to anybody here? Leaves it otherwise. */
static bool is_of_use(struct redis_listener *l, unsigned slot)
{
	bool off, leave;

	lock(l);
	off = l->slots[slot] == OFF;
	leave = l->slots[slot] == ON && !l->options.wanted(l->options.ctx, slot);
	if (leave)
		l->slots[slot] = OFF;
	unlock(l);
	if (leave && !append(l, "UNSUBSCRIBE", slot))
		lose(l, "no memory");
	return !off && !leave;
}

/* "<job id> <revision>" */
static void take_message(struct redis_listener *l, unsigned slot, const char *text)
{
	char job_id[JOB_ID_SIZE] = "";
	uint64_t revision;
	size_t n = JOB_ID_SIZE - 1;

	if (strnlen(text, n + 1) <= n || text[n] != ' ' || !job_id_parse((struct span){text, n}, NULL) ||
	    !parse_digits(text + n + 1, UINT64_MAX, &revision))
		return;
	memcpy(job_id, text, n);
	if (is_of_use(l, slot))
		l->options.heard(l->options.ctx, job_id, revision);
}

static bool is_text(const redisReply *r)
{
	return r->type == REDIS_REPLY_STRING && strlen(r->str) == r->len;
}

static void take_array(struct redis_listener *l, const redisReply *r)
{
	unsigned slot;

	if (r->elements < 2 || !is_text(r->element[0]))
		return;
	if (strcmp(r->element[0]->str, "pong") == 0) {
		l->awaiting = false;
		return;
	}
	if (r->elements != 3 || !is_text(r->element[1]) || !parse_channel(l, r->element[1]->str, &slot))
		return;
	if (strcmp(r->element[0]->str, "subscribe") == 0)
		confirm(l, slot);
	else if (strcmp(r->element[0]->str, "message") == 0 && is_text(r->element[2]))
		take_message(l, slot, r->element[2]->str);
}

/* An error is about a SUBSCRIBE: without it nothing is heard. */
static void take(struct redis_listener *l, const redisReply *r)
{
	if (r->type == REDIS_REPLY_ARRAY)
		take_array(l, r);
	else if (r->type == REDIS_REPLY_STATUS)
		l->awaiting = false;
	else if (r->type == REDIS_REPLY_ERROR)
		lose(l, r->str);
}

static void hear(struct redis_listener *l)
{
	redisContext *c = redis_link_context(l->link);
	struct fault why;
	void *reply;

	if (redisBufferRead(c) != REDIS_OK) {
		redis_wire_failed(c, &why);
		lose(l, why.text);
		return;
	}
	l->heard_us = now_us();
	while ((c = redis_link_context(l->link)) != NULL) {
		reply = NULL;
		if (redisGetReplyFromReader(c, &reply) != REDIS_OK) {
			redis_wire_failed(c, &why);
			lose(l, why.text);
			return;
		}
		if (!reply)
			return;
		take(l, reply);
		freeReplyObject(reply);
	}
}

/* ---- the thread ---- */

/* How long poll may wait: -1 for ever. */
static int patience_ms(const struct redis_listener *l, bool used, bool connected)
{
	int64_t from_us = l->awaiting && l->heard_us > l->ping_us ? l->heard_us : l->ping_us;
	int64_t left_us = from_us + (l->awaiting ? ANSWER_US : PING_US) - now_us();

	if (!used)
		return -1;
	if (!connected)
		return (int)redis_link_pause_ms(l->link);
	return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

static void clear_kick(const struct redis_listener *l)
{
	uint64_t count;

	/* what it says is read from the fields; nothing there is fine */
	if (read(l->kick, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		abort();
}

static void wait_and_hear(struct redis_listener *l, bool used)
{
	redisContext *c = redis_link_context(l->link);
	struct pollfd fds[] = {{.fd = l->kick, .events = POLLIN}, {.fd = c ? c->fd : -1, .events = POLLIN}};
	int n = poll(fds, 2, patience_ms(l, used, c != NULL));

	if (n > 0 && fds[0].revents)
		clear_kick(l);
	if (n > 0 && fds[1].revents)
		hear(l);
	else if (c && l->awaiting && patience_ms(l, used, true) == 0)
		lose(l, "does not answer");
}

/* False: the end. */
static bool look_around(struct redis_listener *l, bool *used)
{
	bool stopping, renew;

	lock(l);
	stopping = l->stopping;
	renew = l->renew;
	l->renew = false;
	*used = l->used;
	unlock(l);
	if (renew && l->options.url->kind == REDIS_SENTINEL)
		lose(l, "looking for the primary anew");
	return !stopping;
}

static bool connected(struct redis_listener *l)
{
	bool fresh = false;

	if (redis_link_open(l->link, &fresh, NULL) != LINK_READY)
		return false;
	if (fresh) {
		l->awaiting = false;
		l->ping_us = l->heard_us = now_us();
	}
	return true;
}

static void *run(void *arg)
{
	struct redis_listener *l = arg;
	bool used;

	while (look_around(l, &used)) {
		if (used && connected(l))
			speak(l);
		wait_and_hear(l, used);
	}
	return NULL;
}

/* ---- life ---- */

static void destroy(struct redis_listener *l)
{
	if (l->kick >= 0)
		close(l->kick);
	redis_link_free(l->link);
	free(l->channel);
	free(l);
}

static struct redis_listener *prepare(const struct redis_listener_options *options)
{
	struct redis_listener *l = calloc(1, sizeof(*l) + options->slots);
	int n;

	if (!l)
		return NULL;
	l->options = *options;
	l->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->link = redis_link_new(options->url, "simlane-listen", options->log);
	n = asprintf(&l->channel, "%schanged:", options->prefix);
	if (n < 0)
		l->channel = NULL;
	l->channel_len = n < 0 ? 0 : (size_t)n;
	if (l->kick >= 0 && l->link && l->channel)
		return l;
	destroy(l);
	return NULL;
}

struct redis_listener *redis_listener_start(const struct redis_listener_options *options, struct fault *fault)
{
	struct redis_listener *l = prepare(options);

	if (!l || pthread_mutex_init(&l->lock, NULL) != 0) {
		fault_set(fault, "redis store: no memory for the listener");
	} else if (pthread_create(&l->thread, NULL, run, l) != 0) {
		pthread_mutex_destroy(&l->lock);
		fault_set(fault, "redis store: no thread for the listener");
	} else {
		pthread_setname_np(l->thread, "redis-listen");
		return l;
	}
	if (l)
		destroy(l);
	return NULL;
}

void redis_listener_stop(struct redis_listener *l)
{
	bool stopped;

	lock(l);
	stopped = l->stopping;
	l->stopping = true;
	unlock(l);
	if (stopped)
		return;
	kick(l);
	pthread_join(l->thread, NULL);
}

void redis_listener_free(struct redis_listener *l)
{
	if (!l)
		return;
	redis_listener_stop(l);
	pthread_mutex_destroy(&l->lock);
	destroy(l);
}

bool redis_listener_want(struct redis_listener *l, unsigned slot)
{
	bool is_on, is_off;

	assert(slot < l->options.slots);
	lock(l);
	is_on = l->slots[slot] == ON;
	is_off = l->slots[slot] == OFF;
	if (is_off) {
		l->slots[slot] = ASKED;
		l->used = true;
	}
	unlock(l);
	if (is_off)
		kick(l);
	return is_on;
}

void redis_listener_renew(struct redis_listener *l)
{
	lock(l);
	l->renew = true;
	unlock(l);
	kick(l);
}
