/* token/claim_draft - a payload's members, one by one */
#include "claim_draft.h"

#include <stdlib.h>

#include "keyring.h"
#include "simlane/ids.h"
#include "text.h"

struct payload {
	const struct jdoc *doc;
	bool jwt;
};

static bool read_text(const struct payload *p, const char *name, struct span *text)
{
	*text = jdoc_str(p->doc, jdoc_get(p->doc, 0, name));
	return token_text_valid(*text);
}

static bool read_tenant(const struct payload *p, struct span *tenant)
{
	uint32_t node = jdoc_get(p->doc, 0, "tenant");

	*tenant = node == JDOC_NONE ? span_of(TENANT_DEFAULT) : jdoc_str(p->doc, node);
	return tenant_valid(*tenant);
}

static bool read_time(const struct payload *p, const char *name, bool required, int64_t *ms)
{
	uint32_t node = jdoc_get(p->doc, 0, name);

	*ms = 0;
	if (node == JDOC_NONE)
		return !required;
	if (!p->jwt)
		return jdoc_type(p->doc, node) == JDOC_STRING && rfc3339_parse(jdoc_str(p->doc, node), ms);
	switch (jdoc_type(p->doc, node)) {
	case JDOC_INT:
		return numeric_date_int(p->doc->nodes[node].integer, ms);
	case JDOC_REAL:
		return numeric_date_real(p->doc->nodes[node].real, ms);
	default:
		return false;
	}
}

static bool all_strings(const struct jdoc *d, uint32_t array)
{
	for (uint32_t i = jdoc_first(d, array); i < d->nodes[array].next; i = d->nodes[i].next) {
		if (jdoc_type(d, i) != JDOC_STRING)
			return false;
	}
	return true;
}

static unsigned scopes_of_text(struct span text)
{
	unsigned scopes = 0;

	while (text.len > 0) {
		const char *space = memchr(text.ptr, ' ', text.len);
		struct span name = {text.ptr, space ? (size_t)(space - text.ptr) : text.len};
		size_t step = name.len + (space ? 1 : 0);

		scopes |= scope_bit(name);
		text.ptr += step;
		text.len -= step;
	}
	return scopes;
}

/* Scopes of other services are passed over: they are not ours to judge. */
static bool read_scopes(const struct payload *p, unsigned *scopes)
{
	uint32_t text = jdoc_get(p->doc, 0, "scope"), list = jdoc_get(p->doc, 0, "scopes");

	*scopes = 0;
	if (text != JDOC_NONE) {
		*scopes = scopes_of_text(jdoc_str(p->doc, text));
		return list == JDOC_NONE && jdoc_type(p->doc, text) == JDOC_STRING;
	}
	if (list == JDOC_NONE)
		return true;
	if (jdoc_type(p->doc, list) != JDOC_ARRAY || !all_strings(p->doc, list))
		return false;
	for (uint32_t i = jdoc_first(p->doc, list); i < p->doc->nodes[list].next; i = p->doc->nodes[i].next)
		*scopes |= scope_bit(jdoc_str(p->doc, i));
	return true;
}

static bool read_acr(const struct payload *p, bool *gtpsi)
{
	uint32_t node = jdoc_get(p->doc, 0, "acr");

	*gtpsi = span_is(jdoc_str(p->doc, node), ACR_GTPSI);
	return node == JDOC_NONE || jdoc_type(p->doc, node) == JDOC_STRING;
}

static bool read_audience(const struct payload *p, uint32_t *node)
{
	*node = jdoc_get(p->doc, 0, "aud");
	if (*node == JDOC_NONE || jdoc_type(p->doc, *node) == JDOC_STRING)
		return true;
	return jdoc_type(p->doc, *node) == JDOC_ARRAY && all_strings(p->doc, *node);
}

bool claim_draft_read(struct claim_draft *c, const struct jdoc *payload, bool jwt)
{
	const struct payload p = {payload, jwt};

	return read_text(&p, "iss", &c->iss) && read_text(&p, "sub", &c->sub) && read_text(&p, "jti", &c->jti) &&
	       read_tenant(&p, &c->tenant) && read_time(&p, "exp", true, &c->expires_ms) &&
	       read_time(&p, "nbf", false, &c->not_before_ms) && read_time(&p, "iat", false, &c->issued_ms) &&
	       read_time(&p, "auth_time", false, &c->auth_time_ms) && read_scopes(&p, &c->scopes) &&
	       read_acr(&p, &c->acr_gtpsi) && read_audience(&p, &c->audience);
}

bool claim_draft_for(const struct claim_draft *c, const struct jdoc *payload, const char *audience)
{
	if (audience == NULL)
		return true;
	if (c->audience == JDOC_NONE)
		return false;
	if (jdoc_type(payload, c->audience) == JDOC_STRING)
		return span_is(jdoc_str(payload, c->audience), audience);
	for (uint32_t i = jdoc_first(payload, c->audience); i < payload->nodes[c->audience].next;
	     i = payload->nodes[i].next) {
		if (span_is(jdoc_str(payload, i), audience))
			return true;
	}
	return false;
}

static const char *put_text(char **at, struct span text)
{
	const char *begin = *at;

	memcpy(*at, text.ptr, text.len);
	(*at)[text.len] = '\0';
	*at += text.len + 1;
	return begin;
}

struct claims *claim_draft_make(const struct claim_draft *c, struct span kid, uint64_t key_mark, int64_t skew_ms)
{
	size_t texts = c->iss.len + c->sub.len + c->jti.len + c->tenant.len + kid.len + 5;
	struct claims *made = malloc(sizeof(*made) + texts);

	if (made == NULL)
		return NULL;
	char *at = (char *)(made + 1);
	atomic_init(&made->refs, 1);
	made->scopes = c->scopes;
	made->acr_gtpsi = c->acr_gtpsi;
	made->expires_ms = c->expires_ms;
	made->not_before_ms = c->not_before_ms;
	made->auth_time_ms = c->auth_time_ms;
	made->skew_ms = skew_ms;
	made->key_mark = key_mark;
	made->iss = put_text(&at, c->iss);
	made->sub = put_text(&at, c->sub);
	made->jti = put_text(&at, c->jti);
	made->tenant = put_text(&at, c->tenant);
	made->kid = put_text(&at, kid);
	return made;
}
