/* redact.c - what the inbox keeps of a document's text */
#include "redact.h"

#include <stdlib.h>
#include <string.h>

#include "simlane/ids.h"

static const char redacted[] = "***REDACTED***";

static const char *const secret_words[] = {"password", "secret", "token", "apikey", "api_key", "auth", "bearer"};
static const char *const exempt_names[] = {"trace_id", "job_id",    "node_id",  "id",
                                           "index",    "timestamp", "saved_ts", "ts"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int redactor_init(struct redactor *r)
{
	*r = (struct redactor){.email = NULL, .phone = NULL, .first = BUF_EMPTY, .second = BUF_EMPTY};
	r->scratch = regex_scratch_new();
	return r->scratch ? 0 : -1;
}

void redactor_free(struct redactor *r)
{
	regex_scratch_free(r->scratch);
	buf_free(&r->first);
	buf_free(&r->second);
}

/* ---- names ---- */

/* The next character of a name in lower case, as far as the secret words need
 * it: ASCII, and the Kelvin sign, whose lower case is a plain k. */
static char lower_at(struct span name, size_t at, size_t *width)
{
	unsigned char c = (unsigned char)name.ptr[at];

	*width = 1;
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 32);
	if (c == 0xe2 && name.len - at >= 3 && memcmp(name.ptr + at, "\xe2\x84\xaa", 3) == 0) {
		*width = 3;
		return 'k';
	}
	return (char)c;
}

static bool word_at(struct span name, size_t at, const char *word)
{
	for (; *word; word++) {
		size_t width;
		if (at >= name.len || lower_at(name, at, &width) != *word)
			return false;
		at += width;
	}
	return true;
}

static bool is_secret(struct span name)
{
	for (size_t at = 0; at < name.len; at++)
		for (size_t i = 0; i < COUNT(secret_words); i++)
			if (word_at(name, at, secret_words[i]))
				return true;
	return false;
}

static bool is_exempt_name(struct span name)
{
	for (size_t i = 0; i < COUNT(exempt_names); i++)
		if (span_is(name, exempt_names[i]))
			return true;
	return false;
}

/* ---- strings ---- */

/* RFC 3339 as a whole: 2026-01-02T03:04:05, a fraction, an offset. */
static bool is_time(struct span s)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";

	if (s.len < sizeof(form) - 1 || s.len > 40)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool digit = c >= '0' && c <= '9';
		if (i >= sizeof(form) - 1) {
			if (!digit && !strchr(".+-:Zz", c))
				return false;
		} else if (form[i] == 'd' ? !digit : form[i] == 'T' ? !strchr("Tt ", c) : c != form[i]) {
			return false;
		}
	}
	return true;
}

static bool is_identity(struct span s)
{
	return job_id_parse(s, NULL) || trace_id_parse(s, NULL, NULL) || is_time(s);
}

/* The text as it may be kept: the string itself, or scratch memory that lives
 * until the next call. */
static struct span clean_text(struct redactor *r, struct span text)
{
	enum regex_result result = REGEX_ERROR;

	if (text.len == 0 || is_identity(text))
		return text;
	buf_clear(&r->first);
	buf_clear(&r->second);
	if (r->email && r->phone)
		result = regex_replace(r->email, r->scratch, text, "[email]", &r->first);
	if (result == REGEX_ERROR)
		return span_of(redacted);
	struct span once = {r->first.ptr, r->first.len};
	enum regex_result again = regex_replace(r->phone, r->scratch, once, "[phone]", &r->second);
	if (again == REGEX_ERROR)
		return span_of(redacted);
	if (result == REGEX_NO_MATCH && again == REGEX_NO_MATCH)
		return text;
	return (struct span){r->second.ptr, r->second.len};
}

/* ---- values ---- */

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* One object's names, so that those which change stay unique. */
struct names {
	struct span *sorted; /* the names as they came, made when one changes */
	size_t count;
	struct buf first; /* the first one that changed */
	unsigned changed;
};

static bool names_load(struct names *n, const struct jdoc *d, uint32_t object)
{
	n->sorted = malloc(d->nodes[object].count * sizeof(*n->sorted));
	if (!n->sorted)
		return false;
	for (uint32_t i = jdoc_first(d, object); i < d->nodes[object].next; i = jdoc_next_member(d, i))
		n->sorted[n->count++] = d->nodes[i].str.ptr ? d->nodes[i].str : (struct span){"", 0};
	qsort(n->sorted, n->count, sizeof(*n->sorted), compare_spans);
	return true;
}

static bool names_taken(const struct names *n, struct span name)
{
	return bsearch(&name, n->sorted, n->count, sizeof(name), compare_spans) ||
	       (n->changed && span_equal(name, (struct span){n->first.ptr, n->first.len}));
}

/* Appends a changed name in a form that no other member has. Those with a
 * number end in numbers that differ, so only the others need a look. */
static void names_add(struct names *n, const struct jdoc *d, uint32_t object, struct span clean, struct buf *out)
{
	struct buf name = BUF_EMPTY;

	if (!n->sorted && !names_load(n, d, object)) {
		out->failed = true;
		return;
	}
	buf_span(&name, clean);
	while (!name.failed && (n->changed || names_taken(n, clean))) {
		name.len = clean.len;
		buf_printf(&name, "#%u", ++n->changed);
		if (!names_taken(n, (struct span){name.ptr, name.len}))
			break;
	}
	if (n->changed == 0) {
		buf_add(&n->first, name.ptr, name.len);
		n->changed = 1;
	}
	if (name.failed || n->first.failed)
		out->failed = true;
	else
		buf_json_string(out, (struct span){name.ptr, name.len});
	buf_free(&name);
}

static void redact_object(struct redactor *r, const struct jdoc *d, uint32_t object, struct buf *out)
{
	struct names names = {NULL, 0, BUF_EMPTY, 0};

	buf_char(out, '{');
	for (uint32_t i = jdoc_first(d, object); i < d->nodes[object].next; i = jdoc_next_member(d, i)) {
		struct span name = d->nodes[i].str;
		bool exempt = is_exempt_name(name);
		struct span clean = exempt ? name : clean_text(r, name);
		if (i != jdoc_first(d, object))
			buf_char(out, ',');
		if (clean.ptr == name.ptr)
			buf_span(out, d->nodes[i].raw);
		else
			names_add(&names, d, object, clean, out);
		buf_char(out, ':');
		if (is_secret(name))
			buf_json_string(out, span_of(redacted));
		else if (jdoc_type(d, i + 1) == JDOC_STRING && exempt)
			buf_span(out, d->nodes[i + 1].raw);
		else
			redact_value(r, d, i + 1, out);
	}
	buf_char(out, '}');
	free(names.sorted);
	buf_free(&names.first);
}

void redact_value(struct redactor *r, const struct jdoc *d, uint32_t node, struct buf *out)
{
	const struct jdoc_node *n = &d->nodes[node];

	if (!r || (n->type != JDOC_STRING && n->type != JDOC_ARRAY && n->type != JDOC_OBJECT)) {
		jdoc_compact(d, node, out);
	} else if (n->type == JDOC_OBJECT) {
		redact_object(r, d, node, out);
	} else if (n->type == JDOC_ARRAY) {
		buf_char(out, '[');
		for (uint32_t i = jdoc_first(d, node); i < n->next; i = d->nodes[i].next) {
			if (i != jdoc_first(d, node))
				buf_char(out, ',');
			redact_value(r, d, i, out);
		}
		buf_char(out, ']');
	} else {
		struct span clean = clean_text(r, n->str);
		if (clean.ptr == n->str.ptr)
			buf_span(out, n->raw);
		else
			buf_json_string(out, clean);
	}
}
