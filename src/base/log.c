/* log.c - lines for the operator, written in groups by a batcher */
#include "simlane/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simlane/batcher.h"
#include "simlane/buf.h"

#define PATIENCE_MS 1000
#define LINGER_MS   20
#define CHUNK_MAX   (4u << 20) /* bytes of lines that may wait; more are dropped */
#define LINE_ROOM   1024       /* most lines are shorter, and need no memory of their own */

struct log {
	int fd;
	enum log_level level;
	enum log_format format;
	const struct clock *clock;
	struct batcher *batcher;
	bool paced;            /* a pipe or the like, whose reader may stop */
	atomic_ullong dropped; /* lines that found no room, or no reader */

	pthread_mutex_t lock; /* guards the two below */
	struct buf filling;   /* lines, whole ones */
	bool called;          /* call is in the batcher: what is filling will be written */

	struct batch_item call;
	/* The batcher's thread's: */
	struct buf writing;
	bool stuck; /* the reader has stopped */
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

/* How much one write may hold: a pipe that can be written to takes PIPE_BUF
 * bytes without blocking, and no more is promised (poll(2), pipe(7)). Whole
 * lines, at least one: a longer one may block. */
static size_t fit(const struct log *l, struct span text)
{
	const char *end;
	if (!l->paced || text.len <= PIPE_BUF)
		return text.len;
	end = memrchr(text.ptr, '\n', PIPE_BUF);
	if (!end)
		end = memchr(text.ptr, '\n', text.len);
	return end ? (size_t)(end - text.ptr) + 1 : text.len;
}

/* What could not be written. */
static struct span write_all(struct log *l, struct span text)
{
	while (text.len > 0) {
		if (l->paced && !can_write(l))
			return text;
		ssize_t wrote = write(l->fd, text.ptr, fit(l, text));
		if (wrote < 0 && (errno == EINTR || (errno == EAGAIN && can_write(l))))
			continue;
		if (wrote < 0)
			return text; /* nobody is left to tell */
		text.ptr += wrote;
		text.len -= (size_t)wrote;
	}
	return text;
}

static unsigned long long count_lines(struct span text)
{
	unsigned long long n = 0;
	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '\n';
	return n;
}

static void write_out(struct log *l)
{
	pthread_mutex_lock(&l->lock);
	struct buf full = l->filling;
	l->filling = l->writing;
	l->called = false;
	pthread_mutex_unlock(&l->lock);
	struct span left = write_all(l, (struct span){full.ptr, full.len});
	atomic_fetch_add(&l->dropped, count_lines(left));
	buf_clear(&full);
	l->writing = full;
}

static void write_batch(void *ctx, struct batch_item **items, size_t n)
{
	(void)items, (void)n; /* there is one call at a time */
	write_out(ctx);
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
	if (pthread_mutex_init(&l->lock, NULL) != 0) {
		free(l);
		return NULL;
	}
	l->batcher = batcher_start(&(struct batcher_options){.name = "log",
	                                                     .queue_max = 1,
	                                                     .batch_max = 2, /* else it would not linger */
	                                                     .linger_ms = LINGER_MS,
	                                                     .execute = write_batch,
	                                                     .ctx = l});
	if (!l->batcher) {
		pthread_mutex_destroy(&l->lock);
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
	write_out(l);
	buf_free(&l->filling);
	buf_free(&l->writing);
	pthread_mutex_destroy(&l->lock);
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

/* Puts a line to the others. False: no room. */
static bool keep(struct log *l, struct span line)
{
	bool kept = false;
	pthread_mutex_lock(&l->lock);
	if (line.len <= CHUNK_MAX - l->filling.len && buf_reserve(&l->filling, line.len)) {
		buf_span(&l->filling, line);
		kept = true;
	}
	l->filling.failed = false; /* the next one may find memory */
	if (!l->called)
		l->called = batcher_submit(l->batcher, &l->call);
	pthread_mutex_unlock(&l->lock);
	return kept;
}

void log_event(struct log *l, enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	if (!log_wants(l, level))
		return;
	char room[LINE_ROOM];
	struct buf b = BUF_ON(room);
	add_head(&b, l, level, event);
	for (size_t i = 0; i < n; i++)
		add_field(&b, &fields[i], l->format);
	if (l->format == LOG_JSON)
		buf_char(&b, '}');
	buf_char(&b, '\n');
	if (b.failed || !keep(l, (struct span){b.ptr, b.len}))
		atomic_fetch_add(&l->dropped, 1);
	buf_free(&b);
}
