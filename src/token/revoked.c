/* token/revoked - the revocation list, hashed for looking up */
#include "revoked.h"

#include <stdlib.h>

#include "text.h"

/* The longest entry: a prefix and 256 characters of up to 4 bytes. */
#define ENTRY_MAX_BYTES (4 + TOKEN_TEXT_MAX_CHARS * 4)

#define SLOTS_AT_FIRST 16 /* a power of two */

enum added { ADDED, NOT_AN_ID, NO_MEMORY };

static const char *const prefixes[] = {"jti:", "sub:", "kid:"};

static struct span trim(struct span s)
{
	while (s.len > 0 && (*s.ptr == ' ' || *s.ptr == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

/* The line without its newline; *text moves behind it. */
static struct span next_line(struct span *text)
{
	const char *end = memchr(text->ptr, '\n', text->len);
	struct span line = {text->ptr, end ? (size_t)(end - text->ptr) : text->len};
	size_t step = line.len + (end ? 1 : 0);

	text->ptr += step;
	text->len -= step;
	return line;
}

static bool slot_empty(const struct revoked_slot *slot)
{
	return (slot->hash[0] | slot->hash[1]) == 0;
}

/* Slot of the hash, or the empty one where it would go. */
static struct revoked_slot *slot_of(const struct revoked *list, const struct revoked_slot *wanted)
{
	for (size_t at = (size_t)wanted->hash[0];; at++) {
		struct revoked_slot *slot = &list->slots[at & list->mask];

		if (slot_empty(slot) || memcmp(slot, wanted, sizeof(*slot)) == 0)
			return slot;
	}
}

static bool make_slots(struct revoked *list, size_t slots)
{
	list->mask = slots - 1;
	list->slots = calloc(slots, sizeof(*list->slots));
	return list->slots != NULL;
}

static bool grow(struct revoked *list)
{
	struct revoked_slot *before = list->slots;
	size_t slots = list->mask + 1;

	if (!make_slots(list, slots * 2)) {
		list->slots = before;
		list->mask = slots - 1;
		return false;
	}
	for (size_t i = 0; i < slots; i++) {
		if (!slot_empty(&before[i]))
			*slot_of(list, &before[i]) = before[i];
	}
	free(before);
	return true;
}

/* Prefix and name as one text: "sub: alice" and "sub:alice" are the same. */
static struct span join(char out[ENTRY_MAX_BYTES], const char *prefix, struct span name)
{
	size_t prefix_len = strlen(prefix);

	memcpy(out, prefix, prefix_len);
	memcpy(out + prefix_len, name.ptr, name.len);
	return (struct span){out, prefix_len + name.len};
}

static bool add(struct revoked *list, const char *prefix, struct span name)
{
	char text[ENTRY_MAX_BYTES];
	struct revoked_slot hash = {{0, 0}};

	crypto_hash128((uint8_t *)hash.hash, join(text, prefix, name), list->hash_key);
	struct revoked_slot *slot = slot_of(list, &hash);
	if (!slot_empty(slot))
		return true;
	*slot = hash;
	return ++list->used <= list->mask / 2 || grow(list);
}

static const char *prefix_of(struct span entry)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (entry.len >= len && memcmp(entry.ptr, prefixes[i], len) == 0)
			return prefixes[i];
	}
	return NULL;
}

static enum added add_entry(struct revoked *list, struct span entry)
{
	const char *prefix = prefix_of(entry);

	if (prefix != NULL) {
		size_t len = strlen(prefix);
		struct span name = trim((struct span){entry.ptr + len, entry.len - len});

		if (!token_text_valid(name))
			return NOT_AN_ID;
		if (!add(list, prefix, name))
			return NO_MEMORY;
		/* a jti that looks like "sub:alice" means itself too */
		if (!token_text_valid(entry))
			return ADDED;
	} else if (!token_text_valid(entry)) {
		return NOT_AN_ID;
	}
	return add(list, "jti:", entry) ? ADDED : NO_MEMORY;
}

static struct span without_comment(struct span line)
{
	for (size_t i = 1; i < line.len; i++) {
		if (line.ptr[i] == '#' && (line.ptr[i - 1] == ' ' || line.ptr[i - 1] == '\t'))
			return trim((struct span){line.ptr, i});
	}
	return line;
}

static enum added add_line(struct revoked *list, struct span line)
{
	struct span bare = without_comment(line);
	enum added added = add_entry(list, bare);

	/* the whole of it may be no id at all, and then matches none */
	if (added == ADDED && bare.len != line.len && add_entry(list, line) == NO_MEMORY)
		added = NO_MEMORY;
	return added;
}

static int read_lines(struct revoked *list, struct span text, struct fault *fault)
{
	for (size_t number = 1; text.len > 0; number++) {
		struct span line = trim(next_line(&text));

		if (line.len == 0 || *line.ptr == '#')
			continue;
		switch (add_line(list, line)) {
		case ADDED:
			list->lines++;
			break;
		case NOT_AN_ID:
			return fault_set(
			        fault, "revocations: line %zu: a jti, sub:... or kid:... is 1-256 printable characters",
			        number);
		case NO_MEMORY:
			return fault_set(fault, "revocations: no memory");
		}
	}
	return 0;
}

static void revoked_free(struct snapshot_ref *self)
{
	struct revoked *list = (struct revoked *)self;

	free(list->slots);
	free(list);
}

struct revoked *revoked_read(struct span text, struct fault *fault)
{
	struct revoked *list = calloc(1, sizeof(*list));

	if (list == NULL || !make_slots(list, SLOTS_AT_FIRST)) {
		free(list);
		fault_set(fault, "revocations: no memory");
		return NULL;
	}
	atomic_init(&list->ref.count, 1);
	list->ref.free = revoked_free;
	crypto_random(list->hash_key, sizeof(list->hash_key));
	if (read_lines(list, text, fault) == 0)
		return list;
	revoked_free(&list->ref);
	return NULL;
}

static bool has(const struct revoked *list, const char *prefix, const char *name)
{
	char text[ENTRY_MAX_BYTES];
	struct revoked_slot hash = {{0, 0}};
	struct span s = span_of(name);

	if (s.len > sizeof(text) - strlen(prefix))
		return false;
	crypto_hash128((uint8_t *)hash.hash, join(text, prefix, s), list->hash_key);
	return !slot_empty(slot_of(list, &hash));
}

bool revoked_has(const struct revoked *list, const struct claims *claims)
{
	if (list == NULL || list->lines == 0)
		return false;
	return has(list, "jti:", claims->jti) || has(list, "sub:", claims->sub) || has(list, "kid:", claims->kid);
}
