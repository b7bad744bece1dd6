/*
 * clock - the time, where a test can own it
 *
 * Times to live and token times are wall-clock milliseconds since the Unix
 * epoch; waits and durations are monotonic. Whatever needs a time takes a
 * struct clock; nothing else in the program asks the system.
 *
 * THREADS  any. A test's clock must make its own reads atomic.
 */
#ifndef SIMLANE_CLOCK_H
#define SIMLANE_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t (*wall_ms)(const struct clock *c);
	int64_t (*mono_us)(const struct clock *c);
};

extern const struct clock clock_system;

static inline int64_t clock_wall_ms(const struct clock *c)
{
	return c->wall_ms(c);
}

static inline int64_t clock_mono_us(const struct clock *c)
{
	return c->mono_us(c);
}

static inline int64_t clock_mono_ms(const struct clock *c)
{
	return c->mono_us(c) / 1000;
}

#endif
