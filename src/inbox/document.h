/*
 * document - one trace's document, merged as text
 *
 * A document on disk is read strictly (jdoc), and written again with the
 * values it had, byte for byte, apart from white space: numbers are never
 * converted, members that we do not know stay where they are. The text is
 * held in two parts, what comes before the next shard and what comes behind.
 *
 *   document_begin   what is on the disk, or nothing yet
 *   document_add     one write, with the writer's tenant; refused ones leave
 *                    the document as it was
 *   document_text    the whole, when at least one write was taken
 *
 * OWNERSHIP  a document's memory is reused from one trace to the next;
 *            document_text's span ends with the next document_begin. The text
 *            given to document_begin must stay until then.
 * THREADS    one at a time.
 */
#ifndef SIMLANE_INBOX_DOCUMENT_H
#define SIMLANE_INBOX_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity.h"
#include "redact.h"
#include "simlane/buf.h"
#include "simlane/inbox.h"
#include "simlane/jdoc.h"

#define INBOX_VERSION     1
#define INBOX_SCHEMA_REF  "lukhas://schemas/matada_node_v1.json"
#define DEFAULT_TENANT    "default"
#define DOCUMENT_KEPT_CAP (256 * 1024) /* larger buffers are given back */

struct document {
	const char *trace_id;
	struct jdoc old; /* what is on the disk; root at 0 when has_old */
	bool has_old;
	struct span tenant; /* absent: not yet anybody's */
	struct buf owner;   /* its memory, for a new document */

	bool begun; /* head and foot are made: a write was taken */
	struct buf head, foot;
	size_t shards; /* how many stand in head */
	struct identity_set known;

	struct jdoc seed, added; /* scratch: one write's texts */
};

enum document_state {
	DOCUMENT_READY,
	DOCUMENT_CORRUPT,     /* no document of ours: to be kept aside, begin again with none */
	DOCUMENT_BAD_VERSION, /* to be left alone */
	DOCUMENT_NO_MEMORY,
};

struct document_write {
	const char *tenant;
	struct span seed;   /* JSON object */
	struct span shards; /* JSON array of objects, not empty */
	int64_t now_ms;
	struct redactor *redactor; /* NULL: nothing is redacted */
};

void document_init(struct document *d);
void document_free(struct document *d);
void document_trim(struct document *d); /* gives back what a large trace took */

/* old: the file's content, or absent. After CORRUPT begin again without. */
enum document_state document_begin(struct document *d, const char *trace_id, struct span old);

/* INBOX_OK, TRACE_TAKEN, TOO_LARGE (4096 shards, 8 MiB, or deeper than the
 * strict reader could read again), UNAVAILABLE (no memory, or not the JSON
 * that was promised). *written: how many shards were new. */
enum inbox_status document_add(struct document *d, const struct document_write *w, int *written);

/* Absent when memory ran out. Nothing can be added any more. */
struct span document_text(struct document *d);

#endif
