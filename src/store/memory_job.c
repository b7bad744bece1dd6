/*
 * memory_job - one job: its record, its view, its end
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define DIGESTS_BYTES (2u * DIGEST_BYTES)

/* ---- the record's tail: digests, advice, traceparent with its NUL, seed ---- */

static size_t advice_at(const struct job *job)
{
	return job->has & HAS_KEY ? DIGESTS_BYTES : 0;
}

static size_t traceparent_at(const struct job *job)
{
	return advice_at(job) + (job->has & HAS_ADVICE ? sizeof(uint64_t) : 0);
}

static size_t seed_at(const struct job *job)
{
	return traceparent_at(job) + (job->traceparent_len ? job->traceparent_len + 1u : 0);
}

const uint8_t *job_key(const struct job *job)
{
	assert(job->has & HAS_KEY);
	return (const uint8_t *)job->tail;
}

const uint8_t *job_body(const struct job *job)
{
	assert(job->has & HAS_KEY);
	return (const uint8_t *)job->tail + DIGEST_BYTES;
}

static size_t record_size(const struct job *job)
{
	size_t size = offsetof(struct job, tail) + seed_at(job) + job->seed_len;

	return size < sizeof(struct job) ? sizeof(struct job) : size;
}

static void fill_tail(struct job *job, const struct store_create *c)
{
	if (c->key_digest) {
		memcpy(job->tail, c->key_digest, DIGEST_BYTES);
		memcpy(job->tail + DIGEST_BYTES, c->body_digest, DIGEST_BYTES);
	}
	if (job->has & HAS_ADVICE)
		memcpy(job->tail + advice_at(job), &c->advice, sizeof(c->advice));
	if (job->traceparent_len)
		memcpy(job->tail + traceparent_at(job), c->traceparent, job->traceparent_len + 1u);
	if (job->seed_len)
		memcpy(job->tail + seed_at(job), c->seed.ptr, c->seed.len);
}

struct job *job_new(const struct store_create *c, const struct job_ids *ids, int64_t now_ms)
{
	struct job head = {
	        .id = ids->job,
	        .trace_ms = ids->trace_ms,
	        .trace_bits = ids->trace_bits,
	        .created_ms = now_ms,
	        .updated_ms = now_ms,
	        .expires_ms = rule_expiry(now_ms, c->ttl_ms),
	        .goal_chars = c->goal_chars,
	        .seed_len = (uint32_t)c->seed.len,
	        .revision = 1,
	        .state = JOB_SCHEDULED,
	        .has = (uint8_t)((c->key_digest ? HAS_KEY : 0) | (c->advice ? HAS_ADVICE : 0) |
	                         (c->stepped_up ? HAS_STEPPED_UP : 0)),
	        .traceparent_len = (uint8_t)strlen(c->traceparent),
	};
	struct job *job = malloc(record_size(&head));

	if (!job)
		return NULL;
	memcpy(job, &head, sizeof(head));
	atomic_init(&job->refs, 2);
	atomic_init(&job->gone, false);
	fill_tail(job, c);
	return job;
}

size_t job_bytes(const struct job *job)
{
	size_t bytes = malloc_bytes(record_size(job));
	const struct job_more *more = job->more;

	if (!more)
		return bytes;
	bytes += malloc_bytes(sizeof(*more));
	if (more->artifacts)
		bytes += malloc_bytes(more->artifacts_len + 1u);
	if (more->note && more->note != more->room)
		bytes += malloc_bytes(more->note_len + 1u);
	return bytes;
}

void job_free(struct job *job)
{
	if (job->more) {
		if (job->more->note != job->more->room)
			free(job->more->note);
		free(job->more->artifacts);
		free(job->more);
	}
	free(job);
}

void job_let_go(struct memory *m, struct job *job)
{
	if (atomic_fetch_sub_explicit(&job->refs, 1, memory_order_acq_rel) != 1)
		return;
	memory_account(m, -(int64_t)job_bytes(job));
	job_free(job);
}

bool job_need_more(struct job *job)
{
	if (!job->more)
		job->more = calloc(1, sizeof(*job->more));
	return job->more != NULL;
}

bool job_stage(struct job *job, struct span artifacts)
{
	struct job_more *more = job->more;

	if (!artifacts.ptr || more->artifacts)
		return true;
	/* one byte at least, so that an empty span is staged too */
	more->artifacts = malloc(artifacts.len + 1);
	if (!more->artifacts)
		return false;
	memcpy(more->artifacts, artifacts.ptr, artifacts.len);
	more->artifacts_len = (uint32_t)artifacts.len;
	return true;
}

bool job_note(struct job *job, struct span note)
{
	struct job_more *more = job->more;

	more->note = note.len < NOTE_ROOM ? more->room : malloc(note.len + 1);
	if (!more->note)
		return false;
	if (note.len)
		memcpy(more->note, note.ptr, note.len);
	more->note[note.len] = '\0';
	more->note_len = (uint32_t)note.len;
	return true;
}

/* ---- for the tables ---- */

bool job_has_id(const void *item, const void *key)
{
	return ((const struct job *)item)->id == *(const uint64_t *)key;
}

bool job_has_trace(const void *item, const void *key)
{
	const struct job *a = item, *b = key;

	return a->trace_ms == b->trace_ms && a->trace_bits == b->trace_bits;
}

bool job_has_key(const void *item, const void *key)
{
	return memcmp(job_key(item), key, DIGEST_BYTES) == 0;
}

bool job_still_there(const struct job *job, int64_t now_ms)
{
	return job->expires_ms > now_ms && !atomic_load_explicit(&job->gone, memory_order_acquire);
}

/* ---- the view ---- */

static void fill_more(const struct job *job, struct job_view *v)
{
	const struct job_more *more = job->more;

	if (more->artifacts)
		v->artifacts = (struct span){more->artifacts, more->artifacts_len};
	if (more->note && job->state == JOB_FAILED)
		v->failure = more->note;
	else if (more->note)
		v->receipt = (struct span){more->note, more->note_len};
}

static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}

void job_fill_view(const struct job *job, struct held_view *out, const char *job_id, const char *trace_id)
{
	struct job_view *v = &out->view;

	*v = (struct job_view){
	        .job_id = out->job_id,
	        .trace_id = out->trace_id,
	        .tenant = out->tenant,
	        .state = job->state,
	        .revision = job->revision,
	        .created_ms = job->created_ms,
	        .updated_ms = job->updated_ms,
	        .expires_ms = job->expires_ms,
	        .seed = {job->tail + seed_at(job), job->seed_len},
	        .goal_chars = job->goal_chars,
	        .policy_version = out->version,
	        .policy_digest = job->origin->policy_digest,
	        .stepped_up = job->has & HAS_STEPPED_UP,
	        .traceparent = job->traceparent_len ? job->tail + traceparent_at(job) : "",
	        .failure = "",
	};
	if (job->has & HAS_ADVICE)
		memcpy(&v->advice, job->tail + advice_at(job), sizeof(v->advice));
	if (job_id)
		memcpy(out->job_id, job_id, sizeof(out->job_id));
	else
		job_id_format(job->id, out->job_id);
	if (trace_id)
		copy_text(out->trace_id, sizeof(out->trace_id), trace_id);
	else
		trace_id_format(job->trace_ms, job->trace_bits, out->trace_id);
	copy_text(out->tenant, sizeof(out->tenant), job->origin->tenant);
	copy_text(out->version, sizeof(out->version), job->origin->version);
	if (job->more)
		fill_more(job, v);
}

/* ---- origins ---- */

static bool origin_same(const void *item, const void *key)
{
	const struct origin *o = item;
	const struct store_create *c = key;

	return o->policy_digest == c->policy_digest && strcmp(o->tenant, c->tenant) == 0 &&
	       strcmp(o->version, c->policy_version) == 0;
}

/* FNV-1a: short names, chosen by issuers and operators; mixed with the salt after. */
static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return h;
}

static size_t origin_bytes(const struct origin *o)
{
	return malloc_bytes(sizeof(*o) + strlen(o->tenant) + strlen(o->version) + 2);
}

static struct origin *origin_make(struct memory *m, struct shard *s, const struct store_create *c, uint32_t hash)
{
	size_t tenant_size = strlen(c->tenant) + 1;
	size_t version_size = strlen(c->policy_version) + 1;
	int64_t before = (int64_t)table_bytes(&s->origins);
	struct origin *o = malloc(sizeof(*o) + tenant_size + version_size);

	if (!o || !table_reserve(&s->origins)) {
		free(o);
		return NULL;
	}
	*o = (struct origin){.hash = hash, .policy_digest = c->policy_digest, .version = o->tenant + tenant_size};
	memcpy(o->tenant, c->tenant, tenant_size);
	memcpy(o->tenant + tenant_size, c->policy_version, version_size);
	table_insert(&s->origins, hash, o);
	memory_account(m, (int64_t)origin_bytes(o) + (int64_t)table_bytes(&s->origins) - before);
	return o;
}

struct origin *origin_take(struct memory *m, struct shard *s, const struct store_create *c)
{
	struct origin *o = s->last_origin;
	uint32_t hash;

	if (!o || !origin_same(o, c)) {
		hash = table_hash(memory_mix(m, hash_text(UINT64_C(0xcbf29ce484222325), c->tenant) ^ c->policy_digest));
		o = table_find(&s->origins, hash, origin_same, c);
		if (!o)
			o = origin_make(m, s, c, hash);
		if (!o)
			return NULL;
	}
	s->last_origin = o;
	o->refs++;
	return o;
}

void origin_drop(struct memory *m, struct shard *s, struct origin *o)
{
	int64_t before;

	if (--o->refs > 0)
		return;
	if (s->last_origin == o)
		s->last_origin = NULL;
	before = (int64_t)table_bytes(&s->origins);
	table_remove(&s->origins, o->hash, o);
	memory_account(m, (int64_t)table_bytes(&s->origins) - before - (int64_t)origin_bytes(o));
	free(o);
}
