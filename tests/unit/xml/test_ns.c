/* Known names: equal texts give the same pointer, everything else gives none. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/attr.h"
#include "xml/ns.h"

#define ROW(name, text) { name, text },
static const struct {
	const char *pointer, *text;
} rows[] = { NS_LIST(ROW) NAME_LIST(ROW) };

Test(ns, finds_every_name_by_its_text)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char copy[80];

		strcpy(copy, rows[i].text);
		cr_expect_str_eq(rows[i].pointer, rows[i].text);
		cr_expect_eq(name_known(copy, (unsigned)strlen(copy)), rows[i].pointer, "%s", copy);
	}
}

Test(ns, finds_nothing_else)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char other[80];
		size_t len = strlen(rows[i].text);
		const char *found;

		strcpy(other, rows[i].text);
		other[len - 1] ^= 0x40; /* the same length, another end */
		cr_expect_null(name_known(other, (unsigned)len), "%s", other);
		other[len - 1] ^= 0x40;
		other[0] ^= 0x40;
		cr_expect_null(name_known(other, (unsigned)len), "%s", other);
		other[0] ^= 0x40;
		found = name_known(other, (unsigned)len - 1); /* shorter: perhaps another name */
		cr_expect(!found || strlen(found) == len - 1);
	}
	cr_expect_null(name_known("", 0));
}
