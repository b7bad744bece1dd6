/* sqlite_ledger.c - three hash tables, a heap and a list; see sqlite_ledger.h */
#include "sqlite_ledger.h"

#include <stdlib.h>
#include <string.h>

/* The finalizer of splitmix64: every bit of the input moves every bit. */
static uint64_t mix(const struct ledger *l, uint64_t x)
{
	x ^= l->salt;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t trace_place(const struct ledger *l, int64_t ms, uint32_t bits)
{
	return mix(l, (uint64_t)ms ^ (uint64_t)bits << 32);
}

/* What of a digest is kept: enough for its place and its hash in the table. */
static uint32_t key_hash(const struct ledger *l, const uint8_t *digest)
{
	uint64_t words[DIGEST_BYTES / sizeof(uint64_t)], place = 0;

	memcpy(words, digest, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		place = mix(l, place ^ words[i]);
	return table_hash(place);
}

static struct table *key_table(const struct ledger *l, uint32_t hash)
{
	return (struct table *)&l->keys[hash % LEDGER_PARTS];
}

void ledger_init(struct ledger *l)
{
	memset(l, 0, sizeof(*l));
	crypto_random(&l->salt, sizeof(l->salt));
}

void ledger_free(struct ledger *l)
{
	for (size_t i = 0; i < l->heap_len; i++)
		free(l->heap[i].entry);
	for (unsigned i = 0; i < LEDGER_PARTS; i++) {
		table_free(&l->jobs[i]);
		table_free(&l->traces[i]);
		table_free(&l->keys[i]);
	}
	free(l->heap);
	free(l->gone);
	memset(l, 0, sizeof(*l));
}

/* ---- look-ups ---- */

static bool has_number(const void *item, const void *key)
{
	return entry_number(item) == *(const uint64_t *)key;
}

static bool has_trace(const void *item, const void *key)
{
	const struct entry *a = item, *b = key;

	return a->trace_ms == b->trace_ms && a->trace_bits == b->trace_bits;
}

struct entry *ledger_job(const struct ledger *l, uint64_t job)
{
	uint64_t place = mix(l, job);

	return table_find(&l->jobs[place % LEDGER_PARTS], table_hash(place), has_number, &job);
}

struct entry *ledger_trace(const struct ledger *l, int64_t ms, uint32_t bits)
{
	struct entry wanted = {.trace_ms = ms, .trace_bits = bits};
	uint64_t place = trace_place(l, ms, bits);

	return table_find(&l->traces[place % LEDGER_PARTS], table_hash(place), has_trace, &wanted);
}

struct entry *ledger_key(const struct ledger *l, const uint8_t *digest, ledger_same *same, const void *ctx)
{
	uint32_t hash = key_hash(l, digest);

	return table_find(key_table(l, hash), hash, same, ctx);
}

/* ---- coming and going ---- */

static bool heap_reserve(struct ledger *l, size_t len)
{
	size_t cap = l->heap_cap ? l->heap_cap + l->heap_cap / 2 : 64;
	struct due *heap;

	if (len <= l->heap_cap)
		return true;
	if (cap < len)
		cap = len;
	heap = realloc(l->heap, cap * sizeof(*heap));
	if (!heap)
		return false;
	l->heap = heap;
	l->heap_cap = cap;
	return true;
}

/* Those that were added and are not settled are at most a batch. */
#define UNSETTLED_MAX 256u

struct entry *ledger_add(struct ledger *l, const struct job_ids *ids, int64_t n, int64_t expires_ms,
                         const uint8_t *digest, bool ended)
{
	uint64_t job = mix(l, ids->job), trace = trace_place(l, ids->trace_ms, ids->trace_bits);
	struct table *jobs = &l->jobs[job % LEDGER_PARTS], *traces = &l->traces[trace % LEDGER_PARTS];
	uint32_t key = digest ? key_hash(l, digest) : 0;
	struct entry *e;

	if (!heap_reserve(l, l->heap_len + UNSETTLED_MAX) || !table_reserve(jobs) || !table_reserve(traces) ||
	    (digest && !table_reserve(key_table(l, key))))
		return NULL;
	e = malloc(sizeof(*e));
	if (!e)
		return NULL;
	*e = (struct entry){.n = n,
	                    .job = ids->job | (ended ? ENTRY_ENDED : 0),
	                    .trace_ms = ids->trace_ms,
	                    .expires_ms = expires_ms,
	                    .trace_bits = ids->trace_bits,
	                    .key_hash = key};
	table_insert(jobs, table_hash(job), e);
	table_insert(traces, table_hash(trace), e);
	if (digest)
		table_insert(key_table(l, key), key, e);
	l->unfinished += !ended;
	return e;
}

static void take_out(struct ledger *l, struct entry *e)
{
	uint64_t job = mix(l, entry_number(e)), trace = trace_place(l, e->trace_ms, e->trace_bits);

	table_remove(&l->jobs[job % LEDGER_PARTS], table_hash(job), e);
	table_remove(&l->traces[trace % LEDGER_PARTS], table_hash(trace), e);
	if (e->key_hash)
		table_remove(key_table(l, e->key_hash), e->key_hash, e);
	l->unfinished -= !entry_ended(e);
}

void ledger_undo(struct ledger *l, struct entry *e)
{
	take_out(l, e);
	free(e);
}

void ledger_supersede(struct ledger *l, struct entry *e)
{
	take_out(l, e);
	ledger_bury(l, e->n);
	e->n = 0;
}

void ledger_end(struct ledger *l, struct entry *e)
{
	l->unfinished -= !entry_ended(e);
	e->job |= ENTRY_ENDED;
}

void ledger_revive(struct ledger *l, struct entry *e)
{
	l->unfinished += entry_ended(e);
	e->job &= ~ENTRY_ENDED;
}

/* ---- the heap ---- */

void ledger_settle(struct ledger *l, struct entry *e)
{
	size_t i = l->heap_len++;

	while (i > 0 && l->heap[(i - 1) / 2].at_ms > e->expires_ms) {
		l->heap[i] = l->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	l->heap[i] = (struct due){e->expires_ms, e};
}

static struct entry *heap_pop(struct ledger *l)
{
	struct entry *e = l->heap[0].entry;
	struct due last = l->heap[--l->heap_len];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < l->heap_len) {
		if (child + 1 < l->heap_len && l->heap[child + 1].at_ms < l->heap[child].at_ms)
			child++;
		if (last.at_ms <= l->heap[child].at_ms)
			break;
		l->heap[i] = l->heap[child];
		i = child;
	}
	if (l->heap_len)
		l->heap[i] = last;
	return e;
}

/* A peak is not kept for ever; failing to shrink is no failure. */
static void heap_shrink(struct ledger *l)
{
	struct due *heap;

	if (l->heap_cap < 4 * UNSETTLED_MAX || l->heap_len > l->heap_cap / 5)
		return;
	heap = realloc(l->heap, l->heap_cap / 2 * sizeof(*heap));
	if (heap) {
		l->heap = heap;
		l->heap_cap /= 2;
	}
}

bool ledger_pop(struct ledger *l, int64_t now_ms, uint64_t *job)
{
	struct entry *e;

	if (l->heap_len == 0 || l->heap[0].at_ms > now_ms)
		return false;
	e = heap_pop(l);
	*job = LEDGER_NO_JOB;
	if (e->n != 0) {
		*job = entry_number(e);
		ledger_bury(l, e->n);
		take_out(l, e);
	}
	free(e);
	heap_shrink(l);
	return true;
}

/* ---- rows to be deleted ---- */

void ledger_bury(struct ledger *l, int64_t n)
{
	if (l->gone_len == l->gone_cap) {
		size_t cap = l->gone_cap ? 2 * l->gone_cap : 64;
		int64_t *gone = realloc(l->gone, cap * sizeof(*gone));

		if (!gone)
			return;
		l->gone = gone;
		l->gone_cap = cap;
	}
	l->gone[l->gone_len++] = n;
}

size_t ledger_graves(const struct ledger *l)
{
	return l->gone_len - l->gone_head;
}

int64_t ledger_grave(const struct ledger *l, size_t i)
{
	return l->gone[l->gone_head + i];
}

void ledger_buried(struct ledger *l, size_t count)
{
	l->gone_head += count;
	if (l->gone_head == l->gone_len) {
		free(l->gone);
		l->gone = NULL;
		l->gone_head = l->gone_len = l->gone_cap = 0;
	} else if (l->gone_head > l->gone_len / 2) {
		l->gone_len -= l->gone_head;
		memmove(l->gone, l->gone + l->gone_head, l->gone_len * sizeof(*l->gone));
		l->gone_head = 0;
	}
}
