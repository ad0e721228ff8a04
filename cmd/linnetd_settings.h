/* cmd/linnetd_settings.h - the whole settings file as one snapshot: every room's rows put together,
 * names and files checked against each other. A snapshot never changes; a reload reads a new one
 * and compares. Whatever it points to lives as long as it does, except what is counted or taken
 * away. */
#pragma once

#include "core/conf.h"
#include "core/db.h"
#include "core/server_conf.h"
#include "net/listener.h"
#include "net/tls.h"
#include "router/access.h"
#include "router/host.h"

struct settings_host {
	const char *name; /* a prepared domain */
	struct host_conf *conf; /* one reference is the snapshot's */
	const struct conf_node *modules; /* the host's own, or those of all hosts; NULL: none */
};

struct settings {
	struct server_conf server;
	struct db_conf database;
	struct tls_conf tls;
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

/* Every option that differs, core's, hosts' and listeners' one by one; of acl, access_rules,
 * shaper, shaper_rules, modules and host_config the names in them. */
void settings_differences(const struct settings *before, const struct settings *after,
	void (*fn)(const struct conf_change *change, void *arg), void *arg);

/* Of ejabberd's options that the file does not have. cmd/linnetd_hints.c */
extern const struct conf_hint settings_hints[];
/* The tables of the file, in the order of the manual; that of `modules` is the last. */
void settings_chapters_each(
	void (*fn)(const char *title, const struct conf_item *rows, void *arg), void *arg);
