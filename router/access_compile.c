/* router/access_compile.c - access rules are read from ejabberd's grammar:
 *   acl:          { name: { user: [..], server: .., ip: .., .. } }     any of its conditions
 *   access_rules: { name: [ {allow: acl}, {deny: [acl, {ip: ..}]}, .. ] }   the first that matches
 *   shaper:       { name: rate or {rate: .., burst_size: ..} }
 *   shaper_rules: { name: [ {5000: acl}, {shaper: acl}, 100 ] } */
#include "core/mem.h"
#include "router/access_rules.h"

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
			if (conf_node_kind(child) != CONF_MAPPING) {
				conf_fail(c->e, child, "expected a condition, such as user: admin");
				continue;
			}
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
	const struct acl *acl = find_name(&c->r->acls, guess.given, sizeof(struct acl));

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
	out->shaper = find_name(&c->r->shapers, text, sizeof(struct shaper));
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
