/* metrics.c - counting, and GET /metrics in the Prometheus text format 0.0.4 */
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "internal.h"

static const int statuses[STATUS_SLOTS - 1] = {200, 202, 400, 401, 403, 404, 405, 409,
                                               413, 415, 422, 429, 431, 500, 503, 507};

static const int64_t bounds_us[LATENCY_BUCKETS] = {50,    100,   250,    500,     1000,    2500,
                                                   10000, 50000, 250000, 1000000, 5000000, 30000000};

static const char *const bounds_s[LATENCY_BUCKETS + 1] = {
        "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.01", "0.05", "0.25", "1", "5", "30", "+Inf"};

void metrics_count(struct metrics *m, unsigned route, int status, int64_t duration_us)
{
	unsigned slot = 0, bucket = 0;
	while (slot < STATUS_SLOTS - 1 && statuses[slot] != status)
		slot++;
	while (bucket < LATENCY_BUCKETS && duration_us > bounds_us[bucket])
		bucket++;
	atomic_fetch_add_explicit(&m->requests[route][slot], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->latency[route][bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->latency_us[route], (unsigned long long)duration_us, memory_order_relaxed);
}

/* ---- writing ---- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct buf *b, const char *name, const char *type, const char *help, double value)
{
	head(b, name, type, help);
	buf_printf(b, "%s %.17g\n", name, value);
}

static const char *route_label(unsigned i)
{
	return i < route_count ? routes[i].path : "none";
}

static void print_requests(struct buf *b, struct metrics *m)
{
	head(b, "simlane_http_requests_total", "counter", "Requests answered, by route and status.");
	for (unsigned i = 0; i <= ROUTES_MAX; i++) {
		for (unsigned k = 0; k < STATUS_SLOTS; k++) {
			unsigned long long n = atomic_load_explicit(&m->requests[i][k], memory_order_relaxed);
			if (n && k < STATUS_SLOTS - 1)
				buf_printf(b, "simlane_http_requests_total{route=\"%s\",status=\"%d\"} %llu\n",
				           route_label(i), statuses[k], n);
			else if (n)
				buf_printf(b, "simlane_http_requests_total{route=\"%s\",status=\"other\"} %llu\n",
				           route_label(i), n);
		}
	}
}

static void print_latency(struct buf *b, struct metrics *m)
{
	head(b, "simlane_http_request_duration_seconds", "histogram", "From the head of a request to its answer.");
	for (unsigned i = 0; i <= ROUTES_MAX; i++) {
		unsigned long long sum = 0;
		unsigned long long us = atomic_load_explicit(&m->latency_us[i], memory_order_relaxed);
		unsigned long long counts[LATENCY_BUCKETS + 1];
		for (unsigned k = 0; k <= LATENCY_BUCKETS; k++)
			sum += counts[k] = atomic_load_explicit(&m->latency[i][k], memory_order_relaxed);
		if (!sum)
			continue;
		sum = 0;
		for (unsigned k = 0; k <= LATENCY_BUCKETS; k++) {
			sum += counts[k];
			buf_printf(b, "simlane_http_request_duration_seconds_bucket{route=\"%s\",le=\"%s\"} %llu\n",
			           route_label(i), bounds_s[k], sum);
		}
		buf_printf(b, "simlane_http_request_duration_seconds_sum{route=\"%s\"} %.6f\n", route_label(i),
		           (double)us / 1e6);
		buf_printf(b, "simlane_http_request_duration_seconds_count{route=\"%s\"} %llu\n", route_label(i), sum);
	}
}

static void print_tokens(struct buf *b, struct metrics *m)
{
	head(b, "simlane_token_verdicts_total", "counter", "Capability tokens looked at, by verdict.");
	for (unsigned v = 0; v < TOKEN_VERDICTS; v++)
		buf_printf(b, "simlane_token_verdicts_total{verdict=\"%s\"} %llu\n",
		           token_verdict_name((enum token_verdict)v), atomic_load(&m->token_verdicts[v]));
	single(b, "simlane_token_cache_hits_total", "counter", "Verdicts that came from the cache.",
	       (double)atomic_load(&m->token_cache_hits));
}

static void print_policy(struct buf *b, const struct service_figures *f)
{
	head(b, "simlane_policy_decisions_total", "counter", "Decisions of the policy, by rule and effect.");
	buf_printf(b, "simlane_policy_decisions_total{rule=\"\",effect=\"allow\"} %llu\n",
	           (unsigned long long)f->allowed);
	for (unsigned i = 0; i < f->rule_count; i++) {
		buf_text(b, "simlane_policy_decisions_total{rule=");
		buf_json_string(b, span_of(f->rules[i].rule));
		buf_printf(b, ",effect=\"%s\"} %llu\n", f->rules[i].effect, (unsigned long long)f->rules[i].count);
	}
	head(b, "simlane_policy_info", "gauge", "The policy in force.");
	buf_text(b, "simlane_policy_info{version=");
	buf_json_string(b, span_of(f->policy_version));
	buf_text(b, "} 1\n");
}

static void print_jobs(struct buf *b, struct service *s, const struct service_figures *f)
{
	int64_t depth = service_depth(s);
	head(b, "simlane_jobs_total", "counter", "Jobs by what became of them.");
	buf_printf(b,
	           "simlane_jobs_total{event=\"created\"} %llu\nsimlane_jobs_total{event=\"completed\"} %llu\n"
	           "simlane_jobs_total{event=\"cancelled\"} %llu\nsimlane_jobs_total{event=\"failed\"} %llu\n"
	           "simlane_jobs_total{event=\"replayed\"} %llu\n",
	           (unsigned long long)f->jobs_created, (unsigned long long)f->jobs_completed,
	           (unsigned long long)f->jobs_cancelled, (unsigned long long)f->jobs_failed,
	           (unsigned long long)f->replayed);
	if (depth >= 0)
		single(b, "simlane_queue_depth", "gauge", "Live scheduled and running jobs.", (double)depth);
	head(b, "simlane_reloads_total", "counter", "Files read again while running.");
	buf_printf(b, "simlane_reloads_total{result=\"ok\"} %llu\nsimlane_reloads_total{result=\"failed\"} %llu\n",
	           (unsigned long long)f->reloads_ok, (unsigned long long)f->reloads_failed);
}

static void print_inbox(struct buf *b, struct inbox *inbox)
{
	struct inbox_stats i;
	inbox_stats(inbox, &i);
	single(b, "simlane_inbox_writes_total", "counter", "Durable writes to the dream inbox.", (double)i.writes);
	single(b, "simlane_inbox_batches_total", "counter", "Groups in which they were synced.", (double)i.batches);
	single(b, "simlane_inbox_shards_total", "counter", "New shards written.", (double)i.shards);
	single(b, "simlane_inbox_corrupt_total", "counter", "Unreadable documents put aside.", (double)i.corrupt);
	single(b, "simlane_inbox_failures_total", "counter", "Writes that failed.", (double)i.failures);
	single(b, "simlane_inbox_waiting", "gauge", "Writes waiting.", (double)i.waiting);
}

/* Resident bytes of this process, from /proc. */
static double resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

void metrics_print(struct http *h, struct buf *b)
{
	struct service_figures f;
	service_figures(h->options.service, &f);
	print_requests(b, &h->metrics);
	print_latency(b, &h->metrics);
	print_tokens(b, &h->metrics);
	print_policy(b, &f);
	single(b, "simlane_duress_signals_total", "counter", "Seeds that carried a duress signal.",
	       (double)atomic_load(&h->metrics.duress_signals));
	print_jobs(b, h->options.service, &f);
	print_inbox(b, h->options.inbox);
	single(b, "simlane_http_waiting_requests", "gauge", "Suspended connections.", (double)atomic_load(&h->waiting));
	single(b, "simlane_log_dropped_total", "counter", "Log lines lost because nobody read them.",
	       (double)log_dropped(h->options.log));
	head(b, "simlane_build_info", "gauge", "This build.");
	buf_printf(b, "simlane_build_info{version=\"%s\",store=\"%s\"} 1\n", PACKAGE_VERSION,
	           service_store_name(h->options.service));
	single(b, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
	single(b, "process_start_time_seconds", "gauge", "When the daemon started.", (double)h->started_ms / 1000);
}

void metrics_start(struct request *r)
{
	request_done(&r->call);
}

void metrics_finish(struct request *r)
{
	metrics_print(r->http, &r->answer);
	answer_begin(r, MHD_HTTP_OK, (struct span){r->answer.ptr, r->answer.len},
	             "text/plain; version=0.0.4; charset=utf-8");
}
