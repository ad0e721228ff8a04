/* tests/fuzz/fuzz_conf.c - a settings file: YAML into nodes, nodes into structs by tables, rules
 * and patterns compiled and asked; what was accepted is the same when written out and read again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"
#include "core/server_conf.h"
#include "net/listener_conf.h"
#include "net/tls.h"
#include "router/access.h"
#include "router/host_conf.h"

struct whole {
	struct server_conf server;
	struct tls_conf tls;
	struct host_conf host;
	struct conf_list listen, names;
	struct conf_prefix network;
	const struct conf_node *acl, *access_rules, *shaper, *shaper_rules;
};

struct name {
	const char *name;
	int64_t ms;
};
static const struct conf_item time_item[] = {
	{ "time", CONF_TIME, FIELD(struct name, ms, int64_t) }, { 0 }
};
static const struct conf_item rows[] = {
	{ "listen", CONF_LIST, FIELD(struct whole, listen, struct conf_list), .rows = listen_items,
		.item_size = sizeof(struct listen_conf) },
	{ "names", CONF_MAP, FIELD(struct whole, names, struct conf_list), .item = time_item,
		.item_size = sizeof(struct name) },
	{ "network", CONF_ADDRESS, FIELD(struct whole, network, struct conf_prefix),
		.preset = "::/0" },
	{ "acl", CONF_RAW, FIELD(struct whole, acl, const struct conf_node *) },
	{ "access_rules", CONF_RAW, FIELD(struct whole, access_rules, const struct conf_node *) },
	{ "shaper", CONF_RAW, FIELD(struct whole, shaper, const struct conf_node *) },
	{ "shaper_rules", CONF_RAW, FIELD(struct whole, shaper_rules, const struct conf_node *) },
	{ 0 },
};

static void ask(struct access_rules *r, struct conf_errors *e)
{
	access_check_names(r, e);
	REQUIRE(access_has_rule(r, "all") && access_has_shaper(r, "none"));
	access_free(r);
}

/* A value that was read is written in a way that reads as the same value. */
static void write_and_read(const struct conf_item *row, const struct whole *w)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_item table[] = { *row, { 0 } };
	struct arena a;
	const char *text;
	struct whole again = { 0 };
	struct conf_file *f;

	arena_init(&a, NULL, 0);
	text = arena_printf(
		&a, "%s: %s\n", row->name, conf_value_text(row, (const char *)w + row->offset, &a));
	f = conf_file_parse("again", text, strlen(text), e);
	if (!f || conf_fill(table, conf_root(f), &again, &a, e) || !conf_same(table, w, &again)) {
		AUTO(free_ptr) char *said = conf_errors_text(e);

		fprintf(stderr, "%s%s", text, said);
		abort();
	}
	conf_file_free(f);
	conf_errors_free(e);
	arena_fini(&a);
}

static void note(const struct conf_change *change, void *arg)
{
	(void)change;
	++*(unsigned *)arg;
}

static void fill(const struct conf_node *root, struct conf_errors *e)
{
	struct whole w = { 0 }, copy = { 0 };
	struct conf_part parts[] = { { rows, &w }, { server_conf_items, &w.server },
		{ tls_items, &w.tls }, { host_conf_items, &w.host } };
	struct access_rules *access;
	unsigned changes = 0;
	struct arena a;
	int bad;

	arena_init(&a, NULL, 0);
	bad = conf_fill_parts(parts, ARRAY_LEN(parts), root, &a, e);
	if (!bad)
		for (const struct conf_item *row = rows; row->type != CONF_RAW; row++)
			write_and_read(row, &w);
	conf_copy(rows, &w, &copy, &a);
	REQUIRE(conf_same(rows, &w, &copy));
	conf_differences(rows, &w, &copy, note, &changes);
	REQUIRE(!changes);
	conf_overlay_parts(parts, ARRAY_LEN(parts), root, &a, e);
	access_compile(w.acl, w.access_rules, w.shaper, w.shaper_rules, e, &access);
	ask(access, e);
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors *e = conf_errors_new();
	/* With a NUL behind, as conf_file_load() reads it. */
	AUTO(free_ptr) char *text = xcalloc(1, size + 1);
	struct conf_file *f;

	memcpy(text, data, size);
	f = conf_file_parse("fuzz.yml", text, size, e);
	REQUIRE(f || conf_errors_count(e));
	if (f)
		fill(conf_root(f), e);
	free(conf_errors_text(e));
	conf_file_free(f);
	conf_errors_free(e);
	return 0;
}
