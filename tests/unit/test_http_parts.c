/* test_http_parts.c - the parts of the HTTP layer that need no connection: Prefer, routes, metrics */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/http/internal.h"

/* ---- Prefer: wait (RFC 7240) ---- */

static const struct {
	const char *value;
	int64_t wait;
} prefers[] = {
        {"", -1},
        {"wait=0", 0},
        {"wait=10", 10},
        {"WAIT=10", 10},
        {"  wait=10  ", 10},
        {"wait = 10", 10},
        {"wait\t=\t10", 10},
        {"wait=\"10\"", 10},
        {"wait=010", 10},
        {"respond-async, wait=10", 10},
        {"respond-async,wait=10", 10},
        {"wait=10, respond-async", 10},
        {"wait=10; foo=bar", 10},
        {"wait=10;foo", 10},
        {"wait=5, wait=9", 5},
        {"wait=999999999999999999999999", 10000000},
        {"return=minimal; foo=\"some parameter\", wait=3", 3},
        {",,wait=4", 4},
        {"foo=\"a, wait=5\"", -1},
        {"foo=\"a, wait=5, b\"", -1},
        {"foo=\"a\\\", wait=5\", wait=6", 6},
        {"wait", -1},
        {"wait=", -1},
        {"wait=\"\"", -1},
        {"wait=\"10", -1},
        {"wait=10\"", -1},
        {"wait=-1", -1},
        {"wait=+1", -1},
        {"wait=1.5", -1},
        {"wait=ten", -1},
        {"wait=10s", -1},
        {"wait=10 20", -1},
        {"await=10", -1},
        {"waits=10", -1},
        {"wait:10", -1},
        {"foo=wait=10", -1},
        {"foo; wait=10", -1},
};

START_TEST(a_wait_is_read_from_prefer)
{
	int64_t got = head_prefer_wait(span_of(prefers[_i].value));
	if (prefers[_i].wait >= 10000000) /* any number beyond the maximum will do */
		ck_assert_int_gt(got, SERVICE_MAX_WAIT_S);
	else
		ck_assert_msg(got == prefers[_i].wait, "%s: %lld", prefers[_i].value, (long long)got);
}
END_TEST

START_TEST(nothing_behind_the_span_is_read)
{
	/* exactly as long as allocated, so that a sanitizer sees a byte too many */
	for (size_t i = 0; i < sizeof(prefers) / sizeof(prefers[0]); i++) {
		for (size_t len = 1; len <= strlen(prefers[i].value); len++) {
			char *copy = malloc(len);
			ck_assert_ptr_nonnull(copy);
			memcpy(copy, prefers[i].value, len);
			(void)head_prefer_wait((struct span){copy, len});
			free(copy);
		}
	}
}
END_TEST

/* ---- routes ---- */

static struct http http;
static const struct route *found;
static struct span segment;
static const char *allow;

static enum problem find(bool admin, const char *method, const char *path)
{
	segment = (struct span){NULL, 0};
	return route_find(&http, admin, method, path, &found, &segment, &allow);
}

START_TEST(each_route_is_found_by_its_method_and_path)
{
	http.main.is_private = true;
	for (unsigned i = 0; i < route_count; i++) {
		bool has_segment = strchr(routes[i].path, '{') != NULL;
		ck_assert_int_eq(find(false, routes[i].method, has_segment ? "/jobs/JOB-1" : routes[i].path),
		                 PROBLEM_NONE);
		ck_assert_ptr_eq(found, &routes[i]);
		ck_assert_int_eq(has_segment, span_is(segment, "JOB-1") && segment.ptr);
		ck_assert(routes[i].start != NULL);
		ck_assert(routes[i].finish != NULL);
	}
}
END_TEST

START_TEST(head_works_where_get_does)
{
	ck_assert_int_eq(find(false, "HEAD", "/health"), PROBLEM_NONE);
	ck_assert_str_eq(found->path, "/health");
	ck_assert_int_eq(find(false, "HEAD", "/jobs/x"), PROBLEM_NONE);
	ck_assert_int_eq(find(false, "HEAD", "/schedule"), PROBLEM_METHOD_NOT_ALLOWED);
}
END_TEST

START_TEST(another_method_is_told_what_is_allowed)
{
	static const char *const methods[] = {"PUT", "DELETE", "OPTIONS", "get", "post", "TRACE", "PATCH", ""};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		ck_assert_int_eq(find(false, methods[i], "/collect"), PROBLEM_METHOD_NOT_ALLOWED);
		ck_assert_str_eq(allow, "POST");
		ck_assert_ptr_null(found);
		ck_assert_int_eq(find(false, methods[i], "/health"), PROBLEM_METHOD_NOT_ALLOWED);
		ck_assert_str_eq(allow, "GET, HEAD");
	}
}
END_TEST

START_TEST(any_other_path_is_not_found)
{
	static const char *const paths[] = {
	        "",          "/",         "//schedule",  "/schedule/", "/Schedule",     "/schedule?x",
	        "/jobs",     "/jobs/",    "/jobs/a/b",   "/jobs/a/",   "/job/a",        "/healthz",
	        "/%68ealth", "/./health", "/health\xff", "/jobs//",    "/openapi.json/"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		ck_assert_msg(find(false, "GET", paths[i]) == PROBLEM_NOT_FOUND, "%s", paths[i]);
		ck_assert_ptr_null(found);
	}
}
END_TEST

START_TEST(metrics_are_for_private_listeners_and_the_admins)
{
	http.main.is_private = false;
	ck_assert_int_eq(find(false, "GET", "/metrics"), PROBLEM_NOT_FOUND);
	ck_assert_int_eq(find(true, "GET", "/metrics"), PROBLEM_NONE);
	http.main.is_private = true;
	ck_assert_int_eq(find(false, "GET", "/metrics"), PROBLEM_NONE);
	http.options.admin_listen = "127.0.0.1:0";
	ck_assert_int_eq(find(false, "GET", "/metrics"), PROBLEM_NOT_FOUND);
	ck_assert_int_eq(find(true, "GET", "/metrics"), PROBLEM_NONE);
	ck_assert_int_eq(find(true, "POST", "/schedule"), PROBLEM_NOT_FOUND);
	ck_assert_int_eq(find(true, "GET", "/jobs/x"), PROBLEM_NOT_FOUND);
}
END_TEST

START_TEST(every_route_that_takes_work_needs_a_scope)
{
	for (unsigned i = 0; i < route_count; i++) {
		bool works = (routes[i].flags & (ROUTE_BODY | ROUTE_WAITS)) && !(routes[i].flags & ROUTE_PROBE);
		ck_assert_int_eq(works, (routes[i].scopes_all | routes[i].scopes_any) != 0);
		if (routes[i].flags & ROUTE_BODY)
			ck_assert_str_eq(routes[i].method, "POST");
	}
}
END_TEST

START_TEST(the_printed_routes_are_the_table)
{
	char *text = NULL;
	size_t len = 0, lines = 0;
	FILE *f = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(f);
	http_print_routes(f);
	ck_assert_int_eq(fclose(f), 0);
	for (const char *at = text; *at; at++)
		lines += *at == '\n';
	ck_assert_uint_eq(lines, route_count);
	ck_assert_ptr_nonnull(strstr(text, "POST /schedule\n"));
	ck_assert_ptr_nonnull(strstr(text, "GET /jobs/{job_id}\n"));
	free(text);
}
END_TEST

/* ---- problems and metrics ---- */

START_TEST(every_problem_has_its_row)
{
	for (int p = 1; p < PROBLEMS; p++) {
		ck_assert_ptr_nonnull(problem_rows[p].code);
		ck_assert_ptr_nonnull(problem_rows[p].title);
		ck_assert(problem_rows[p].status >= 400 && problem_rows[p].status <= 599);
		/* 429 and 503 say when to come again */
		if (problem_rows[p].status == 429 || problem_rows[p].status == 503)
			ck_assert_int_gt(problem_rows[p].retry_after_s, 0);
		for (int q = 1; q < p; q++)
			ck_assert_str_ne(problem_rows[p].code, problem_rows[q].code);
	}
}
END_TEST

START_TEST(every_answer_is_counted_somewhere)
{
	static struct metrics m;
	unsigned long long sum = 0, timed = 0;
	static const int64_t times[] = {0, 50, 51, 1000, 29999999, 30000001, INT64_C(1) << 50};
	for (int status = 100; status < 600; status++)
		metrics_count(&m, (unsigned)status % (ROUTES_MAX + 1), status, times[status % 7]);
	for (unsigned i = 0; i <= ROUTES_MAX; i++) {
		for (unsigned k = 0; k < STATUS_SLOTS; k++)
			sum += atomic_load(&m.requests[i][k]);
		for (unsigned k = 0; k <= LATENCY_BUCKETS; k++)
			timed += atomic_load(&m.latency[i][k]);
	}
	ck_assert_uint_eq(sum, 500);
	ck_assert_uint_eq(timed, 500);
	/* an unknown status is "other", a known one has a slot of its own */
	static struct metrics one;
	metrics_count(&one, 0, 418, 1);
	metrics_count(&one, 0, 202, 1);
	ck_assert_uint_eq(atomic_load(&one.requests[0][STATUS_SLOTS - 1]), 1);
}
END_TEST

START_TEST(every_problems_status_is_counted_by_itself)
{
	for (int p = 1; p < PROBLEMS; p++) {
		static struct metrics m;
		metrics_count(&m, 0, problem_rows[p].status, 1);
		ck_assert_msg(atomic_load(&m.requests[0][STATUS_SLOTS - 1]) == 0, "%d", problem_rows[p].status);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_parts");
	TCase *t = tcase_create("parts");
	suite_add_tcase(s, t);
	tcase_add_loop_test(t, a_wait_is_read_from_prefer, 0, (int)(sizeof(prefers) / sizeof(prefers[0])));
	tcase_add_test(t, nothing_behind_the_span_is_read);
	tcase_add_test(t, each_route_is_found_by_its_method_and_path);
	tcase_add_test(t, head_works_where_get_does);
	tcase_add_test(t, another_method_is_told_what_is_allowed);
	tcase_add_test(t, any_other_path_is_not_found);
	tcase_add_test(t, metrics_are_for_private_listeners_and_the_admins);
	tcase_add_test(t, every_route_that_takes_work_needs_a_scope);
	tcase_add_test(t, the_printed_routes_are_the_table);
	tcase_add_test(t, every_problem_has_its_row);
	tcase_add_test(t, every_answer_is_counted_somewhere);
	tcase_add_test(t, every_problems_status_is_counted_by_itself);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
