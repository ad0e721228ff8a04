/* tests/unit/xml/test_conf_jid.c - addresses in settings are prepared, RFC 7622. */
#include <criterion/criterion.h>
#include <string.h>

#include "xml/conf_jid.h"

static const struct {
	const char *(*check)(const void *value, struct arena *a);
	const char *given, *prepared; /* NULL: refused */
} rows[] = {
	{ conf_check_domain, "Example.ORG", "example.org" },
	{ conf_check_domain, "example.org.", "example.org" }, /* §3.2: the final dot */
	{ conf_check_domain, "user@example.org", NULL },
	{ conf_check_domain, "", NULL },
	{ conf_check_jid, "Admin@Example.ORG", "admin@example.org" },
	{ conf_check_jid, "admin@example.org/Phone", "admin@example.org/Phone" },
	{ conf_check_jid, "example.org", "example.org" },
	{ conf_check_jid, "a b@example.org", NULL },
	{ conf_check_jid, "@example.org", NULL },
};

Test(conf_jid, prepared_or_refused)
{
	struct arena a;

	arena_init(&a, NULL, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *field = rows[i].given;
		const char *wrong = rows[i].check(&field, &a);

		cr_expect_eq(wrong == NULL, rows[i].prepared != NULL, "%s", rows[i].given);
		if (rows[i].prepared)
			cr_expect_str_eq(field, rows[i].prepared);
	}
	arena_fini(&a);
}
