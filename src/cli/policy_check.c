/*
 * simlane policy check - is a policy file good, and what does it decide
 *
 * Explains a decision rule by rule, with the text that matched: for an
 * operator's terminal. The daemon tells none of this to a client.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "simlane/file.h"
#include "simlane/policy.h"

#define FILE_MAX_BYTES (64 * 1024 * 1024)

static const char usage[] = "usage: simlane policy check [OPTION...] FILE [SEED...]\n"
                            "\n"
                            "Loads the policy FILE as the daemon would; \"default\" is the built-in one. For each\n"
                            "SEED file (a JSON seed, or a /schedule body {\"seed\":{...}}) explains rule by rule what\n"
                            "matched, on which view of which text and where, then the decision. \"-\" is standard\n"
                            "input. What matched is shown: mind who can read the terminal.\n"
                            "\n"
                            "  --step-up   decide as for a token that satisfies step-up\n"
                            "  --quiet     decisions only\n"
                            "\n"
                            "Exit codes: 0 the policy is good and every seed is allowed, 1 a fault, a denial or a\n"
                            "step-up, 2 usage.\n"
                            "\n"
                            "  simlane policy check default\n"
                            "  echo '{\"goal\":\"d.e.l.e.t.e everything\"}' | simlane policy check default -\n";

struct checking {
	bool stepped_up, quiet;
	const struct policy *policy;
	struct screen *screen;
};

static int complain(const char *path, const char *why)
{
	fprintf(stderr, "simlane policy check: %s: %s\n", path, why);
	return -1;
}

static int read_stdin(struct buf *out)
{
	char bytes[4096];
	size_t n;

	while ((n = fread(bytes, 1, sizeof(bytes), stdin)) > 0 && out->len <= FILE_MAX_BYTES)
		buf_add(out, bytes, n);
	if (ferror(stdin))
		return complain("standard input", "cannot be read");
	if (out->failed || out->len > FILE_MAX_BYTES)
		return complain("standard input", "too large");
	return 0;
}

static int read_input(const char *path, struct buf *out)
{
	struct fault fault = {""};

	if (strcmp(path, "-") == 0)
		return read_stdin(out);
	if (file_load(path, FILE_MAX_BYTES, out, &fault) == 0)
		return 0;
	fprintf(stderr, "simlane policy check: %s\n", fault.text);
	return -1;
}

static struct policy *load_policy(const char *path)
{
	struct buf text = BUF_EMPTY;
	struct fault fault = {""};
	struct policy *p = NULL;

	if (strcmp(path, "default") == 0) {
		p = policy_load(policy_default_text(), &fault);
	} else if (read_input(path, &text) == 0) {
		p = policy_load((struct span){text.ptr ? text.ptr : "", text.len}, &fault);
	}
	if (!p && fault.text[0])
		complain(path, fault.text);
	buf_free(&text);
	return p;
}

static void show_policy(const struct policy *p, const char *path)
{
	size_t deciding = policy_rule_count(p) - 1; /* without policy-error */
	size_t advisory = policy_advice_count(p);

	printf("%s: good, version %s, %zu rules (%zu that refuse or step up, %zu advisory), goals kept up to %u "
	       "characters\n",
	       path, policy_version(p), deciding + advisory, deciding, advisory, (unsigned)policy_max_goal_chars(p));
	if (deciding == 0)
		printf("%s: note: no rule refuses anything\n", path);
}

/* The seed's node: the document itself, or its member of that name. */
static uint32_t find_seed(const struct jdoc *doc)
{
	uint32_t inner = jdoc_get(doc, 0, "seed");

	return jdoc_type(doc, inner) == JDOC_OBJECT && jdoc_get(doc, 0, "goal") == JDOC_NONE ? inner : 0;
}

static const char *shape_fault(const struct jdoc *doc, uint32_t seed)
{
	enum jdoc_type goal = jdoc_type(doc, jdoc_get(doc, seed, "goal"));
	enum jdoc_type tags = jdoc_type(doc, jdoc_get(doc, seed, "ul_tags"));

	if (jdoc_type(doc, seed) != JDOC_OBJECT)
		return "a seed is a JSON object";
	if (goal != JDOC_STRING && goal != JDOC_NULL)
		return "/goal is not a string";
	return tags == JDOC_ARRAY || tags == JDOC_NULL ? NULL : "/ul_tags is not an array";
}

static int explain_seed(const struct checking *c, const char *path, const struct jdoc *doc)
{
	static const char *const effects[] = {
	        [POLICY_ALLOW] = "allow",
	        [POLICY_STEP_UP] = "step-up",
	        [POLICY_DENY] = "deny",
	};
	uint32_t seed = find_seed(doc);
	const char *why = shape_fault(doc, seed);
	struct policy_verdict verdict;
	struct buf out = BUF_EMPTY;

	if (why)
		return complain(path, why);
	policy_explain(c->policy, c->screen, doc, seed, c->stepped_up, &out, &verdict);
	if (c->quiet)
		printf("%s: %s%s%s\n", path, effects[verdict.effect], verdict.rule ? " " : "",
		       verdict.rule ? verdict.rule : "");
	else
		printf("%s:\n%.*s", path, (int)out.len, out.ptr ? out.ptr : "");
	if (out.failed)
		complain(path, "out of memory");
	buf_free(&out);
	return verdict.effect == POLICY_ALLOW ? 0 : -1;
}

static int check_seed(const struct checking *c, const char *path)
{
	struct jdoc_where where = {JDOC_OK, 0, 0};
	struct jdoc doc = JDOC_EMPTY;
	struct buf text = BUF_EMPTY;
	int rc = read_input(path, &text);

	if (rc == 0 && jdoc_parse(&doc, (struct span){text.ptr ? text.ptr : "", text.len}, &where) != JDOC_OK) {
		fprintf(stderr, "simlane policy check: %s: line %u, column %u: %s\n", path, where.line, where.column,
		        jdoc_error_text(where.error));
		rc = -1;
	}
	if (rc == 0)
		rc = explain_seed(c, path, &doc);
	jdoc_free(&doc);
	buf_free(&text);
	return rc;
}

/* 0 to go on, 2 usage; *help set when only help is wanted. */
static int parse_options(struct checking *c, int argc, char **argv, bool *help)
{
	static const struct option options[] = {
	        {"step-up", no_argument, NULL, 's'},
	        {"quiet", no_argument, NULL, 'q'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	int option, inputs = 0;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		c->stepped_up |= option == 's';
		c->quiet |= option == 'q';
		*help |= option == 'h';
		if (option == '?')
			return 2;
	}
	for (int i = optind; i < argc; i++)
		inputs += strcmp(argv[i], "-") == 0;
	return *help || (optind < argc && inputs <= 1) ? 0 : 2;
}

int command_policy_check(int argc, char **argv)
{
	struct checking c = {false, false, NULL, NULL};
	struct policy *policy = NULL;
	bool help = false;
	int code = parse_options(&c, argc, argv, &help);

	if (code != 0) {
		fputs("simlane policy check: needs one policy FILE, and \"-\" at most once\n"
		      "Try 'simlane policy check --help'.\n",
		      stderr);
		return code;
	}
	if (help) {
		fputs(usage, stdout);
		return 0;
	}
	policy = load_policy(argv[optind]);
	c.policy = policy;
	c.screen = screen_new();
	if (!policy || !c.screen) {
		code = 1;
		goto cleanup;
	}
	if (!c.quiet || optind + 1 == argc)
		show_policy(policy, argv[optind]);
	for (int i = optind + 1; i < argc; i++)
		if (check_seed(&c, argv[i]) != 0)
			code = 1;
cleanup:
	screen_free(c.screen);
	if (policy)
		snapshot_let_go(policy_ref(policy));
	return code;
}
