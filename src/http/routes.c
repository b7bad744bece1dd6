/* routes.c - the one table of routes */
#include <string.h>
#include <strings.h>

#include "internal.h"

#define COLLECT_SCOPES (SCOPE_COLLECT | SCOPE_INBOX)

const struct route routes[] = {
        {"POST", "/schedule", ROUTE_BODY | ROUTE_ENABLED | ROUTE_WAITS, SCOPE_SCHEDULE, 0, schedule_start,
         schedule_finish},
        {"POST", "/collect", ROUTE_BODY | ROUTE_WAITS, COLLECT_SCOPES, 0, collect_start, collect_finish},
        {"POST", "/cancel", ROUTE_BODY | ROUTE_WAITS, SCOPE_SCHEDULE, 0, cancel_start, plain_finish},
        {"POST", "/inbox", ROUTE_BODY | ROUTE_WAITS, SCOPE_INBOX, 0, inbox_start, plain_finish},
        {"GET", "/jobs/{job_id}", ROUTE_WAITS, 0, SCOPE_SCHEDULE | SCOPE_COLLECT, job_start, plain_finish},
        {"GET", "/health", ROUTE_ADMIN | ROUTE_PROBE, 0, 0, health_start, health_finish},
        {"GET", "/livez", ROUTE_ADMIN | ROUTE_PROBE, 0, 0, livez_start, livez_finish},
        {"GET", "/readyz", ROUTE_ADMIN | ROUTE_PROBE | ROUTE_WAITS, 0, 0, readyz_start, readyz_finish},
        {"GET", "/metrics", ROUTE_ADMIN | ROUTE_PROBE | ROUTE_PRIVATE, 0, 0, metrics_start, metrics_finish},
        {"GET", "/openapi.json", 0, 0, 0, openapi_start, openapi_finish},
};

const unsigned route_count = sizeof(routes) / sizeof(routes[0]);

_Static_assert(sizeof(routes) / sizeof(routes[0]) <= ROUTES_MAX, "a metrics row each");

void http_print_routes(FILE *out)
{
	for (unsigned i = 0; i < route_count; i++)
		fprintf(out, "%s %s\n", routes[i].method, routes[i].path);
}

static bool path_matches(const struct route *route, const char *path, struct span *segment)
{
	const char *brace = strchr(route->path, '{');
	if (!brace)
		return strcmp(route->path, path) == 0;
	size_t fixed = (size_t)(brace - route->path);
	if (strncmp(route->path, path, fixed) != 0 || path[fixed] == '\0' || strchr(path + fixed, '/'))
		return false;
	*segment = span_of(path + fixed);
	return true;
}

static bool is_served(const struct http *h, bool admin, const struct route *route)
{
	if (admin)
		return route->flags & ROUTE_ADMIN;
	if (route->flags & ROUTE_PRIVATE)
		return !h->options.admin_listen && h->main.is_private;
	return true;
}

static bool method_matches(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 || (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* RFC 9112 section 3.2.2: an absolute-form target names the path behind its
 * authority. */
static const char *path_of(const char *target)
{
	size_t scheme = strncasecmp(target, "http://", 7) == 0 ? 7 : strncasecmp(target, "https://", 8) == 0 ? 8 : 0;
	const char *slash = scheme ? strchr(target + scheme, '/') : target;
	return slash ? slash : "/";
}

enum problem route_find(const struct http *h, bool admin, const char *method, const char *path,
                        const struct route **route, struct span *segment, const char **allow)
{
	path = path_of(path);
	*route = NULL;
	*allow = NULL;
	for (const struct route *at = routes; at < routes + route_count; at++) {
		if (!is_served(h, admin, at) || !path_matches(at, path, segment))
			continue;
		if (method_matches(at, method)) {
			*route = at;
			return PROBLEM_NONE;
		}
		*allow = strcmp(at->method, "GET") == 0 ? "GET, HEAD" : at->method;
	}
	return *allow ? PROBLEM_METHOD_NOT_ALLOWED : PROBLEM_NOT_FOUND;
}
