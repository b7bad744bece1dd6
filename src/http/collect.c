/* collect.c - POST /collect */
#include <stdio.h>

#include "internal.h"

void collect_start(struct request *r)
{
	r->call.wait_s = r->prefer.ptr ? head_prefer_wait(r->prefer) : -1;
	service_collect(r->http->options.service, &r->call);
}

void collect_finish(struct request *r)
{
	char applied[32];
	answer_json(r, r->call.reply.unfinished ? MHD_HTTP_ACCEPTED : MHD_HTTP_OK);
	if (r->call.reply.unfinished)
		answer_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	if (r->call.reply.waited_s >= 0) {
		snprintf(applied, sizeof(applied), "wait=%lld", (long long)r->call.reply.waited_s);
		answer_header(r, "Preference-Applied", applied);
	}
}
