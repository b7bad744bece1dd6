/*
 * test_inbox_processes.c - several daemons on one directory
 *
 * Each child opens its own inbox; what one writes, the other merges with;
 * what one holds or is still writing, the other leaves alone.
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../../src/inbox/locks.h"
#include "inbox_util.h"

enum { PROCESSES = 2, TRACES = 8, EACH = 25 };

/* Shard indexes are the process's own, traces are shared. */
static int write_many(int process)
{
	static struct inbox_wait waits[TRACES][EACH];
	static char names[TRACES][16], texts[TRACES][EACH][32];
	struct claims claims = inbox_claims("default");
	struct inbox *i = inbox_start(NULL);
	int bad = 0;
	for (int t = 0; t < TRACES; t++)
		snprintf(names[t], sizeof(names[t]), "t%d", t);
	for (int k = 0; k < EACH; k++) {
		for (int t = 0; t < TRACES; t++) {
			snprintf(texts[t][k], sizeof(texts[t][k]), "[{\"index\":%d}]", process * EACH + k);
			struct inbox_write request = inbox_request(&claims, names[t], texts[t][k]);
			inbox_wait_init(&waits[t][k]);
			inbox_write(i, &request, inbox_wait_done, &waits[t][k]);
		}
		if (k % 5 == 4) /* so that batches of the two meet */
			inbox_wait_for(&waits[0][k]);
	}
	for (int k = 0; k < EACH; k++)
		for (int t = 0; t < TRACES; t++)
			bad += inbox_wait_for(&waits[t][k]).status != INBOX_OK;
	inbox_close(i);
	return bad;
}

START_TEST(two_processes_merge_into_the_same_documents)
{
	pid_t pids[PROCESSES];
	for (int p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		ck_assert_int_ge(pids[p], 0);
		if (pids[p] == 0)
			_exit(write_many(p) ? 1 : 0);
	}
	for (int p = 0; p < PROCESSES; p++) {
		int status;
		ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
		ck_assert_int_eq(status, 0);
	}
	for (int t = 0; t < TRACES; t++) {
		char name[16];
		snprintf(name, sizeof(name), "t%d", t);
		ck_assert_uint_eq(inbox_shards(name), (size_t)PROCESSES * EACH);
	}
	ck_assert_int_eq(inbox_count(".tmp"), 0);
}
END_TEST

/* Another daemon that hangs in the middle of a write to that trace. */
static struct inbox_locks hold(const char *trace)
{
	struct inbox_dir d;
	struct inbox_locks l;
	struct fault fault = {""};
	ck_assert_msg(dir_open(&d, inbox_path, &inbox_sys_real, &fault) == 0, "%s", fault.text);
	ck_assert_msg(locks_open(&l, &d, &fault) == 0, "%s", fault.text);
	dir_close(&d);
	ck_assert_int_eq(locks_take(&l, trace), 0);
	return l;
}

START_TEST(a_hung_process_holds_up_its_own_trace_only)
{
	enum { OTHERS = 200 };
	struct inbox_tuning tuning = inbox_tuning_default;
	tuning.lock_wait_ms = 300;
	struct inbox_locks hung = hold("held");
	struct inbox *i = inbox_start(&tuning);
	struct claims claims = inbox_claims("default");
	struct inbox_write request = inbox_request(&claims, "held", "[{}]");
	struct inbox_wait held;
	inbox_wait_init(&held);
	int64_t start_ms = clock_mono_ms(&clock_system);
	inbox_write(i, &request, inbox_wait_done, &held);
	for (int k = 0; k < OTHERS; k++) {
		char name[16];
		snprintf(name, sizeof(name), "o%d", k);
		ck_assert_int_eq(inbox_write_as(i, "default", name, "[{}]").status, INBOX_OK);
	}
	ck_assert_int_eq(inbox_wait_for(&held).status, INBOX_UNAVAILABLE);
	int64_t took_ms = clock_mono_ms(&clock_system) - start_ms;
	ck_assert_int_ge(took_ms, 200);
	ck_assert_int_eq(access(inbox_file_path("held.json"), F_OK), -1);
	locks_release(&hung);
	ck_assert_int_eq(inbox_write_as(i, "default", "held", "[{}]").status, INBOX_OK);
	locks_close(&hung);
	inbox_close(i);
}
END_TEST

START_TEST(a_trace_is_written_as_soon_as_its_lock_is_free)
{
	struct inbox_locks other = hold("held");
	struct inbox *i = inbox_start(NULL);
	struct claims claims = inbox_claims("default");
	struct inbox_write request = inbox_request(&claims, "held", "[{}]");
	struct inbox_wait held;
	inbox_wait_init(&held);
	inbox_write(i, &request, inbox_wait_done, &held);
	poll(NULL, 0, 60);
	ck_assert_int_eq(held.done, 0);
	locks_close(&other);
	ck_assert_int_eq(inbox_wait_for(&held).status, INBOX_OK);
	inbox_close(i);
}
END_TEST

START_TEST(closing_waits_for_a_trace_that_is_held)
{
	struct inbox_tuning tuning = inbox_tuning_default;
	tuning.lock_wait_ms = 150;
	struct inbox_locks other = hold("held");
	struct inbox *i = inbox_start(&tuning);
	struct claims claims = inbox_claims("default");
	struct inbox_write request = inbox_request(&claims, "held", "[{}]");
	struct inbox_wait held;
	inbox_wait_init(&held);
	inbox_write(i, &request, inbox_wait_done, &held);
	inbox_close(i);
	ck_assert_int_eq(held.done, 1);
	ck_assert_int_eq(held.result.status, INBOX_UNAVAILABLE);
	locks_close(&other);
}
END_TEST

/* A writer is killed while its temporary files lie there, and another lives. */
START_TEST(only_a_dead_ones_files_are_purged)
{
	int ready[2];
	char byte;
	struct fault fault = {""};
	struct inbox_dir alive;
	char name[DIR_TEMP_SIZE];
	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(dir_open(&alive, inbox_path, &inbox_sys_real, &fault), 0);
	dir_temp_name(&alive, name);
	inbox_put(name, "half a docu", 11);
	pid_t pid = fork();
	if (pid == 0) {
		struct inbox_dir dying;
		/* a fork shares its parent's lock: only the parent is to count as its holder */
		dir_close(&alive);
		if (dir_open(&dying, inbox_path, &inbox_sys_real, &fault) != 0)
			_exit(1);
		dir_temp_name(&dying, name);
		inbox_put(name, "half a docu", 11);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	inbox_close(inbox_start(NULL));
	ck_assert_int_eq(inbox_count(".tmp"), 2); /* both live */
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	inbox_close(inbox_start(NULL));
	ck_assert_int_eq(inbox_count(".tmp"), 1);
	ck_assert_int_eq(access(inbox_file_path(name), F_OK), 0);
	dir_close(&alive);
	inbox_close(inbox_start(NULL));
	ck_assert_int_eq(inbox_count(".tmp"), 0);
}
END_TEST

/* kill -9 at any moment of a busy writer: what it said was written is there,
 * every document is whole, and a restart leaves nothing temporary. */
static atomic_int said;
static int said_fd;

static void tell(void *arg, const struct inbox_result *result)
{
	char c = *(char *)arg;
	if (result->status == INBOX_OK && write(said_fd, &c, 1) == 1)
		atomic_fetch_add(&said, 1);
}

static void busy_writer(void)
{
	static char letters[26], names[26][8];
	struct claims claims = inbox_claims("default");
	struct inbox *i = inbox_start(NULL);
	for (int l = 0; l < 26; l++) {
		letters[l] = (char)('a' + l);
		snprintf(names[l], sizeof(names[l]), "k%c", letters[l]);
	}
	for (int k = 0;; k++) {
		int before = atomic_load(&said);
		for (int l = 0; l < 26; l++) {
			char *text = malloc(64);
			snprintf(text, 64, "[{\"index\":%d}]", k);
			struct inbox_write request = inbox_request(&claims, names[l], text);
			inbox_write(i, &request, tell, &letters[l]);
		}
		while (atomic_load(&said) < before + 26)
			poll(NULL, 0, 1);
	}
}

START_TEST(kill_9_loses_nothing_that_was_answered)
{
	size_t answered[26] = {0};
	for (int round = 0; round < 12; round++) {
		int fds[2];
		char c;
		ck_assert_int_eq(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			said_fd = fds[1];
			busy_writer();
		}
		close(fds[1]);
		poll(NULL, 0, 20 + 13 * round);
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		size_t now[26] = {0};
		while (read(fds[0], &c, 1) == 1)
			now[c - 'a']++;
		close(fds[0]);
		inbox_close(inbox_start(NULL));
		ck_assert_int_eq(inbox_count(".tmp"), 0);
		for (int l = 0; l < 26; l++) {
			char name[8];
			snprintf(name, sizeof(name), "k%c", 'a' + l);
			if (now[l] > answered[l])
				answered[l] = now[l];
			if (answered[l])
				ck_assert_uint_ge(inbox_shards(name), answered[l]);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inbox_processes");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, inbox_dir_make, inbox_dir_remove);
	tcase_add_test(tc, two_processes_merge_into_the_same_documents);
	tcase_add_test(tc, a_hung_process_holds_up_its_own_trace_only);
	tcase_add_test(tc, a_trace_is_written_as_soon_as_its_lock_is_free);
	tcase_add_test(tc, closing_waits_for_a_trace_that_is_held);
	tcase_add_test(tc, only_a_dead_ones_files_are_purged);
	tcase_add_test(tc, kill_9_loses_nothing_that_was_answered);
	suite_add_tcase(suite, tc);
	return inbox_run(suite);
}
