/*
 * token_file - files of the key and token commands, read and put in place
 *
 * "-" is standard input or output. What goes wrong is told on stderr, with
 * the command's name and the path, and the function returns -1.
 *
 * THREADS  one.
 */
#ifndef CLI_TOKEN_FILE_H
#define CLI_TOKEN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "simlane/buf.h"
#include "simlane/span.h"

/* "simlane COMMAND: ..." and a newline on stderr. */
void token_complain(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The whole file, at most max bytes. mode (may be NULL) is the file's, 0 for
 * a pipe. */
int token_file_read(const char *command, const char *path, size_t max, struct buf *out, mode_t *mode);

/* A new file, flushed to the disk; one that exists is never touched. */
int token_file_create(const char *command, const char *path, mode_t mode, struct span text);

/* Puts a whole file in place of the one that may be there, whose mode and
 * owner it keeps; mode is for a new one. Readers see the old or the new. */
int token_file_replace(const char *command, const char *path, mode_t mode, struct span text);

/* Locks the path's directory against other keygens until the descriptor is
 * closed. */
int token_file_lock(const char *command, const char *path);

#endif
