/* Which rule of a privacy list comes first, and what it says: XEP-0016 §2.1, XEP-0191 §6. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "router/contacts.h"
#include "router/privacy.h"

static struct jid *jid(const char *text)
{
	struct jid *j;

	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK, "%s", text);
	return j;
}

static void add(struct privacy *p, int64_t order, bool deny, unsigned kinds, const char *address)
{
	struct privacy_rule r = { .order = order, .deny = deny, .kinds = kinds };
	struct jid *j = address ? jid(address) : NULL;

	r.jid = j;
	r.about = j ? PRIVACY_JID : PRIVACY_ANYBODY;
	privacy_add_rule(p, &r);
	jid_free(j);
}

static struct privacy *one_list(void)
{
	struct privacy *p = privacy_new();

	privacy_add_list(p, 10, 1, "list", true);
	return p;
}

static bool denies(const struct privacy *p, const char *peer, unsigned kinds)
{
	struct jid *j = jid(peer);
	bool denied = privacy_denies(&p->lists[0], NULL, j, kinds);

	jid_free(j);
	return denied;
}

static void drop(struct privacy *p)
{
	p->part.free(&p->part);
}

static const struct {
	const char *rule, *peer;
	bool fits;
} addresses[] = {
	/* user@domain/resource: only that resource */
	{ "romeo@a.example/orchard", "romeo@a.example/orchard", true },
	{ "romeo@a.example/orchard", "romeo@a.example/garden", false },
	{ "romeo@a.example/orchard", "romeo@a.example", false },
	{ "romeo@a.example/orchard", "a.example/orchard", false },
	/* user@domain: any resource */
	{ "romeo@a.example", "romeo@a.example", true },
	{ "romeo@a.example", "romeo@a.example/orchard", true },
	{ "romeo@a.example", "romeo@b.example/orchard", false },
	{ "romeo@a.example", "nurse@a.example/orchard", false },
	{ "romeo@a.example", "a.example", false },
	/* domain/resource: only that resource, of the domain or anybody there */
	{ "a.example/orchard", "a.example/orchard", true },
	{ "a.example/orchard", "a.example/garden", false },
	{ "a.example/orchard", "a.example", false },
	/* domain: the domain itself, any user@domain and any domain/resource */
	{ "a.example", "a.example", true },
	{ "a.example", "a.example/orchard", true },
	{ "a.example", "romeo@a.example", true },
	{ "a.example", "romeo@a.example/orchard", true },
	{ "a.example", "romeo@sub.a.example", false },
	/* prepared as addresses are */
	{ "Romeo@A.Example", "romeo@a.example/orchard", true },
};

Test(privacy, addresses)
{
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct privacy *p = one_list();

		add(p, 1, true, 0, addresses[i].rule);
		privacy_end(p);
		cr_expect_eq(denies(p, addresses[i].peer, PRIVACY_MESSAGE), addresses[i].fits,
			"XEP-0191 §6: %s, %s", addresses[i].rule, addresses[i].peer);
		drop(p);
	}
}

static const unsigned kinds[] = { PRIVACY_MESSAGE, PRIVACY_IQ, PRIVACY_PRESENCE_IN,
	PRIVACY_PRESENCE_OUT, 0 /* other stanzas, out and subscriptions */ };

Test(privacy, kinds)
{
	for (unsigned set = 0; set < 16; set++) {
		struct privacy *p = one_list();

		add(p, 1, true, set, "a.example");
		privacy_end(p);
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			cr_expect_eq(denies(p, "romeo@a.example", kinds[i]), !set || set & kinds[i],
				"XEP-0016 §2.9 to §2.13: rule about %x, stanza %x", set, kinds[i]);
		drop(p);
	}
}

Test(privacy, lowest_order_that_fits_decides)
{
	struct privacy *p = one_list();

	/* Added in no order; positions may be far apart and below 0. */
	add(p, 7, true, 0, NULL);
	add(p, 3, true, PRIVACY_MESSAGE, "romeo@a.example");
	add(p, -2, true, 0, "iago@a.example");
	add(p, 5, false, 0, "a.example");
	add(p, 4, false, 0, "romeo@a.example/orchard");
	add(p, 1000000, false, 0, "b.example");
	privacy_end(p);
	cr_expect(denies(p, "iago@a.example/x", 0), "before the domain's");
	cr_expect(denies(p, "romeo@a.example/orchard", PRIVACY_MESSAGE), "3 before 4");
	cr_expect_not(denies(p, "romeo@a.example/orchard", PRIVACY_IQ), "3 is about messages");
	cr_expect_not(denies(p, "nurse@a.example", PRIVACY_MESSAGE));
	cr_expect(denies(p, "nurse@c.example", PRIVACY_MESSAGE), "whoever else");
	cr_expect(denies(p, "nurse@b.example", PRIVACY_MESSAGE), "7 before 1000000");
	drop(p);
}

Test(privacy, nothing_fits)
{
	struct privacy *p = one_list();

	privacy_end(p);
	cr_expect_not(denies(p, "a.example", 0), "XEP-0016 §2.1: what no rule denies is allowed");
	drop(p);
}

Test(privacy, long_lists)
{
	struct privacy *p = one_list();
	char address[64];

	for (int i = 0; i < 3000; i++) {
		snprintf(address, sizeof(address), "x%d@a.example", i);
		add(p, i, true, 0, address);
	}
	privacy_end(p);
	for (int i = 0; i < 3200; i++) {
		snprintf(address, sizeof(address), "x%d@a.example/r", i);
		cr_assert_eq(denies(p, address, PRIVACY_MESSAGE), i < 3000, "%s", address);
	}
	drop(p);
}

Test(privacy, the_list_that_holds)
{
	struct privacy *p = privacy_new();

	cr_expect_null(privacy_list_of(p, 0));
	privacy_add_list(p, 10, 1, "one", false);
	privacy_add_list(p, 11, 4, "two", true);
	privacy_end(p);
	cr_expect_str_eq(privacy_list_of(p, 0)->name, "two", "XEP-0016 §2.1: the default list");
	cr_expect_str_eq(privacy_list_of(p, 1)->name, "one", "the active one alone");
	cr_expect_str_eq(privacy_list_of(p, 9)->name, "two", "one that is gone");
	cr_expect_eq(privacy_find(p, "one"), &p->lists[0]);
	cr_expect_null(privacy_find(p, "three"));
	drop(p);
}

/* An account with contacts, as its snapshot has them. */
static const char *const friends[] = { "Friends" };

static void fill(struct contact_set_builder *b)
{
	static const struct {
		const char *who;
		unsigned bits, groups;
	} contacts[] = {
		{ "both@a.example", CONTACT_BOTH | CONTACT_LISTED, 1 },
		{ "to@a.example", CONTACT_TO | CONTACT_LISTED, 0 },
		{ "from@a.example", CONTACT_FROM | CONTACT_LISTED, 0 },
		{ "none@a.example", CONTACT_PENDING_OUT | CONTACT_LISTED, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(contacts); i++) {
		struct jid *j = jid(contacts[i].who);

		contact_set_add(b, j, contacts[i].bits, friends, contacts[i].groups);
		jid_free(j);
	}
}

static int load_contacts(struct contacts_source *s UNUSED, struct host *h UNUSED,
	const struct jid *bare UNUSED, struct contacts_loading *into)
{
	struct contact_set_builder *b = contact_set_begin();

	fill(b);
	into->own = contact_set_end(b);
	return 0;
}

static const struct {
	enum privacy_about about;
	unsigned subscription;
	const char *group;
	bool both, to, from, none, stranger;
} roster_rules[] = {
	{ PRIVACY_GROUP, 0, "Friends", true, false, false, false, false },
	{ PRIVACY_GROUP, 0, "friends", false, false, false, false, false },
	{ PRIVACY_SUBSCRIPTION, CONTACT_BOTH, NULL, true, false, false, false, false },
	{ PRIVACY_SUBSCRIPTION, CONTACT_TO, NULL, false, true, false, false, false },
	{ PRIVACY_SUBSCRIPTION, CONTACT_FROM, NULL, false, false, true, false, false },
	{ PRIVACY_SUBSCRIPTION, 0, NULL, false, false, false, true, true },
};

Test(privacy, groups_and_subscriptions)
{
	struct contacts_source source = { .load = load_contacts };
	struct account_part *part = NULL;
	struct account account = { .refs = 1 };

	atomic_store(&contacts_kind.place, 1);
	cr_assert_eq(contacts_kind.load(&source, NULL, NULL, &part), 0);
	account.parts[0] = part;
	for (size_t i = 0; i < ARRAY_LEN(roster_rules); i++) {
		struct privacy *p = one_list();
		struct privacy_rule r = { .order = 1,
			.deny = true,
			.about = roster_rules[i].about,
			.group = roster_rules[i].group,
			.subscription = roster_rules[i].subscription };
		const struct {
			const char *who;
			bool denied;
		} peers[] = { { "both@a.example/r", roster_rules[i].both },
			{ "to@a.example", roster_rules[i].to },
			{ "from@a.example", roster_rules[i].from },
			{ "none@a.example", roster_rules[i].none },
			{ "stranger@a.example", roster_rules[i].stranger } };

		privacy_add_rule(p, &r);
		privacy_end(p);
		for (size_t k = 0; k < ARRAY_LEN(peers); k++) {
			struct jid *j = jid(peers[k].who);

			cr_expect_eq(privacy_denies(&p->lists[0], &account, j, PRIVACY_MESSAGE),
				peers[k].denied, "XEP-0016 §2.1: rule %zu, %s", i, peers[k].who);
			jid_free(j);
		}
		drop(p);
	}
	part->free(part);
}
