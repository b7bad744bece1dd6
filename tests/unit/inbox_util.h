/*
 * inbox_util - what the tests of the inbox share
 *
 * A directory of its own for each test, claims that may write, a write that
 * waits for its completion, and looks at what lies in the directory.
 */
#ifndef SIMLANE_TEST_INBOX_UTIL_H
#define SIMLANE_TEST_INBOX_UTIL_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/inbox/tuning.h"
#include "simlane/crypto.h"
#include "simlane/inbox.h"

#define SEED  "{\"goal\":\"map the river\",\"ul_tags\":[\"A\",\"B\"],\"constraints\":{\"flags\":{\"dry\":true}}}"
#define TRACE "LT-1700000000000-0123abcd"

static char inbox_path[256]; /* of the test that runs: each is a process of its own */

static inline void inbox_dir_make(void)
{
	const char *tmp = getenv("TMPDIR");
	ck_assert_int_eq(crypto_init(), 0);
	snprintf(inbox_path, sizeof(inbox_path), "%s/inbox-test-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(inbox_path));
}

static inline const char *inbox_file_path(const char *name)
{
	static char path[600];
	ck_assert_uint_lt(strlen(inbox_path) + strlen(name) + 1, sizeof(path));
	strcpy(path, inbox_path);
	strcat(path, "/");
	strcat(path, name);
	return path;
}

/* "<trace>.json"; static memory. */
static inline const char *inbox_name(const char *trace)
{
	static char name[200];
	ck_assert_uint_lt(strlen(trace) + 5, sizeof(name));
	strcpy(name, trace);
	strcat(name, ".json");
	return name;
}

static inline void inbox_dir_remove(void)
{
	DIR *d = opendir(inbox_path);
	struct dirent *e;
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    unlinkat(dirfd(d), e->d_name, 0) != 0)
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	rmdir(inbox_path);
}

/* How many names begin so ("" counts all but . and ..). */
static inline int inbox_count(const char *prefix)
{
	DIR *d = opendir(inbox_path);
	struct dirent *e;
	int n = 0;
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			n++;
	closedir(d);
	return n;
}

static inline void inbox_put(const char *name, const char *text, size_t len)
{
	FILE *f = fopen(inbox_file_path(name), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* The file's content, NUL-terminated; the caller frees it. NULL: none. */
static inline char *inbox_get(const char *name)
{
	struct stat st;
	FILE *f = fopen(inbox_file_path(name), "r");
	if (!f)
		return NULL;
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	char *text = calloc(1, (size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(fread(text, 1, (size_t)st.st_size, f), (size_t)st.st_size);
	fclose(f);
	return text;
}

/* The document, as JSON; the caller lets it go. It must be there and whole. */
static inline json_t *inbox_document(const char *trace)
{
	char *text = inbox_get(inbox_name(trace));
	ck_assert_msg(text != NULL, "no document of %s", trace);
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(doc != NULL, "not JSON: %s", text);
	free(text);
	return doc;
}

static inline size_t inbox_shards(const char *trace)
{
	json_t *doc = inbox_document(trace);
	size_t n = json_array_size(json_object_get(doc, "shards"));
	json_decref(doc);
	return n;
}

static inline struct claims inbox_claims(const char *tenant)
{
	struct claims c = {.scopes = SCOPE_INBOX,
	                   .expires_ms = INT64_MAX / 2,
	                   .iss = "i",
	                   .sub = "s",
	                   .jti = "j",
	                   .tenant = tenant,
	                   .kid = "k"};
	return c;
}

/* One shard's text; static memory, a few at a time. */
static inline const char *inbox_shard(const char *trace, int index)
{
	static char texts[8][512];
	static unsigned next;
	char *text = texts[next++ % 8];
	snprintf(text, 512, "[{\"trace_id\":\"%s\",\"index\":%d,\"timestamp\":1700000000000,\"n\":0.1}]", trace, index);
	return text;
}

struct inbox_wait {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int done;
	struct inbox_result result;
	char file[200];
};

static inline void inbox_wait_init(struct inbox_wait *w)
{
	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
}

static inline void inbox_wait_done(void *arg, const struct inbox_result *result)
{
	struct inbox_wait *w = arg;
	pthread_mutex_lock(&w->lock);
	w->done++;
	w->result = *result;
	snprintf(w->file, sizeof(w->file), "%s", result->file);
	w->result.file = w->file;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static inline struct inbox_result inbox_wait_for(struct inbox_wait *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->done)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
	ck_assert_int_eq(w->done, 1);
	return w->result;
}

static inline struct inbox_write inbox_request(const struct claims *claims, const char *trace, const char *shards)
{
	return (struct inbox_write){
	        .claims = claims, .trace_id = trace, .seed = span_of(SEED), .shards = span_of(shards)};
}

/* Writes and waits. */
static inline struct inbox_result inbox_write_wait(struct inbox *i, const struct inbox_write *request)
{
	struct inbox_wait w;
	inbox_wait_init(&w);
	inbox_write(i, request, inbox_wait_done, &w);
	struct inbox_result r = inbox_wait_for(&w);
	r.file = ""; /* w ends here */
	return r;
}

static inline struct inbox_result inbox_write_as(struct inbox *i, const char *tenant, const char *trace,
                                                 const char *shards)
{
	struct claims claims = inbox_claims(tenant);
	struct inbox_write request = inbox_request(&claims, trace, shards);
	return inbox_write_wait(i, &request);
}

static inline struct inbox *inbox_start(const struct inbox_tuning *tuning)
{
	struct fault fault = {""};
	struct inbox_options options = {.dir = inbox_path, .clock = &clock_system};
	struct inbox *i = inbox_open_tuned(&options, tuning ? tuning : &inbox_tuning_default, &fault);
	ck_assert_msg(i != NULL, "%s", fault.text);
	return i;
}

static inline int inbox_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
