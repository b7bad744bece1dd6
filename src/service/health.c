/*
 * health.c - is the lane well?
 *
 * Looking at the disk may hang, so a batcher does it: all who ask at the same
 * time share one look.
 */
#include <stddef.h>

#include "internal.h"

#define FRESH_US 1000000

const char *service_check_name(enum service_check c)
{
	static const char *const names[CHECKS] = {[CHECK_STORE] = "store", [CHECK_INBOX] = "inbox"};
	return names[c];
}

static unsigned look(struct service *s)
{
	unsigned failed = 0;
	if (!store_check(s->options.store))
		failed |= 1u << CHECK_STORE;
	if (!inbox_check(s->options.inbox))
		failed |= 1u << CHECK_INBOX;
	atomic_store(&s->last_failed, failed);
	atomic_store(&s->last_probe_us, clock_mono_us(s->options.clock));
	return failed;
}

static void probe(void *ctx, struct batch_item **items, size_t n)
{
	struct service *s = ctx;
	unsigned failed = look(s);
	for (size_t i = 0; i < n; i++) {
		if (items[i] == &s->refresh) {
			atomic_store(&s->refreshing, false);
			continue;
		}
		struct service_call *call =
		        (struct service_call *)(void *)((char *)items[i] - offsetof(struct service_call, item));
		call->reply.failed_checks = failed;
		call_end(call);
	}
}

int prober_start(struct service *s)
{
	s->prober = batcher_start(&(struct batcher_options){
	        .name = "prober", .queue_max = 1024, .batch_max = 256, .execute = probe, .ctx = s});
	if (!s->prober)
		return -1;
	look(s);
	return 0;
}

void service_ready(struct service *s, struct service_call *call)
{
	call->service = s;
	if (!batcher_submit(s->prober, &call->item))
		call_fail(call, PROBLEM_STORE_UNAVAILABLE, "Too many ask at once.");
}

void service_stop_probes(struct service *s)
{
	if (!s)
		return;
	batcher_stop(s->prober);
	s->prober = NULL;
}

unsigned service_health(struct service *s)
{
	if (clock_mono_us(s->options.clock) - atomic_load(&s->last_probe_us) > FRESH_US &&
	    !atomic_exchange(&s->refreshing, true) && !batcher_submit(s->prober, &s->refresh))
		atomic_store(&s->refreshing, false);
	return atomic_load(&s->last_failed);
}
