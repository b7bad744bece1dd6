/*
 * match - one text against patterns and names, view by view, window by window
 */
#include "ascii.h"
#include "screen.h"

#include <time.h>

#define WINDOW_CHARS 600
#define WINDOW_STEP  300 /* half of it */
#define EDGE_BYTES   64  /* how far a window's edge is drawn in to the end of a word */

/* A decision's time, of the thread's own. Honest seeds of the largest body take
 * some milliseconds; only texts and patterns made to backtrack come near it. */
#define BUDGET_US     200000
#define STEPS_UNTIMED 8
#define STEPS_A_LOOK  4 /* steps between two looks at the clock */

/* A text of less than these bytes has no view longer than itself (a letter-
 * spaced run that is tried in several ways has at least five letters). */
#define SHORT_BYTES 9

struct view {
	enum scope scope;
	enum reading reading;
	enum closing closing;
	struct span text;
	bool ascii;
	bool marked; /* read with FILL_MARK */
};

static int64_t thread_us(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
		return INT64_MAX; /* no clock: out of time */
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool out_of_time(struct pass *pass)
{
	int64_t now_us;

	if (++pass->steps <= STEPS_UNTIMED || pass->steps % STEPS_A_LOOK != 0)
		return false;
	now_us = thread_us();
	if (pass->deadline_us == 0)
		pass->deadline_us = now_us + BUDGET_US;
	return now_us > pass->deadline_us;
}

/* Can nothing that this rule does change the verdict any more? */
static bool rule_settled(const struct pass *pass, size_t index)
{
	const struct rule *rule = &pass->policy->rules[index];

	if (pass->careful)
		return false;
	switch (rule->effect) {
	case RULE_DENY:
		return index >= pass->deny;
	case RULE_STEP_UP:
		return index >= pass->step_up || pass->deny != NO_RULE;
	case RULE_ADVISE:
		return (pass->advice >> rule->advice & 1) != 0 || pass->deny != NO_RULE;
	default:
		return true;
	}
}

static void try_pattern(struct pass *pass, const struct view *view, struct span window, size_t rule, size_t k)
{
	const struct pattern *pattern = &pass->policy->rules[rule].patterns[k];
	const struct regex *regex = view->marked ? pattern->marked : pattern->strict;
	struct hit hit = {rule, k, view->reading, view->closing, view->text, 0, 0};
	enum regex_result result = REGEX_NO_MATCH;

	if (view->closing == CLOSE_RUNS_ONLY)
		regex = pattern->loose;
	if (regex)
		result = regex_find(regex, pass->screen->regex, window, view->ascii, &hit.at, &hit.len);
	if (result == REGEX_MATCH) {
		hit.at += (size_t)(window.ptr - view->text.ptr);
		pass_fire(pass, &hit);
	}
	pass->error |= result == REGEX_ERROR || out_of_time(pass);
}

static void match_window(struct pass *pass, const struct view *view, struct span window,
                         const struct candidates *candidates)
{
	const struct policy *p = pass->policy;

	for (size_t i = 0; i < p->rule_count; i++) {
		const struct rule *rule = &p->rules[i];
		if (rule->on_goal && view->scope != SCOPE_GOAL)
			continue;
		for (size_t k = 0; k < rule->pattern_count && !pass->error; k++)
			if (candidates_have(candidates, rule->patterns[k].number) && !rule_settled(pass, i))
				try_pattern(pass, view, window, i, k);
	}
}

static bool is_word_byte(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x80 || u == '_' || (u >= '0' && u <= '9') || ((u | 0x20) >= 'a' && (u | 0x20) <= 'z');
}

static bool splits_word(struct span text, size_t at)
{
	return at > 0 && at < text.len && is_word_byte(text.ptr[at - 1]) && is_word_byte(text.ptr[at]);
}

/* A window's edge inside a word would make a word of its part ("all" of
 * "allow"): it is drawn in; the word is whole in the neighbour. */
static struct span window_trim(struct span text, size_t from, size_t to)
{
	size_t low = from, high = to;

	while (splits_word(text, low) && low < to && low - from < EDGE_BYTES)
		low++;
	while (splits_word(text, high) && high > from && to - high < EDGE_BYTES)
		high--;
	from = splits_word(text, low) ? from : low;
	to = splits_word(text, high) ? to : high;
	return (struct span){text.ptr + from, to > from ? to - from : 0};
}

static size_t skip_chars(const struct view *view, size_t at, size_t chars)
{
	if (view->ascii)
		return view->text.len - at > chars ? at + chars : view->text.len;
	while (at < view->text.len && chars > 0) {
		at++;
		while (at < view->text.len && ((unsigned char)view->text.ptr[at] & 0xc0) == 0x80)
			at++;
		chars--;
	}
	return at;
}

/* The patterns that may match where a match begins in that part of the view. */
static struct candidates look(const struct pass *pass, const struct view *view, size_t from, size_t to)
{
	struct candidates found = pass->policy->prefixes.always;

	if (pass->careful || view->closing == CLOSE_RUNS_ONLY)
		memset(&found, 0xff, sizeof(found));
	else if (view->marked)
		prefixes_look_marked(&pass->policy->prefixes, view->text, from, to, &found);
	else
		prefixes_look(&pass->policy->prefixes, view->text, from, to, &found);
	return found;
}

/* Leaves out the patterns that need another word further on, which is not there. */
static void look_further(const struct pass *pass, const struct view *view, size_t from, size_t to,
                         struct candidates *candidates)
{
	struct candidates found = pass->policy->tails.always;
	uint64_t undecided = 0;

	if (pass->careful || view->closing == CLOSE_RUNS_ONLY)
		return;
	for (size_t i = 0; i < sizeof(found.bits) / sizeof(found.bits[0]); i++)
		undecided |= candidates->bits[i] & ~found.bits[i];
	if (undecided == 0)
		return;
	if (view->marked)
		prefixes_look_marked(&pass->policy->tails, view->text, from, to, &found);
	else
		prefixes_look(&pass->policy->tails, view->text, from, to, &found);
	for (size_t i = 0; i < sizeof(found.bits) / sizeof(found.bits[0]); i++)
		candidates->bits[i] &= found.bits[i];
}

static bool is_nobody(const struct candidates *candidates)
{
	uint64_t any = 0;

	for (size_t i = 0; i < sizeof(candidates->bits) / sizeof(candidates->bits[0]); i++)
		any |= candidates->bits[i];
	return any == 0;
}

/* The candidates of two halves of a window are those of the whole, and each
 * half is looked at once. */
static void match_view(struct pass *pass, const struct view *view)
{
	size_t from = 0, middle, to;
	struct candidates first;

	if (view->text.len <= WINDOW_CHARS) { /* bytes: no need to count */
		first = look(pass, view, 0, view->text.len);
		look_further(pass, view, 0, view->text.len, &first);
		if (!is_nobody(&first))
			match_window(pass, view, view->text, &first);
		return;
	}
	middle = skip_chars(view, 0, WINDOW_STEP);
	first = look(pass, view, 0, middle);
	do {
		struct candidates second, both;
		to = skip_chars(view, middle, WINDOW_CHARS - WINDOW_STEP);
		second = look(pass, view, middle, to);
		for (size_t i = 0; i < sizeof(both.bits) / sizeof(both.bits[0]); i++)
			both.bits[i] = first.bits[i] | second.bits[i];
		look_further(pass, view, from, to, &both);
		if (!is_nobody(&both))
			match_window(pass, view, window_trim(view->text, from, to), &both);
		first = second;
		from = middle;
		middle = to;
	} while (to < view->text.len && !pass->error);
}

static bool is_ascii(struct span text)
{
	uint64_t word, top = 0;
	size_t i = 0;

	for (; i + 8 <= text.len; i += 8) {
		memcpy(&word, text.ptr + i, 8);
		top |= word;
	}
	for (; i < text.len; i++)
		top |= (unsigned char)text.ptr[i];
	return (top & 0x8080808080808080u) == 0;
}

/* The closings of the reading that was made last. */
static void match_closed(struct pass *pass, enum scope scope, enum reading reading)
{
	for (enum closing closing = CLOSE_WORDS; closing < CLOSINGS && !pass->error; closing++) {
		struct view view = {scope, reading, closing, {NULL, 0}, false, false};
		if (!views_close(&pass->screen->views, closing, &view.text))
			return;
		view.ascii = is_ascii(view.text);
		match_view(pass, &view);
	}
}

/* An earlier reading gave the same text: its matches are known. */
static bool is_repeated(const struct views *views, enum reading reading, enum filler filler, struct span text)
{
	for (enum reading r = 0; r < reading; r++) {
		struct span other = {views->texts[r].ptr, views->texts[r].len};
		if (views_wanted(views, r, filler) && span_equal(other, text))
			return true;
	}
	return false;
}

static void match_views(struct pass *pass, enum scope scope, struct span text)
{
	struct views *views = &pass->screen->views;

	pass->error |= !views_begin(views, text);
	for (enum filler filler = 0; filler < FILLERS; filler++) {
		for (enum reading reading = 0; reading < READINGS && !pass->error; reading++) {
			struct view view = {scope, reading, CLOSE_NONE, {NULL, 0}, false, filler == FILL_MARK};
			if (!views_wanted(views, reading, filler))
				continue;
			if (out_of_time(pass) || !views_read(views, reading, filler, &view.text)) {
				pass->error = true;
				break;
			}
			if (!pass->careful && is_repeated(views, reading, filler, view.text))
				continue;
			view.ascii = is_ascii(view.text);
			match_view(pass, &view);
			if (!view.marked)
				match_closed(pass, scope, reading);
		}
	}
	pass->error |= views_failed(views);
}

void match_text(struct pass *pass, enum scope scope, struct span text)
{
	struct screen *s = pass->screen;
	struct view view = {scope, READ_FOLDED, CLOSE_NONE, {NULL, 0}, true, false};

	if (pass->careful) {
		match_views(pass, scope, text);
		return;
	}
	if (text.len < SHORT_BYTES && text.len < pass->policy->shortest[scope] && is_ascii(text))
		return;
	buf_clear(&s->lower);
	if (!buf_reserve(&s->lower, ASCII_ROOM(text.len))) {
		pass->error = true;
	} else if (ascii_plain(text.ptr, text.len, s->lower.ptr)) {
		view.text = (struct span){s->lower.ptr, text.len};
		match_view(pass, &view);
	} else {
		match_views(pass, scope, text);
	}
}

static void compare_reading(struct pass *pass, const struct names *names, enum reading reading, struct span text)
{
	bool mixed = name_mixes_case(&pass->screen->views.raw);

	text = name_trim(text);
	for (size_t i = 0; i < names->count; i++) {
		struct hit hit = {names->at[i].rule, NO_RULE, reading, CLOSE_NONE, text, 0, text.len};
		if (text.len > 0 && name_equal(text, names->at[i].readings[reading], mixed))
			pass_fire(pass, &hit);
	}
}

/* All readings of an ASCII name are the same, but those of a rule's may not be. */
static void match_ascii_name(struct pass *pass, const struct names *names, struct span text)
{
	if (!names->ascii_seen)
		return;
	for (enum reading reading = 0; reading < READ_HIDDEN; reading++)
		compare_reading(pass, names, reading, text);
}

void match_names(struct pass *pass, const struct names *names, struct span text)
{
	struct views *views = &pass->screen->views;
	struct span read;

	if (names->count == 0)
		return;
	pass->error |= !views_begin(views, text);
	for (enum filler filler = 0; filler < FILL_MARK; filler++) {
		if (!views_wanted(views, READ_FOLDED, filler))
			continue;
		if (views->ascii && views_read(views, READ_FOLDED, filler, &read))
			match_ascii_name(pass, names, read);
		for (enum reading reading = 0; reading < READ_HIDDEN && !views->ascii; reading++)
			if (views_read(views, reading, filler, &read))
				compare_reading(pass, names, reading, read);
	}
	pass->error |= views_failed(views);
}
