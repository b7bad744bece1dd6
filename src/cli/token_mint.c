/*
 * simlane token mint - a capability token from a private key
 *
 * The key comes from a file or standard input, never from the command line,
 * and only the token goes to standard output. What was minted is verified by
 * the daemon's own verifier before anybody gets it.
 */
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "simlane/buf.h"
#include "simlane/clock.h"
#include "simlane/token.h"
#include "token_file.h"
#include "token_key.h"

#define NAME "token mint"

static const char usage[] =
        "usage: simlane token mint --key FILE [OPTION...]\n"
        "\n"
        "Prints a signed capability token, and nothing else, to standard output.\n"
        "\n"
        "  --key FILE        the private key, as keygen wrote it; - for standard input\n"
        "  --ttl TIME        valid for 30s, 15m, 1h, 7d, from its issue or --not-before (default: 1h)\n"
        "  --scope S         schedule, collect, inbox, work or a full name; repeatable\n"
        "                    (default: schedule, collect and inbox, as far as the key may)\n"
        "  --sub S           on whose behalf (default: your login name)\n"
        "  --tenant T        for which tenant (default: the key's first, else 'default')\n"
        "  --iss I           who says so (default: the key's simlane_iss, else 'simlane')\n"
        "  --aud A           for which service (SIM_TOKEN_AUDIENCE; default: none)\n"
        "  --jti J           the token's own id, for revocation (default: random)\n"
        "  --acr gtpsi       assert step-up authentication; the key must be allowed to\n"
        "  --auth-time WHEN  of that authentication: now, or so long ago: 120, 2m (default: now)\n"
        "  --issued AGO      as if minted so long ago: 120, 2m (default: 0s)\n"
        "  --not-before IN   not valid until so long from now (default: left out)\n"
        "  --format F        paseto or jwt (default: paseto)\n"
        "  --out FILE        write it to FILE (mode 0600 when new) instead\n"
        "\n"
        "Exit codes: 0 done, 1 failed, 2 usage.\n";

struct minting {
	const char *key_path, *out_path, *auth_time;
	struct token_mint token;
	int64_t now_ms, ttl_ms, ago_ms;
	char jti[base64url_size(16) + 1];
};

static int usage_error(const char *why, const char *what)
{
	token_complain(NAME, "%s%s%s", why, what ? ": " : "", what ? what : "");
	fputs("Try 'simlane token mint --help'.\n", stderr);
	return 2;
}

static int take_duration(const char *text, int64_t *ms)
{
	return token_duration_parse(text, ms) ? 0 : usage_error("not a time such as 30s, 15m, 1h or 7d", text);
}

static int take_scope(unsigned *scopes, const char *name)
{
	unsigned bit = token_scope_parse(name);

	*scopes |= bit;
	return bit ? 0 : usage_error("no such scope (schedule, collect, inbox, work or a full name)", name);
}

static int take_not_before(struct minting *m, const char *text)
{
	int64_t in_ms;
	int code = take_duration(text, &in_ms);

	if (code == 0)
		m->token.not_before_ms = m->now_ms + in_ms;
	return code;
}

static int take_format(struct minting *m, const char *text)
{
	m->token.jwt = strcmp(text, "jwt") == 0;
	return m->token.jwt || strcmp(text, "paseto") == 0 ? 0 : usage_error("a format is paseto or jwt, not", text);
}

static int take_acr(struct minting *m, const char *text)
{
	m->token.acr = text;
	return strcmp(text, "gtpsi") == 0 ? 0 : usage_error("the only acr is gtpsi, not", text);
}

static int take_text(const char *text)
{
	json_t *string = json_string(text);
	int code = string ? 0 : usage_error("an argument is not UTF-8", NULL);

	json_decref(string);
	return code;
}

static int take_option(struct minting *m, int option, const char *value)
{
	const struct {
		int option;
		const char **to;
	} texts[] = {
	        {'k', &m->key_path}, {'u', &m->token.sub},      {'t', &m->token.tenant}, {'I', &m->token.iss},
	        {'o', &m->out_path}, {'A', &m->token.audience}, {'j', &m->token.jti},    {'w', &m->auth_time},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (texts[i].option == option) {
			*texts[i].to = value;
			return take_text(value);
		}
	}
	switch (option) {
	case 'l':
		return take_duration(value, &m->ttl_ms);
	case 'g':
		return take_duration(value, &m->ago_ms);
	case 'n':
		return take_not_before(m, value);
	case 's':
		return take_scope(&m->token.scopes, value);
	case 'a':
		return take_acr(m, value);
	case 'f':
		return take_format(m, value);
	default:
		fputs("Try 'simlane token mint --help'.\n", stderr);
		return 2;
	}
}

static int parse_arguments(struct minting *m, int argc, char **argv, bool *help)
{
	static const struct option options[] = {
	        {"key", required_argument, NULL, 'k'},    {"ttl", required_argument, NULL, 'l'},
	        {"scope", required_argument, NULL, 's'},  {"sub", required_argument, NULL, 'u'},
	        {"tenant", required_argument, NULL, 't'}, {"iss", required_argument, NULL, 'I'},
	        {"aud", required_argument, NULL, 'A'},    {"jti", required_argument, NULL, 'j'},
	        {"acr", required_argument, NULL, 'a'},    {"auth-time", required_argument, NULL, 'w'},
	        {"issued", required_argument, NULL, 'g'}, {"not-before", required_argument, NULL, 'n'},
	        {"format", required_argument, NULL, 'f'}, {"out", required_argument, NULL, 'o'},
	        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			*help = true;
			return 0;
		}
		int code = take_option(m, option, optarg);
		if (code != 0)
			return code;
	}
	if (optind < argc)
		return usage_error("takes no arguments but options", NULL); /* not echoed: it may be a secret */
	if (m->key_path == NULL)
		return usage_error("--key is required", NULL);
	if (m->ttl_ms == 0)
		return usage_error("--ttl must be longer than nothing", NULL);
	return 0;
}

/* When the caller stepped up; only said with --acr or when asked for. */
static int take_auth_time(struct minting *m)
{
	int64_t ago_ms = 0;

	if (m->auth_time == NULL && m->token.acr == NULL)
		return 0;
	if (m->auth_time != NULL && strcmp(m->auth_time, "now") != 0) {
		int code = take_duration(m->auth_time, &ago_ms);

		if (code != 0)
			return code;
	}
	m->token.auth_time_ms = m->now_ms - ago_ms;
	return 0;
}

static const char *login_name(void)
{
	const struct passwd *user = getpwuid(getuid());

	return user ? user->pw_name : "operator";
}

/* The tenant to speak for when none was named: the key's first, where it is
 * limited to some. */
static const char *tenant_of_key(const json_t *jwk)
{
	const char *first = json_string_value(json_array_get(json_object_get(jwk, "simlane_tenants"), 0));

	return first && strcmp(first, "*") != 0 ? first : NULL;
}

static int fill_defaults(struct minting *m, const struct token_key *key)
{
	const char *iss = json_string_value(json_object_get(key->jwk, "simlane_iss"));
	uint8_t random[16];

	m->token.kid = key->kid;
	if (m->token.scopes == 0)
		m->token.scopes = (SCOPE_SCHEDULE | SCOPE_COLLECT | SCOPE_INBOX) & token_key_scopes(key);
	if (m->token.sub == NULL)
		m->token.sub = login_name();
	if (m->token.iss == NULL)
		m->token.iss = iss ? iss : "simlane";
	if (m->token.tenant == NULL)
		m->token.tenant = tenant_of_key(key->jwk);
	if (m->token.jti == NULL) {
		crypto_random(random, sizeof(random));
		m->jti[base64url_encode(m->jti, random, sizeof(random))] = '\0';
		m->token.jti = m->jti;
	}
	m->token.issued_ms = m->now_ms - m->ago_ms;
	m->token.expires_ms = (m->token.not_before_ms ? m->token.not_before_ms : m->token.issued_ms) + m->ttl_ms;
	return take_auth_time(m);
}

/* What the daemon would say, had it this key and its limits. */
static int check_token(const struct minting *m, const struct token_key *key, struct span token)
{
	const struct verifier_options options = {
	        .audience = m->token.audience, .skew_ms = 30000, .clock = &clock_system};
	struct verifier *v = verifier_new(&options);
	const struct claims *claims = NULL;
	struct fault fault = {"no memory"};
	enum token_verdict verdict = TOKEN_NO_MEMORY;
	json_t *set = json_pack("{s:[O]}", "keys", key->jwk);
	char *text = set ? json_dumps(set, JSON_COMPACT) : NULL;
	int code = 0;

	if (v != NULL && text != NULL && verifier_load_keyring(v, span_of(text), &fault) >= 0)
		verdict = token_verify(v, token, &claims, NULL);
	if (verdict == TOKEN_NO_MEMORY) {
		token_complain(NAME, "%s: %s", m->key_path, fault.text);
		code = 1;
	} else if (verdict == TOKEN_MALFORMED) {
		code = usage_error(
		        "the daemon would refuse this token: sub, iss and jti are 1-256 printable characters, "
		        "a tenant is 1-64 of A-Z a-z 0-9 . _ -, the token 4096 bytes at most",
		        NULL);
	} else if (verdict != TOKEN_VALID && verdict != TOKEN_EXPIRED && verdict != TOKEN_NOT_YET_VALID) {
		token_complain(NAME, "warning: beyond what this key may say: %s", token_verdict_name(verdict));
	} else if (claims != NULL && claims->scopes != m->token.scopes) {
		token_complain(NAME, "warning: this key may not carry all of these scopes; the daemon drops the rest");
	}
	claims_let_go(claims);
	free(text);
	json_decref(set);
	verifier_free(v);
	return code;
}

static int deliver(const struct minting *m, struct buf *token)
{
	buf_char(token, '\n');
	if (token->failed)
		return 1;
	if (m->out_path != NULL && strcmp(m->out_path, "-") != 0)
		return token_file_replace(NAME, m->out_path, 0600, (struct span){token->ptr, token->len}) ? 1 : 0;
	if (fwrite(token->ptr, 1, token->len, stdout) == token->len && fflush(stdout) == 0)
		return 0;
	token_complain(NAME, "standard output: cannot be written");
	return 1;
}

static int mint(struct minting *m)
{
	struct token_key key;
	struct buf token = BUF_EMPTY;
	int code = 1;

	if (token_key_read(NAME, m->key_path, &key) != 0)
		goto cleanup;
	code = fill_defaults(m, &key);
	if (code != 0)
		goto cleanup;
	if (!token_mint(&m->token, key.seed, &token)) {
		token_complain(NAME, "no memory");
		code = 1;
		goto cleanup;
	}
	code = check_token(m, &key, (struct span){token.ptr, token.len});
	if (code == 0)
		code = deliver(m, &token);
cleanup:
	token_key_free(&key);
	buf_free(&token);
	return code;
}

int command_token_mint(int argc, char **argv)
{
	struct minting m = {.now_ms = clock_wall_ms(&clock_system) / 1000 * 1000, .ttl_ms = 3600 * 1000};
	bool help = false;
	int code = parse_arguments(&m, argc, argv, &help);

	if (code == 0 && help)
		fputs(usage, stdout);
	else if (code == 0)
		code = mint(&m);
	return code;
}
