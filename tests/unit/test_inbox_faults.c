/*
 * test_inbox_faults.c - the disk fails at every step
 *
 * The writer's system calls are counted, and the n-th one fails, for n = 1, 2,
 * ... until a whole write succeeds without having met its fault. Whatever
 * happens: no false OK, the document that was there is there, nothing
 * temporary is left, and the same write succeeds at once afterwards.
 */
#include <stdatomic.h>
#include <sys/wait.h>

#include "inbox_util.h"

enum call {
	CALL_OPENAT,
	CALL_FSTAT,
	CALL_FCHMOD,
	CALL_READ,
	CALL_WRITE,
	CALL_WRITE_BACK,
	CALL_FSYNC,
	CALL_CLOSE,
	CALL_RENAME,
	CALL_LINK,
	CALL_UNLINK,
	CALL_LOCK,
	CALLS
};

enum how { FAIL, SHORT, DIE };

/* What is to happen to which call; the batcher's and the syncing threads look
 * at it too. */
static struct {
	atomic_bool armed;
	atomic_int countdown, error, how;
	atomic_uint calls;          /* one bit each: which ones count */
	atomic_bool hit;            /* the fault has happened */
	atomic_bool no_exchange;    /* like a file system without renameat2's flags */
	atomic_bool no_link;        /* linkat is refused with EPERM */
	atomic_int failed_fsync_fd; /* + 1; to see that it is never synced again */
	atomic_int synced_again;
} plan;

/* True: this call fails, errno is set. */
static bool strike(enum call call)
{
	if (!atomic_load(&plan.armed) || !(atomic_load(&plan.calls) & 1u << call))
		return false;
	if (atomic_fetch_sub(&plan.countdown, 1) != 1)
		return false;
	atomic_store(&plan.hit, true);
	if (atomic_load(&plan.how) == DIE)
		_exit(77);
	errno = atomic_load(&plan.error);
	return true;
}

static int hook_openat(const struct inbox_sys *s, int dir_fd, const char *name, int flags, mode_t mode)
{
	return strike(CALL_OPENAT) ? -1 : inbox_sys_real.openat(s, dir_fd, name, flags, mode);
}

static int hook_fstat(const struct inbox_sys *s, int fd, struct stat *st)
{
	return strike(CALL_FSTAT) ? -1 : inbox_sys_real.fstat(s, fd, st);
}

static int hook_fchmod(const struct inbox_sys *s, int fd, mode_t mode)
{
	return strike(CALL_FCHMOD) ? -1 : inbox_sys_real.fchmod(s, fd, mode);
}

static ssize_t hook_read(const struct inbox_sys *s, int fd, void *bytes, size_t len)
{
	return strike(CALL_READ) ? -1 : inbox_sys_real.read(s, fd, bytes, len);
}

static ssize_t hook_write(const struct inbox_sys *s, int fd, const void *bytes, size_t len)
{
	if (strike(CALL_WRITE)) {
		if (atomic_load(&plan.how) == SHORT) /* half is written, the next one is told why */
			return inbox_sys_real.write(s, fd, bytes, len / 2);
		return -1;
	}
	return inbox_sys_real.write(s, fd, bytes, len);
}

static int hook_write_back(const struct inbox_sys *s, int fd)
{
	return strike(CALL_WRITE_BACK) ? -1 : inbox_sys_real.write_back(s, fd);
}

static int hook_fsync(const struct inbox_sys *s, int fd)
{
	if (atomic_load(&plan.failed_fsync_fd) == fd + 1)
		atomic_fetch_add(&plan.synced_again, 1);
	if (strike(CALL_FSYNC)) {
		atomic_store(&plan.failed_fsync_fd, fd + 1);
		return -1;
	}
	return inbox_sys_real.fsync(s, fd);
}

static int hook_close(const struct inbox_sys *s, int fd)
{
	if (atomic_load(&plan.failed_fsync_fd) == fd + 1)
		atomic_store(&plan.failed_fsync_fd, 0);
	int rc = inbox_sys_real.close(s, fd); /* a close that fails has closed */
	return strike(CALL_CLOSE) ? -1 : rc;
}

static int hook_rename(const struct inbox_sys *s, int dir_fd, const char *from, const char *to, unsigned flags)
{
	if (flags && atomic_load(&plan.no_exchange)) {
		errno = EINVAL;
		return -1;
	}
	return strike(CALL_RENAME) ? -1 : inbox_sys_real.rename(s, dir_fd, from, to, flags);
}

static int hook_link(const struct inbox_sys *s, int dir_fd, const char *from, const char *to)
{
	if (atomic_load(&plan.no_link)) {
		errno = EPERM;
		return -1;
	}
	return strike(CALL_LINK) ? -1 : inbox_sys_real.link(s, dir_fd, from, to);
}

static int hook_unlink(const struct inbox_sys *s, int dir_fd, const char *name)
{
	return strike(CALL_UNLINK) ? -1 : inbox_sys_real.unlink(s, dir_fd, name);
}

static int hook_lock(const struct inbox_sys *s, int fd, bool take, off_t start, off_t len)
{
	return strike(CALL_LOCK) ? -1 : inbox_sys_real.lock(s, fd, take, start, len);
}

static const struct inbox_sys hooks = {.openat = hook_openat,
                                       .fstat = hook_fstat,
                                       .fchmod = hook_fchmod,
                                       .read = hook_read,
                                       .write = hook_write,
                                       .write_back = hook_write_back,
                                       .fsync = hook_fsync,
                                       .close = hook_close,
                                       .rename = hook_rename,
                                       .link = hook_link,
                                       .unlink = hook_unlink,
                                       .lock = hook_lock};

static struct inbox *start(void)
{
	struct inbox_tuning tuning = inbox_tuning_default;
	tuning.sys = &hooks;
	tuning.lock_wait_ms = 200;
	return inbox_start(&tuning);
}

static void arm(unsigned calls, int nth, enum how how, int error)
{
	atomic_store(&plan.calls, calls);
	atomic_store(&plan.countdown, nth);
	atomic_store(&plan.how, (int)how);
	atomic_store(&plan.error, error);
	atomic_store(&plan.hit, false);
	atomic_store(&plan.armed, true);
}

#define ALL_CALLS ((1u << CALLS) - 1)

enum before { NOTHING, A_DOCUMENT, A_CORRUPT_ONE };

static void prepare(struct inbox *i, enum before before)
{
	unlink(inbox_file_path(TRACE ".json"));
	if (before == A_CORRUPT_ONE)
		inbox_put(TRACE ".json", "broken", 6);
	if (before == A_DOCUMENT)
		ck_assert_int_eq(inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 0)).status, INBOX_OK);
}

/* Is what was there before still there? */
static void unchanged(enum before before, const char *text, int corrupt_before)
{
	char *now = inbox_get(TRACE ".json");
	if (before == NOTHING)
		ck_assert_ptr_null(now);
	else
		ck_assert_str_eq(now, text);
	ck_assert_int_eq(inbox_count(TRACE ".json.corrupt"), corrupt_before);
	free(now);
}

/* One write with the nth call failing. False: there is no nth call. */
static bool one_fault(struct inbox *i, enum before before, unsigned calls, int nth, enum how how, int error)
{
	prepare(i, before);
	char *text = inbox_get(TRACE ".json");
	int corrupt = inbox_count(TRACE ".json.corrupt");
	arm(calls, nth, how, error);
	struct inbox_result r = inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 1));
	atomic_store(&plan.armed, false);
	atomic_store(&plan.failed_fsync_fd, 0);
	bool hit = atomic_load(&plan.hit);
	if (r.status == INBOX_OK) {
		ck_assert_uint_eq(inbox_shards(TRACE), before == A_DOCUMENT ? 2 : 1);
		ck_assert_int_eq(inbox_count(TRACE ".json.corrupt"), corrupt + (before == A_CORRUPT_ONE));
	} else {
		ck_assert_msg(hit, "failed without a fault");
		if (error != EAGAIN)
			ck_assert_int_eq(r.status, error == ENOSPC ? INBOX_FULL : INBOX_UNAVAILABLE);
		unchanged(before, text, corrupt);
	}
	free(text);
	/* collectable at once afterwards */
	r = inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 1));
	ck_assert_int_eq(r.status, INBOX_OK);
	ck_assert_uint_eq(inbox_shards(TRACE), before == A_DOCUMENT ? 2 : 1);
	return hit;
}

static int all_faults(enum before before, enum how how, int error)
{
	int nth = 1;
	struct inbox *i = start();
	while (one_fault(i, before, ALL_CALLS, nth, how, error))
		nth++;
	inbox_close(i);
	inbox_close(start()); /* a restart purges what a failed unlink left */
	ck_assert_int_eq(inbox_count(".tmp"), 0);
	ck_assert_int_eq(atomic_load(&plan.synced_again), 0);
	return nth - 1;
}

static const int errors[] = {EIO, ENOSPC};

START_TEST(every_call_may_fail_while_a_document_is_made)
{
	ck_assert_int_ge(all_faults(NOTHING, FAIL, errors[_i]), 9);
}
END_TEST

START_TEST(every_call_may_fail_while_a_document_is_merged)
{
	ck_assert_int_ge(all_faults(A_DOCUMENT, FAIL, errors[_i]), 14);
}
END_TEST

START_TEST(every_call_may_fail_while_a_corrupt_document_is_kept)
{
	ck_assert_int_ge(all_faults(A_CORRUPT_ONE, FAIL, errors[_i]), 15);
}
END_TEST

START_TEST(every_call_may_fail_without_exchange_and_links)
{
	atomic_store(&plan.no_exchange, true);
	all_faults(NOTHING, FAIL, errors[_i]);
	all_faults(A_DOCUMENT, FAIL, errors[_i]);
	all_faults(A_CORRUPT_ONE, FAIL, errors[_i]);
	atomic_store(&plan.no_exchange, false);
	atomic_store(&plan.no_link, true);
	all_faults(A_CORRUPT_ONE, FAIL, errors[_i]);
}
END_TEST

START_TEST(a_short_write_is_continued)
{
	struct inbox *i = start();
	ck_assert(one_fault(i, A_DOCUMENT, 1u << CALL_WRITE, 1, SHORT, 0));
	inbox_close(i);
}
END_TEST

/* What is never in doubt: a failed sync of either kind is never an OK. */
START_TEST(a_failed_fsync_is_never_ok_and_never_repeated)
{
	struct inbox *i = start();
	for (int nth = 1; nth <= 2; nth++) { /* the file's, then the directory's */
		for (int before = NOTHING; before <= A_CORRUPT_ONE; before++) {
			prepare(i, (enum before)before);
			char *text = inbox_get(TRACE ".json");
			int corrupt = inbox_count(TRACE ".json.corrupt");
			arm(1u << CALL_FSYNC, nth, FAIL, EIO);
			struct inbox_result r = inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 1));
			atomic_store(&plan.armed, false);
			ck_assert(atomic_load(&plan.hit));
			ck_assert_int_eq(r.status, INBOX_UNAVAILABLE);
			unchanged((enum before)before, text, corrupt);
			free(text);
			ck_assert_int_eq(inbox_count(".tmp"), 0);
			atomic_store(&plan.failed_fsync_fd, 0);
		}
	}
	ck_assert_int_eq(atomic_load(&plan.synced_again), 0);
	inbox_close(i);
}
END_TEST

/* In a group only the trace whose file fails is refused; when the directory
 * fails, all are, and all are put back. */
START_TEST(a_group_fails_alone_or_together)
{
	enum { N = 12 };
	static struct inbox_wait waits[N];
	static char names[N][16];
	struct claims claims = inbox_claims("default");
	struct inbox_tuning tuning = inbox_tuning_default;
	tuning.sys = &hooks;
	tuning.linger_ms = 300; /* so that they are one batch */
	struct inbox *i = inbox_start(&tuning);
	for (int nth = 1; nth <= N + 1; nth += N) {
		arm(1u << CALL_FSYNC, nth, FAIL, ENOSPC);
		for (int k = 0; k < N; k++) {
			snprintf(names[k], sizeof(names[k]), "g%d-%d", nth, k);
			struct inbox_write request = inbox_request(&claims, names[k], "[{}]");
			inbox_wait_init(&waits[k]);
			inbox_write(i, &request, inbox_wait_done, &waits[k]);
		}
		int good = 0;
		for (int k = 0; k < N; k++) {
			bool ok = inbox_wait_for(&waits[k]).status == INBOX_OK;
			ck_assert_int_eq(access(inbox_file_path(inbox_name(names[k])), F_OK) == 0, ok);
			if (!ok)
				ck_assert_int_eq(waits[k].result.status, INBOX_FULL);
			good += ok;
		}
		atomic_store(&plan.armed, false);
		ck_assert_int_eq(good, nth == 1 ? N - 1 : 0);
		ck_assert_int_eq(inbox_count(".tmp"), 0);
	}
	inbox_close(i);
}
END_TEST

/* The process dies before each call in turn: afterwards there is the old or
 * the new document, whole, and a restart leaves nothing temporary. */
static bool die_at(enum before before, int nth)
{
	int status;
	struct inbox *i = start();
	prepare(i, before);
	inbox_close(i);
	char *text = inbox_get(TRACE ".json");
	int corrupt = inbox_count(TRACE ".json.corrupt");
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		i = start();
		arm(ALL_CALLS, nth, DIE, 0);
		_exit(inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 1)).status == INBOX_OK ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 1);
	char *now = inbox_get(TRACE ".json");
	json_t *doc = now ? json_loads(now, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (now && !doc)
		ck_assert_str_eq(now, "broken");
	if (!now)
		ck_assert_int_eq(before, NOTHING);
	if (before == A_DOCUMENT)
		ck_assert_uint_ge(json_array_size(json_object_get(doc, "shards")), 1);
	if (doc && before == A_CORRUPT_ONE)
		ck_assert_int_eq(inbox_count(TRACE ".json.corrupt"), corrupt + 1);
	json_decref(doc);
	free(now);
	free(text);
	i = start();
	ck_assert_int_eq(inbox_count(".tmp"), 0);
	ck_assert_int_eq(inbox_write_as(i, "default", TRACE, inbox_shard(TRACE, 1)).status, INBOX_OK);
	ck_assert_uint_eq(inbox_shards(TRACE), before == A_DOCUMENT ? 2 : 1);
	inbox_close(i);
	return WEXITSTATUS(status) == 77;
}

START_TEST(death_at_every_call_leaves_the_old_or_the_new_document)
{
	int nth = 1;
	while (die_at((enum before)_i, nth))
		nth++;
	ck_assert_int_ge(nth, 9);
}
END_TEST

START_TEST(the_check_fails_when_the_disk_does)
{
	struct inbox *i = start();
	arm(1u << CALL_FSYNC, 1, FAIL, EIO);
	ck_assert(!inbox_check(i));
	ck_assert(!inbox_check(i)); /* the last answer, for a second */
	ck_assert_int_eq(inbox_count(".tmp"), 0);
	inbox_close(i);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inbox_faults");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, inbox_dir_make, inbox_dir_remove);
	tcase_add_loop_test(tc, every_call_may_fail_while_a_document_is_made, 0, 2);
	tcase_add_loop_test(tc, every_call_may_fail_while_a_document_is_merged, 0, 2);
	tcase_add_loop_test(tc, every_call_may_fail_while_a_corrupt_document_is_kept, 0, 2);
	tcase_add_loop_test(tc, every_call_may_fail_without_exchange_and_links, 0, 2);
	tcase_add_test(tc, a_short_write_is_continued);
	tcase_add_test(tc, a_failed_fsync_is_never_ok_and_never_repeated);
	tcase_add_test(tc, a_group_fails_alone_or_together);
	tcase_add_loop_test(tc, death_at_every_call_leaves_the_old_or_the_new_document, NOTHING, A_CORRUPT_ONE + 1);
	tcase_add_test(tc, the_check_fails_when_the_disk_does);
	suite_add_tcase(suite, tc);
	return inbox_run(suite);
}
