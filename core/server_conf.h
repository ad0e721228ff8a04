/* core/server_conf.h - the settings of the server as a whole that core knows; what the upper rooms
 * add (hosts, listen, certificates, access rules, modules) stands beside them in the same file and
 * is put together in cmd/linnetd_settings.h. */
#pragma once

#include "core/conf.h"

struct server_conf {
	int loglevel; /* enum log_level */
	const char *log_file; /* NULL: stderr */
	int log_format; /* enum log_format */
	int64_t shards, acceptors, jobs; /* threads; 0: as many as server_conf_threads() says */
	const char *pid_file; /* NULL: none but what the command line asks for */
	const char *control_socket;
	int64_t control_socket_mode;
	struct conf_list module_path; /* of const char *: folders with modules as shared objects */
	int64_t hang_timeout_ms; /* a server that does not turn for so long is ended */
	int64_t memory_limit; /* bytes; 0: none */
	int64_t queue_warning; /* messages; 0: no warnings */
	int64_t shard_turn_warning_ms;
	int64_t negotiation_timeout_ms; /* for listeners that set none of their own */
};
extern const struct conf_item server_conf_items[];

/* How many threads the settings mean on this machine: 0 becomes one shard for each core the process
 * may use, as many jobs but 4 at least. */
unsigned server_conf_shards(const struct server_conf *c);
unsigned server_conf_jobs(const struct server_conf *c);
