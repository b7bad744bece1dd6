/*
 * config - the settings: one table, from the environment only
 *
 * The table in src/config/config.c gives each setting its name, type, bounds,
 * default and prose; the help text and the man page are printed from it. A
 * bad value, or an unknown SIM_*, SIMULATION_* or DREAM_INBOX_* name, is a
 * fault that names it. Nothing falls back silently.
 *
 * OWNERSHIP  strings point into the environment given, or at constants.
 */
#ifndef SIMLANE_CONFIG_H
#define SIMLANE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "simlane/fault.h"

struct config {
	bool enabled;
	const char *listen, *admin_listen;
	int64_t http_threads; /* 0: as many as cores */
	int64_t max_connections, max_body_bytes, request_timeout_ms;
	const char *job_store;
	int64_t job_ttl_ms, max_jobs, memory_max_bytes;
	const char *sqlite_path; /* set when job_store is sqlite */
	const char *redis_url;   /* set when job_store is redis; may hold a password */
	const char *redis_prefix;
	int64_t redis_wait_replicas;
	const char *policy_file, *keyring_file, *revoked_file, *audience;
	int64_t clock_skew_s;
	const char *inbox_dir;
	bool inbox_redact;
	const char *log_level, *log_format;
	int64_t drain_ms;
};

/* 0, or -1 with a fault that names the setting. environ is NULL-terminated
 * "NAME=value" strings. */
int config_load(struct config *c, char *const *environment, struct fault *fault);

/* The settings as people read them: "help" (for --help), "env" (the commented
 * sample etc/simlane.env), "man" (roff for simlaned(8)), "markdown" (the
 * README's table). */
enum config_style { CONFIG_HELP, CONFIG_ENV, CONFIG_MAN, CONFIG_MARKDOWN };
void config_print(FILE *out, enum config_style style);

#endif
