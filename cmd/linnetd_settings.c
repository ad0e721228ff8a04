/* cmd/linnetd_settings.c - reads the settings file into one snapshot and checks it as a whole. */
#include "cmd/linnetd_settings_top.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "modules/registry.h"
#include "net/listener_conf.h"
#include "router/host_conf.h"
#include "router/s2s_conf.h"
#include "xml/conf_jid.h"

#define LISTENERS_MAX 1000

/* ---- The rows. */

static const struct conf_item domain_item[] = {
	{ "host", CONF_DOMAIN, 0, .check = conf_check_domain }, { 0 }
};

static const struct conf_item host_rows[] = {
	{ "hosts", CONF_LIST, FIELD(struct top, hosts, struct conf_list), .item = domain_item,
		.item_size = sizeof(const char *), .required = true, .example = "[example.org]",
		.help = "The domains this server answers for." },
	{ "host_config", CONF_RAW, FIELD(struct top, host_config, const struct conf_node *),
		.example = "example.org:\n  max_user_sessions: 3\n  modules:\n    mod_ping: {}",
		.help = "Options of one host that differ from those of all: a map of domains, each "
			"with a map of options. A list or a map, modules too, replaces the one of "
			"all hosts." },
	{ 0 },
};

static const struct conf_item listen_rows[] = {
	{ "listen", CONF_LIST, FIELD(struct top, listen, struct conf_list), .rows = listen_items,
		.item_size = sizeof(struct listen_conf), .hints = listen_hints,
		.help = "The ports that are open, and what is behind each." },
	{ 0 },
};

static const struct conf_item access_rows[] = {
	{ "acl", CONF_RAW, FIELD(struct top, acl, const struct conf_node *),
		.example = "admin:\n  user: admin@example.org\n"
			   "local:\n  user_regexp: \"\"\n"
			   "blocked:\n  user:\n    - spammer\n  server_glob: \"*.bad.example\"\n"
			   "loopback:\n  ip:\n    - 127.0.0.0/8\n    - \"::1\"",
		.help = "Names for groups of users: a map of names, each with conditions of which "
			"any one is enough. Conditions are user, server and resource, each also "
			"with _glob and _regexp; node_glob and node_regexp, for PATTERN@PATTERN; "
			"and ip. Each takes one value or a list. A user without a domain is one of "
			"any of our hosts. `all` and `none` exist already." },
	{ "access_rules", CONF_RAW, FIELD(struct top, access_rules, const struct conf_node *),
		.example = "c2s:\n  - deny: blocked\n  - allow: local\n"
			   "configure:\n  allow: admin",
		.help = "Names for rights: a map of names, each with a list of `allow: ACL` and "
			"`deny: ACL`. The first that matches counts; when none does, it is deny. "
			"With several ACLs in one entry all must match, and a condition may stand "
			"in place of an ACL's name. `all` and `none` exist already." },
	{ "shaper", CONF_RAW, FIELD(struct top, shaper, const struct conf_node *),
		.example = "normal: 3000\nfast:\n  rate: 100000\n  burst_size: 200000",
		.help = "Names for speeds: a map of names, each with bytes in a second, or with "
			"rate and burst_size, the bytes that may come at once." },
	{ "shaper_rules", CONF_RAW, FIELD(struct top, shaper_rules, const struct conf_node *),
		.example = "c2s_shaper:\n  - none: admin\n  - normal\n"
			   "max_user_offline_messages:\n  - 5000: admin\n  - 100",
		.help = "Names for speeds and numbers that depend on who it is: a map of names, "
			"each with a list of `SHAPER: ACL` or `NUMBER: ACL`. The first that "
			"matches "
			"counts." },
	{ 0 },
};

static const struct conf_item database_rows[] = {
	{ "database", CONF_GROUP, FIELD(struct top, s.database, struct db_conf), .rows = db_items,
		.short_for = "path",
		.help = "Where accounts and everything else that lasts is kept." },
	{ "spool", CONF_GROUP, FIELD(struct top, s.spool, struct spool_conf), .rows = spool_items,
		.short_for = "path",
		.help = "Memory in a file that outlives the server's process: what it has taken on "
			"and not yet finished, such as sessions that can be resumed, is found "
			"there after a crash." },
	{ 0 },
};

static const struct conf_item module_rows[] = {
	{ "modules", CONF_RAW, FIELD(struct top, modules, const struct conf_node *),
		.per_host = true,
		.help = "The modules that run, each with a map of its options, {} for none." },
	{ 0 },
};

const struct chapter chapters[CHAPTERS + 1] = {
	{ "Hosts", host_rows, 0, .apart = true },
	{ "Ports", listen_rows, 0, .apart = true },
	{ "Certificates and TLS", tls_items, offsetof(struct top, s.tls) },
	{ "Logging in and sessions", host_conf_items, offsetof(struct top, all_hosts) },
	{ "Finding other servers", outgoing_conf_items, offsetof(struct top, s.outgoing) },
	{ "Speaking with other servers", s2s_conf_items, offsetof(struct top, s.s2s),
		.waits = true },
	{ "Who may do what", access_rows, 0, .apart = true },
	{ "Storage", database_rows, 0, .waits = true },
	{ "The server", server_conf_items, offsetof(struct top, s.server), .waits = true },
	{ "Modules", module_rows, 0, .apart = true },
	{ 0 },
};

/* ---- Hosts. */

static int by_domain(const void *left, const void *right)
{
	const struct domain_place *a = left, *b = right;
	int names = strcmp(a->name, b->name);

	return names ? names : a->order < b->order ? -1 : a->order > b->order;
}

/* The item of a list that may be written without brackets. */
static const struct conf_node *first_item(const struct conf_node *list)
{
	return list && conf_node_kind(list) == CONF_SCALAR ? list : conf_node_first(list);
}

static const struct conf_node *next_item(const struct conf_node *list, const struct conf_node *item)
{
	return item == list ? NULL : conf_node_next(item);
}

static const struct domain_place *find_domain(const struct domains *d, const char *name)
{
	size_t low = 0, high = d->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(d->at[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < d->n && !strcmp(d->at[low].name, name) ? &d->at[low] : NULL;
}

static void sort_hosts(struct top *t, const struct conf_node *root, struct conf_errors *e)
{
	const char *const *names = t->hosts.at;
	const struct conf_node *list = conf_node_get(root, "hosts"), *item = first_item(list);
	struct domains *d = &t->by_name;

	d->at = arena_alloc(&t->arena, t->hosts.n * sizeof(*d->at));
	for (size_t i = 0; i < t->hosts.n; i++, item = next_item(list, item))
		if (names[i])
			d->at[d->n++] = (struct domain_place){ names[i], item, i };
	qsort(d->at, d->n, sizeof(*d->at), by_domain);
	for (size_t i = 1; i < d->n; i++)
		if (!strcmp(d->at[i - 1].name, d->at[i].name))
			conf_fail(e, d->at[i].at,
				"the host %s is named twice, before this in line %u", d->at[i].name,
				conf_node_place(d->at[i - 1].at).line);
	if (list && !t->hosts.n)
		conf_fail_key(e, list, "hosts: expected at least one domain, found none");
}

static void unknown_host(
	const struct conf_node *node, const struct domains *hosts, struct conf_errors *e)
{
	struct conf_guess guess = { .given = conf_node_key(node) };

	for (size_t i = 0; i < hosts->n; i++)
		conf_guess(&guess, hosts->at[i].name);
	conf_fail_key_guess(e, node, &guess, "expected one of hosts, found \"%s\"", guess.given);
}

/* The maps under host_config, by the prepared name of their host. */
static struct domains sort_host_config(struct top *t, struct conf_errors *e)
{
	const struct conf_node *map = t->host_config, *node;
	struct domains d = { 0 };

	if (map && conf_node_kind(map) != CONF_MAPPING && conf_node_kind(map) != CONF_NULL) {
		conf_fail(e, map, "host_config: expected a map of hosts with their options");
		return d;
	}
	d.at = arena_alloc(&t->arena, (map ? conf_node_count(map) : 0) * sizeof(*d.at));
	conf_node_each (node, map) {
		struct domain_place place = { conf_node_key(node), node, d.n };

		if (conf_check_domain(&place.name, &t->arena) ||
			!find_domain(&t->by_name, place.name))
			unknown_host(node, &t->by_name, e);
		else
			d.at[d.n++] = place;
	}
	qsort(d.at, d.n, sizeof(*d.at), by_domain);
	for (size_t i = 1; i < d.n; i++)
		if (!strcmp(d.at[i - 1].name, d.at[i].name))
			conf_fail_key(e, d.at[i].at,
				"the host %s has options twice, before this in line %u",
				d.at[i].name, conf_node_key_place(d.at[i - 1].at).line);
	return d;
}

/* A source of accounts is there when its module runs. Without the server's own accounts nobody can
 * log in, which is no mistake of the file's. */
static void check_sources(
	const struct settings_host *h, const struct conf_node *at, struct conf_errors *e)
{
	for (unsigned i = 0; i < h->conf->n_sources; i++) {
		enum auth_method m = (enum auth_method)h->conf->sources[i];
		AUTO(free_ptr) char *name = xprintf("mod_auth_%s", auth_method_name(m));

		if (m != AUTH_BY_INTERNAL && !conf_node_get(h->modules, name) &&
			!conf_node_get(h->modules, name + strlen("mod_")))
			conf_fail(e, at, "%s: auth_method has %s, but modules has no %s", h->name,
				auth_method_name(m), name);
	}
}

static void make_host(struct top *t, const struct domain_place *place, const struct conf_node *own,
	struct conf_errors *e, struct settings_host *out)
{
	struct top over = { .modules = t->modules };
	struct conf_part parts[CHAPTERS];
	const struct conf_node *said = conf_node_get(own, "auth_method");
	unsigned n = 0;

	/* Every chapter, so that an option of another one is refused for what it is. */
	for (size_t i = 0; i < CHAPTERS; i++)
		if (chapters[i].rows != host_conf_items)
			parts[n++] = (struct conf_part){ chapters[i].rows,
				chapter_at(&over, &chapters[i]), settings_hints };
	out->name = place->name;
	out->conf = host_conf_make(place->name, &t->all_hosts, own, place->at, parts, n, e);
	out->modules = over.modules;
	check_sources(out, said ? said : place->at, e);
}

static void make_hosts(struct top *t, const struct conf_node *root, struct conf_errors *e)
{
	struct settings_host *hosts = arena_zalloc(&t->arena, t->hosts.n * sizeof(*hosts));
	struct domains config;

	sort_hosts(t, root, e);
	config = sort_host_config(t, e);
	t->own = arena_zalloc(&t->arena, t->hosts.n * sizeof(struct conf_node *));
	/* In the file's order; a domain that is wrong leaves a gap, but then nobody sees it. */
	for (size_t i = 0; i < t->by_name.n; i++) {
		const struct domain_place *place = &t->by_name.at[i];
		const struct domain_place *own = find_domain(&config, place->name);

		if (i && !strcmp(place[-1].name, place->name))
			continue; /* said already */
		t->own[place->order] = own ? own->at : NULL;
		make_host(t, place, t->own[place->order], e, &hosts[place->order]);
	}
	t->s.hosts = hosts;
	t->s.n_hosts = t->hosts.n;
}

/* ---- Files. */

static void check_file(const char *path, const struct conf_node *at, struct conf_errors *e)
{
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char byte;

	if (fd < 0 || read(fd, &byte, 1) < 0)
		conf_fail(e, at, "%s: expected a file that can be read: %s", path, strerror(errno));
}

static void check_pattern(const char *pattern, const struct conf_node *at, struct conf_errors *e)
{
	glob_t found = { 0 };

	if (!strpbrk(pattern, "*?[")) {
		check_file(pattern, at, e);
		return;
	}
	if (glob(pattern, 0, NULL, &found) || !found.gl_pathc)
		conf_fail(e, at, "%s: expected files of this pattern, found none", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_file(found.gl_pathv[i], at, e);
	globfree(&found);
}

static void check_certfiles(struct top *t, const struct conf_node *root, struct conf_errors *e)
{
	const char *const *files = t->s.tls.certfiles.at;
	const struct conf_node *list = conf_node_get(root, "certfiles"), *item = first_item(list);

	for (size_t i = 0; i < t->s.tls.certfiles.n; i++, item = next_item(list, item))
		if (files[i])
			check_pattern(files[i], item, e);
	if (t->s.tls.ca_file)
		check_file(t->s.tls.ca_file, conf_node_get(root, "ca_file"), e);
	if (t->all_hosts.certfile)
		check_file(t->all_hosts.certfile, conf_node_get(root, "certfile"), e);
	if (t->all_hosts.keyfile)
		check_file(t->all_hosts.keyfile, conf_node_get(root, "keyfile"), e);
}

/* Certificates that hosts have of their own. */
static void gather_host_files(struct top *t, struct conf_errors *e)
{
	struct tls_host_files *files = arena_alloc(&t->arena, t->s.n_hosts * sizeof(*files));

	for (size_t i = 0; i < t->s.n_hosts; i++) {
		const struct settings_host *h = &t->s.hosts[i];
		const struct conf_node *own =
			h->name ? conf_node_get(t->host_config, h->name) : NULL;
		const struct conf_node *certfile = conf_node_get(own, "certfile");
		const struct conf_node *keyfile = conf_node_get(own, "keyfile");

		if (!h->conf || !h->conf->certfile)
			continue;
		if (certfile)
			check_file(h->conf->certfile, certfile, e);
		if (keyfile && h->conf->keyfile)
			check_file(h->conf->keyfile, keyfile, e);
		files[t->s.n_tls_hosts++] =
			(struct tls_host_files){ h->name, h->conf->certfile, h->conf->keyfile };
	}
	t->s.tls_hosts = files;
}

/* ---- Listeners. */

static void check_clashes(struct top *t, const struct conf_node *list, struct conf_errors *e)
{
	const struct listen_conf *l = t->s.listen;
	const struct conf_node *second = conf_node_first(list);

	for (size_t i = 0; i < t->s.n_listen; i++, second = conf_node_next(second)) {
		const struct conf_node *first = conf_node_first(list);

		for (size_t j = 0; j < i; j++, first = conf_node_next(first)) {
			if (!listen_conf_clash(&l[j], &l[i]))
				continue;
			conf_fail(e, second,
				"port %d of %s: the entry in line %u has it already (%s)",
				(int)l[i].port, l[i].ip, conf_node_place(first).line, l[j].ip);
			break;
		}
	}
}

/* Authorities that ports have of their own. */
static void gather_ca_files(struct top *t, const struct conf_node *list, struct conf_errors *e)
{
	const char **files = arena_alloc(&t->arena, t->s.n_listen * sizeof(*files));
	const struct conf_node *item = conf_node_first(list);
	size_t n = 0;

	for (size_t i = 0; i < t->s.n_listen; i++, item = conf_node_next(item)) {
		const char *file = t->s.listen[i].cafile;
		size_t same = 0;

		if (!file)
			continue;
		check_file(file, conf_node_get(item, "cafile"), e);
		while (same < n && strcmp(files[same], file) != 0)
			same++;
		if (same == n)
			files[n++] = file;
	}
	t->s.tls.more_ca_files = (struct conf_list){ files, n };
}

static void finish_listeners(struct top *t, const struct conf_node *root, struct conf_errors *e)
{
	const struct conf_node *list = conf_node_get(root, "listen"), *item = conf_node_first(list);
	bool missed = !t->s.tls.certfiles.n && !t->s.n_tls_hosts;
	struct listen_conf *l = t->listen.at;

	t->s.listen = l;
	t->s.n_listen = t->listen.n;
	if (t->listen.n > LISTENERS_MAX) {
		conf_fail_key(e, list, "listen: expected at most %d entries", LISTENERS_MAX);
		return;
	}
	for (size_t i = 0; i < t->listen.n; i++, item = conf_node_next(item)) {
		listen_conf_finish(&l[i], item, t->s.server.negotiation_timeout_ms, e);
		if (!missed || (!l[i].tls && !l[i].starttls_required))
			continue;
		conf_fail(e, item,
			"this port asks for TLS: expected certfiles or a certfile, found none");
		missed = false; /* said once is enough */
	}
	gather_ca_files(t, list, e);
	check_clashes(t, list, e);
}

/* ---- Modules. */

static void check_modules(struct top *t, struct conf_errors *e)
{
	registry_set_folders(&t->s.server.module_path);
	registry_check("", t->modules, e);
	for (size_t i = 0; i < t->s.n_hosts; i++) {
		const struct settings_host *h = &t->s.hosts[i];

		if (h->name && h->modules != t->modules)
			registry_check(h->name, h->modules, e);
	}
}

/* ---- All of it. */

static void fill(struct top *t, const struct conf_node *root, struct conf_errors *e)
{
	struct conf_part parts[CHAPTERS];

	for (size_t i = 0; i < CHAPTERS; i++)
		parts[i] = (struct conf_part){ chapters[i].rows, chapter_at(t, &chapters[i]),
			settings_hints };
	conf_fill_parts(parts, CHAPTERS, root, &t->arena, e);
	make_hosts(t, root, e);
	check_certfiles(t, root, e);
	gather_host_files(t, e);
	finish_listeners(t, root, e);
	access_compile(t->acl, t->access_rules, t->shaper, t->shaper_rules, e, &t->s.access);
	check_modules(t, e);
	access_check_names(t->s.access, e);
}

struct settings *settings_load(const char *path, struct conf_errors *e)
{
	unsigned before = conf_errors_count(e);
	struct conf_file *file = conf_file_load(path, e);
	struct top *t;

	if (!file)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	arena_init(&t->arena, NULL, 0);
	t->file = file;
	fill(t, conf_root(file), e);
	if (conf_errors_count(e) == before)
		return &t->s;
	settings_free(&t->s);
	return NULL;
}

void settings_check(const char *path, struct conf_errors *e)
{
	struct settings *s = settings_load(path, e);
	struct tls_store *store = tls_store_new();
	AUTO(free_ptr) char *why = NULL;

	if (s && tls_store_load(store, &s->tls, s->tls_hosts, s->n_tls_hosts, &why))
		conf_fail(e, settings_certificate_node(s, why), "%s", why);
	tls_store_free(store);
	settings_free(s);
}

void settings_free(struct settings *s)
{
	struct top *t;

	if (!s)
		return;
	t = top_of(s);
	for (size_t i = 0; i < s->n_hosts; i++)
		host_conf_drop(s->hosts[i].conf);
	access_free(s->access);
	arena_fini(&t->arena);
	conf_file_free(t->file);
	free(t);
}

const struct settings_host *settings_find_host(const struct settings *s, const char *host)
{
	const struct domain_place *place = find_domain(&top_of(s)->by_name, host);

	return place ? &s->hosts[place->order] : NULL;
}

const struct conf_node *settings_modules(const struct settings *s, const char *host)
{
	const struct settings_host *h = settings_find_host(s, host);

	return h ? h->modules : NULL;
}

struct host_conf *settings_host_conf(const struct settings_host *h)
{
	atomic_fetch_add_explicit(&h->conf->refs, 1, memory_order_relaxed);
	return h->conf;
}

struct access_rules *settings_take_access(struct settings *s)
{
	struct access_rules *access = s->access;

	s->access = NULL;
	return access;
}

const struct conf_node *settings_host_node(const struct settings *s, const char *host)
{
	const struct domain_place *place = find_domain(&top_of(s)->by_name, host);

	return place ? place->at : NULL;
}

const struct conf_node *settings_option_node(const struct settings *s, const char *name)
{
	return conf_node_get(conf_root(top_of(s)->file), name);
}

const struct conf_node *settings_listen_node(const struct settings *s, size_t i)
{
	const struct conf_node *item = conf_node_first(settings_option_node(s, "listen"));

	while (item && i--)
		item = conf_node_next(item);
	return item;
}

static bool begins_with(const char *text, const char *beginning)
{
	return beginning && !strncmp(text, beginning, strlen(beginning));
}

const struct conf_node *settings_certificate_node(const struct settings *s, const char *why)
{
	const struct conf_list *files = &s->tls.certfiles;
	const struct conf_node *list = settings_option_node(s, "certfiles"), *item;

	if (begins_with(why, s->tls.ca_file))
		return settings_option_node(s, "ca_file");
	for (size_t i = 0; i < s->n_listen; i++)
		if (begins_with(why, s->listen[i].cafile))
			return conf_node_get(settings_listen_node(s, i), "cafile");
	for (size_t i = 0; i < s->n_tls_hosts; i++) {
		const struct tls_host_files *h = &s->tls_hosts[i];
		const struct conf_node *own = conf_node_get(top_of(s)->host_config, h->host);
		const char *name = begins_with(why, h->keyfile) ? "keyfile" : "certfile";

		if (!begins_with(why, h->certfile) && !begins_with(why, h->keyfile))
			continue;
		item = conf_node_get(own, name);
		return item ? item : settings_option_node(s, name);
	}
	item = first_item(list);
	for (size_t i = 0; i < files->n && item; i++, item = next_item(list, item)) {
		const char *pattern = ((const char *const *)files->at)[i];
		char *file = arena_text(&top_of(s)->arena, why, strcspn(why, ":"));

		if (begins_with(why, pattern) || !fnmatch(pattern, file, FNM_PATHNAME))
			return item;
	}
	return list;
}

void settings_chapters_each(
	void (*fn)(const char *title, const struct conf_item *rows, void *arg), void *arg)
{
	for (size_t i = 0; i < CHAPTERS; i++)
		fn(chapters[i].title, chapters[i].rows, arg);
}
