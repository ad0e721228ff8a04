/* cmd/linnetd_options.h - linnetd's options: parsed by main(), printed by --help and into the man
 * page. */
#pragma once

#include "core/cli.h"

enum {
	OPT_CONFIG,
	OPT_CHECK,
	OPT_FOREGROUND,
	OPT_NO_MONITOR,
	OPT_PID_FILE,
	OPT_EXAMPLE,
	OPT_REFERENCE,
	OPT_VERSION,
	OPT_HELP,
	OPT_COUNT,
};
static const struct cli_option linnetd_options[OPT_COUNT + 1] = {
	[OPT_CONFIG] = { "config", "FILE",
		"The settings file. /etc/linnet/linnet.yml when left out." },
	[OPT_CHECK] = { "check", NULL,
		"Look the settings over, print every error with its place, start nothing. Exit "
		"status 0: they are good, 1: they are not." },
	[OPT_FOREGROUND] = { "foreground", NULL,
		"Stay in the foreground, for systemd and for terminals. Without it the program "
		"returns when the server is up, with status 1 when it could not start." },
	[OPT_NO_MONITOR] = { "no-monitor", NULL,
		"Be the server itself, not a monitor that starts it again when it dies: for "
		"debuggers "
		"and profilers." },
	[OPT_PID_FILE] = { "pid-file", "FILE",
		"Where the server writes its process id; wins over the setting pid_file." },
	[OPT_EXAMPLE] = { "example", NULL,
		"Print a settings file with every option, its default and its meaning." },
	[OPT_REFERENCE] = { "reference", "PAGE",
		"Print a page of the manual, made from what this program knows: linnetd.8, "
		"linnetctl.8, linnet.yml.5, settings.md or linnet.doap." },
	[OPT_VERSION] = { "version", NULL, "Print the version and exit." },
	[OPT_HELP] = { "help", NULL, "Print this help and exit." },
};
