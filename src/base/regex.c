/*
 * regex - the one file that knows PCRE2
 *
 * A pattern is compiled with UTF and UCP, and once more without where the
 * source lets both mean the same on ASCII subjects: the second needs neither
 * property look-ups nor multi-byte steps and is about twice as fast.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>

#include "simlane/clock.h"
#include "simlane/regex.h"

#define PATTERN_MAX_BYTES   65536
#define MATCH_LIMIT         100000 /* backtracks from one start offset */
#define DEPTH_LIMIT         1000
#define JIT_STACK_MIN_BYTES (32 * 1024)
#define JIT_STACK_MAX_BYTES (512 * 1024)
#define REPLACE_STEP_BYTES  512 /* start offsets tried between two looks at the clock */
#define REPLACE_BUDGET_US   200000

#define COMMON_OPTIONS (PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT)

struct regex {
	pcre2_code *utf;
	pcre2_code *ascii; /* NULL: use utf */
};

struct regex_scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
	int64_t deadline_us; /* 0: each replace has its own */
};

static int fault_pcre2(struct fault *fault, int code, size_t offset)
{
	PCRE2_UCHAR text[160];

	if (pcre2_get_error_message(code, text, sizeof(text)) < 0)
		return fault_set(fault, "PCRE2 error %d at byte %zu", code, offset);
	return fault_set(fault, "%s at byte %zu", (const char *)text, offset);
}

static int jit_prepare(pcre2_code *code, struct fault *fault)
{
	size_t jit_bytes = 0;
	int rc = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);

	if (rc != 0)
		return fault_set(fault, "PCRE2's JIT cannot compile it (error %d)", rc);
	if (pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &jit_bytes) != 0 || jit_bytes == 0)
		return fault_set(fault, "PCRE2's JIT does not support it");
	return 0;
}

static pcre2_code *code_compile(struct span pattern, uint32_t options, struct fault *fault)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code = NULL;
	PCRE2_SIZE offset = 0;
	int error = 0;

	if (!context) {
		fault_set(fault, "out of memory");
		return NULL;
	}
	pcre2_set_max_pattern_length(context, PATTERN_MAX_BYTES);
	pcre2_set_parens_nest_limit(context, 64);
	code = pcre2_compile((PCRE2_SPTR)(pattern.ptr ? pattern.ptr : ""), pattern.len, options, &error, &offset,
	                     context);
	if (!code) {
		fault_pcre2(fault, error, offset);
	} else if (jit_prepare(code, fault) != 0) {
		pcre2_code_free(code);
		code = NULL;
	}
	pcre2_compile_context_free(context);
	return code;
}

/* May the pattern be compiled without UTF for ASCII subjects? Only when no
 * construct in it means something else there, or does not exist there. */
static bool means_the_same_on_ascii(struct span pattern)
{
	for (size_t i = 0; i < pattern.len; i++) {
		unsigned char c = (unsigned char)pattern.ptr[i];
		if (c >= 0x80)
			return false;
		if (c == '(' && i + 1 < pattern.len && pattern.ptr[i + 1] == '*')
			return false;
		if (c != '\\' || i + 1 >= pattern.len)
			continue;
		c = (unsigned char)pattern.ptr[++i];
		if (strchr("pPXNCoxQ", c) != NULL || c >= 0x80)
			return false;
	}
	return true;
}

struct regex *regex_compile(struct span pattern, struct fault *fault)
{
	struct regex *r = calloc(1, sizeof(*r));

	if (!r) {
		fault_set(fault, "out of memory");
		return NULL;
	}
	r->utf = code_compile(pattern, COMMON_OPTIONS | PCRE2_UTF | PCRE2_UCP, fault);
	if (!r->utf) {
		free(r);
		return NULL;
	}
	if (means_the_same_on_ascii(pattern))
		r->ascii = code_compile(pattern, COMMON_OPTIONS | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, NULL);
	return r;
}

void regex_free(struct regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->utf);
	pcre2_code_free(r->ascii);
	free(r);
}

size_t regex_shortest(const struct regex *r)
{
	uint32_t chars = 0;

	return pcre2_pattern_info(r->utf, PCRE2_INFO_MINLENGTH, &chars) == 0 ? chars : 0;
}

struct regex_scratch *regex_scratch_new(void)
{
	struct regex_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->data = pcre2_match_data_create(1, NULL);
	s->context = pcre2_match_context_create(NULL);
	s->stack = pcre2_jit_stack_create(JIT_STACK_MIN_BYTES, JIT_STACK_MAX_BYTES, NULL);
	if (!s->data || !s->context || !s->stack) {
		regex_scratch_free(s);
		return NULL;
	}
	pcre2_set_match_limit(s->context, MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
	pcre2_jit_stack_assign(s->context, NULL, s->stack);
	return s;
}

void regex_scratch_free(struct regex_scratch *s)
{
	if (!s)
		return;
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->context);
	pcre2_jit_stack_free(s->stack);
	free(s);
}

void regex_scratch_budget(struct regex_scratch *s, int64_t budget_us)
{
	s->deadline_us = clock_mono_us(&clock_system) + budget_us;
}

static enum regex_result code_match(const pcre2_code *code, struct regex_scratch *s, struct span subject, size_t start,
                                    uint32_t options)
{
	PCRE2_SPTR text = (PCRE2_SPTR)(subject.ptr ? subject.ptr : "");
	int rc = pcre2_jit_match(code, text, subject.len, start, options, s->data, s->context);

	if (rc >= 0) /* 0: more groups than the match data has room for */
		return REGEX_MATCH;
	return rc == PCRE2_ERROR_NOMATCH ? REGEX_NO_MATCH : REGEX_ERROR;
}

enum regex_result regex_match(const struct regex *r, struct regex_scratch *s, struct span subject, bool ascii)
{
	return code_match(ascii && r->ascii ? r->ascii : r->utf, s, subject, 0, 0);
}

enum regex_result regex_find(const struct regex *r, struct regex_scratch *s, struct span subject, bool ascii,
                             size_t *at, size_t *len)
{
	enum regex_result result = regex_match(r, s, subject, ascii);

	if (result == REGEX_MATCH) {
		const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->data);
		*at = found[0];
		*len = found[1] >= found[0] ? found[1] - found[0] : 0;
	}
	return result;
}

/* The last start offset to try in this step: the end of a character, so that
 * the next step begins at one. */
static size_t step_end(struct span subject, size_t from)
{
	size_t end = from + REPLACE_STEP_BYTES;

	if (end >= subject.len)
		return subject.len;
	while (end < subject.len && ((unsigned char)subject.ptr[end] & 0xC0) == 0x80)
		end++;
	return end;
}

/* The next match that begins at from or later, tried in steps so that a
 * subject that is slow everywhere cannot hold the thread. */
static enum regex_result find_next(const struct regex *r, struct regex_scratch *s, struct span subject, size_t from,
                                   int64_t deadline_us)
{
	enum regex_result result = REGEX_NO_MATCH;

	while (result == REGEX_NO_MATCH) {
		size_t end = step_end(subject, from);
		pcre2_set_offset_limit(s->context, end);
		result = code_match(r->utf, s, subject, from, PCRE2_NOTEMPTY);
		if (clock_mono_us(&clock_system) > deadline_us)
			result = REGEX_ERROR;
		if (end >= subject.len)
			break;
		from = end;
	}
	pcre2_set_offset_limit(s->context, PCRE2_UNSET);
	return result;
}

enum regex_result regex_replace(const struct regex *r, struct regex_scratch *s, struct span subject,
                                const char *literal, struct buf *out)
{
	const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->data);
	int64_t deadline_us = s->deadline_us;
	enum regex_result result;
	bool any = false;
	size_t done = 0;

	if (deadline_us == 0)
		deadline_us = clock_mono_us(&clock_system) + REPLACE_BUDGET_US;
	while ((result = find_next(r, s, subject, done, deadline_us)) == REGEX_MATCH) {
		/* Impossible while \K is refused in look-arounds; an endless loop if not. */
		if (found[0] < done || found[1] <= found[0])
			return REGEX_ERROR;
		buf_add(out, subject.ptr + done, found[0] - done);
		buf_text(out, literal);
		done = found[1];
		any = true;
	}
	if (result == REGEX_ERROR)
		return REGEX_ERROR;
	if (done < subject.len)
		buf_add(out, subject.ptr + done, subject.len - done);
	if (out->failed)
		return REGEX_ERROR;
	return any ? REGEX_MATCH : REGEX_NO_MATCH;
}
