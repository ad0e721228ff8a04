/* Addresses: RFC 7622 (XMPP), RFC 8264/8265 (PRECIS), RFC 5892 appendix A (context), RFC 5893. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "xml/conf_jid.h"
#include "xml/jid.h"
#include "xml/precis.h"

static struct jid *parsed(const char *text)
{
	struct jid *j = NULL;
	int error = jid_parse(text, strlen(text), NULL, &j);

	cr_assert_eq(error, JID_OK, "%s: %s", text, jid_error_text(error));
	return j;
}

static const struct {
	const char *section, *text, *local, *domain, *resource;
} good[] = {
	/* RFC 7622 §3.5, table 1 */
	{ "3.5 1", "juliet@example.com", "juliet", "example.com", "" },
	{ "3.5 2", "juliet@example.com/foo", "juliet", "example.com", "foo" },
	{ "3.5 3", "juliet@example.com/foo bar", "juliet", "example.com", "foo bar" },
	{ "3.5 4", "juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar" },
	{ "3.5 5", "foo\\20bar@example.com", "foo\\20bar", "example.com", "" },
	{ "3.5 6", "fussball@example.com", "fussball", "example.com", "" },
	{ "3.5 7", "fu\u00dfball@example.com", "fu\u00dfball", "example.com", "" },
	{ "3.5 8", "\u03c0@example.com", "\u03c0", "example.com", "" },
	{ "3.5 9", "\u03a3@example.com/foo", "\u03c3", "example.com", "foo" },
	{ "3.5 10", "\u03c3@example.com/foo", "\u03c3", "example.com", "foo" },
	{ "3.5 11", "\u03c2@example.com/foo", "\u03c2", "example.com", "foo" },
	{ "3.5 12", "king@example.com/\u265a", "king", "example.com", "\u265a" },
	{ "3.5 13", "example.com", "", "example.com", "" },
	{ "3.5 14", "example.com/foobar", "", "example.com", "foobar" },
	{ "3.5 15", "a.example.com/b@example.net", "", "a.example.com", "b@example.net" },
	{ "erratum 4560", "juliet@example.com/ foo", "juliet", "example.com", " foo" },
	/* splitting */
	{ "3.1", "a@b/c/d@e", "a", "b", "c/d@e" },
	{ "3.1", "a@b//", "a", "b", "/" },
	/* domain */
	{ "3.2", "EXAMPLE.Com.", "", "example.com", "" },
	{ "3.2.1", "xn--bcher-kva.example", "", "b\u00fccher.example", "" },
	{ "3.2.1", "B\u00dcCHER.example", "", "b\u00fccher.example", "" },
	{ "3.2.1", "bu\u0308cher.example", "", "b\u00fccher.example", "" }, /* NFC */
	{ "3.2.2", "\uff45\uff58ample\u3002com", "", "example.com", "" }, /* width, full stop */
	{ "3.2.2", "example.com\u3002", "", "example.com", "" },
	{ "3.2", "127.0.0.1", "", "127.0.0.1", "" },
	{ "3.2", "u@[::1]/r", "u", "[::1]", "r" },
	{ "3.2", "[2001:DB8:0:0::A]", "", "[2001:db8::a]", "" },
	/* local part: width, case, NFC */
	{ "8265 3.3.2 1", "\uff2a\uff55liet@a", "juliet", "a", "" },
	{ "8265 3.3.2 3", "JULI\u00c9T@a", "juli\u00e9t", "a", "" },
	{ "8265 3.3.2 4", "e\u0301@a", "\u00e9", "a", "" },
	{ "8265 3.3.2 5", "\u05d0\u05d1@a", "\u05d0\u05d1", "a", "" },
	{ "8264 9.11", "!#$%()*+,-.;=?[]^_`{|}~\\@a", "!#$%()*+,-.;=?[]^_`{|}~\\", "a", "" },
	/* resource: spaces, NFC; neither width nor case */
	{ "8265 4.2.1", "a@b/x\u3000y\u00a0z", "a", "b", "x y z" },
	{ "8265 4.2.1", "a@b/e\u0301", "a", "b", "\u00e9" },
	{ "8265 4.2.1", "a@b/\uff21B", "a", "b", "\uff21B" },
	{ "8265 4.3", "a@b/\u05d0 1 a", "a", "b", "\u05d0 1 a" }, /* no Bidi rule */
	/* context */
	{ "5892 A.1", "\u0915\u094d\u200c\u0937@a", "\u0915\u094d\u200c\u0937", "a", "" },
	{ "5892 A.1", "\u0628\u200c\u0628@a", "\u0628\u200c\u0628", "a", "" },
	{ "5892 A.2", "\u0915\u094d\u200d\u0937@a", "\u0915\u094d\u200d\u0937", "a", "" },
	{ "5892 A.3", "al\u00b7la@a", "al\u00b7la", "a", "" },
	{ "5892 A.4", "\u0375\u03b1@a", "\u0375\u03b1", "a", "" },
	{ "5892 A.5", "\u05d0\u05f3@a", "\u05d0\u05f3", "a", "" },
	{ "5892 A.7", "\u30ab\u30fb\u30ab@a", "\u30ab\u30fb\u30ab", "a", "" },
	{ "5892 A.8", "\u0628\u0661\u0662@a", "\u0628\u0661\u0662", "a", "" },
	/* exceptions of RFC 5892 §2.6 that are valid */
	{ "8264 9.6", "\u3007\u4e00@a", "\u3007\u4e00", "a", "" },
};

Test(jid, takes_and_prepares_what_is_allowed)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct jid *j = parsed(good[i].text), *again;
		char text[JID_TEXT_MAX];
		size_t len = jid_write(j, text);

		cr_expect_str_eq(jid_local(j), good[i].local, "§%s", good[i].section);
		cr_expect_str_eq(jid_domain(j), good[i].domain, "§%s", good[i].section);
		cr_expect_str_eq(jid_resource(j), good[i].resource, "§%s", good[i].section);
		cr_expect_eq(j->local_len, strlen(good[i].local));
		cr_expect_eq(j->domain_len, strlen(good[i].domain));
		cr_expect_eq(j->resource_len, strlen(good[i].resource));
		cr_expect_eq(len, strlen(text));
		again = parsed(text);
		cr_expect(jid_equal(j, again), "§%s: preparing again changed it", good[i].section);
		jid_free(j);
		jid_free(again);
	}
}

static const struct {
	const char *section, *text;
	enum jid_error want;
} bad[] = {
	/* RFC 7622 §3.5, table 2 (16 to 23, but 18: erratum 4560) */
	{ "3.5 16", "\"juliet\"@example.com", JID_BAD_LOCAL },
	{ "3.5 17", "foo bar@example.com", JID_BAD_LOCAL },
	{ "3.5 19", "@example.com/", JID_BAD_LOCAL },
	{ "3.5 20", "henry\u2163@example.com", JID_BAD_LOCAL },
	{ "3.5 21", "\u265a@example.com", JID_BAD_LOCAL },
	{ "3.5 22", "juliet@", JID_BAD_DOMAIN },
	{ "3.5 23", "/foobar", JID_BAD_DOMAIN },
	{ "3.1", "", JID_BAD_DOMAIN },
	{ "3.1", "@", JID_BAD_LOCAL },
	{ "3.1", "example.com/", JID_BAD_RESOURCE },
	/* excluded characters, also those that a mapping brings */
	{ "3.3.1", "a\"b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a&b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a'b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a:b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a<b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a>b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a\uff20b@c", JID_BAD_LOCAL },
	{ "3.3.1", "a\uff0fb@c", JID_BAD_LOCAL },
	/* domain */
	{ "3.2", "a@b@c", JID_BAD_DOMAIN },
	{ "3.2", ".", JID_BAD_DOMAIN },
	{ "3.2", "example..com", JID_BAD_DOMAIN },
	{ "3.2", ".example.com", JID_BAD_DOMAIN },
	{ "3.2", "-example.com", JID_BAD_DOMAIN },
	{ "3.2", "example-.com", JID_BAD_DOMAIN },
	{ "3.2", "exam_ple.com", JID_BAD_DOMAIN },
	{ "3.2", "exam ple.com", JID_BAD_DOMAIN },
	{ "3.2", "aa--bb.com", JID_BAD_DOMAIN },
	{ "3.2", "xn--a.com", JID_BAD_DOMAIN },
	{ "3.2", "\u265a.example", JID_BAD_DOMAIN },
	{ "3.2", "[::1", JID_BAD_DOMAIN },
	{ "3.2", "[::g]", JID_BAD_DOMAIN },
	{ "3.2", "[127.0.0.1]", JID_BAD_DOMAIN },
	{ "3.2", "::1", JID_BAD_DOMAIN },
	{ "3.2", "[]", JID_BAD_DOMAIN },
	/* code points */
	{ "8264 9.10", "a\u0378b@c", JID_BAD_LOCAL }, /* unassigned */
	{ "8264 9.10", "a@b/\u0378", JID_BAD_RESOURCE },
	{ "8264 9.13", "a@b/\ufffe", JID_BAD_RESOURCE }, /* noncharacter */
	{ "8264 9.13", "a@b/x\u00ad", JID_BAD_RESOURCE }, /* SOFT HYPHEN is ignorable */
	{ "8264 9.12", "a@b/x\ty", JID_BAD_RESOURCE }, /* control */
	{ "8264 9.12", "a@b/\x7f", JID_BAD_RESOURCE },
	{ "8264 9.9", "a@b/\u1100", JID_BAD_RESOURCE }, /* old Hangul jamo */
	{ "8264 9.17", "\ufb01@a", JID_BAD_LOCAL }, /* ligature: compatibility */
	{ "8264 9.18", "\u01c5\u0488@a", JID_BAD_LOCAL },
	{ "8264 9.6", "\u0640@a", JID_BAD_LOCAL },
	{ "8264 9.6", "a@b/\u302e", JID_BAD_RESOURCE },
	{ "8264 9.16", "a\u2014b@c", JID_BAD_LOCAL },
	{ "8264 9.15", "a\u20acb@c", JID_BAD_LOCAL },
	{ "8264 9.14", "a\u3000b@c", JID_BAD_LOCAL },
	/* context */
	{ "5892 A.1", "a\u200cb@c", JID_BAD_LOCAL },
	{ "5892 A.1", "\u0628\u200c@c", JID_BAD_LOCAL },
	{ "5892 A.2", "a\u200db@c", JID_BAD_LOCAL },
	{ "5892 A.3", "a\u00b7l@c", JID_BAD_LOCAL },
	{ "5892 A.3", "l\u00b7@c", JID_BAD_LOCAL },
	{ "5892 A.4", "\u03b1\u0375@c", JID_BAD_LOCAL },
	{ "5892 A.5", "\u05f3\u05d0@c", JID_BAD_LOCAL },
	{ "5892 A.6", "a\u05f4@c", JID_BAD_LOCAL },
	{ "5892 A.7", "a\u30fbb@c", JID_BAD_LOCAL },
	{ "5892 A.8", "\u0628\u0661\u06f1@c", JID_BAD_LOCAL },
	/* the Bidi rule */
	{ "5893 2.1", "1\u05d0@c", JID_BAD_LOCAL },
	{ "5893 2.2", "\u05d0a@c", JID_BAD_LOCAL },
	{ "5893 2.3", "\u05d0-@c", JID_BAD_LOCAL },
	{ "5893 2.4", "\u05d01\u0661@c", JID_BAD_LOCAL },
	{ "5893 2.5", "a\u05d0@c", JID_BAD_LOCAL },
	/* RFC 3629: not UTF-8 */
	{ "3629 3", "\xff@c", JID_BAD_LOCAL },
	{ "3629 3", "\xc3@c", JID_BAD_LOCAL },
	{ "3629 3", "a@\xc0\xaf", JID_BAD_DOMAIN },
	{ "3629 3", "a@b/\xed\xa0\x80", JID_BAD_RESOURCE },
	{ "3629 3", "a@b/\xf4\x90\x80\x80", JID_BAD_RESOURCE },
};

Test(jid, refuses_what_is_not)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct jid *j = NULL;
		int error = jid_parse(bad[i].text, strlen(bad[i].text), NULL, &j);

		cr_expect_eq(error, (int)bad[i].want, "§%s <%s>: %d", bad[i].section, bad[i].text,
			error);
		cr_expect_null(j, "§%s", bad[i].section);
		jid_free(j);
	}
}

Test(jid, refuses_a_nul)
{
	struct jid *j = NULL;

	cr_expect_eq(jid_parse("a\0b@c", 5, NULL, &j), JID_BAD_LOCAL);
	cr_expect_eq(jid_parse("a@b\0c", 5, NULL, &j), JID_BAD_DOMAIN);
	cr_expect_eq(jid_parse("a@b/c\0", 6, NULL, &j), JID_BAD_RESOURCE);
	cr_expect_eq(jid_parse("[::1\0]", 6, NULL, &j), JID_BAD_DOMAIN);
}

/* RFC 7622 §3.1: 1,023 bytes each, counted after preparation. */
Test(jid, bounds_each_part)
{
	char text[8 * JID_PART_MAX];
	char domain[JID_PART_MAX + 2];
	struct jid *j = NULL;

	for (size_t i = 0; i < sizeof(domain); i++)
		domain[i] = i % 64 == 63 ? '.' : 'a';
	domain[JID_PART_MAX] = 0;
	snprintf(text, sizeof(text), "%0*d@%s/%0*d", JID_PART_MAX, 0, domain, JID_PART_MAX, 0);
	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK);
	cr_expect_eq(j->local_len, JID_PART_MAX);
	cr_expect_eq(j->domain_len, JID_PART_MAX);
	cr_expect_eq(j->resource_len, JID_PART_MAX);
	cr_expect_eq(jid_write(j, text), JID_TEXT_MAX - 1);
	jid_free(j);

	snprintf(text, sizeof(text), "%0*d@a", JID_PART_MAX + 1, 0);
	cr_expect_eq(jid_parse(text, strlen(text), NULL, &j), JID_BAD_LOCAL);
	snprintf(text, sizeof(text), "a@b/%0*d", JID_PART_MAX + 1, 0);
	cr_expect_eq(jid_parse(text, strlen(text), NULL, &j), JID_BAD_RESOURCE);
	domain[JID_PART_MAX] = 'a';
	domain[JID_PART_MAX + 1] = 0;
	cr_expect_eq(jid_parse(domain, JID_PART_MAX + 1, NULL, &j), JID_BAD_DOMAIN);
	memset(text, 'a', 64);
	cr_expect_eq(jid_parse(text, 64, NULL, &j), JID_BAD_DOMAIN, "a label of 64");

	/* 1,023 full-width letters are 3,069 bytes as given and 1,023 prepared. */
	for (size_t i = 0; i < JID_PART_MAX; i++)
		memcpy(text + 3 * i, "\uff41", 3);
	memcpy(text + 3 * JID_PART_MAX, "@a", 3);
	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK);
	cr_expect_eq(j->local_len, JID_PART_MAX);
	jid_free(j);
	/* 512 letters of two bytes are too many, though only 512 characters. */
	for (size_t i = 0; i < 512; i++)
		memcpy(text + 2 * i, "\u00e4", 2);
	memcpy(text + 1024, "@a", 3);
	cr_expect_eq(jid_parse(text, strlen(text), NULL, &j), JID_BAD_LOCAL);
}

Test(jid, is_made_of_parts)
{
	struct jid *j, *other, *parsed_one = parsed("juliet@example.com/balcony");

	cr_assert_eq(jid_make("Juliet", "Example.com", "balcony", NULL, &j), JID_OK);
	cr_expect(jid_equal(j, parsed_one));
	jid_free(j);
	cr_assert_eq(jid_make("", "example.com", NULL, NULL, &j), JID_OK);
	cr_expect(jid_is_domain(j) && jid_is_bare(j) && !jid_is_full(j));
	jid_free(j);
	cr_expect_eq(jid_make("a b", "example.com", NULL, NULL, &j), JID_BAD_LOCAL);
	cr_expect_eq(jid_make("a", NULL, NULL, NULL, &j), JID_BAD_DOMAIN);
	/* Separators mean nothing inside a part that is given as such. */
	cr_expect_eq(jid_make("a@b", "c", NULL, NULL, &j), JID_BAD_LOCAL);
	cr_expect_eq(jid_make("a", "b/c", NULL, NULL, &j), JID_BAD_DOMAIN);

	j = jid_bare(parsed_one, NULL);
	cr_expect_str_eq(jid_resource(j), "");
	cr_expect(jid_equal_bare(j, parsed_one));
	cr_expect_not(jid_equal(j, parsed_one));
	cr_assert_eq(jid_with_resource(j, "balcony", NULL, &other), JID_OK);
	cr_expect(jid_equal(other, parsed_one));
	jid_free(other);
	cr_expect_eq(jid_with_resource(j, "", NULL, &other), JID_BAD_RESOURCE);
	cr_expect_eq(jid_with_resource(j, "a\tb", NULL, &other), JID_BAD_RESOURCE);
	jid_free(j);
	j = jid_of_domain(parsed_one, NULL);
	cr_expect_str_eq(jid_domain(j), "example.com");
	cr_expect(jid_is_domain(j));
	jid_free(j);
	j = jid_dup(parsed_one, NULL);
	cr_expect(jid_equal(j, parsed_one));
	jid_free(j);
	jid_free(parsed_one);
	jid_free(NULL);
}

Test(jid, equal_ones_hash_alike_and_parts_keep_apart)
{
	static const char *const texts[] = { "ab@c", "a@bc", "abc", "c/ab", "a@b/c", "a@b/d",
		"b@a/c" };
	struct jid *js[ARRAY_LEN(texts)], *a, *b;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		js[i] = parsed(texts[i]);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			cr_expect_eq(jid_equal(js[i], js[k]), i == k, "%s %s", texts[i], texts[k]);
	cr_expect(jid_equal_bare(js[4], js[5]));
	cr_expect_eq(js[4]->bare_hash, js[5]->bare_hash);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		jid_free(js[i]);

	a = parsed("JULIET@EXAMPLE.com/x");
	b = parsed("juliet@example.COM/x");
	cr_expect(jid_equal(a, b));
	cr_expect_eq(a->bare_hash, b->bare_hash);
	cr_expect_eq(a->full_hash, b->full_hash);
	jid_free(a);
	jid_free(b);
}

Test(jid, lives_in_an_arena)
{
	char memory[4096];
	struct arena a;
	struct jid *j;

	arena_init(&a, memory, sizeof(memory));
	cr_assert_eq(jid_parse("a@b/c", 5, &a, &j), JID_OK);
	cr_expect((char *)j >= memory && (char *)j < memory + sizeof(memory));
	cr_expect_str_eq(jid_text(j, &a), "a@b/c");
	arena_fini(&a);
}

/* RFC 8265 §4.2: OpaqueString is for passwords as well. */
Test(precis, keeps_passwords_apart_that_differ)
{
	char a[64], b[64];

	cr_expect_eq(precis_opaque("correct horse", 13, a, 63), 13);
	cr_expect_eq(precis_opaque("Correct Horse", 13, b, 63), 13);
	cr_expect_str_neq(a, b);
	cr_expect_eq(precis_opaque("\u03c0\u00df\u00e5", 6, a, 63), 6);
	cr_expect_eq(precis_opaque("", 0, a, 63), -1);
	cr_expect_eq(precis_opaque("abcd", 4, a, 3), -1);
	cr_expect_eq(precis_opaque("my\tcat", 6, a, 63), -1);
}

Test(conf_jid, puts_the_prepared_form_in_place)
{
	const char *domain = "EXAMPLE.org", *jid = "Admin@Example.org", *wrong = "a b";
	struct arena a;

	arena_init(&a, NULL, 0);
	cr_expect_null(conf_check_domain(&domain, &a));
	cr_expect_str_eq(domain, "example.org");
	cr_expect_null(conf_check_jid(&jid, &a));
	cr_expect_str_eq(jid, "admin@example.org");
	cr_expect_not_null(conf_check_domain(&wrong, &a));
	cr_expect_not_null(conf_check_jid(&wrong, &a));
	arena_fini(&a);
}
