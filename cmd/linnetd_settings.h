/* cmd/linnetd_settings.h - the whole settings file as one snapshot: every room's rows put together,
 * names and files checked against each other. A snapshot never changes; a reload reads a new one
 * and compares. Whatever it points to lives as long as it does, except what is counted or taken
 * away. */
#pragma once

#include "core/conf.h"
#include "core/db.h"
#include "core/server_conf.h"
#include "core/spool.h"
#include "net/listener.h"
#include "net/outgoing_conf.h"
#include "net/tls.h"
#include "router/access.h"
#include "router/host.h"
#include "router/s2s_conf.h"

struct settings_host {
	const char *name; /* a prepared domain */
	struct host_conf *conf; /* one reference is the snapshot's */
	const struct conf_node *modules; /* the host's own, or those of all hosts; NULL: none */
};

struct settings {
	struct server_conf server;
	struct db_conf database;
	struct spool_conf spool;
	struct tls_conf tls;
	struct outgoing_conf outgoing;
	struct s2s_conf s2s;
	const struct settings_host *hosts; /* as in the file */
	size_t n_hosts;
	const struct listen_conf *listen;
	size_t n_listen;
	const struct tls_host_files *tls_hosts; /* of hosts with a certfile of their own */
	size_t n_tls_hosts;
	struct access_rules *access; /* owned, unless taken */
};

/* Reads and checks all of it, modules' options too, and tells the registry where modules are. NULL:
 * e has every error with its place. The main or control thread. */
struct settings *settings_load(const char *path, struct conf_errors *e);
void settings_free(struct settings *s); /* NULL is fine */
/* The same without keeping anything, and whether the certificates can be used. */
void settings_check(const char *path, struct conf_errors *e);

const struct settings_host *settings_find_host(const struct settings *s, const char *host);
/* What the registry fills a host's modules from; NULL: none, or no such host. */
const struct conf_node *settings_modules(const struct settings *s, const char *host);
/* Another reference, for host_new() and host_set_conf(). */
struct host_conf *settings_host_conf(const struct settings_host *h);
/* For access_publish(), once: the snapshot has none afterwards. */
struct access_rules *settings_take_access(struct settings *s);

/* A copy of those chapters that have options which wait for a restart, for differences alone. */
struct settings *settings_waiting(const struct settings *s);

/* What makes one snapshot of the other. */
struct difference {
	char sign; /* + comes, - goes, ~ changes, ! would change at the next start of the server */
	const char *kind; /* "host", "listener", "module", "option", "certificate" */
	const char *name; /* "c.example", "0.0.0.0:5223", "modules.mod_ping.ping_interval" */
	const char *option; /* of a listener: which; else NULL */
	const char *host; /* whose alone; NULL: of all */
	const char *before, *after; /* as in a file; NULL: not to be shown */
	const char *note; /* behind it all; may be NULL */
};
/* "~ modules.mod_ping.ping_interval (host a.example): 1 min -> 2 min"; the caller frees. */
char *difference_line(const struct difference *d);
typedef void difference_fn(const struct difference *d, void *arg); /* texts: during the call */
/* Listeners are told apart by address and port, modules and hosts' own options by what they come to
 * on each host. started: settings_waiting() of what the server was started with. */
void settings_differences(const struct settings *started, const struct settings *before,
	const struct settings *after, difference_fn *fn, void *arg);

/* Where the file says it, for errors that come up later; NULL: it does not. */
const struct conf_node *settings_host_node(const struct settings *s, const char *host);
const struct conf_node *settings_listen_node(const struct settings *s, size_t i);
const struct conf_node *settings_option_node(const struct settings *s, const char *name);
/* Of the certificate file whose name, or whose pattern, stands at the beginning of why. */
const struct conf_node *settings_certificate_node(const struct settings *s, const char *why);

/* Of ejabberd's options that the file does not have. cmd/linnetd_hints.c */
extern const struct conf_hint settings_hints[];
/* The tables of the file, in the order of the manual; that of `modules` is the last. */
void settings_chapters_each(
	void (*fn)(const char *title, const struct conf_item *rows, void *arg), void *arg);
