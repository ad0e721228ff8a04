/* tests/unit/bench/test_worker.c - how users, rate and messages are shared out to processes. */
#include "bench/bench_worker.h"

#include <criterion/criterion.h>
#include <math.h>

static const struct {
	unsigned users, group, processes;
} rows[] = { { 100, 0, 1 }, { 100, 2, 3 }, { 7, 0, 7 }, { 10, 2, 4 }, { 64, 16, 3 }, { 9, 2, 2 } };

Test(worker, every_user_belongs_to_one_process)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct options all = { .users = rows[i].users, .first_user = 1000, .parallel = 20 };
		unsigned next = 1000;

		for (unsigned k = 0; k < rows[i].processes; k++) {
			struct options own;

			worker_share(&all, rows[i].group, rows[i].processes, k, &own);
			cr_expect_eq(own.first_user, next, "row %zu process %u", i, k);
			cr_expect_geq(own.parallel, 1);
			if (rows[i].group && k + 1 < rows[i].processes)
				cr_expect_eq(own.users % rows[i].group, 0);
			next += own.users;
		}
		cr_expect_eq(next, 1000 + rows[i].users);
	}
}

Test(worker, rate_and_messages_are_shared_as_the_users_are)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct options all = { .users = rows[i].users, .rate = 1000, .messages = 999 };
		uint64_t messages = 0;
		double rate = 0;

		for (unsigned k = 0; k < rows[i].processes; k++) {
			struct options own;

			worker_share(&all, rows[i].group, rows[i].processes, k, &own);
			rate += own.rate;
			messages += own.messages;
		}
		cr_expect(fabs(rate - 1000) < 1e-6);
		cr_expect_geq(messages, 999);
		cr_expect_leq(messages, 999 + rows[i].processes);
	}
}

Test(worker, no_limit_stays_none)
{
	struct options all = { .users = 10 }, own;

	worker_share(&all, 0, 3, 1, &own);
	cr_expect_eq(own.messages, 0);
	cr_expect_eq(own.rate, 0);
}
