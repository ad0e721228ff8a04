/* tests/unit/modules/test_recent.c - limits per address that many addresses cannot undo. */
#include <criterion/criterion.h>

#include "modules/recent.h"

static struct recent_key key(uint8_t n)
{
	struct conf_prefix address = { .bytes = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = n },
		.bits = 128 };

	return recent_key_of_address(&address);
}

Test(recent, so_often_in_a_window)
{
	struct recent *r = recent_new(8);

	cr_expect(recent_take(r, key(1), 1000, 100, 2));
	cr_expect(recent_take(r, key(1), 1050, 100, 2));
	cr_expect_not(recent_take(r, key(1), 1099, 100, 2), "a third time");
	cr_expect(recent_take(r, key(2), 1099, 100, 2), "another address");
	cr_expect(recent_take(r, key(1), 1100, 100, 2), "the window is over");
	recent_free(r);
}

Test(recent, exhausted_until_the_window_is_over)
{
	struct recent *r = recent_new(8);

	cr_expect(recent_take(r, key(1), 0, 100, 10));
	recent_exhaust(r, key(1));
	cr_expect_not(recent_take(r, key(1), 99, 100, 10));
	cr_expect(recent_take(r, key(1), 100, 100, 10));
	recent_free(r);
}

Test(recent, full_refuses_instead_of_forgetting)
{
	struct recent *r = recent_new(4);

	for (uint8_t i = 0; i < 4; i++)
		cr_expect(recent_take(r, key(i), 10 + i, 100, 1));
	cr_expect_not(recent_take(r, key(9), 50, 100, 1), "no room");
	cr_expect_not(recent_take(r, key(0), 50, 100, 1), "not forgotten");
	cr_expect(recent_take(r, key(9), 110, 100, 1), "the oldest window is over");
	cr_expect_not(recent_take(r, key(8), 110, 100, 1), "and only that one");
	recent_free(r);
}

Test(recent, one_key_for_a_64)
{
	struct conf_prefix a = { .bytes = { 0x20, 0x01, 0x0d, 0xb8, [7] = 1, [15] = 1 } };
	struct conf_prefix b = a, c = a;
	struct recent_key ka, kb, kc;

	b.bytes[12] = 77;
	c.bytes[7] = 2;
	ka = recent_key_of_address(&a);
	kb = recent_key_of_address(&b);
	kc = recent_key_of_address(&c);
	cr_expect_eq(memcmp(&ka, &kb, sizeof(ka)), 0);
	cr_expect_neq(memcmp(&ka, &kc, sizeof(ka)), 0);
}

Test(recent, many_keys_share_buckets)
{
	struct recent *r = recent_new(256);

	for (int i = 0; i < 256; i++)
		cr_expect(recent_take(r, key((uint8_t)i), (uint64_t)i, 1000, 1));
	for (int i = 0; i < 256; i++)
		cr_expect_not(recent_take(r, key((uint8_t)i), 300, 1000, 1));
	for (int i = 0; i < 256; i++)
		cr_expect(recent_take(r, key((uint8_t)i), 1000 + (uint64_t)i, 1000, 1));
	recent_free(r);
}
