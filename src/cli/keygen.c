/*
 * simlane keygen - a key pair: a private key file and a public keyring
 *
 * The keyring is made, or gets the key as one more, in one step that a
 * running daemon can watch. Everything is checked with the daemon's own
 * reader before anything is written.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "simlane/claims.h"
#include "simlane/clock.h"
#include "simlane/token.h"
#include "token_file.h"
#include "token_key.h"

#define NAME              "keygen"
#define KEYRING_MAX_BYTES (16 * 1024 * 1024)

static const char usage[] =
        "usage: simlane keygen [OPTION...]\n"
        "\n"
        "Makes an Ed25519 key pair: a private key file (mode 0600, never overwritten) that\n"
        "mints tokens, and a public keyring for SIM_KEYRING_FILE. A keyring that exists gets\n"
        "the key as one more.\n"
        "\n"
        "  --out PREFIX      write PREFIX.key.json and PREFIX.keyring.json (default: simlane)\n"
        "  --key FILE        or name the two files: the private key\n"
        "  --keyring FILE    and the public keyring\n"
        "  --kid ID          the key's id (default: derived from the public key)\n"
        "\n"
        "What tokens of this key may say (the keyring enforces it):\n"
        "  --tenant T        speak for tenant T; repeatable; '*' for any (default: only 'default')\n"
        "  --scope S         carry scope S and no other; repeatable; schedule, collect, inbox, work\n"
        "                    or a full name (default: any scope)\n"
        "  --iss I           only with this iss (default: any)\n"
        "  --acr gtpsi       may assert step-up authentication (default: may not)\n"
        "\n"
        "Exit codes: 0 done, 1 failed, 2 usage.\n";

struct keygen {
	const char *prefix, *key_path, *keyring_path;
	char *made_key_path, *made_keyring_path;
	json_t *jwk; /* the public half */
	uint8_t seed[ED25519_SEED_BYTES];
};

static int usage_error(const char *why, const char *what)
{
	token_complain(NAME, "%s%s%s", why, what ? ": " : "", what ? what : "");
	fputs("Try 'simlane keygen --help'.\n", stderr);
	return 2;
}

static bool append_limit(json_t *jwk, const char *member, const char *value)
{
	json_t *array = json_object_get(jwk, member);

	if (array == NULL) {
		array = json_array();
		if (json_object_set_new(jwk, member, array) != 0)
			return false;
	}
	return json_array_append_new(array, json_string(value)) == 0;
}

static int add_scope(json_t *jwk, const char *name)
{
	unsigned bit = token_scope_parse(name);

	for (const struct scope_name *s = scope_names; s->name != NULL; s++) {
		if (s->bit == bit)
			return append_limit(jwk, "simlane_scopes", s->name) ? 0 : usage_error("not UTF-8", NULL);
	}
	return usage_error("no such scope", name);
}

static int take_option(struct keygen *k, int option, const char *value)
{
	bool done = true;

	switch (option) {
	case 'o':
		k->prefix = value;
		break;
	case 'k':
		k->key_path = value;
		break;
	case 'r':
		k->keyring_path = value;
		break;
	case 'i':
		done = json_object_set_new(k->jwk, "kid", json_string(value)) == 0;
		break;
	case 't':
		done = append_limit(k->jwk, "simlane_tenants", value);
		break;
	case 's':
		return add_scope(k->jwk, value);
	case 'I':
		done = json_object_set_new(k->jwk, "simlane_iss", json_string(value)) == 0;
		break;
	case 'a':
		if (strcmp(value, "gtpsi") != 0)
			return usage_error("the only acr is gtpsi, not", value);
		if (json_object_get(k->jwk, "simlane_acr") == NULL)
			done = append_limit(k->jwk, "simlane_acr", value);
		break;
	default:
		fputs("Try 'simlane keygen --help'.\n", stderr);
		return 2;
	}
	return done ? 0 : usage_error("an argument is not UTF-8", NULL);
}

static int parse_arguments(struct keygen *k, int argc, char **argv, bool *help)
{
	static const struct option options[] = {
	        {"out", required_argument, NULL, 'o'},     {"key", required_argument, NULL, 'k'},
	        {"keyring", required_argument, NULL, 'r'}, {"kid", required_argument, NULL, 'i'},
	        {"tenant", required_argument, NULL, 't'},  {"scope", required_argument, NULL, 's'},
	        {"iss", required_argument, NULL, 'I'},     {"acr", required_argument, NULL, 'a'},
	        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
	};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			*help = true;
			return 0;
		}
		int code = take_option(k, option, optarg);
		if (code != 0)
			return code;
	}
	if (optind < argc)
		return usage_error("takes no arguments but options", argv[optind]);
	if (k->prefix && (k->key_path || k->keyring_path))
		return usage_error("--out and --key/--keyring exclude each other", NULL);
	if (!k->key_path != !k->keyring_path)
		return usage_error("--key and --keyring go together", NULL);
	if (k->key_path && strcmp(k->key_path, k->keyring_path) == 0)
		return usage_error("the private key and the keyring cannot be one file", NULL);
	return 0;
}

static int name_files(struct keygen *k)
{
	const char *prefix = k->prefix ? k->prefix : "simlane";

	if (k->key_path != NULL)
		return 0;
	if (asprintf(&k->made_key_path, "%s.key.json", prefix) < 0)
		k->made_key_path = NULL;
	if (asprintf(&k->made_keyring_path, "%s.keyring.json", prefix) < 0)
		k->made_keyring_path = NULL;
	k->key_path = k->made_key_path;
	k->keyring_path = k->made_keyring_path;
	return k->key_path && k->keyring_path ? 0 : -1;
}

static int make_key(struct keygen *k)
{
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	char id[TOKEN_THUMBPRINT_SIZE];
	int failed = 0;

	crypto_random(k->seed, sizeof(k->seed));
	ed25519_public(public_key, k->seed);
	token_thumbprint(public_key, id);
	if (json_object_get(k->jwk, "kid") == NULL)
		failed |= json_object_set_new(k->jwk, "kid", json_string(id));
	failed |= json_object_set_new(k->jwk, "x", token_key_base64url(public_key, sizeof(public_key)));
	return failed;
}

/* Reads a JWK Set the way the daemon does. */
static int check_keyring(struct span jwks, struct fault *fault)
{
	const struct verifier_options options = {.clock = &clock_system};
	struct verifier *v = verifier_new(&options);
	int count = v ? verifier_load_keyring(v, jwks, fault) : fault_set(fault, "no memory");

	verifier_free(v);
	return count;
}

/* The set with the key added, as text; NULL: told on stderr. */
static char *grown_keyring(json_t *set, json_t *jwk, int *count)
{
	struct fault fault = {""};
	char *text = NULL;

	if (json_array_append(json_object_get(set, "keys"), jwk) == 0)
		text = json_dumps(set, JSON_INDENT(2));
	if (text == NULL)
		fault_set(&fault, "no memory");
	*count = text ? check_keyring(span_of(text), &fault) : -1;
	if (*count >= 0)
		return text;
	token_complain(NAME, "%s", fault.text);
	free(text);
	return NULL;
}

/* The keyring as it is, an empty one where there is none. NULL: told. */
static json_t *read_keyring(const char *path, bool *existed)
{
	struct buf text = BUF_EMPTY;
	struct fault fault = {""};
	json_t *set = NULL;

	*existed = access(path, F_OK) == 0;
	if (!*existed)
		return json_pack("{s:[]}", "keys");
	if (token_file_read(NAME, path, KEYRING_MAX_BYTES, &text, NULL) == 0) {
		if (check_keyring((struct span){text.ptr, text.len}, &fault) >= 0)
			set = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
		if (set == NULL)
			token_complain(NAME, "%s: %s", path, *fault.text ? fault.text : "cannot be read");
	}
	buf_free(&text);
	return set;
}

static int write_private(const struct keygen *k)
{
	json_t *jwk = json_deep_copy(k->jwk);
	json_t *d = token_key_base64url(k->seed, sizeof(k->seed));
	char *text = NULL;
	int result = -1;

	if (json_object_set_new(jwk, "d", d) == 0)
		text = json_dumps(jwk, JSON_INDENT(2));
	struct buf file = BUF_EMPTY;
	if (text != NULL) {
		buf_reserve(&file, strlen(text) + 1);
		buf_text(&file, text);
		buf_char(&file, '\n');
	}
	if (text == NULL || file.failed)
		token_complain(NAME, "no memory");
	else
		result = token_file_create(NAME, k->key_path, 0600, (struct span){file.ptr, file.len});
	if (text != NULL)
		crypto_wipe(text, strlen(text));
	if (file.ptr != NULL)
		crypto_wipe(file.ptr, file.cap);
	buf_free(&file);
	free(text);
	json_decref(jwk);
	return result;
}

static int write_keyring(const char *path, bool existed, const char *text)
{
	struct buf file = BUF_EMPTY;

	buf_text(&file, text);
	buf_char(&file, '\n');
	struct span all = {file.ptr, file.len};
	/* a new one is made, not put over something that came meanwhile */
	int result = file.failed ? -1
	             : existed   ? token_file_replace(NAME, path, 0644, all)
	                         : token_file_create(NAME, path, 0644, all);
	buf_free(&file);
	return result;
}

static int write_files(const struct keygen *k)
{
	bool existed = false;
	int count = 0, result = 1;
	char *text = NULL;
	int lock = token_file_lock(NAME, k->keyring_path);
	json_t *set = lock < 0 ? NULL : read_keyring(k->keyring_path, &existed);

	if (set != NULL)
		text = grown_keyring(set, k->jwk, &count);
	if (text != NULL && write_private(k) == 0) {
		if (write_keyring(k->keyring_path, existed, text) == 0)
			result = 0;
		else
			unlink(k->key_path);
	}
	if (result == 0) {
		printf("private key  %s (keep it: it mints tokens)\n", k->key_path);
		printf("keyring      %s (%d key%s, for SIM_KEYRING_FILE)\n", k->keyring_path, count,
		       count == 1 ? "" : "s");
		printf("kid          %s\n", json_string_value(json_object_get(k->jwk, "kid")));
	}
	free(text);
	json_decref(set);
	if (lock >= 0)
		close(lock);
	return result;
}

/* Alone in a keyring, so that what is wrong is an option's fault. */
static int check_options(const struct keygen *k)
{
	struct fault fault = {""};
	json_t *set = json_pack("{s:[O]}", "keys", k->jwk);
	char *text = set ? json_dumps(set, JSON_COMPACT) : NULL;
	int count = text ? check_keyring(span_of(text), &fault) : fault_set(&fault, "no memory");

	free(text);
	json_decref(set);
	return count >= 0 ? 0 : usage_error("the daemon would refuse this key", fault.text);
}

int command_keygen(int argc, char **argv)
{
	struct keygen k = {
	        .jwk = json_pack("{s:s, s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "use", "sig", "alg", "EdDSA")};
	bool help = false;
	int code = k.jwk ? parse_arguments(&k, argc, argv, &help) : 1;

	if (code == 0 && help) {
		fputs(usage, stdout);
		goto cleanup;
	}
	if (code == 0 && (name_files(&k) != 0 || make_key(&k) != 0)) {
		token_complain(NAME, "no memory");
		code = 1;
	}
	if (code == 0)
		code = check_options(&k);
	if (code == 0)
		code = write_files(&k);
cleanup:
	crypto_wipe(k.seed, sizeof(k.seed));
	json_decref(k.jwk);
	free(k.made_key_path);
	free(k.made_keyring_path);
	return code;
}
