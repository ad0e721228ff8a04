/* What core/arena.h promises: aligned, apart, zeroed on request, freed at once. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "core/arena.h"

#define IS_ALIGNED(p) ((uintptr_t)(p) % 8 == 0)

Test(arena, the_first_piece_is_the_callers)
{
	char first[64] __attribute__((aligned(8)));
	struct arena a;
	char *p;

	arena_init(&a, first, sizeof(first));
	p = arena_alloc(&a, 64);
	cr_expect_eq(p, first);
	cr_expect_eq(a.taken_bytes, 0);
	p = arena_alloc(&a, 1);
	cr_expect(p < first || p >= first + sizeof(first), "from a chunk of its own");
	cr_expect_gt(a.taken_bytes, 0);
	arena_fini(&a);
}

Test(arena, pieces_are_aligned_and_do_not_overlap)
{
	char first[100];
	struct arena a;
	char *pieces[200];

	arena_init(&a, first + 1, sizeof(first) - 1); /* not aligned itself */
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		pieces[i] = arena_alloc(&a, i);
		cr_expect(IS_ALIGNED(pieces[i]), "%zu bytes", i);
		memset(pieces[i], (int)i, i);
	}
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		for (size_t k = 0; k < i; k++)
			cr_assert_eq((unsigned char)pieces[i][k], (unsigned char)i);
	}
	arena_fini(&a);
}

Test(arena, one_larger_than_any_chunk_fits)
{
	struct arena a;
	char *p;

	arena_init(&a, NULL, 0);
	p = arena_zalloc(&a, 1000000);
	for (size_t i = 0; i < 1000000; i++)
		cr_assert_eq(p[i], 0);
	cr_expect_geq(a.taken_bytes, 1000000);
	cr_expect_not_null(arena_alloc(&a, 10));
	arena_fini(&a);
	cr_expect_eq(a.taken_bytes, 0);
}

Test(arena, zalloc_zeroes_what_was_used_before)
{
	char first[64] __attribute__((aligned(8)));
	struct arena a;
	char *p;

	memset(first, 0xff, sizeof(first));
	arena_init(&a, first, sizeof(first));
	p = arena_zalloc(&a, 32);
	for (int i = 0; i < 32; i++)
		cr_expect_eq(p[i], 0);
	arena_fini(&a);
}

/* So that a stanza's arena is a few chunks, not one for every few hundred bytes. */
Test(arena, chunks_grow)
{
	struct arena a;
	uint32_t before = 0;
	unsigned chunks = 0;

	arena_init(&a, NULL, 0);
	for (int i = 0; i < 100000; i++) {
		arena_alloc(&a, 16);
		chunks += a.taken_bytes != before;
		before = a.taken_bytes;
	}
	cr_expect_lt(chunks, 40);
	cr_expect_lt(a.taken_bytes, 100000u * 16 + 2 * 65536);
	arena_fini(&a);
}

Test(arena, texts_end_with_nul_and_stand_close)
{
	char first[64];
	struct arena a;
	char *one, *two;

	arena_init(&a, first, sizeof(first));
	one = arena_text(&a, "abcdef", 3);
	two = arena_strdup(&a, "");
	cr_expect_str_eq(one, "abc");
	cr_expect_str_eq(two, "");
	cr_expect_eq(two, one + 4, "texts are not padded");
	cr_expect_str_eq(arena_text(&a, NULL, 0), "");
	arena_fini(&a);
}

/* Around the end of the first piece each length either just fits or moves as a whole. */
Test(arena, texts_at_the_end_of_a_chunk)
{
	for (size_t len = 0; len < 40; len++) {
		char first[32], text[40];
		struct arena a;

		memset(text, 'x', sizeof(text));
		arena_init(&a, first, sizeof(first));
		cr_expect_eq(strlen(arena_text(&a, text, len)), len);
		cr_expect_eq(strlen(arena_text(&a, text, 39 - len)), 39 - len);
		cr_expect_str_eq(
			arena_printf(&a, "%.*s", (int)len, text), arena_text(&a, text, len));
		arena_fini(&a);
	}
}

Test(arena, printf_formats)
{
	struct arena a;

	arena_init(&a, NULL, 0);
	cr_expect_str_eq(arena_printf(&a, "%s-%d", "a", 7), "a-7");
	cr_expect_str_eq(arena_printf(&a, "%s", ""), "");
	cr_expect_eq(strlen(arena_printf(&a, "%5000d", 1)), 5000);
	arena_fini(&a);
}
