/*
 * regex - PCRE2 patterns, compiled once, matched by JIT within limits
 *
 * The only place that includes PCRE2. Patterns are caseless, Unicode (UTF and
 * UCP), and dot matches newline. A pattern that cannot be compiled by the JIT
 * is refused: without it one match can take seconds.
 *
 * For subjects that are pure ASCII a second compilation without UTF is kept
 * where it means the same; the caller says which kind the subject is.
 *
 * ERRORS   a match that hits a limit, or fails in any way, is REGEX_ERROR:
 *          the caller must treat it as the worst case.
 * LIMITS   PCRE2's match limit begins anew at each start offset, so it does
 *          not bound a whole match: regex_match is for short subjects (the
 *          caller cuts them and watches the time); regex_replace takes any
 *          length and watches the scratch's time budget itself.
 * THREADS  a regex: any. A regex_scratch: one at a time.
 * SOURCE   pcre2api(3), pcre2jit(3).
 */
#ifndef SIMLANE_REGEX_H
#define SIMLANE_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simlane/buf.h"
#include "simlane/fault.h"
#include "simlane/span.h"

struct regex;
struct regex_scratch; /* match data and limits, reused */

enum regex_result { REGEX_NO_MATCH, REGEX_MATCH, REGEX_ERROR };

/* NULL: fault says why (position and PCRE2's own words, never the subject). */
struct regex *regex_compile(struct span pattern, struct fault *fault);
void regex_free(struct regex *r);

/* The characters that a subject must have at least, for a match; 0: unknown. */
size_t regex_shortest(const struct regex *r);

struct regex_scratch *regex_scratch_new(void); /* NULL: no memory */
void regex_scratch_free(struct regex_scratch *s);

/* From now on all regex_replace calls with this scratch together may take that
 * long; what comes later is REGEX_ERROR. Before the first call of this, each
 * regex_replace has 200 ms of its own. */
void regex_scratch_budget(struct regex_scratch *s, int64_t budget_us);

/* The subject is valid UTF-8 (not checked again); ascii: all of it is below
 * U+0080. */
enum regex_result regex_match(const struct regex *r, struct regex_scratch *s, struct span subject, bool ascii);

/* The same, and where: at and len in bytes of the subject, set on a match. */
enum regex_result regex_find(const struct regex *r, struct regex_scratch *s, struct span subject, bool ascii,
                             size_t *at, size_t *len);

/* Appends the subject to out with every match replaced by the literal text.
 * Empty matches do not count. On REGEX_ERROR what was appended is of no use:
 * the caller cuts it off again. */
enum regex_result regex_replace(const struct regex *r, struct regex_scratch *s, struct span subject,
                                const char *literal, struct buf *out);

#endif
