/* cmd/linnetd_server.h - what runs: the parts of the server that its start, its reload and its end
 * share. main and the control thread, one at a time. */
#pragma once

#include "cmd/linnetd_settings.h"
#include "core/db.h"
#include "net/stream.h"
#include "net/tls.h"
#include "router/host.h"

struct server {
	char *settings_path;        /* owned */
	char *pid_file;             /* owned; NULL: none */
	struct settings *settings;  /* owned: what runs now */
	struct host **hosts;        /* owned, each counted: in the order of settings->hosts */
	struct tls_store *tls;      /* owned */
	struct db *db;              /* owned */
};
extern struct server server;

/* A host with its modules running, that nobody finds yet. 0 or nonzero, and errors says why. */
int host_begin(const struct settings_host *to, struct conf_errors *errors, struct host **out);
/* Nobody finds it any more, its clients are told why, its modules stop. Gives the reference away. */
void host_finish(struct host *h, enum stream_condition why);
struct host *server_find_host(const char *name);
/* 0, or negative errno and *why, which the caller frees. */
int load_certificates(struct tls_store *tls, const struct settings *s, char **why);
