/* log.c - lines for the operator, written in groups by a batcher */
#include "simlane/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "simlane/batcher.h"
#include "simlane/buf.h"

#define PATIENCE_MS 5000 /* with a reader of a pipe that does not block us */
#define LINGER_MS   20
#define QUEUE_MAX   65536
#define BATCH_MAX   512

struct log {
	int fd;
	enum log_level level;
	enum log_format format;
	const struct clock *clock;
	struct batcher *batcher;
	atomic_ullong dropped; /* lines that found the queue full */
};

struct line {
	struct batch_item item; /* first: a line is its item */
	struct flush *flush;    /* not a line, but somebody who waits for those before him */
	size_t len;
	char text[];
};

struct flush {
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool reached;
};

static void write_all(int fd, struct iovec *parts, int n)
{
	while (n > 0) {
		ssize_t wrote = writev(fd, parts, n);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && errno == EAGAIN &&
		    poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, PATIENCE_MS) > 0)
			continue;
		if (wrote < 0)
			return; /* nobody is left to tell */
		while (n > 0 && (size_t)wrote >= parts->iov_len) {
			wrote -= (ssize_t)parts->iov_len;
			parts++;
			n--;
		}
		if (n > 0) {
			parts->iov_base = (char *)parts->iov_base + wrote;
			parts->iov_len -= (size_t)wrote;
		}
	}
}

static void flush_reached(struct flush *f)
{
	pthread_mutex_lock(&f->lock);
	f->reached = true;
	pthread_cond_signal(&f->done);
	pthread_mutex_unlock(&f->lock);
}

static void write_batch(void *ctx, struct batch_item **items, size_t n)
{
	struct log *l = ctx;
	struct iovec parts[BATCH_MAX];
	int used = 0;
	for (size_t i = 0; i < n; i++) {
		struct line *line = (struct line *)items[i];
		if (!line->flush)
			parts[used++] = (struct iovec){line->text, line->len};
	}
	write_all(l->fd, parts, used);
	for (size_t i = 0; i < n; i++) {
		struct line *line = (struct line *)items[i];
		if (line->flush)
			flush_reached(line->flush);
		else
			free(line);
	}
}

struct log *log_open(int fd, enum log_level level, enum log_format format, const struct clock *clock)
{
	struct log *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->fd = fd;
	l->level = level;
	l->format = format;
	l->clock = clock;
	l->batcher = batcher_start(&(struct batcher_options){.name = "log",
	                                                     .queue_max = QUEUE_MAX,
	                                                     .batch_max = BATCH_MAX,
	                                                     .linger_ms = LINGER_MS,
	                                                     .execute = write_batch,
	                                                     .ctx = l});
	if (!l->batcher) {
		free(l);
		return NULL;
	}
	return l;
}

void log_close(struct log *l)
{
	if (!l)
		return;
	batcher_stop(l->batcher);
	free(l);
}

bool log_wants(const struct log *l, enum log_level level)
{
	return l && level >= l->level;
}

/* ---- formatting ---- */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static void put_digits(char *out, unsigned value, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; value /= 10)
		out[i] = (char)('0' + value % 10);
}

/* The proleptic Gregorian date of a day counted from 1970-01-01. Years are
 * taken to begin in March, so that the leap day is their last. */
static void civil_date(unsigned days, unsigned *year, unsigned *month, unsigned *day)
{
	unsigned since_0000 = days + 719468; /* 0000-03-01 */
	unsigned era = since_0000 / 146097, of_era = since_0000 % 146097;
	unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned march_month = (5 * of_year + 2) / 153;
	*day = of_year - (153 * march_month + 2) / 5 + 1;
	*month = march_month < 10 ? march_month + 3 : march_month - 9;
	*year = era * 400 + year_of_era + (*month <= 2);
}

/* 2026-01-02T03:04:05.678Z */
static void add_time(struct buf *b, int64_t wall_ms)
{
	char text[25] = "0000-00-00T00:00:00.000Z";
	uint64_t ms = wall_ms < 0 ? 0 : (uint64_t)wall_ms;
	unsigned year, month, day, second = (unsigned)(ms / 1000 % 86400);
	civil_date((unsigned)(ms / 86400000), &year, &month, &day);
	put_digits(text, year, 4);
	put_digits(text + 5, month, 2);
	put_digits(text + 8, day, 2);
	put_digits(text + 11, second / 3600, 2);
	put_digits(text + 14, second / 60 % 60, 2);
	put_digits(text + 17, second % 60, 2);
	put_digits(text + 20, (unsigned)(ms % 1000), 3);
	buf_add(b, text, 24);
}

static bool needs_quotes(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return true;
	}
	return s.len == 0;
}

static void add_text_value(struct buf *b, struct span s)
{
	if (needs_quotes(s))
		buf_json_string(b, s);
	else
		buf_span(b, s);
}

static void add_field(struct buf *b, const struct log_field *f, enum log_format format)
{
	if (!f->is_number && !f->text.ptr)
		return;
	if (format == LOG_JSON) {
		buf_text(b, ",\"");
		buf_text(b, f->name);
		buf_text(b, "\":");
	} else {
		buf_char(b, ' ');
		buf_text(b, f->name);
		buf_char(b, '=');
	}
	if (f->is_number)
		buf_int(b, f->number);
	else if (format == LOG_JSON)
		buf_json_string(b, f->text);
	else
		add_text_value(b, f->text);
}

static void add_head(struct buf *b, const struct log *l, enum log_level level, const char *event)
{
	bool json = l->format == LOG_JSON;
	if (json)
		buf_text(b, "{\"time\":\"");
	add_time(b, clock_wall_ms(l->clock));
	if (json) {
		buf_text(b, "\",\"level\":\"");
		buf_text(b, level_names[level]);
		buf_text(b, "\",\"event\":\"");
		buf_text(b, event);
		buf_char(b, '"');
	} else {
		buf_char(b, ' ');
		buf_text(b, level_names[level]);
		buf_add(b, "  ", strlen(level_names[level]) == 5 ? 1 : 2);
		buf_text(b, event);
	}
}

/* Waits until everything submitted before has been written. */
static void flush_wait(struct log *l)
{
	struct flush f = {.reached = false};
	struct line marker = {.flush = &f};
	if (pthread_mutex_init(&f.lock, NULL) != 0)
		return;
	if (pthread_cond_init(&f.done, NULL) == 0) {
		if (batcher_submit(l->batcher, &marker.item)) {
			pthread_mutex_lock(&f.lock);
			while (!f.reached)
				pthread_cond_wait(&f.done, &f.lock);
			pthread_mutex_unlock(&f.lock);
		}
		pthread_cond_destroy(&f.done);
	}
	pthread_mutex_destroy(&f.lock);
}

void log_event(struct log *l, enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	if (!log_wants(l, level))
		return;
	struct buf b = BUF_EMPTY;
	buf_reserve(&b, 512);
	struct line head = {.flush = NULL};
	buf_add(&b, &head, sizeof(head)); /* the line's own struct, its text behind it */
	add_head(&b, l, level, event);
	for (size_t i = 0; i < n; i++)
		add_field(&b, &fields[i], l->format);
	if (l->format == LOG_JSON)
		buf_char(&b, '}');
	buf_char(&b, '\n');
	if (b.failed) {
		buf_free(&b);
		return;
	}
	struct line *line = (struct line *)(void *)b.ptr;
	line->len = b.len - sizeof(struct line);
	if (!batcher_submit(l->batcher, &line->item)) {
		atomic_fetch_add(&l->dropped, 1);
		free(line);
		return;
	}
	if (level >= LOG_ERROR)
		flush_wait(l);
}
