/* cmd/linnetd_settings_top.h - the whole of a snapshot, for cmd/linnetd_settings.c, which makes it,
 * and cmd/linnetd_difference.c, which compares two. */
#pragma once

#include "cmd/linnetd_settings.h"
#include "core/arena.h"

/* A domain somewhere in the file. */
struct domain_place {
	const char *name;
	const struct conf_node *at;
	size_t order; /* in the file */
};
/* Many, sorted by name. */
struct domains {
	struct domain_place *at;
	size_t n;
};

/* The top of the file, where it goes. */
struct top {
	struct settings s; /* first: what others see */
	struct arena arena;
	struct conf_file *file;
	struct conf_list hosts; /* of const char * */
	struct conf_list listen; /* of struct listen_conf */
	const struct conf_node *host_config, *acl, *access_rules, *shaper, *shaper_rules;
	const struct conf_node *modules;
	struct host_conf all_hosts; /* what host_config lays its own over; no references */
	const struct conf_node **own; /* of each of s.hosts: its map under host_config, or NULL */
	struct domains by_name; /* s.hosts */
};

static inline struct top *top_of(const struct settings *s)
{
	return container_of((struct settings *)s, struct top, s);
}

/* The tables of the file, in the order of the manual. */
#define CHAPTERS 10
extern const struct chapter {
	const char *title; /* in the manual; NULL behind the last */
	const struct conf_item *rows;
	size_t offset; /* in struct top */
	bool waits; /* has options that wait for a restart of the server, and no nodes */
	bool apart; /* compared by what is in it, not option by option */
} chapters[CHAPTERS + 1];

static inline void *chapter_at(struct top *t, const struct chapter *c)
{
	return (char *)t + c->offset;
}
