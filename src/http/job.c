/* job.c - GET /jobs/{job_id} */
#include "internal.h"

void job_start(struct request *r)
{
	service_job(r->http->options.service, &r->call);
}
