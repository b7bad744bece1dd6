/*
 * config.c - the one table of settings, and how it is read and printed
 */
#include "simlane/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum type { TYPE_BOOL, TYPE_INT, TYPE_TEXT, TYPE_CHOICE, TYPE_LISTEN };

struct setting {
	const char *name;
	enum type type;
	size_t offset;        /* of the member in struct config */
	int64_t min, max;     /* TYPE_INT */
	const char *choices;  /* TYPE_CHOICE: words with a space between */
	const char *fallback; /* the default as it would be written; NULL: none */
	const char *shown;    /* how the default is shown where it is not a value; or NULL */
	const char *prose;
};

#define AT(member) offsetof(struct config, member)

static const struct setting settings[] = {
        {"SIMULATION_ENABLED", TYPE_BOOL, AT(enabled), 0, 0, NULL, "true", NULL,
         "Whether the lane takes new seeds. Off, /schedule answers 403 lane-disabled and everything else works."},
        {"SIM_LISTEN", TYPE_LISTEN, AT(listen), 0, 0, NULL, "127.0.0.1:8080", NULL,
         "Where to listen: 127.0.0.1:8080, [::1]:8080 or unix:PATH; port 0 takes a free one. A socket passed by "
         "systemd wins."},
        {"SIM_ADMIN_LISTEN", TYPE_LISTEN, AT(admin_listen), 0, 0, NULL, NULL, "none",
         "A second listener for /metrics, /health, /livez and /readyz. Without it /metrics is served on SIM_LISTEN "
         "while that is loopback or a Unix socket."},
        {"SIM_HTTP_THREADS", TYPE_INT, AT(http_threads), 1, 256, NULL, NULL, "cores", "Threads that serve HTTP."},
        {"SIM_MAX_CONNECTIONS", TYPE_INT, AT(max_connections), 16, 1000000, NULL, "4096", NULL,
         "Connections at once, in all. At most half of them may wait for an answer at the same time."},
        {"SIM_MAX_BODY_BYTES", TYPE_INT, AT(max_body_bytes), 1024, 67108864, NULL, "262144", NULL,
         "Largest request body."},
        {"SIM_REQUEST_TIMEOUT_MS", TYPE_INT, AT(request_timeout_ms), 100, 600000, NULL, "10000", NULL,
         "How long a request may take to arrive, and how long the store or the inbox may take to answer."},
        {"SIM_JOB_STORE", TYPE_CHOICE, AT(job_store), 0, 0, "memory sqlite redis", "memory", NULL,
         "Where jobs are kept. memory: in this process, gone when it ends. sqlite: in one file on this machine. "
         "redis: in a Redis that any number of daemons may share."},
        {"SIM_SQLITE_PATH", TYPE_TEXT, AT(sqlite_path), 0, 0, NULL, NULL, "required by sqlite",
         "The database file of SIM_JOB_STORE=sqlite, made when missing. One daemon a file."},
        {"REDIS_URL", TYPE_TEXT, AT(redis_url), 0, 0, NULL, NULL, "required by redis",
         "The engine of SIM_JOB_STORE=redis: redis://[user:password@]host[:port][/db], unix://path[?db=n], "
         "redis+sentinel://[user:password@]host:port,host:port/name[/db]; rediss:// where hiredis has TLS."},
        {"SIM_REDIS_PREFIX", TYPE_TEXT, AT(redis_prefix), 0, 0, NULL, "{lukhas:sim:jobs}:", NULL,
         "What the names of all keys and channels in Redis begin with; it holds a {hash tag}. Daemons that share jobs "
         "share it."},
        {"SIM_REDIS_WAIT_REPLICAS", TYPE_INT, AT(redis_wait_replicas), 0, 16, NULL, "0", NULL,
         "Replicas that must have a change before it is acknowledged. With 0 a fail-over may lose the last moment."},
        {"SIM_JOB_TTL_MS", TYPE_INT, AT(job_ttl_ms), 1000, 31536000000, NULL, "86400000", NULL,
         "How long a job lives from its creation; also the most that a request's ttl_ms may ask for."},
        {"SIM_MAX_JOBS", TYPE_INT, AT(max_jobs), 1, 1000000000, NULL, "1000000", NULL,
         "Unfinished jobs at once; one more is refused with 503 store-full."},
        {"SIM_MEMORY_MAX_BYTES", TYPE_INT, AT(memory_max_bytes), 1048576, INT64_MAX, NULL, "1073741824", NULL,
         "All that the memory store may hold; beyond it 503 store-full."},
        {"SIM_POLICY_FILE", TYPE_TEXT, AT(policy_file), 0, 0, NULL, NULL, "built-in",
         "The policy. Read again on SIGHUP and when the file changes."},
        {"SIM_KEYRING_FILE", TYPE_TEXT, AT(keyring_file), 0, 0, NULL, NULL, "required",
         "JWK Set of the public Ed25519 keys whose tokens are accepted. Read again like the policy."},
        {"SIM_REVOKED_FILE", TYPE_TEXT, AT(revoked_file), 0, 0, NULL, NULL, "none",
         "Revoked tokens, one jti, sub:NAME or kid:NAME a line. Read again like the policy."},
        {"SIM_TOKEN_AUDIENCE", TYPE_TEXT, AT(audience), 0, 0, NULL, NULL, "none",
         "When set, a token's aud must hold it."},
        {"SIM_CLOCK_SKEW_S", TYPE_INT, AT(clock_skew_s), 0, 600, NULL, "30", NULL,
         "How far the clocks of token issuers may be off, in seconds."},
        {"DREAM_INBOX_DIR", TYPE_TEXT, AT(inbox_dir), 0, 0, NULL, "memory/inbox/dreams", NULL,
         "The dream inbox: one JSON document a trace. Made when missing."},
        {"DREAM_INBOX_REDACT", TYPE_BOOL, AT(inbox_redact), 0, 0, NULL, "0", NULL,
         "Redact secrets, e-mail addresses and telephone numbers in what the inbox stores."},
        {"SIM_LOG_LEVEL", TYPE_CHOICE, AT(log_level), 0, 0, "debug info warn error", "info", NULL,
         "Least level of the lines written to standard error."},
        {"SIM_LOG_FORMAT", TYPE_CHOICE, AT(log_format), 0, 0, "text json", "text", NULL, "Form of these lines."},
        {"SIM_DRAIN_MS", TYPE_INT, AT(drain_ms), 0, 600000, NULL, "10000", NULL,
         "On SIGTERM: how long accepted requests may take to be answered."},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* ---- reading ---- */

static int parse_bool(const char *text, bool *value)
{
	static const char *const on[] = {"1", "true", "yes", "on"};
	static const char *const off[] = {"0", "false", "no", "off"};
	for (size_t i = 0; i < 4; i++) {
		if (strcasecmp(text, on[i]) == 0 || strcasecmp(text, off[i]) == 0) {
			*value = strcasecmp(text, on[i]) == 0;
			return 0;
		}
	}
	return -1;
}

static int parse_int(const char *text, int64_t *value)
{
	char *end;
	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	*value = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? 0 : -1;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);
	if (strchr(text, ' '))
		return false;
	for (const char *at = choices; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
		if (strncmp(at, text, len) == 0 && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* HOST:PORT, [HOST]:PORT or unix:PATH; the host itself is looked at when the
 * socket is opened. */
static bool is_listen(const char *text)
{
	int64_t port;
	if (strncmp(text, "unix:", 5) == 0)
		return text[5] != '\0' && strlen(text + 5) < 108;
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text || parse_int(colon + 1, &port) != 0 || port > 65535)
		return false;
	if (text[0] == '[')
		return colon[-1] == ']';
	return strchr(text, ':') == colon;
}

static int set_int(const struct setting *s, const char *text, int64_t *member, struct fault *fault)
{
	int64_t value;
	if (parse_int(text, &value) != 0 || value < s->min || value > s->max)
		return fault_set(fault, "%s=%s: must be a whole number from %lld to %lld", s->name, text,
		                 (long long)s->min, (long long)s->max);
	*member = value;
	return 0;
}

static int set(const struct setting *s, const char *text, struct config *c, struct fault *fault)
{
	void *member = (char *)c + s->offset;
	if (*text == '\0')
		return fault_set(fault, "%s is empty: leave it out for the default", s->name);
	switch (s->type) {
	case TYPE_BOOL:
		if (parse_bool(text, member) != 0)
			return fault_set(fault, "%s=%s: must be true or false (1, yes, on; 0, no, off)", s->name, text);
		return 0;
	case TYPE_INT:
		return set_int(s, text, member, fault);
	case TYPE_CHOICE:
		if (!is_choice(s->choices, text))
			return fault_set(fault, "%s=%s: must be one of: %s", s->name, text, s->choices);
		break;
	case TYPE_LISTEN:
		if (!is_listen(text))
			return fault_set(fault, "%s=%s: must be HOST:PORT, [HOST]:PORT or unix:PATH", s->name, text);
		break;
	case TYPE_TEXT:
		break;
	}
	*(const char **)member = text;
	return 0;
}

static const struct setting *find(const char *name, size_t len)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
			return &settings[i];
	return NULL;
}

static bool is_ours(const char *name)
{
	return strncmp(name, "SIM_", 4) == 0 || strncmp(name, "SIMULATION_", 11) == 0 ||
	       strncmp(name, "DREAM_INBOX_", 12) == 0 || strncmp(name, "REDIS_URL=", 10) == 0;
}

/* The tests' own backend, offered to nobody else. */
static bool is_test_store(const struct setting *s, const char *text, char *const *environment)
{
	if (s->offset != AT(job_store) || strcmp(text, "failing") != 0)
		return false;
	for (; *environment; environment++)
		if (strcmp(*environment, "SIMLANE_TEST=1") == 0)
			return true;
	return false;
}

static int check_required(const struct config *c, struct fault *fault)
{
	if (!c->keyring_file)
		return fault_set(fault, "SIM_KEYRING_FILE is required: the public keys whose tokens are accepted "
		                        "(simlane keygen makes one)");
	if (strcmp(c->job_store, "sqlite") == 0 && !c->sqlite_path)
		return fault_set(fault, "SIM_SQLITE_PATH is required by SIM_JOB_STORE=sqlite: the database file");
	if (strcmp(c->job_store, "redis") == 0 && !c->redis_url)
		return fault_set(fault, "REDIS_URL is required by SIM_JOB_STORE=redis: where the Redis is");
	return 0;
}

int config_load(struct config *c, char *const *environment, struct fault *fault)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < SETTINGS; i++)
		if (settings[i].fallback && set(&settings[i], settings[i].fallback, c, fault) != 0)
			return -1;
	for (char *const *e = environment; *e; e++) {
		const char *equals = strchr(*e, '=');
		if (!equals || !is_ours(*e))
			continue;
		const struct setting *s = find(*e, (size_t)(equals - *e));
		if (!s)
			return fault_set(fault, "%.*s: no such setting (simlaned --help lists them)",
			                 (int)(equals - *e), *e);
		if (is_test_store(s, equals + 1, environment))
			c->job_store = equals + 1;
		else if (set(s, equals + 1, c, fault) != 0)
			return -1;
	}
	return check_required(c, fault);
}

/* ---- printing ---- */

static const char *shown_default(const struct setting *s)
{
	return s->fallback ? s->fallback : s->shown;
}

/* Prose broken at blanks so that lines stay within width, each after indent. */
static void print_wrapped(FILE *out, const char *prose, const char *indent, size_t width)
{
	while (*prose) {
		size_t len = strlen(prose), take = len;
		if (len > width) {
			take = width;
			while (take > 0 && prose[take] != ' ')
				take--;
			if (take == 0)
				take = len;
		}
		fprintf(out, "%s%.*s\n", indent, (int)take, prose);
		prose += take;
		while (*prose == ' ')
			prose++;
	}
}

static void print_bounds(FILE *out, const struct setting *s, const char *before, const char *after)
{
	if (s->type == TYPE_INT)
		fprintf(out, "%s%lld to %lld%s", before, (long long)s->min, (long long)s->max, after);
	else if (s->type == TYPE_CHOICE)
		fprintf(out, "%sone of: %s%s", before, s->choices, after);
}

static void print_help(FILE *out, const struct setting *s)
{
	fprintf(out, "  %s (default: %s)\n", s->name, shown_default(s));
	print_bounds(out, s, "      ", "\n");
	print_wrapped(out, s->prose, "      ", 72);
}

static void print_env(FILE *out, const struct setting *s)
{
	print_wrapped(out, s->prose, "# ", 76);
	print_bounds(out, s, "# (", ")\n");
	if (s->fallback)
		fprintf(out, "#%s=%s\n\n", s->name, s->fallback);
	else
		fprintf(out, "# (default: %s)\n#%s=\n\n", s->shown, s->name);
}

static void print_man(FILE *out, const struct setting *s)
{
	fprintf(out, ".TP\n.B %s\n", s->name);
	fprintf(out, "Default: %s.\n", shown_default(s));
	print_bounds(out, s, "(", ")\n");
	fprintf(out, "%s\n", s->prose);
}

static void print_markdown(FILE *out, const struct setting *s)
{
	fprintf(out, "| `%s` | `%s` | %s |\n", s->name, shown_default(s), s->prose);
}

void config_print(FILE *out, enum config_style style)
{
	static void (*const printers[])(FILE *, const struct setting *) = {
	        [CONFIG_HELP] = print_help,
	        [CONFIG_ENV] = print_env,
	        [CONFIG_MAN] = print_man,
	        [CONFIG_MARKDOWN] = print_markdown,
	};
	if (style == CONFIG_ENV)
		fputs("# simlaned's settings. Each line below shows the default; take the # away to change one.\n"
		      "# An unknown name or a bad value stops the start with a line that names it.\n\n",
		      out);
	if (style == CONFIG_MARKDOWN)
		fputs("| name | default | what it does |\n|---|---|---|\n", out);
	for (size_t i = 0; i < SETTINGS; i++)
		printers[style](out, &settings[i]);
}
