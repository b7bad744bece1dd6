/* codes - see codes.h */
#include "codes.h"

#include <stdlib.h>

bool codes_grow(struct codes *c, size_t more)
{
	size_t cap = c->cap ? c->cap : 256;
	int32_t *grown = NULL;

	if (!c->failed && more < SIZE_MAX / 8 - c->len) {
		while (cap < c->len + more)
			cap *= 2;
		grown = realloc(c->at, cap * sizeof(*grown));
	}
	if (!grown) {
		c->failed = true;
		return false;
	}
	c->at = grown;
	c->cap = cap;
	return true;
}

void codes_free(struct codes *c)
{
	free(c->at);
	*c = (struct codes){NULL, 0, 0, false};
}

static size_t decode_one(const unsigned char *p, int32_t *code)
{
	if (p[0] < 0x80) {
		*code = p[0];
		return 1;
	}
	if (p[0] < 0xe0) {
		*code = (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
		return 2;
	}
	if (p[0] < 0xf0) {
		*code = (p[0] & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
		return 3;
	}
	*code = (p[0] & 0x07) << 18 | (p[1] & 0x3f) << 12 | (p[2] & 0x3f) << 6 | (p[3] & 0x3f);
	return 4;
}

void codes_decode(struct codes *c, struct span text)
{
	const unsigned char *p = (const unsigned char *)text.ptr;
	size_t i = 0;

	if (c->cap - c->len < text.len && !codes_grow(c, text.len))
		return;
	while (i < text.len)
		i += decode_one(p + i, &c->at[c->len++]);
}
