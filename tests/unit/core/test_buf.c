/* What core/buf.h promises: bytes, counted references, growth while there is one owner. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "core/buf.h"

Test(buf, begins_empty_with_one_reference)
{
	struct buf *b = buf_new(10);

	cr_expect_eq(b->len, 0);
	cr_expect_geq(b->cap, 10);
	cr_expect_eq(b->refs, 1);
	buf_unref(b);
	b = buf_new(0);
	buf_append_char(&b, 'x');
	cr_expect_eq(b->len, 1);
	buf_unref(b);
	buf_unref(NULL);
}

Test(buf, of_copies)
{
	char bytes[] = "a\0b";
	struct buf *b = buf_of(bytes, 3), *none = buf_of(NULL, 0);

	bytes[0] = 'x';
	cr_expect_eq(b->len, 3);
	cr_expect_arr_eq(b->data, "a\0b", 3);
	cr_expect_eq(none->len, 0);
	buf_unref(b);
	buf_unref(none);
}

Test(buf, grows_and_keeps_what_it_has)
{
	struct buf *b = buf_new(1);
	char chunk[97];

	memset(chunk, 'c', sizeof(chunk));
	for (int i = 0; i < 1000; i++) {
		buf_append_char(&b, 'a');
		buf_append(&b, chunk, sizeof(chunk));
	}
	cr_expect_eq(b->len, 98000);
	for (uint32_t i = 0; i < b->len; i++)
		cr_assert_eq(b->data[i], i % 98 ? 'c' : 'a');
	buf_append(&b, "", 0);
	cr_expect_eq(b->len, 98000);
	buf_unref(b);
}

/* Twice as much each time: appending byte by byte stays cheap. */
Test(buf, doubles)
{
	struct buf *b = buf_new(0);
	uint32_t cap = b->cap;
	unsigned moves = 0;

	for (int i = 0; i < 1000000; i++) {
		buf_append_char(&b, 'x');
		moves += b->cap != cap;
		cap = b->cap;
	}
	cr_expect_leq(moves, 14);
	buf_unref(b);
}

static void *ref_and_unref(void *arg)
{
	struct buf *b = arg;

	for (int i = 0; i < 100000; i++) {
		cr_assert_eq(buf_ref(b), b);
		buf_unref(b);
	}
	buf_unref(b); /* the reference that came with the thread */
	return NULL;
}

Test(buf, counts_from_any_thread)
{
	struct buf *b = buf_of("shared", 6);
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, ref_and_unref, buf_ref(b));
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(b->refs, 1);
	cr_expect_arr_eq(b->data, "shared", 6);
	buf_unref(b);
}
