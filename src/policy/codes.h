/*
 * codes - a growing array of code points, the scratch that views are made in
 */
#ifndef POLICY_CODES_H
#define POLICY_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/span.h"

struct codes {
	int32_t *at;
	size_t len;
	size_t cap;
	bool failed; /* an allocation failed: the content is not to be used */
};

bool codes_grow(struct codes *c, size_t more);
void codes_free(struct codes *c);

static inline void codes_add(struct codes *c, int32_t code)
{
	if (c->len < c->cap || codes_grow(c, 1))
		c->at[c->len++] = code;
}

/* Decodes valid UTF-8 behind what is there. */
void codes_decode(struct codes *c, struct span text);

#endif
