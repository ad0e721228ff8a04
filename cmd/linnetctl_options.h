/* cmd/linnetctl_options.h - linnetctl's own options: parsed by linnetctl, and printed into its man
 * page by linnetd, which knows the commands. */
#pragma once

#include "core/cli.h"

#define CTL_DEFAULT_DATA "./linnet-data"
#define CTL_SYSTEM_SOCKET "/run/linnet/control.sock"
#define CTL_WHICH_SOCKET                                                    \
	"Without --data, --socket and --config, the socket is that of the " \
	"folder " CTL_DEFAULT_DATA " where there is one, else " CTL_SYSTEM_SOCKET "."

enum {
	CTL_DATA,
	CTL_SOCKET,
	CTL_CONFIG,
	CTL_JSON,
	CTL_COMPLETE,
	CTL_VERSION,
	CTL_HELP,
	CTL_OPTIONS
};
static const struct cli_option ctl_options[CTL_OPTIONS + 1] = {
	[CTL_DATA] = { "data", "DIR",
		"The server's data folder, as given to quickstart; its control socket is "
		"DIR/control.sock." },
	[CTL_SOCKET] = { "socket", "PATH", "The control socket itself." },
	[CTL_CONFIG] = { "config", "FILE", "The server's settings file, which names the socket." },
	[CTL_JSON] = { "json", NULL, "Print the answer as JSON." },
	[CTL_COMPLETE] = { "complete", NULL,
		"Print what the last word of the command line that follows could be, for shells." },
	[CTL_VERSION] = { "version", NULL, "Print the version and exit." },
	[CTL_HELP] = { "help", NULL, "Print this help and exit." },
};
