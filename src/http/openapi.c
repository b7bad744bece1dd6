/* openapi.c - GET /openapi.json: the document this build was made with */
#include "internal.h"

extern const unsigned char openapi_json[];
extern const size_t openapi_json_len;

void openapi_start(struct request *r)
{
	request_done(&r->call);
}

void openapi_finish(struct request *r)
{
	answer_begin(r, MHD_HTTP_OK, (struct span){(const char *)openapi_json, openapi_json_len}, "application/json");
}
