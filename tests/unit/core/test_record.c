/* What core/record.h promises. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/record.h"

TestSuite(record, .timeout = 60);

static struct buf *make(void)
{
	struct record r;

	record_begin(&r, "thing", 7);
	record_number(&r, 42);
	record_number(&r, (uint64_t)INT64_C(-1));
	record_text(&r, "text");
	record_text(&r, NULL);
	record_text(&r, "");
	record_bytes(&r, "a\0b", 3);
	return record_end(&r);
}

Test(record, is_read_as_it_was_written)
{
	struct buf *b = make();
	struct record_reader r;
	const char *bytes;
	size_t len;

	cr_assert_eq(record_open(&r, b->data, b->len), 0);
	cr_expect_str_eq(r.name, "thing");
	cr_expect_eq(r.version, 7);
	cr_expect_eq(record_read_number(&r), 42);
	cr_expect_eq((int64_t)record_read_number(&r), -1);
	cr_expect_str_eq(record_read_text(&r), "text");
	cr_expect_null(record_read_text(&r));
	cr_expect_str_eq(record_read_text(&r), "");
	cr_expect_not(record_is_read(&r), "something is left");
	bytes = record_read_bytes(&r, &len);
	cr_expect_eq(len, 3);
	cr_expect_eq(memcmp(bytes, "a\0b", 4), 0);
	cr_expect(record_is_read(&r));
	buf_unref(b);
}

/* Reads all of make()'s; true when it was whole. */
static bool read_whole(const char *bytes, size_t len)
{
	struct record_reader r;
	size_t n;

	if (record_open(&r, bytes, len))
		return false;
	record_read_number(&r);
	record_read_number(&r);
	record_read_text(&r);
	record_read_text(&r);
	record_read_text(&r);
	record_read_bytes(&r, &n);
	return record_is_read(&r);
}

Test(record, that_is_cut_anywhere_is_not_read)
{
	struct buf *b = make();

	cr_expect(read_whole(b->data, b->len));
	for (size_t len = 0; len < b->len; len++) {
		char *exact = xmemdup(b->data, len);

		cr_expect_not(read_whole(exact, len), "%zu bytes", len);
		free(exact);
	}
	buf_unref(b);
}

Test(record, wrong_fields_are_noticed)
{
	struct buf *b = make();
	struct record_reader r;
	size_t len;

	cr_assert_eq(record_open(&r, b->data, b->len), 0);
	cr_expect_null(record_read_text(&r), "a number is no text");
	cr_expect_not(record_is_good(&r));
	cr_expect_eq(record_read_number(&r), 0, "nothing is read behind a mistake");

	cr_assert_eq(record_open(&r, b->data, b->len), 0);
	cr_expect_eq(record_read_number_to(&r, 41), 0, "too large");
	cr_expect_not(record_is_good(&r));

	cr_assert_eq(record_open(&r, b->data, b->len), 0);
	record_read_number(&r);
	record_read_number(&r);
	record_read_text(&r);
	cr_expect_null(record_read_bytes(&r, &len), "none is not bytes");
	cr_expect_not(record_is_good(&r));
	buf_unref(b);
}

Test(record, text_has_no_nul_inside)
{
	struct record_reader r;
	struct record w;
	struct buf *b;

	record_begin(&w, "thing", 1);
	record_bytes(&w, "a\0b", 3);
	b = record_end(&w);
	cr_assert_eq(record_open(&r, b->data, b->len), 0);
	cr_expect_null(record_read_text(&r));
	cr_expect_not(record_is_good(&r));
	buf_unref(b);
}

Test(record, has_a_bound)
{
	char *much = xcalloc(1, RECORD_MAX / 4);
	struct record w;

	record_begin(&w, "thing", 1);
	for (int i = 0; i < 3; i++)
		record_bytes(&w, much, RECORD_MAX / 4);
	cr_expect_not_null(w.bytes);
	record_bytes(&w, much, RECORD_MAX / 4);
	record_number(&w, 1);
	cr_expect_null(record_end(&w));
	free(much);
}

Test(record, of_nothing_is_none)
{
	struct record_reader r;

	cr_expect_eq(record_open(&r, "", 0), -EBADMSG);
	cr_expect_eq(record_open(&r, "0n\1\0\0\0\0\0\0\0", 10), -EBADMSG, "it has a name");
}
