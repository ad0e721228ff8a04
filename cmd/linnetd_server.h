/* cmd/linnetd_server.h - what main, the parts of the tree and a reload share of the running server.
 * Written by main at its start and end, and under the server's lock in between. */
#pragma once

#include <stdatomic.h>

#include "cmd/linnetd_settings.h"
#include "core/attr.h"
#include "core/sysmon.h"
#include "net/stream.h"
#include "net/tls.h"
#include "router/host.h"

extern struct server {
	const char *path; /* of the settings file */
	struct settings *settings; /* what runs */
	struct settings *started; /* of what it was started with: what waits for a restart */
	struct host **hosts; /* counted: those that run */
	size_t n_hosts;
	struct tls_store *tls;
	_Atomic bool is_up; /* it has started: errors go to the log alone */
	_Atomic bool hurry; /* it was asked twice to end: nobody is waited for */
	bool gave_up; /* the tree has */
} server;

/* Not on a shard. Whoever holds it waits for no part of the tree. */
void server_lock(void);
void server_unlock(void);
/* Why, to where whoever starts the server looks, and to the log where that is elsewhere. */
void server_cannot_start(const char *why);

/* For sysmon_run(). cmd/linnetd_sysmon.c */
extern const struct sysmon_plan server_sysmon;
/* From when on it warns, and what it does, as these settings say; may be called again. */
void server_set_limits(const struct settings *s);

/* A host without modules that nobody finds yet. */
struct host *host_make(const struct settings_host *from);
/* Nobody finds it any more, and its clients are told. */
void host_withdraw(struct host *h, enum stream_condition why);
/* Of one that is withdrawn: its modules stop. Drops the reference. */
void host_end(struct host *h);
/* Settings errors without the last newline; the caller frees. */
char *errors_text(struct conf_errors *errors);
