/*
 * jdoc - strict JSON, read once, without a tree of allocations
 *
 * Everything that comes from outside (bodies, tokens, key and policy files)
 * is read by this one reader before anything else looks at it. It is RFC 8259
 * and stricter: one value of object or array type, valid UTF-8 without lone
 * surrogates, no duplicate member names in any object (compared after
 * unescaping), no U+0000, at most JDOC_MAX_DEPTH levels, integers within
 * int64, reals within a finite double.
 *
 * The result is a flat array of nodes in document order. An object's node is
 * followed by its members, a name (JDOC_STRING) and a value each; an array's
 * by its elements. node.next is the index behind a value's whole subtree, so
 * that walking needs no stack. Index 0 is the root.
 *
 * A request costs one such pass (some hundred nanoseconds) where a tree
 * library costs microseconds. Documents are changed by copying the text of
 * what stays, so that numbers keep their spelling.
 *
 * ERRORS     jdoc_parse returns a reason, the line and the column (in bytes,
 *            both from 1) of the first fault.
 * OWNERSHIP  a jdoc owns its nodes and unescaped strings; strings without
 *            escapes and all raw spans point into the text given, which must
 *            outlive it. A jdoc may be parsed into again (memory is kept).
 * THREADS    a parsed jdoc is read-only: any; parsing: one.
 */
#ifndef SIMLANE_JDOC_H
#define SIMLANE_JDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/span.h"

#define JDOC_MAX_DEPTH 32
#define JDOC_NONE      UINT32_MAX /* no such node */

enum jdoc_type {
	JDOC_NULL,
	JDOC_FALSE,
	JDOC_TRUE,
	JDOC_INT,
	JDOC_REAL,
	JDOC_STRING,
	JDOC_ARRAY,
	JDOC_OBJECT,
};

struct jdoc_node {
	struct span raw; /* the value as it stands in the text, quotes included */
	union {
		struct span str; /* JDOC_STRING: unescaped, without quotes */
		int64_t integer; /* JDOC_INT */
		double real;     /* JDOC_REAL */
		uint32_t count;  /* JDOC_ARRAY, JDOC_OBJECT: elements or members */
	};
	uint32_t next;
	uint8_t type; /* enum jdoc_type */
};

struct jdoc {
	struct jdoc_node *nodes;
	uint32_t count;
	uint32_t cap;
	struct jdoc_chunk *chunks; /* memory of unescaped strings */
	bool spaced;               /* there is white space between its tokens */
	unsigned max_depth;        /* set by the caller before a parse; 0: JDOC_MAX_DEPTH */
};

enum jdoc_error {
	JDOC_OK,
	JDOC_SYNTAX,
	JDOC_BAD_UTF8,
	JDOC_NUL,
	JDOC_DUPLICATE,
	JDOC_TOO_DEEP,
	JDOC_NUMBER_RANGE,
	JDOC_NOT_CONTAINER, /* the value is neither an object nor an array */
	JDOC_NO_MEMORY,
};

struct jdoc_where {
	enum jdoc_error error;
	unsigned line, column;
};

#define JDOC_EMPTY ((struct jdoc){NULL, 0, 0, NULL, false, 0})

/* Text longer than UINT32_MAX - 1 bytes is JDOC_SYNTAX. where may be NULL. */
enum jdoc_error jdoc_parse(struct jdoc *d, struct span text, struct jdoc_where *where);
void jdoc_free(struct jdoc *d);
const char *jdoc_error_text(enum jdoc_error error); /* "duplicate member name", ... */

/* The value of a member, or JDOC_NONE when object is not an object or has no
 * such member. object may be JDOC_NONE. */
uint32_t jdoc_find(const struct jdoc *d, uint32_t object, struct span name);

static inline uint32_t jdoc_get(const struct jdoc *d, uint32_t object, const char *name)
{
	return jdoc_find(d, object, (struct span){name, strlen(name)});
}

/* JDOC_NULL for JDOC_NONE: an absent member and a null one read the same. */
enum jdoc_type jdoc_type(const struct jdoc *d, uint32_t node);

/* The text of a string node; {NULL, 0} for anything else. */
struct span jdoc_str(const struct jdoc *d, uint32_t node);

/* Truthy: anything but absent, false, null, 0, 0.0, "", [] and {}. */
bool jdoc_truthy(const struct jdoc *d, uint32_t node);

/* Appends a value's text without the insignificant white space. */
void jdoc_compact(const struct jdoc *d, uint32_t node, struct buf *out);

/* Appends one member name or index as an RFC 6901 reference token ("/a~1b"). */
void jdoc_pointer_add(struct buf *out, struct span name);

/* Walks members:  for (i = jdoc_first(d, o); i < d->nodes[o].next; i = jdoc_next_member(d, i))
 * gives the index of each name; its value is at i + 1. For arrays step with
 * d->nodes[i].next. */
static inline uint32_t jdoc_first(const struct jdoc *d, uint32_t container)
{
	(void)d;
	return container + 1;
}

static inline uint32_t jdoc_next_member(const struct jdoc *d, uint32_t name)
{
	return d->nodes[name + 1].next;
}

#endif
