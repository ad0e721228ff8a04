/* Compiled catalogues: what is read, and what is refused. The format: GNU gettext's manual, "The
 * Format of GNU MO Files". */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/mo.h"

/* Two texts, little-endian: "" and "a" -> "bc". */
static const unsigned char small[] = { 0xde, 0x12, 0x04, 0x95, 0, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0,
	44, 0, 0, 0, /* header */
	60, 0, 0, 0, 60, 0, 0, 0, /* no hash table */
	0, 0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0, 61, 0, 0, 0, /* originals */
	1, 0, 0, 0, 63, 0, 0, 0, 2, 0, 0, 0, 65, 0, 0, 0, /* translations */
	0, 'a', 0, 'h', 0, 'b', 'c', 0 };

Test(mo, finds_what_is_there)
{
	struct mo m;

	cr_assert_eq(mo_read(small, sizeof(small), &m), 0);
	cr_expect_str_eq(mo_find(&m, "a"), "bc");
	cr_expect_str_eq(mo_find(&m, ""), "h");
	cr_expect_null(mo_find(&m, "b"));
	cr_expect_null(mo_find(&m, "aa"));
}

Test(mo, of_a_machine_with_the_other_byte_order)
{
	unsigned char other[sizeof(small)];
	struct mo m;

	memcpy(other, small, sizeof(small));
	for (size_t i = 0; i < 60; i += 4)
		for (size_t k = 0; k < 4; k++)
			other[i + k] = small[i + 3 - k];
	cr_assert_eq(mo_read(other, sizeof(other), &m), 0);
	cr_expect_str_eq(mo_find(&m, "a"), "bc");
}

static const struct {
	const char *what;
	size_t at;
	unsigned char byte;
} damages[] = {
	{ "magic", 0, 0xdf },
	{ "a later major revision", 6, 2 },
	{ "more texts than there is room for", 8, 200 },
	{ "so many that their size overflows", 11, 0x20 },
	{ "originals behind the end", 12, 250 },
	{ "translations behind the end", 18, 1 },
	{ "an original behind the end", 40, 250 },
	{ "an original longer than the file", 39, 0xff },
	{ "an original without its NUL", 36, 2 },
	{ "a NUL within a translation", 66, 0 },
	{ "originals out of order", 61, 0 },
	{ "a translation without its NUL", 67, 'd' },
};

Test(mo, refuses_what_is_damaged)
{
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		unsigned char *bytes = xmemdup(small, sizeof(small));
		struct mo m;

		bytes[damages[i].at] = damages[i].byte;
		cr_expect_eq(mo_read(bytes, sizeof(small), &m), -EINVAL, "%s", damages[i].what);
		free(bytes);
	}
}

Test(mo, refuses_one_that_is_cut_off)
{
	for (size_t len = 0; len < sizeof(small); len++) {
		unsigned char *bytes = xmemdup(small, len + 1);
		struct mo m;

		cr_expect_eq(mo_read(bytes, len, &m), -EINVAL, "%zu bytes", len);
		free(bytes);
	}
}
