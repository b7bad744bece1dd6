/*
 * token/verifier - the verdict: form, key, signature, claims, limits, time
 *
 * The order is cheap before dear and sure before doubtful: nothing of the
 * payload is looked at until its signature holds.
 */
#include <stdlib.h>

#include "cache.h"
#include "claim_draft.h"
#include "form.h"
#include "keyring.h"
#include "revoked.h"
#include "simlane/snapshot.h"
#include "simlane/token.h"

struct verifier {
	char *audience; /* NULL: not looked at */
	int64_t skew_ms;
	const struct clock *clock;
	uint8_t hash_key[HASH128_KEY_BYTES];
	struct token_cache *cache; /* NULL: none */
	struct snapshot keyring, revoked;
	bool keyring_made, revoked_made;
};

const char *token_verdict_name(enum token_verdict v)
{
	static const char *const names[TOKEN_VERDICTS] = {
	        [TOKEN_VALID] = "valid",
	        [TOKEN_MALFORMED] = "malformed",
	        [TOKEN_BAD_SIGNATURE] = "bad-signature",
	        [TOKEN_UNKNOWN_KEY] = "unknown-key",
	        [TOKEN_EXPIRED] = "expired",
	        [TOKEN_NOT_YET_VALID] = "not-yet-valid",
	        [TOKEN_WRONG_AUDIENCE] = "wrong-audience",
	        [TOKEN_WRONG_ISSUER] = "wrong-issuer",
	        [TOKEN_WRONG_TENANT] = "wrong-tenant",
	        [TOKEN_ACR_NOT_ALLOWED] = "acr-not-allowed",
	        [TOKEN_REVOKED] = "revoked",
	        [TOKEN_NO_MEMORY] = "no-memory",
	};

	return (unsigned)v < TOKEN_VERDICTS ? names[v] : "unknown";
}

struct verifier *verifier_new(const struct verifier_options *options)
{
	struct verifier *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->skew_ms = options->skew_ms;
	v->clock = options->clock;
	crypto_random(v->hash_key, sizeof(v->hash_key));
	v->keyring_made = snapshot_init(&v->keyring) == 0;
	v->revoked_made = snapshot_init(&v->revoked) == 0;
	if (options->audience != NULL)
		v->audience = strdup(options->audience);
	if (options->cache_entries > 0)
		v->cache = token_cache_new(options->cache_entries);
	if (!v->keyring_made || !v->revoked_made || (options->audience && !v->audience) ||
	    (options->cache_entries && !v->cache)) {
		verifier_free(v);
		return NULL;
	}
	return v;
}

void verifier_free(struct verifier *v)
{
	if (v == NULL)
		return;
	token_cache_free(v->cache);
	if (v->keyring_made)
		snapshot_destroy(&v->keyring);
	if (v->revoked_made)
		snapshot_destroy(&v->revoked);
	free(v->audience);
	free(v);
}

static int as_count(size_t n)
{
	return n < INT32_MAX ? (int)n : INT32_MAX;
}

int verifier_load_keyring(struct verifier *v, struct span jwks, struct fault *fault)
{
	struct keyring *ring = keyring_read(jwks, fault);

	if (ring == NULL)
		return -1;
	int count = as_count(ring->count);
	snapshot_swap(&v->keyring, &ring->ref);
	return count;
}

int verifier_load_revoked(struct verifier *v, struct span text, struct fault *fault)
{
	struct revoked *list = revoked_read(text, fault);

	if (list == NULL)
		return -1;
	int count = as_count(list->lines);
	snapshot_swap(&v->revoked, &list->ref);
	return count;
}

/* Eight bytes of the public key: enough to tell it from another of its name. */
static uint64_t mark_of(const struct key *key)
{
	uint64_t mark;
	memcpy(&mark, key->public_key, sizeof(mark));
	return mark;
}

/* What is in force for one verification; let go at its end. */
struct in_force {
	struct keyring *keyring; /* NULL: none was loaded */
	struct revoked *revoked;
};

static struct in_force in_force_get(struct verifier *v)
{
	return (struct in_force){(struct keyring *)snapshot_get(&v->keyring),
	                         (struct revoked *)snapshot_get(&v->revoked)};
}

static void in_force_let_go(const struct in_force *now)
{
	snapshot_let_go((struct snapshot_ref *)now->keyring);
	snapshot_let_go((struct snapshot_ref *)now->revoked);
}

/* What the key lets its tokens say; takes the scopes that it may not carry. */
static enum token_verdict limit_by_key(struct claim_draft *c, const struct keyring *ring, const struct key *key)
{
	if (key->iss.ptr != NULL && !span_equal(key->iss, c->iss))
		return TOKEN_WRONG_ISSUER;
	if (!key_speaks_for(ring, key, c->tenant))
		return TOKEN_WRONG_TENANT;
	if (c->acr_gtpsi && !key->may_assert_gtpsi)
		return TOKEN_ACR_NOT_ALLOWED;
	c->scopes &= key->scopes;
	return TOKEN_VALID;
}

static enum token_verdict check_times(const struct claim_draft *c, int64_t now_ms, int64_t skew_ms)
{
	if (now_ms >= c->expires_ms + skew_ms)
		return TOKEN_EXPIRED;
	if (now_ms + skew_ms < c->not_before_ms || now_ms + skew_ms < c->issued_ms)
		return TOKEN_NOT_YET_VALID;
	return TOKEN_VALID;
}

/* The payload of a token whose signature holds. */
static enum token_verdict judge_payload(struct verifier *v, const struct token_form *form, const struct in_force *now,
                                        const struct key *key, int64_t now_ms, const struct claims **claims)
{
	struct jdoc payload = JDOC_EMPTY;
	struct claim_draft draft;
	struct claims *made = NULL;
	enum token_verdict verdict = TOKEN_MALFORMED;
	enum jdoc_error error = jdoc_parse(&payload, form->payload, NULL);

	if (error == JDOC_NO_MEMORY)
		verdict = TOKEN_NO_MEMORY;
	if (error != JDOC_OK || !claim_draft_read(&draft, &payload, form->jwt))
		goto cleanup;
	verdict = limit_by_key(&draft, now->keyring, key);
	if (verdict == TOKEN_VALID && !claim_draft_for(&draft, &payload, v->audience))
		verdict = TOKEN_WRONG_AUDIENCE;
	if (verdict == TOKEN_VALID)
		verdict = check_times(&draft, now_ms, v->skew_ms);
	if (verdict != TOKEN_VALID)
		goto cleanup;
	made = claim_draft_make(&draft, key->kid, mark_of(key), v->skew_ms);
	if (made == NULL)
		verdict = TOKEN_NO_MEMORY;
	else if (revoked_has(now->revoked, made))
		verdict = TOKEN_REVOKED;
cleanup:
	jdoc_free(&payload);
	if (verdict == TOKEN_VALID)
		*claims = made;
	else
		claims_let_go(made);
	return verdict;
}

static enum token_verdict judge(struct verifier *v, struct span token, const struct in_force *now, int64_t now_ms,
                                const struct claims **claims)
{
	struct token_form form;
	struct jdoc head = JDOC_EMPTY;
	struct span kid = {NULL, 0};
	enum token_verdict verdict = token_form_split(&form, token, (struct span){NULL, 0});

	if (verdict == TOKEN_VALID)
		verdict = token_form_kid(&form, &head, &kid);
	if (verdict == TOKEN_VALID) {
		const struct key *key = keyring_find(now->keyring, kid);

		if (key == NULL)
			verdict = TOKEN_UNKNOWN_KEY;
		else if (!ed25519_verify(form.signature, form.message, key->public_key))
			verdict = TOKEN_BAD_SIGNATURE;
		else
			verdict = judge_payload(v, &form, now, key, now_ms, claims);
	}
	jdoc_free(&head);
	token_form_free(&form);
	return verdict;
}

static enum token_verdict verify_anew(struct verifier *v, struct span token, const uint8_t hash[HASH128_BYTES],
                                      int64_t now_ms, const struct claims **claims)
{
	struct in_force now = in_force_get(v);
	enum token_verdict verdict = judge(v, token, &now, now_ms, claims);

	/* the tag is of the snapshots used, whatever has come in force since */
	if (verdict == TOKEN_VALID && v->cache != NULL && now_ms < (*claims)->expires_ms) {
		struct token_cache_tag tag = {now.keyring->ref.generation,
		                              now.revoked ? now.revoked->ref.generation : 0};

		token_cache_put(v->cache, hash, tag, *claims, now_ms);
	}
	in_force_let_go(&now);
	return verdict;
}

enum token_verdict token_verify(struct verifier *v, struct span token, const struct claims **claims, bool *cached)
{
	uint8_t hash[HASH128_BYTES];
	int64_t now_ms = clock_wall_ms(v->clock);

	*claims = NULL;
	if (cached != NULL)
		*cached = false;
	if (token.len == 0 || token.len > TOKEN_MAX_BYTES)
		return TOKEN_MALFORMED;
	if (v->cache != NULL) {
		struct token_cache_tag tag = {snapshot_generation(&v->keyring), snapshot_generation(&v->revoked)};

		crypto_hash128(hash, token, v->hash_key);
		*claims = token_cache_get(v->cache, hash, tag, now_ms);
		if (*claims != NULL) {
			if (cached != NULL)
				*cached = true;
			return TOKEN_VALID;
		}
	}
	return verify_anew(v, token, hash, now_ms, claims);
}

/* Would the key, as it is now, still let its token say this? */
static bool still_allowed(const struct keyring *ring, const struct claims *c)
{
	const struct key *key = keyring_find(ring, span_of(c->kid));
	struct claim_draft draft = {
	        .iss = span_of(c->iss), .tenant = span_of(c->tenant), .acr_gtpsi = c->acr_gtpsi, .scopes = c->scopes};

	return key != NULL && mark_of(key) == c->key_mark && limit_by_key(&draft, ring, key) == TOKEN_VALID &&
	       draft.scopes == c->scopes;
}

enum token_verdict token_recheck(struct verifier *v, const struct claims *claims)
{
	struct in_force now = in_force_get(v);
	enum token_verdict verdict = TOKEN_VALID;

	if (claims_expired(claims, clock_wall_ms(v->clock)))
		verdict = TOKEN_EXPIRED;
	else if (!still_allowed(now.keyring, claims))
		verdict = TOKEN_UNKNOWN_KEY;
	else if (revoked_has(now.revoked, claims))
		verdict = TOKEN_REVOKED;
	in_force_let_go(&now);
	return verdict;
}

enum token_verdict token_open(struct span token, const uint8_t *public_key, struct span implicit, struct buf *payload,
                              struct buf *header_or_footer)
{
	struct token_form form;
	enum token_verdict verdict = token_form_split(&form, token, implicit);

	if (verdict == TOKEN_VALID && public_key != NULL && !ed25519_verify(form.signature, form.message, public_key))
		verdict = TOKEN_BAD_SIGNATURE;
	if (verdict == TOKEN_VALID) {
		buf_span(payload, form.payload);
		buf_span(header_or_footer, form.head);
		if (payload->failed || header_or_footer->failed)
			verdict = TOKEN_NO_MEMORY;
	}
	token_form_free(&form);
	return verdict;
}
