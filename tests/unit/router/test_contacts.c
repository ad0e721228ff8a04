/* Contacts as the stanza's way sees them: sets, shared groups, the walk, and what they cost. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/contacts.h"

#define TO ((unsigned)CONTACT_TO)
#define FROM ((unsigned)CONTACT_FROM)
#define LISTED ((unsigned)CONTACT_LISTED)

static struct jid *of(const char *text)
{
	struct jid *j;

	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK, "%s", text);
	return j;
}

static void add(struct contact_set_builder *b, const char *text, unsigned bits, const char *group)
{
	struct jid *j = of(text);

	contact_set_add(b, j, bits, &group, group != NULL);
	jid_free(j);
}

static unsigned find(const struct contact_set *s, const char *text)
{
	struct jid *j = of(text);
	unsigned bits = contact_set_find(s, j);

	jid_free(j);
	return bits;
}

static void begin(void)
{
	rcu_thread_begin();
}

static void end(void)
{
	rcu_wait_later();
	rcu_thread_end();
}
TestSuite(contacts, .init = begin, .fini = end);

/* --- sets ------------------------------------------------------------------------------------- */

Test(contacts, set_is_searched_by_bare_address)
{
	struct contact_set_builder *b = contact_set_begin();
	struct contact_set *s;
	char text[64];

	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "user%d@montague.example", i);
		add(b, text, i % 2 ? TO | LISTED : FROM | LISTED, NULL);
	}
	s = contact_set_end(b);
	cr_expect_eq(contact_set_count(s), 500);
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "user%d@montague.example/any", i);
		cr_expect_eq(find(s, text), i % 2 ? TO | LISTED : FROM | LISTED);
	}
	cr_expect_eq(find(s, "user500@montague.example"), 0);
	cr_expect_eq(find(s, "montague.example"), 0);
	contact_set_unref(s);
}

Test(contacts, set_with_and_without_one)
{
	struct jid *a = of("a@x"), *b = of("b@x");
	struct contact_set *none = contact_set_end(contact_set_begin());
	struct contact_set *one = contact_set_with(NULL, a, TO);
	struct contact_set *two = contact_set_with(one, b, FROM);
	struct contact_set *again = contact_set_with(two, b, FROM);
	struct contact_set *less = contact_set_without(again, a);

	cr_expect_eq(contact_set_count(again), 2, "nobody is in it twice");
	cr_expect_eq(contact_set_digest(again), contact_set_digest(two));
	cr_expect_neq(contact_set_digest(one), contact_set_digest(two));
	cr_expect_eq(contact_set_count(less), 1);
	cr_expect(jid_equal_bare(contact_set_at(less, 0), b));
	cr_expect_eq(contact_set_find(less, a), 0);
	cr_expect_eq(contact_set_find(none, a), 0);
	contact_set_unref(none);
	contact_set_unref(one);
	contact_set_unref(two);
	contact_set_unref(again);
	contact_set_unref(less);
	jid_free(a);
	jid_free(b);
}

Test(contacts, twenty_cost_little)
{
	struct contact_set_builder *b = contact_set_begin();
	struct contact_set *s;
	char text[64];

	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "contact%d@montague.example", i);
		add(b, text, TO | FROM | LISTED, i % 2 ? "Friends" : "Family");
	}
	s = contact_set_end(b);
	cr_expect_lt(contact_set_bytes(s), 1500u, "%zu bytes", contact_set_bytes(s));
	contact_set_unref(s);
}

/* --- an account's ----------------------------------------------------------------------------- */

/* What the roster module would load. */
static struct contact_set *own;
static struct contact_group *staff, *others;

static int load(struct contacts_source *s UNUSED, struct host *h UNUSED,
	const struct jid *bare UNUSED, struct contacts_loading *into)
{
	struct contact_set_builder *b = contact_set_begin();

	add(b, "both@x", TO | FROM | LISTED, "Friends");
	add(b, "to@x", TO | LISTED, NULL);
	add(b, "from@x", FROM | LISTED, NULL);
	add(b, "asks@x", CONTACT_PENDING_IN, NULL);
	own = into->own = contact_set_end(b);
	into->n_shared = 2;
	into->shared = xmalloc(2 * sizeof(*into->shared));
	into->shared[0] = (struct shared_contacts){ contact_group_ref(staff), TO | LISTED };
	into->shared[1] = (struct shared_contacts){ contact_group_ref(others), FROM };
	return 0;
}

static struct account *account_new(void)
{
	static struct contacts_source source = { .load = load };
	struct account *a = xcalloc(1, sizeof(*a));

	staff = contact_group_new("Staff");
	others = contact_group_new("Others");
	atomic_store(&contacts_kind.place, 1);
	cr_assert_eq(contacts_kind.load(&source, NULL, NULL, &a->parts[0]), 0);
	return a;
}

static void account_end(struct account *a)
{
	a->parts[0]->free(a->parts[0]);
	free(a);
	contact_group_unref(staff);
	contact_group_unref(others);
}

static unsigned state(const struct account *a, const char *text)
{
	struct jid *j = of(text);
	unsigned bits = contact_state(a, j);

	jid_free(j);
	return bits;
}

static bool in_group(const struct account *a, const char *text, const char *group)
{
	struct jid *j = of(text);
	bool in = contact_in_group(a, j, group);

	jid_free(j);
	return in;
}

static void set_group(struct contact_group *g, const char *one, const char *two)
{
	struct contact_set_builder *b = contact_set_begin();
	struct contact_set *s;

	add(b, one, CONTACT_SHARED, NULL);
	if (two)
		add(b, two, CONTACT_SHARED, NULL);
	s = contact_set_end(b);
	contact_group_set(g, s, s);
	contact_set_unref(s);
}

static unsigned walked(const struct account *a, unsigned bits)
{
	struct contacts_walk w;
	unsigned n = 0;

	for (contacts_begin(&w, a, bits); contacts_next(&w);)
		n++;
	return n;
}

Test(contacts, of_an_account)
{
	struct account *a = account_new();

	cr_expect_eq(state(a, "both@x/r"), TO | FROM | LISTED);
	cr_expect_eq(state(a, "nobody@x"), 0);
	cr_expect_eq(state(NULL, "both@x"), 0, "an account that is not known");
	cr_expect_eq(contacts_count(a), 3);
	cr_expect_eq(walked(a, TO), 2);
	cr_expect_eq(walked(a, FROM), 2);
	cr_expect_eq(walked(a, CONTACT_PENDING_IN), 1);
	cr_expect_eq(walked(NULL, FROM), 0);
	cr_expect(contacts_have(a, CONTACT_PENDING_IN));
	cr_expect_not(contacts_have(a, CONTACT_PENDING_OUT));
	cr_expect(in_group(a, "both@x", "Friends"));
	cr_expect_not(in_group(a, "both@x", "Family"));
	cr_expect_not(in_group(a, "to@x", "Friends"));
	account_end(a);
}

Test(contacts, of_shared_groups_come_and_go_for_all)
{
	struct account *a = account_new();

	set_group(staff, "boss@x", "both@x");
	set_group(others, "far@x", "boss@x");
	cr_expect_eq(state(a, "boss@x"), TO | FROM | LISTED | CONTACT_SHARED);
	cr_expect_eq(state(a, "far@x"), FROM | CONTACT_SHARED);
	cr_expect(in_group(a, "boss@x", "Staff"));
	cr_expect_not(in_group(a, "far@x", "Others"), "it is not listed");
	cr_expect_eq(walked(a, TO), 3, "who is in two sets comes once");
	cr_expect_eq(walked(a, FROM), 4);
	set_group(staff, "new@x", NULL);
	cr_expect_eq(state(a, "boss@x"), FROM | CONTACT_SHARED);
	cr_expect_eq(state(a, "new@x"), TO | LISTED | CONTACT_SHARED);
	account_end(a);
}

Test(contacts, held_members_stay_while_the_group_changes)
{
	struct account *a = account_new();
	struct shared_held *held;

	set_group(staff, "boss@x", NULL);
	cr_assert_eq(contacts_hold_shared(a, &held), 2);
	set_group(staff, "new@x", NULL);
	rcu_wait_later();
	cr_expect_eq(find(held[0].members, "boss@x"), CONTACT_SHARED);
	cr_expect_str_eq(contact_group_label(held[0].shared.group), "Staff");
	contacts_drop_shared(held, 2);
	cr_expect_eq(contacts_hold_shared(NULL, &held), 0);
	account_end(a);
}
