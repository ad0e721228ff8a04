/* cmd/linnetd_difference.c - what makes one snapshot of the settings of another, in the words of
 * the settings file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd_settings_top.h"
#include "core/mem.h"
#include "modules/registry.h"
#include "net/listener_conf.h"
#include "router/host_conf.h"

struct comparing {
	const struct top *before, *after;
	difference_fn *fn;
	void *arg;
	struct arena texts; /* until the end */
	const char *host; /* whose options are being compared; NULL: of all */
	const char *listener; /* which one's are */
};

static void tell(struct comparing *c, const struct difference *d)
{
	c->fn(d, c->arg);
}

/* ---- One option */

static bool is_secret(const struct conf_change *change)
{
	return change->item->type == CONF_SECRET;
}

/* A grammar of its own: all that is known of it is that it differs. */
static bool is_raw(const struct conf_change *change)
{
	return change->item->type == CONF_RAW;
}

static struct difference of_option(const char *name, const struct conf_change *change)
{
	bool shown = !is_secret(change) && !is_raw(change);

	return (struct difference){ .sign = change->applies == CONF_AT_RESTART ? '!' : '~',
		.kind = "option",
		.name = name,
		.before = shown ? change->before : NULL,
		.after = shown ? change->after : NULL };
}

static void tell_option(const struct conf_change *change, void *arg)
{
	struct comparing *c = arg;
	struct difference d = of_option(change->path, change);

	d.host = c->host;
	if (change->applies != CONF_AT_RESTART)
		tell(c, &d);
}

static void tell_waiting(const struct conf_change *change, void *arg)
{
	struct difference d = of_option(change->path, change);

	d.note = "takes effect after a restart";
	if (change->applies == CONF_AT_RESTART)
		tell(arg, &d);
}

/* ---- Hosts */

static void compare_hosts(struct comparing *c)
{
	const struct settings *before = &c->before->s, *after = &c->after->s;

	for (size_t i = 0; i < before->n_hosts; i++)
		if (!settings_find_host(after, before->hosts[i].name))
			tell(c, &(struct difference){ '-', "host", .name = before->hosts[i].name });
	for (size_t i = 0; i < after->n_hosts; i++)
		if (!settings_find_host(before, after->hosts[i].name))
			tell(c, &(struct difference){ '+', "host", .name = after->hosts[i].name });
}

/* ---- Listeners */

static const char *address_text(struct comparing *c, const struct listen_conf *l)
{
	bool six = strchr(l->ip, ':');

	return arena_printf(
		&c->texts, "%s%s%s:%d", six ? "[" : "", l->ip, six ? "]" : "", (int)l->port);
}

static void tell_listener_option(const struct conf_change *change, void *arg)
{
	struct comparing *c = arg;
	struct difference d = of_option(c->listener, change);

	d.kind = "listener";
	d.option = change->path;
	tell(c, &d);
}

static void compare_listener(
	struct comparing *c, const struct listen_conf *before, const struct listen_conf *after)
{
	c->listener = address_text(c, after);
	conf_differences(listen_items, before, after, tell_listener_option, c);
}

/* The entry of l's address and port that is not taken yet, which it is from then on; or -1. */
static int take_same(const struct settings *s, const struct listen_conf *l, bool *taken)
{
	for (size_t i = 0; i < s->n_listen; i++) {
		if (taken[i] || s->listen[i].port != l->port || strcmp(s->listen[i].ip, l->ip) != 0)
			continue;
		taken[i] = true;
		return (int)i;
	}
	return -1;
}

static void compare_listeners(struct comparing *c)
{
	const struct settings *before = &c->before->s, *after = &c->after->s;
	AUTO(free_ptr) bool *taken = xcalloc(after->n_listen, sizeof(*taken));

	for (size_t i = 0; i < before->n_listen; i++) {
		const struct listen_conf *was = &before->listen[i];
		int same = take_same(after, was, taken);

		if (same >= 0)
			compare_listener(c, was, &after->listen[same]);
		else
			tell(c,
				&(struct difference){
					'-', "listener", .name = address_text(c, was) });
	}
	for (size_t i = 0; i < after->n_listen; i++)
		if (!taken[i])
			tell(c,
				&(struct difference){ '+', "listener",
					.name = address_text(c, &after->listen[i]) });
}

/* ---- Modules */

static void tell_module(const struct module_change *change, void *arg)
{
	struct comparing *c = arg;
	const char *name = arena_printf(&c->texts, "modules.mod_%s", change->module);
	struct difference d = { .sign = change->what == MODULE_ADDED ? '+' : '-', .name = name };

	if (change->what == MODULE_CHANGED) {
		d = of_option(arena_printf(&c->texts, "%s.%s", name, change->option->path),
			change->option);
		if (change->option->applies == CONF_AT_MODULE_START)
			d.note = "starts the module anew";
	}
	d.kind = "module";
	d.host = c->host;
	tell(c, &d);
}

/* Those that hosts without a map of their own have. */
static void compare_modules(struct comparing *c)
{
	registry_differences(c->before->modules, c->after->modules, tell_module, c);
}

/* ---- Options of one host */

struct own_options {
	struct comparing *c;
	const struct conf_node *before, *after; /* its maps under host_config */
};

static void tell_own_option(const struct conf_change *change, void *arg)
{
	const struct own_options *own = arg;

	/* Else it is the change of all hosts', told already. */
	if (conf_node_get(own->before, change->path) || conf_node_get(own->after, change->path))
		tell_option(change, own->c);
}

static void compare_one_host(
	struct comparing *c, const struct settings_host *before, const struct settings_host *after)
{
	struct own_options own = { c, c->before->own[before - c->before->s.hosts],
		c->after->own[after - c->after->s.hosts] };

	c->host = before->name;
	if (own.before || own.after)
		conf_differences(host_conf_items, before->conf, after->conf, tell_own_option, &own);
	if (before->modules != c->before->modules || after->modules != c->after->modules)
		registry_differences(before->modules, after->modules, tell_module, c);
	c->host = NULL;
}

static void compare_each_host(struct comparing *c)
{
	const struct settings *before = &c->before->s;

	for (size_t i = 0; i < before->n_hosts; i++) {
		const struct settings_host *after =
			settings_find_host(&c->after->s, before->hosts[i].name);

		if (after)
			compare_one_host(c, &before->hosts[i], after);
	}
}

/* ---- Rules and other grammars of their own, key by key */

static void tell_key(struct comparing *c, const char *map, const struct conf_node *before,
	const struct conf_node *after)
{
	const char *key = conf_node_key(before ? before : after);
	struct difference d = { .sign = before && after ? '~'
			: after                         ? '+'
							: '-',
		.kind = "option" };

	d.name = arena_printf(&c->texts, "%s.%s", map, key);
	d.before = before ? conf_node_line(before, &c->texts) : NULL;
	d.after = after ? conf_node_line(after, &c->texts) : NULL;
	if (!conf_node_same(before, after))
		tell(c, &d);
}

static void compare_maps(struct comparing *c, const char *name, const struct conf_node *before,
	const struct conf_node *after)
{
	const struct conf_node *node;

	conf_node_each (node, before)
		tell_key(c, name, node, conf_node_get(after, conf_node_key(node)));
	conf_node_each (node, after)
		if (!conf_node_get(before, conf_node_key(node)))
			tell_key(c, name, NULL, node);
}

/* acl and the like: nothing in them is secret. */
static void compare_rules(struct comparing *c)
{
	const struct top *b = c->before, *a = c->after;

	compare_maps(c, "acl", b->acl, a->acl);
	compare_maps(c, "access_rules", b->access_rules, a->access_rules);
	compare_maps(c, "shaper", b->shaper, a->shaper);
	compare_maps(c, "shaper_rules", b->shaper_rules, a->shaper_rules);
}

/* ---- All of it */

struct settings *settings_waiting(const struct settings *s)
{
	struct top *copy = xcalloc(1, sizeof(*copy));

	arena_init(&copy->arena, NULL, 0);
	for (const struct chapter *c = chapters; c->title; c++)
		if (c->waits)
			conf_copy(c->rows, chapter_at(top_of(s), c), chapter_at(copy, c),
				&copy->arena);
	return &copy->s;
}

void settings_differences(const struct settings *started, const struct settings *before,
	const struct settings *after, difference_fn *fn, void *arg)
{
	struct comparing c = { top_of(before), top_of(after), fn, arg, .host = NULL };

	arena_init(&c.texts, NULL, 0);
	compare_hosts(&c);
	compare_listeners(&c);
	compare_rules(&c);
	for (const struct chapter *ch = chapters; ch->title; ch++)
		if (!ch->apart)
			conf_differences(ch->rows, chapter_at(top_of(before), ch),
				chapter_at(top_of(after), ch), tell_option, &c);
	compare_modules(&c);
	compare_each_host(&c);
	for (const struct chapter *ch = chapters; ch->title; ch++)
		if (ch->waits)
			conf_differences(ch->rows, chapter_at(top_of(started), ch),
				chapter_at(top_of(after), ch), tell_waiting, &c);
	arena_fini(&c.texts);
}

static void put_values(const struct difference *d, FILE *out)
{
	if (d->before && d->after)
		fprintf(out, ": %s -> %s", d->before, d->after);
	else if (d->before && d->sign == '~')
		fprintf(out, ": %s -> null", d->before);
	else if (d->after && d->sign == '~')
		fprintf(out, ": null -> %s", d->after);
	else if (d->after)
		fprintf(out, ": %s", d->after);
	else if (d->sign == '~' || d->sign == '!')
		fputs(": changed", out);
}

char *difference_line(const struct difference *d)
{
	bool plain = !strcmp(d->kind, "option") || !strcmp(d->kind, "module");
	char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);

	REQUIRE(out);
	fprintf(out, "%c %s%s%s", d->sign, plain ? "" : d->kind, plain ? "" : " ", d->name);
	if (d->option)
		fprintf(out, " %s", d->option);
	if (d->host)
		fprintf(out, " (host %s)", d->host);
	put_values(d, out);
	if (d->note)
		fprintf(out, "%s%s%s", d->sign == '!' ? " " : " (", d->note,
			d->sign == '!' ? "" : ")");
	fclose(out);
	REQUIRE(line);
	return line;
}
