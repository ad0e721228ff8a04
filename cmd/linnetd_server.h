/* cmd/linnetd_server.h - what main and a reload share of the running server. Written by the main
 * thread at its start and end, and by the one reload at a time in between. */
#pragma once

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
	struct host **hosts; /* counted; settings->n_hosts of them, in its order */
	size_t n_hosts; /* started so far */
	struct tls_store *tls;
} server;

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
