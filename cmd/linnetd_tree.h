/* cmd/linnetd_tree.h - the server as a tree of children under one supervisor: linnetd_tree.c is the
 * table of them, linnetd_parts.c has the functions that start and stop them, linnetd_branches.c the
 * rows that the settings bring. docs/supervision.md has the picture. */
#pragma once

#include <jansson.h>

#include "core/attr.h"
#include "core/supervisor.h"

/* --- linnetd_tree.c --- */

/* All of it, in order; 0, or what had started is stopped again and stderr has the reasons. main. */
int tree_start(void);
/* Stops all of it, last first; SIGTERM or SIGINT hurries it. False: it had ended by itself, as too
 * much had to be restarted. main. */
bool tree_stop(void);
/* Blocks: never on a shard. What there is when the tree is asked. */
struct supervisor_answer *tree_ask(enum supervisor_request_kind kind, const char *path) MUST_USE;
void tree_walk(void (*fn)(const char *path, unsigned depth, const struct child_row *row, void *arg),
	void *arg);
/* The first child of the root that is not up, to be freed; NULL: all are. */
char *tree_find_down(void);

/* --- linnetd_parts.c --- */

/* Something started and stopped by functions that may block, one such at a time in the server. */
struct part {
	int (*start)(char *why); /* 0, or says on the way why not; NULL: nothing to do */
	void (*stop)(void); /* NULL: nothing to do */
};
int part_start(void *part, char *why);
void part_stop(void *part);
extern const struct part part_control, part_database, part_jobs, part_accounts, part_c2s,
	part_components, part_s2s_out, part_s2s_in, part_acceptors;
int64_t count_hooks(void *unused), count_domains(void *unused), count_services(void *unused),
	count_sessions(void *unused), count_iq_handlers(void *unused), count_iqs(void *unused),
	count_writes(void *unused), count_jobs(void *unused), count_streams(void *unused),
	count_mail(void *unused), count_components(void *unused), count_s2s_links(void *unused),
	count_s2s_out(void *unused), count_s2s_in(void *unused);
/* Where whoever started the server looks, and the log; later the log alone. Negative. */
PRINTF_LIKE(2, 3) int part_failed(char *why, const char *format, ...);

/* --- linnetd_branches.c: a supervisor for each host, a part for each port --- */

extern const struct supervisor_plan hosts_plan, listener_plan;
#define HOSTS_NAME "hosts" /* as they are registered */
#define LISTENER_NAME "listener"
/* Which there are to be, from the settings that run now. Under the server's lock; main or the one
 * reload at a time, like the next. */
void branches_want(void);
/* Brings the tree in line with that: children come and go, those that were stopped are started.
 * Blocks: never on a shard. */
void branches_follow(void);
void branches_free(void);
