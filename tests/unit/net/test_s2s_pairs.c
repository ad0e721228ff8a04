/* Pairs of domains on one stream: XEP-0220 §2.6, and their bound. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "net/s2s_pairs.h"

Test(s2s_pairs, are_pairs_and_not_names)
{
	struct s2s_pairs p = { 0 };

	cr_expect_not(s2s_pairs_has(&p, "a.example", "b.example"));
	cr_expect(s2s_pairs_add(&p, "a.example", "b.example"));
	cr_expect(s2s_pairs_add(&p, "c.example", "d.example"));
	cr_expect(s2s_pairs_add(&p, "a.example", "b.example"), "it is there");
	cr_expect_eq(p.n, 2);
	cr_expect(s2s_pairs_has(&p, "a.example", "b.example"));
	cr_expect(s2s_pairs_has(&p, "c.example", "d.example"));
	cr_expect_not(s2s_pairs_has(&p, "a.example", "d.example"), "§2.6.2: each target by itself");
	cr_expect_not(s2s_pairs_has(&p, "b.example", "a.example"), "§1.2: one direction");
	cr_expect(s2s_pairs_sends(&p, "c.example"));
	cr_expect_not(s2s_pairs_sends(&p, "d.example"));
	s2s_pairs_fini(&p);
}

Test(s2s_pairs, all_of_a_domain_of_ours_go)
{
	struct s2s_pairs p = { 0 };

	s2s_pairs_add(&p, "a.example", "x.example");
	s2s_pairs_add(&p, "a.example", "y.example");
	s2s_pairs_add(&p, "b.example", "x.example");
	cr_expect_eq(s2s_pairs_drop(&p, "x.example"), 2);
	cr_expect_eq(s2s_pairs_drop(&p, "x.example"), 0);
	cr_expect_eq(p.n, 1);
	cr_expect(s2s_pairs_has(&p, "a.example", "y.example"));
	cr_expect_not(s2s_pairs_sends(&p, "b.example"));
	s2s_pairs_fini(&p);
}

Test(s2s_pairs, are_bounded_and_all_found)
{
	struct s2s_pairs p = { 0 };
	char name[32];

	for (unsigned i = 0; i < S2S_PAIRS_MAX; i++) {
		snprintf(name, sizeof(name), "d%u.example", i);
		cr_assert(s2s_pairs_add(&p, name, "x.example"));
	}
	cr_expect_not(
		s2s_pairs_add(&p, "one.more.example", "x.example"), "§2.5 resource-constraint");
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < S2S_PAIRS_MAX; i++) {
			snprintf(name, sizeof(name), "d%u.example", i * 7 % S2S_PAIRS_MAX);
			cr_assert(s2s_pairs_has(&p, name, "x.example"), "%s", name);
		}
	cr_expect_eq(p.n, S2S_PAIRS_MAX);
	s2s_pairs_fini(&p);
}
