/* router/access_rules.h - access rules as router/access_compile.c leaves them and router/access.c
 * asks them. All three kinds of rules are the same inside: entries with a value, each with the acls
 * that must all match; an unnamed acl stands for conditions written in place. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "core/pattern.h"
#include "core/rcu.h"
#include "router/access.h"

enum subject_part { OF_USER, OF_SERVER, OF_RESOURCE, OF_NODE, OF_ADDRESS, OF_ALL, OF_NONE };
enum compare { EXACT, BY_GLOB, BY_REGEXP };

struct condition {
	enum subject_part part;
	enum compare compare;
	/* OF_USER, OF_NODE: of the local part, and of the domain: without one, any of our hosts.
	 * OF_SERVER, OF_RESOURCE: only first. */
	const char *first, *domain;
	const struct pattern *first_pattern, *domain_pattern;
	struct conf_prefix prefix;
};

struct acl {
	const char *name; /* NULL: written in place */
	const struct condition *conditions;
	unsigned n;
};

struct shaper {
	const char *name;
	struct shaper_rate rate;
};

struct entry {
	const struct acl *const *all; /* that must match */
	unsigned n;
	int64_t number; /* allow: 1, deny: 0 */
	const struct shaper *shaper; /* of shaper_rules; NULL: the number */
};

struct rule {
	const char *name;
	const struct entry *entries;
	unsigned n;
};

/* Arrays of things with a name first, sorted by it. */
struct named_list {
	void *at;
	size_t n;
};

struct access_rules {
	struct arena arena;
	struct rcu_head rcu;
	struct named_list acls, access, shapers, shaper_rules;
};

/* ---- Names. */

static inline int by_name(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static inline void *find_name(const struct named_list *list, const char *name, size_t bytes)
{
	return list->n ? bsearch(&name, list->at, list->n, bytes, by_name) : NULL;
}

static inline bool means_no_limit(const char *name)
{
	return !strcmp(name, "none") || !strcmp(name, "infinity") || !strcmp(name, "infinite") ||
		!strcmp(name, "unlimited");
}

static inline void offer_names(struct conf_guess *g, const struct named_list *list, size_t bytes)
{
	for (size_t i = 0; i < list->n; i++)
		conf_guess(g, *(const char *const *)((const char *)list->at + i * bytes));
}
