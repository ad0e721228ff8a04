/* Filters for a directory, made of settings and names: RFC 4515. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/mem.h"
#include "modules/ldap.h"

static const struct {
	const char *what, *template, *user, *expected;
} fills[] = {
	{ "a name", "(uid=%u)", "romeo", "(uid=romeo)" },
	{ "with its host", "(mail=%u@%d)", "romeo", "(mail=romeo@example.org)" },
	{ "with its entry", "(&(member=%D)(memberUid=%u))", "romeo",
		"(&(member=cn=Romeo \\28R\\29,dc=example)(memberUid=romeo))" },
	{ "§3: a star", "(uid=%u)", "*", "(uid=\\2a)" },
	{ "§3: brackets", "(uid=%u)", "a)(uid=b", "(uid=a\\29\\28uid=b)" },
	{ "§3: a backslash", "(uid=%u)", "\\2a", "(uid=\\5c2a)" },
	{ "§3: what is no character", "(uid=%u)", "a\001b", "(uid=a\\01b)" },
	{ "UTF-8 stays as it is", "(uid=%u)", "j\xc3\xbcrgen", "(uid=j\xc3\xbcrgen)" },
	{ "what a name holds is not looked at again", "(uid=%u)", "%d", "(uid=%d)" },
	{ "other letters stay", "(uid=%s%)", "romeo", "(uid=%s%)" },
};

Test(ldap_filter, names_are_filled_in)
{
	for (size_t i = 0; i < ARRAY_LEN(fills); i++) {
		const struct ldap_names names = { fills[i].user, "example.org",
			"cn=Romeo (R),dc=example" };
		AUTO(free_ptr) char *filter = ldap_fill(fills[i].template, &names);

		cr_expect_str_eq(filter, fills[i].expected, "%s: %s", fills[i].what, filter);
	}
}

static const struct ldap_uid one[] = { { "uid", "%u" } };
static const struct ldap_uid two[] = { { "uid", "%u" }, { "mail", "%u@mail.%d" } };
static const struct {
	const struct ldap_uid *uids;
	size_t n;
	const char *filter, *user, *expected;
} users[] = {
	{ one, 1, NULL, "romeo", "(uid=romeo)" },
	{ one, 1, NULL, NULL, "(uid=*)" },
	{ one, 1, "(a=b)", "romeo", "(&(uid=romeo)(a=b))" },
	{ two, 2, NULL, "romeo", "(|(uid=romeo)(mail=romeo@mail.example.org))" },
	{ two, 2, "(a=b)", "*", "(&(|(uid=\\2a)(mail=\\2a@mail.example.org))(a=b))" },
	{ two, 2, "(a=b)", NULL, "(&(|(uid=*)(mail=*@mail.example.org))(a=b))" },
};

Test(ldap_filter, of_users)
{
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		const struct ldap_conf conf = { .filter = users[i].filter,
			.uids = { (void *)(uintptr_t)users[i].uids, users[i].n } };
		AUTO(free_ptr) char *filter = ldap_user_filter(&conf, users[i].user, "example.org");

		cr_expect_str_eq(filter, users[i].expected, "%s", filter);
	}
}

static const struct {
	const char *pattern, *value, *expected; /* NULL: names nobody */
} values[] = {
	{ "%u", "romeo", "romeo" },
	{ "%u", "", NULL },
	{ "%u@%d", "romeo@example.org", "romeo" },
	{ "%u@%d", "Romeo@Example.ORG", "Romeo" },
	{ "%u@%d", "romeo@example.net", NULL },
	{ "%u@%d", "@example.org", NULL },
	{ "x-%u", "x-romeo", "romeo" },
	{ "x-%u", "y-romeo", NULL },
	{ "%d/%u", "example.org/romeo", "romeo" },
};

Test(ldap_filter, who_a_value_names)
{
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const struct ldap_uid uid = { "uid", values[i].pattern };
		AUTO(free_ptr) char *user = ldap_user_of(&uid, values[i].value, "example.org");

		if (values[i].expected)
			cr_expect_str_eq(user, values[i].expected, "%s", values[i].value);
		else
			cr_expect_null(user, "%s names %s", values[i].value, user);
	}
}
