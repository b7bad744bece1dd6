/*
 * log - lines for the operator
 *
 * One line an event, to a file descriptor (standard error), as text
 *   2026-01-02T03:04:05.678Z info  request trace=LT-... route=/schedule status=202
 * or as JSON objects with the same members. Values are escaped; what a token
 * or header carried can never begin a new line or a new member. Lines go
 * through a batcher, and some milliseconds of them may be lost by kill -9.
 * Nobody ever waits for the log: when its reader stops, lines are dropped and
 * counted.
 *
 * Never logged: tokens, goals or any other text of a seed, secrets.
 *
 * THREADS  any.
 */
#ifndef SIMLANE_LOG_H
#define SIMLANE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/clock.h"
#include "simlane/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log;

/* A named value: a text (is_number false) or an integer. */
struct log_field {
	const char *name;
	struct span text;
	int64_t number;
	bool is_number;
};

#define LOG_STR(name_, text_)   ((struct log_field){(name_), span_of(text_), 0, false})
#define LOG_SPAN(name_, span_)  ((struct log_field){(name_), (span_), 0, false})
#define LOG_INT(name_, number_) ((struct log_field){(name_), {NULL, 0}, (number_), true})

struct log *log_open(int fd, enum log_level level, enum log_format format, const struct clock *clock);
void log_close(struct log *l); /* writes what waits */

uint64_t log_dropped(const struct log *l); /* lines lost so far */

bool log_wants(const struct log *l, enum log_level level);

/* event is a short constant ("request", "reload"). A field whose text is
 * absent ({NULL, 0}) is left out. l may be NULL: nothing is logged. */
void log_event(struct log *l, enum log_level level, const char *event, const struct log_field *fields, size_t n);

#define LOG(l_, level_, event_, ...)                                                                                   \
	log_event((l_), (level_), (event_), (const struct log_field[]){__VA_ARGS__},                                   \
	          sizeof(const struct log_field[]){__VA_ARGS__} / sizeof(struct log_field))

#endif
