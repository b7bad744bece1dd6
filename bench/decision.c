/*
 * decision - what one policy decision costs, by length and kind of text
 *
 * Screens one parsed seed over and over with the default policy and a warm
 * screen, as a request thread does. Prints medians of rounds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "simlane/policy.h"

#include <time.h>

#define ROUNDS 15

static const char sentence[] = "Plan the rollout of the new search index for the northern region, with two canary "
                               "stages and a review after each; report latency, cost and the risks that remain. ";
static const char russian[] = "Спланируй перенос поискового индекса в северный регион в два этапа и сообщи о рисках. ";
static const char mixed[] = "Plan the café’s rollout “with care” in two stages; report latency, cost and risks. ";

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A seed whose goal has that many characters of the text again and again. */
static void make_seed(struct buf *out, const char *text, size_t chars)
{
	const char *p = text;

	buf_text(out, "{\"goal\":\"");
	while (chars > 0) {
		size_t n = 1;
		while (((unsigned char)p[n] & 0xc0) == 0x80)
			n++;
		buf_add(out, p, n);
		p = p[n] ? p + n : text;
		chars--;
	}
	buf_text(out, "\",\"ul_tags\":[\"ΛSIM\"]}");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double decision_ns(const struct policy *p, struct screen *s, const struct jdoc *doc, size_t chars)
{
	double rounds[ROUNDS];
	size_t times = 400000 / (chars + 20) + 3;
	struct policy_verdict verdict;

	for (size_t r = 0; r < ROUNDS; r++) {
		double start = now_ns();
		for (size_t i = 0; i < times; i++)
			policy_screen(p, s, doc, 0, false, &verdict);
		rounds[r] = (now_ns() - start) / (double)times;
	}
	if (verdict.effect != POLICY_ALLOW)
		printf("(not allowed: %s) ", verdict.rule);
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
	return rounds[ROUNDS / 2];
}

static void bench_text(const struct policy *p, struct screen *s, const char *name, const char *text, size_t chars)
{
	struct buf json = BUF_EMPTY;
	struct jdoc doc = JDOC_EMPTY;
	double ns;

	make_seed(&json, text, chars);
	if (json.failed || jdoc_parse(&doc, (struct span){json.ptr, json.len}, NULL) != JDOC_OK) {
		fprintf(stderr, "decision: the seed does not parse\n");
		exit(1);
	}
	ns = decision_ns(p, s, &doc, chars);
	printf("%-12s %8zu %12.0f %10.2f\n", name, chars, ns, ns / (double)chars);
	jdoc_free(&doc);
	buf_free(&json);
}

int main(void)
{
	static const size_t lengths[] = {70, 600, 6000, 60000};
	struct fault fault = {""};
	struct policy *p = policy_load(policy_default_text(), &fault);
	struct screen *s = screen_new();

	if (!p || !s) {
		fprintf(stderr, "decision: %s\n", fault.text);
		return 1;
	}
	printf("%-12s %8s %12s %10s\n", "goal", "chars", "ns/decision", "ns/char");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		bench_text(p, s, "ASCII", sentence, lengths[i]);
	for (size_t i = 0; i < 3; i++)
		bench_text(p, s, "mixed", mixed, lengths[i]);
	for (size_t i = 0; i < 3; i++)
		bench_text(p, s, "Russian", russian, lengths[i]);
	screen_free(s);
	snapshot_let_go(policy_ref(p));
	return 0;
}
