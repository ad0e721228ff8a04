/* Mistakes in settings as people read them: all at once, in order, with what comes near. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/conf_rows.h"

Test(conf_errors, errors_are_counted_beyond_those_kept)
{
	AUTO(free_ptr) char *text = xmalloc(1 << 16);
	AUTO(free_ptr) char *said = NULL;
	struct arena a;
	struct one one;
	size_t len = 0;

	for (unsigned i = 0; i < CONF_ERRORS_MAX + 50; i++)
		len += (size_t)sprintf(text + len, "unheard_of_%u: 1\n", i);
	arena_init(&a, NULL, 0);
	said = fill(one_rows, text, &one, &a);
	arena_fini(&a);
	cr_expect(strstr(said, "etc/t.yml:200:1: unknown option \"unheard_of_199\"\n"));
	cr_expect(strstr(said, "... and 50 more\n"));
}

Test(conf_errors, stand_in_the_order_of_the_file)
{
	static const char yaml[] = "a: 1\nb: {c: 2, d: 3}\n";
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("x.yml", yaml, strlen(yaml), e);
	const struct conf_node *b = conf_node_get(conf_root(f), "b");
	AUTO(free_ptr) char *said = NULL;

	conf_fail(e, conf_node_get(b, "d"), "third %d", 3);
	conf_fail(e, conf_node_get(conf_root(f), "a"), "first");
	conf_fail_key(e, conf_node_get(b, "c"), "second");
	conf_fail(e, NULL, "of no place");
	said = conf_errors_text(e);
	cr_expect_str_eq(said,
		"of no place\nx.yml:1:4: first\nx.yml:2:5: second\nx.yml:2:14: third 3\n", "%s",
		said);
	cr_expect_eq(conf_errors_count(e), 4);
	conf_file_free(f);
	conf_errors_free(e);
}

static const struct {
	const char *given, *candidate;
	bool near;
} guesses[] = {
	{ "prot", "port", true },
	{ "por", "port", true },
	{ "ports", "port", true },
	{ "PORT", "port", true },
	{ "starttls-required", "starttls_required", true },
	{ "start_tls_required", "starttls_required", true },
	{ "port", "ip", false },
	{ "xy", "ip", false },
	{ "access", "shaper", false },
	{ "", "ip", false },
};

Test(conf_errors, guesses)
{
	for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
		struct conf_guess g = { .given = guesses[i].given };

		conf_guess(&g, guesses[i].candidate);
		cr_expect_eq(g.best != NULL, guesses[i].near, "%s for %s", guesses[i].given,
			guesses[i].candidate);
	}
}

Test(conf_errors, the_nearest_guess_wins)
{
	struct conf_guess g = { .given = "pord" };
	char far_too_long[500];

	memset(far_too_long, 'x', sizeof(far_too_long) - 1);
	far_too_long[sizeof(far_too_long) - 1] = 0;
	conf_guess(&g, "cord");
	conf_guess(&g, "pord");
	conf_guess(&g, "port");
	conf_guess(&g, far_too_long);
	cr_expect_str_eq(g.best, "pord");
}

static const struct conf_hint hints[] = {
	{ "ldap_*|pam", "no directory" },
	{ "sql_type", "no choice" },
	{ NULL, NULL },
};
static const struct {
	const char *name, *text;
} hinted[] = {
	{ "ldap_port", "no directory" },
	{ "pam", "no directory" },
	{ "sql_type", "no choice" },
	{ "pam_service", NULL },
	{ "sql", NULL },
	{ "openldap_port", NULL },
	{ "", NULL },
};

Test(conf_errors, hints)
{
	for (size_t i = 0; i < ARRAY_LEN(hinted); i++) {
		const char *text = conf_hint(hints, hinted[i].name);

		cr_expect(text == hinted[i].text ||
				(text && hinted[i].text && !strcmp(text, hinted[i].text)),
			"%s: %s", hinted[i].name, text);
	}
	cr_expect_null(conf_hint(NULL, "any"));
}

Test(conf_errors, a_hint_stands_in_place_of_a_guess)
{
	static const char text[] = "sql_typo: 1\nsql_type: 1\n";
	static const struct conf_item rows[] = { { "sql_typ", CONF_INT, 0 }, { 0 } };
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("t.yml", text, strlen(text), e);
	AUTO(free_ptr) char *said = NULL;
	struct arena a;
	int64_t out;

	arena_init(&a, NULL, 0);
	conf_fill_parts(&(struct conf_part){ rows, &out, hints }, 1, conf_root(f), &a, e);
	said = conf_errors_text(e);
	cr_expect_str_eq(said,
		"t.yml:1:1: unknown option \"sql_typo\", did you mean \"sql_typ\"?\n"
		"t.yml:2:1: unknown option \"sql_type\": no choice\n",
		"%s", said);
	arena_fini(&a);
	conf_file_free(f);
	conf_errors_free(e);
}
