/* screen.c - a call before the policy */
#include <string.h>

#include "internal.h"

/* ---- scratch memory, shared by the threads ---- */

int screens_init(struct screen_pool *p)
{
	p->count = 0;
	return pthread_mutex_init(&p->lock, NULL) == 0 ? 0 : -1;
}

void screens_destroy(struct screen_pool *p)
{
	while (p->count)
		screen_free(p->free[--p->count]);
	pthread_mutex_destroy(&p->lock);
}

static struct screen *screen_take(struct screen_pool *p)
{
	struct screen *s = NULL;
	pthread_mutex_lock(&p->lock);
	if (p->count)
		s = p->free[--p->count];
	pthread_mutex_unlock(&p->lock);
	return s ? s : screen_new();
}

static void screen_give_back(struct screen_pool *p, struct screen *s)
{
	pthread_mutex_lock(&p->lock);
	bool kept = p->count < sizeof(p->free) / sizeof(p->free[0]);
	if (kept)
		p->free[p->count++] = s;
	pthread_mutex_unlock(&p->lock);
	if (!kept)
		screen_free(s);
}

/* ---- counting ---- */

void screen_count(struct service *s, const char *rule, const char *effect)
{
	pthread_mutex_lock(&s->rules_lock);
	unsigned i = 0;
	while (i < s->rule_count && (strcmp(s->rules[i].rule, rule) != 0 || s->rules[i].effect != effect))
		i++;
	if (i == s->rule_count && i < SERVICE_RULES_COUNTED) {
		strncpy(s->rules[i].rule, rule, SERVICE_RULE_SIZE - 1);
		s->rules[i].effect = effect;
		s->rule_count++;
	}
	if (i < SERVICE_RULES_COUNTED)
		s->rules[i].count++;
	pthread_mutex_unlock(&s->rules_lock);
}

/* ---- screening ---- */

static const struct policy_verdict cannot_tell = {.effect = POLICY_DENY, .rule = "policy-error"};

void screen_begin(struct service_call *call)
{
	call->policy = snapshot_get(&call->service->policies);
}

/* Ends the call unless the verdict allows it. */
static bool judge(struct service_call *call, const struct policy_verdict *v)
{
	struct service *s = call->service;
	if (v->effect == POLICY_ALLOW)
		return true;
	strncpy(call->reply.logged, v->rule, SERVICE_RULE_SIZE - 1);
	screen_count(s, v->rule, v->effect == POLICY_DENY ? "deny" : "step-up");
	if (v->duress) {
		service_refuse_disabled(call);
		call_end(call);
		return false;
	}
	strncpy(call->reply.rule, v->rule, SERVICE_RULE_SIZE - 1);
	if (v->effect == POLICY_STEP_UP)
		call_fail(call, PROBLEM_STEP_UP_REQUIRED,
		          "This goal needs a token with step-up authentication (GT\xce\xa8).");
	else
		call_fail(call, PROBLEM_POLICY_VIOLATION, NULL);
	return false;
}

bool screen_seed(struct service_call *call, uint32_t seed, uint64_t *advice)
{
	struct service *s = call->service;
	struct policy_verdict v = cannot_tell;
	struct screen *screen = screen_take(&s->screens);
	bool stepped_up = claims_stepped_up(call->claims, clock_wall_ms(s->options.clock));
	if (screen) {
		policy_screen(call_policy(call), screen, call->body, seed, stepped_up, &v);
		screen_give_back(&s->screens, screen);
	}
	if (!judge(call, &v))
		return false;
	count_up(&s->allowed);
	*advice = v.advice;
	return true;
}

bool screen_value(struct service_call *call, uint32_t value)
{
	struct service *s = call->service;
	struct policy_verdict v = cannot_tell;
	struct screen *screen = screen_take(&s->screens);
	if (screen) {
		policy_screen_value(call_policy(call), screen, call->body, value, &v);
		screen_give_back(&s->screens, screen);
	}
	return judge(call, &v);
}

void screen_stored(struct service_call *call, const struct job_view *job, struct policy_verdict *verdict)
{
	struct service *s = call->service;
	struct jdoc doc = JDOC_EMPTY;
	struct screen *screen = screen_take(&s->screens);
	*verdict = cannot_tell;
	if (screen && jdoc_parse(&doc, job->seed, NULL) == JDOC_OK && seed_is_whole(&doc, 0, job->goal_chars))
		policy_screen(call_policy(call), screen, &doc, 0, job->stepped_up, verdict);
	jdoc_free(&doc);
	if (screen)
		screen_give_back(&s->screens, screen);
}
