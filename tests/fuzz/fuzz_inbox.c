/*
 * fuzz_inbox.c - a hostile document on disk, hostile shards, redaction
 *
 * Input: one byte of choices, the document that is there, a byte 0xff, the
 * shards, a byte 0xff, the seed. What is promised: whatever is taken gives a
 * document that can be read again, holds the same shards, and takes the same
 * shards a second time as nothing new; redaction keeps all this.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/inbox/document.h"
#include "simlane/regex.h"

static struct document doc;
static struct redactor redactor;
static struct regex *email, *phone;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (crypto_init() != 0 || redactor_init(&redactor) != 0)
		abort();
	email = regex_compile(span_of("\\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\\.[A-Z]{2,}\\b"), NULL);
	phone = regex_compile(span_of("\\b(\\+?\\d{1,3})?[-.\\s]?\\(?\\d{2,4}\\)?[-.\\s]?\\d{3,4}[-.\\s]?\\d{3,4}\\b"),
	                      NULL);
	if (!email || !phone)
		abort();
	redactor.email = email;
	redactor.phone = phone;
	document_init(&doc);
	return 0;
}

/* The next part, up to 0xff or the end, in memory of its own so that an
 * over-read is seen. */
static char *part(const uint8_t **data, size_t *size, struct span *out)
{
	const uint8_t *end = *size ? memchr(*data, 0xff, *size) : NULL;
	size_t len = end ? (size_t)(end - *data) : *size;
	char *copy = malloc(len ? len : 1);
	if (!copy)
		abort();
	if (len)
		memcpy(copy, *data, len);
	*out = (struct span){copy, len};
	*data += len + (end ? 1 : 0);
	*size -= len + (end ? 1 : 0);
	return copy;
}

/* What was written must be a document of ours, and know its shards. */
static void read_again(struct span text, const struct document_write *w)
{
	int written;
	char *copy = malloc(text.len);
	if (!copy)
		abort();
	memcpy(copy, text.ptr, text.len);
	struct span old = {copy, text.len};
	if (document_begin(&doc, "trace", old) != DOCUMENT_READY)
		abort();
	enum inbox_status status = document_add(&doc, w, &written);
	if (status != INBOX_OK || written != 0)
		abort();
	if (!document_text(&doc).ptr)
		abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span old, shards, seed;
	int written;
	if (size == 0)
		return 0;
	uint8_t choices = *data++;
	size--;
	char *parts[3];
	parts[0] = part(&data, &size, &old);
	parts[1] = part(&data, &size, &shards);
	parts[2] = part(&data, &size, &seed);
	if (seed.len == 0)
		seed = span_of("{}");
	if (document_begin(&doc, "trace", choices & 1 ? old : (struct span){NULL, 0}) != DOCUMENT_READY &&
	    document_begin(&doc, "trace", (struct span){NULL, 0}) != DOCUMENT_READY)
		abort();
	struct document_write w = {.tenant = "default",
	                           .seed = seed,
	                           .shards = shards,
	                           .now_ms = 1700000000000,
	                           .redactor = choices & 2 ? &redactor : NULL};
	if (choices & 2)
		regex_scratch_budget(redactor.scratch, 250000);
	if (document_add(&doc, &w, &written) == INBOX_OK) {
		struct span text = document_text(&doc);
		if (!text.ptr)
			abort();
		char *copy = malloc(text.len);
		if (!copy)
			abort();
		memcpy(copy, text.ptr, text.len);
		read_again((struct span){copy, text.len}, &w);
		free(copy);
	}
	document_trim(&doc);
	for (int k = 0; k < 3; k++)
		free(parts[k]);
	return 0;
}
