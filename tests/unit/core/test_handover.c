/* What core/handover.h promises, with both ends here. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/handover.h"
#include "core/mem.h"

static struct handover *old, *new;

static void connect_both(void)
{
	int ends[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	old = handover_new(ends[0]);
	new = handover_new(ends[1]);
	handover_until(old, clock_ms() + 20000);
	handover_until(new, clock_ms() + 20000);
}

static void end_both(void)
{
	handover_free(old);
	handover_free(new);
}

TestSuite(handover, .timeout = 60, .init = connect_both, .fini = end_both);

static uint64_t loaded;
static uint64_t to_save = 11;

static void save(struct handover *to)
{
	struct record r;

	record_begin(&r, "thing", 3);
	record_number(&r, to_save);
	handover_give(to, &r, -1);
}

static int load(struct handover_item *i)
{
	loaded = record_read_number(&i->in);
	return record_is_read(&i->in) ? 0 : -EBADMSG;
}

static const struct handover_part thing = { "thing", 3, 2, save, load };
static const struct handover_part passive = { "passive", 1, 1, NULL, load };

Test(handover, what_one_saves_the_other_loads)
{
	struct handover_item i;

	handover_add(&thing);
	handover_add(&thing);
	handover_add(&passive);
	cr_expect_eq(handover_save(old), 0);
	cr_assert_eq(handover_take(new, &i), 0);
	cr_expect_eq(handover_load(&i), 0);
	cr_expect_eq(loaded, 11);
	handover_item_fini(&i);
}

Test(handover, versions_that_are_not_known_are_not_loaded)
{
	static const struct {
		const char *name;
		unsigned version;
		int want;
	} rows[] = { { "thing", 1, -ENOTSUP }, { "thing", 2, 0 }, { "thing", 3, 0 },
		{ "thing", 4, -ENOTSUP }, { "other", 3, -ENOTSUP } };

	handover_add(&thing);
	for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
		struct handover_item i;
		struct record r;

		record_begin(&r, rows[n].name, rows[n].version);
		record_number(&r, 1);
		handover_give(old, &r, -1);
		cr_assert_eq(handover_take(new, &i), 0);
		cr_expect_eq(
			handover_load(&i), rows[n].want, "%s %u", rows[n].name, rows[n].version);
		handover_item_fini(&i);
	}
}

/* A hello of somebody who knows one part, in these versions. */
static char *missing_to(const char *name, unsigned oldest, unsigned newest)
{
	struct handover_item i;
	struct record r;
	char *why;

	record_begin(&r, "hello", HANDOVER_VERSION);
	record_number(&r, 1);
	record_text(&r, name);
	record_number(&r, oldest);
	record_number(&r, newest);
	handover_give(new, &r, -1);
	REQUIRE(handover_take(old, &i) == 0);
	why = handover_missing(&i);
	handover_item_fini(&i);
	return why;
}

Test(handover, a_peer_that_lacks_a_version_is_told_apart_before_anything_is_given)
{
	static const struct {
		const char *name;
		unsigned oldest, newest;
		const char *want;
	} rows[] = { { "thing", 3, 3, NULL }, { "thing", 1, 9, NULL },
		{ "thing", 1, 2, "it does not know version 3 of thing" },
		{ "thing", 4, 9, "it does not know version 3 of thing" },
		{ "other", 3, 3, "it does not know version 3 of thing" } };

	handover_add(&thing);
	for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
		char *why = missing_to(rows[n].name, rows[n].oldest, rows[n].newest);

		if (rows[n].want)
			cr_expect_str_eq(why, rows[n].want);
		else
			cr_expect_null(why, "%s", why);
		free(why);
	}
}

Test(handover, one_that_is_alike_lacks_nothing)
{
	struct handover_item i;

	handover_add(&thing);
	handover_add(&passive);
	handover_hello(new);
	cr_assert_eq(handover_take(old, &i), 0);
	cr_expect_null(handover_missing(&i));
	handover_item_fini(&i);
}

Test(handover, another_protocol_is_refused)
{
	struct handover_item i;
	struct record r;
	char *why;

	record_begin(&r, "hello", HANDOVER_VERSION + 1);
	handover_give(new, &r, -1);
	cr_assert_eq(handover_take(old, &i), 0);
	why = handover_missing(&i);
	cr_expect_str_eq(why, "it speaks another version of the handover: hello 2");
	free(why);
	handover_item_fini(&i);
}

Test(handover, a_descriptor_goes_with_its_record)
{
	struct handover_item i;
	struct record r;
	int ends[2];
	char byte;

	REQUIRE(pipe(ends) == 0);
	for (int n = 0; n < 3; n++) {
		record_begin(&r, "thing", 3);
		record_number(&r, (uint64_t)n);
		handover_give(old, &r, n == 1 ? ends[1] : -1);
	}
	close(ends[1]);
	for (uint64_t n = 0; n < 3; n++) {
		cr_assert_eq(handover_take(new, &i), 0);
		cr_expect_eq(record_read_number(&i.in), n);
		cr_expect_eq(i.fd >= 0, n == 1);
		if (i.fd >= 0) {
			cr_expect(fcntl(i.fd, F_GETFD) & FD_CLOEXEC);
			cr_expect_eq(write(i.fd, "x", 1), 1);
		}
		handover_item_fini(&i);
	}
	cr_expect_eq(read(ends[0], &byte, 1), 1);
	cr_expect_eq(read(ends[0], &byte, 1), 0, "the copy is closed with its item");
	close(ends[0]);
}

Test(handover, a_peer_that_is_gone_or_silent_is_noticed)
{
	struct handover_item i;
	struct record r;

	handover_until(old, clock_ms() + 1);
	cr_expect_eq(handover_take(old, &i), -ETIMEDOUT);
	cr_expect_eq(handover_take(old, &i), -ETIMEDOUT, "for good");
	handover_free(old);
	old = NULL;
	cr_expect_eq(handover_take(new, &i), -EPIPE);
	record_begin(&r, "thing", 3);
	cr_expect_eq(handover_give(new, &r, -1), -EPIPE);
}

Test(handover, lengths_and_records_are_checked)
{
	const uint32_t lengths[] = { RECORD_MAX + 1, UINT32_MAX, 4 };
	const int want[] = { -EMSGSIZE, -EMSGSIZE, -EBADMSG };

	for (size_t n = 0; n < ARRAY_LEN(lengths); n++) {
		struct handover_item i;

		cr_expect_eq(write(handover_fd(old), &lengths[n], 4), 4);
		cr_expect_eq(write(handover_fd(old), "abcd", 4), 4);
		cr_expect_eq(handover_take(new, &i), want[n]);
		end_both();
		connect_both();
	}
}
