/*
 * token/text - what may stand in a claim, and the times in it
 *
 * THREADS  any; nothing is kept.
 */
#ifndef SIMLANE_TOKEN_TEXT_H
#define SIMLANE_TOKEN_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/span.h"

#define TOKEN_TEXT_MAX_CHARS 256

/* Latest time that a claim may name: 9999-12-31T23:59:59.999Z. The earliest is
 * the epoch. */
#define TOKEN_TIME_MAX_MS INT64_C(253402300799999)

#define RFC3339_SIZE 32 /* of a formatted time, with its NUL */

/* iss, sub, jti, kid: 1-256 printable characters, valid UTF-8. Printable is
 * whatever a person can see in a log: no control characters, no line or
 * paragraph separators, no invisible or direction-changing format characters,
 * no noncharacters, no space at either end. */
bool token_text_valid(struct span text);

/* An RFC 3339 date-time, any offset, fraction cut to milliseconds; "T" and "Z"
 * in either case, a leap second only where one can be. False: not of that
 * form, or outside the range above. */
bool rfc3339_parse(struct span text, int64_t *ms);

/* In UTC, with milliseconds only when there are some. ms within the range. */
void rfc3339_format(int64_t ms, char out[RFC3339_SIZE]);

/* A NumericDate (RFC 7519 section 2) in seconds, given as integer or real. */
bool numeric_date_int(int64_t seconds, int64_t *ms);
bool numeric_date_real(double seconds, int64_t *ms);

#endif
