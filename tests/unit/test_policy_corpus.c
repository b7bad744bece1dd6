/*
 * test_policy_corpus - evasions are stopped, honest texts pass
 *
 * The texts are in tests/unit/policy_corpus; families that can be made by
 * rule are made here. Each is screened by the fast and the careful pass.
 */
#include <dirent.h>

#include "policy_help.h"

static struct policy *policy;

static void setup(void)
{
	policy = must_load(NULL);
}

static void teardown(void)
{
	snapshot_let_go(policy_ref(policy));
}

static void each_entry(const char *path, void (*check)(const struct jdoc *, uint32_t, struct screen *))
{
	struct screen *s = screen_new();
	struct jdoc doc = JDOC_EMPTY;
	struct buf text = BUF_EMPTY;

	read_file(path, &text);
	must_parse(&doc, (struct span){text.ptr, text.len});
	ck_assert_uint_gt(doc.nodes[0].count, 50);
	for (uint32_t i = 1; i < doc.nodes[0].next; i = doc.nodes[i].next)
		check(&doc, i, s);
	jdoc_free(&doc);
	buf_free(&text);
	screen_free(s);
}

static void is_stopped(const struct jdoc *doc, uint32_t entry, struct screen *s)
{
	struct span family = jdoc_str(doc, jdoc_get(doc, entry, "family"));
	struct span rule = jdoc_str(doc, jdoc_get(doc, entry, "rule"));
	uint32_t seed = jdoc_get(doc, entry, "seed");
	struct policy_verdict v = screen_node(policy, s, doc, seed, false);

	ck_assert_msg(v.rule && span_is(rule, v.rule), "%.*s: %s instead of %.*s on %.300s", (int)family.len,
	              family.ptr, v.rule ? v.rule : "allowed", (int)rule.len, rule.ptr, doc->nodes[seed].raw.ptr);
	ck_assert_int_eq(v.duress, span_is(rule, "duress"));
}

START_TEST(every_evasion_of_the_corpus_is_stopped_by_its_rule)
{
	each_entry(CORPUS "evasions.json", is_stopped);
}
END_TEST

static void is_allowed(const struct jdoc *doc, uint32_t entry, struct screen *s)
{
	struct span name = jdoc_str(doc, jdoc_get(doc, entry, "name"));
	uint32_t seed = jdoc_get(doc, entry, "seed");
	struct policy_verdict v = screen_node(policy, s, doc, seed, false);

	ck_assert_msg(v.effect == POLICY_ALLOW, "%.*s: %s on %.300s", (int)name.len, name.ptr, v.rule,
	              doc->nodes[seed].raw.ptr);
}

START_TEST(every_honest_text_of_the_corpus_passes)
{
	each_entry(CORPUS "honest.json", is_allowed);
}
END_TEST

/* The GNU Free Documentation License says "delete all sections Entitled
 * Endorsements": that is what the rule is written against, so it is refused;
 * every other licence passes. */
static void document_passes(const char *path, const char *name)
{
	bool says_delete_all = strncmp(name, "GFDL", 4) == 0;
	struct buf text = BUF_EMPTY, json = BUF_EMPTY;
	struct policy_verdict v;

	read_file(path, &text);
	buf_text(&json, "{\"goal\":\"Summarise the licence\",\"context\":{\"document\":");
	buf_json_string(&json, (struct span){text.ptr, text.len});
	buf_text(&json, "}}");
	v = screen_text(policy, (struct span){json.ptr, json.len}, false);
	ck_assert_msg((v.effect == POLICY_ALLOW) != says_delete_all, "%s: %s", name, v.rule ? v.rule : "allowed");
	buf_free(&text);
	buf_free(&json);
}

START_TEST(licences_of_the_system_pass_as_context)
{
	static const char folder[] = "/usr/share/common-licenses";
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[512];

	if (!dir) {
		printf("skipped: no %s here\n", folder);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		document_passes(path, entry->d_name);
	}
	closedir(dir);
}
END_TEST

static const char *const phrases[][2] = {
        {"drop all", "bulk-destruction"},
        {"delete everything", "bulk-destruction"},
        {"wipe the entire disk", "bulk-destruction"},
        {"erase the full archive", "bulk-destruction"},
        {"exfiltrate the dataset", "exfiltration"},
        {"dump secrets", "exfiltration"},
        {"dump pii", "exfiltration"},
        {"rotate keys", "privileged-intent"},
        {"delete account", "privileged-intent"},
        {"mass email", "privileged-intent"},
};

#define PHRASES (sizeof(phrases) / sizeof(phrases[0]))

static void add_code(struct buf *out, uint32_t u)
{
	char bytes[4] = {(char)(0xf0 | u >> 18), (char)(0x80 | (u >> 12 & 63)), (char)(0x80 | (u >> 6 & 63)),
	                 (char)(0x80 | (u & 63))};

	if (u < 0x80) {
		buf_char(out, (char)u);
		return;
	}
	bytes[2] = (char)(u < 0x800 ? 0xc0 | u >> 6 : (uint8_t)bytes[2]);
	bytes[1] = (char)(u < 0x10000 ? 0xe0 | u >> 12 : (uint8_t)bytes[1]);
	if (u < 0x800)
		buf_add(out, bytes + 2, 2);
	else if (u < 0x10000)
		buf_add(out, bytes + 1, 3);
	else
		buf_add(out, bytes, 4);
}

static void phrase_is_stopped(const struct buf *text, const char *rule, const char *how, unsigned long what)
{
	struct policy_verdict v = screen_goal(policy, (struct span){text->ptr, text->len});

	ck_assert_msg(v.rule && strcmp(v.rule, rule) == 0, "%s %lx: %s instead of %s on %.*s", how, what,
	              v.rule ? v.rule : "allowed", rule, (int)text->len, text->ptr);
}

static const uint32_t invisible[] = {0x00AD, 0x034F,  0x061C,  0x115F,  0x1160,  0x17B4,  0x180B,  0x180E,  0x200B,
                                     0x200C, 0x200D,  0x200E,  0x200F,  0x202A,  0x202E,  0x2060,  0x2061,  0x2064,
                                     0x2066, 0x2069,  0x206F,  0x3164,  0xFE00,  0xFE0F,  0xFEFF,  0xFFA0,  0xFFF0,
                                     0xFFF9, 0x1BCA0, 0x1D173, 0xE0001, 0xE0020, 0xE007F, 0xE0100, 0xE01EF, 0xE0FFF,
                                     0x1,    0x8,     0x1b,    0x7f,    0x80,    0x9f};

START_TEST(invisible_characters_hide_no_word)
{
	for (size_t i = 0; i < PHRASES; i++) {
		for (size_t k = 0; k < sizeof(invisible) / sizeof(invisible[0]); k++) {
			struct buf text = BUF_EMPTY;
			for (const char *c = phrases[i][0]; *c; c++) {
				buf_char(&text, *c);
				if (*c != ' ' && c[1] != ' ')
					add_code(&text, invisible[k]);
			}
			phrase_is_stopped(&text, phrases[i][1], "invisible", invisible[k]);
			buf_free(&text);
		}
	}
}
END_TEST

static const uint32_t blanks[] = {'\t',   '\n',   '\v',   '\f',   '\r',   0x85,   0xA0,   0x1680, 0x2000, 0x2003,
                                  0x2009, 0x2028, 0x2029, 0x202F, 0x205F, 0x2800, 0x3000, 0x3164, 0x115F, 0xFFA0};

START_TEST(every_white_space_is_a_space)
{
	for (size_t i = 0; i < PHRASES; i++) {
		for (size_t k = 0; k < sizeof(blanks) / sizeof(blanks[0]); k++) {
			struct buf text = BUF_EMPTY;
			for (const char *c = phrases[i][0]; *c; c++) {
				add_code(&text, *c == ' ' ? blanks[k] : (uint32_t)(unsigned char)*c);
				if (*c == ' ')
					add_code(&text, blanks[k]);
			}
			phrase_is_stopped(&text, phrases[i][1], "blank", blanks[k]);
			buf_free(&text);
		}
	}
}
END_TEST

/* First letters of alphabets that Unicode has a second time. */
static const uint32_t alphabets[] = {0xFF41,  0xFF21,  0x24D0,  0x24B6,  0x1D400, 0x1D41A, 0x1D434, 0x1D468, 0x1D482,
                                     0x1D4D0, 0x1D4EA, 0x1D56C, 0x1D586, 0x1D5A0, 0x1D5BA, 0x1D5D4, 0x1D5EE, 0x1D608,
                                     0x1D622, 0x1D63C, 0x1D656, 0x1D670, 0x1D68A, 0x1F130, 0x1F150, 0x1F170, 0x1F1E6};

START_TEST(second_alphabets_are_read)
{
	for (size_t i = 0; i < PHRASES; i++) {
		for (size_t k = 0; k < sizeof(alphabets) / sizeof(alphabets[0]); k++) {
			struct buf text = BUF_EMPTY;
			for (const char *c = phrases[i][0]; *c; c++)
				add_code(&text, *c == ' ' ? ' ' : alphabets[k] + (uint32_t)(*c - 'a'));
			phrase_is_stopped(&text, phrases[i][1], "alphabet", alphabets[k]);
			buf_free(&text);
		}
	}
}
END_TEST

static const char *const separators[] = {" ",   ".",  "-", "_",  "*",   "·",       "/",      "\\",
                                         "|",   "~",  "+", ", ", " - ", "\n",      "—",      "…",
                                         "' '", "\t", "=", ":",  "#",   "\u200b ", "\u00a0", "\u3000"};

static void space_letters(struct buf *text, const char *phrase, const char *separator, const char *gap)
{
	for (const char *c = phrase; *c; c++) {
		if (*c == ' ') {
			buf_text(text, gap);
			continue;
		}
		buf_char(text, *c);
		if (c[1] != ' ' && c[1] != '\0')
			buf_text(text, separator);
	}
}

START_TEST(letter_spaced_words_are_closed_up)
{
	for (size_t i = 0; i < PHRASES; i++) {
		for (size_t k = 0; k < sizeof(separators) / sizeof(separators[0]); k++) {
			struct buf text = BUF_EMPTY;
			space_letters(&text, phrases[i][0], separators[k], "    ");
			phrase_is_stopped(&text, phrases[i][1], "separator", k);
			buf_free(&text);
		}
	}
}
END_TEST

START_TEST(letter_spaced_words_are_closed_up_in_any_script_and_among_invisible_characters)
{
	static const char *const forms[] = {"ｄ ｅ ｌ ｅ ｔ ｅ   ａ ｌ ｌ",
	                                    "𝐝.𝐞.𝐥.𝐞.𝐭.𝐞 𝐚.𝐥.𝐥",
	                                    "ԁ-е-ӏ-е-t-е   а-ӏ-ӏ",
	                                    "D_Ε_L_Ε_Τ_Ε Α_L_L",
	                                    "d\u200b e\u200b l\u200b e\u200b t\u200b e   a\u200b l\u200b l",
	                                    "d\u2060.\u2060e.l.e.t.e all",
	                                    "ᴅ ᴇ ʟ ᴇ ᴛ ᴇ   ᴀ ʟ ʟ",
	                                    "d\u0332 e\u0332 l\u0332 e\u0332 t\u0332 e\u0332   a l l"};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct buf text = BUF_EMPTY;
		buf_text(&text, forms[i]);
		phrase_is_stopped(&text, "bulk-destruction", "form", i);
		buf_free(&text);
	}
}
END_TEST

/* A phrase of at most 300 characters is whole in some window, wherever it stands. */
START_TEST(no_place_in_a_long_text_hides_a_phrase)
{
	for (size_t place = 0; place < 1300; place += 7) {
		for (unsigned other = 0; other < 2; other++) {
			struct buf text = BUF_EMPTY;
			for (size_t i = 0; i < place; i++)
				buf_text(&text, i % 5 == 4 ? " " : other ? "ж" : "q");
			buf_text(&text, " drop ");
			for (size_t i = 0; i < 290; i++)
				buf_text(&text, i % 9 == 8 ? " " : other ? "ж" : "q");
			buf_text(&text, " all ");
			for (size_t i = 0; i < 700; i++)
				buf_text(&text, i % 5 == 4 ? " " : other ? "ж" : "q");
			phrase_is_stopped(&text, "bulk-destruction", "place", place);
			buf_free(&text);
		}
	}
}
END_TEST

START_TEST(an_offence_at_the_end_of_a_long_goal_is_found)
{
	struct buf text = BUF_EMPTY;

	for (size_t i = 0; i < 10000; i++)
		buf_char(&text, i % 6 == 5 ? ' ' : 'q');
	buf_text(&text, " wipe everything");
	phrase_is_stopped(&text, "bulk-destruction", "end", 0);
	buf_free(&text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy corpus");
	TCase *tc = tcase_create("promises");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, every_evasion_of_the_corpus_is_stopped_by_its_rule);
	tcase_add_test(tc, every_honest_text_of_the_corpus_passes);
	tcase_add_test(tc, licences_of_the_system_pass_as_context);
	tcase_add_test(tc, invisible_characters_hide_no_word);
	tcase_add_test(tc, every_white_space_is_a_space);
	tcase_add_test(tc, second_alphabets_are_read);
	tcase_add_test(tc, letter_spaced_words_are_closed_up);
	tcase_add_test(tc, letter_spaced_words_are_closed_up_in_any_script_and_among_invisible_characters);
	tcase_add_test(tc, no_place_in_a_long_text_hides_a_phrase);
	tcase_add_test(tc, an_offence_at_the_end_of_a_long_goal_is_found);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
