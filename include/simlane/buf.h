/*
 * buf - a growing byte buffer, and JSON written into it
 *
 * A failed allocation is remembered (buf.failed) and every later append is a
 * no-op, so that a writer checks once, at the end.
 *
 * OWNERSHIP  the buffer owns buf.ptr until buf_free or buf_take.
 * THREADS    one at a time.
 */
#ifndef SIMLANE_BUF_H
#define SIMLANE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simlane/span.h"

struct buf {
	char *ptr; /* NULL until the first append */
	size_t len;
	size_t cap;
	bool failed; /* an allocation failed: the content is not to be used */
	bool lent;   /* ptr is the caller's memory (BUF_ON): neither grown nor freed */
};

#define BUF_EMPTY ((struct buf){NULL, 0, 0, false, false})
/* Begins in an array of the caller's and moves to memory of its own when that
 * is full; not for buf_take. */
#define BUF_ON(array_) ((struct buf){(array_), 0, sizeof(array_), false, true})

void buf_free(struct buf *b);              /* frees and empties; an empty one is fine */
void buf_clear(struct buf *b);             /* length 0, memory kept */
bool buf_grow(struct buf *b, size_t more); /* buf_reserve's slow way */

static inline bool buf_reserve(struct buf *b, size_t more)
{
	return !b->failed && (more <= b->cap - b->len || buf_grow(b, more));
}

static inline void buf_add(struct buf *b, const void *bytes, size_t len)
{
	if (len == 0 || !buf_reserve(b, len))
		return;
	memcpy(b->ptr + b->len, bytes, len);
	b->len += len;
}

static inline void buf_span(struct buf *b, struct span s)
{
	buf_add(b, s.ptr, s.len);
}

static inline void buf_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

static inline void buf_char(struct buf *b, char c)
{
	if (buf_reserve(b, 1))
		b->ptr[b->len++] = c;
}

void buf_int(struct buf *b, int64_t value);
void buf_uint(struct buf *b, uint64_t value);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes (RFC 8259 section 7). The input is UTF-8;
 * control characters, DEL, '"' and '\' are escaped, and so are U+2028/2029;
 * a byte that is not valid UTF-8 becomes U+FFFD. */
void buf_json_string(struct buf *b, struct span s);

/* Hands over the memory, NUL-terminated (the NUL is not counted), and empties
 * the buffer. NULL when an allocation had failed. The caller frees it. */
char *buf_take(struct buf *b, size_t *len);

#endif
