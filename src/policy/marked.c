/*
 * marked - a pattern changed for views that keep dropped characters as marks
 *
 * A mark is nothing within a word and parts words where that lets the pattern
 * match: "de<mark>lete<mark>all" is "delete all". So every literal takes the
 * marks behind it with it, a space is one or a mark just taken, and \b is a
 * boundary or the place behind a mark.
 */
#include <string.h>

#include "load.h"

#define MARK     "\x01"
#define MARKS    MARK "*+"
#define BOUNDARY "(?:\\b|(?<=" MARK "))"
#define SPACE    "(?:[\\s" MARK "]++|(?<=" MARK "))"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Bytes of the quantifier at source: 0: there is none. */
static size_t quantifier_length(const char *source)
{
	size_t n = 0;

	if (source[0] == '{' && is_digit(source[1])) {
		for (n = 1; is_digit(source[n]) || source[n] == ','; n++)
			;
		if (source[n] != '}')
			return 0;
		n++;
	} else if (source[0] != '\0' && strchr("?*+", source[0])) {
		n = 1;
	}
	return n > 0 && (source[n] == '?' || source[n] == '+') ? n + 1 : n;
}

/* Bytes of what stands for one character; 0: not understood. */
static size_t atom_length(const char *source)
{
	unsigned char next = (unsigned char)source[1];
	size_t n = 1;

	if (source[0] == '[')
		return (size_t)(pattern_skip_class(source) - source);
	if (source[0] == '\\') {
		bool word = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || is_digit((char)next);
		return next > ' ' && next < 0x7f && (!word || strchr("dDwWsS", next)) ? 2 : 0;
	}
	if (source[0] == '{' || quantifier_length(source) > 0)
		return 0;
	while (((unsigned char)source[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void add_atom(struct buf *out, const char *source, size_t n, bool quantified)
{
	if (source[0] == ' ' || (source[0] == '\\' && source[1] == 's')) {
		buf_text(out, SPACE);
		return;
	}
	buf_text(out, quantified ? "(?:" : "");
	buf_add(out, source, n);
	buf_text(out, MARKS);
	buf_text(out, quantified ? ")" : "");
}

/* Groups, branches and anchors as they are, \b as BOUNDARY. Bytes taken; 0: none of these. */
static size_t add_frame(struct buf *out, const char *source)
{
	if (source[0] == '\\' && source[1] == 'b') {
		buf_text(out, BOUNDARY);
		return 2;
	}
	if (strchr("(|)^$", source[0]) == NULL)
		return 0;
	buf_char(out, source[0]);
	if (source[0] == '(' && source[1] == '?') {
		buf_text(out, "?:");
		return 3;
	}
	if (source[0] == '^')
		buf_text(out, MARKS);
	return 1;
}

static bool is_other_group(const char *source)
{
	return source[0] == '(' && (source[1] == '*' || (source[1] == '?' && source[2] != ':'));
}

bool marked_pattern(const char *source, struct buf *out)
{
	while (*source) {
		size_t n, quantifier;
		if (is_other_group(source))
			return false;
		n = add_frame(out, source);
		if (n == 0) {
			n = atom_length(source);
			quantifier = quantifier_length(source + n);
			if (n == 0)
				return false;
			if (source[0] == '.' && quantifier > 0)
				buf_char(out, '.'); /* marks are among what it takes */
			else
				add_atom(out, source, n, quantifier > 0);
		}
		quantifier = source[0] == '(' || source[0] == '|' ? 0 : quantifier_length(source + n);
		buf_add(out, source + n, quantifier);
		source += n + quantifier;
	}
	return !out->failed;
}
