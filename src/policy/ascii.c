/*
 * ascii - eight bytes at a time in one machine word (Lamport's "multiple byte
 * processing"); each test leaves its answer in the top bit of the byte
 */
#include "ascii.h"

#include <stdint.h>
#include <string.h>

#define ONES  0x0101010101010101u
#define TOPS  0x8080808080808080u
#define BLOCK 64 /* bytes whose answers fit one 64-bit mask */

/* Letters this far apart are never closed up: four separators (views_words.c:
 * GAP_MAX) have at most five single spaces around them. */
#define NEAR 10

struct masks {
	uint64_t letters, digits, spaces;
	bool odd; /* a byte that is neither printable ASCII nor a space */
};

/* The top bits of eight bytes as one byte, first byte lowest. */
static uint64_t top_bits(uint64_t tops)
{
	return ((tops >> 7) * 0x0102040810204080u) >> 56;
}

/* Tops of the bytes that are at least low: all bytes are below 0x80. */
static uint64_t at_least(uint64_t bytes, unsigned low)
{
	return bytes + (0x80u - low) * ONES;
}

static void word_classify(uint64_t x, unsigned shift, struct masks *m, uint64_t *lower)
{
	uint64_t ascii = x & ~TOPS;
	uint64_t folded = ascii | 0x20 * ONES;
	uint64_t letter = at_least(folded, 'a') & ~at_least(folded, 'z' + 1) & TOPS;
	uint64_t digit = at_least(ascii, '0') & ~at_least(ascii, '9' + 1) & TOPS;
	uint64_t above = at_least(ascii, ' ' + 1);
	uint64_t space = at_least(ascii, ' ') & ~above & TOPS;
	uint64_t odd = (x | ~(above | space) | at_least(ascii, 0x7f)) & TOPS;

	m->odd |= odd != 0;
	m->letters |= top_bits(letter) << shift;
	m->digits |= top_bits(digit) << shift;
	m->spaces |= top_bits(space) << shift;
	*lower = ascii | ((letter & ~(ascii << 2)) >> 2);
}

/* The block at text, padded with '.' behind the end. */
static struct masks block_classify(const char *text, size_t left, char *lower)
{
	struct masks m = {0, 0, 0, false};
	char padded[BLOCK];

	if (left < BLOCK) {
		memset(padded, '.', sizeof(padded));
		memcpy(padded, text, left);
		text = padded;
	}
	for (unsigned at = 0; at < BLOCK && at < left; at += 8) {
		uint64_t x, low;
		memcpy(&x, text + at, 8);
		word_classify(x, at, &m, &low);
		memcpy(lower + at, &low, 8);
	}
	return m;
}

struct look {
	uint64_t before_word;  /* 1: the byte before the block is a letter or digit */
	uint64_t before_space; /* 1: it is a space */
	size_t last_alone;     /* place behind the last letter that stands alone; 0: none */
};

/* Are there only separators between two places? */
static bool only_separators(const char *lower, size_t from, size_t to)
{
	for (; from < to; from++)
		if ((lower[from] >= 'a' && lower[from] <= 'z') || (lower[from] >= '0' && lower[from] <= '9'))
			return false;
	return true;
}

/* Walks the letters of a block that stand alone; true when two are neighbours. */
static bool alone_together(struct look *look, uint64_t alone, const char *lower, size_t base)
{
	while (alone != 0) {
		size_t place = base + (size_t)__builtin_ctzll(alone);
		if (look->last_alone != 0 && place - look->last_alone < NEAR &&
		    only_separators(lower, look->last_alone, place))
			return true;
		look->last_alone = place + 1;
		alone &= alone - 1;
	}
	return false;
}

bool ascii_plain(const char *text, size_t len, char *lower)
{
	struct look look = {0, 0, 0};
	struct masks now;

	if (len == 0)
		return true;
	now = block_classify(text, len, lower);
	for (size_t base = 0; base < len; base += BLOCK) {
		struct masks next = {0, 0, 0, false};
		uint64_t words = now.letters | now.digits, before, behind;
		if (now.odd || (now.spaces & (now.spaces << 1 | look.before_space)) != 0)
			return false;
		if (len - base > BLOCK)
			next = block_classify(text + base + BLOCK, len - base - BLOCK, lower + base + BLOCK);
		before = words << 1 | look.before_word;
		behind = words >> 1 | (next.letters | next.digits) << 63;
		if (alone_together(&look, now.letters & ~before & ~behind, lower, base))
			return false;
		look.before_word = words >> 63;
		look.before_space = now.spaces >> 63;
		now = next;
	}
	return true;
}
