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
	unsigned hosts, lengths, codings;
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

/* Whether the value stands behind the name on the same line, with nothing but a
 * colon and blanks between. libmicrohttpd 0.9.75 writes a folded line
 * (RFC 9112 section 5.2) over the end of the name, so that neither is what was
 * sent and a Content-Length or Transfer-Encoding can hide in it; that is the
 * only trace it leaves. */
static bool on_one_line(const char *name, size_t name_len, const char *value)
{
	const char *at = name + name_len + 1;
	if (!value || value < at)
		return false;
	while (at < value && (*at == ' ' || *at == '\t'))
		at++;
	return at == value;
}

static enum MHD_Result look(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value,
                            size_t value_len)
{
	struct head *h = cls;
	(void)kind;
	if (!is_token(name, name_len))
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
	return h->fault ? MHD_NO : MHD_YES;
}

const char *guard_framing(struct MHD_Connection *connection, const char *version, bool *chunked,
                          uint64_t *content_length)
{
	struct head h = {NULL, 0, 0, 0, NULL, 0};
	bool http_1_1 = strcmp(version, "HTTP/1.1") == 0;
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look, &h);
	*chunked = h.codings > 0;
	*content_length = h.length;
	if (h.fault)
		return h.fault;
	if (!http_1_1 && strcmp(version, "HTTP/1.0") != 0)
		return "Only HTTP/1.0 and HTTP/1.1 are spoken here.";
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
