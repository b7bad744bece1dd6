/*
 * span - bytes that somebody else owns
 *
 * A pointer and a length; never NUL-terminated by promise. {NULL, 0} is the
 * absent span, which is different from an empty one.
 */
#ifndef SIMLANE_SPAN_H
#define SIMLANE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *ptr;
	size_t len;
};

static inline struct span span_of(const char *text)
{
	return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
	return span_equal(a, span_of(text));
}

#endif
