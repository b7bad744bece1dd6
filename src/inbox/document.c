/* document.c - one trace's document, merged as text */
#include "document.h"

#include <string.h>

#define DOCUMENT_DEPTH (JDOC_MAX_DEPTH + 1) /* shards are one level below its root */

void document_init(struct document *d)
{
	memset(d, 0, sizeof(*d));
	d->old = d->seed = d->added = JDOC_EMPTY;
	d->owner = d->head = d->foot = BUF_EMPTY;
	identity_set_init(&d->known);
}

void document_free(struct document *d)
{
	jdoc_free(&d->old);
	jdoc_free(&d->seed);
	jdoc_free(&d->added);
	buf_free(&d->owner);
	buf_free(&d->head);
	buf_free(&d->foot);
	identity_set_free(&d->known);
}

static void trim_jdoc(struct jdoc *doc)
{
	if (doc->cap * sizeof(*doc->nodes) > DOCUMENT_KEPT_CAP) {
		jdoc_free(doc);
		*doc = JDOC_EMPTY;
	}
}

static void trim_buf(struct buf *b)
{
	if (b->cap > DOCUMENT_KEPT_CAP)
		buf_free(b);
}

void document_trim(struct document *d)
{
	trim_jdoc(&d->old);
	trim_jdoc(&d->seed);
	trim_jdoc(&d->added);
	trim_buf(&d->head);
	trim_buf(&d->foot);
	trim_buf(&d->known.text);
	d->has_old = false;
	d->begun = false;
}

/* ---- reading ---- */

/* Absent or null, or of that type: what a document of ours may have there. */
static bool is_or_missing(const struct jdoc *doc, uint32_t node, enum jdoc_type type)
{
	return jdoc_type(doc, node) == JDOC_NULL || jdoc_type(doc, node) == type;
}

/* Is this a document of that trace at all? Its version is looked at first: a
 * later version may have any shape. */
static enum document_state check_old(const struct document *d)
{
	const struct jdoc *old = &d->old;
	uint32_t trace = jdoc_get(old, 0, "trace_id");
	uint32_t version = jdoc_get(old, 0, "version");

	if (jdoc_type(old, 0) != JDOC_OBJECT)
		return DOCUMENT_CORRUPT;
	if (jdoc_type(old, version) != JDOC_INT || old->nodes[version].integer != INBOX_VERSION)
		return DOCUMENT_BAD_VERSION;
	if (!is_or_missing(old, trace, JDOC_STRING) || !is_or_missing(old, jdoc_get(old, 0, "tenant"), JDOC_STRING) ||
	    !is_or_missing(old, jdoc_get(old, 0, "shards"), JDOC_ARRAY))
		return DOCUMENT_CORRUPT;
	if (jdoc_type(old, trace) == JDOC_STRING && !span_is(jdoc_str(old, trace), d->trace_id))
		return DOCUMENT_CORRUPT;
	return DOCUMENT_READY;
}

enum document_state document_begin(struct document *d, const char *trace_id, struct span old)
{
	d->trace_id = trace_id;
	d->has_old = old.ptr != NULL;
	d->begun = false;
	d->tenant = (struct span){NULL, 0};
	if (!d->has_old)
		return DOCUMENT_READY;
	d->old.max_depth = DOCUMENT_DEPTH;
	enum jdoc_error error = jdoc_parse(&d->old, old, NULL);
	if (error == JDOC_NO_MEMORY)
		return DOCUMENT_NO_MEMORY;
	if (error != JDOC_OK)
		return DOCUMENT_CORRUPT;
	uint32_t tenant = jdoc_get(&d->old, 0, "tenant");
	d->tenant = jdoc_type(&d->old, tenant) == JDOC_STRING ? jdoc_str(&d->old, tenant) : span_of(DEFAULT_TENANT);
	if (!d->tenant.ptr)
		d->tenant = span_of(""); /* nobody's, and not to be had */
	return check_old(d);
}

/* Reads the write's two texts and looks at their shape. */
static enum inbox_status read_write(struct document *d, const struct document_write *w)
{
	enum jdoc_error error = jdoc_parse(&d->seed, w->seed, NULL);
	if (error == JDOC_OK)
		error = jdoc_parse(&d->added, w->shards, NULL);
	if (error != JDOC_OK)
		return error == JDOC_TOO_DEEP ? INBOX_TOO_LARGE : INBOX_UNAVAILABLE;
	if (jdoc_type(&d->seed, 0) != JDOC_OBJECT || jdoc_type(&d->added, 0) != JDOC_ARRAY ||
	    d->added.nodes[0].count == 0)
		return INBOX_UNAVAILABLE;
	for (uint32_t i = jdoc_first(&d->added, 0); i < d->added.nodes[0].next; i = d->added.nodes[i].next)
		if (jdoc_type(&d->added, i) != JDOC_OBJECT)
			return INBOX_UNAVAILABLE;
	return INBOX_OK;
}

/* ---- writing ---- */

/* The snapshot of the seed: goal, tags and flags, nothing more. */
static void add_snapshot(struct buf *out, const struct document_write *w, const struct jdoc *seed)
{
	uint32_t goal = jdoc_get(seed, 0, "goal");
	uint32_t tags = jdoc_get(seed, 0, "ul_tags");
	uint32_t flags = jdoc_get(seed, jdoc_get(seed, 0, "constraints"), "flags");

	buf_text(out, "{\"goal\":");
	if (jdoc_type(seed, goal) == JDOC_STRING)
		redact_value(w->redactor, seed, goal, out);
	else
		buf_text(out, "null");
	buf_text(out, ",\"ul_tags\":[");
	if (jdoc_type(seed, tags) == JDOC_ARRAY) {
		unsigned n = 0;
		for (uint32_t i = jdoc_first(seed, tags); i < seed->nodes[tags].next && n < INBOX_MAX_TAGS;
		     i = seed->nodes[i].next) {
			if (n++)
				buf_char(out, ',');
			redact_value(w->redactor, seed, i, out);
		}
	}
	buf_text(out, "],\"constraints\":{\"flags\":");
	if (jdoc_type(seed, flags) == JDOC_OBJECT)
		redact_value(w->redactor, seed, flags, out);
	else
		buf_text(out, "{}");
	buf_text(out, "}}");
}

static void add_name(struct buf *out, const char *name)
{
	if (out->len && out->ptr[out->len - 1] != '{')
		buf_char(out, ',');
	buf_printf(out, "\"%s\":", name);
}

/* The members that every document of ours has: which of them stood in the old
 * one is remembered, the others are added. */
enum member { MEMBER_TRACE, MEMBER_TENANT, MEMBER_SAVED, MEMBER_SEED, MEMBER_SHARDS, MEMBER_VERSION, MEMBER_SCHEMA };

static const char *const member_names[] = {
        [MEMBER_TRACE] = "trace_id",    [MEMBER_TENANT] = "tenant", [MEMBER_SAVED] = "saved_ts",
        [MEMBER_SEED] = "seed",         [MEMBER_SHARDS] = "shards", [MEMBER_VERSION] = "version",
        [MEMBER_SCHEMA] = "schema_ref",
};
#define MEMBERS (sizeof(member_names) / sizeof(member_names[0]))

/* One of our members as a new document has it; the shards' array stays open. */
static void add_member(struct document *d, struct buf *out, enum member m, const struct document_write *w)
{
	add_name(out, member_names[m]);
	switch (m) {
	case MEMBER_TRACE:
		buf_json_string(out, span_of(d->trace_id));
		break;
	case MEMBER_TENANT:
		buf_json_string(out, d->tenant);
		break;
	case MEMBER_SAVED:
		buf_int(out, w->now_ms);
		break;
	case MEMBER_SEED:
		add_snapshot(out, w, &d->seed);
		break;
	case MEMBER_SHARDS:
		buf_char(out, '[');
		break;
	case MEMBER_VERSION:
		buf_int(out, INBOX_VERSION);
		break;
	case MEMBER_SCHEMA:
		buf_json_string(out, span_of(INBOX_SCHEMA_REF));
		break;
	}
}

/* Which of our members the name is, or MEMBERS. */
static size_t member_of(struct span name)
{
	size_t m = 0;

	while (m < MEMBERS && !span_is(name, member_names[m]))
		m++;
	return m;
}

static void add_old_shards(struct document *d, uint32_t shards)
{
	const struct jdoc *old = &d->old;

	for (uint32_t i = jdoc_first(old, shards); i < old->nodes[shards].next; i = old->nodes[i].next) {
		if (d->shards++)
			buf_char(&d->head, ',');
		jdoc_compact(old, i, &d->head);
		if (jdoc_type(old, i) == JDOC_OBJECT)
			identity_add(&d->known, identity_of(&d->known, NULL, old, i));
	}
}

/* Copies the old document's members; those of ours that are null are filled.
 * Returns the members of ours that it had, one bit each. */
static unsigned add_old(struct document *d, const struct document_write *w)
{
	struct buf *out = &d->head;
	unsigned had = 0;

	for (uint32_t i = jdoc_first(&d->old, 0); i < d->old.nodes[0].next; i = jdoc_next_member(&d->old, i)) {
		size_t m = member_of(d->old.nodes[i].str);
		bool null = jdoc_type(&d->old, i + 1) == JDOC_NULL;
		if (m < MEMBERS)
			had |= 1u << m;
		if (m < MEMBERS && (m == MEMBER_SAVED || m == MEMBER_SHARDS || null)) {
			add_member(d, out, (enum member)m, w);
			if (m != MEMBER_SHARDS)
				continue;
			if (!null)
				add_old_shards(d, i + 1);
			out = &d->foot; /* what comes behind the shards */
			buf_char(out, ']');
			continue;
		}
		if (out->len && out->ptr[out->len - 1] != '{')
			buf_char(out, ',');
		buf_span(out, d->old.nodes[i].raw);
		buf_char(out, ':');
		jdoc_compact(&d->old, i + 1, out);
	}
	return had;
}

/* Makes head and foot, with this write's seed where there is none yet. */
static void begin_text(struct document *d, const struct document_write *w)
{
	buf_clear(&d->head);
	buf_clear(&d->foot);
	identity_set_clear(&d->known);
	d->shards = 0;
	buf_char(&d->head, '{');
	unsigned had = d->has_old ? add_old(d, w) : 0;
	struct buf *out = d->foot.len ? &d->foot : &d->head;
	for (size_t m = 0; m < MEMBERS; m++) {
		if (had & 1u << m)
			continue;
		add_member(d, out, (enum member)m, w);
		if (m == MEMBER_SHARDS) {
			out = &d->foot;
			buf_char(out, ']');
		}
	}
	buf_char(&d->foot, '}');
	d->begun = true;
}

static int add_shards(struct document *d, const struct document_write *w)
{
	int written = 0;

	for (uint32_t i = jdoc_first(&d->added, 0); i < d->added.nodes[0].next; i = d->added.nodes[i].next) {
		if (!identity_add(&d->known, identity_of(&d->known, w->redactor, &d->added, i)))
			continue;
		if (d->shards++)
			buf_char(&d->head, ',');
		redact_value(w->redactor, &d->added, i, &d->head);
		written++;
	}
	return written;
}

enum inbox_status document_add(struct document *d, const struct document_write *w, int *written)
{
	bool first = !d->begun;

	*written = 0;
	if (d->tenant.ptr && !span_is(d->tenant, w->tenant))
		return INBOX_TRACE_TAKEN;
	enum inbox_status status = read_write(d, w);
	if (status != INBOX_OK)
		return status;
	if (!d->tenant.ptr) {
		buf_clear(&d->owner);
		buf_text(&d->owner, w->tenant);
		d->tenant = (struct span){d->owner.ptr, d->owner.len};
	}
	if (first)
		begin_text(d, w);
	struct {
		size_t bytes, shards, known;
	} before = {d->head.len, d->shards, d->known.count};
	*written = add_shards(d, w);
	if (d->head.failed || d->foot.failed || d->known.failed || d->owner.failed) {
		d->head.failed = true; /* the whole document is lost: document_text is absent */
		return INBOX_UNAVAILABLE;
	}
	if ((*written == 0 || d->shards <= INBOX_MAX_SHARDS) && d->head.len + d->foot.len <= INBOX_MAX_DOCUMENT_BYTES)
		return INBOX_OK;
	d->head.len = before.bytes;
	d->shards = before.shards;
	identity_set_cut(&d->known, before.known);
	if (first) {
		d->begun = false;
		if (!d->has_old)
			d->tenant = (struct span){NULL, 0};
	}
	*written = 0;
	return INBOX_TOO_LARGE;
}

struct span document_text(struct document *d)
{
	buf_span(&d->head, (struct span){d->foot.ptr, d->foot.len});
	if (!d->begun || d->head.failed || d->foot.failed)
		return (struct span){NULL, 0};
	return (struct span){d->head.ptr, d->head.len};
}
