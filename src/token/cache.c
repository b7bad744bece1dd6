/* token/cache - a set-associative table of good verdicts */
#include "cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WAYS       8
#define LOCKS_MOST 64

struct entry {
	uint64_t hash[2];
	struct token_cache_tag tag;
	const struct claims *claims; /* NULL: empty */
	int64_t expires_ms;
	bool asked; /* since it was last spared */
};

struct lock {
	_Alignas(64) pthread_mutex_t mutex; /* guards the sets whose number ends with this lock's */
};

struct token_cache {
	size_t set_mask, lock_mask;
	size_t locks_made;
	struct entry *entries; /* WAYS a set */
	struct lock locks[LOCKS_MOST];
};

struct token_cache *token_cache_new(size_t entries)
{
	size_t sets = 1;
	struct token_cache *cache = aligned_alloc(_Alignof(struct token_cache), sizeof(*cache));

	if (cache == NULL)
		return NULL;
	while (sets < (entries + WAYS - 1) / WAYS)
		sets *= 2;
	cache->set_mask = sets - 1;
	cache->lock_mask = (sets < LOCKS_MOST ? sets : LOCKS_MOST) - 1;
	cache->entries = calloc(sets * WAYS, sizeof(*cache->entries));
	for (cache->locks_made = 0; cache->entries && cache->locks_made <= cache->lock_mask; cache->locks_made++) {
		if (pthread_mutex_init(&cache->locks[cache->locks_made].mutex, NULL) != 0)
			break;
	}
	if (cache->locks_made <= cache->lock_mask) {
		token_cache_free(cache);
		return NULL;
	}
	return cache;
}

void token_cache_free(struct token_cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; cache->entries != NULL && i < (cache->set_mask + 1) * WAYS; i++)
		claims_let_go(cache->entries[i].claims);
	for (size_t i = 0; i < cache->locks_made; i++)
		pthread_mutex_destroy(&cache->locks[i].mutex);
	free(cache->entries);
	free(cache);
}

struct set {
	struct entry *entries;
	pthread_mutex_t *mutex;
};

static struct set set_of(struct token_cache *cache, const uint64_t hash[2])
{
	size_t number = (size_t)hash[0] & cache->set_mask;

	return (struct set){&cache->entries[number * WAYS], &cache->locks[number & cache->lock_mask].mutex};
}

static bool same_hash(const struct entry *e, const uint64_t hash[2])
{
	return e->hash[0] == hash[0] && e->hash[1] == hash[1];
}

static bool in_force(const struct entry *e, struct token_cache_tag tag, int64_t now_ms)
{
	return e->tag.keyring == tag.keyring && e->tag.revoked == tag.revoked && now_ms < e->expires_ms;
}

const struct claims *token_cache_get(struct token_cache *cache, const uint8_t hash_bytes[HASH128_BYTES],
                                     struct token_cache_tag tag, int64_t now_ms)
{
	uint64_t hash[2];
	const struct claims *found = NULL;

	memcpy(hash, hash_bytes, sizeof(hash));
	struct set set = set_of(cache, hash);
	pthread_mutex_lock(set.mutex);
	for (struct entry *e = set.entries; e < set.entries + WAYS; e++) {
		if (e->claims == NULL || !same_hash(e, hash))
			continue;
		if (in_force(e, tag, now_ms) && now_ms + e->claims->skew_ms >= e->claims->not_before_ms) {
			e->asked = true;
			found = e->claims;
			claims_hold(found);
		}
		break;
	}
	pthread_mutex_unlock(set.mutex);
	return found;
}

/* The same token's entry, else one that is of no use any more, else one that
 * nobody asked for lately. */
static struct entry *entry_to_use(struct entry *set, const uint64_t hash[2], struct token_cache_tag tag, int64_t now_ms)
{
	size_t from = (size_t)(hash[1] >> 32);
	struct entry *useless = NULL, *idle = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		struct entry *e = &set[(from + i) % WAYS];

		if (e->claims != NULL && same_hash(e, hash))
			return e;
		if (e->claims == NULL || !in_force(e, tag, now_ms))
			useless = useless ? useless : e;
		else if (!e->asked)
			idle = idle ? idle : e;
	}
	if (useless != NULL || idle != NULL)
		return useless ? useless : idle;
	for (size_t i = 0; i < WAYS; i++)
		set[i].asked = false;
	return &set[from % WAYS];
}

void token_cache_put(struct token_cache *cache, const uint8_t hash_bytes[HASH128_BYTES], struct token_cache_tag tag,
                     const struct claims *claims, int64_t now_ms)
{
	uint64_t hash[2];

	memcpy(hash, hash_bytes, sizeof(hash));
	struct set set = set_of(cache, hash);
	claims_hold(claims);
	pthread_mutex_lock(set.mutex);
	struct entry *e = entry_to_use(set.entries, hash, tag, now_ms);
	const struct claims *before = e->claims;
	*e = (struct entry){{hash[0], hash[1]}, tag, claims, claims->expires_ms, false};
	pthread_mutex_unlock(set.mutex);
	claims_let_go(before);
}
