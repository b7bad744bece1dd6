/* schedule.c - POST /schedule */
#include <stdio.h>

#include "internal.h"

void schedule_start(struct request *r)
{
	service_schedule(r->http->options.service, &r->call);
}

void schedule_finish(struct request *r)
{
	char location[sizeof("/jobs/") + JOB_ID_SIZE];
	snprintf(location, sizeof(location), "/jobs/%s", r->call.reply.job_id);
	answer_json(r, MHD_HTTP_ACCEPTED);
	answer_header(r, MHD_HTTP_HEADER_LOCATION, location);
}
