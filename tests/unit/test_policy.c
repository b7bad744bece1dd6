/*
 * test_policy - what a policy promises: what is refused at load, which rule
 * decides, that failure denies, that short cuts change nothing
 */
#include "policy_help.h"
#include "simlane/regex.h"

#include <time.h>

#define RULE(members) "{\"version\":\"1\",\"rules\":[{" members "}]}"
#define DENY(members) RULE("\"id\":\"r\",\"effect\":\"deny\"," members)

static void screened(struct policy *p, const char *json, bool stepped_up, struct policy_verdict *out)
{
	*out = screen_text(p, span_of(json), stepped_up);
}

static void decides(const char *policy, const char *seed, bool stepped_up, enum policy_effect effect, const char *rule)
{
	struct policy *p = must_load(policy);
	struct policy_verdict v;

	screened(p, seed, stepped_up, &v);
	ck_assert_msg(v.effect == effect, "%s: effect %d, rule %s", seed, (int)v.effect, v.rule ? v.rule : "none");
	ck_assert_msg(rule ? v.rule && strcmp(v.rule, rule) == 0 : !v.rule, "%s: rule %s", seed,
	              v.rule ? v.rule : "none");
	snapshot_let_go(policy_ref(p));
}

/* ---- loading ---- */

static void refused(const char *json, const char *why)
{
	struct fault fault = {""};
	struct policy *p = policy_load(span_of(json), &fault);

	ck_assert_msg(p == NULL, "loaded: %s", json);
	ck_assert_msg(strstr(fault.text, why) != NULL, "%s: \"%s\" does not say \"%s\"", json, fault.text, why);
}

START_TEST(the_default_policy_is_the_contracts_table)
{
	static const char *const ids[] = {"duress",       "deny-ul-tag",       "bulk-destruction",
	                                  "exfiltration", "privileged-intent", "require-step-up",
	                                  "policy-error"};
	struct policy *p = must_load(NULL);

	ck_assert_uint_eq(policy_rule_count(p), sizeof(ids) / sizeof(ids[0]));
	for (size_t i = 0; i < policy_rule_count(p); i++)
		ck_assert_str_eq(policy_rule_id(p, i), ids[i]);
	ck_assert_uint_ge(policy_advice_count(p), 3);
	for (size_t i = 0; i < policy_advice_count(p); i++) {
		struct policy_advice a = policy_advice_at(p, i);
		ck_assert(a.rule[0] && a.title[0] && a.mitigation[0] && a.weight > 0 && a.weight < 1);
	}
	ck_assert_uint_eq(policy_max_goal_chars(p), 600);
	ck_assert(policy_forbids_node_type(p, span_of("DECISION")) &&
	          policy_forbids_node_type(p, span_of("AWARENESS")));
	ck_assert(!policy_forbids_node_type(p, span_of("HYPOTHESIS")));
	ck_assert_str_ne(policy_version(p), "");
	ck_assert_ptr_eq(policy_of_ref(policy_ref(p)), p);
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(a_faulty_file_is_refused_with_the_place_and_the_reason)
{
	refused("", "line 1");
	refused("[]", "object");
	refused("{\"rules\":[]}", "version");
	refused("{\"version\":\"\",\"rules\":[]}", "version");
	refused("{\"version\":7,\"rules\":[]}", "version");
	refused("{\"version\":\"\\u00e9\",\"rules\":[]}", "ASCII");
	refused("{\"version\":\"a\\nb\",\"rules\":[]}", "control");
	refused("{\"version\":\"1\"}", "rules");
	refused("{\"version\":\"1\",\"version\":\"2\",\"rules\":[]}", "line 1");
	refused("{\"version\":\"1\",\"rules\":[],\"rule\":[]}", "unknown member \"rule\"");
	refused("{\"version\":\"1\",\"rules\":[7]}", "object");
	refused("{\"version\":\"1\",\"rules\":[],\"limits\":{\"max_goal\":1}}", "unknown member");
	refused("{\"version\":\"1\",\"rules\":[],\"limits\":{\"max_goal_chars\":0}}", "max_goal_chars");
	refused("{\"version\":\"1\",\"rules\":[],\"limits\":{\"max_goal_chars\":1.5}}", "max_goal_chars");
	refused("{\"version\":\"1\",\"rules\":[],\"limits\":{\"max_goal_chars\":\"600\"}}", "max_goal_chars");
	refused("{\"version\":\"1\",\"rules\":[],\"limits\":{\"forbid_node_types\":\"X\"}}", "forbid_node_types");
	refused("{\"version\":\"1\",\"rules\":[],\"redact\":{\"mail\":\"x\"}}", "unknown member");
	refused("{\"version\":\"1\",\"rules\":[],\"redact\":{\"email\":\"(\"}}", "redact.email");
	refused("{\"version\":\"1\",\"rules\":[],\"redact\":7}", "redact");
}
END_TEST

START_TEST(a_faulty_rule_is_refused_with_its_id_and_the_reason)
{
	refused(RULE("\"effect\":\"deny\",\"flags\":[\"x\"]"), "\"id\"");
	refused(RULE("\"id\":\"A\",\"effect\":\"deny\",\"flags\":[\"x\"]"), "\"id\"");
	refused(RULE("\"id\":\"policy-error\",\"effect\":\"deny\",\"flags\":[\"x\"]"), "policy-error");
	refused(RULE("\"id\":\"lane-disabled\",\"effect\":\"deny\",\"flags\":[\"x\"]"), "lane-disabled");
	refused(RULE("\"id\":\"r\",\"flags\":[\"x\"]"), "effect");
	refused(RULE("\"id\":\"r\",\"effect\":\"allow\",\"flags\":[\"x\"]"), "effect");
	refused(DENY("\"flagz\":[\"x\"]"), "unknown member \"flagz\"");
	refused(DENY("\"on\":\"seed\""), "go together");
	refused(DENY("\"patterns\":[\"x\"]"), "go together");
	refused(DENY("\"on\":\"tags\",\"patterns\":[\"x\"]"), "seed or goal");
	refused(DENY("\"on\":\"seed\",\"patterns\":[]"), "patterns");
	refused(DENY("\"on\":\"seed\",\"patterns\":\"x\""), "patterns");
	refused(DENY("\"on\":\"seed\",\"patterns\":[7]"), "string");
	refused(DENY("\"on\":\"seed\",\"patterns\":[\"a\",\"b(\"]"), "pattern 2");
	refused(DENY("\"on\":\"seed\",\"patterns\":[\"a*\"]"), "empty text");
	refused(DENY("\"on\":\"seed\",\"patterns\":[\"(*NO_JIT)a\"]"), "JIT");
	refused(DENY("\"on\":\"seed\",\"patterns\":[\"\\\\Ca\"]"), "\\C");
	refused(DENY("\"flags\":[\" \"]"), "blank");
	refused(DENY("\"tags\":[\"\\u200b\"]"), "blank");
	refused(DENY("\"flags\":[\"x\"],\"weight\":0.1"), "advise");
	refused(RULE("\"id\":\"r\",\"effect\":\"deny\""), "needs");
	refused(RULE("\"id\":\"r\",\"effect\":\"duress\",\"on\":\"seed\",\"patterns\":[\"x\"]"), "duress");
	refused(RULE("\"id\":\"r\",\"effect\":\"advise\",\"flags\":[\"x\"]"), "title");
	refused(RULE("\"id\":\"r\",\"effect\":\"advise\",\"flags\":[\"x\"],\"title\":\"t\",\"mitigation\":\"m\""),
	        "weight");
	refused(RULE("\"id\":\"r\",\"effect\":\"advise\",\"flags\":[\"x\"],\"title\":\"t\",\"mitigation\":\"m\","
	             "\"weight\":1.1"),
	        "weight");
	refused("{\"version\":\"1\",\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"flags\":[\"x\"]},"
	        "{\"id\":\"r\",\"effect\":\"deny\",\"flags\":[\"y\"]}]}",
	        "two of it");
}
END_TEST

START_TEST(more_than_sixty_four_advisory_rules_are_refused)
{
	struct buf json = BUF_EMPTY;

	buf_text(&json, "{\"version\":\"1\",\"rules\":[");
	for (int i = 0; i < POLICY_MAX_ADVICE + 1; i++)
		buf_printf(&json,
		           "%s{\"id\":\"r%d\",\"effect\":\"advise\",\"flags\":[\"x\"],\"title\":\"t\",\"mitigation\":"
		           "\"m\","
		           "\"weight\":0}",
		           i ? "," : "", i);
	buf_text(&json, "]}");
	buf_char(&json, '\0');
	refused(json.ptr, "advisory");
	buf_free(&json);
}
END_TEST

START_TEST(the_digest_is_that_of_the_bytes)
{
	struct policy *a = must_load(DENY("\"flags\":[\"x\"]")), *b = must_load(DENY("\"flags\":[\"x\"]"));
	struct policy *c = must_load(DENY("\"flags\":[\"x\"] "));

	ck_assert_uint_eq(policy_digest(a), policy_digest(b));
	ck_assert_uint_ne(policy_digest(a), policy_digest(c));
	snapshot_let_go(policy_ref(a));
	snapshot_let_go(policy_ref(b));
	snapshot_let_go(policy_ref(c));
}
END_TEST

START_TEST(redaction_patterns_can_be_replaced)
{
	struct policy *p = must_load("{\"version\":\"1\",\"rules\":[],\"redact\":{\"phone\":\"tel:\\\\d+\"}}");
	struct regex_scratch *s = regex_scratch_new();

	ck_assert_int_eq(regex_match(policy_redact_phone(p), s, span_of("tel:1"), true), REGEX_MATCH);
	ck_assert_int_eq(regex_match(policy_redact_phone(p), s, span_of("030 1234 5678"), true), REGEX_NO_MATCH);
	ck_assert_int_eq(regex_match(policy_redact_email(p), s, span_of("a@b.example"), true), REGEX_MATCH);
	regex_scratch_free(s);
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* ---- deciding ---- */

START_TEST(duress_is_before_everything_and_marked)
{
	struct policy *p = must_load(NULL);
	struct policy_verdict v;

	screened(p,
	         "{\"goal\":\"delete "
	         "all\",\"ul_tags\":[\"ΛROOT\"],\"constraints\":{\"flags\":{\"x\":1,\"shadow\":true}}}",
	         true, &v);
	ck_assert(v.effect == POLICY_DENY && v.duress);
	ck_assert_str_eq(v.rule, "duress");
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(step_up_is_asked_unless_it_is_satisfied_and_never_hides_a_deny)
{
	const char *flag = "{\"constraints\":{\"flags\":{\"require_step_up\":true}}}";

	decides(NULL, "{\"goal\":\"go to production\"}", false, POLICY_STEP_UP, "privileged-intent");
	decides(NULL, "{\"goal\":\"go to production\"}", true, POLICY_ALLOW, NULL);
	decides(NULL, flag, false, POLICY_STEP_UP, "require-step-up");
	decides(NULL, flag, true, POLICY_ALLOW, NULL);
	decides(NULL, "{\"goal\":\"production: delete all\"}", false, POLICY_DENY, "bulk-destruction");
	decides(NULL, "{\"goal\":\"production: delete all\"}", true, POLICY_DENY, "bulk-destruction");
	decides(NULL, "{\"goal\":\"x\",\"context\":\"root in production\"}", false, POLICY_ALLOW, NULL);
}
END_TEST

START_TEST(the_first_rule_of_the_file_is_named)
{
	decides(NULL, "{\"goal\":\"dump pii and delete all\"}", false, POLICY_DENY, "bulk-destruction");
	decides(NULL, "{\"goal\":\"dump pii\",\"context\":\"delete all\"}", false, POLICY_DENY, "bulk-destruction");
	decides(NULL, "{\"goal\":\"delete all\",\"ul_tags\":[\"ΛADMIN\"]}", false, POLICY_DENY, "deny-ul-tag");
}
END_TEST

START_TEST(the_last_of_many_tags_counts)
{
	struct buf json = BUF_EMPTY;

	buf_text(&json, "{\"ul_tags\":[");
	for (int i = 0; i < 255; i++)
		buf_printf(&json, "\"tag number %d\",", i);
	buf_text(&json, "\" ΛROOT \"]}");
	buf_char(&json, '\0');
	decides(NULL, json.ptr, true, POLICY_DENY, "deny-ul-tag");
	buf_free(&json);
}
END_TEST

START_TEST(rules_may_list_ascii_tags_and_names_in_look_alikes)
{
	const char *tags = DENY("\"tags\":[\"Forbidden\", \"\\u0410DMIN\"]");

	decides(tags, "{\"ul_tags\":[\"FORBIDDEN\"]}", false, POLICY_DENY, "r");
	decides(tags, "{\"ul_tags\":[\"\\tforbidden \"]}", false, POLICY_DENY, "r");
	decides(tags, "{\"ul_tags\":[\"f\\u043erbidden\"]}", false, POLICY_DENY, "r");
	decides(tags, "{\"ul_tags\":[\"ADMIN\"]}", false, POLICY_DENY, "r");
	decides(tags, "{\"ul_tags\":[\"forbidden2\",\"admins\",\"\"]}", false, POLICY_ALLOW, NULL);
	decides(tags, "{\"goal\":\"forbidden\"}", false, POLICY_ALLOW, NULL);
}
END_TEST

START_TEST(advice_is_a_bit_each_and_refuses_nothing)
{
	struct policy *p = must_load(NULL);
	struct policy_verdict v;

	screened(p, "{\"goal\":\"bypass the audit\",\"context\":\"change passwords\"}", false, &v);
	ck_assert_int_eq(v.effect, POLICY_ALLOW);
	for (size_t i = 0; i < policy_advice_count(p); i++) {
		const char *rule = policy_advice_at(p, i).rule;
		bool expected = strcmp(rule, "safeguard-bypass") == 0 || strcmp(rule, "credential-handling") == 0;
		ck_assert_msg((v.advice >> i & 1) == expected, "%s", rule);
	}
	screened(p, "{\"goal\":\"permanently move production\"}", false, &v);
	ck_assert_int_eq(v.effect, POLICY_STEP_UP);
	ck_assert_uint_ne(v.advice, 0);
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(a_value_is_screened_with_the_rules_on_the_seed)
{
	struct policy *p = must_load(NULL);
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct policy_verdict v;
	static const char *const texts[] = {"[{\"goal\":\"root in production\"}]", "[{\"a\":[{\"b\":\"delete all\"}]}]",
	                                    "{\"constraints\":{\"flags\":{\"duress\":true}}}"};
	static const enum policy_effect effects[] = {POLICY_ALLOW, POLICY_DENY, POLICY_ALLOW};

	for (size_t i = 0; i < 3; i++) {
		must_parse(&doc, span_of(texts[i]));
		policy_screen_value(p, s, &doc, 0, &v);
		ck_assert_msg(v.effect == effects[i], "%s", texts[i]);
	}
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(only_the_seed_is_screened_not_what_stands_around_it)
{
	struct policy *p = must_load(NULL);
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct policy_verdict v;
	uint32_t seed;

	must_parse(&doc, span_of("{\"a\":\"delete all\",\"seed\":{\"goal\":\"x\"},\"z\":\"delete all\"}"));
	seed = jdoc_get(&doc, 0, "seed");
	v = screen_node(p, s, &doc, seed, false);
	ck_assert_int_eq(v.effect, POLICY_ALLOW);
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(texts_known_to_be_clear_are_so_only_for_their_policy_and_place)
{
	struct policy *a = must_load(DENY("\"tags\":[\"alpha\"]")),
	              *b = must_load(DENY("\"on\":\"seed\",\"patterns\":[\"alpha\"]"));
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;

	must_parse(&doc, span_of("{\"x\":\"alpha\",\"ul_tags\":[]}"));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(screen_node(a, s, &doc, 0, false).effect, POLICY_ALLOW);
		ck_assert_int_eq(screen_node(b, s, &doc, 0, false).effect, POLICY_DENY);
	}
	must_parse(&doc, span_of("{\"ul_tags\":[\"alpha\"]}"));
	ck_assert_int_eq(screen_node(a, s, &doc, 0, false).effect, POLICY_DENY);
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(a));
	snapshot_let_go(policy_ref(b));
}
END_TEST

START_TEST(a_stepped_up_pass_clears_nothing_for_the_next)
{
	struct policy *p = must_load(
	        RULE("\"id\":\"r\",\"effect\":\"step-up\",\"on\":\"seed\",\"patterns\":[\"\\\\broot\\\\b\"]"));
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;

	must_parse(&doc, span_of("{\"context\":\"root\"}"));
	ck_assert_int_eq(screen_node(p, s, &doc, 0, true).effect, POLICY_ALLOW);
	ck_assert_int_eq(screen_node(p, s, &doc, 0, false).effect, POLICY_STEP_UP);
	snapshot_let_go(policy_ref(p));
	p = must_load(NULL);
	must_parse(&doc, span_of("{\"constraints\":{\"flags\":{\"require_step_up\":true}}}"));
	ck_assert_int_eq(screen_node(p, s, &doc, 0, true).effect, POLICY_ALLOW);
	ck_assert_int_eq(screen_node(p, s, &doc, 0, false).effect, POLICY_STEP_UP);
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* ---- characters that are read as nothing, or as a space ---- */

static const char *const dropped[] = {"\x01",   "\b",     "\x1c",   "\x1f",       "\x7f",       "\xc2\x80", "\xc2\x9f",
                                      "\u0600", "\u070f", "\ufffb", "\u200b",     "\u2060",     "\u200d",   "\u00ad",
                                      "\ufeff", "\u202e", "\ufe0f", "\U000e0001", "\U000e0020", "\u3164",   "\u034f",
                                      "\u115f", "\ufff0", "\u2066", "\U0001d173"};

static const char *const dropped_goals[][2] = {
        {"delete%1$sall", "bulk-destruction"},
        {"delete%1$s%1$sall", "bulk-destruction"},
        {"%1$sdelete all%1$s", "bulk-destruction"},
        {"x%1$sdelete%1$sall%1$sx", "bulk-destruction"},
        {"de%1$slete all", "bulk-destruction"},
        {"rotate%1$skeys", "privileged-intent"},
        {"root%1$saccess", "privileged-intent"},
        {"de%1$slete%1$sall", "bulk-destruction"},
        {"d%1$selete every thing and a%1$sll%1$sthat", "bulk-destruction"},
        {"ro%1$sta%1$ste%1$skeys", "privileged-intent"},
        {"please%1$sro%1$state %1$s keys%1$snow", "privileged-intent"},
        {"delete%1$sacc%1$sount", "privileged-intent"},
        {"ex%1$sfiltrate%1$sthe%1$sda%1$staset", "exfiltration"},
        {"dump%1$ssec%1$sret", "exfiltration"},
        {"план: de%1$slete%1$sаll", "bulk-destruction"},
        {"план: DE%1$sLETE%1$sａ%1$sll", "bulk-destruction"},
};

START_TEST(dropped_characters_part_words_and_hide_none)
{
	struct policy *p = must_load(NULL);
	char goal[200];

	for (size_t g = 0; g < sizeof(dropped_goals) / sizeof(dropped_goals[0]); g++) {
		for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
			struct policy_verdict v;
			snprintf(goal, sizeof(goal), dropped_goals[g][0], dropped[i]);
			v = screen_goal(p, span_of(goal));
			ck_assert_msg(v.rule && strcmp(v.rule, dropped_goals[g][1]) == 0, "%s with %zu: %s",
			              dropped_goals[g][0], i, v.rule ? v.rule : "allowed");
		}
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(dropped_characters_of_two_kinds_part_words_and_hide_none)
{
	struct policy *p = must_load(NULL);
	char goal[200];

	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		for (size_t k = 0; k < sizeof(dropped) / sizeof(dropped[0]); k++) {
			snprintf(goal, sizeof(goal), "de%slete%sall", dropped[i], dropped[k]);
			ck_assert_msg(screen_goal(p, span_of(goal)).effect == POLICY_DENY, "%zu, %zu", i, k);
		}
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(honest_texts_with_dropped_characters_pass)
{
	static const char *const goals[] = {
	        "De\u00adleted rows and the small ball\u00adroom",
	        "The gar\u00adden\u00ading club dropped fi\u00adnal\u00adly, ac\u00adtu\u00adal\u00adly and "
	        "usu\u00adal\u00adly",
	        "undelete\u200b the b\u200dall, over\u200ballow",
	        "می\u200cخواهم گزارش\u200cها را خلاصه کنم؛ کتاب\u200cها و نامه\u200cها",
	        "👩\u200d👩\u200d👧 drop\u200bped 🏳\ufe0f\u200d🌈 small talk",
	        "\ufeffPlan the re\u200blease\u200b of the roots\u200bystem",
	        "\u202bdropdown\u202c and \u2067overall\u2069",
	        "line\bfeed\x1bmode",
	};
	struct policy *p = must_load(NULL);

	for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]); i++) {
		struct policy_verdict v = screen_goal(p, span_of(goals[i]));
		ck_assert_msg(v.effect == POLICY_ALLOW, "%s: %s", goals[i], v.rule);
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* Patterns of every form that is changed for marks, and of some that are not. */
START_TEST(patterns_of_any_form_are_matched_among_dropped_characters)
{
	static const char *const cases[][3] = {
	        {"ab+c{2}d?e", "a\u200bb\u200bbc\u200bc\u200be", "a\u200bbc\u200be"},
	        {"\\\\bx(?:y|z)*\\\\d\\\\b", "q\u200bx\u200byz\u200b7\u200bq", "q\u200bx\u200byzq7"},
	        {"[a-c]+ \\\\w\\\\send$", "a\u200bb\u200bk\u200be\u200bnd\u200b", "a\u200bb\u200bk\u200be\u200bn"},
	        {"^ж é", "\u200bж\u200bé", "\u200bé\u200bж"},
	        {"\\\\ba.*\\\\bbc.*\\\\bde", "a\u200bb\u200bc\u200bd\u200be", "a\u200bbc\u200bed"},
	        {"a\\\\.b{", "a.\u200bb{\u200b", "a\u200bb{\u200b"},
	        {"(?=ab)ab", "ab\u200b \u200b", "a\u200b \u200bb"},
	};
	char policy[300], seed[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(policy, sizeof(policy), DENY("\"on\":\"seed\",\"patterns\":[\"%s\"]"), cases[i][0]);
		snprintf(seed, sizeof(seed), "{\"goal\":\"%s\"}", cases[i][1]);
		decides(policy, seed, false, POLICY_DENY, "r");
		snprintf(seed, sizeof(seed), "{\"goal\":\"%s\"}", cases[i][2]);
		decides(policy, seed, false, POLICY_ALLOW, NULL);
	}
}
END_TEST

/* ---- names ---- */

START_TEST(ascii_look_alikes_of_names_are_the_names)
{
	static const char *const tags[] = {"ΛR00T",  "ΛRO0T",  "Λr0ot",   "ΛADM1N",       "ΛADMlN",  "ΛADM|N",
	                                   "Λadm1n", "ΛАDМlN", "ΛR００T", "ΛADM\u200blN", " ΛR00T ", "ΛAdMlN"};
	static const char *const honest[] = {"ΛSIM",    "ΛROO",  "ΛR00",  "ΛADMLN", "Λadmln", "ΛROOT1", "R00T",
	                                     "ΛADM1NS", "Λ100T", "ΛTAG0", "",       "0",      "ΛADMON"};
	char seed[100];

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		snprintf(seed, sizeof(seed), "{\"goal\":\"x\",\"ul_tags\":[\"a\",\"%s\"]}", tags[i]);
		decides(NULL, seed, false, POLICY_DENY, "deny-ul-tag");
	}
	for (size_t i = 0; i < sizeof(honest) / sizeof(honest[0]); i++) {
		snprintf(seed, sizeof(seed), "{\"goal\":\"x\",\"ul_tags\":[\"%s\"]}", honest[i]);
		decides(NULL, seed, false, POLICY_ALLOW, NULL);
	}
	decides(NULL, "{\"constraints\":{\"flags\":{\"shad0w\":1}}}", false, POLICY_DENY, "duress");
	decides(NULL, "{\"constraints\":{\"flags\":{\"REQUlRE_STEP_UP\":1}}}", false, POLICY_STEP_UP,
	        "require-step-up");
	decides(DENY("\"tags\":[\"mail\"]"), "{\"ul_tags\":[\"mall\",\"MALL\",\"Mall\",\"nail\"]}", false, POLICY_ALLOW,
	        NULL);
	decides(DENY("\"tags\":[\"l33t1\"]"), "{\"ul_tags\":[\"133TI\"]}", false, POLICY_DENY, "r");
}
END_TEST

/* ---- failing closed, and in time ---- */

START_TEST(a_pattern_that_hits_the_match_limit_denies)
{
	const char *policy = DENY("\"on\":\"seed\",\"patterns\":[\"(a+)+[bc]$\"]");
	const char *advice = RULE("\"id\":\"r\",\"effect\":\"advise\",\"on\":\"seed\",\"patterns\":[\"(a+)+[bc]$\"],"
	                          "\"title\":\"t\",\"mitigation\":\"m\",\"weight\":0.1");
	char seed[300];

	snprintf(seed, sizeof(seed), "{\"goal\":\"%0200d\"}", 0);
	memset(strchr(seed, '0'), 'a', 200);
	decides(policy, seed, true, POLICY_DENY, "policy-error");
	decides(advice, seed, true, POLICY_DENY, "policy-error");
}
END_TEST

static void long_seed(struct buf *json, const char *piece, size_t bytes)
{
	buf_text(json, "{\"goal\":\"");
	while (json->len < bytes)
		buf_text(json, piece);
	buf_text(json, "\"}");
}

static double screened_in_s(struct policy *p, const struct buf *json, struct policy_verdict *v)
{
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	int64_t start_us;

	must_parse(&doc, (struct span){json->ptr, json->len});
	start_us = clock_mono_us(&clock_system);
	policy_screen(p, s, &doc, 0, false, v);
	start_us = clock_mono_us(&clock_system) - start_us;
	jdoc_free(&doc);
	screen_free(s);
	return (double)start_us / 1e6;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HOSTILE_S 10.0
#define HONEST_S  10.0
#else
#define HONEST_S  0.1  /* on an idle machine some hundredths */
#define HOSTILE_S 0.35 /* the budget and what is not measured against it */
#endif

START_TEST(the_largest_hostile_bodies_are_decided_in_time)
{
	static const char *const pieces[] = {"a",
	                                     "drop ",
	                                     "a ",
	                                     "a.",
	                                     "drop\u3164",
	                                     "ӏ",
	                                     "ӏ ",
	                                     "\u0301\u0323",
	                                     "é",
	                                     "ﷺ",
	                                     "dump drop mass bulk ",
	                                     "\U000e0064",
	                                     "я",
	                                     "Ⅷ",
	                                     "d\u0332\u200b ",
	                                     "  ",
	                                     "яŏ",
	                                     "ﷺ\u200b\u3164ӏ",
	                                     "drop ӏ\u200b\u3164 ",
	                                     "mass bulk delete dump d é l e \u200b\u3164 ",
	                                     "all drop\u200bdelete\u3164 \x7f"
	                                     "é "};
	struct policy *p = must_load(NULL);

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct buf json = BUF_EMPTY;
		struct policy_verdict v;
		clock_t start = clock();
		double s, cpu_s;
		long_seed(&json, pieces[i], 256 * 1024);
		s = screened_in_s(p, &json, &v);
		cpu_s = (double)(clock() - start) / CLOCKS_PER_SEC;
		if (getenv("POLICY_TIMES"))
			printf("%.1f ms: \"%s\" %s\n", cpu_s * 1e3, pieces[i], v.rule ? v.rule : "");
		ck_assert_msg(s > HOSTILE_S || !v.rule || strcmp(v.rule, "policy-error") != 0, "\"%s\": %s", pieces[i],
		              v.rule);
		ck_assert_msg(cpu_s < HOSTILE_S, "\"%s\" takes %.3f s", pieces[i], cpu_s);
		buf_free(&json);
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* Five of them must fit the budget of 200 ms, so that a slow machine has it too. */
START_TEST(the_largest_honest_bodies_are_far_below_the_budget)
{
	static const char *const pieces[] = {
	        "You may not drop this notice; nothing else is delivered to the mass of users in bulk. ",
	        "Спланируй перенос поискового индекса в северный регион в два этапа и сообщи о рисках. ",
	        "Plan the café’s rollout “with care” in two stages; drop the old one and report costs. ",
	        "می‌خواهم گزارش‌ها را خلاصه کنم؛ کتاب‌ها و نامه‌ها ",
	        "The gar\u00adden\u00ading club dropped fi\u00adnal\u00adly the re\u00adview of its bud\u00adget. ",
	        "大量のデータを整理して、週末までに報告書をまとめてください。",
	        "Планируй drop\u200b и отчёт\u00ad о рисках ",
	};
	struct policy *p = must_load(NULL);

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct buf json = BUF_EMPTY;
		struct policy_verdict v;
		clock_t start = clock();
		double cpu_s;
		long_seed(&json, pieces[i], 256 * 1024);
		screened_in_s(p, &json, &v);
		cpu_s = (double)(clock() - start) / CLOCKS_PER_SEC;
		if (getenv("POLICY_TIMES"))
			printf("%.1f ms: %.60s\n", cpu_s * 1e3, pieces[i]);
		ck_assert_msg(v.effect == POLICY_ALLOW, "\"%s\": %s", pieces[i], v.rule);
		ck_assert_msg(cpu_s < HONEST_S, "\"%s\" takes %.3f s", pieces[i], cpu_s);
		buf_free(&json);
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(a_slow_policy_runs_out_of_time_and_denies)
{
	struct policy *p = must_load(DENY("\"on\":\"seed\",\"patterns\":[\"(x+x+)+y|(x+)+[yz]|x.*x.*x.*x.*q\"]"));
	struct buf json = BUF_EMPTY;
	struct policy_verdict v;

	long_seed(&json, "x x ", 256 * 1024);
	ck_assert_double_lt(screened_in_s(p, &json, &v), 10.0);
	ck_assert_int_eq(v.effect, POLICY_DENY);
	ck_assert_str_eq(v.rule, "policy-error");
	buf_free(&json);
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* ---- short cuts change nothing ---- */

static const char *const words[] = {"drop",
                                    "delete",
                                    "all",
                                    "everything",
                                    "dump",
                                    "pii",
                                    "root",
                                    "production",
                                    "mass",
                                    "email",
                                    "d.e.l.e.t.e",
                                    "a l l",
                                    "bulk",
                                    "action",
                                    "ΛROOT",
                                    "а",
                                    "l",
                                    "ӏ",
                                    "\u200b",
                                    "\u3164",
                                    "\n",
                                    "e",
                                    "t",
                                    "x",
                                    "é",
                                    "ß",
                                    "ﬀ",
                                    "drоp",
                                    "ａｌｌ",
                                    "\u0301",
                                    "0",
                                    "_",
                                    "-",
                                    "plan",
                                    "the",
                                    "allow",
                                    "dele\u00adte\u200ball",
                                    "ro\x01tate\x01keys",
                                    "\x7f",
                                    "\u2060",
                                    "dropped",
                                    "audit",
                                    "bypass",
                                    "\u00ad",
                                    "ж",
                                    "漢",
                                    "\u202e",
                                    "K",
                                    "I"};

static void random_goal(struct buf *text, unsigned *seed)
{
	size_t n = (size_t)rand_r(seed) % 40 + 1;

	if (rand_r(seed) % 8 == 0)
		n *= 20;
	while (n-- > 0) {
		buf_text(text, words[(size_t)rand_r(seed) % (sizeof(words) / sizeof(words[0]))]);
		if (rand_r(seed) % 4 != 0)
			buf_text(text, rand_r(seed) % 9 ? " " : "  ");
	}
}

START_TEST(the_fast_pass_decides_as_the_careful_one_on_random_texts)
{
	static const char other[] =
	        "{\"version\":\"1\",\"rules\":["
	        "{\"id\":\"a\",\"effect\":\"step-up\",\"on\":\"seed\",\"patterns\":[\"\\\\ball(ow)?\\\\b\",\"l{2}x\"]},"
	        "{\"id\":\"b\",\"effect\":\"deny\",\"on\":\"goal\",\"patterns\":[\"\\\\b(?:plan|th[ae])\\\\b.*"
	        "\\\\bdump|\\\\bmass x\"]},"
	        "{\"id\":\"c\",\"effect\":\"advise\",\"on\":\"seed\",\"patterns\":[\"(?i)ж\",\"^drop\",\"é$\"],"
	        "\"title\":\"t\","
	        "\"mitigation\":\"m\",\"weight\":0.5},"
	        "{\"id\":\"d\",\"effect\":\"deny\",\"tags\":[\"ALL\"],\"on\":\"goal\",\"patterns\":[\"\\\\b(ss|pi*i)"
	        "\\\\b|\\\\b0+_\"]}]}";
	struct policy *policies[2] = {must_load(NULL), must_load(other)};
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	unsigned seed = 4711;
	unsigned denied = 0;

	for (int i = 0; i < 3000; i++) {
		struct buf goal = BUF_EMPTY, json = BUF_EMPTY;
		random_goal(&goal, &seed);
		buf_text(&json, "{\"goal\":");
		buf_json_string(&json, (struct span){goal.ptr, goal.len});
		buf_clear(&goal);
		random_goal(&goal, &seed);
		buf_text(&json, ",\"ul_tags\":[\"ΛSIM\",");
		buf_json_string(&json, (struct span){goal.ptr, goal.len});
		buf_text(&json, "]}");
		must_parse(&doc, (struct span){json.ptr, json.len});
		denied += screen_node(policies[i % 2], s, &doc, 0, i % 3 == 0).effect == POLICY_DENY;
		buf_free(&goal);
		buf_free(&json);
	}
	ck_assert_uint_gt(denied, 100);
	ck_assert_uint_lt(denied, 2900);
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(policies[0]));
	snapshot_let_go(policy_ref(policies[1]));
}
END_TEST

/* Every length around the blocks of the quick looks, every place of a word. */
START_TEST(no_length_and_no_place_slips_past_the_quick_look)
{
	struct policy *p = must_load(NULL);

	for (size_t len = 10; len < 150; len++) {
		for (size_t at = 0; at + 10 <= len; at += len > 70 ? 7 : 1) {
			char goal[160];
			memset(goal, '.', len);
			memcpy(goal + at, "delete all", 10);
			ck_assert_int_eq(screen_goal(p, (struct span){goal, len}).effect, POLICY_DENY);
			memcpy(goal + at, "d e l al l", 10);
			ck_assert_int_eq(screen_goal(p, (struct span){goal, len}).effect, POLICY_ALLOW);
		}
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

START_TEST(an_explanation_names_the_place_the_view_and_the_decision)
{
	struct policy *p = must_load(NULL);
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct buf out = BUF_EMPTY;
	struct policy_verdict v;

	must_parse(&doc, span_of("{\"context\":{\"a/b\":[1,\"x d.e.l.e.t.e аll\"]},\"ul_tags\":[\"ΛROOT\"]}"));
	policy_explain(p, s, &doc, 0, false, &out, &v);
	buf_char(&out, '\0');
	ck_assert_str_eq(v.rule, "deny-ul-tag");
	ck_assert_ptr_nonnull(strstr(out.ptr, "/ul_tags/0: name"));
	ck_assert_ptr_nonnull(strstr(out.ptr, "/context/a~1b/1: pattern 1"));
	ck_assert_ptr_nonnull(strstr(out.ptr, "closed up, from character 3: \"delete all\""));
	ck_assert_ptr_nonnull(strstr(out.ptr, "exfiltration: no match"));
	ck_assert_ptr_nonnull(strstr(out.ptr, "decision: deny, rule deny-ul-tag"));
	buf_free(&out);
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* ---- threads ---- */

static void *screen_often(void *arg)
{
	static const char seed[] = "{\"goal\":\"план: d.e.l.e.t.e it аll\",\"ul_tags\":[\"ΛSIM\"]}";
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct policy_verdict v;
	intptr_t denied = 0;

	must_parse(&doc, span_of(seed));
	for (int i = 0; i < 300; i++) {
		policy_screen(arg, s, &doc, 0, false, &v);
		denied += v.effect == POLICY_DENY;
	}
	jdoc_free(&doc);
	screen_free(s);
	return (void *)denied;
}

START_TEST(one_policy_serves_many_threads)
{
	struct policy *p = must_load(NULL);
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, screen_often, p), 0);
	for (size_t i = 0; i < 4; i++) {
		void *denied = NULL;
		ck_assert_int_eq(pthread_join(threads[i], &denied), 0);
		ck_assert_int_eq((intptr_t)denied, 300);
	}
	snapshot_let_go(policy_ref(p));
}
END_TEST

/* ---- no allocation on the way of a request ---- */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t size);
void *__libc_realloc(void *old, size_t size);
static atomic_ulong allocations;

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}

START_TEST(a_warm_decision_allocates_nothing)
{
	static const char *const seeds[] = {"{\"goal\":\"Plan the rollout\",\"ul_tags\":[\"ΛSIM\"]}",
	                                    "{\"goal\":\"план  d.e.l.e.t.e\",\"ul_tags\":[\"Λ a b c\"]}"};
	struct policy *p = must_load(NULL);
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct policy_verdict v;

	for (size_t i = 0; i < 2; i++) {
		unsigned long before;
		must_parse(&doc, span_of(seeds[i]));
		policy_screen(p, s, &doc, 0, false, &v);
		before = allocations;
		for (int k = 0; k < 100; k++)
			policy_screen(p, s, &doc, 0, false, &v);
		ck_assert_uint_eq(allocations, before);
	}
	ck_assert_uint_gt(allocations, 0);
	jdoc_free(&doc);
	screen_free(s);
	snapshot_let_go(policy_ref(p));
}
END_TEST
#else
#define NO_ALLOCATION_COUNT
#endif

int main(void)
{
	Suite *suite = suite_create("policy");
	TCase *tc = tcase_create("promises");

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, the_default_policy_is_the_contracts_table);
	tcase_add_test(tc, a_faulty_file_is_refused_with_the_place_and_the_reason);
	tcase_add_test(tc, a_faulty_rule_is_refused_with_its_id_and_the_reason);
	tcase_add_test(tc, more_than_sixty_four_advisory_rules_are_refused);
	tcase_add_test(tc, the_digest_is_that_of_the_bytes);
	tcase_add_test(tc, redaction_patterns_can_be_replaced);
	tcase_add_test(tc, duress_is_before_everything_and_marked);
	tcase_add_test(tc, step_up_is_asked_unless_it_is_satisfied_and_never_hides_a_deny);
	tcase_add_test(tc, the_first_rule_of_the_file_is_named);
	tcase_add_test(tc, the_last_of_many_tags_counts);
	tcase_add_test(tc, rules_may_list_ascii_tags_and_names_in_look_alikes);
	tcase_add_test(tc, advice_is_a_bit_each_and_refuses_nothing);
	tcase_add_test(tc, a_value_is_screened_with_the_rules_on_the_seed);
	tcase_add_test(tc, only_the_seed_is_screened_not_what_stands_around_it);
	tcase_add_test(tc, texts_known_to_be_clear_are_so_only_for_their_policy_and_place);
	tcase_add_test(tc, a_stepped_up_pass_clears_nothing_for_the_next);
	tcase_add_test(tc, dropped_characters_part_words_and_hide_none);
	tcase_add_test(tc, dropped_characters_of_two_kinds_part_words_and_hide_none);
	tcase_add_test(tc, honest_texts_with_dropped_characters_pass);
	tcase_add_test(tc, patterns_of_any_form_are_matched_among_dropped_characters);
	tcase_add_test(tc, ascii_look_alikes_of_names_are_the_names);
	tcase_add_test(tc, a_pattern_that_hits_the_match_limit_denies);
	tcase_add_test(tc, the_largest_hostile_bodies_are_decided_in_time);
	tcase_add_test(tc, the_largest_honest_bodies_are_far_below_the_budget);
	tcase_add_test(tc, a_slow_policy_runs_out_of_time_and_denies);
	tcase_add_test(tc, the_fast_pass_decides_as_the_careful_one_on_random_texts);
	tcase_add_test(tc, no_length_and_no_place_slips_past_the_quick_look);
	tcase_add_test(tc, an_explanation_names_the_place_the_view_and_the_decision);
	tcase_add_test(tc, one_policy_serves_many_threads);
#ifndef NO_ALLOCATION_COUNT
	tcase_add_test(tc, a_warm_decision_allocates_nothing);
#endif
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
