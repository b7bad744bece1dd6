/* jdoc.c - strict JSON, read once into a flat array of nodes; jdoc_look.c looks things up in them */
#include "simlane/jdoc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* Objects of up to this many members are checked for duplicates pairwise as
 * they are read; larger ones are sorted once, so that cost stays n log n. */
#define PAIRWISE_MEMBERS 16
#define CHUNK_BYTES      4096

struct jdoc_chunk {
	struct jdoc_chunk *next;
	size_t used, size;
	char bytes[];
};

struct reader {
	struct jdoc *doc;
	const char *at, *end;
	enum jdoc_error error; /* the first one; at stands where it was found */
	unsigned depth, max_depth;
};

static bool fail(struct reader *r, enum jdoc_error error)
{
	if (r->error == JDOC_OK)
		r->error = error;
	return false;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) {
		r->doc->spaced = true;
		r->at++;
	}
}

/* ---- memory ---- */

static uint32_t node_add(struct reader *r, enum jdoc_type type)
{
	struct jdoc *d = r->doc;
	if (d->count == d->cap) {
		uint32_t cap = d->cap ? d->cap * 2 : 32;
		struct jdoc_node *nodes = realloc(d->nodes, cap * sizeof(*nodes));
		if (!nodes) {
			fail(r, JDOC_NO_MEMORY);
			return JDOC_NONE;
		}
		d->nodes = nodes;
		d->cap = cap;
	}
	struct jdoc_node *n = &d->nodes[d->count];
	n->raw = (struct span){r->at, 0};
	n->str = (struct span){NULL, 0};
	n->next = d->count + 1;
	n->type = (uint8_t)type;
	return d->count++;
}

static char *chunk_take(struct reader *r, size_t len)
{
	struct jdoc_chunk *c = r->doc->chunks;
	if (!c || c->size - c->used < len) {
		size_t size = len > CHUNK_BYTES ? len : CHUNK_BYTES;
		c = malloc(sizeof(*c) + size);
		if (!c) {
			fail(r, JDOC_NO_MEMORY);
			return NULL;
		}
		*c = (struct jdoc_chunk){.next = r->doc->chunks, .used = 0, .size = size};
		r->doc->chunks = c;
	}
	char *mem = c->bytes + c->used;
	c->used += len;
	return mem;
}

static void chunks_free(struct jdoc *d)
{
	while (d->chunks) {
		struct jdoc_chunk *next = d->chunks->next;
		free(d->chunks);
		d->chunks = next;
	}
}

/* ---- strings ---- */

static int hex4(const char *p)
{
	int value = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int nibble;
		if (c >= '0' && c <= '9')
			nibble = c - '0';
		else if (c >= 'a' && c <= 'f')
			nibble = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			nibble = c - 'A' + 10;
		else
			return -1;
		value = value * 16 + nibble;
	}
	return value;
}

static char *put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
		*out++ = (char)(0x80 | (code & 63));
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 63));
		*out++ = (char)(0x80 | (code & 63));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 63));
		*out++ = (char)(0x80 | (code >> 6 & 63));
		*out++ = (char)(0x80 | (code & 63));
	}
	return out;
}

/* \uXXXX at r->at (behind the u), a surrogate pair included. */
static char *unescape_unicode(struct reader *r, char *out)
{
	int high = r->end - r->at >= 4 ? hex4(r->at) : -1;
	if (high < 0) {
		fail(r, JDOC_SYNTAX);
		return NULL;
	}
	if (high == 0) {
		fail(r, JDOC_NUL);
		return NULL;
	}
	r->at += 4;
	if (high < 0xd800 || high > 0xdfff)
		return put_utf8(out, (unsigned)high);
	int low = -1;
	if (high < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u')
		low = hex4(r->at + 2);
	if (low < 0xdc00 || low > 0xdfff) {
		fail(r, JDOC_BAD_UTF8);
		return NULL;
	}
	r->at += 6;
	return put_utf8(out, 0x10000 + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00));
}

/* One escape at r->at (behind the backslash). */
static char *unescape_one(struct reader *r, char *out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	if (r->at == r->end) {
		fail(r, JDOC_SYNTAX);
		return NULL;
	}
	char c = *r->at;
	if (c == 'u') {
		r->at++;
		return unescape_unicode(r, out);
	}
	const char *found = c ? strchr(from, c) : NULL;
	if (!found) {
		fail(r, JDOC_SYNTAX);
		return NULL;
	}
	r->at++;
	*out++ = to[found - from];
	return out;
}

/* A byte of a string that stands for itself. */
static inline bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Over plain bytes, eight at a time: a byte of x has its top bit set in
 * (x - n) & ~x & 0x80.. only if it is less than n or above 0x7f. */
static const char *skip_plain(const char *at, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
	while (end - at >= 8) {
		uint64_t x;
		memcpy(&x, at, 8);
		uint64_t quote = x ^ ones * '"', backslash = x ^ ones * '\\';
		uint64_t hit =
		        ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | x;
		if (hit & tops)
			break;
		at += 8;
	}
	while (at < end && is_plain((unsigned char)*at))
		at++;
	return at;
}

/* Moves over well-formed text up to a quote, a backslash or a fault. */
static bool skip_text(struct reader *r)
{
	const char *at = r->at;
	for (;;) {
		at = skip_plain(at, r->end);
		if (at == r->end || (unsigned char)*at < 0x80)
			break;
		size_t n = utf8_sequence((const unsigned char *)at, (size_t)(r->end - at));
		if (n == 0) {
			r->at = at;
			return fail(r, JDOC_BAD_UTF8);
		}
		at += n;
	}
	r->at = at;
	if (at == r->end || (unsigned char)*at < 0x20)
		return fail(r, at < r->end && *at == '\0' ? JDOC_NUL : JDOC_SYNTAX);
	return true;
}

/* The closing quote's distance is not known yet: an upper bound of what the
 * unescaped string needs is the raw string's length. */
static size_t raw_string_length(const struct reader *r)
{
	const char *at = r->at;
	while (at < r->end && *at != '"')
		at += *at == '\\' ? 2 : 1;
	return (size_t)((at < r->end ? at : r->end) - r->at);
}

/* From the first backslash on: copies into a chunk. start is behind the quote. */
static bool read_escaped(struct reader *r, const char *start, struct span *str)
{
	size_t head = (size_t)(r->at - start);
	char *mem = chunk_take(r, head + raw_string_length(r));
	if (!mem)
		return false;
	memcpy(mem, start, head);
	char *out = mem + head;
	while (*r->at == '\\') {
		r->at++;
		out = unescape_one(r, out);
		if (!out)
			return false;
		const char *run = r->at;
		if (!skip_text(r))
			return false;
		memcpy(out, run, (size_t)(r->at - run));
		out += r->at - run;
	}
	*str = (struct span){mem, (size_t)(out - mem)};
	return true;
}

static bool read_string(struct reader *r)
{
	uint32_t index = node_add(r, JDOC_STRING);
	if (index == JDOC_NONE)
		return false;
	const char *quote = r->at++;
	struct span str;
	if (!skip_text(r))
		return false;
	if (*r->at == '"')
		str = (struct span){quote + 1, (size_t)(r->at - quote - 1)};
	else if (!read_escaped(r, quote + 1, &str))
		return false;
	r->at++;
	struct jdoc_node *n = &r->doc->nodes[index];
	n->str = str;
	n->raw = (struct span){quote, (size_t)(r->at - quote)};
	return true;
}

/* ---- numbers and words ---- */

static bool is_digit(const struct reader *r)
{
	return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

static bool skip_digits(struct reader *r)
{
	if (!is_digit(r))
		return fail(r, JDOC_SYNTAX);
	while (is_digit(r))
		r->at++;
	return true;
}

/* Moves over a number; *real tells which kind it is. */
static bool skip_number(struct reader *r, bool *real)
{
	*real = false;
	if (*r->at == '-')
		r->at++;
	if (r->at < r->end && *r->at == '0')
		r->at++;
	else if (!skip_digits(r))
		return false;
	if (r->at < r->end && *r->at == '.') {
		*real = true;
		r->at++;
		if (!skip_digits(r))
			return false;
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		*real = true;
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		if (!skip_digits(r))
			return false;
	}
	return true;
}

static bool parse_integer(struct span raw, int64_t *value)
{
	bool negative = raw.ptr[0] == '-';
	uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	uint64_t sum = 0;
	for (size_t i = negative; i < raw.len; i++) {
		unsigned digit = (unsigned)(raw.ptr[i] - '0');
		if (sum > (limit - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return true;
}

static bool read_number(struct reader *r)
{
	bool real;
	const char *start = r->at;
	uint32_t index = node_add(r, JDOC_INT);
	if (index == JDOC_NONE || !skip_number(r, &real))
		return false;
	if (r->at == r->end) /* the container is not closed; strtod needs a byte behind the number, too */
		return fail(r, JDOC_SYNTAX);
	struct jdoc_node *n = &r->doc->nodes[index];
	n->raw = (struct span){start, (size_t)(r->at - start)};
	if (real) {
		n->type = JDOC_REAL;
		n->real = strtod(start, NULL);
	}
	if (real ? !isfinite(n->real) : !parse_integer(n->raw, &n->integer)) {
		r->at = start;
		return fail(r, JDOC_NUMBER_RANGE);
	}
	return true;
}

static bool read_word(struct reader *r, const char *word, enum jdoc_type type)
{
	size_t len = strlen(word);
	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return fail(r, JDOC_SYNTAX);
	uint32_t index = node_add(r, type);
	if (index == JDOC_NONE)
		return false;
	r->doc->nodes[index].raw.len = len;
	r->at += len;
	return true;
}

/* ---- duplicates ---- */

static bool name_taken(const struct jdoc *d, uint32_t object, uint32_t name)
{
	for (uint32_t i = object + 1; i < name; i = jdoc_next_member(d, i))
		if (span_equal(d->nodes[i].str, d->nodes[name].str))
			return true;
	return false;
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct jdoc *d = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	struct span x = d->nodes[i].str, y = d->nodes[k].str;
	if (x.len != y.len)
		return x.len < y.len ? -1 : 1;
	int order = x.len ? memcmp(x.ptr, y.ptr, x.len) : 0;
	if (order)
		return order;
	return i < k ? -1 : i > k;
}

/* Checks a large object once it is read. */
static bool names_unique(struct reader *r, uint32_t object)
{
	struct jdoc *d = r->doc;
	uint32_t count = d->nodes[object].count, at = 0;
	uint32_t *names = malloc(count * sizeof(*names));
	if (!names)
		return fail(r, JDOC_NO_MEMORY);
	for (uint32_t i = object + 1; i < d->count; i = jdoc_next_member(d, i))
		names[at++] = i;
	qsort_r(names, count, sizeof(*names), compare_names, d);
	for (uint32_t i = 1; i < count && r->error == JDOC_OK; i++)
		if (span_equal(d->nodes[names[i - 1]].str, d->nodes[names[i]].str)) {
			r->at = d->nodes[names[i]].raw.ptr;
			fail(r, JDOC_DUPLICATE);
		}
	free(names);
	return r->error == JDOC_OK;
}

/* ---- containers ---- */

static bool read_value(struct reader *r);

static bool read_member(struct reader *r, uint32_t object)
{
	uint32_t name = r->doc->count;
	if (r->at == r->end || *r->at != '"')
		return fail(r, JDOC_SYNTAX);
	if (!read_string(r))
		return false;
	if (r->doc->nodes[object].count < PAIRWISE_MEMBERS && name_taken(r->doc, object, name)) {
		r->at = r->doc->nodes[name].raw.ptr;
		return fail(r, JDOC_DUPLICATE);
	}
	skip_space(r);
	if (r->at == r->end || *r->at != ':')
		return fail(r, JDOC_SYNTAX);
	r->at++;
	skip_space(r);
	return read_value(r);
}

/* The inside of a container up to its closing bracket. */
static bool read_elements(struct reader *r, uint32_t container, bool object)
{
	char close = object ? '}' : ']';
	skip_space(r);
	if (r->at < r->end && *r->at == close)
		return true;
	for (;;) {
		if (!(object ? read_member(r, container) : read_value(r)))
			return false;
		r->doc->nodes[container].count++;
		skip_space(r);
		if (r->at < r->end && *r->at == close)
			return true;
		if (r->at == r->end || *r->at != ',')
			return fail(r, JDOC_SYNTAX);
		r->at++;
		skip_space(r);
	}
}

static bool read_container(struct reader *r, bool object)
{
	if (r->depth == r->max_depth)
		return fail(r, JDOC_TOO_DEEP);
	uint32_t index = node_add(r, object ? JDOC_OBJECT : JDOC_ARRAY);
	if (index == JDOC_NONE)
		return false;
	const char *start = r->at++;
	r->doc->nodes[index].count = 0;
	r->depth++;
	if (!read_elements(r, index, object))
		return false;
	r->depth--;
	r->at++;
	struct jdoc_node *n = &r->doc->nodes[index];
	n->raw = (struct span){start, (size_t)(r->at - start)};
	n->next = r->doc->count;
	return !object || n->count <= PAIRWISE_MEMBERS || names_unique(r, index);
}

static bool read_value(struct reader *r)
{
	if (r->at == r->end)
		return fail(r, JDOC_SYNTAX);
	switch (*r->at) {
	case '{':
		return read_container(r, true);
	case '[':
		return read_container(r, false);
	case '"':
		return read_string(r);
	case 't':
		return read_word(r, "true", JDOC_TRUE);
	case 'f':
		return read_word(r, "false", JDOC_FALSE);
	case 'n':
		return read_word(r, "null", JDOC_NULL);
	default:
		if (*r->at == '-' || is_digit(r))
			return read_number(r);
		return fail(r, *r->at == '\0' ? JDOC_NUL : JDOC_SYNTAX);
	}
}

static void locate(struct span text, const char *at, struct jdoc_where *where)
{
	where->line = 1;
	where->column = 1;
	for (const char *p = text.ptr; p < at; p++) {
		where->column++;
		if (*p == '\n') {
			where->line++;
			where->column = 1;
		}
	}
}

enum jdoc_error jdoc_parse(struct jdoc *d, struct span text, struct jdoc_where *where)
{
	struct reader r = {.doc = d,
	                   .at = text.ptr,
	                   .end = text.ptr + text.len,
	                   .error = JDOC_OK,
	                   .depth = 0,
	                   .max_depth = d->max_depth ? d->max_depth : JDOC_MAX_DEPTH};
	d->count = 0;
	d->spaced = false;
	chunks_free(d);
	if (text.len >= UINT32_MAX / 2) {
		fail(&r, JDOC_SYNTAX);
	} else if (text.len == 0) {
		fail(&r, JDOC_SYNTAX);
	} else {
		skip_space(&r);
		if (read_value(&r)) {
			skip_space(&r);
			if (r.at < r.end)
				fail(&r, *r.at == '\0' ? JDOC_NUL : JDOC_SYNTAX);
			else if (d->nodes[0].type != JDOC_OBJECT && d->nodes[0].type != JDOC_ARRAY)
				fail(&r, JDOC_NOT_CONTAINER);
		}
	}
	if (where) {
		*where = (struct jdoc_where){r.error, 0, 0};
		if (r.error != JDOC_OK)
			locate(text, r.at, where);
	}
	if (r.error != JDOC_OK)
		d->count = 0;
	return r.error;
}

void jdoc_free(struct jdoc *d)
{
	chunks_free(d);
	free(d->nodes);
	*d = JDOC_EMPTY;
}
