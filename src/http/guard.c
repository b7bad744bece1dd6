/*
 * guard.c - framing faults that libmicrohttpd lets pass
 *
 * Two parties that disagree about where a request ends can be made to see
 * different requests (smuggling). Whatever is ambiguous is refused, and the
 * connection closed so that nothing behind it is ever read as a request.
 * RFC 9112 sections 3.2, 5.1, 6.1, 6.3, 11.2.
 */
#include <string.h>
#include <strings.h>

#include "internal.h"

struct head {
	const char *fault;
	const char *end; /* of what has been looked at: the version, then each value */
	unsigned count, hosts, lengths, codings;
	const char *coding;
	uint64_t length;
};

/* RFC 9110 section 5.6.2: which of the 128 characters of ASCII a token has. */
static const uint64_t token_chars[2] = {
        UINT64_C(0x03ff6cfa00000000), /* ! # $ % & ' * + - . 0-9 */
        UINT64_C(0x57ffffffc7fffffe), /* A-Z ^ _ ` a-z | ~ */
};

static bool is_token(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c >= 128 || !(token_chars[c >> 6] >> (c & 63) & 1))
			return false;
	}
	return len > 0;
}

static bool parse_length(const char *text, size_t len, uint64_t *value)
{
	*value = 0;
	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = *value * 10 + (uint64_t)(text[i] - '0');
	}
	return true;
}

static bool is_named(const char *name, size_t len, const char *wanted)
{
	return strlen(wanted) == len && strncasecmp(name, wanted, len) == 0;
}

/* A carriage return that ends no line, or a NUL: the library has cut lines at
 * line feeds. */
static bool has_control(const char *value, size_t len)
{
	return len && (memchr(value, '\r', len) || memchr(value, '\0', len));
}

/* The checks below read what the library's parser leaves in its buffer. Later
 * than 0.9 it refuses such heads itself. */
static bool library_needs_help(void)
{
	return strncmp(MHD_get_version(), "0.9.", 4) == 0;
}

/* Whether the value stands behind the name on the same line, with nothing but a
 * colon and blanks between. libmicrohttpd 0.9.75 writes a folded line
 * (RFC 9112 section 5.2) over the end of the name, so that neither is what was
 * sent and a Content-Length or Transfer-Encoding can hide in it; that is the
 * only trace it leaves. */
static bool on_one_line(const char *name, size_t name_len, const char *value)
{
	const char *at = name + name_len + 1;
	if (!library_needs_help())
		return true;
	if (!value || value < at)
		return false;
	while (at < value && (*at == ' ' || *at == '\t'))
		at++;
	return at == value;
}

/* Whether exactly so many bytes that ended lines stand here. The library has
 * overwritten them with NULs. */
static bool are_line_ends(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != '\0')
			return false;
	return true;
}

/* Whether the name begins where a CR LF ends the line before. A bare CR or LF
 * (RFC 9112 section 2.2) is one byte, and another party may not see a line's
 * end in it. */
static bool begins_line(const struct head *h, const char *name)
{
	return !library_needs_help() || (name == h->end + 2 && are_line_ends(h->end, 2));
}

static size_t head_size(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return info ? info->header_size : 0;
}

/* Whether the head ends with an empty line and nothing else: libmicrohttpd
 * 0.9.75 takes a line that begins with a colon for the end. */
static bool ends_empty(const struct head *h, struct MHD_Connection *connection, const char *method)
{
	const union MHD_ConnectionInfo *info =
	        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return !library_needs_help() || !info || (h->end + 4 == method + info->header_size && are_line_ends(h->end, 4));
}

static enum MHD_Result look(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value,
                            size_t value_len)
{
	struct head *h = cls;
	(void)kind;
	h->count++;
	if (!begins_line(h, name))
		h->fault = "A header line does not follow a CR LF.";
	else if (!is_token(name, name_len))
		h->fault = "A header name is not a token.";
	else if (!on_one_line(name, name_len, value))
		h->fault = "A header line is folded.";
	else if (has_control(value ? value : "", value_len))
		h->fault = "A header value holds a control character.";
	else if (name_len == 4 && is_named(name, name_len, "Host"))
		h->hosts++;
	else if (name_len == 14 && is_named(name, name_len, "Content-Length")) {
		h->lengths++;
		if (!parse_length(value ? value : "", value_len, &h->length))
			h->fault = "Content-Length is not a number.";
	} else if (name_len == 17 && is_named(name, name_len, "Transfer-Encoding")) {
		h->codings++;
		h->coding = value ? value : "";
	}
	h->end = value ? value + value_len : h->end;
	return h->fault ? MHD_NO : MHD_YES;
}

const char *guard_framing(struct MHD_Connection *connection, const char *method, const char *version,
                          struct framing *framing)
{
	struct head h = {.fault = NULL, .end = version + strlen(version)};
	bool http_1_1 = strcmp(version, "HTTP/1.1") == 0;
	if (!http_1_1 && strcmp(version, "HTTP/1.0") != 0)
		return "Only HTTP/1.0 and HTTP/1.1 are spoken here.";
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look, &h);
	*framing = (struct framing){.content_length = h.length,
	                            .chunked = h.codings > 0,
	                            .headers = h.count,
	                            .head_bytes = head_size(connection)};
	if (h.fault)
		return h.fault;
	if (!ends_empty(&h, connection, method))
		return "The head does not end with an empty line.";
	if (h.codings && h.lengths)
		return "Transfer-Encoding together with Content-Length.";
	if (h.codings > 1)
		return "More than one Transfer-Encoding.";
	if (h.lengths > 1)
		return "More than one Content-Length.";
	if (h.hosts > 1)
		return "More than one Host.";
	if (h.hosts == 0 && http_1_1)
		return "No Host.";
	if (h.codings && (!http_1_1 || strcasecmp(h.coding, "chunked") != 0))
		return "Transfer-Encoding is not chunked.";
	return NULL;
}
