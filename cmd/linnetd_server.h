/* cmd/linnetd_server.h - what main and a reload share of the running server. Written by the main
 * thread at its start and end, and by the one reload at a time in between. */
#pragma once

#include "cmd/linnetd_settings.h"
#include "core/attr.h"
#include "net/stream.h"
#include "net/tls.h"
#include "router/host.h"

extern struct server {
	const char *path; /* of the settings file */
	struct settings *settings; /* what runs */
	struct host **hosts; /* counted; settings->n_hosts of them, in its order */
	size_t n_hosts; /* started so far */
	struct tls_store *tls;
} server;

/* A host with its modules that nobody finds yet; 0, or negative and e says why. */
int host_begin(const struct settings_host *from, struct conf_errors *e, struct host **out);
/* Nobody finds it any more, its clients are told, its modules stop. Drops the reference. */
void host_finish(struct host *h, enum stream_condition why);
/* Settings errors without the last newline; the caller frees. */
char *errors_text(struct conf_errors *errors);
int load_certificates(const struct settings *from, char **why);
