/* What core/mem.h promises; core/attr.h's REQUIRE too. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"

Test(mem, allocates_even_nothing)
{
	char *p = xmalloc(0), *q = xcalloc(0, 0);

	cr_expect_neq(p, q);
	p = xrealloc(p, 0);
	p = xrealloc(p, 100);
	memset(p, 1, 100);
	free(p);
	free(q);
}

Test(mem, calloc_zeroes)
{
	unsigned char *p = xcalloc(100, 7);

	for (int i = 0; i < 700; i++)
		cr_expect_eq(p[i], 0);
	free(p);
}

Test(mem, copies)
{
	char *whole = xstrdup("linnet"), *part = xstrndup("linnet", 3), *more = xstrndup("lin", 10);
	char *bytes = xmemdup("a\0b", 3), *nothing = xmemdup(NULL, 0);
	char *printed = xprintf("%s %d", "a", 7);

	cr_expect_str_eq(whole, "linnet");
	cr_expect_str_eq(part, "lin");
	cr_expect_str_eq(more, "lin");
	cr_expect_arr_eq(bytes, "a\0b", 3);
	cr_expect_not_null(nothing);
	cr_expect_str_eq(printed, "a 7");
	free(whole);
	free(part);
	free(more);
	free(bytes);
	free(nothing);
	free(printed);
}

/* AddressSanitizer's allocator ends the program itself unless told not to. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/* A product that overflows must not come out small. */
Test(mem, what_cannot_be_had_aborts, .signal = SIGABRT)
{
	volatile size_t huge = SIZE_MAX / 2;

	free(xcalloc(huge, 3));
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(mem, a_descriptor_closes_with_its_scope_unless_given_away)
{
	int kept, closed;

	{
		AUTO(fd_close) int a = dup(STDOUT_FILENO);
		AUTO(fd_close) int b = dup(STDOUT_FILENO);
		AUTO(fd_close) int none = -1;

		closed = a;
		kept = steal_fd(&b);
		cr_expect_eq(b, -1);
		cr_expect_eq(none, -1);
	}
	cr_expect_not(is_open(closed));
	cr_expect(is_open(kept));
	fd_close(&kept);
	cr_expect_eq(kept, -1);
}

Test(mem, a_pointer_is_freed_with_its_scope)
{
	AUTO(free_ptr) char *text = xstrdup("freed: LeakSanitizer looks");
	AUTO(free_ptr) char *none = NULL;

	cr_expect_not_null(text);
	cr_expect_null(none);
}

Test(mem, wiping_leaves_nothing)
{
	char secret[8] = "hunter2";

	wipe(secret, sizeof(secret));
	for (size_t i = 0; i < sizeof(secret); i++)
		cr_expect_eq(secret[i], 0);
}

Test(mem, a_broken_requirement_aborts, .signal = SIGABRT)
{
	volatile int one = 1;

	REQUIRE(one == 1);
	REQUIRE(one == 2);
}
