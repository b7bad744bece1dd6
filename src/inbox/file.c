/* file.c - one document's files while it is written */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "simlane/inbox.h"

#define KEEP_TRIES 10000

void file_init(struct inbox_file *f, const char *trace_id)
{
	*f = (struct inbox_file){.fd = -1, .temp_there = false};
	snprintf(f->name, sizeof(f->name), "%s.json", trace_id);
}

static int file_close(struct inbox_file *f, struct inbox_dir *d)
{
	int fd = f->fd;
	f->fd = -1;
	if (fd < 0 || d->sys->close(d->sys, fd) == 0 || errno == EINTR)
		return 0;
	return errno;
}

/* ---- reading ---- */

static int read_all(const struct inbox_sys *sys, int fd, struct buf *text)
{
	struct stat st;

	if (sys->fstat(sys, fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	buf_clear(text);
	while (text->len <= INBOX_MAX_DOCUMENT_BYTES) {
		/* one byte more than it should be, to see its end at once */
		size_t want = st.st_size >= (off_t)text->len && st.st_size <= INBOX_MAX_DOCUMENT_BYTES
		                      ? (size_t)st.st_size - text->len + 1
		                      : 65536;
		if (!buf_reserve(text, want))
			return ENOMEM;
		ssize_t n = sys->read(sys, fd, text->ptr + text->len, want);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return errno;
		text->len += n > 0 ? (size_t)n : 0;
	}
	return EFBIG;
}

int file_read(struct inbox_file *f, struct inbox_dir *d, struct buf *text)
{
	int fd = d->sys->openat(d->sys, d->fd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	f->exists = true;
	int error = read_all(d->sys, fd, text);
	d->sys->close(d->sys, fd); /* nothing was written: no result to lose */
	return error;
}

/* ---- writing ---- */

static int write_all(const struct inbox_sys *sys, int fd, struct span text)
{
	while (text.len) {
		ssize_t n = sys->write(sys, fd, text.ptr, text.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		text.ptr += n;
		text.len -= (size_t)n;
	}
	return 0;
}

int file_write(struct inbox_file *f, struct inbox_dir *d, struct span text)
{
	const struct inbox_sys *sys = d->sys;
	struct stat st;

	dir_temp_name(d, f->temp);
	f->fd = sys->openat(sys, d->fd, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (f->fd < 0)
		return errno;
	f->temp_there = true;
	/* whatever the umask; a look is cheaper than a change */
	if (sys->fstat(sys, f->fd, &st) != 0)
		return errno;
	if ((st.st_mode & 07777) != FILE_MODE && sys->fchmod(sys, f->fd, FILE_MODE) != 0)
		return errno;
	return write_all(sys, f->fd, text);
}

/* ---- publishing ---- */

static bool is_unsupported(int error)
{
	return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* A second name for the corrupt document, never one that is taken. Where a
 * link is not allowed (a foreign owner) it is moved. */
static int keep_aside(struct inbox_file *f, struct inbox_dir *d, int64_t now_ms)
{
	enum file_kept how = FILE_KEPT_LINK;

	for (int i = 0; i < KEEP_TRIES; i++) {
		snprintf(f->kept_name, sizeof(f->kept_name), "%s.corrupt-%" PRId64, f->name, now_ms + i);
		int rc = how == FILE_KEPT_LINK ? d->sys->link(d->sys, d->fd, f->name, f->kept_name)
		                               : d->sys->rename(d->sys, d->fd, f->name, f->kept_name, RENAME_NOREPLACE);
		if (rc == 0) {
			f->kept = how;
			f->exists = how == FILE_KEPT_LINK;
			return 0;
		}
		if (how == FILE_KEPT_LINK && (errno == EPERM || errno == EMLINK || is_unsupported(errno)))
			how = FILE_KEPT_MOVED;
		else if (errno != EEXIST)
			return errno;
	}
	return EEXIST;
}

static int replace(struct inbox_file *f, struct inbox_dir *d)
{
	if (d->sys->rename(d->sys, d->fd, f->temp, f->name, RENAME_EXCHANGE) == 0) {
		memcpy(f->old, f->temp, sizeof(f->old));
		f->temp_there = false;
		f->old_there = true;
		f->published = FILE_REPLACED;
		return 0;
	}
	if (!is_unsupported(errno))
		return errno;
	dir_temp_name(d, f->old);
	if (d->sys->link(d->sys, d->fd, f->name, f->old) != 0)
		return errno;
	f->old_there = true;
	if (d->sys->rename(d->sys, d->fd, f->temp, f->name, 0) != 0)
		return errno;
	f->temp_there = false;
	f->published = FILE_REPLACED;
	return 0;
}

static int create(struct inbox_file *f, struct inbox_dir *d)
{
	if (d->sys->rename(d->sys, d->fd, f->temp, f->name, RENAME_NOREPLACE) != 0 &&
	    (!is_unsupported(errno) || d->sys->rename(d->sys, d->fd, f->temp, f->name, 0) != 0))
		return errno;
	f->temp_there = false;
	f->published = FILE_CREATED;
	return 0;
}

int file_publish(struct inbox_file *f, struct inbox_dir *d, int64_t now_ms)
{
	int error = file_close(f, d);
	if (error == 0 && f->corrupt)
		error = keep_aside(f, d, now_ms);
	if (error == 0)
		error = f->exists ? replace(f, d) : create(f, d);
	if (error)
		file_undo(f, d);
	return error;
}

/* ---- and back ---- */

int file_undo(struct inbox_file *f, struct inbox_dir *d)
{
	int error = 0;

	if (f->published == FILE_REPLACED) {
		if (d->sys->rename(d->sys, d->fd, f->old, f->name, 0) != 0)
			return errno;
		f->old_there = false;
	} else if (f->published == FILE_CREATED && d->sys->unlink(d->sys, d->fd, f->name) != 0) {
		return errno;
	}
	f->published = FILE_NOT_PUBLISHED;
	if (f->kept == FILE_KEPT_LINK && d->sys->unlink(d->sys, d->fd, f->kept_name) != 0)
		error = errno;
	if (f->kept == FILE_KEPT_MOVED && d->sys->rename(d->sys, d->fd, f->kept_name, f->name, RENAME_NOREPLACE) != 0)
		error = errno;
	f->kept = FILE_NOT_KEPT;
	return error;
}

int file_forget(struct inbox_file *f, struct inbox_dir *d)
{
	int error = file_close(f, d);

	if (f->temp_there && d->sys->unlink(d->sys, d->fd, f->temp) != 0)
		error = errno;
	if (f->old_there && d->sys->unlink(d->sys, d->fd, f->old) != 0)
		error = errno;
	f->temp_there = f->old_there = false;
	return error;
}
