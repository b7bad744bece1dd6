/* redis_url.c - see redis_url.h
 *
 * A fault repeats nothing of the text but short numbers where the grammar has
 * a number: whatever else is in the wrong place may be a password.
 */
#include "redis_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "redis_tls.h"
#include "simlane/crypto.h"
#include "simlane/span.h"

#define PORT_REDIS    6379
#define PORT_SENTINEL 26379
#define DB_MAX        65535
#define DIGITS_MAX    5u

static const struct scheme {
	const char *prefix;
	enum redis_kind kind;
	bool tls;
} schemes[] = {
        {"redis://", REDIS_TCP, false},
        {"rediss://", REDIS_TCP, true},
        {"unix://", REDIS_UNIX, false},
        {"redis+sentinel://", REDIS_SENTINEL, false},
};

/* What is left of s behind the first `taken` bytes. */
static struct span behind(struct span s, size_t taken)
{
	return (struct span){s.ptr + taken, s.len - taken};
}

/* Bytes of s before the first that is one of stops; all when there is none. */
static size_t until(struct span s, const char *stops)
{
	size_t n = 0;

	while (n < s.len && !strchr(stops, s.ptr[n]))
		n++;
	return n;
}

/* Splits s at the first c: the part before it; *rest what follows, absent when
 * there is no c. */
static struct span split(struct span s, char c, struct span *rest)
{
	size_t n = until(s, (char[]){c, '\0'});

	*rest = n < s.len ? behind(s, n + 1) : (struct span){NULL, 0};
	return (struct span){s.ptr, n};
}

static bool has(struct span s, char c)
{
	return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

static int parse_number(const char *what, struct span text, int min, int max, int *out, struct fault *fault)
{
	int value = 0;

	if (text.len == 0 || text.len > DIGITS_MAX)
		return fault_set(fault, "REDIS_URL: the %s is not a number from %d to %d", what, min, max);
	for (size_t i = 0; i < text.len; i++) {
		if (!isdigit((unsigned char)text.ptr[i]))
			return fault_set(fault, "REDIS_URL: the %s is not a number from %d to %d", what, min, max);
		value = value * 10 + (text.ptr[i] - '0');
	}
	if (value < min || value > max)
		return fault_set(fault, "REDIS_URL: %s %d is not %d..%d", what, value, min, max);
	*out = value;
	return 0;
}

/* RFC 3986, 2.1. */
static int parse_encoded(const char *what, struct span text, char *out, size_t size, struct fault *fault)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '%') {
			unsigned byte;
			char hex[3] = "";

			if (i + 2 >= text.len || !isxdigit((unsigned char)text.ptr[i + 1]) ||
			    !isxdigit((unsigned char)text.ptr[i + 2]))
				return fault_set(fault, "REDIS_URL: in the %s a %% is not followed by two hex digits",
				                 what);
			memcpy(hex, text.ptr + i + 1, 2);
			if (sscanf(hex, "%2x", &byte) != 1 || byte == 0)
				return fault_set(fault, "REDIS_URL: the %s holds a %%00", what);
			c = (char)byte;
			i += 2;
		}
		if (n + 1 >= size)
			return fault_set(fault, "REDIS_URL: the %s is longer than %zu bytes", what, size - 1);
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

static int parse_login(struct span text, struct redis_url *url, struct fault *fault)
{
	struct span password, user = split(text, ':', &password);

	if (!password.ptr)
		return fault_set(fault, "REDIS_URL: before the @ there is no : and password");
	if (password.len == 0)
		return fault_set(fault, "REDIS_URL: the password is empty");
	if (parse_encoded("user", user, url->user, sizeof(url->user), fault) != 0)
		return -1;
	return parse_encoded("password", password, url->password, sizeof(url->password), fault);
}

/* What comes before host or path: taken from *rest. */
static int take_login(struct span *rest, struct redis_url *url, struct fault *fault)
{
	struct span authority = {rest->ptr, until(*rest, "/?#")};
	struct span host, login = split(authority, '@', &host);

	bool at_path = url->kind == REDIS_UNIX && (authority.len == 0 || (host.ptr && host.len == 0));

	/* a path may hold a @ */
	if (has(host, '@') || (!at_path && has(behind(*rest, authority.len), '@')))
		return fault_set(fault, "REDIS_URL: in user and password / ? # @ are written %%2F %%3F %%23 %%40");
	if (!host.ptr)
		return 0;
	*rest = behind(*rest, login.len + 1);
	return parse_login(login, url, fault);
}

static bool is_host_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.ptr[i]) && !strchr(".-_", s.ptr[i]))
			return false;
	return s.len > 0 && s.ptr[0] != '-' && s.ptr[0] != '.';
}

static int parse_host_name(struct span text, bool bracketed, char *out, size_t size, struct fault *fault)
{
	unsigned char address[16];

	if (text.len == 0)
		return fault_set(fault, "REDIS_URL: there is no host");
	if (text.len >= size)
		return fault_set(fault, "REDIS_URL: the host is longer than %zu bytes", size - 1);
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
	if (bracketed && inet_pton(AF_INET6, out, address) != 1)
		return fault_set(fault, "REDIS_URL: what is in [ ] is not an IPv6 address");
	if (!bracketed && !is_host_name(text))
		return fault_set(fault, "REDIS_URL: the host is not a name or address (IPv6 is written in [ ])");
	return 0;
}

static int parse_host(struct span text, int default_port, struct redis_host *host, struct fault *fault)
{
	bool bracketed = text.len > 0 && text.ptr[0] == '[';
	struct span name, port;

	host->port = default_port;
	if (bracketed) {
		name = split(behind(text, 1), ']', &port);
		if (!port.ptr || (port.len > 0 && port.ptr[0] != ':'))
			return fault_set(fault, "REDIS_URL: a [ is not closed by ] before the port");
		port = port.len > 0 ? behind(port, 1) : (struct span){NULL, 0};
	} else {
		name = split(text, ':', &port);
	}
	if (parse_host_name(name, bracketed, host->name, sizeof(host->name), fault) != 0)
		return -1;
	return port.ptr ? parse_number("port", port, 1, 65535, &host->port, fault) : 0;
}

/* text: what follows the / behind host or name; nothing is database 0. */
static int parse_db(struct span text, struct redis_url *url, struct fault *fault)
{
	return text.len == 0 ? 0 : parse_number("database", text, 0, DB_MAX, &url->db, fault);
}

static int parse_tcp(struct span rest, struct redis_url *url, struct fault *fault)
{
	struct span db, host = split(rest, '/', &db);

	url->host_count = 1;
	if (parse_host(host, PORT_REDIS, &url->hosts[0], fault) != 0)
		return -1;
	return parse_db(db, url, fault);
}

static int parse_unix(struct span rest, struct redis_url *url, struct fault *fault)
{
	struct span query, path = split(rest, '?', &query);

	if (path.len < 2 || path.ptr[0] != '/')
		return fault_set(
		        fault, "REDIS_URL: unix:// is not followed by an absolute path, as in unix:///run/redis.sock");
	if (parse_encoded("path", path, url->path, sizeof(url->path), fault) != 0)
		return -1;
	if (!query.ptr)
		return 0;
	if (query.len < 3 || memcmp(query.ptr, "db=", 3) != 0)
		return fault_set(fault, "REDIS_URL: behind the path of unix:// only ?db= may stand");
	return parse_number("database", behind(query, 3), 0, DB_MAX, &url->db, fault);
}

/* The names that Sentinel itself allows. */
static int parse_service(struct span text, struct redis_url *url, struct fault *fault)
{
	if (text.len == 0)
		return fault_set(fault, "REDIS_URL: the Sentinels are not followed by /name");
	if (text.len >= sizeof(url->service))
		return fault_set(fault, "REDIS_URL: the name is longer than %zu bytes", sizeof(url->service) - 1);
	for (size_t i = 0; i < text.len; i++)
		if (!isalnum((unsigned char)text.ptr[i]) && !strchr(".-_", text.ptr[i]))
			return fault_set(fault, "REDIS_URL: the name behind the Sentinels is not of A-Z a-z 0-9 . - _");
	memcpy(url->service, text.ptr, text.len);
	url->service[text.len] = '\0';
	return 0;
}

static int parse_sentinels(struct span rest, struct redis_url *url, struct fault *fault)
{
	struct span path, service, db, hosts = split(rest, '/', &path);

	do {
		struct span host = split(hosts, ',', &hosts);

		if (url->host_count == REDIS_MAX_HOSTS)
			return fault_set(fault, "REDIS_URL: there are more than %u Sentinels", REDIS_MAX_HOSTS);
		if (parse_host(host, PORT_SENTINEL, &url->hosts[url->host_count++], fault) != 0)
			return -1;
	} while (hosts.ptr);
	if (!path.ptr)
		return fault_set(fault, "REDIS_URL: the Sentinels are not followed by /name");
	service = split(path, '/', &db);
	return parse_service(service, url, fault) != 0 ? -1 : parse_db(db, url, fault);
}

static int parse_rest(struct span rest, struct redis_url *url, struct fault *fault)
{
	if (take_login(&rest, url, fault) != 0)
		return -1;
	if (has(rest, '#') || (has(rest, '?') && url->kind != REDIS_UNIX))
		return fault_set(fault, "REDIS_URL: there is a ? or # behind the host");
	switch (url->kind) {
	case REDIS_TCP:
		return parse_tcp(rest, url, fault);
	case REDIS_UNIX:
		return parse_unix(rest, url, fault);
	default:
		return parse_sentinels(rest, url, fault);
	}
}

static const struct scheme *scheme_of(const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
			return &schemes[i];
	return NULL;
}

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static int parse(const char *text, struct redis_url *url, struct fault *fault)
{
	const struct scheme *scheme = scheme_of(text);

	if (!scheme)
		return fault_set(fault,
		                 "REDIS_URL: does not begin with redis://, rediss://, unix:// or redis+sentinel://");
	if (!is_plain(text))
		return fault_set(fault, "REDIS_URL: holds a blank or another character that must be percent-encoded");
	if (scheme->tls && !redis_tls_built_in())
		return fault_set(fault,
		                 "REDIS_URL: rediss:// cannot be had: hiredis here has no TLS: put stunnel in front, "
		                 "or build against a hiredis with hiredis_ssl");
	url->kind = scheme->kind;
	url->tls = scheme->tls;
	return parse_rest(span_of(text + strlen(scheme->prefix)), url, fault);
}

int redis_url_parse(const char *text, struct redis_url *url, struct fault *fault)
{
	memset(url, 0, sizeof(*url));
	if (parse(text, url, fault) == 0)
		return 0;
	crypto_wipe(url, sizeof(*url));
	return -1;
}

static void append(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *out, size_t size, const char *format, ...)
{
	size_t at = strlen(out);
	va_list args;

	va_start(args, format);
	if (vsnprintf(out + at, size - at, format, args) < 0)
		out[at] = '\0';
	va_end(args);
}

static void append_host(char *out, size_t size, const struct redis_host *host)
{
	append(out, size, strchr(host->name, ':') ? "[%s]:%d" : "%s:%d", host->name, host->port);
}

void redis_url_show(const struct redis_url *url, char *out, size_t size)
{
	if (size == 0)
		return;
	out[0] = '\0';
	switch (url->kind) {
	case REDIS_TCP:
		append(out, size, "%s", url->tls ? "rediss://" : "redis://");
		append_host(out, size, &url->hosts[0]);
		append(out, size, "/%d", url->db);
		return;
	case REDIS_UNIX:
		append(out, size, "unix:%s db %d", url->path, url->db);
		return;
	case REDIS_SENTINEL:
		append(out, size, "sentinel %s at ", url->service);
		for (size_t i = 0; i < url->host_count; i++) {
			append(out, size, "%s", i ? "," : "");
			append_host(out, size, &url->hosts[i]);
		}
		if (url->db)
			append(out, size, " db %d", url->db);
		return;
	}
}
