/* locks.c - one trace, one writer, between processes */
#include "locks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "simlane/crypto.h"

int locks_open(struct inbox_locks *l, const struct inbox_dir *d, struct fault *fault)
{
	memset(l, 0, sizeof(*l));
	for (int i = 0; i < LOCK_FILES; i++)
		l->fds[i] = -1;
	l->sys = d->sys;
	for (int i = 0; i < LOCK_FILES; i++) {
		char name[16];
		snprintf(name, sizeof(name), ".lock.%02d", i);
		l->fds[i] = dir_open_lock(d, name, fault);
		if (l->fds[i] < 0) {
			locks_close(l);
			return -1;
		}
	}
	return 0;
}

void locks_close(struct inbox_locks *l)
{
	for (int i = 0; l->sys && i < LOCK_FILES; i++)
		if (l->fds[i] >= 0)
			l->sys->close(l->sys, l->fds[i]);
	l->sys = NULL;
}

int locks_take(struct inbox_locks *l, const char *trace_id)
{
	static const uint8_t key[HASH128_KEY_BYTES]; /* every process must find the same byte */
	uint8_t hash[HASH128_BYTES];
	uint64_t byte;

	crypto_hash128(hash, span_of(trace_id), key);
	memcpy(&byte, hash, sizeof(byte));
	int file = hash[8] % LOCK_FILES;
	if (l->sys->lock(l->sys, l->fds[file], true, (off_t)(byte & DIR_OFFSET_MASK), 1) == 0) {
		l->used[file] = true;
		return 0;
	}
	return errno == EACCES ? EAGAIN : errno;
}

void locks_release(struct inbox_locks *l)
{
	for (int i = 0; i < LOCK_FILES; i++) {
		/* length 0: to the end, all that we hold in the file */
		if (l->used[i] && l->sys->lock(l->sys, l->fds[i], false, 0, 0) == 0)
			l->used[i] = false;
	}
}
