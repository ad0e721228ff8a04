/* core/server_conf.c - rows of the settings that core knows. */
#include "core/server_conf.h"

#include <sched.h>

#include "core/log.h"
#include "core/shard.h"

static const char *const log_level_words[] = { "none|0", "error|critical|1|2", "warning|3",
	"info|notice|4", "debug|5", NULL };
static const char *const log_format_words[] = { "logfmt", "json", NULL };
static const struct conf_item folder_item[] = {
	{ "folder", CONF_PATH, 0, .help = "A folder with modules as shared objects." }, { 0 }
};

const struct conf_item server_conf_items[] = {
	{ "loglevel", CONF_ENUM, FIELD(struct server_conf, loglevel, int), .preset = "info",
		.words = log_level_words,
		.help = "How much is logged; ejabberd's numbers 0 to 5 are understood too." },
	{ "log_file", CONF_PATH, FIELD(struct server_conf, log_file, const char *),
		.help = "The file the log goes to; without it, standard error." },
	{ "log_format", CONF_ENUM, FIELD(struct server_conf, log_format, int), .preset = "logfmt",
		.words = log_format_words, .help = "How a line of the log is written." },
	{ "shards", CONF_INT, FIELD(struct server_conf, shards, int64_t), .preset = "0",
		.max = SHARDS_MAX, .unit = "threads", .applies = CONF_AT_RESTART,
		.help = "Threads that share all connections; 0: one for each core." },
	{ "acceptors", CONF_INT, FIELD(struct server_conf, acceptors, int64_t), .preset = "1",
		.min = 1, .max = 16, .unit = "threads", .applies = CONF_AT_RESTART,
		.help = "Threads that accept connections." },
	{ "jobs", CONF_INT, FIELD(struct server_conf, jobs, int64_t), .preset = "0", .max = 256,
		.unit = "threads", .applies = CONF_AT_RESTART,
		.help = "Threads for what blocks, such as the database and password hashing; 0: "
			"one "
			"for each core, but 4 at least." },
	{ "pid_file", CONF_PATH, FIELD(struct server_conf, pid_file, const char *),
		.applies = CONF_AT_RESTART,
		.help = "Where the server in the background writes its process id." },
	{ "control_socket", CONF_PATH, FIELD(struct server_conf, control_socket, const char *),
		.preset = "/run/linnet/control.sock", .applies = CONF_AT_RESTART,
		.help = "The socket on which linnetctl reaches the server." },
	{ "control_socket_mode", CONF_MODE, FIELD(struct server_conf, control_socket_mode, int64_t),
		.preset = "0600", .applies = CONF_AT_RESTART,
		.help = "Who may open the control socket: whoever may, may do anything." },
	{ "module_path", CONF_LIST, FIELD(struct server_conf, module_path, struct conf_list),
		.item = folder_item, .item_size = sizeof(const char *),
		.example = "[/usr/lib/linnet/modules]",
		.help = "Folders with modules that were built outside of the server." },
	{ "hang_timeout", CONF_TIME, FIELD(struct server_conf, hang_timeout_ms, int64_t),
		.preset = "30 s", .min = 1000, .max = 3600000,
		.help = "A server that hangs for so long (a shard does not turn) is ended by its "
			"monitor, with the calls it hangs in written to the log, and started "
			"again." },
	{ "memory_limit", CONF_SIZE, FIELD(struct server_conf, memory_limit, int64_t),
		.preset = "0", .max = INT64_C(1) << 50,
		.help = "Heap memory in use at most: from 90 % of it on new logins are refused, "
			"until it is below 80 %; beyond it the clients that hold the most of it "
			"are closed. 0: no limit. What the process takes from the system is "
			"somewhat more." },
	{ "queue_warning", CONF_INT, FIELD(struct server_conf, queue_warning, int64_t),
		.preset = "10000", .max = 1000000000, .unit = "items",
		.help = "A queue in the server that is longer is named in the log; one with a "
			"bound is so from half of that on. 0: none is." },
	{ "shard_turn_warning", CONF_TIME,
		FIELD(struct server_conf, shard_turn_warning_ms, int64_t), .preset = "20 ms",
		.min = 5, .max = 60000,
		.help = "What holds a shard for longer, and all its clients with it, is counted "
			"and named in the log." },
	{ "negotiation_timeout", CONF_TIME,
		FIELD(struct server_conf, negotiation_timeout_ms, int64_t), .preset = "2 min",
		.min = 1000, .max = 3600000,
		.help = "A connection that has not logged in and bound a resource by then is "
			"closed; "
			"a listener may have a time of its own." },
	{ 0 }
};

static unsigned cores(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

unsigned server_conf_shards(const struct server_conf *c)
{
	unsigned n = c->shards ? (unsigned)c->shards : cores();

	return n < SHARDS_MAX ? n : SHARDS_MAX;
}

unsigned server_conf_jobs(const struct server_conf *c)
{
	unsigned n = c->jobs ? (unsigned)c->jobs : cores();

	return c->jobs || n > 4 ? n : 4;
}
