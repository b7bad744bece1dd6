/* ids.c - job and trace identifiers */
#include "simlane/ids.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/crypto.h"

struct idgen {
	pthread_mutex_t lock; /* guards the rest */
	size_t used;
	uint8_t pool[4096];
};

struct idgen *idgen_new(void)
{
	struct idgen *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	if (pthread_mutex_init(&g->lock, NULL) != 0) {
		free(g);
		return NULL;
	}
	g->used = sizeof(g->pool);
	return g;
}

void idgen_free(struct idgen *g)
{
	if (!g)
		return;
	pthread_mutex_destroy(&g->lock);
	crypto_wipe(g->pool, sizeof(g->pool));
	free(g);
}

/* n random bytes (at most 8) as a number; used bytes are wiped. */
static uint64_t draw(struct idgen *g, size_t n)
{
	uint64_t value = 0;
	pthread_mutex_lock(&g->lock);
	if (sizeof(g->pool) - g->used < n) {
		crypto_random(g->pool, sizeof(g->pool));
		g->used = 0;
	}
	memcpy(&value, g->pool + g->used, n);
	memset(g->pool + g->used, 0, n);
	g->used += n;
	pthread_mutex_unlock(&g->lock);
	return value;
}

static void put_hex(char *out, uint64_t bits, unsigned digits)
{
	static const char hex[] = "0123456789abcdef";
	for (unsigned i = 0; i < digits; i++)
		out[i] = hex[bits >> (4 * (digits - 1 - i)) & 15];
}

static bool get_hex(const char *text, unsigned digits, uint64_t *bits)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < digits; i++) {
		char c = text[i];
		unsigned nibble;
		if (c >= '0' && c <= '9')
			nibble = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			nibble = (unsigned)(c - 'a') + 10;
		else
			return false;
		value = value << 4 | nibble;
	}
	if (bits)
		*bits = value;
	return true;
}

void job_id_format(uint64_t bits, char out[JOB_ID_SIZE])
{
	memcpy(out, "JOB-", 4);
	put_hex(out + 4, bits, 12);
	out[16] = '\0';
}

bool job_id_parse(struct span text, uint64_t *bits)
{
	return text.len == JOB_ID_SIZE - 1 && memcmp(text.ptr, "JOB-", 4) == 0 && get_hex(text.ptr + 4, 12, bits);
}

void trace_id_format(int64_t ms, uint32_t bits, char out[TRACE_ID_SIZE])
{
	char digits[20];
	size_t n = 0;
	uint64_t left = ms < 0 ? 0 : (uint64_t)ms;
	do {
		digits[n++] = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	memcpy(out, "LT-", 3);
	for (size_t i = 0; i < n; i++)
		out[3 + i] = digits[n - 1 - i];
	out[3 + n] = '-';
	put_hex(out + 4 + n, bits, 8);
	out[12 + n] = '\0';
}

bool trace_id_parse(struct span text, int64_t *ms, uint32_t *bits)
{
	size_t digits = 0;
	int64_t value = 0;
	uint64_t random = 0;
	if (text.len < 3 + 1 + 9 || memcmp(text.ptr, "LT-", 3) != 0)
		return false;
	const char *p = text.ptr + 3;
	while (digits < 18 && 3 + digits < text.len && p[digits] >= '0' && p[digits] <= '9') {
		value = value * 10 + (p[digits] - '0');
		digits++;
	}
	/* no leading zero: one spelling for one id */
	if (digits == 0 || (p[0] == '0' && digits > 1) || text.len != 3 + digits + 9 || p[digits] != '-')
		return false;
	if (!get_hex(p + digits + 1, 8, &random))
		return false;
	if (ms)
		*ms = value;
	if (bits)
		*bits = (uint32_t)random;
	return true;
}

void idgen_job(struct idgen *g, char out[JOB_ID_SIZE])
{
	job_id_format(draw(g, 6), out);
}

void idgen_trace(struct idgen *g, int64_t now_ms, char out[TRACE_ID_SIZE])
{
	trace_id_format(now_ms, (uint32_t)draw(g, 4), out);
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool name_valid(struct span text, size_t max)
{
	if (text.len < 1 || text.len > max)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (!is_alnum(c) && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

bool trace_id_valid(struct span text)
{
	return name_valid(text, TRACE_ANY_SIZE - 1) && is_alnum(text.ptr[0]);
}

bool tenant_valid(struct span text)
{
	return name_valid(text, 64);
}
