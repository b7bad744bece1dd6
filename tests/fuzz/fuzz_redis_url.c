/*
 * fuzz_redis_url - any text as REDIS_URL
 *
 * It is taken or refused with one line. What is taken is within its bounds and
 * can be shown, without the password. What is refused repeats at most five
 * bytes of what was given, and those are digits.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/store/redis_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static void check_taken(const struct redis_url *url)
{
	char shown[64];

	require(url->db >= 0 && url->db <= 65535 && url->host_count <= REDIS_MAX_HOSTS);
	require((url->kind == REDIS_UNIX) == (url->host_count == 0) &&
	        (url->kind == REDIS_UNIX) == (url->path[0] == '/'));
	require((url->kind == REDIS_SENTINEL) == (url->service[0] != '\0'));
	require(is_terminated(url->user, sizeof(url->user)) && is_terminated(url->password, sizeof(url->password)));
	require(is_terminated(url->path, sizeof(url->path)) && is_terminated(url->service, sizeof(url->service)));
	require(!url->user[0] || url->password[0]);
	for (size_t i = 0; i < url->host_count; i++) {
		require(url->hosts[i].name[0] && is_terminated(url->hosts[i].name, sizeof(url->hosts[i].name)));
		require(url->hosts[i].port >= 1 && url->hosts[i].port <= 65535);
	}
	redis_url_show(url, shown, sizeof(shown));
	require(shown[0] && is_terminated(shown, sizeof(shown)));
}

/* The same without secrets must be shown the same. */
static void check_shows_no_secret(const struct redis_url *url)
{
	struct redis_url bare = *url;
	char shown[4096], shown_bare[4096];

	memset(bare.user, 0, sizeof(bare.user));
	memset(bare.password, 0, sizeof(bare.password));
	redis_url_show(url, shown, sizeof(shown));
	redis_url_show(&bare, shown_bare, sizeof(shown_bare));
	require(strcmp(shown, shown_bare) == 0);
}

/* Of the text the line holds at most a number of five digits. */
static void check_refused(const char *text, const struct fault *fault)
{
	static const char *const numbers[] = {"port ", "database "};
	const char *after = NULL;

	require(strncmp(fault->text, "REDIS_URL: ", 11) == 0 && !strchr(fault->text, '\n'));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strncmp(fault->text + 11, numbers[i], strlen(numbers[i])) == 0)
			after = fault->text + 11 + strlen(numbers[i]);
	if (!after)
		return;
	require(isdigit((unsigned char)*after) && strspn(after, "0123456789") <= 5 && strlen(text) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct redis_url url;
	struct fault fault = {""};
	char *text = malloc(size + 1);

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (redis_url_parse(text, &url, &fault) == 0) {
		require(fault.text[0] == '\0');
		check_taken(&url);
		check_shows_no_secret(&url);
	} else {
		check_refused(text, &fault);
	}
	free(text);
	return 0;
}
