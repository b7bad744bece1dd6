/* shape.c - what a body must look like, and where it does not */
#include <string.h>

#include "internal.h"

/* ---- faults with a place ---- */

#define PLACE_DEPTH 8

/* Where the look is; spelled out only when there is a fault. */
struct place {
	struct service_call *call;
	enum problem problem; /* of the part that is being looked at */
	unsigned depth;
	const char *names[PLACE_DEPTH];
};

/* A fault at the place, or at the element or member below it. */
static bool fault_below(struct place *p, struct span member, int64_t index, const char *detail)
{
	struct buf *pointer = &p->call->reply.pointer;
	for (unsigned i = 0; i < p->depth; i++)
		jdoc_pointer_add(pointer, span_of(p->names[i]));
	if (member.ptr)
		jdoc_pointer_add(pointer, member);
	if (index >= 0) {
		buf_char(pointer, '/');
		buf_int(pointer, index);
	}
	call_fail_shape(p->call, p->problem, detail);
	return false;
}

static bool fault_at(struct place *p, const char *detail)
{
	return fault_below(p, (struct span){NULL, 0}, -1, detail);
}

static void push(struct place *p, const char *name)
{
	p->names[p->depth++] = name;
}

static void pop(struct place *p)
{
	p->depth--;
}

/* Refuses any member of object but those named (NULL-terminated). */
static bool only_members(struct place *p, const struct jdoc *d, uint32_t object, const char *const *names)
{
	for (uint32_t i = jdoc_first(d, object); i < d->nodes[object].next; i = jdoc_next_member(d, i)) {
		const char *const *n = names;
		while (*n && !span_is(d->nodes[i].str, *n))
			n++;
		if (!*n)
			return fault_below(p, d->nodes[i].str, -1, "No such member here.");
	}
	return true;
}

static bool is_object(struct place *p, const struct jdoc *d, uint32_t node)
{
	return jdoc_type(d, node) == JDOC_OBJECT || fault_at(p, "Must be an object.");
}

/* ---- the seed ---- */

/* A member that may be missing or null, and else is of that type. */
static bool optional(struct place *p, const struct jdoc *d, uint32_t object, const char *name, enum jdoc_type type,
                     uint32_t *node)
{
	static const char *const details[] = {
	        [JDOC_STRING] = "Must be a string or null.",
	        [JDOC_ARRAY] = "Must be an array or null.",
	        [JDOC_OBJECT] = "Must be an object or null.",
	};
	*node = jdoc_get(d, object, name);
	if (jdoc_type(d, *node) == JDOC_NULL) {
		*node = JDOC_NONE;
		return true;
	}
	if (jdoc_type(d, *node) == type)
		return true;
	push(p, name);
	return fault_at(p, details[type]);
}

/* An optional array of strings. */
static bool strings(struct place *p, const struct jdoc *d, uint32_t object, const char *name, uint32_t max)
{
	uint32_t array;
	if (!optional(p, d, object, name, JDOC_ARRAY, &array))
		return false;
	if (array == JDOC_NONE)
		return true;
	push(p, name);
	if (d->nodes[array].count > max)
		return fault_at(p, "Too many elements.");
	uint32_t index = 0;
	for (uint32_t i = jdoc_first(d, array); i < d->nodes[array].next; i = d->nodes[i].next, index++) {
		if (jdoc_type(d, i) != JDOC_STRING)
			return fault_below(p, (struct span){NULL, 0}, index, "Must be a string.");
	}
	pop(p);
	return true;
}

static bool shape_constraints(struct place *p, const struct jdoc *d, uint32_t seed)
{
	uint32_t constraints, consent, ignored;
	if (!optional(p, d, seed, "constraints", JDOC_OBJECT, &constraints))
		return false;
	if (constraints == JDOC_NONE)
		return true;
	push(p, "constraints");
	if (!optional(p, d, constraints, "flags", JDOC_OBJECT, &ignored) ||
	    !optional(p, d, constraints, "budgets", JDOC_OBJECT, &ignored) ||
	    !optional(p, d, constraints, "consent", JDOC_OBJECT, &consent))
		return false;
	if (consent != JDOC_NONE) {
		push(p, "consent");
		if (!strings(p, d, consent, "scopes", UINT32_MAX))
			return false;
		pop(p);
	}
	pop(p);
	return true;
}

/* The seed member of the root: required, an object, its known members typed. */
static bool shape_seed(struct service_call *call, uint32_t *seed)
{
	struct place p = {.call = call, .problem = PROBLEM_INVALID_REQUEST};
	const struct jdoc *d = call->body;
	uint32_t ignored;
	*seed = jdoc_get(d, 0, "seed");
	push(&p, "seed");
	if (*seed == JDOC_NONE)
		return fault_at(&p, "Required.");
	p.problem = PROBLEM_INVALID_SEED;
	if (!is_object(&p, d, *seed) || !optional(&p, d, *seed, "goal", JDOC_STRING, &ignored) ||
	    !strings(&p, d, *seed, "ul_tags", SERVICE_MAX_TAGS) ||
	    !optional(&p, d, *seed, "context", JDOC_OBJECT, &ignored) || !shape_constraints(&p, d, *seed))
		return false;
	pop(&p);
	return true;
}

/* ---- bodies ---- */

static bool shape_root(struct place *p, const char *const *names)
{
	return is_object(p, p->call->body, 0) && only_members(p, p->call->body, 0, names);
}

bool shape_schedule(struct service_call *call, uint32_t *seed, int64_t *ttl_ms)
{
	static const char *const names[] = {"seed", "ttl_ms", NULL};
	struct place p = {.call = call, .problem = PROBLEM_INVALID_REQUEST};
	const struct jdoc *d = call->body;
	if (!shape_root(&p, names) || !shape_seed(call, seed))
		return false;
	uint32_t ttl = jdoc_get(d, 0, "ttl_ms");
	*ttl_ms = call->service->options.job_ttl_ms;
	if (ttl == JDOC_NONE)
		return true;
	push(&p, "ttl_ms");
	if (jdoc_type(d, ttl) != JDOC_INT || d->nodes[ttl].integer < 1000 || d->nodes[ttl].integer > *ttl_ms)
		return fault_at(&p, "Must be a whole number from 1000 to the lane's time to live.");
	*ttl_ms = d->nodes[ttl].integer;
	pop(&p);
	return true;
}

bool shape_job_id(struct service_call *call, char job_id[JOB_ID_SIZE])
{
	static const char *const names[] = {"job_id", NULL};
	struct place p = {.call = call, .problem = PROBLEM_INVALID_REQUEST};
	struct span text = call->job_id;
	if (!text.ptr) {
		if (!shape_root(&p, names))
			return false;
		uint32_t node = jdoc_get(call->body, 0, "job_id");
		push(&p, "job_id");
		if (node == JDOC_NONE)
			return fault_at(&p, "Required.");
		if (jdoc_type(call->body, node) != JDOC_STRING)
			return fault_at(&p, "Must be a string.");
		pop(&p);
		text = jdoc_str(call->body, node);
	}
	if (!job_id_parse(text, NULL)) {
		call_fail(call, PROBLEM_NOT_FOUND, "No such job.");
		return false;
	}
	memcpy(job_id, text.ptr, JOB_ID_SIZE - 1);
	job_id[JOB_ID_SIZE - 1] = '\0';
	return true;
}

static bool shape_shards(struct place *p, const struct jdoc *d, uint32_t result, uint32_t *shards)
{
	*shards = jdoc_get(d, result, "shards");
	push(p, "shards");
	if (jdoc_type(d, *shards) != JDOC_ARRAY || d->nodes[*shards].count == 0)
		return fault_at(p, "Must be a non-empty array of objects.");
	uint32_t index = 0;
	for (uint32_t i = jdoc_first(d, *shards); i < d->nodes[*shards].next; i = d->nodes[i].next, index++) {
		if (jdoc_type(d, i) != JDOC_OBJECT)
			return fault_below(p, (struct span){NULL, 0}, index, "Must be an object.");
	}
	pop(p);
	return true;
}

bool shape_inbox(struct service_call *call, uint32_t *seed, struct span *trace_id, uint32_t *shards)
{
	static const char *const names[] = {"seed", "result", NULL};
	static const char *const result_names[] = {"trace_id", "shards", NULL};
	struct place p = {.call = call, .problem = PROBLEM_INVALID_REQUEST};
	const struct jdoc *d = call->body;
	if (!shape_root(&p, names) || !shape_seed(call, seed))
		return false;
	uint32_t result = jdoc_get(d, 0, "result");
	push(&p, "result");
	if (result == JDOC_NONE)
		return fault_at(&p, "Required.");
	if (!is_object(&p, d, result) || !only_members(&p, d, result, result_names))
		return false;
	*trace_id = jdoc_str(d, jdoc_get(d, result, "trace_id"));
	if (!trace_id->ptr || !trace_id_valid(*trace_id)) {
		push(&p, "trace_id");
		return fault_at(&p, "Must be 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or digit.");
	}
	return shape_shards(&p, d, result, shards);
}
