/*
 * tuning - what a test or a bench may set otherwise
 *
 * inbox_open is inbox_open_tuned with inbox_tuning_default.
 */
#ifndef SIMLANE_INBOX_TUNING_H
#define SIMLANE_INBOX_TUNING_H

#include "simlane/inbox.h"
#include "sys.h"

struct inbox_tuning {
	const struct inbox_sys *sys;
	int64_t lock_wait_ms;  /* how long a write waits for its trace, in all */
	unsigned sync_threads; /* that help the batcher's */
	size_t batch_max;
	unsigned linger_ms;
};

extern const struct inbox_tuning inbox_tuning_default;

struct inbox *inbox_open_tuned(const struct inbox_options *options, const struct inbox_tuning *tuning,
                               struct fault *fault);

#endif
