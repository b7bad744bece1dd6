/* test_jdoc.c - the strict JSON reader: what it takes, what it refuses, where it says so */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>

#include "simlane/jdoc.h"

static enum jdoc_error parse(const char *text, struct jdoc_where *where)
{
	struct jdoc d = JDOC_EMPTY;
	enum jdoc_error e = jdoc_parse(&d, span_of(text), where);
	jdoc_free(&d);
	return e;
}

static const struct {
	const char *text;
	enum jdoc_error error;
	unsigned line, column;
} refused[] = {
        {"", JDOC_SYNTAX, 1, 1},
        {"  ", JDOC_SYNTAX, 1, 3},
        {"1 ", JDOC_NOT_CONTAINER, 1, 3},
        {"\"a\"", JDOC_NOT_CONTAINER, 1, 4},
        {"{", JDOC_SYNTAX, 1, 2},
        {"[1", JDOC_SYNTAX, 1, 3},
        {"[1,]", JDOC_SYNTAX, 1, 4},
        {"{\"a\":1,}", JDOC_SYNTAX, 1, 8},
        {"{\n \"a\": tru}", JDOC_SYNTAX, 2, 7},
        {"[01]", JDOC_SYNTAX, 1, 3},
        {"[1.]", JDOC_SYNTAX, 1, 4},
        {"[.5]", JDOC_SYNTAX, 1, 2},
        {"[+1]", JDOC_SYNTAX, 1, 2},
        {"[1e]", JDOC_SYNTAX, 1, 4},
        {"[-]", JDOC_SYNTAX, 1, 3},
        {"[NaN]", JDOC_SYNTAX, 1, 2},
        {"[1] x", JDOC_SYNTAX, 1, 5},
        {"['a']", JDOC_SYNTAX, 1, 2},
        {"[\"a\nb\"]", JDOC_SYNTAX, 1, 4},
        {"[\"\\x\"]", JDOC_SYNTAX, 1, 4},
        {"[\"\\u12\"]", JDOC_SYNTAX, 1, 5},
        {"[\"\\u0000\"]", JDOC_NUL, 1, 5},
        {"{\"a\\u0000\":1}", JDOC_NUL, 1, 6},
        {"[\"\\ud800\"]", JDOC_BAD_UTF8, 1, 9},
        {"[\"\\udc00\\ud800\"]", JDOC_BAD_UTF8, 1, 9},
        {"[\"\xc0\x80\"]", JDOC_BAD_UTF8, 1, 3},
        {"[\"\xed\xa0\x80\"]", JDOC_BAD_UTF8, 1, 3},
        {"[\"\xf4\x90\x80\x80\"]", JDOC_BAD_UTF8, 1, 3},
        {"[\"\xe2\x82\"]", JDOC_BAD_UTF8, 1, 3},
        {"\xef\xbb\xbf{}", JDOC_SYNTAX, 1, 1},
        {"{\"a\":1,\"a\":2}", JDOC_DUPLICATE, 1, 8},
        {"{\"a\":1,\"\\u0061\":2}", JDOC_DUPLICATE, 1, 8},
        {"[9223372036854775808]", JDOC_NUMBER_RANGE, 1, 2},
        {"[-9223372036854775809]", JDOC_NUMBER_RANGE, 1, 2},
        {"[1e999]", JDOC_NUMBER_RANGE, 1, 2},
        {"[-1e999]", JDOC_NUMBER_RANGE, 1, 2},
        {"[99999999999999999999999999]", JDOC_NUMBER_RANGE, 1, 2},
};

START_TEST(what_is_not_strict_json_is_refused_with_its_place)
{
	struct jdoc_where where;
	ck_assert_int_eq(parse(refused[_i].text, &where), refused[_i].error);
	ck_assert_uint_eq(where.line, refused[_i].line);
	ck_assert_uint_eq(where.column, refused[_i].column);
}
END_TEST

START_TEST(a_nul_byte_is_refused_wherever_it_stands)
{
	struct jdoc d = JDOC_EMPTY;
	const char text[] = "{\"a\":\"x?y\"}";
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char copy[sizeof(text)];
		memcpy(copy, text, sizeof(text));
		copy[i] = '\0';
		ck_assert_int_ne(jdoc_parse(&d, (struct span){copy, sizeof(text) - 1}, NULL), JDOC_OK);
	}
	jdoc_free(&d);
}
END_TEST

START_TEST(depth_32_is_read_and_33_refused)
{
	char text[80] = {0};
	struct jdoc_where where;
	memset(text, '[', 32);
	memset(text + 32, ']', 32);
	ck_assert_int_eq(parse(text, NULL), JDOC_OK);
	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	ck_assert_int_eq(parse(text, &where), JDOC_TOO_DEEP);
	ck_assert_uint_eq(where.column, 33);
}
END_TEST

START_TEST(values_and_members_are_found)
{
	struct jdoc d = JDOC_EMPTY;
	const char *text =
	        " { \"s\" : \"a\\n\\u00e9\\ud83d\\ude00\\/\" , \"i\":-12, \"r\":1.5e2, \"a\":[1,[2],{}], \"t\":true, "
	        "\"f\":false, \"n\":null, \"o\":{\"x\":{\"y\":\"z\"}} } ";
	ck_assert_int_eq(jdoc_parse(&d, span_of(text), NULL), JDOC_OK);
	ck_assert(span_is(jdoc_str(&d, jdoc_get(&d, 0, "s")), "a\n\xc3\xa9\xf0\x9f\x98\x80/"));
	ck_assert_int_eq(d.nodes[jdoc_get(&d, 0, "i")].integer, -12);
	ck_assert_double_eq(d.nodes[jdoc_get(&d, 0, "r")].real, 150.0);
	ck_assert_uint_eq(d.nodes[jdoc_get(&d, 0, "a")].count, 3);
	ck_assert_uint_eq(d.nodes[0].count, 8);
	ck_assert_uint_eq(d.nodes[0].next, d.count);
	uint32_t y = jdoc_get(&d, jdoc_get(&d, jdoc_get(&d, 0, "o"), "x"), "y");
	ck_assert(span_is(jdoc_str(&d, y), "z"));
	ck_assert_uint_eq(jdoc_get(&d, 0, "zz"), JDOC_NONE);
	ck_assert_uint_eq(jdoc_get(&d, JDOC_NONE, "s"), JDOC_NONE);
	ck_assert_int_eq(jdoc_type(&d, JDOC_NONE), JDOC_NULL);
	jdoc_free(&d);
}
END_TEST

START_TEST(truthiness_is_as_the_policy_needs_it)
{
	struct jdoc d = JDOC_EMPTY;
	const char *text = "[false,null,0,0.0,-0.0,\"\",[],{}, true,1,-1,0.1,\"0\",[0],{\"a\":0}]";
	ck_assert_int_eq(jdoc_parse(&d, span_of(text), NULL), JDOC_OK);
	unsigned k = 0;
	for (uint32_t i = 1; i < d.count; i = d.nodes[i].next, k++)
		ck_assert_int_eq(jdoc_truthy(&d, i), k >= 8);
	ck_assert(!jdoc_truthy(&d, JDOC_NONE));
	jdoc_free(&d);
}
END_TEST

START_TEST(compact_drops_white_space_outside_strings_only)
{
	struct jdoc d = JDOC_EMPTY;
	struct buf out = BUF_EMPTY;
	const char *text = "{ \"a b\" :\t[ 1 , \"x \\\" y\\\\\" ,\n{ } ] }";
	ck_assert_int_eq(jdoc_parse(&d, span_of(text), NULL), JDOC_OK);
	jdoc_compact(&d, 0, &out);
	ck_assert(span_is((struct span){out.ptr, out.len}, "{\"a b\":[1,\"x \\\" y\\\\\",{}]}"));
	buf_free(&out);
	jdoc_free(&d);
}
END_TEST

START_TEST(a_large_object_finds_its_duplicate_and_stays_fast)
{
	struct buf b = BUF_EMPTY;
	struct jdoc d = JDOC_EMPTY;
	struct jdoc_where where;
	buf_char(&b, '{');
	for (int i = 0; i < 50000; i++)
		buf_printf(&b, "\"k%d\":%d,", i, i);
	size_t before = b.len;
	buf_text(&b, "\"z\":0}");
	ck_assert_int_eq(jdoc_parse(&d, (struct span){b.ptr, b.len}, NULL), JDOC_OK);
	ck_assert_int_eq(d.nodes[jdoc_get(&d, 0, "k49999")].integer, 49999);
	b.len = before;
	buf_text(&b, "\"k7\":0}");
	ck_assert_int_eq(jdoc_parse(&d, (struct span){b.ptr, b.len}, &where), JDOC_DUPLICATE);
	ck_assert_uint_eq(where.column, before + 1);
	buf_free(&b);
	jdoc_free(&d);
}
END_TEST

START_TEST(a_document_is_read_again_into_the_same_memory)
{
	struct jdoc d = JDOC_EMPTY;
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(jdoc_parse(&d, span_of("{\"a\":[\"\\u0041\",2]}"), NULL), JDOC_OK);
	ck_assert_uint_eq(d.count, 5);
	jdoc_free(&d);
}
END_TEST

START_TEST(what_is_read_here_jansson_reads_the_same)
{
	static const char *const texts[] = {"{\"a\":1,\"b\":[true,null,\"\\u20ac\\\"\"],\"c\":{\"d\":-0.5e-3}}",
	                                    "[[],{},\"\",0,-1,9223372036854775807,-9223372036854775808]"};
	for (size_t i = 0; i < 2; i++) {
		struct jdoc d = JDOC_EMPTY;
		struct buf out = BUF_EMPTY;
		ck_assert_int_eq(jdoc_parse(&d, span_of(texts[i]), NULL), JDOC_OK);
		jdoc_compact(&d, 0, &out);
		json_t *tree = json_loadb(out.ptr, out.len, JSON_REJECT_DUPLICATES, NULL);
		json_t *same = json_loads(texts[i], 0, NULL);
		ck_assert_ptr_nonnull(tree);
		ck_assert(json_equal(tree, same));
		json_decref(tree);
		json_decref(same);
		buf_free(&out);
		jdoc_free(&d);
	}
}
END_TEST

START_TEST(pointers_are_escaped_as_rfc_6901_says)
{
	struct buf out = BUF_EMPTY;
	jdoc_pointer_add(&out, span_of("a/b~c"));
	ck_assert(span_is((struct span){out.ptr, out.len}, "/a~1b~0c"));
	buf_free(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jdoc");
	TCase *t = tcase_create("jdoc");
	suite_add_tcase(s, t);
	tcase_add_loop_test(t, what_is_not_strict_json_is_refused_with_its_place, 0,
	                    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(t, a_nul_byte_is_refused_wherever_it_stands);
	tcase_add_test(t, depth_32_is_read_and_33_refused);
	tcase_add_test(t, values_and_members_are_found);
	tcase_add_test(t, truthiness_is_as_the_policy_needs_it);
	tcase_add_test(t, compact_drops_white_space_outside_strings_only);
	tcase_add_test(t, a_large_object_finds_its_duplicate_and_stays_fast);
	tcase_add_test(t, a_document_is_read_again_into_the_same_memory);
	tcase_add_test(t, what_is_read_here_jansson_reads_the_same);
	tcase_add_test(t, pointers_are_escaped_as_rfc_6901_says);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
