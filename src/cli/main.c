/*
 * main.c - simlane, the tool beside the daemon
 *
 * Finds the subcommand in one table, which is the help text, too.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "config.h"
#include "simlane/crypto.h"

static const struct command commands[] = {
        {"keygen", "make a key pair: a private key file and a public keyring", command_keygen},
        {"token mint", "make a capability token", command_token_mint},
        {"token inspect", "show what a token says and whether it is valid", command_token_inspect},
        {"policy check", "check a policy file and explain its decisions", command_policy_check},
        {"health", "ask a running daemon whether it is well (for health checks)", command_health},
        {"settings", "print the daemon's settings as help, env, man or markdown", command_settings},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
	fputs("usage: simlane COMMAND [ARGUMENT...]\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-14s  %s\n", commands[i].name, commands[i].summary);
	fputs("\nsimlane COMMAND --help tells more. Exit codes: 0 done, 1 failed, 2 usage.\n", out);
}

/* How many arguments name this command; 0 when it is another. */
static int words_matching(const struct command *c, int argc, char **argv)
{
	const char *space = strchr(c->name, ' ');
	if (!space)
		return argc >= 1 && strcmp(argv[0], c->name) == 0 ? 1 : 0;
	size_t first = (size_t)(space - c->name);
	if (argc < 2 || strlen(argv[0]) != first || strncmp(argv[0], c->name, first) != 0)
		return 0;
	return strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

int main(int argc, char **argv)
{
	if (crypto_init() != 0) {
		fputs("simlane: no usable random source\n", stderr);
		return 1;
	}
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		print_help(stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		puts("simlane " PACKAGE_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		int words = words_matching(&commands[i], argc - 1, argv + 1);
		if (words > 0)
			return commands[i].run(argc - words, argv + words);
	}
	if (argc >= 2)
		fprintf(stderr, "simlane: no such command: %s%s%s\n", argv[1], argc > 2 ? " " : "",
		        argc > 2 ? argv[2] : "");
	print_help(stderr);
	return 2;
}
