/*
 * token/text - printable texts and times of claims
 *
 * SOURCE  RFC 3339, RFC 7519 section 2. Days are counted with the proleptic
 *         Gregorian calendar, years starting in March so that the leap day
 *         comes last.
 */
#include "text.h"

#include <stddef.h>
#include <stdio.h>

#define SECONDS_A_DAY INT64_C(86400)

/* Code points that nobody can see, or that change what is seen around them. */
static const struct {
	uint32_t first, last;
} unprintable[] = {
        {0x0000, 0x001F},   {0x007F, 0x009F},   {0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x061C, 0x061C},
        {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F}, {0x200B, 0x200F}, {0x2028, 0x202E},
        {0x2060, 0x206F},   {0x3164, 0x3164},   {0xD800, 0xDFFF}, {0xFDD0, 0xFDEF}, {0xFE00, 0xFE0F},
        {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0x1BCA0, 0x1BCA3},
        {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

static bool printable(uint32_t c)
{
	for (size_t i = 0; i < sizeof(unprintable) / sizeof(*unprintable); i++) {
		if (c >= unprintable[i].first && c <= unprintable[i].last)
			return false;
	}
	return (c & 0xFFFE) != 0xFFFE;
}

/* The code point at *at, which moves behind it; UINT32_MAX when the bytes are
 * not UTF-8 (overlong forms and what is beyond U+10FFFF included). */
static uint32_t utf8_next(struct span s, size_t *at)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	unsigned char lead = (unsigned char)s.ptr[*at];
	size_t more = lead < 0x80 ? 0 : lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;

	if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || s.len - *at <= more)
		return UINT32_MAX;
	uint32_t c = more == 0 ? lead : lead & (0x3Fu >> more);
	for (size_t i = 1; i <= more; i++) {
		unsigned char b = (unsigned char)s.ptr[*at + i];

		if ((b & 0xC0) != 0x80)
			return UINT32_MAX;
		c = c << 6 | (b & 0x3F);
	}
	*at += more + 1;
	return c < least[more] || c > 0x10FFFF ? UINT32_MAX : c;
}

bool token_text_valid(struct span text)
{
	size_t chars = 0;

	if (text.len == 0 || text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ')
		return false;
	for (size_t at = 0; at < text.len; chars++) {
		uint32_t c = utf8_next(text, &at);

		if (c == UINT32_MAX || !printable(c))
			return false;
	}
	return chars <= TOKEN_TEXT_MAX_CHARS;
}

/* ---- times ---- */

struct cursor {
	const char *at, *end;
};

static bool take_digits(struct cursor *c, int n, int64_t *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, c->at++) {
		if (c->at == c->end || *c->at < '0' || *c->at > '9')
			return false;
		*value = *value * 10 + (*c->at - '0');
	}
	return true;
}

static bool take_char(struct cursor *c, char want)
{
	if (c->at == c->end || *c->at != want)
		return false;
	c->at++;
	return true;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* Days since 1970-01-01; year 0 to 9999. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
	int64_t y = (month <= 2 ? year - 1 : year) + 400; /* never negative */
	int64_t march_month = (month + 9) % 12;

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * march_month + 2) / 5 + day - 1 - 865565;
}

static bool take_date(struct cursor *c, int64_t *days)
{
	int64_t year, month, day;

	if (!take_digits(c, 4, &year) || !take_char(c, '-') || !take_digits(c, 2, &month) || !take_char(c, '-') ||
	    !take_digits(c, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*days = days_from_civil(year, month, day);
	return true;
}

/* At least one digit behind the point; those beyond milliseconds only have to
 * be digits. */
static bool take_fraction(struct cursor *c, int64_t *ms)
{
	int64_t scale = 100;

	*ms = 0;
	if (!take_char(c, '.'))
		return true;
	if (c->at == c->end || *c->at < '0' || *c->at > '9')
		return false;
	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, scale /= 10)
		*ms += (*c->at - '0') * scale;
	return true;
}

static bool take_offset(struct cursor *c, int64_t *seconds)
{
	int64_t hours, minutes;

	*seconds = 0;
	if (take_char(c, 'Z') || take_char(c, 'z'))
		return true;
	bool minus = take_char(c, '-');
	if (!minus && !take_char(c, '+'))
		return false;
	if (!take_digits(c, 2, &hours) || !take_char(c, ':') || !take_digits(c, 2, &minutes) || hours > 23 ||
	    minutes > 59)
		return false;
	*seconds = (hours * 60 + minutes) * (minus ? -60 : 60);
	return true;
}

bool rfc3339_parse(struct span text, int64_t *ms)
{
	struct cursor c = {text.ptr, text.ptr + text.len};
	int64_t days, hour, minute, second, fraction, offset;

	if (!take_date(&c, &days) || !(take_char(&c, 'T') || take_char(&c, 't')))
		return false;
	if (!take_digits(&c, 2, &hour) || !take_char(&c, ':') || !take_digits(&c, 2, &minute) || !take_char(&c, ':') ||
	    !take_digits(&c, 2, &second) || !take_fraction(&c, &fraction) || !take_offset(&c, &offset))
		return false;
	if (c.at != c.end || hour > 23 || minute > 59 || second > 60)
		return false;
	int64_t utc = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second - offset;
	if (second == 60 && utc % SECONDS_A_DAY != 0)
		return false;
	*ms = utc * 1000 + fraction;
	return *ms >= 0 && *ms <= TOKEN_TIME_MAX_MS;
}

void rfc3339_format(int64_t ms, char out[RFC3339_SIZE])
{
	int64_t second = ms / 1000 % SECONDS_A_DAY;
	int64_t days = ms / 1000 / SECONDS_A_DAY;
	int64_t year = 1970, month = 1;

	for (; days >= 365 + is_leap(year); year++)
		days -= 365 + is_leap(year);
	for (; days >= days_in_month(year, month); month++)
		days -= days_in_month(year, month);
	int n = snprintf(out, RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, (int)month, (int)days + 1,
	                 (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60));
	if (ms % 1000 != 0)
		snprintf(out + n, RFC3339_SIZE - (size_t)n, ".%03dZ", (int)(ms % 1000));
	else
		snprintf(out + n, RFC3339_SIZE - (size_t)n, "Z");
}

bool numeric_date_int(int64_t seconds, int64_t *ms)
{
	if (seconds < 0 || seconds > TOKEN_TIME_MAX_MS / 1000)
		return false;
	*ms = seconds * 1000;
	return true;
}

bool numeric_date_real(double seconds, int64_t *ms)
{
	/* also false for a NaN */
	if (!(seconds >= 0 && seconds < (double)(TOKEN_TIME_MAX_MS / 1000 + 1)))
		return false;
	*ms = (int64_t)(seconds * 1000);
	return *ms <= TOKEN_TIME_MAX_MS;
}
