/*
 * main.c - simlaned: puts the lane together, serves until told to stop
 *
 * Everything is made here, in the order of the layers, and taken apart in the
 * opposite order. The main thread then waits for signals; once a second it
 * sweeps the store and looks for changed files.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "simlane/config.h"
#include "simlane/crypto.h"
#include "simlane/http.h"

#define CACHED_VERDICTS 8192
#define HOUSEKEEPING_MS 500

extern char **environ;

struct lane {
	struct config config;
	struct log *log;
	struct timer *timer;
	struct idgen *ids;
	struct store *store;
	struct verifier *verifier;
	struct inbox *inbox;
	struct service *service;
	struct http *http;
};

static bool authorize(void *verifier, const struct claims *claims)
{
	return token_recheck(verifier, claims) == TOKEN_VALID;
}

static enum log_level level_of(const char *name)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	size_t i = 0;
	while (i < LOG_ERROR && strcmp(names[i], name) != 0)
		i++;
	return (enum log_level)i;
}

static int open_base(struct lane *l, struct fault *fault)
{
	const struct config *c = &l->config;
	if (crypto_init() != 0)
		return fault_set(fault, "no usable random source");
	l->log = log_open(STDERR_FILENO, level_of(c->log_level),
	                  strcmp(c->log_format, "json") == 0 ? LOG_JSON : LOG_TEXT, &clock_system);
	l->timer = timer_start();
	l->ids = idgen_new();
	return l->log && l->timer && l->ids ? 0 : fault_set(fault, "out of memory");
}

static int open_modules(struct lane *l, struct fault *fault)
{
	const struct config *c = &l->config;
	l->store = store_open(c->job_store,
	                      &(struct store_options){.clock = &clock_system,
	                                              .log = l->log,
	                                              .max_jobs = c->max_jobs,
	                                              .memory_max_bytes = c->memory_max_bytes,
	                                              .sqlite_path = c->sqlite_path,
	                                              .redis_url = c->redis_url,
	                                              .redis_prefix = c->redis_prefix,
	                                              .redis_wait_replicas = c->redis_wait_replicas},
	                      fault);
	if (!l->store)
		return -1;
	l->verifier = verifier_new(&(struct verifier_options){.audience = c->audience,
	                                                      .skew_ms = c->clock_skew_s * 1000,
	                                                      .clock = &clock_system,
	                                                      .cache_entries = CACHED_VERDICTS});
	if (!l->verifier)
		return fault_set(fault, "out of memory");
	l->inbox = inbox_open(&(struct inbox_options){.dir = c->inbox_dir,
	                                              .redact = c->inbox_redact,
	                                              .clock = &clock_system,
	                                              .log = l->log,
	                                              .authorize = authorize,
	                                              .authorize_ctx = l->verifier},
	                      fault);
	return l->inbox ? 0 : -1;
}

static int open_service(struct lane *l, struct fault *fault)
{
	const struct config *c = &l->config;
	l->service = service_new(&(struct service_options){.clock = &clock_system,
	                                                   .log = l->log,
	                                                   .store = l->store,
	                                                   .inbox = l->inbox,
	                                                   .verifier = l->verifier,
	                                                   .timer = l->timer,
	                                                   .ids = l->ids,
	                                                   .enabled = c->enabled,
	                                                   .job_ttl_ms = c->job_ttl_ms,
	                                                   .request_timeout_ms = c->request_timeout_ms,
	                                                   .policy_file = c->policy_file,
	                                                   .keyring_file = c->keyring_file,
	                                                   .revoked_file = c->revoked_file},
	                         fault);
	return l->service ? 0 : -1;
}

static int open_http(struct lane *l, struct fault *fault)
{
	const struct config *c = &l->config;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	l->http = http_start(&(struct http_options){.service = l->service,
	                                            .verifier = l->verifier,
	                                            .inbox = l->inbox,
	                                            .timer = l->timer,
	                                            .ids = l->ids,
	                                            .log = l->log,
	                                            .clock = &clock_system,
	                                            .listen = c->listen,
	                                            .admin_listen = c->admin_listen,
	                                            .threads = (unsigned)(c->http_threads ? c->http_threads
	                                                                  : cores > 0     ? cores
	                                                                                  : 1),
	                                            .max_connections = (unsigned)c->max_connections,
	                                            .max_body_bytes = (size_t)c->max_body_bytes,
	                                            .request_timeout_ms = c->request_timeout_ms},
	                     fault);
	return l->http ? 0 : -1;
}

/* HTTP has been drained: nothing new comes. What the inbox still writes and
 * what the store still holds is finished, which completes its calls, whoever
 * was told meanwhile that it took too long; each of the two refuses by then
 * what those calls want of it. Then all is let go. */
static void close_lane(struct lane *l)
{
	service_stop_probes(l->service);
	inbox_stop(l->inbox);
	timer_stop(l->timer); /* its thread may still be behind the end of a call, inside the store */
	store_close(l->store);
	inbox_close(l->inbox);
	service_free(l->service);
	http_free(l->http);
	verifier_free(l->verifier);
	idgen_free(l->ids);
	log_close(l->log);
}

/* Serves until SIGTERM or SIGINT. */
static void serve(struct lane *l, const sigset_t *signals)
{
	const struct timespec period = {.tv_sec = 0, .tv_nsec = HOUSEKEEPING_MS * 1000000L};
	for (;;) {
		int signal = sigtimedwait(signals, NULL, &period);
		if (signal == SIGTERM || signal == SIGINT) {
			LOG(l->log, LOG_INFO, "stopping", LOG_STR("signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"));
			return;
		}
		if (signal == SIGHUP) {
			LOG(l->log, LOG_INFO, "reload", LOG_STR("why", "SIGHUP"));
			service_reload(l->service, false);
		} else if (signal < 0 && errno == EAGAIN) {
			store_sweep(l->store);
			service_reload(l->service, true);
		}
	}
}

static int run(const sigset_t *signals)
{
	struct lane l = {.log = NULL};
	struct fault fault = {""};
	struct service_figures figures;
	int64_t begun_us = clock_mono_us(&clock_system);
	if (config_load(&l.config, environ, &fault) != 0) {
		fprintf(stderr, "simlaned: %s\n", fault.text);
		return 2;
	}
	bool settled = open_base(&l, &fault) == 0 && open_modules(&l, &fault) == 0 && open_service(&l, &fault) == 0;
	if (!settled || open_http(&l, &fault) != 0) {
		fprintf(stderr, "simlaned: %s\n", fault.text);
		close_lane(&l);
		return settled ? 1 : 2;
	}
	service_figures(l.service, &figures);
	LOG(l.log, LOG_INFO, "ready", LOG_STR("listen", http_address(l.http, false)),
	    LOG_STR("admin", http_address(l.http, true)), LOG_STR("version", PACKAGE_VERSION),
	    LOG_STR("policy", figures.policy_version), LOG_STR("store", l.config.job_store),
	    LOG_STR("inbox", l.config.inbox_dir), LOG_INT("startup_us", clock_mono_us(&clock_system) - begun_us));
	serve(&l, signals);
	http_drain(l.http, l.config.drain_ms);
	LOG(l.log, LOG_INFO, "stopped", LOG_INT("queue_depth", service_depth(l.service)));
	close_lane(&l);
	return 0;
}

static void print_help(void)
{
	puts("usage: simlaned [--help | --version | --routes]\n\n"
	     "The simulation lane's daemon. Settings come from the environment only:\n");
	config_print(stdout, CONFIG_HELP);
	puts("\nSIGTERM and SIGINT drain and stop; SIGHUP reads keyring, revocations and policy again.\n"
	     "Exit codes: 0 done, 1 failed, 2 usage or settings.");
}

int main(int argc, char **argv)
{
	sigset_t signals;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("simlaned " PACKAGE_VERSION);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--routes") == 0) {
		http_print_routes(stdout);
		return 0;
	}
	if (argc != 1) {
		fputs("usage: simlaned [--help | --version | --routes]\n", stderr);
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	/* Blocked before any thread is made, so that only this one sees them. */
	if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    signal(SIGXFSZ, SIG_IGN) == SIG_ERR) {
		perror("simlaned: signals");
		return 1;
	}
	(void)umask(027);
	return run(&signals);
}
