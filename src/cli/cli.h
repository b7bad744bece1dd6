/*
 * cli.h - the tool's subcommands: one table, one file each
 *
 * A command gets its own arguments (argv[0] is its name) and returns the exit
 * code: 0 done, 1 failed, 2 usage.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

struct command {
	const char *name;    /* one or two words */
	const char *summary; /* one line of the tool's own help */
	int (*run)(int argc, char **argv);
};

int command_keygen(int argc, char **argv);
int command_token_mint(int argc, char **argv);
int command_token_inspect(int argc, char **argv);
int command_policy_check(int argc, char **argv);
int command_health(int argc, char **argv);
int command_settings(int argc, char **argv);

#endif
