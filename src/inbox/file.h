/*
 * file - one document's files while it is written
 *
 *   file_read      the document as it stands, if any
 *   file_write     the new one, whole, under a temporary name
 *   (the caller syncs file.fd)
 *   file_publish   gives it its name: readers see the old or the new one
 *   (the caller syncs the directory)
 *   file_undo      puts back what was there before file_publish
 *   file_forget    always last: nothing temporary is left
 *
 * An existing document is exchanged with the new one (renameat2,
 * RENAME_EXCHANGE), so that the old one is still there, under the temporary
 * name, until the directory is synced. A file system that cannot exchange
 * gets a second link to the old one instead. O_TMPFILE would spare the
 * temporary name, but linkat(2) cannot replace a document.
 *
 * ERRORS   0 or an errno.
 * THREADS  one.
 */
#ifndef SIMLANE_INBOX_FILE_H
#define SIMLANE_INBOX_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "dir.h"
#include "simlane/buf.h"
#include "simlane/ids.h"

#define FILE_NAME_SIZE (TRACE_ANY_SIZE + 5)  /* ".json" */
#define FILE_KEPT_SIZE (FILE_NAME_SIZE + 32) /* ".corrupt-<ms>" */

enum file_published { FILE_NOT_PUBLISHED, FILE_CREATED, FILE_REPLACED };
enum file_kept { FILE_NOT_KEPT, FILE_KEPT_LINK, FILE_KEPT_MOVED };

struct inbox_file {
	char name[FILE_NAME_SIZE];
	bool exists;  /* there is a document of that name */
	bool corrupt; /* ... which is to be kept aside */
	int fd;       /* the temporary file, open until file_publish; -1 */
	char temp[DIR_TEMP_SIZE];
	bool temp_there; /* there is a file of that name: the new one, or the old one once exchanged */
	char old[DIR_TEMP_SIZE];
	bool old_there;
	char kept_name[FILE_KEPT_SIZE];
	enum file_kept kept;
	enum file_published published;
};

void file_init(struct inbox_file *f, const char *trace_id);

/* ENOENT: none. EFBIG: larger than a document may be. ELOOP: a symbolic link.
 * EINVAL: not a regular file. Sets f->exists. */
int file_read(struct inbox_file *f, struct inbox_dir *d, struct buf *text);

int file_write(struct inbox_file *f, struct inbox_dir *d, struct span text);
int file_publish(struct inbox_file *f, struct inbox_dir *d, int64_t now_ms);
int file_undo(struct inbox_file *f, struct inbox_dir *d);
int file_forget(struct inbox_file *f, struct inbox_dir *d);

#endif
