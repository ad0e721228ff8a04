/* Keys of server dialback: XEP-0185. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/dialback.h"

#define SECRET "s3cr3tf0rd14lb4ck"
#define KEY "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"

Test(dialback, the_example_of_the_specification)
{
	char key[DIALBACK_KEY_LEN + 1];

	dialback_set_secret(SECRET);
	dialback_key("xmpp.example.com", "example.org", "D60000229F", key);
	cr_expect_str_eq(key, KEY, "XEP-0185 §4");
}

static const struct {
	const char *what, *key, *receiving, *originating, *id;
	bool right;
} rows[] = {
	{ "its own", KEY, "xmpp.example.com", "example.org", "D60000229F", true },
	{ "of another stream", KEY, "xmpp.example.com", "example.org", "D60000229E", false },
	{ "of another receiver", KEY, "example.com", "example.org", "D60000229F", false },
	{ "of another sender", KEY, "xmpp.example.com", "example.net", "D60000229F", false },
	{ "the other way round", KEY, "example.org", "xmpp.example.com", "D60000229F", false },
	{ "none", "", "xmpp.example.com", "example.org", "D60000229F", false },
	{ "its beginning", "37c69b1c", "xmpp.example.com", "example.org", "D60000229F", false },
	{ "with something behind", KEY "0", "xmpp.example.com", "example.org", "D60000229F",
		false },
	{ "words moved between names", KEY, "xmpp.example.com example.org", "D60000229F", "",
		false },
};

Test(dialback, a_key_is_for_one_stream)
{
	dialback_set_secret(SECRET);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_eq(dialback_is_key(rows[i].key, rows[i].receiving, rows[i].originating,
				     rows[i].id),
			rows[i].right, "%s", rows[i].what);
}

Test(dialback, without_a_secret_it_is_a_random_one)
{
	char key[DIALBACK_KEY_LEN + 1];

	dialback_key("xmpp.example.com", "example.org", "D60000229F", key);
	cr_expect_str_neq(key, KEY);
	cr_expect(dialback_is_key(key, "xmpp.example.com", "example.org", "D60000229F"));
}
