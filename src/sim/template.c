/*
 * template - the built-in simulator: one shard that names the goal
 *
 * The seed was screened and stored by the service; it is read again by the
 * strict reader and copied from there, so that what is written is JSON
 * whatever the seed holds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "simlane/jdoc.h"
#include "simlane/sim.h"

#define NO_GOAL     "(no goal)"
#define DEFAULT_TAG "\xce\x9bSIM" /* U+039B: the Greek capital lambda */

/* Scores are counted in ten-thousandths: four decimals, exactly. */
#define SCORE_ONE      10000
#define COHERENCE_BEST 9200
#define SAFETY_BEST    9900

/* The shortest decimal of n / 10000. */
static void add_score(struct buf *out, unsigned n)
{
	unsigned width = 4, fraction = n % SCORE_ONE;

	buf_uint(out, n / SCORE_ONE);
	if (!fraction)
		return;
	while (fraction % 10 == 0) {
		fraction /= 10;
		width--;
	}
	buf_printf(out, ".%0*u", (int)width, fraction);
}

/* The shortest decimal that reads back as the same number. */
static void add_number(struct buf *out, double number)
{
	char text[32];

	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	buf_text(out, text);
}

/* 0.92 x the share of the goal that survived the cut; no goal has lost nothing. */
static unsigned coherence(const struct sim_request *r)
{
	uint64_t sent = r->goal_chars, kept = sent;

	if (kept > r->max_goal_chars)
		kept = r->max_goal_chars;
	return sent ? (unsigned)((COHERENCE_BEST * kept + sent / 2) / sent) : COHERENCE_BEST;
}

static unsigned safety(const struct sim_request *r)
{
	double cost = 0;
	long score;

	for (size_t i = 0; i < r->risk_count; i++)
		cost += r->risks[i].weight;
	score = cost < 1 ? lround(SAFETY_BEST - cost * SCORE_ONE) : 0;
	return score > 0 ? (unsigned)score : 0;
}

static void add_proposal(const struct jdoc *d, struct buf *out)
{
	struct span goal = jdoc_str(d, jdoc_get(d, 0, "goal"));
	uint32_t tags = jdoc_get(d, 0, "ul_tags");
	struct buf summary = BUF_EMPTY;

	buf_text(&summary, "Simulated plan for goal: ");
	buf_span(&summary, goal.len ? goal : span_of(NO_GOAL));
	buf_text(out, "\"proposal\":{\"summary\":");
	buf_json_string(out, (struct span){summary.ptr, summary.len});
	out->failed = out->failed || summary.failed;
	buf_free(&summary);
	buf_text(out, ",\"ul_tags\":");
	if (jdoc_type(d, tags) == JDOC_ARRAY && d->nodes[tags].count > 0)
		jdoc_compact(d, tags, out);
	else
		buf_text(out, "[\"" DEFAULT_TAG "\"]");
	buf_char(out, '}');
}

static void add_risks(const struct sim_request *r, struct buf *out)
{
	buf_text(out, "\"risks\":[");
	for (size_t i = 0; i < r->risk_count; i++) {
		const struct sim_risk *risk = &r->risks[i];

		buf_text(out, i ? ",{\"rule\":" : "{\"rule\":");
		buf_json_string(out, span_of(risk->rule));
		buf_text(out, ",\"title\":");
		buf_json_string(out, span_of(risk->title));
		buf_text(out, ",\"weight\":");
		add_number(out, risk->weight);
		buf_text(out, ",\"mitigation\":");
		buf_json_string(out, span_of(risk->mitigation));
		buf_char(out, '}');
	}
	buf_char(out, ']');
}

static void add_scores(const struct sim_request *r, struct buf *out)
{
	buf_text(out, "\"scores\":{\"coherence\":");
	add_score(out, coherence(r));
	buf_text(out, ",\"safety\":");
	add_score(out, safety(r));
	buf_char(out, '}');
}

/* As the seed has them: the goal or null, the flags or {}. */
static void add_seed_meta(const struct jdoc *d, struct buf *out)
{
	uint32_t goal = jdoc_get(d, 0, "goal");
	uint32_t flags = jdoc_get(d, jdoc_get(d, 0, "constraints"), "flags");

	buf_text(out, "\"seed_meta\":{\"goal\":");
	if (jdoc_type(d, goal) == JDOC_STRING)
		buf_json_string(out, jdoc_str(d, goal));
	else
		buf_text(out, "null");
	buf_text(out, ",\"flags\":");
	if (jdoc_type(d, flags) == JDOC_OBJECT)
		jdoc_compact(d, flags, out);
	else
		buf_text(out, "{}");
	buf_char(out, '}');
}

bool sim_template_run(const struct sim_request *r, struct buf *artifacts)
{
	struct jdoc d = JDOC_EMPTY;
	bool good = jdoc_parse(&d, r->seed, NULL) == JDOC_OK && jdoc_type(&d, 0) == JDOC_OBJECT;

	if (good) {
		buf_text(artifacts, "[{\"trace_id\":");
		buf_json_string(artifacts, span_of(r->trace_id));
		buf_text(artifacts, ",\"index\":0,\"timestamp\":");
		buf_int(artifacts, r->timestamp_ms);
		buf_char(artifacts, ',');
		add_proposal(&d, artifacts);
		buf_char(artifacts, ',');
		add_risks(r, artifacts);
		buf_char(artifacts, ',');
		add_scores(r, artifacts);
		buf_char(artifacts, ',');
		add_seed_meta(&d, artifacts);
		buf_text(artifacts, "}]");
	}
	jdoc_free(&d);
	return good && !artifacts->failed;
}
