/*
 * names - tags and flag names that rules list, prepared for comparing
 *
 * A name is kept in each of its readings; a text equals it when one of the
 * text's readings equals the same reading of the name.
 */
#include <stdlib.h>

#include "load.h"

struct span name_trim(struct span text)
{
	while (text.len > 0 && text.ptr[0] == ' ') {
		text.ptr++;
		text.len--;
	}
	while (text.len > 0 && text.ptr[text.len - 1] == ' ')
		text.len--;
	return text;
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] >= 0x80)
			return false;
	return true;
}

static int name_read(struct names *names, struct name *name, struct views *views, enum reading reading)
{
	struct span text;
	char *kept;

	if (reading == READ_HIDDEN)
		return 0;
	if (!views_read(views, reading, FILL_DROP, &text))
		return -1;
	text = name_trim(text);
	kept = malloc(text.len + 1);
	if (!kept)
		return -1;
	if (text.len > 0)
		memcpy(kept, text.ptr, text.len);
	name->readings[reading] = (struct span){kept, text.len};
	names->longest = text.len > names->longest ? text.len : names->longest;
	names->ascii_seen |= is_ascii(text);
	/* cppcheck-suppress memleak ; the name keeps it */
	return 0;
}

int names_add(struct names *names, struct views *views, struct span text, uint32_t rule)
{
	struct name *grown = realloc(names->at, (names->count + 1) * sizeof(*grown));
	struct name *name;

	if (!grown)
		return -1;
	names->at = grown;
	name = &grown[names->count++];
	memset(name, 0, sizeof(*name));
	name->rule = rule;
	if (!views_begin(views, text))
		return -1;
	for (enum reading r = 0; r < READINGS; r++)
		if (name_read(names, name, views, r) != 0)
			return -1;
	return 0;
}

void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		for (enum reading r = 0; r < READINGS; r++)
			free((char *)names->at[i].readings[r].ptr);
	free(names->at);
	*names = (struct names){NULL, 0, 0, false};
}
