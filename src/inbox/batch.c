/*
 * batch.c - one batch of writes, across traces
 *
 *   claims looked at -> sorted by trace -> for each trace: locked, read,
 *   merged, temporary file written -> all synced together -> all published
 *   -> directory synced once -> what is temporary removed, locks released
 *   -> all completed
 *
 * A trace that fails fails alone, until the directory's sync, which is
 * everybody's: then every document is put back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inbox_private.h"

#define REDACT_BUDGET_US 250000 /* of one write; what is left is redacted whole */

int batch_init(struct inbox *i)
{
	size_t n = i->tuning.batch_max;

	document_init(&i->document);
	i->text = BUF_EMPTY;
	i->sorted = calloc(n, sizeof(struct write *));
	i->targets = calloc(n, sizeof(*i->targets));
	i->syncing = calloc(n, sizeof(struct target *));
	i->fds = calloc(n, sizeof(*i->fds));
	i->errors = calloc(n, sizeof(*i->errors));
	if (!i->sorted || !i->targets || !i->syncing || !i->fds || !i->errors)
		return -1;
	return i->options.redact ? redactor_init(&i->redactor) : 0;
}

void batch_free(struct inbox *i)
{
	document_free(&i->document);
	redactor_free(&i->redactor);
	buf_free(&i->text);
	free(i->sorted);
	free(i->targets);
	free(i->syncing);
	free(i->fds);
	free(i->errors);
}

/* ---- what a failure is called ---- */

static enum inbox_status status_of_errno(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG ? INBOX_FULL : INBOX_UNAVAILABLE;
}

static void log_failure(struct inbox *i, const char *step, const char *file, int error)
{
	LOG(i->options.log, LOG_ERROR, "inbox-failed", LOG_STR("step", step), LOG_STR("file", file),
	    LOG_STR("error", strerrorname_np(error)));
}

/* Every write of the trace that was still good has failed. */
static void target_fail(struct target *t, enum inbox_status status)
{
	t->ready = false;
	for (size_t k = 0; k < t->n; k++)
		if (t->writes[k]->status == INBOX_OK)
			t->writes[k]->status = status;
}

static void target_fail_errno(struct inbox *i, struct target *t, const char *step, int error)
{
	log_failure(i, step, t->file.name, error);
	target_fail(t, status_of_errno(error));
}

/* ---- who may write ---- */

/* At the moment of writing, whoever calls. */
static enum inbox_status check_claims(struct inbox *i, const struct claims *claims)
{
	if (claims_expired(claims, i->now_ms))
		return INBOX_EXPIRED;
	if (i->options.authorize && !i->options.authorize(i->options.authorize_ctx, claims))
		return INBOX_REVOKED;
	return claims->scopes & SCOPE_INBOX ? INBOX_OK : INBOX_FORBIDDEN;
}

/* ---- one trace: read, merge, write ---- */

static enum document_state begin_document(struct inbox *i, struct target *t, struct span old)
{
	struct document *d = &i->document;
	enum document_state state = document_begin(d, t->writes[0]->request.trace_id, old);

	if (state != DOCUMENT_CORRUPT)
		return state;
	LOG(i->options.log, LOG_WARN, "inbox-corrupt", LOG_STR("file", t->file.name));
	t->file.corrupt = true;
	return document_begin(d, t->writes[0]->request.trace_id, (struct span){NULL, 0});
}

/* Reads what is there into the document. False: the target has failed. */
static bool target_read(struct inbox *i, struct target *t)
{
	int error = file_read(&t->file, &i->dir, &i->text);
	struct span old = {NULL, 0};

	if (error && error != ENOENT) {
		log_failure(i, "read", t->file.name, error);
		target_fail(t, error == EFBIG ? INBOX_TOO_LARGE : status_of_errno(error));
		return false;
	}
	if (!error)
		old = (struct span){i->text.ptr, i->text.len};
	switch (begin_document(i, t, old)) {
	case DOCUMENT_READY:
		return true;
	case DOCUMENT_BAD_VERSION:
		LOG(i->options.log, LOG_ERROR, "inbox-bad-version", LOG_STR("file", t->file.name));
		target_fail(t, INBOX_BAD_VERSION);
		return false;
	default:
		target_fail_errno(i, t, "read", ENOMEM);
		return false;
	}
}

/* The writes one after the other; each may be refused alone. */
static void target_merge(struct inbox *i, struct target *t)
{
	for (size_t k = 0; k < t->n; k++) {
		struct write *w = t->writes[k];
		struct document_write add = {.tenant = w->request.claims->tenant,
		                             .seed = w->request.seed,
		                             .shards = w->request.shards,
		                             .now_ms = i->now_ms,
		                             .redactor = NULL};
		if (i->options.redact) {
			i->redactor.email = w->request.redact_email;
			i->redactor.phone = w->request.redact_phone;
			regex_scratch_budget(i->redactor.scratch, REDACT_BUDGET_US);
			add.redactor = &i->redactor;
		}
		w->status = document_add(&i->document, &add, &w->result.shards_written);
		t->ready = t->ready || w->status == INBOX_OK;
	}
}

static void target_prepare(struct inbox *i, struct target *t)
{
	int error = locks_take(&i->locks, t->writes[0]->request.trace_id);

	t->put_off = error == EAGAIN;
	if (t->put_off)
		return;
	if (error) {
		target_fail_errno(i, t, "lock", error);
		return;
	}
	if (!target_read(i, t))
		return;
	target_merge(i, t);
	if (!t->ready)
		return;
	struct span text = document_text(&i->document);
	error = text.ptr ? file_write(&t->file, &i->dir, text) : ENOMEM;
	if (error)
		target_fail_errno(i, t, "write", error);
	t->bytes = (int64_t)text.len;
}

/* ---- the batch ---- */

static int compare_writes(const void *a, const void *b)
{
	const struct write *x = *(struct write *const *)a, *y = *(struct write *const *)b;
	int order = strcmp(x->request.trace_id, y->request.trace_id);

	return order ? order : (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

/* Sorts the writes that may be written and names each trace's. */
static size_t make_targets(struct inbox *i, struct batch_item **items, size_t n)
{
	size_t writes = 0, targets = 0;

	for (size_t k = 0; k < n; k++) {
		struct write *w = (struct write *)(void *)items[k];
		enum inbox_status status = check_claims(i, w->request.claims);
		w->arrival = k;
		w->status = INBOX_OK;
		if (status == INBOX_OK)
			i->sorted[writes++] = w;
		else
			write_finish(w, status);
	}
	qsort(i->sorted, writes, sizeof(struct write *), compare_writes);
	for (size_t k = 0; k < writes; k++) {
		const char *trace_id = i->sorted[k]->request.trace_id;
		if (targets && strcmp(i->targets[targets - 1].writes[0]->request.trace_id, trace_id) == 0) {
			i->targets[targets - 1].n++;
			continue;
		}
		struct target *t = &i->targets[targets++];
		*t = (struct target){.writes = &i->sorted[k], .n = 1};
		file_init(&t->file, trace_id);
	}
	return targets;
}

/* The disk is started on all the data at once, which costs it a fraction of
 * what one file after the other does; then all are synced. */
static void sync_files(struct inbox *i, size_t targets)
{
	const struct inbox_sys *sys = i->dir.sys;
	size_t n = 0;

	for (size_t k = 0; k < targets; k++) {
		if (!i->targets[k].ready)
			continue;
		i->syncing[n] = &i->targets[k];
		i->fds[n++] = i->targets[k].file.fd;
	}
	/* a hint: whatever comes of it, fsync tells */
	for (size_t k = 0; n > 1 && k < n; k++)
		sys->write_back(sys, i->fds[k]);
	syncer_run(i->syncer, i->fds, i->errors, n);
	for (size_t k = 0; k < n; k++)
		if (i->errors[k])
			target_fail_errno(i, i->syncing[k], "fsync", i->errors[k]);
}

/* Gives the documents their names and makes the names durable, or puts all
 * back. */
static void publish(struct inbox *i, size_t targets)
{
	size_t published = 0;

	for (size_t k = 0; k < targets; k++) {
		struct target *t = &i->targets[k];
		int error = t->ready ? file_publish(&t->file, &i->dir, i->now_ms) : 0;
		if (error)
			target_fail_errno(i, t, "publish", error);
		published += t->ready;
	}
	if (published == 0 || i->dir.sys->fsync(i->dir.sys, i->dir.fd) == 0)
		return;
	int error = errno;
	for (size_t k = 0; k < targets; k++) {
		struct target *t = &i->targets[k];
		if (!t->ready)
			continue;
		target_fail_errno(i, t, "fsync-directory", error);
		int undo = file_undo(&t->file, &i->dir);
		if (undo)
			log_failure(i, "put-back", t->file.name, undo);
	}
}

static void forget(struct inbox *i, size_t targets)
{
	for (size_t k = 0; k < targets; k++) {
		struct target *t = &i->targets[k];
		int error = file_forget(&t->file, &i->dir);
		if (error)
			log_failure(i, "clean-up", t->file.name, error);
		if (t->ready && t->file.kept != FILE_NOT_KEPT)
			atomic_fetch_add_explicit(&i->corrupt, 1, memory_order_relaxed);
	}
}

static void complete(struct target *t)
{
	for (size_t k = 0; k < t->n; k++) {
		struct write *w = t->writes[k];
		w->result.bytes = t->bytes;
		if (t->put_off)
			write_put_off(w);
		else
			write_finish(w, w->status);
	}
}

void batch_run(void *ctx, struct batch_item **items, size_t n)
{
	struct inbox *i = ctx;

	i->now_ms = clock_wall_ms(i->options.clock);
	atomic_fetch_add_explicit(&i->batches, 1, memory_order_relaxed);
	size_t targets = make_targets(i, items, n);
	for (size_t k = 0; k < targets; k++)
		target_prepare(i, &i->targets[k]);
	sync_files(i, targets);
	publish(i, targets);
	forget(i, targets);
	locks_release(&i->locks);
	document_trim(&i->document);
	if (i->text.cap > DOCUMENT_KEPT_CAP)
		buf_free(&i->text);
	for (size_t k = 0; k < targets; k++)
		complete(&i->targets[k]);
}
