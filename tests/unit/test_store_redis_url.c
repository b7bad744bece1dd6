/*
 * test_store_redis_url - REDIS_URL is taken as it is meant, or refused with a
 * line that says what is wrong and shows no secret
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/store/redis_tls.h"
#include "../../src/store/redis_url.h"

static struct redis_url parsed(const char *text)
{
	struct redis_url url;
	struct fault fault = {""};
	int result = redis_url_parse(text, &url, &fault);

	ck_assert_msg(result == 0, "%s: %s", text, fault.text);
	ck_assert_str_eq(fault.text, "");
	return url;
}

/* ---- what is taken ---- */

static const struct good {
	const char *text, *shown, *user, *password;
} good[] = {
        {"redis://localhost", "redis://localhost:6379/0", "", ""},
        {"redis://localhost/", "redis://localhost:6379/0", "", ""},
        {"redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3", "", ""},
        {"redis://a-b_c.d:1/65535", "redis://a-b_c.d:1/65535", "", ""},
        {"redis://h:65535", "redis://h:65535/0", "", ""},
        {"redis://[::1]", "redis://[::1]:6379/0", "", ""},
        {"redis://[fe80::1:2]:7000/1", "redis://[fe80::1:2]:7000/1", "", ""},
        {"redis://:pw@h", "redis://h:6379/0", "", "pw"},
        {"redis://me:pw@h:1/2", "redis://h:1/2", "me", "pw"},
        {"redis://me:a:b!$&'()*+,;=~[]@[::1]:1", "redis://[::1]:1/0", "me", "a:b!$&'()*+,;=~[]"},
        {"redis://m%40e:%2F%3f%23%40%25%20%C3%A9@h", "redis://h:6379/0", "m@e", "/?#@% \xc3\xa9"},
        {"unix:///run/redis.sock", "unix:/run/redis.sock db 0", "", ""},
        {"unix:///run/redis.sock?db=3", "unix:/run/redis.sock db 3", "", ""},
        {"unix://:pw@/run/redis.sock?db=3", "unix:/run/redis.sock db 3", "", "pw"},
        {"unix://me:pw@/r@n/a%20b%3f", "unix:/r@n/a b? db 0", "me", "pw"},
        {"unix:///r@n/x", "unix:/r@n/x db 0", "", ""},
        {"redis+sentinel://a/main", "sentinel main at a:26379", "", ""},
        {"redis+sentinel://a:1,b,[::1]:3/my.main_1/4", "sentinel my.main_1 at a:1,b:26379,[::1]:3 db 4", "", ""},
        {"redis+sentinel://me:p,w@a,b/main/0", "sentinel main at a:26379,b:26379", "me", "p,w"},
};

START_TEST(a_url_says_where_and_who)
{
	const struct good *g = &good[_i];
	struct redis_url url = parsed(g->text);
	char shown[512];

	redis_url_show(&url, shown, sizeof(shown));
	ck_assert_str_eq(shown, g->shown);
	ck_assert_str_eq(url.user, g->user);
	ck_assert_str_eq(url.password, g->password);
	ck_assert(!url.tls);
}
END_TEST

START_TEST(each_kind_fills_its_own_members)
{
	struct redis_url tcp = parsed("redis://host:7000/3"), file = parsed("unix:///run/s?db=2");
	struct redis_url sentinel = parsed("redis+sentinel://a:1,b:2/main/5");

	ck_assert_int_eq(tcp.kind, REDIS_TCP);
	ck_assert_uint_eq(tcp.host_count, 1);
	ck_assert_str_eq(tcp.hosts[0].name, "host");
	ck_assert_int_eq(tcp.hosts[0].port, 7000);
	ck_assert_int_eq(tcp.db, 3);
	ck_assert_int_eq(file.kind, REDIS_UNIX);
	ck_assert_uint_eq(file.host_count, 0);
	ck_assert_str_eq(file.path, "/run/s");
	ck_assert_int_eq(file.db, 2);
	ck_assert_int_eq(sentinel.kind, REDIS_SENTINEL);
	ck_assert_uint_eq(sentinel.host_count, 2);
	ck_assert_str_eq(sentinel.hosts[1].name, "b");
	ck_assert_int_eq(sentinel.hosts[1].port, 2);
	ck_assert_str_eq(sentinel.service, "main");
	ck_assert_int_eq(sentinel.db, 5);
}
END_TEST

/* ---- what is refused ---- */

/* SECRET stands where a password was, or may have been, meant. */
static const struct bad {
	const char *text, *says;
} bad[] = {
        {"", "does not begin with"},
        {"SECRET", "does not begin with"},
        {"http://h", "does not begin with"},
        {"REDIS://h", "does not begin with"},
        {"redis:/h", "does not begin with"},
        {" redis://h", "does not begin with"},
        {"rediss+sentinel://h/m", "does not begin with"},
        {"redis://", "there is no host"},
        {"redis:///3", "there is no host"},
        {"redis://:7000", "there is no host"},
        {"redis://h ", "must be percent-encoded"},
        {"redis://:SEC RET@h", "must be percent-encoded"},
        {"redis://:SECRET\xc3\xa9@h", "must be percent-encoded"},
        {"redis://h\n", "must be percent-encoded"},
        {"redis://h:99999", "port 99999 is not 1..65535"},
        {"redis://h:0", "port 0 is not 1..65535"},
        {"redis://h:", "the port is not a number"},
        {"redis://h:+1", "the port is not a number"},
        {"redis://h:1234567", "the port is not a number"},
        {"redis://user:SECRET", "the port is not a number"},
        {"redis://h:1:2", "the port is not a number"},
        {"redis://::1", "there is no host"},
        {"redis://[::1", "not closed"},
        {"redis://[::1]7", "not closed"},
        {"redis://[localhost]", "not an IPv6 address"},
        {"redis://[]", "there is no host"},
        {"redis://[::1%25eth0]", "not an IPv6 address"},
        {"redis://a,b", "not a name or address"},
        {"redis://-h", "not a name or address"},
        {"redis://h%41", "not a name or address"},
        {"redis://h/65536", "database 65536 is not 0..65535"},
        {"redis://h/-1", "the database is not a number"},
        {"redis://h/1/", "the database is not a number"},
        {"redis://h/x", "the database is not a number"},
        {"redis://h/0?db=1", "a ? or #"},
        {"redis://h?SECRET", "a ? or #"},
        {"redis://h#x", "a ? or #"},
        {"redis://me@h", "no : and password"},
        {"redis://@h", "no : and password"},
        {"redis://:@h", "the password is empty"},
        {"redis://me:@h", "the password is empty"},
        {"redis://:SEC/RET@h", "are written %2F"},
        {"redis://:SEC?RET@h", "are written %2F"},
        {"redis://:SEC#RET@h", "are written %2F"},
        {"redis://:SEC@RET@h", "are written %2F"},
        {"redis://:SECRET%@h", "password a % is not followed"},
        {"redis://:SECRET%4@h", "password a % is not followed"},
        {"redis://:SECRET%zz@h", "password a % is not followed"},
        {"redis://me%:SECRET@h", "user a % is not followed"},
        {"redis://:SECRET%00@h", "holds a %00"},
        {"unix://relative", "not followed by an absolute path"},
        {"unix://relative/x", "not followed by an absolute path"},
        {"unix://", "not followed by an absolute path"},
        {"unix:///", "not followed by an absolute path"},
        {"unix:/x", "does not begin with"},
        {"unix://me:SECRET@relative", "not followed by an absolute path"},
        {"unix://:SEC/RET@/run/x", "are written %2F"},
        {"unix://:SEC@RET@/run/x", "are written %2F"},
        {"unix:///run/x?", "only ?db="},
        {"unix:///run/x?db", "only ?db="},
        {"unix:///run/x?password=SECRET", "only ?db="},
        {"unix:///run/x?db=", "the database is not a number"},
        {"unix:///run/x?db=1&a=b", "the database is not a number"},
        {"unix:///run/x?db=1?", "the database is not a number"},
        {"unix:///run/x#y", "a ? or #"},
        {"unix:///run/%00x", "holds a %00"},
        {"redis+sentinel://h", "not followed by /name"},
        {"redis+sentinel://h/", "not followed by /name"},
        {"redis+sentinel://h//0", "not followed by /name"},
        {"redis+sentinel://h,/m", "there is no host"},
        {"redis+sentinel://,h/m", "there is no host"},
        {"redis+sentinel:///m", "there is no host"},
        {"redis+sentinel://h/m m", "must be percent-encoded"},
        {"redis+sentinel://h/m%20m", "behind the Sentinels is not of"},
        {"redis+sentinel://h/m/x", "the database is not a number"},
        {"redis+sentinel://h/m/0/", "the database is not a number"},
        {"redis+sentinel://h:0/m", "port 0 is not"},
        {"redis+sentinel://a:SECRET/m", "the port is not a number"},
        {"redis+sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/m", "more than 16 Sentinels"},
};

static void check_refused(const char *text, const char *says)
{
	static const struct redis_url wiped;
	struct redis_url url;
	struct fault fault = {""};

	memset(&url, 0xff, sizeof(url));
	ck_assert_msg(redis_url_parse(text, &url, &fault) == -1, "%s is taken", text);
	ck_assert_msg(strncmp(fault.text, "REDIS_URL: ", 11) == 0, "%s", fault.text);
	ck_assert_msg(strstr(fault.text, says) != NULL, "%s: %s", text, fault.text);
	ck_assert_msg(!strstr(fault.text, "SEC") && !strstr(fault.text, "RET"), "%s", fault.text);
	ck_assert_msg(memcmp(&url, &wiped, sizeof(url)) == 0, "%s leaves something behind", text);
}

START_TEST(a_wrong_url_is_refused_with_what_is_wrong_and_no_secret)
{
	check_refused(bad[_i].text, bad[_i].says);
}
END_TEST

START_TEST(a_refusal_needs_no_fault)
{
	struct redis_url url;

	ck_assert_int_eq(redis_url_parse("redis://h:0", &url, NULL), -1);
}
END_TEST

/* ---- lengths ---- */

/* before, n times 'a', after; the caller frees it. */
static char *stretched(const char *before, size_t n, const char *after)
{
	size_t size = strlen(before) + n + strlen(after) + 1;
	char *text = malloc(size);

	ck_assert_ptr_nonnull(text);
	strcpy(text, before);
	memset(text + strlen(before), 'a', n);
	strcpy(text + strlen(before) + n, after);
	return text;
}

static const struct part {
	const char *before, *after, *says;
	size_t max;
} parts[] = {
        {"redis://", "", "host is longer than 255", 255},
        {"redis://", ":b@h", "user is longer than 255", 255},
        {"redis://:", "@h", "password is longer than 1023", 1023},
        {"unix:///", "", "path is longer than 107", 106},
        {"redis+sentinel://h/", "", "name is longer than 127", 127},
        {"redis+sentinel://h,", "/m", "host is longer than 255", 255},
};

START_TEST(each_part_has_a_longest)
{
	const struct part *p = &parts[_i];
	char *fits = stretched(p->before, p->max, p->after), *too_long = stretched(p->before, p->max + 1, p->after);

	parsed(fits);
	check_refused(too_long, p->says);
	free(fits);
	free(too_long);
}
END_TEST

START_TEST(what_is_shown_is_cut_to_fit)
{
	char *text = stretched("redis+sentinel://", 255, ",b/main");
	struct redis_url url = parsed(text);
	char shown[24];

	memset(shown, 'x', sizeof(shown));
	redis_url_show(&url, shown, sizeof(shown) - 1);
	ck_assert_str_eq(shown, "sentinel main at aaaaa");
	ck_assert_int_eq(shown[sizeof(shown) - 1], 'x');
	redis_url_show(&url, shown, 1);
	ck_assert_str_eq(shown, "");
	redis_url_show(&url, shown, 0);
	free(text);
}
END_TEST

/* ---- TLS ---- */

START_TEST(tls_is_taken_where_hiredis_has_it_and_refused_by_name_elsewhere)
{
	if (redis_tls_built_in()) {
		struct redis_url url = parsed("rediss://:pw@h:1/2");
		char shown[64];

		redis_url_show(&url, shown, sizeof(shown));
		ck_assert(url.tls);
		ck_assert_str_eq(shown, "rediss://h:1/2");
	} else {
		check_refused("rediss://:SECRET@h", "hiredis here has no TLS: put stunnel in front");
		ck_assert_ptr_null(redis_tls_new());
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_redis_url");
	TCase *tc = tcase_create("redis_url");

	tcase_add_loop_test(tc, a_url_says_where_and_who, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_test(tc, each_kind_fills_its_own_members);
	tcase_add_loop_test(tc, a_wrong_url_is_refused_with_what_is_wrong_and_no_secret, 0,
	                    (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tc, a_refusal_needs_no_fault);
	tcase_add_loop_test(tc, each_part_has_a_longest, 0, (int)(sizeof(parts) / sizeof(parts[0])));
	tcase_add_test(tc, what_is_shown_is_cut_to_fit);
	tcase_add_test(tc, tls_is_taken_where_hiredis_has_it_and_refused_by_name_elsewhere);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
