/* inbox.c - POST /inbox */
#include "internal.h"

void inbox_start(struct request *r)
{
	service_inbox(r->http->options.service, &r->call);
}
