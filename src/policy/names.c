/*
 * names - tags and flag names that rules list, prepared for comparing
 *
 * A name is kept in each of its readings; a text equals it when one of the
 * text's readings equals the same reading of the name.
 */
#include <stdlib.h>
#include <utf8proc.h>

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

/* UTS #39's skeleton of single ASCII characters, i for l: all are small here. */
static char ascii_skeleton(char c)
{
	switch (c) {
	case '0':
		return 'o';
	case '1':
	case '|':
	case 'l':
		return 'i';
	default:
		return c;
	}
}

static bool is_l_and_i(char one, char other)
{
	return (one == 'l' && other == 'i') || (one == 'i' && other == 'l');
}

bool name_equal(struct span text, struct span name, bool mixes_case)
{
	if (text.len != name.len)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (ascii_skeleton(text.ptr[i]) != ascii_skeleton(name.ptr[i]))
			return false;
		if (is_l_and_i(text.ptr[i], name.ptr[i]) && !mixes_case)
			return false;
	}
	return true;
}

bool name_mixes_case(const struct codes *raw)
{
	int32_t before = 0;

	for (size_t i = 0; i < raw->len; i++) {
		int32_t c = raw->at[i];
		bool either = c == 'l' || c == 'I' || before == 'l' || before == 'I';
		utf8proc_category_t category = utf8proc_category(c);
		if (category != UTF8PROC_CATEGORY_LU && category != UTF8PROC_CATEGORY_LL)
			continue;
		if (before != 0 && either && category != utf8proc_category(before))
			return true;
		before = c;
	}
	return false;
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
