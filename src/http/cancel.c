/* cancel.c - POST /cancel */
#include "internal.h"

void cancel_start(struct request *r)
{
	service_cancel(r->http->options.service, &r->call);
}

void plain_finish(struct request *r)
{
	answer_json(r, MHD_HTTP_OK);
}
