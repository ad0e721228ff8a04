/* router/access.c - access rules in force: asked without lock or allocation. */
#include "core/log.h"
#include "router/access_rules.h"
#include "router/route.h"

static RCU_PTR(struct access_rules) published;

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
		find_name(&r->access, rule, sizeof(struct rule));
}

bool access_has_shaper(const struct access_rules *r, const char *name)
{
	return means_no_limit(name) || find_name(&r->shaper_rules, name, sizeof(struct rule)) ||
		find_name(&r->shapers, name, sizeof(struct shaper));
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
	found = r ? find_name(&r->access, rule, sizeof(*found)) : NULL;
	if (!found)
		unknown_name("there is no such access rule", rule);
	entry = first_match(found, host, who);
	return entry && entry->number;
}

bool acl_matches(const char *acl, const char *host, const struct access_subject *who)
{
	const struct access_rules *r = rcu_get(published);
	const struct acl *found = r ? find_name(&r->acls, acl, sizeof(*found)) : NULL;

	if (found)
		return one_acl_matches(found, host, who);
	return !strcmp(acl, "all");
}

bool access_knows_shaper(const char *name)
{
	const struct access_rules *r = rcu_get(published);

	return r && access_has_shaper(r, name);
}

struct shaper_rate shaper_rate_for(
	const char *name, const char *host, const struct access_subject *who)
{
	const struct access_rules *r = rcu_get(published);
	const struct rule *rule = r ? find_name(&r->shaper_rules, name, sizeof(*rule)) : NULL;
	const struct entry *entry = first_match(rule, host, who);
	const struct shaper *shaper = entry ? entry->shaper
		: r && !rule                ? find_name(&r->shapers, name, sizeof(*shaper))
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
	const struct rule *found = r ? find_name(&r->shaper_rules, rule, sizeof(*found)) : NULL;
	const struct entry *entry = first_match(found, host, who);

	return entry && !entry->shaper ? entry->number : otherwise;
}
