/* token_key - private key files, and the small words of the token commands */
#include "token_key.h"
#include "simlane/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "simlane/claims.h"
#include "simlane/jdoc.h"
#include "token_file.h"

#define KEY_FILE_MAX_BYTES (64 * 1024)

json_t *token_key_base64url(const uint8_t *bytes, size_t len)
{
	char text[base64url_size(ED25519_SIGNATURE_BYTES)];
	json_t *string = json_stringn(text, base64url_encode(text, bytes, len));

	crypto_wipe(text, sizeof(text));
	return string;
}

/* d and x must belong together; d is taken out of the document. */
static const char *take_private(struct token_key *key)
{
	const char *kty = json_string_value(json_object_get(key->jwk, "kty"));
	const char *crv = json_string_value(json_object_get(key->jwk, "crv"));
	const char *d = json_string_value(json_object_get(key->jwk, "d"));
	json_t *x = json_object_get(key->jwk, "x");
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	bool ours = true;

	if (json_object_get(key->jwk, "keys") != NULL)
		return "is a keyring; a token needs the private key file";
	if (kty == NULL || crv == NULL || strcmp(kty, "OKP") != 0 || strcmp(crv, "Ed25519") != 0)
		return "not an Ed25519 JWK (kty OKP, crv Ed25519)";
	if (d == NULL)
		return "holds no private key (member d)";
	if (base64url_decode(key->seed, sizeof(key->seed), span_of(d)) != ED25519_SEED_BYTES)
		return "its member d is not 32 bytes in base64url";
	ed25519_public(public_key, key->seed);
	json_t *right = token_key_base64url(public_key, sizeof(public_key));
	ours = x == NULL || json_equal(x, right);
	if (right == NULL || json_object_set_new(key->jwk, "x", right) != 0)
		return "no memory";
	json_object_del(key->jwk, "d");
	return ours ? NULL : "its members d and x do not belong together";
}

static const char *take_kid(struct token_key *key)
{
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	char id[TOKEN_THUMBPRINT_SIZE];

	if (json_object_get(key->jwk, "kid") == NULL) {
		ed25519_public(public_key, key->seed);
		token_thumbprint(public_key, id);
		if (json_object_set_new(key->jwk, "kid", json_string(id)) != 0)
			return "no memory";
	}
	key->kid = json_string_value(json_object_get(key->jwk, "kid"));
	return key->kid ? NULL : "its kid is not a string";
}

static const char *parse_key(struct span text, struct token_key *key)
{
	struct jdoc doc = JDOC_EMPTY;
	enum jdoc_error error = jdoc_parse(&doc, text, NULL);

	jdoc_free(&doc);
	if (error != JDOC_OK)
		return jdoc_error_text(error);
	key->jwk = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(key->jwk))
		return "not a JWK";
	const char *wrong = take_private(key);
	return wrong ? wrong : take_kid(key);
}

int token_key_read(const char *command, const char *path, struct token_key *key)
{
	struct buf text = BUF_EMPTY;
	mode_t mode = 0;
	int result = -1;

	*key = (struct token_key){0};
	if (token_file_read(command, path, KEY_FILE_MAX_BYTES, &text, &mode) == 0) {
		const char *wrong = parse_key((struct span){text.ptr, text.len}, key);

		if (wrong != NULL)
			token_complain(command, "%s: %s", path, wrong);
		else
			result = 0;
	}
	if (result == 0 && (mode & (S_IRWXG | S_IRWXO)) != 0)
		token_complain(command, "warning: %s can be used by others (mode %04o); chmod 600 it", path,
		               (unsigned)mode);
	if (text.ptr != NULL)
		crypto_wipe(text.ptr, text.cap);
	buf_free(&text);
	return result;
}

void token_key_free(struct token_key *key)
{
	json_decref(key->jwk);
	crypto_wipe(key, sizeof(*key));
}

unsigned token_scope_parse(const char *name)
{
	for (const struct scope_name *s = scope_names; s->name != NULL; s++) {
		if (strcmp(name, s->name) == 0 || strcmp(name, s->brief) == 0)
			return s->bit;
	}
	return 0;
}

void token_scopes_print(unsigned scopes)
{
	const char *between = "";

	for (const struct scope_name *s = scope_names; s->name != NULL; s++) {
		if ((scopes & s->bit) == 0)
			continue;
		printf("%s%s", between, s->name);
		between = " ";
	}
}

unsigned token_key_scopes(const struct token_key *key)
{
	const json_t *limit = json_object_get(key->jwk, "simlane_scopes"), *name;
	unsigned scopes = 0;
	size_t i;

	if (limit == NULL)
		return ~0u;
	json_array_foreach(limit, i, name)
	{
		const char *text = json_string_value(name);

		scopes |= text ? token_scope_parse(text) : 0;
	}
	return scopes;
}

bool token_duration_parse(const char *text, int64_t *ms)
{
	static const struct {
		char unit[2];
		int64_t ms;
	} units[] = {{"", 1000}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}};
	const int64_t ten_years_ms = INT64_C(3650) * 24 * 3600 * 1000;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 10)
		return false;
	int64_t number = strtoll(text, NULL, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		if (number > ten_years_ms / units[i].ms)
			return false;
		*ms = number * units[i].ms;
		return true;
	}
	return false;
}
