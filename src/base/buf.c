/* buf.c - a growing byte buffer, and JSON written into it */
#include "simlane/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

void buf_free(struct buf *b)
{
	if (!b->lent)
		free(b->ptr);
	*b = BUF_EMPTY;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

bool buf_grow(struct buf *b, size_t more)
{
	size_t need = b->len + more;
	size_t cap = b->cap ? b->cap : 128;
	while (cap < need && cap <= SIZE_MAX / 2)
		cap *= 2;
	char *grown = cap < need || need < more ? NULL : realloc(b->lent ? NULL : b->ptr, cap);
	if (!grown) {
		b->failed = true;
		return false;
	}
	if (b->lent)
		memcpy(grown, b->ptr, b->len);
	b->ptr = grown;
	b->cap = cap;
	b->lent = false;
	return true;
}

void buf_uint(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_int(struct buf *b, int64_t value)
{
	if (value < 0)
		buf_char(b, '-');
	buf_uint(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
	} else if (buf_reserve(b, (size_t)n + 1)) {
		vsnprintf(b->ptr + b->len, (size_t)n + 1, format, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

/* The two-character escape of c, or 0. */
static char short_escape(unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

/* Bytes that stand in a JSON string as they are. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Writes the character at p in its escaped form; returns how many bytes of
 * input it took. */
static size_t escape_one(struct buf *b, const unsigned char *p, size_t left)
{
	char two = short_escape(p[0]);
	if (two) {
		buf_add(b, (char[]){'\\', two}, 2);
		return 1;
	}
	if (p[0] < 0x20 || p[0] == 0x7f) {
		buf_printf(b, "\\u%04x", p[0]);
		return 1;
	}
	size_t n = utf8_sequence(p, left);
	if (n == 0) {
		buf_text(b, "\xef\xbf\xbd");
		return 1;
	}
	if (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
		buf_text(b, p[2] == 0xa8 ? "\\u2028" : "\\u2029");
	else
		buf_add(b, p, n);
	return n;
}

void buf_json_string(struct buf *b, struct span s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t at = 0;
	buf_char(b, '"');
	while (at < s.len) {
		size_t run = at;
		while (run < s.len && is_plain(p[run]))
			run++;
		buf_add(b, p + at, run - at);
		at = run;
		if (at < s.len)
			at += escape_one(b, p + at, s.len - at);
	}
	buf_char(b, '"');
}

char *buf_take(struct buf *b, size_t *len)
{
	if (!buf_reserve(b, 1)) {
		buf_free(b);
		return NULL;
	}
	char *taken = b->ptr;
	taken[b->len] = '\0';
	if (len)
		*len = b->len;
	*b = BUF_EMPTY;
	return taken;
}
