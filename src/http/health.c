/* health.c - GET /health, /livez and /readyz */
#include "config.h"
#include "internal.h"

void health_start(struct request *r)
{
	r->call.reply.failed_checks = service_health(r->http->options.service);
	request_done(&r->call);
}

void health_finish(struct request *r)
{
	struct service *s = r->http->options.service;
	struct buf *b = &r->answer;
	int64_t depth = service_depth(s);
	bool pass = r->call.reply.failed_checks == 0 && depth >= 0;
	buf_text(b, "{\"component\":\"consciousness.simulation\",\"enabled\":");
	buf_text(b, service_enabled(s) ? "true" : "false");
	buf_text(b, ",\"queue_depth\":");
	if (depth >= 0)
		buf_int(b, depth);
	else
		buf_text(b, "null");
	buf_text(b, ",\"time\":");
	buf_int(b, clock_wall_ms(r->http->options.clock));
	buf_text(b, pass ? ",\"status\":\"pass\"" : ",\"status\":\"fail\"");
	buf_text(b, ",\"version\":\"" PACKAGE_VERSION "\",\"store\":\"");
	buf_text(b, service_store_name(s));
	buf_text(b, "\"}");
	answer_begin(r, pass ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, (struct span){b->ptr, b->len},
	             "application/json");
}

static void probe_finish(struct request *r, const char *failed)
{
	struct buf *b = &r->answer;
	if (failed)
		buf_printf(b, "{\"status\":\"fail\",\"check\":\"%s\"}", failed);
	else
		buf_text(b, "{\"status\":\"pass\"}");
	answer_begin(r, failed ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, (struct span){b->ptr, b->len},
	             "application/json");
}

void livez_start(struct request *r)
{
	request_done(&r->call);
}

/* That this very thread answers is what it says. */
void livez_finish(struct request *r)
{
	probe_finish(r, NULL);
}

void readyz_start(struct request *r)
{
	if (atomic_load(&r->http->draining))
		request_done(&r->call);
	else
		service_ready(r->http->options.service, &r->call);
}

void readyz_finish(struct request *r)
{
	const char *failed = NULL;
	for (int c = CHECKS; c-- > 0;)
		if (r->call.reply.failed_checks >> c & 1)
			failed = service_check_name((enum service_check)c);
	probe_finish(r, atomic_load(&r->http->draining) ? "draining" : failed);
}
