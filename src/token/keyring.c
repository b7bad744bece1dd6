/*
 * token/keyring - a JWK Set, read strictly
 *
 * SOURCE  RFC 7517 (JWK, JWK Set), RFC 8037 section 2 (OKP), RFC 9864 (alg).
 */
#include "keyring.h"

#include <stdlib.h>

#include "simlane/claims.h"
#include "simlane/ids.h"
#include "text.h"

/* One key while it is read: where it is, for the fault. */
struct reading {
	const struct jdoc *doc;
	uint32_t object;
	size_t index;
	struct fault *fault;
};

static bool refuse(const struct reading *r, const char *why)
{
	fault_set(r->fault, "keyring: /keys/%zu: %s", r->index, why);
	return false;
}

static uint32_t member(const struct reading *r, const char *name)
{
	return jdoc_get(r->doc, r->object, name);
}

unsigned scope_bit(struct span name)
{
	for (const struct scope_name *s = scope_names; s->name != NULL; s++) {
		if (span_is(name, s->name))
			return s->bit;
	}
	return 0;
}

static bool array_of_strings(const struct jdoc *d, uint32_t node)
{
	if (jdoc_type(d, node) != JDOC_ARRAY)
		return false;
	for (uint32_t i = jdoc_first(d, node); i < d->nodes[node].next; i = d->nodes[i].next) {
		if (jdoc_type(d, i) != JDOC_STRING)
			return false;
	}
	return true;
}

static bool array_holds(const struct jdoc *d, uint32_t array, const char *text)
{
	for (uint32_t i = jdoc_first(d, array); i < d->nodes[array].next; i = d->nodes[i].next) {
		if (span_is(jdoc_str(d, i), text))
			return true;
	}
	return false;
}

static bool read_public_key(const struct reading *r, struct key *key)
{
	struct span x = jdoc_str(r->doc, member(r, "x"));

	if (member(r, "d") != JDOC_NONE)
		return refuse(r, "holds a private key (member d); a keyring is of public keys only");
	if (!span_is(jdoc_str(r->doc, member(r, "kty")), "OKP") ||
	    !span_is(jdoc_str(r->doc, member(r, "crv")), "Ed25519"))
		return refuse(r, "kty must be OKP and crv Ed25519");
	if (x.ptr == NULL || x.len != base64url_size(ED25519_PUBLIC_BYTES) ||
	    base64url_decode(key->public_key, ED25519_PUBLIC_BYTES, x) != ED25519_PUBLIC_BYTES)
		return refuse(r, "x must be 32 bytes in unpadded base64url");
	key->kid = jdoc_str(r->doc, member(r, "kid"));
	if (!token_text_valid(key->kid))
		return refuse(r, "kid must be 1-256 printable characters");
	return true;
}

/* use, key_ops, alg: what the key's owner says that it is for. */
static bool check_purpose(const struct reading *r)
{
	uint32_t use = member(r, "use"), ops = member(r, "key_ops"), alg_node = member(r, "alg");
	struct span alg = jdoc_str(r->doc, alg_node);

	if (use != JDOC_NONE && !span_is(jdoc_str(r->doc, use), "sig"))
		return refuse(r, "use must be sig");
	if (ops != JDOC_NONE && (!array_of_strings(r->doc, ops) || !array_holds(r->doc, ops, "verify")))
		return refuse(r, "key_ops must be an array with verify in it");
	if (alg_node != JDOC_NONE && !span_is(alg, "EdDSA") && !span_is(alg, "Ed25519"))
		return refuse(r, "alg must be EdDSA or Ed25519");
	return true;
}

static bool read_scopes(const struct reading *r, struct key *key)
{
	uint32_t node = member(r, "simlane_scopes");

	key->scopes = ~0u;
	if (node == JDOC_NONE)
		return true;
	if (!array_of_strings(r->doc, node))
		return refuse(r, "simlane_scopes must be an array of strings");
	key->scopes = 0;
	for (uint32_t i = jdoc_first(r->doc, node); i < r->doc->nodes[node].next; i = r->doc->nodes[i].next) {
		unsigned bit = scope_bit(jdoc_str(r->doc, i));

		if (bit == 0)
			return refuse(r, "simlane_scopes names a scope that does not exist");
		key->scopes |= bit;
	}
	return true;
}

static bool read_tenants(const struct reading *r, struct key *key)
{
	key->tenants = member(r, "simlane_tenants");
	if (key->tenants == JDOC_NONE)
		return true;
	if (!array_of_strings(r->doc, key->tenants))
		return refuse(r, "simlane_tenants must be an array of strings");
	const struct jdoc_node *array = &r->doc->nodes[key->tenants];
	for (uint32_t i = jdoc_first(r->doc, key->tenants); i < array->next; i = r->doc->nodes[i].next) {
		struct span tenant = jdoc_str(r->doc, i);

		if (!tenant_valid(tenant) && !(array->count == 1 && span_is(tenant, "*")))
			return refuse(r, "simlane_tenants: a tenant is 1-64 of A-Z a-z 0-9 . _ -, or [\"*\"] alone");
	}
	return true;
}

static bool read_issuer_and_acr(const struct reading *r, struct key *key)
{
	uint32_t iss = member(r, "simlane_iss"), acr = member(r, "simlane_acr");

	key->iss = jdoc_str(r->doc, iss);
	if (iss != JDOC_NONE && !token_text_valid(key->iss))
		return refuse(r, "simlane_iss must be 1-256 printable characters");
	if (acr == JDOC_NONE)
		return true;
	if (!array_of_strings(r->doc, acr))
		return refuse(r, "simlane_acr must be an array of strings");
	for (uint32_t i = jdoc_first(r->doc, acr); i < r->doc->nodes[acr].next; i = r->doc->nodes[i].next) {
		if (!span_is(jdoc_str(r->doc, i), ACR_GTPSI))
			return refuse(r, "simlane_acr knows only gtpsi");
		key->may_assert_gtpsi = true;
	}
	return true;
}

/* A limit that is misspelt would be no limit. */
static bool check_our_names(const struct reading *r)
{
	static const char *const ours[] = {"simlane_scopes", "simlane_tenants", "simlane_iss", "simlane_acr"};
	const char prefix[] = "simlane_";

	for (uint32_t i = jdoc_first(r->doc, r->object); i < r->doc->nodes[r->object].next;
	     i = jdoc_next_member(r->doc, i)) {
		struct span name = jdoc_str(r->doc, i);
		bool known = name.len < sizeof(prefix) - 1 || strncmp(name.ptr, prefix, sizeof(prefix) - 1) != 0;

		for (size_t k = 0; k < sizeof(ours) / sizeof(*ours); k++)
			known = known || span_is(name, ours[k]);
		if (!known)
			return refuse(r, "has a simlane_ member that does not exist (simlane_scopes, simlane_tenants, "
			                 "simlane_iss, simlane_acr do)");
	}
	return true;
}

static bool read_key(const struct reading *r, struct key *key)
{
	if (jdoc_type(r->doc, r->object) != JDOC_OBJECT)
		return refuse(r, "must be an object");
	return read_public_key(r, key) && check_purpose(r) && check_our_names(r) && read_scopes(r, key) &&
	       read_tenants(r, key) && read_issuer_and_acr(r, key);
}

static int compare_spans(struct span a, struct span b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_keys(const void *a, const void *b)
{
	return compare_spans(((const struct key *)a)->kid, ((const struct key *)b)->kid);
}

static int read_keys(struct keyring *ring, uint32_t keys, struct fault *fault)
{
	const struct jdoc *d = &ring->doc;
	uint32_t i = jdoc_first(d, keys);

	ring->count = d->nodes[keys].count;
	ring->keys = calloc(ring->count ? ring->count : 1, sizeof(*ring->keys));
	if (ring->keys == NULL)
		return fault_set(fault, "keyring: no memory");
	for (size_t n = 0; n < ring->count; n++, i = d->nodes[i].next) {
		const struct reading r = {d, i, n, fault};

		if (!read_key(&r, &ring->keys[n]))
			return -1;
	}
	qsort(ring->keys, ring->count, sizeof(*ring->keys), compare_keys);
	for (size_t n = 1; n < ring->count; n++) {
		if (span_equal(ring->keys[n - 1].kid, ring->keys[n].kid))
			return fault_set(fault, "keyring: two keys have the same kid");
	}
	return 0;
}

static int read_document(struct keyring *ring, struct span jwks, struct fault *fault)
{
	struct jdoc_where where;

	ring->text = malloc(jwks.len + 1);
	if (ring->text == NULL)
		return fault_set(fault, "keyring: no memory");
	if (jwks.len > 0)
		memcpy(ring->text, jwks.ptr, jwks.len);
	ring->text_bytes = jwks.len;
	if (jdoc_parse(&ring->doc, (struct span){ring->text, jwks.len}, &where) != JDOC_OK)
		return fault_set(fault, "keyring: line %u, column %u: %s", where.line, where.column,
		                 jdoc_error_text(where.error));
	if (jdoc_get(&ring->doc, 0, "d") != JDOC_NONE)
		return fault_set(fault, "keyring: holds a private key (member d); a keyring is of public keys only");
	uint32_t keys = jdoc_get(&ring->doc, 0, "keys");
	if (jdoc_type(&ring->doc, keys) != JDOC_ARRAY)
		return fault_set(fault, "keyring: must be a JWK Set, an object with an array \"keys\"");
	return read_keys(ring, keys, fault);
}

static void keyring_free(struct snapshot_ref *self)
{
	struct keyring *ring = (struct keyring *)self;

	free(ring->keys);
	jdoc_free(&ring->doc);
	if (ring->text != NULL)
		crypto_wipe(ring->text, ring->text_bytes); /* a refused one may hold a private key */
	free(ring->text);
	free(ring);
}

struct keyring *keyring_read(struct span jwks, struct fault *fault)
{
	struct keyring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL) {
		fault_set(fault, "keyring: no memory");
		return NULL;
	}
	atomic_init(&ring->ref.count, 1);
	ring->ref.free = keyring_free;
	ring->doc = JDOC_EMPTY;
	if (read_document(ring, jwks, fault) == 0)
		return ring;
	keyring_free(&ring->ref);
	return NULL;
}

const struct key *keyring_find(const struct keyring *ring, struct span kid)
{
	const struct key wanted = {.kid = kid};

	if (ring == NULL || ring->count == 0)
		return NULL;
	return bsearch(&wanted, ring->keys, ring->count, sizeof(*ring->keys), compare_keys);
}

bool key_speaks_for(const struct keyring *ring, const struct key *key, struct span tenant)
{
	if (key->tenants == JDOC_NONE)
		return span_is(tenant, TENANT_DEFAULT);
	const struct jdoc *d = &ring->doc;
	for (uint32_t i = jdoc_first(d, key->tenants); i < d->nodes[key->tenants].next; i = d->nodes[i].next) {
		struct span allowed = jdoc_str(d, i);

		if (span_is(allowed, "*") || span_equal(allowed, tenant))
			return true;
	}
	return false;
}
