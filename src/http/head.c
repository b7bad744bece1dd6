/* head.c - what the headers say: type, size, token, scopes, trace */
#include <string.h>
#include <strings.h>

#include "internal.h"

struct headers {
	const char *authorization, *type, *encoding, *prefer, *key, *traceparent;
	unsigned authorizations, keys, types;
};

static enum MHD_Result look(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct headers *h = cls;
	(void)kind;
	value = value ? value : "";
	switch (name[0] | 0x20) {
	case 'a':
		if (strcasecmp(name, "Authorization") == 0) {
			h->authorization = value;
			h->authorizations++;
		}
		break;
	case 'c':
		if (strcasecmp(name, "Content-Type") == 0) {
			h->type = value;
			h->types++;
		} else if (strcasecmp(name, "Content-Encoding") == 0) {
			h->encoding = value;
		}
		break;
	case 'i':
		if (strcasecmp(name, "Idempotency-Key") == 0) {
			h->key = value;
			h->keys++;
		}
		break;
	case 'p':
		if (strcasecmp(name, "Prefer") == 0 && (!h->prefer || head_prefer_wait(span_of(h->prefer)) < 0))
			h->prefer = value;
		break;
	case 't':
		if (strcasecmp(name, "traceparent") == 0)
			h->traceparent = value;
		break;
	default:
		break;
	}
	return MHD_YES;
}

/* ---- Prefer (RFC 7240) ---- */

static size_t skip_blanks(struct span v, size_t at)
{
	while (at < v.len && (v.ptr[at] == ' ' || v.ptr[at] == '\t'))
		at++;
	return at;
}

/* wait=N at the start of one preference; -1 when it is another, or no number. */
static int64_t wait_value(struct span v)
{
	size_t at = 4;
	if (v.len < 5 || strncasecmp(v.ptr, "wait", 4) != 0)
		return -1;
	at = skip_blanks(v, at);
	if (at == v.len || v.ptr[at] != '=')
		return -1;
	at = skip_blanks(v, at + 1);
	bool quoted = at < v.len && v.ptr[at] == '"';
	at += quoted;
	int64_t n = 0;
	size_t first = at;
	while (at < v.len && v.ptr[at] >= '0' && v.ptr[at] <= '9') {
		n = n > 1000000 ? n : n * 10 + (v.ptr[at] - '0');
		at++;
	}
	if (at == first || (quoted && (at == v.len || v.ptr[at] != '"')))
		return -1;
	at = skip_blanks(v, at + quoted);
	return at == v.len || v.ptr[at] == ';' ? n : -1;
}

/* The comma behind the preference at that place, or the end; one within a
 * quoted string is none. */
static size_t preference_end(struct span value, size_t at)
{
	bool quoted = false;
	for (; at < value.len; at++) {
		if (quoted && value.ptr[at] == '\\')
			at++;
		else if (value.ptr[at] == '"')
			quoted = !quoted;
		else if (value.ptr[at] == ',' && !quoted)
			return at;
	}
	return value.len;
}

int64_t head_prefer_wait(struct span value)
{
	size_t at = 0;
	while (at < value.len) {
		at = skip_blanks(value, at);
		size_t end = preference_end(value, at);
		int64_t wait = wait_value((struct span){value.ptr + at, end - at});
		if (wait >= 0)
			return wait;
		at = end + 1;
	}
	return -1;
}

/* ---- traceparent (W3C Trace Context, version 00 form) ---- */

static bool is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return true;
}

static void keep_traceparent(struct request *r, const char *value)
{
	if (value && strlen(value) == 55 && is_hex(value, 2) && value[2] == '-' && is_hex(value + 3, 32) &&
	    value[35] == '-' && is_hex(value + 36, 16) && value[52] == '-' && is_hex(value + 53, 2))
		memcpy(r->traceparent, value, 56);
}

/* ---- type, key ---- */

/* application/json, with no charset but UTF-8. */
static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	if (!type || strncasecmp(type, json, sizeof(json) - 1) != 0)
		return false;
	const char *rest = type + sizeof(json) - 1;
	while (*rest == ' ' || *rest == '\t')
		rest++;
	if (*rest == '\0')
		return true;
	if (*rest != ';')
		return false;
	const char *charset = strcasestr(rest, "charset=");
	if (!charset)
		return true;
	charset += 8 + (charset[8] == '"');
	return strncasecmp(charset, "utf-8", 5) == 0 && (charset[5] == '\0' || strchr("\"; \t", charset[5]));
}

static bool is_key(const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < len; i++)
		if (key[i] <= ' ' || key[i] >= 0x7f)
			return false;
	return len >= 1 && len <= 255;
}

static void refuse(struct request *r, enum problem problem, const char *detail)
{
	if (r->refusal != PROBLEM_NONE)
		return;
	r->refusal = problem;
	r->refusal_detail = detail;
}

/* ---- token and scopes ---- */

static const char *bearer(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "Bearer", 6) != 0 || authorization[6] != ' ')
		return NULL;
	authorization += 6;
	while (*authorization == ' ')
		authorization++;
	return *authorization ? authorization : NULL;
}

static void check_scopes(struct request *r)
{
	unsigned missing = r->route->scopes_all & ~r->claims->scopes;
	if (!missing && r->route->scopes_any && !(r->route->scopes_any & r->claims->scopes))
		missing = r->route->scopes_any;
	if (missing) {
		r->missing_scopes = missing;
		refuse(r, PROBLEM_INSUFFICIENT_SCOPE, NULL);
	}
}

static void check_token(struct request *r, const struct headers *h)
{
	bool cached = false;
	struct metrics *m = &r->http->metrics;
	const char *token = bearer(h->authorization);
	if (!r->route->scopes_all && !r->route->scopes_any)
		return;
	if (!token) {
		refuse(r, PROBLEM_MISSING_TOKEN, NULL);
		return;
	}
	r->verdict = token_verify(r->http->options.verifier, span_of(token), &r->claims, &cached);
	atomic_fetch_add_explicit(&m->token_verdicts[r->verdict], 1, memory_order_relaxed);
	if (cached)
		atomic_fetch_add_explicit(&m->token_cache_hits, 1, memory_order_relaxed);
	if (r->verdict != TOKEN_VALID)
		refuse(r, PROBLEM_INVALID_TOKEN, r->verdict == TOKEN_EXPIRED ? "The token has expired." : NULL);
	else
		check_scopes(r);
}

void head_read(struct request *r, uint64_t content_length)
{
	struct headers h = {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0};
	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, look, &h);
	keep_traceparent(r, h.traceparent);
	if (h.authorizations > 1)
		refuse(r, PROBLEM_BAD_REQUEST, "More than one Authorization header.");
	else if (h.keys > 1 || (h.key && !is_key(h.key)))
		refuse(r, PROBLEM_BAD_REQUEST,
		       "Idempotency-Key must be one header of 1 to 255 visible ASCII characters.");
	if (content_length > r->http->options.max_body_bytes) {
		refuse(r, PROBLEM_BODY_TOO_LARGE, NULL);
		r->refuse_now = r->close = true; /* nobody will read that body */
	}
	if (!r->route || r->refuse_now)
		return;
	if (r->route->flags & ROUTE_BODY) {
		bool identity = !h.encoding || strcasecmp(h.encoding, "identity") == 0;
		if (h.types > 1 || !is_json(h.type) || !identity)
			refuse(r, PROBLEM_UNSUPPORTED_MEDIA_TYPE, identity ? NULL : "No Content-Encoding is accepted.");
	}
	check_token(r, &h);
	if (h.prefer)
		r->prefer = span_of(h.prefer);
	if (h.key)
		r->call.idempotency_key = span_of(h.key);
}
