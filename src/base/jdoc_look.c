/* jdoc_look.c - looking things up in a document that has been read */
#include "simlane/jdoc.h"

#include <string.h>

const char *jdoc_error_text(enum jdoc_error error)
{
	static const char *const texts[] = {
	        [JDOC_OK] = "no fault",
	        [JDOC_SYNTAX] = "not JSON",
	        [JDOC_BAD_UTF8] = "not valid UTF-8",
	        [JDOC_NUL] = "contains U+0000",
	        [JDOC_DUPLICATE] = "duplicate member name",
	        [JDOC_TOO_DEEP] = "nested too deep",
	        [JDOC_NUMBER_RANGE] = "number too large",
	        [JDOC_NOT_CONTAINER] = "neither an object nor an array",
	        [JDOC_NO_MEMORY] = "out of memory",
	};
	return texts[error];
}

/* ---- reading ---- */

uint32_t jdoc_find(const struct jdoc *d, uint32_t object, struct span name)
{
	if (object == JDOC_NONE || d->nodes[object].type != JDOC_OBJECT)
		return JDOC_NONE;
	for (uint32_t i = jdoc_first(d, object); i < d->nodes[object].next; i = jdoc_next_member(d, i))
		if (span_equal(d->nodes[i].str, name))
			return i + 1;
	return JDOC_NONE;
}

enum jdoc_type jdoc_type(const struct jdoc *d, uint32_t node)
{
	return node == JDOC_NONE ? JDOC_NULL : (enum jdoc_type)d->nodes[node].type;
}

struct span jdoc_str(const struct jdoc *d, uint32_t node)
{
	return jdoc_type(d, node) == JDOC_STRING ? d->nodes[node].str : (struct span){NULL, 0};
}

/* In the mantissa of a number's text. */
static bool has_nonzero_digit(struct span raw)
{
	for (size_t i = 0; i < raw.len && raw.ptr[i] != 'e' && raw.ptr[i] != 'E'; i++)
		if (raw.ptr[i] >= '1' && raw.ptr[i] <= '9')
			return true;
	return false;
}

bool jdoc_truthy(const struct jdoc *d, uint32_t node)
{
	switch (jdoc_type(d, node)) {
	case JDOC_NULL:
	case JDOC_FALSE:
		return false;
	case JDOC_TRUE:
		return true;
	case JDOC_INT:
		return d->nodes[node].integer != 0;
	case JDOC_REAL:
		return has_nonzero_digit(d->nodes[node].raw); /* 1e-400 is not zero, though its double is */
	case JDOC_STRING:
		return d->nodes[node].str.len > 0;
	case JDOC_ARRAY:
	case JDOC_OBJECT:
		return d->nodes[node].count > 0;
	}
	return true;
}

void jdoc_compact(const struct jdoc *d, uint32_t node, struct buf *out)
{
	struct span raw = d->nodes[node].raw;
	const char *end = raw.ptr + raw.len;
	if (!d->spaced) {
		buf_span(out, raw);
		return;
	}
	for (const char *p = raw.ptr; p < end;) {
		const char *run = p;
		while (p < end && *p != '"' && (unsigned char)*p > ' ')
			p++;
		if (p < end && *p == '"')
			for (p++; *p++ != '"';) /* well-formed: it ends */
				if (p[-1] == '\\')
					p++;
		buf_add(out, run, (size_t)(p - run));
		while (p < end && (unsigned char)*p <= ' ')
			p++;
	}
}

void jdoc_pointer_add(struct buf *out, struct span name)
{
	buf_char(out, '/');
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '~')
			buf_text(out, "~0");
		else if (name.ptr[i] == '/')
			buf_text(out, "~1");
		else
			buf_char(out, name.ptr[i]);
	}
}
