/* test_config.c - the settings: defaults, bounds, and a line that names what is wrong */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "simlane/config.h"

#define KEYS "SIM_KEYRING_FILE=k"

static int load(struct config *c, struct fault *fault, const char *setting)
{
	char *const environment[] = {(char *)(uintptr_t) "PATH=/bin", (char *)(uintptr_t)KEYS,
	                             (char *)(uintptr_t)setting, NULL};
	fault->text[0] = '\0';
	return config_load(c, environment, fault);
}

START_TEST(the_defaults_are_the_contracts)
{
	struct config c;
	struct fault fault;
	ck_assert_msg(load(&c, &fault, NULL) == 0, "%s", fault.text);
	ck_assert(c.enabled);
	ck_assert_str_eq(c.listen, "127.0.0.1:8080");
	ck_assert_ptr_null(c.admin_listen);
	ck_assert_int_eq(c.http_threads, 0);
	ck_assert_int_eq(c.max_connections, 4096);
	ck_assert_int_eq(c.max_body_bytes, 262144);
	ck_assert_int_eq(c.request_timeout_ms, 10000);
	ck_assert_str_eq(c.job_store, "memory");
	ck_assert_int_eq(c.job_ttl_ms, 86400000);
	ck_assert_int_eq(c.max_jobs, 1000000);
	ck_assert_int_eq(c.memory_max_bytes, INT64_C(1) << 30);
	ck_assert_ptr_null(c.policy_file);
	ck_assert_str_eq(c.keyring_file, "k");
	ck_assert_ptr_null(c.revoked_file);
	ck_assert_ptr_null(c.audience);
	ck_assert_int_eq(c.clock_skew_s, 30);
	ck_assert_str_eq(c.inbox_dir, "memory/inbox/dreams");
	ck_assert(!c.inbox_redact);
	ck_assert_str_eq(c.log_level, "info");
	ck_assert_str_eq(c.log_format, "text");
	ck_assert_int_eq(c.drain_ms, 10000);
}
END_TEST

/* A wrong setting; the fault must name the part before '='. */
static const char *const wrong[] = {
        "SIMULATION_ENABLED=maybe",
        "SIMULATION_ENABLED=",
        "SIMULATION_ENABLED=2",
        "SIM_LISTEN=8080",
        "SIM_LISTEN=localhost",
        "SIM_LISTEN=:8080",
        "SIM_LISTEN=127.0.0.1:",
        "SIM_LISTEN=127.0.0.1:65536",
        "SIM_LISTEN=127.0.0.1:-1",
        "SIM_LISTEN=127.0.0.1:80x",
        "SIM_LISTEN=::1:8080",
        "SIM_LISTEN=[::1]8080",
        "SIM_LISTEN=[::1:8080",
        "SIM_LISTEN=unix:",
        "SIM_ADMIN_LISTEN=",
        "SIM_HTTP_THREADS=0",
        "SIM_HTTP_THREADS=257",
        "SIM_HTTP_THREADS=two",
        "SIM_MAX_CONNECTIONS=15",
        "SIM_MAX_BODY_BYTES=1023",
        "SIM_MAX_BODY_BYTES=-1",
        "SIM_MAX_BODY_BYTES=1e6",
        "SIM_MAX_BODY_BYTES= 4096",
        "SIM_MAX_BODY_BYTES=4096 ",
        "SIM_MAX_BODY_BYTES=+4096",
        "SIM_MAX_BODY_BYTES=0x4096",
        "SIM_MAX_BODY_BYTES=99999999999999999999999",
        "SIM_REQUEST_TIMEOUT_MS=99",
        "SIM_JOB_STORE=redis7",
        "SIM_JOB_STORE=Memory",
        "SIM_JOB_STORE=mem",
        "SIM_JOB_STORE=failing",
        "SIM_JOB_TTL_MS=999",
        "SIM_MAX_JOBS=0",
        "SIM_MAX_JOBS=1000000001",
        "SIM_MEMORY_MAX_BYTES=1",
        "SIM_CLOCK_SKEW_S=601",
        "SIM_POLICY_FILE=",
        "SIM_TOKEN_AUDIENCE=",
        "DREAM_INBOX_DIR=",
        "DREAM_INBOX_REDACT=ja",
        "DREAM_INBOX_VALIDATE=0",
        "SIM_LOG_LEVEL=INFO",
        "SIM_LOG_LEVEL=inf",
        "SIM_LOG_LEVEL=debug info",
        "SIM_LOG_LEVEL=debug info warn error",
        "SIM_LOG_FORMAT=text json",
        "SIM_LOG_FORMAT=xml",
        "SIM_DRAIN_MS=-1",
        "SIM_DRAIN=1",
        "SIM_=1",
        "SIMULATION_ENABLE=true",
        "SIMULATION_=1",
        "DREAM_INBOX_PATH=/x",
        "DREAM_INBOX_=1",
};

START_TEST(a_bad_value_or_an_unknown_name_is_a_fault_that_names_it)
{
	struct config c;
	struct fault fault;
	char name[64];
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(wrong[_i], "="), wrong[_i]);
	ck_assert_msg(load(&c, &fault, wrong[_i]) == -1, "%s was taken", wrong[_i]);
	ck_assert_msg(strstr(fault.text, name) != NULL, "%s: %s", wrong[_i], fault.text);
}
END_TEST

static const char *const right[] = {
        "SIMULATION_ENABLED=Yes",
        "SIMULATION_ENABLED=OFF",
        "SIM_LISTEN=[::1]:8080",
        "SIM_LISTEN=0.0.0.0:0",
        "SIM_LISTEN=unix:/run/simlane/http",
        "SIM_LISTEN=localhost:65535",
        "SIM_MAX_BODY_BYTES=1024",
        "SIM_MAX_BODY_BYTES=67108864",
        "SIM_HTTP_THREADS=256",
        "SIM_DRAIN_MS=0",
        "SIM_CLOCK_SKEW_S=0",
        "SIM_MEMORY_MAX_BYTES=9223372036854775807",
        "SIM_LOG_LEVEL=error",
        "SIM_LOG_FORMAT=json",
        "SIMLANE_BUILD=x",
        "SIMPLE=1",
        "sim_listen=x",
        "DREAM_INBOX=x",
        "SIM_BROKEN", /* no setting without '=' */
};

START_TEST(what_is_good_or_not_ours_is_taken)
{
	struct config c;
	struct fault fault;
	ck_assert_msg(load(&c, &fault, right[_i]) == 0, "%s: %s", right[_i], fault.text);
}
END_TEST

START_TEST(switches_take_their_words_in_any_case)
{
	static const char *const on[] = {"1", "true", "True", "TRUE", "yes", "on", "On"};
	static const char *const off[] = {"0", "false", "False", "no", "NO", "off"};
	struct config c;
	struct fault fault;
	char text[64];
	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		snprintf(text, sizeof(text), "DREAM_INBOX_REDACT=%s", on[i]);
		ck_assert_int_eq(load(&c, &fault, text), 0);
		ck_assert(c.inbox_redact);
	}
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		snprintf(text, sizeof(text), "SIMULATION_ENABLED=%s", off[i]);
		ck_assert_int_eq(load(&c, &fault, text), 0);
		ck_assert(!c.enabled);
	}
}
END_TEST

START_TEST(the_keyring_is_required)
{
	char *const environment[] = {NULL};
	struct config c;
	struct fault fault = {""};
	ck_assert_int_eq(config_load(&c, environment, &fault), -1);
	ck_assert_ptr_nonnull(strstr(fault.text, "SIM_KEYRING_FILE"));
}
END_TEST

START_TEST(a_value_cannot_break_the_line)
{
	struct config c;
	struct fault fault;
	char text[900] = "SIM_LOG_LEVEL=a\nb\x1b[31m";
	ck_assert_int_eq(load(&c, &fault, text), -1);
	ck_assert_ptr_null(strpbrk(fault.text, "\n\x1b"));
	memset(text + 14, 'x', sizeof(text) - 15);
	ck_assert_int_eq(load(&c, &fault, text), -1);
	ck_assert_uint_lt(strlen(fault.text), sizeof(fault.text));
}
END_TEST

START_TEST(the_tests_store_is_offered_to_tests_only)
{
	struct config c;
	struct fault fault = {""};
	char *const environment[] = {(char *)(uintptr_t)KEYS, (char *)(uintptr_t) "SIM_JOB_STORE=failing",
	                             (char *)(uintptr_t) "SIMLANE_TEST=1", NULL};
	ck_assert_int_eq(config_load(&c, environment, &fault), 0);
	ck_assert_str_eq(c.job_store, "failing");
}
END_TEST

/* ---- printing ---- */

static char *printed(enum config_style style)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(f);
	config_print(f, style);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static const char *const names[] = {
        "SIMULATION_ENABLED",     "SIM_LISTEN",      "SIM_ADMIN_LISTEN",   "SIM_HTTP_THREADS", "SIM_MAX_CONNECTIONS",
        "SIM_MAX_BODY_BYTES",     "SIM_JOB_STORE",   "SIM_JOB_TTL_MS",     "SIM_MAX_JOBS",     "SIM_MEMORY_MAX_BYTES",
        "SIM_REQUEST_TIMEOUT_MS", "SIM_POLICY_FILE", "SIM_KEYRING_FILE",   "SIM_REVOKED_FILE", "SIM_TOKEN_AUDIENCE",
        "SIM_CLOCK_SKEW_S",       "DREAM_INBOX_DIR", "DREAM_INBOX_REDACT", "SIM_LOG_LEVEL",    "SIM_LOG_FORMAT",
        "SIM_DRAIN_MS",
};

START_TEST(every_setting_is_in_every_text)
{
	static const enum config_style styles[] = {CONFIG_HELP, CONFIG_ENV, CONFIG_MAN, CONFIG_MARKDOWN};
	char *text = printed(styles[_i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(strstr(text, names[i]) != NULL, "%s", names[i]);
	free(text);
}
END_TEST

START_TEST(the_sample_with_its_marks_taken_away_says_the_defaults)
{
	char *text = printed(CONFIG_ENV), *environment[64];
	size_t n = 0;
	struct config sample, defaults;
	struct fault fault;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		ck_assert_int_eq(line[0], '#');
		if (line[1] != ' ' && line[strlen(line) - 1] != '=')
			environment[n++] = line + 1;
	}
	environment[n++] = (char *)(uintptr_t)KEYS;
	environment[n] = NULL;
	ck_assert_uint_gt(n, 10);
	ck_assert_msg(config_load(&sample, environment, &fault) == 0, "%s", fault.text);
	ck_assert_int_eq(load(&defaults, &fault, NULL), 0);
	ck_assert_str_eq(sample.listen, defaults.listen);
	ck_assert_str_eq(sample.inbox_dir, defaults.inbox_dir);
	ck_assert_int_eq(sample.job_ttl_ms, defaults.job_ttl_ms);
	ck_assert_int_eq(sample.drain_ms, defaults.drain_ms);
	ck_assert_int_eq(sample.enabled, defaults.enabled);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");
	suite_add_tcase(s, t);
	tcase_add_test(t, the_defaults_are_the_contracts);
	tcase_add_loop_test(t, a_bad_value_or_an_unknown_name_is_a_fault_that_names_it, 0,
	                    (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(t, what_is_good_or_not_ours_is_taken, 0, (int)(sizeof(right) / sizeof(right[0])));
	tcase_add_test(t, switches_take_their_words_in_any_case);
	tcase_add_test(t, the_keyring_is_required);
	tcase_add_test(t, a_value_cannot_break_the_line);
	tcase_add_test(t, the_tests_store_is_offered_to_tests_only);
	tcase_add_loop_test(t, every_setting_is_in_every_text, 0, 4);
	tcase_add_test(t, the_sample_with_its_marks_taken_away_says_the_defaults);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
