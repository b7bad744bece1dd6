/*
 * fault - what went wrong, for the person who has to mend it
 *
 * Functions that load something an operator wrote (settings, policy,
 * keyring) fill a struct fault with one line that names the place and the
 * reason. Functions on a request's way return an enum of their own instead.
 *
 * OWNERSHIP  plain memory of the caller; nothing to free.
 * THREADS    any; a fault belongs to whoever declared it.
 */
#ifndef SIMLANE_FAULT_H
#define SIMLANE_FAULT_H

#include <stdarg.h>

struct fault {
	char text[512]; /* one line, no newline, NUL-terminated; "" when empty */
};

/* Writes the line, cut to fit. f may be NULL. Always returns -1, so that a
 * function may end with: return fault_set(f, "..."). */
int fault_set(struct fault *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
