/*
 * ids - job and trace identifiers
 *
 * job_id    JOB- and 12 lower-case hex digits (48 random bits)
 * trace_id  LT-, Unix milliseconds, -, 8 lower-case hex digits
 *
 * Random bits come from the kernel's generator, drawn a few hundred at a
 * time. Uniqueness is the store's: it creates a job only if the id is free,
 * and the caller draws again.
 *
 * THREADS  any; an idgen locks itself.
 */
#ifndef SIMLANE_IDS_H
#define SIMLANE_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "simlane/span.h"

#define JOB_ID_SIZE    17  /* with its NUL */
#define TRACE_ID_SIZE  33  /* of our own traces, with the NUL: LT- + <=20 digits + - + 8 */
#define TRACE_ANY_SIZE 129 /* of foreign traces, with the NUL */

struct idgen;

struct idgen *idgen_new(void); /* NULL: no memory */
void idgen_free(struct idgen *g);

void idgen_job(struct idgen *g, char out[JOB_ID_SIZE]);
void idgen_trace(struct idgen *g, int64_t now_ms, char out[TRACE_ID_SIZE]);

/* JOB- and 12 lower-case hex digits, and nothing else. bits may be NULL. */
bool job_id_parse(struct span text, uint64_t *bits);
void job_id_format(uint64_t bits, char out[JOB_ID_SIZE]);

/* LT-<ms>-<8 hex>, as idgen_trace makes them. Either pointer may be NULL. */
bool trace_id_parse(struct span text, int64_t *ms, uint32_t *bits);
void trace_id_format(int64_t ms, uint32_t bits, char out[TRACE_ID_SIZE]);

/* What may become a file name: 1-128 of A-Z a-z 0-9 . _ -, the first one a
 * letter or digit. Our own traces are of this form too. */
bool trace_id_valid(struct span text);

/* 1-64 of A-Z a-z 0-9 . _ - */
bool tenant_valid(struct span text);

#endif
