/*
 * sim - what turns a seed into shards
 *
 * The built-in template simulator makes one shard (index 0) whose plan names
 * the goal. Its scores are computed, not invented:
 *
 *   coherence = 0.92 x (code points of the goal kept / code points sent)
 *   safety    = max(0, 0.99 - sum of the weights of the advisory rules that matched)
 *
 * both rounded to four decimals. No goal, or an empty one, has lost nothing:
 * its share is 1. risks holds one object an advisory rule that matched:
 * {"rule","title","weight","mitigation"}. doc/simulator.md has it all.
 *
 * THREADS  any; no state.
 */
#ifndef SIMLANE_SIM_H
#define SIMLANE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/span.h"

struct sim_risk {
	const char *rule, *title, *mitigation;
	double weight;
};

struct sim_request {
	const char *trace_id;
	int64_t timestamp_ms;
	struct span seed;        /* the stored seed, compact JSON object */
	uint32_t goal_chars;     /* code points of the goal as sent */
	uint32_t max_goal_chars; /* to how many a longer goal was cut when stored */
	const struct sim_risk *risks;
	size_t risk_count;
};

/* Appends the artifacts, a compact JSON array of shards. False: no memory, or
 * a seed that is not a JSON object. */
bool sim_template_run(const struct sim_request *r, struct buf *artifacts);

#endif
