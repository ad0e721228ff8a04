/* What one address may hold open and get wrong before login. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#include "core/handover.h"
#include "net/limits.h"

static struct conf_prefix v4(uint8_t last)
{
	struct conf_prefix p = { .bits = 128 };

	p.bytes[10] = p.bytes[11] = 0xff;
	p.bytes[12] = 127;
	p.bytes[15] = last;
	return p;
}

static struct conf_prefix v6(uint8_t network, uint8_t host)
{
	struct conf_prefix p = { .bytes = { 0x20, 0x01, 0x0d, 0xb8, [7] = network, [15] = host },
		.bits = 128 };

	return p;
}

Test(limits, counts_open_connections_of_one_address)
{
	struct conf_prefix a = v4(1), b = v4(2);

	cr_assert(limits_begin(&a, 2));
	cr_assert(limits_begin(&a, 2));
	cr_assert_not(limits_begin(&a, 2));
	cr_assert(limits_begin(&b, 2), "another address has its own");
	limits_end(&a);
	cr_assert(limits_begin(&a, 2));
	limits_end(&a);
	limits_end(&a);
	limits_end(&b);
}

Test(limits, no_bound_is_zero)
{
	struct conf_prefix a = v4(3);

	for (int i = 0; i < 5000; i++)
		cr_assert(limits_begin(&a, 0));
	for (int i = 0; i < 5000; i++)
		limits_end(&a);
}

Test(limits, takes_an_ipv6_network_for_one_address)
{
	struct conf_prefix a = v6(1, 1), same = v6(1, 2), other = v6(2, 1);

	cr_assert(limits_begin(&a, 1));
	cr_assert_not(limits_begin(&same, 1));
	cr_assert(limits_begin(&other, 1));
	limits_end(&a);
	limits_end(&other);
}

Test(limits, blocks_logins_after_failures)
{
	struct conf_prefix a = v4(4), b = v4(5);

	for (int i = 0; i < 3; i++) {
		cr_assert_not(limits_login_blocked(&a, 3), "after %d", i);
		limits_login_failed(&a, 3600000);
	}
	cr_assert(limits_login_blocked(&a, 3));
	cr_assert_not(limits_login_blocked(&a, 0), "0 is no bound");
	cr_assert_not(limits_login_blocked(&b, 3));
}

Test(limits, forgets_when_the_window_is_over)
{
	struct conf_prefix a = v4(6);

	limits_login_failed(&a, 0);
	cr_assert_not(limits_login_blocked(&a, 1));
}

Test(limits, stays_bounded_under_many_addresses)
{
	/* A million addresses that failed once: the newest of a chain still counts. */
	for (uint32_t i = 0; i < 1000000; i++) {
		struct conf_prefix p = { .bits = 128 };

		p.bytes[10] = p.bytes[11] = 0xff;
		memcpy(p.bytes + 12, &i, 4);
		limits_login_failed(&p, 3600000 + i);
	}
	cr_assert(limits_login_blocked(
		&(struct conf_prefix){
			.bytes = { [10] = 0xff, [11] = 0xff, 0x3f, 0x42, 0x0f, 0 }, .bits = 128 },
		1));
}

/* As two servers do it: with what is there already for the second one. */
Test(limits, failures_go_over_to_another_process)
{
	struct conf_prefix a = v4(1), b = v6(1, 1), over = v4(3);
	struct handover *old, *new;
	struct handover_item i;
	int ends[2];

	limits_handover();
	for (int n = 0; n < 3; n++) {
		limits_login_failed(&a, 60000);
		limits_login_failed(&b, 60000);
		limits_login_failed(&over, 0);
	}
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	old = handover_new(ends[0]);
	new = handover_new(ends[1]);
	cr_assert_eq(handover_save(old), 0);
	handover_free(old);
	for (int n = 0; n < 10; n++) /* the second one's own count is replaced, not added to */
		limits_login_failed(&a, 60000);
	while (!handover_take(new, &i)) {
		cr_expect_eq(handover_load(&i), 0);
		handover_item_fini(&i);
	}
	handover_free(new);
	cr_expect(limits_login_blocked(&a, 3));
	cr_expect_not(limits_login_blocked(&a, 4));
	cr_expect(limits_login_blocked(&b, 3));
	cr_expect_not(limits_login_blocked(&over, 1));
}

Test(limits, what_is_no_record_of_failures_is_refused)
{
	struct record r;
	struct buf *b;

	limits_handover();
	record_begin(&r, "limits", 1);
	record_bytes(&r, "too short", 9);
	record_number(&r, 1);
	record_number(&r, 1);
	b = record_end(&r);
	for (uint32_t len = b->len; len > 21; len--) { /* 21 bytes are its name and version */
		struct handover_item i = { .fd = -1 };

		if (!record_open(&i.in, b->data, len))
			cr_expect_neq(handover_load(&i), 0, "%u bytes", len);
	}
	buf_unref(b);
}
