/* What travels in requests: a payload has one owner, who drops it once. */
#include "core/term.h"

#include <criterion/criterion.h>

static unsigned dropped;

static void drop(void *data)
{
	++*(unsigned *)data;
}

Test(term, is_dropped_once)
{
	struct term t = TERM_OF(7, &dropped, drop);

	cr_expect_eq(t.kind, 7);
	cr_expect_eq(t.ref, 0);
	term_drop(&t);
	cr_expect_eq(dropped, 1);
	cr_expect_null(t.data);
	term_drop(&t);
	cr_expect_eq(dropped, 1, "it has none any more");
}

Test(term, what_is_taken_is_not_dropped)
{
	struct term t = TERM_OF(7, &dropped, drop);

	cr_expect_eq(term_take(&t), &dropped);
	cr_expect_eq(t.kind, 7, "the kind stays readable");
	cr_expect_null(term_take(&t), "once");
	term_drop(&t);
	cr_expect_eq(dropped, 0);
}

Test(term, without_a_drop_the_payload_is_lent)
{
	struct term plain = TERM(3), lent = TERM_OF(4, &dropped, NULL);

	term_drop(&plain);
	term_drop(&lent);
	cr_expect_eq(dropped, 0);
	cr_expect_null(lent.data);
}
