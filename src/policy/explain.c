/*
 * explain - the same decision by a careful pass, told rule by rule
 *
 * For an operator at a terminal. What matched is shown with its surroundings,
 * so the output must never reach a client or a log.
 */
#include <stdio.h>
#include <stdlib.h>

#include "screen.h"

#define HITS_SHOWN    4  /* of one rule */
#define EXCERPT_BYTES 96 /* of one match */

/* One line for a pattern and text: the first view that matched. */
struct told {
	struct buf lines;
	unsigned hits;
	uint32_t node;
	size_t pattern;
};

struct story {
	struct pass pass; /* first: the pass is the story */
	const struct jdoc *doc;
	uint32_t seed;
	struct told *told; /* of each rule */
};

/* The child of a container whose subtree holds the node; names are their
 * value's, so that a member's name has the member's pointer. */
static uint32_t pointer_step(const struct jdoc *doc, uint32_t container, uint32_t node, struct buf *out)
{
	bool object = doc->nodes[container].type == JDOC_OBJECT;
	uint32_t index = 0;
	char digits[16];

	for (uint32_t i = container + 1; i < doc->nodes[container].next; index++) {
		uint32_t value = object ? i + 1 : i;
		if (node < doc->nodes[value].next) {
			int n = snprintf(digits, sizeof(digits), "%u", (unsigned)index);
			jdoc_pointer_add(out, object ? jdoc_str(doc, i) : (struct span){digits, (size_t)n});
			return value;
		}
		i = doc->nodes[value].next;
	}
	return node;
}

static void add_pointer(const struct story *story, uint32_t node, struct buf *out)
{
	const struct jdoc *doc = story->doc;
	uint32_t at = story->seed;

	if (node == at)
		buf_text(out, "the value itself");
	while (at < node) {
		uint32_t inner = pointer_step(doc, at, node, out);
		if (inner > node)
			buf_text(out, " (the member's name)");
		at = inner;
	}
}

static size_t count_chars(struct span text, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
	return n;
}

static void add_excerpt(const struct hit *hit, struct buf *out)
{
	size_t len = hit->len;

	if (len > EXCERPT_BYTES) {
		len = EXCERPT_BYTES;
		while (len > 0 && ((unsigned char)hit->view.ptr[hit->at + len] & 0xc0) == 0x80)
			len--;
	}
	buf_json_string(out, (struct span){hit->view.ptr + hit->at, len});
	if (len < hit->len)
		buf_text(out, "...");
}

static void note_hit(struct pass *pass, const struct hit *hit)
{
	struct story *story = (struct story *)pass;
	struct told *told = &story->told[hit->rule];
	struct buf *out = &told->lines;

	if (told->hits > 0 && told->node == pass->node && told->pattern == hit->pattern)
		return;
	told->node = pass->node;
	told->pattern = hit->pattern;
	if (told->hits++ >= HITS_SHOWN)
		return;
	buf_text(out, "      ");
	add_pointer(story, pass->node, out);
	if (hit->pattern == NO_RULE)
		buf_text(out, ": name");
	else
		buf_printf(out, ": pattern %zu", hit->pattern + 1);
	buf_printf(out, ", view: %s", reading_name(hit->reading));
	if (hit->closing != CLOSE_NONE)
		buf_printf(out, ", %s", closing_name(hit->closing));
	buf_printf(out, ", from character %zu: ", count_chars(hit->view, hit->at) + 1);
	add_excerpt(hit, out);
	buf_char(out, '\n');
}

static void add_rule(const struct story *story, size_t i, struct buf *out)
{
	static const char *const effects[] = {"duress", "deny", "step-up", "advise"};
	const struct rule *rule = &story->pass.policy->rules[i];
	const struct told *told = &story->told[i];
	unsigned hits = told->hits;

	buf_printf(out, "  %-8s %s: ", effects[rule->effect], rule->id);
	if (hits == 0) {
		buf_text(out, "no match\n");
		return;
	}
	buf_printf(out, "%u match%s%s\n", hits, hits == 1 ? "" : "es",
	           rule->effect == RULE_STEP_UP && story->pass.stepped_up ? " (step-up satisfied)" : "");
	buf_span(out, (struct span){told->lines.ptr, told->lines.len});
	if (hits > HITS_SHOWN)
		buf_printf(out, "      and %u more\n", hits - HITS_SHOWN);
}

static void add_verdict(const struct story *story, const struct policy_verdict *verdict, struct buf *out)
{
	static const char *const effects[] = {
	        [POLICY_ALLOW] = "allow",
	        [POLICY_STEP_UP] = "step-up",
	        [POLICY_DENY] = "deny",
	};

	if (story->pass.error)
		buf_text(out, "  matching ended in an error or out of time: that denies\n");
	buf_printf(out, "  decision: %s", effects[verdict->effect]);
	if (verdict->rule)
		buf_printf(out, ", rule %s", verdict->rule);
	if (verdict->duress)
		buf_text(out, " (the client is told lane-disabled)");
	for (size_t i = 0; i < story->pass.policy->advice_count; i++)
		if (verdict->advice >> i & 1)
			buf_printf(out, ", advice %s", story->pass.policy->advice[i]->id);
	buf_char(out, '\n');
}

void policy_explain(const struct policy *p, struct screen *s, const struct jdoc *doc, uint32_t seed, bool stepped_up,
                    struct buf *out, struct policy_verdict *verdict)
{
	struct story story = {pass_begin(p, s, stepped_up), doc, seed, NULL};

	story.told = calloc(p->rule_count + 1, sizeof(*story.told));
	if (story.told) {
		story.pass.careful = note_hit;
		pass_seed(&story.pass, doc, seed);
	} else {
		story.pass.error = true;
	}
	pass_end(&story.pass, verdict);
	for (size_t i = 0; i < p->rule_count && story.told; i++) {
		add_rule(&story, i, out);
		buf_free(&story.told[i].lines);
	}
	add_verdict(&story, verdict, out);
	free(story.told);
}
