/* log.c - lines for the operator, written in groups by a batcher */
#include "simlane/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "simlane/batcher.h"
#include "simlane/buf.h"

#define PATIENCE_MS 1000
#define LINGER_MS   20
#define QUEUE_MAX   65536
#define BATCH_MAX   512

struct log {
	int fd;
	enum log_level level;
	enum log_format format;
	const struct clock *clock;
	struct batcher *batcher;
	bool paced;            /* a pipe or the like, whose reader may stop */
	bool stuck;            /* he has; the batcher's thread */
	atomic_ullong dropped; /* lines that found the queue full */
};

struct line {
	struct batch_item item; /* first: a line is its item */
	size_t len;
	char text[];
};

/* Whether the reader takes something now. One that has kept us waiting for
 * PATIENCE_MS is not waited for again until he has taken something. */
static bool can_write(struct log *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLOUT};
	int ready;
	do
		ready = poll(&p, 1, l->stuck ? 0 : PATIENCE_MS);
	while (ready < 0 && errno == EINTR);
	l->stuck = ready == 0;
	return ready > 0;
}

/* How many of the n parts one write may hold: a pipe that can be written to
 * takes PIPE_BUF bytes without blocking, and no more is promised (poll(2),
 * pipe(7)). At least one: a longer line may block. */
static int fit(const struct log *l, const struct iovec *parts, size_t n)
{
	size_t bytes = parts[0].iov_len, count = 1;
	while (count < n && (!l->paced || bytes + parts[count].iov_len <= PIPE_BUF))
		bytes += parts[count++].iov_len;
	return (int)count;
}

/* The lines that could not be written. */
static size_t write_all(struct log *l, struct iovec *parts, size_t n)
{
	while (n > 0) {
		if (l->paced && !can_write(l))
			return n;
		ssize_t wrote = writev(l->fd, parts, fit(l, parts, n));
		if (wrote < 0 && (errno == EINTR || (errno == EAGAIN && can_write(l))))
			continue;
		if (wrote < 0)
			return n; /* nobody is left to tell */
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
	return 0;
}

static void write_batch(void *ctx, struct batch_item **items, size_t n)
{
	struct log *l = ctx;
	struct iovec parts[BATCH_MAX];
	for (size_t i = 0; i < n; i++) {
		struct line *line = (struct line *)items[i];
		parts[i] = (struct iovec){line->text, line->len};
	}
	size_t left = write_all(l, parts, n);
	atomic_fetch_add(&l->dropped, left);
	for (size_t i = 0; i < n; i++)
		free(items[i]);
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
	struct stat st;
	l->paced = fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
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

uint64_t log_dropped(const struct log *l)
{
	return l ? atomic_load(&((struct log *)(uintptr_t)l)->dropped) : 0;
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

void log_event(struct log *l, enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	if (!log_wants(l, level))
		return;
	struct buf b = BUF_EMPTY;
	buf_reserve(&b, 512);
	struct line head = {.len = 0};
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
}
