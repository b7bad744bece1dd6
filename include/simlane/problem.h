/*
 * problem - every way in which a request can end badly
 *
 * The service says which problem, the HTTP layer how it looks (RFC 9457).
 * One table in src/base/problem.c gives each its code, status and title; the
 * OpenAPI document and doc/protocol.txt list the same.
 */
#ifndef SIMLANE_PROBLEM_H
#define SIMLANE_PROBLEM_H

enum problem {
	PROBLEM_NONE,
	PROBLEM_BAD_REQUEST,
	PROBLEM_INVALID_JSON,
	PROBLEM_MISSING_TOKEN,
	PROBLEM_INVALID_TOKEN,
	PROBLEM_STEP_UP_REQUIRED,
	PROBLEM_INSUFFICIENT_SCOPE,
	PROBLEM_POLICY_VIOLATION,
	PROBLEM_NOT_FOUND,
	PROBLEM_METHOD_NOT_ALLOWED,
	PROBLEM_JOB_CANCELLED,
	PROBLEM_JOB_FAILED,
	PROBLEM_TRACE_TAKEN,
	PROBLEM_IDEMPOTENCY_IN_FLIGHT,
	PROBLEM_BODY_TOO_LARGE,
	PROBLEM_UNSUPPORTED_MEDIA_TYPE,
	PROBLEM_INVALID_REQUEST,
	PROBLEM_INVALID_SEED,
	PROBLEM_IDEMPOTENCY_MISMATCH,
	PROBLEM_HEADERS_TOO_LARGE,
	PROBLEM_RATE_LIMITED,
	PROBLEM_INTERNAL,
	PROBLEM_STORE_UNAVAILABLE,
	PROBLEM_STORE_FULL,
	PROBLEM_INBOX_UNAVAILABLE,
	PROBLEM_SHUTTING_DOWN,
	PROBLEM_INBOX_FULL,
	PROBLEMS,
};

struct problem_row {
	const char *code;
	int status;
	const char *title;
	int retry_after_s; /* 0: no Retry-After */
};

extern const struct problem_row problem_rows[PROBLEMS];

#endif
