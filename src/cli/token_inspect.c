/*
 * simlane token inspect - what a token says, and whether it is valid
 *
 * The token comes from a file or standard input, never from the command line,
 * where others could see it. Whatever a token holds is shown escaped.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "simlane/buf.h"
#include "simlane/clock.h"
#include "simlane/jdoc.h"
#include "simlane/token.h"
#include "token_file.h"
#include "token_key.h"

#define NAME           "token inspect"
#define FILE_MAX_BYTES (64 * 1024 * 1024)

static const char usage[] = "usage: simlane token inspect [FILE|-] [OPTION...]\n"
                            "\n"
                            "Shows what a token says; with a keyring, also whether the daemon would take it.\n"
                            "The token is read from FILE or from standard input.\n"
                            "\n"
                            "  --keyring FILE    check its signature and claims against this keyring\n"
                            "  --revoked FILE    and against this revocation list\n"
                            "  --audience A      and for this audience (SIM_TOKEN_AUDIENCE)\n"
                            "  --skew TIME       clocks may differ by this much (default: 30s)\n"
                            "\n"
                            "Exit codes: 0 valid (without --keyring: readable), 1 not, 2 usage.\n";

struct inspecting {
	const char *path, *keyring_path, *revoked_path, *audience;
	int64_t skew_ms, now_ms;
};

static int usage_error(const char *why, const char *what)
{
	token_complain(NAME, "%s%s%s", why, what ? ": " : "", what ? what : "");
	fputs("Try 'simlane token inspect --help'.\n", stderr);
	return 2;
}

static bool looks_like_token(const char *text)
{
	const char *dot = strchr(text, '.');

	return strncmp(text, "v4.", 3) == 0 || (strncmp(text, "eyJ", 3) == 0 && dot && strchr(dot + 1, '.'));
}

static int take_option(struct inspecting *in, int option, const char *value)
{
	switch (option) {
	case 'r':
		in->keyring_path = value;
		return 0;
	case 'v':
		in->revoked_path = value;
		return 0;
	case 'A':
		in->audience = value;
		return 0;
	case 'w':
		return token_duration_parse(value, &in->skew_ms) ? 0
		                                                 : usage_error("not a time such as 30s or 2m", value);
	default:
		fputs("Try 'simlane token inspect --help'.\n", stderr);
		return 2;
	}
}

static int parse_arguments(struct inspecting *in, int argc, char **argv, bool *help)
{
	static const struct option options[] = {
	        {"keyring", required_argument, NULL, 'r'},  {"revoked", required_argument, NULL, 'v'},
	        {"audience", required_argument, NULL, 'A'}, {"skew", required_argument, NULL, 'w'},
	        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
	};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			*help = true;
			return 0;
		}
		int code = take_option(in, option, optarg);
		if (code != 0)
			return code;
	}
	if (argc - optind > 1)
		return usage_error("takes one file", NULL);
	if (optind < argc)
		in->path = argv[optind];
	if (looks_like_token(in->path))
		return usage_error("a token on the command line can be seen by others; pipe it in or name a file",
		                   NULL);
	if (in->keyring_path == NULL && (in->revoked_path || in->audience))
		return usage_error("--revoked and --audience need --keyring", NULL);
	return 0;
}

/* ---- what it says ---- */

/* The document, or NULL when the text is not JSON as the daemon reads it. */
static json_t *load_json(struct span text, const char **why)
{
	struct jdoc doc = JDOC_EMPTY;
	enum jdoc_error error = jdoc_parse(&doc, text, NULL);

	jdoc_free(&doc);
	*why = error == JDOC_OK ? "cannot be read" : jdoc_error_text(error);
	return error == JDOC_OK ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static json_t *show_json(const char *title, struct span text)
{
	const char *why = NULL;
	json_t *document = load_json(text, &why);
	char *pretty = document ? json_dumps(document, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;

	if (pretty != NULL)
		printf("%s\n%s\n\n", title, pretty);
	else
		printf("%s\n(%zu bytes that are no good JSON: %s)\n\n", title, text.len, why);
	free(pretty);
	return document;
}

/* Seconds since the epoch of a time claim of either format. */
static bool claim_time(const json_t *value, int64_t *seconds)
{
	struct tm tm = {0};

	if (json_is_number(value)) {
		double number = json_number_value(value);

		*seconds = number > -1e11 && number < 1e12 ? (int64_t)number : 0;
		return number > -1e11 && number < 1e12;
	}
	const char *text = json_string_value(value);
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	if (rest == NULL)
		return false;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	struct tm zone = {0};
	if (strptime(rest, "%z", &zone) == NULL)
		return false;
	*seconds = (int64_t)timegm(&tm) - zone.tm_gmtoff;
	return true;
}

static void show_distance(int64_t seconds)
{
	int64_t s = seconds < 0 ? -seconds : seconds;
	const char *before = seconds < 0 ? "" : "in ", *after = seconds < 0 ? " ago" : "";

	if (s == 0)
		printf("now");
	else if (s < 120)
		printf("%s%" PRId64 " s%s", before, s, after);
	else if (s < 7200)
		printf("%s%" PRId64 " min%s", before, s / 60, after);
	else if (s < 48 * 3600)
		printf("%s%" PRId64 " h %" PRId64 " min%s", before, s / 3600, s / 60 % 60, after);
	else
		printf("%s%" PRId64 " days%s", before, s / 86400, after);
}

static void show_times(const json_t *claims, int64_t now_ms)
{
	static const struct {
		const char *claim, *meaning;
	} times[] = {{"iat", "issued"}, {"nbf", "valid from"}, {"exp", "expires"}, {"auth_time", "stepped up"}};

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		char text[64];
		struct tm tm;
		int64_t seconds;

		if (!claim_time(json_object_get(claims, times[i].claim), &seconds))
			continue;
		time_t when = (time_t)seconds;
		if (gmtime_r(&when, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
			continue;
		printf("%-10s %s, ", times[i].meaning, text);
		show_distance(seconds - now_ms / 1000);
		putchar('\n');
	}
}

static int show_token(const struct inspecting *in, struct span token)
{
	bool paseto = token.len > 3 && strncmp(token.ptr, "v4.", 3) == 0;
	struct buf payload = BUF_EMPTY, head = BUF_EMPTY;
	json_t *claims = NULL;
	enum token_verdict verdict = token_open(token, NULL, (struct span){NULL, 0}, &payload, &head);

	if (verdict != TOKEN_VALID) {
		printf("not a token: neither PASETO v4.public nor a compact JWT of at most %d bytes\n",
		       TOKEN_MAX_BYTES);
	} else {
		printf("%s\n\n", paseto ? "PASETO v4.public" : "JWT (compact JWS)");
		json_decref(show_json(paseto ? "footer" : "header", (struct span){head.ptr, head.len}));
		claims = show_json("claims", (struct span){payload.ptr, payload.len});
		show_times(claims, in->now_ms);
	}
	json_decref(claims);
	buf_free(&payload);
	buf_free(&head);
	return verdict == TOKEN_VALID ? 0 : 1;
}

/* ---- whether it is so ---- */

static int load(struct verifier *v, const char *path, int (*loader)(struct verifier *, struct span, struct fault *))
{
	struct buf text = BUF_EMPTY;
	struct fault fault = {""};
	int result = token_file_read(NAME, path, FILE_MAX_BYTES, &text, NULL);

	if (result == 0 && loader(v, (struct span){text.ptr ? text.ptr : "", text.len}, &fault) < 0) {
		token_complain(NAME, "%s: %s", path, fault.text);
		result = -1;
	}
	buf_free(&text);
	return result;
}

static void show_claims(const struct claims *claims, int64_t now_ms)
{
	printf("tenant     %s\nscopes     ", claims->tenant);
	token_scopes_print(claims->scopes);
	printf("%s\nstep-up    %s\n", claims->scopes ? "" : "(none that the lane knows)",
	       claims_stepped_up(claims, now_ms) ? "met" : "not met");
}

static int judge_token(const struct inspecting *in, struct span token)
{
	const struct verifier_options options = {
	        .audience = in->audience, .skew_ms = in->skew_ms, .clock = &clock_system};
	struct verifier *v = verifier_new(&options);
	const struct claims *claims = NULL;
	int code = 1;

	if (v == NULL) {
		token_complain(NAME, "no memory");
		goto cleanup;
	}
	if (load(v, in->keyring_path, verifier_load_keyring) != 0 ||
	    (in->revoked_path != NULL && load(v, in->revoked_path, verifier_load_revoked) != 0))
		goto cleanup;
	enum token_verdict verdict = token_verify(v, token, &claims, NULL);
	if (claims != NULL)
		show_claims(claims, in->now_ms);
	printf("verdict    %s\n", token_verdict_name(verdict));
	code = verdict == TOKEN_VALID ? 0 : 1;
cleanup:
	claims_let_go(claims);
	verifier_free(v);
	return code;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span s)
{
	while (s.len > 0 && is_space(*s.ptr)) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static int inspect(const struct inspecting *in)
{
	struct buf text = BUF_EMPTY;
	int code = 1;

	if (token_file_read(NAME, in->path, FILE_MAX_BYTES, &text, NULL) == 0) {
		struct span token = trim((struct span){text.ptr, text.len});

		code = show_token(in, token);
		if (code == 0 && in->keyring_path != NULL)
			code = judge_token(in, token);
		else if (code == 0)
			puts("verdict    not checked: no --keyring was given");
	}
	buf_free(&text);
	return code;
}

int command_token_inspect(int argc, char **argv)
{
	struct inspecting in = {.path = "-", .skew_ms = 30000, .now_ms = clock_wall_ms(&clock_system)};
	bool help = false;
	int code = parse_arguments(&in, argc, argv, &help);

	if (code == 0 && help)
		fputs(usage, stdout);
	else if (code == 0)
		code = inspect(&in);
	return code;
}
