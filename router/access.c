/* router/access.c - access rules: read from ejabberd's grammar, asked without lock or allocation.
 *   acl:          { name: { user: [..], server: .., ip: .., .. } }     any of its conditions
 *   access_rules: { name: [ {allow: acl}, {deny: [acl, {ip: ..}]}, .. ] }   the first that matches
 *   shaper:       { name: rate or {rate: .., burst_size: ..} }
 *   shaper_rules: { name: [ {5000: acl}, {shaper: acl}, 100 ] }
 * All three kinds of rules are the same inside: entries with a value, each with the acls that must
 * all match; an unnamed acl stands for conditions written in place. */
#include "router/access.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/pattern.h"
#include "core/rcu.h"
#include "router/route.h"

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

static RCU_PTR(struct access_rules) published;

/* ---- Names. */

static int by_name(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void *find(const struct named_list *list, const char *name, size_t bytes)
{
	return list->n ? bsearch(&name, list->at, list->n, bytes, by_name) : NULL;
}

static bool means_no_limit(const char *name)
{
	return !strcmp(name, "none") || !strcmp(name, "infinity") || !strcmp(name, "infinite") ||
		!strcmp(name, "unlimited");
}

static void offer_names(struct conf_guess *g, const struct named_list *list, size_t bytes)
{
	for (size_t i = 0; i < list->n; i++)
		conf_guess(g, *(const char *const *)((const char *)list->at + i * bytes));
}

/* ---- Compiling: conditions. */

struct compiling {
	struct access_rules *r;
	struct conf_errors *e;
};

static const struct condition_type {
	const char *name;
	enum subject_part part;
	enum compare compare;
} condition_types[] = {
	{ "user", OF_USER, EXACT },
	{ "user_glob", OF_USER, BY_GLOB },
	{ "user_regexp", OF_USER, BY_REGEXP },
	{ "server", OF_SERVER, EXACT },
	{ "server_glob", OF_SERVER, BY_GLOB },
	{ "server_regexp", OF_SERVER, BY_REGEXP },
	{ "resource", OF_RESOURCE, EXACT },
	{ "resource_glob", OF_RESOURCE, BY_GLOB },
	{ "resource_regexp", OF_RESOURCE, BY_REGEXP },
	{ "node_glob", OF_NODE, BY_GLOB },
	{ "node_regexp", OF_NODE, BY_REGEXP },
	{ "ip", OF_ADDRESS, EXACT },
};

static const struct condition_type *find_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(condition_types); i++)
		if (!strcmp(condition_types[i].name, name))
			return &condition_types[i];
	return NULL;
}

static void unknown_type(struct compiling *c, const struct conf_node *node)
{
	struct conf_guess guess = { .given = conf_node_key(node) };

	for (size_t i = 0; i < ARRAY_LEN(condition_types); i++)
		conf_guess(&guess, condition_types[i].name);
	conf_fail_key_guess(c->e, node, &guess,
		"expected a condition such as user, server, resource, user_regexp, user_glob or "
		"ip, "
		"found \"%s\"",
		guess.given);
}

static const char *prepared(struct compiling *c, int (*prep)(const char *, size_t, char *),
	const char *text, size_t len, const char *what, const struct conf_node *at)
{
	char part[JID_PART_MAX + 1];
	int n = prep(text, len, part);

	if (n > 0)
		return arena_text(&c->r->arena, part, (size_t)n);
	conf_fail(c->e, at, "expected %s, found \"%.*s\"", what, (int)len, text);
	return NULL;
}

static const struct pattern *compiled(struct compiling *c, enum compare compare, const char *text,
	size_t len, const struct conf_node *at)
{
	AUTO(free_ptr) char *copy = xstrndup(text, len);
	const char *why = NULL;
	struct pattern *p = NULL;
	int bad = compare == BY_GLOB ? pattern_glob(copy, &c->r->arena, &p, &why)
				     : pattern_regexp(copy, &c->r->arena, &p, &why);

	if (bad)
		conf_fail(c->e, at, "%s: expected %s",
			compare == BY_GLOB ? "a glob" : "a regular expression", why);
	return p;
}

/* The local part (or the only part) of a condition. */
static void set_first(struct compiling *c, struct condition *k, const char *text, size_t len,
	const struct conf_node *at)
{
	if (k->compare != EXACT)
		k->first_pattern = compiled(c, k->compare, text, len, at);
	else if (k->part == OF_USER)
		k->first = prepared(c, jid_prep_local, text, len, "the name of an account", at);
	else if (k->part == OF_SERVER)
		k->first = prepared(c, jid_prep_domain, text, len, "a domain", at);
	else
		k->first = prepared(c, jid_prep_resource, text, len, "a resource", at);
}

static void set_domain(
	struct compiling *c, struct condition *k, const char *text, const struct conf_node *at)
{
	/* Only a node_... looks for a pattern in the domain too. */
	if (k->part == OF_NODE)
		k->domain_pattern = compiled(c, k->compare, text, strlen(text), at);
	else
		k->domain = prepared(c, jid_prep_domain, text, strlen(text), "a domain", at);
}

/* "admin", "admin@example.org", "10.0.0.0/8". */
static void read_text(struct compiling *c, struct condition *k, const struct conf_node *node)
{
	static const struct conf_item address = { "ip", CONF_ADDRESS };
	const char *text = conf_node_text(node);
	bool splits = k->part == OF_NODE || k->part == OF_USER;
	const char *at_sign = splits ? strrchr(text, '@') : NULL;

	if (k->part == OF_ADDRESS) {
		conf_fill_value(&address, node, &k->prefix, &c->r->arena, c->e);
		return;
	}
	if (k->part == OF_NODE && !at_sign) {
		conf_fail(c->e, node, "expected USER_PATTERN@SERVER_PATTERN, found \"%s\"", text);
		return;
	}
	set_first(c, k, text, at_sign ? (size_t)(at_sign - text) : strlen(text), node);
	if (at_sign)
		set_domain(c, k, at_sign + 1, node);
}

/* {admin: example.org, root: example.org}; returns how many. */
static unsigned read_pairs(struct compiling *c, const struct condition_type *type,
	const struct conf_node *map, struct condition *out)
{
	const struct conf_node *node;
	unsigned n = 0;

	if (type->part != OF_USER && type->part != OF_NODE) {
		conf_fail(c->e, map, "%s: expected a value or a list, found a map", type->name);
		return 0;
	}
	conf_node_each (node, map) {
		struct condition *k = &out[n++];

		*k = (struct condition){ .part = type->part, .compare = type->compare };
		set_first(c, k, conf_node_key(node), strlen(conf_node_key(node)), node);
		if (conf_node_kind(node) == CONF_SCALAR)
			set_domain(c, k, conf_node_text(node), node);
		else
			conf_fail(c->e, node, "%s: expected a domain", type->name);
	}
	return n;
}

/* One value of a condition: a text or a map of pairs. */
static unsigned read_value(struct compiling *c, const struct condition_type *type,
	const struct conf_node *node, struct condition *out)
{
	if (conf_node_kind(node) == CONF_MAPPING)
		return read_pairs(c, type, node, out);
	*out = (struct condition){ .part = type->part, .compare = type->compare };
	if (conf_node_kind(node) == CONF_SCALAR)
		read_text(c, out, node);
	else
		conf_fail(c->e, node, "%s: expected a value, found %s", type->name,
			conf_node_kind(node) == CONF_SEQUENCE ? "a list in a list" : "nothing");
	return 1;
}

/* How many conditions a value can become. */
static size_t count_values(const struct conf_node *value)
{
	const struct conf_node *node;
	size_t n = 0;

	if (conf_node_kind(value) == CONF_MAPPING)
		return conf_node_count(value);
	if (conf_node_kind(value) != CONF_SEQUENCE)
		return 1;
	conf_node_each (node, value)
		n += conf_node_kind(node) == CONF_MAPPING ? conf_node_count(node) : 1;
	return n;
}

/* The condition `key: value` with one or more values. */
static void read_condition(struct compiling *c, const struct conf_node *value, struct acl *acl)
{
	const struct condition_type *type = find_type(conf_node_key(value));
	struct condition *grown;
	const struct conf_node *node;

	if (!type) {
		unknown_type(c, value);
		return;
	}
	grown = arena_alloc(&c->r->arena, (acl->n + count_values(value)) * sizeof(*grown));
	if (acl->n)
		memcpy(grown, acl->conditions, acl->n * sizeof(*grown));
	acl->conditions = grown;
	if (conf_node_kind(value) != CONF_SEQUENCE) {
		acl->n += read_value(c, type, value, grown + acl->n);
		return;
	}
	conf_node_each (node, value)
		acl->n += read_value(c, type, node, grown + acl->n);
}

static const struct condition always = { .part = OF_ALL }, never = { .part = OF_NONE };
static const struct acl acl_all = { "all", &always, 1 }, acl_none = { "none", &never, 1 };

static void read_acl(struct compiling *c, const struct conf_node *node, struct acl *out)
{
	const struct conf_node *child, *part;

	*out = (struct acl){ .name = conf_node_key(node) };
	if (!strcmp(out->name, "all") || !strcmp(out->name, "none"))
		conf_fail_key(c->e, node, "expected another name: \"%s\" has its meaning already",
			out->name);
	switch (conf_node_kind(node)) {
	case CONF_MAPPING:
		conf_node_each (child, node)
			read_condition(c, child, out);
		break;
	case CONF_SEQUENCE: /* of maps */
		conf_node_each (child, node) {
			if (conf_node_kind(child) != CONF_MAPPING)
				conf_fail(c->e, child, "expected a condition, such as user: admin");
			conf_node_each (part, child)
				read_condition(c, part, out);
		}
		break;
	case CONF_SCALAR:
		if (!strcmp(conf_node_text(node), "all"))
			*out = (struct acl){ out->name, &always, 1 };
		else if (strcmp(conf_node_text(node), "none") != 0)
			conf_fail(c->e, node, "%s: expected a map of conditions, found \"%s\"",
				out->name, conf_node_text(node));
		break;
	default:
		break; /* nobody */
	}
}

/* ---- Compiling: rules. */

static const struct acl *named_acl(struct compiling *c, const struct conf_node *node)
{
	struct conf_guess guess = { .given = conf_node_text(node) };
	const struct acl *acl = find(&c->r->acls, guess.given, sizeof(struct acl));

	if (conf_node_kind(node) != CONF_SCALAR) {
		conf_fail(c->e, node, "expected the name of an acl");
		return &acl_none;
	}
	if (!strcmp(guess.given, "all"))
		return &acl_all;
	if (acl || !strcmp(guess.given, "none"))
		return acl ? acl : &acl_none;
	conf_guess(&guess, "all");
	conf_guess(&guess, "none");
	offer_names(&guess, &c->r->acls, sizeof(struct acl));
	if (guess.best)
		conf_fail_guess(c->e, node, &guess, "expected the name of an acl, found \"%s\"",
			guess.given);
	else
		conf_fail(c->e, node,
			"expected the name of an acl, found \"%s\"; one of nobody stands under acl "
			"as %s: none",
			guess.given, guess.given);
	return &acl_none;
}

/* `acl: name` or a condition, written in a rule. */
static const struct acl *acl_in_place(struct compiling *c, const struct conf_node *node)
{
	struct acl *acl;

	if (!strcmp(conf_node_key(node), "acl"))
		return named_acl(c, node);
	acl = arena_zalloc(&c->r->arena, sizeof(*acl));
	read_condition(c, node, acl);
	return acl;
}

static size_t count_terms(const struct conf_node *value)
{
	const struct conf_node *node;
	size_t n = 0;

	if (conf_node_kind(value) == CONF_MAPPING)
		return conf_node_count(value);
	if (conf_node_kind(value) != CONF_SEQUENCE)
		return 1;
	conf_node_each (node, value)
		n += conf_node_kind(node) == CONF_MAPPING ? conf_node_count(node) : 1;
	return n;
}

static unsigned read_map_terms(
	struct compiling *c, const struct conf_node *map, const struct acl **out)
{
	const struct conf_node *node;
	unsigned n = 0;

	conf_node_each (node, map)
		out[n++] = acl_in_place(c, node);
	return n;
}

/* What must match for an entry: an acl's name, or a list or map of names and conditions. */
static void read_terms(struct compiling *c, const struct conf_node *value, struct entry *out)
{
	const struct acl **terms = arena_alloc(&c->r->arena, count_terms(value) * sizeof(*terms));
	const struct conf_node *node;

	out->all = terms;
	switch (conf_node_kind(value)) {
	case CONF_MAPPING:
		out->n = read_map_terms(c, value, terms);
		break;
	case CONF_SEQUENCE:
		conf_node_each (node, value) {
			if (conf_node_kind(node) == CONF_MAPPING)
				out->n += read_map_terms(c, node, terms + out->n);
			else
				terms[out->n++] = named_acl(c, node);
		}
		break;
	default:
		terms[out->n++] = named_acl(c, value);
	}
	if (!out->n)
		conf_fail_key(c->e, value, "%s: expected whom it is for, found nothing",
			conf_node_key(value));
}

/* What stands before the colon of an entry. */
struct outcomes {
	bool (*read)(struct compiling *c, const char *text, struct entry *out);
	void (*offer)(struct compiling *c, struct conf_guess *guess);
	const char *expected;
};

static bool read_right(struct compiling *c UNUSED, const char *text, struct entry *out)
{
	out->number = !strcmp(text, "allow");
	return out->number || !strcmp(text, "deny");
}

static void offer_rights(struct compiling *c UNUSED, struct conf_guess *guess)
{
	conf_guess(guess, "allow");
	conf_guess(guess, "deny");
}

static bool read_count(const char *text, int64_t *out)
{
	char *end;
	long long n;

	if (*text < '0' || *text > '9')
		return false;
	n = strtoll(text, &end, 10);
	*out = n;
	return !*end && n > 0 && n < INT64_MAX;
}

static bool read_limit(struct compiling *c, const char *text, struct entry *out)
{
	out->number = INT64_MAX;
	if (means_no_limit(text) || read_count(text, &out->number))
		return true;
	out->shaper = find(&c->r->shapers, text, sizeof(struct shaper));
	return out->shaper;
}

static void offer_limits(struct compiling *c, struct conf_guess *guess)
{
	conf_guess(guess, "none");
	conf_guess(guess, "infinity");
	offer_names(guess, &c->r->shapers, sizeof(struct shaper));
}

static const struct outcomes rights = { read_right, offer_rights, "allow or deny" };
static const struct outcomes limits = { read_limit, offer_limits,
	"a number from 1, infinity or the name of a shaper" };

/* `outcome: whom` */
static unsigned read_entry(struct compiling *c, const struct conf_node *node,
	const struct outcomes *outcomes, struct entry *out)
{
	struct conf_guess guess = { .given = conf_node_key(node) };

	*out = (struct entry){ 0 };
	if (outcomes->read(c, guess.given, out)) {
		read_terms(c, node, out);
		return 1;
	}
	outcomes->offer(c, &guess);
	conf_fail_key_guess(
		c->e, node, &guess, "expected %s, found \"%s\"", outcomes->expected, guess.given);
	return 0;
}

/* `outcome` alone, which is for everybody. */
static unsigned read_last_entry(struct compiling *c, const struct conf_node *node,
	const struct outcomes *outcomes, struct entry *out)
{
	static const struct acl *const everybody[] = { &acl_all };
	struct conf_guess guess = { .given = conf_node_text(node) };

	*out = (struct entry){ .all = everybody, .n = 1 };
	if (outcomes->read(c, guess.given, out))
		return 1;
	outcomes->offer(c, &guess);
	conf_fail_guess(
		c->e, node, &guess, "expected %s, found \"%s\"", outcomes->expected, guess.given);
	return 0;
}

static unsigned read_entries(struct compiling *c, const struct conf_node *node,
	const struct outcomes *outcomes, struct entry *out)
{
	const struct conf_node *child;
	unsigned n = 0;

	switch (conf_node_kind(node)) {
	case CONF_SCALAR:
		return read_last_entry(c, node, outcomes, out);
	case CONF_MAPPING:
		conf_node_each (child, node)
			n += read_entry(c, child, outcomes, out + n);
		return n;
	default:
		conf_fail(c->e, node, "expected a rule, such as allow: all, found %s",
			conf_node_kind(node) == CONF_NULL ? "nothing" : "a list in a list");
		return 0;
	}
}

static void read_rule(struct compiling *c, const struct conf_node *node,
	const struct outcomes *outcomes, struct rule *out)
{
	struct entry *entries = arena_alloc(&c->r->arena, count_terms(node) * sizeof(*entries));
	const struct conf_node *child;

	*out = (struct rule){ .name = conf_node_key(node), .entries = entries };
	if (conf_node_kind(node) != CONF_SEQUENCE) {
		out->n = read_entries(c, node, outcomes, entries);
		return;
	}
	conf_node_each (child, node)
		out->n += read_entries(c, child, outcomes, entries + out->n);
}

static void read_shaper(struct compiling *c, const struct conf_node *node, struct shaper *out)
{
	static const struct conf_item rows[] = {
		{ "rate", CONF_SIZE, FIELD(struct shaper_rate, bytes_per_s, int64_t), .min = 1,
			.max = INT64_MAX, .required = true },
		{ "burst_size", CONF_SIZE, FIELD(struct shaper_rate, burst_bytes, int64_t),
			.min = 1, .max = INT64_MAX },
		{ 0 },
	};
	struct shaper_rate *rate = &out->rate;

	out->name = conf_node_key(node);
	if (means_no_limit(out->name))
		conf_fail_key(c->e, node, "expected another name: \"%s\" has its meaning already",
			out->name);
	if (conf_node_kind(node) == CONF_MAPPING)
		conf_fill(rows, node, rate, &c->r->arena, c->e);
	else
		conf_fill_value(rows, node, &rate->bytes_per_s, &c->r->arena, c->e);
	if (!rate->burst_bytes)
		rate->burst_bytes = rate->bytes_per_s;
	if (rate->bytes_per_s == INT64_MAX)
		*rate = (struct shaper_rate){ 0 };
}

/* ---- Compiling: all of it. */

/* Room for what a map of names defines; false: it is no map. */
static bool begin_list(struct compiling *c, const struct conf_node *map, const char *what,
	size_t bytes, struct named_list *out)
{
	if (!map || conf_node_kind(map) == CONF_NULL)
		return false;
	if (conf_node_kind(map) != CONF_MAPPING) {
		conf_fail(c->e, map, "%s: expected a map of names", what);
		return false;
	}
	out->n = conf_node_count(map);
	out->at = arena_zalloc(&c->r->arena, out->n * bytes);
	return true;
}

static void compile_acls(struct compiling *c, const struct conf_node *map)
{
	struct named_list list = { 0 };
	const struct conf_node *node;
	struct acl *acl;

	if (!begin_list(c, map, "acl", sizeof(*acl), &list))
		return;
	acl = list.at;
	conf_node_each (node, map)
		read_acl(c, node, acl++);
	qsort(list.at, list.n, sizeof(*acl), by_name);
	c->r->acls = list;
}

static void compile_shapers(struct compiling *c, const struct conf_node *map)
{
	struct named_list list = { 0 };
	const struct conf_node *node;
	struct shaper *shaper;

	if (!begin_list(c, map, "shaper", sizeof(*shaper), &list))
		return;
	shaper = list.at;
	conf_node_each (node, map)
		read_shaper(c, node, shaper++);
	qsort(list.at, list.n, sizeof(*shaper), by_name);
	c->r->shapers = list;
}

static void compile_rules(struct compiling *c, const struct conf_node *map, const char *what,
	const struct outcomes *outcomes, struct named_list *out)
{
	const struct conf_node *node;
	struct rule *rule;

	if (!begin_list(c, map, what, sizeof(*rule), out))
		return;
	rule = out->at;
	conf_node_each (node, map)
		read_rule(c, node, outcomes, rule++);
	qsort(out->at, out->n, sizeof(*rule), by_name);
}

/* Names were the file's until now. */
static void own_names(struct access_rules *r, const struct named_list *list, size_t bytes)
{
	for (size_t i = 0; i < list->n; i++) {
		const char **name = (const char **)(void *)((char *)list->at + i * bytes);

		*name = arena_strdup(&r->arena, *name);
	}
}

int access_compile(const struct conf_node *acl, const struct conf_node *access_rules,
	const struct conf_node *shaper, const struct conf_node *shaper_rules, struct conf_errors *e,
	struct access_rules **out)
{
	struct access_rules *r = xcalloc(1, sizeof(*r));
	struct compiling c = { r, e };
	unsigned before = conf_errors_count(e);

	arena_init(&r->arena, NULL, 0);
	compile_acls(&c, acl);
	compile_shapers(&c, shaper);
	compile_rules(&c, access_rules, "access_rules", &rights, &r->access);
	compile_rules(&c, shaper_rules, "shaper_rules", &limits, &r->shaper_rules);
	own_names(r, &r->acls, sizeof(struct acl));
	own_names(r, &r->shapers, sizeof(struct shaper));
	own_names(r, &r->access, sizeof(struct rule));
	own_names(r, &r->shaper_rules, sizeof(struct rule));
	*out = r;
	return conf_errors_count(e) != before ? CONF_BAD : 0;
}

void access_free(struct access_rules *r)
{
	if (!r)
		return;
	arena_fini(&r->arena);
	free(r);
}

static void free_later(struct rcu_head *head)
{
	access_free(container_of(head, struct access_rules, rcu));
}

void access_publish(struct access_rules *r)
{
	struct access_rules *old = rcu_swap(published, r);

	if (old)
		rcu_later(&old->rcu, free_later);
}

/* ---- Names that other settings use. */

bool access_has_rule(const struct access_rules *r, const char *rule)
{
	return !strcmp(rule, "all") || !strcmp(rule, "none") ||
		find(&r->access, rule, sizeof(struct rule));
}

bool access_has_shaper(const struct access_rules *r, const char *name)
{
	return means_no_limit(name) || find(&r->shaper_rules, name, sizeof(struct rule)) ||
		find(&r->shapers, name, sizeof(struct shaper));
}

struct checking {
	const struct access_rules *r;
	struct conf_errors *e;
};

static void check_name(enum conf_type type, const char *name, const struct conf_node *at, void *arg)
{
	struct conf_guess guess = { .given = name };
	struct checking *c = arg;

	if (type == CONF_ACCESS) {
		if (access_has_rule(c->r, name))
			return;
		conf_guess(&guess, "all");
		conf_guess(&guess, "none");
		offer_names(&guess, &c->r->access, sizeof(struct rule));
		conf_fail_guess(
			c->e, at, &guess, "expected a name of access_rules, found \"%s\"", name);
	} else if (!access_has_shaper(c->r, name)) {
		conf_guess(&guess, "none");
		offer_names(&guess, &c->r->shaper_rules, sizeof(struct rule));
		offer_names(&guess, &c->r->shapers, sizeof(struct shaper));
		conf_fail_guess(c->e, at, &guess,
			"expected a name of shaper or shaper_rules, found \"%s\"", name);
	}
}

void access_check_names(const struct access_rules *r, struct conf_errors *e)
{
	struct checking c = { r, e };

	conf_names_each(e, check_name, &c);
	conf_names_forget(e);
}

/* ---- Questions. */

static bool matches_text(const struct condition *k, const char *text)
{
	return k->first_pattern ? pattern_matches(k->first_pattern, text)
				: k->first && !strcmp(k->first, text);
}

/* Without a domain of its own a condition is about accounts of ours. */
static bool matches_domain(const struct condition *k, const char *domain, const char *host)
{
	if (k->domain_pattern)
		return pattern_matches(k->domain_pattern, domain);
	if (k->domain)
		return !strcmp(k->domain, domain);
	return (host && !strcmp(host, domain)) || route_host(domain);
}

static bool in_network(const struct conf_prefix *network, const struct conf_prefix *address)
{
	unsigned bytes = network->bits / 8, bits = network->bits % 8;

	if (address->bits < network->bits || memcmp(network->bytes, address->bytes, bytes))
		return false;
	return !bits || !((network->bytes[bytes] ^ address->bytes[bytes]) >> (8 - bits));
}

static bool condition_matches(
	const struct condition *k, const char *host, const struct access_subject *who)
{
	const struct jid *jid = who->jid;

	switch (k->part) {
	case OF_ALL:
		return true;
	case OF_ADDRESS:
		return who->address && in_network(&k->prefix, who->address);
	case OF_USER:
	case OF_NODE:
		return jid && jid->local_len && matches_text(k, jid_local(jid)) &&
			matches_domain(k, jid_domain(jid), host);
	case OF_SERVER:
		return jid && matches_text(k, jid_domain(jid));
	case OF_RESOURCE:
		return jid && jid->resource_len && matches_text(k, jid_resource(jid));
	default:
		return false;
	}
}

static bool one_acl_matches(
	const struct acl *acl, const char *host, const struct access_subject *who)
{
	for (unsigned i = 0; i < acl->n; i++)
		if (condition_matches(&acl->conditions[i], host, who))
			return true;
	return false;
}

static const struct entry *first_match(
	const struct rule *rule, const char *host, const struct access_subject *who)
{
	for (unsigned i = 0; rule && i < rule->n; i++) {
		const struct entry *entry = &rule->entries[i];
		unsigned matching = 0;

		while (matching < entry->n && one_acl_matches(entry->all[matching], host, who))
			matching++;
		if (matching == entry->n)
			return entry;
	}
	return NULL;
}

static void unknown_name(const char *what, const char *name)
{
	static struct log_seldom seldom;
	uint32_t left_out;

	if (log_seldom(&seldom, &left_out))
		log_warning("access", what, L_STR("name", name), L_INT("left_out", left_out));
}

bool access_allowed(const char *rule, const char *host, const struct access_subject *who)
{
	const struct access_rules *r = rcu_get(published);
	const struct rule *found;
	const struct entry *entry;

	if (!strcmp(rule, "all"))
		return true;
	if (!strcmp(rule, "none"))
		return false;
	found = r ? find(&r->access, rule, sizeof(*found)) : NULL;
	if (!found)
		unknown_name("there is no such access rule", rule);
	entry = first_match(found, host, who);
	return entry && entry->number;
}

bool acl_matches(const char *acl, const char *host, const struct access_subject *who)
{
	const struct access_rules *r = rcu_get(published);
	const struct acl *found = r ? find(&r->acls, acl, sizeof(*found)) : NULL;

	if (found)
		return one_acl_matches(found, host, who);
	return !strcmp(acl, "all");
}

struct shaper_rate shaper_rate_for(
	const char *name, const char *host, const struct access_subject *who)
{
	const struct access_rules *r = rcu_get(published);
	const struct rule *rule = r ? find(&r->shaper_rules, name, sizeof(*rule)) : NULL;
	const struct entry *entry = first_match(rule, host, who);
	const struct shaper *shaper = entry ? entry->shaper
		: r && !rule                ? find(&r->shapers, name, sizeof(*shaper))
					    : NULL;

	if (shaper)
		return shaper->rate;
	if (!rule && !means_no_limit(name))
		unknown_name("there is no such shaper", name);
	if (!entry || entry->number == INT64_MAX)
		return (struct shaper_rate){ 0 };
	return (struct shaper_rate){ entry->number, entry->number };
}

int64_t access_number_for(
	const char *rule, const char *host, const struct access_subject *who, int64_t otherwise)
{
	const struct access_rules *r = rcu_get(published);
	const struct rule *found = r ? find(&r->shaper_rules, rule, sizeof(*found)) : NULL;
	const struct entry *entry = first_match(found, host, who);

	return entry && !entry->shaper ? entry->number : otherwise;
}
