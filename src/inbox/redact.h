/*
 * redact - what the inbox keeps of a document's text
 *
 * Appends a JSON value with
 *   - "***REDACTED***" for the value, of whatever type, of any member whose
 *     lower-cased name contains password, secret, token, apikey, api_key,
 *     auth or bearer;
 *   - e-mail addresses as [email], then telephone numbers as [phone], in every
 *     other string, member names included. A name that changes stays unique
 *     in its object: from the second on, #2, #3, ... is appended.
 * Identities and times keep their text: the string values of members named
 * trace_id, job_id, node_id, id, index, timestamp, saved_ts or ts, and any
 * string that is as a whole a job id, a trace id of ours or an RFC 3339 time.
 * Numbers are no strings and stay.
 *
 * ERRORS     a pattern that cannot be matched (a limit), or is missing, is
 *            the worst case: the whole string becomes "***REDACTED***".
 *            Memory: out->failed.
 * OWNERSHIP  a redactor owns its scratch memory.
 * THREADS    one at a time.
 */
#ifndef SIMLANE_INBOX_REDACT_H
#define SIMLANE_INBOX_REDACT_H

#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/jdoc.h"
#include "simlane/regex.h"

struct redactor {
	const struct regex *email, *phone; /* the write's, set before each use */
	struct regex_scratch *scratch;
	struct buf first, second; /* one string's text after each pattern */
};

int redactor_init(struct redactor *r); /* 0, or -1: no memory */
void redactor_free(struct redactor *r);

/* Appends the value at that node, compact and redacted. r NULL: compact only. */
void redact_value(struct redactor *r, const struct jdoc *d, uint32_t node, struct buf *out);

#endif
