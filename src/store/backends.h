/*
 * backends - what store.c registers: one const struct a file
 */
#ifndef SIMLANE_STORE_BACKENDS_H
#define SIMLANE_STORE_BACKENDS_H

#include "simlane/store.h"

extern const struct store_backend store_memory;  /* memory.c */
extern const struct store_backend store_sqlite;  /* sqlite.c */
extern const struct store_backend store_redis;   /* redis.c */
extern const struct store_backend store_failing; /* failing.c */

#endif
