/* test_file.c - whole small files, and whether they have changed */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "simlane/file.h"

static char dir[200], path[256];

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(dir, sizeof(dir), "%s/file-test-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
}

static void teardown(void)
{
	(void)unlink(path);
	(void)rmdir(path);
	(void)rmdir(dir);
}

static void put(size_t bytes)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; i < bytes; i++)
		ck_assert_int_ne(fputc((int)('a' + i % 26), f), EOF);
	ck_assert_int_eq(fclose(f), 0);
}

static int load(size_t max, struct buf *b, struct fault *fault)
{
	fault->text[0] = '\0';
	return file_load(path, max, b, fault);
}

static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 100000};

START_TEST(a_file_is_read_whole_and_appended)
{
	struct fault fault;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf b = BUF_EMPTY;
		buf_text(&b, "before");
		put(sizes[i]);
		ck_assert_msg(load(100000, &b, &fault) == 0, "%s", fault.text);
		ck_assert_uint_eq(b.len, 6 + sizes[i]);
		ck_assert_int_eq(memcmp(b.ptr, "before", 6), 0);
		for (size_t k = 0; k < sizes[i]; k++)
			ck_assert_int_eq(b.ptr[6 + k], (char)('a' + k % 26));
		buf_free(&b);
	}
}
END_TEST

START_TEST(a_larger_one_than_allowed_is_a_fault)
{
	struct fault fault;
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf b = BUF_EMPTY;
		put(sizes[i]);
		ck_assert_int_eq(load(sizes[i] - 1, &b, &fault), -1);
		ck_assert_ptr_nonnull(strstr(fault.text, path));
		ck_assert_ptr_nonnull(strstr(fault.text, "larger"));
		b.len = 0;
		ck_assert_int_eq(load(sizes[i], &b, &fault), 0);
		buf_free(&b);
	}
}
END_TEST

START_TEST(what_is_not_a_regular_file_is_a_fault_and_nothing_hangs)
{
	struct buf b = BUF_EMPTY;
	struct fault fault;
	ck_assert_int_eq(load(10, &b, &fault), -1);
	ck_assert_ptr_nonnull(strstr(fault.text, path));
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(load(10, &b, &fault), -1);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(load(10, &b, &fault), -1);
	ck_assert_ptr_nonnull(strstr(fault.text, "not a regular file"));
	ck_assert_int_eq(file_load("/dev/zero", 10, &b, &fault), -1);
	ck_assert_uint_eq(b.len, 0);
	buf_free(&b);
}
END_TEST

static struct file_stamp stamp_of(void)
{
	struct file_stamp s;
	memset(&s, 0x5a, sizeof(s));
	file_stamp(path, &s);
	return s;
}

START_TEST(a_stamp_tells_versions_apart)
{
	static const struct file_stamp none;
	struct file_stamp missing = stamp_of();
	ck_assert(file_stamp_equal(&missing, &none));
	put(3);
	struct file_stamp first = stamp_of(), again = stamp_of();
	ck_assert(!file_stamp_equal(&first, &none));
	ck_assert(file_stamp_equal(&first, &again));
	put(4);
	struct file_stamp longer = stamp_of();
	ck_assert(!file_stamp_equal(&first, &longer));
	/* the same size and an old time: the change of the inode is seen */
	usleep(20000);
	put(4);
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	struct file_stamp old = stamp_of();
	ck_assert(!file_stamp_equal(&longer, &old));
	usleep(20000);
	put(4);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	struct file_stamp disguised = stamp_of();
	ck_assert(!file_stamp_equal(&old, &disguised));
	ck_assert_int_eq(unlink(path), 0);
	struct file_stamp gone = stamp_of();
	ck_assert(file_stamp_equal(&gone, &none));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("file");
	TCase *t = tcase_create("file");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_file_is_read_whole_and_appended);
	tcase_add_test(t, a_larger_one_than_allowed_is_a_fault);
	tcase_add_test(t, what_is_not_a_regular_file_is_a_fault_and_nothing_hangs);
	tcase_add_test(t, a_stamp_tells_versions_apart);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
