/* The order of SRV targets. RFC 2782. */
#include <criterion/criterion.h>

#include "net/srv.h"

/* Lots in the order of a test's script; each is asked for below one more than the weights left. */
static const uint32_t *script;
static uint32_t asked[8];
static unsigned n_asked;

static uint32_t scripted(uint32_t below)
{
	asked[n_asked] = below;
	cr_assert_lt(script[n_asked], below);
	return script[n_asked++];
}

static const struct {
	const char *what;
	struct srv_choice in[4];
	unsigned n;
	uint32_t lots[4];
	unsigned n_lots, want[4];
} rows[] = {
	{ "one", { { 10, 5, 0 } }, 1, { 0 }, 0, { 0 } },
	{ "priorities alone", { { 30, 0, 0 }, { 10, 0, 1 }, { 20, 0, 2 } }, 3, { 0 }, 0,
		{ 1, 2, 0 } },
	{ "the first whose running sum is not less than the lot",
		{ { 1, 10, 0 }, { 1, 20, 1 }, { 1, 30, 2 } }, 3, { 11, 10 }, 2, { 1, 0, 2 } },
	{ "the edges of a share", { { 1, 10, 0 }, { 1, 20, 1 } }, 2, { 10 }, 1, { 0, 1 } },
	{ "the last one's share", { { 1, 10, 0 }, { 1, 20, 1 } }, 2, { 30 }, 1, { 1, 0 } },
	{ "no weight: only by the smallest lot", { { 1, 10, 0 }, { 1, 0, 1 } }, 2, { 0 }, 1,
		{ 1, 0 } },
	{ "no weight: else last", { { 1, 10, 0 }, { 1, 0, 1 } }, 2, { 1 }, 1, { 0, 1 } },
	{ "lots are drawn within a priority",
		{ { 2, 9, 0 }, { 1, 1, 1 }, { 2, 1, 2 }, { 1, 1, 3 } }, 4, { 2, 10 }, 2,
		{ 3, 1, 2, 0 } },
	{ "the largest weights", { { 1, 65535, 0 }, { 1, 65535, 1 } }, 2, { 131070 }, 1, { 1, 0 } },
};

Test(srv, order)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct srv_choice at[4];

		for (unsigned j = 0; j < rows[i].n; j++)
			at[j] = rows[i].in[j];
		script = rows[i].lots;
		n_asked = 0;
		srv_order(at, rows[i].n, scripted);
		cr_expect_eq(n_asked, rows[i].n_lots, "%s: %u lots", rows[i].what, n_asked);
		for (unsigned j = 0; j < rows[i].n; j++)
			cr_expect_eq(at[j].index, rows[i].want[j], "%s: at %u stands %u",
				rows[i].what, j, at[j].index);
	}
	srv_order((struct srv_choice[1]){ { 0 } }, 0, scripted);
}
