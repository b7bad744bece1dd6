/*
 * redis_scripts - the store's scripts, and what their words mean
 *
 * Each runs as one atomic step on the server (EVALSHA). They are loaded when a
 * connection is made, and again when the server has forgotten them.
 */
#ifndef SIMLANE_STORE_REDIS_SCRIPTS_H
#define SIMLANE_STORE_REDIS_SCRIPTS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "simlane/buf.h"
#include "simlane/fault.h"

enum redis_script { SCRIPT_CREATE, SCRIPT_READ, SCRIPT_TRACE, SCRIPT_BEGIN, SCRIPT_CHANGE, SCRIPT_SWEEP, SCRIPTS };

#define SHA1_HEX 40

struct redis_scripts {
	char sha[SCRIPTS][SHA1_HEX + 1];
};

/* Loads all of them in one pipeline. 0, or -1: the connection is lost
 * (context->err) or the server refused one (fault says why). */
int redis_scripts_load(struct redis_scripts *s, redisContext *context, struct fault *fault);

#endif
