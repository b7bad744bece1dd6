/* settings.c - simlane settings: the daemon's settings, printed */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "simlane/config.h"

int command_settings(int argc, char **argv)
{
	static const char *const names[] = {
	        [CONFIG_HELP] = "help", [CONFIG_ENV] = "env", [CONFIG_MAN] = "man", [CONFIG_MARKDOWN] = "markdown"};
	for (int i = 0; argc == 2 && i < 4; i++) {
		if (strcmp(argv[1], names[i]) == 0) {
			config_print(stdout, (enum config_style)i);
			return 0;
		}
	}
	bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
	fputs("usage: simlane settings help|env|man|markdown\n", help ? stdout : stderr);
	return help ? 0 : 2;
}
