/* bench/bench_pairs.c - what is the same in all plays of pairs. */
#include "bench/bench_pairs.h"

#include <stdio.h>

#include "bench/bench_number.h"
#include "bench/bench_step.h"

static uint64_t wrongs; /* of this process's users */

bool pairs_fit(const struct bench *b)
{
	if (b->options->users >= 2 && b->options->users % 2 == 0)
		return true;
	fprintf(stderr, "linnet-bench: %s needs an even number of users\n", b->options->scenario);
	return false;
}

void pairs_send(struct client *c, const char *to, uint64_t number)
{
	client_sendf(c, "<message to='%s' type='chat'><body>", to);
	send_numbered(c, number);
	client_sendf(c, "</body></message>");
}

void pairs_wrong(struct client *c, const char *what, const char *text)
{
	bench_complain_of(c, what, text);
	wrongs++;
}

uint64_t pairs_wrongs(void)
{
	return wrongs;
}

void pairs_closed(struct client *c, const char *why)
{
	pairs_wrong(c, "connection lost", why ? why : "");
	step_fail(bench_of(c));
}

bool pairs_report(struct bench *b, bool missing)
{
	report_add(&b->report, "wrong", (double)wrongs, "");
	if (missing || wrongs)
		fprintf(stderr, "linnet-bench: messages were lost, doubled or out of order\n");
	return !missing && !wrongs;
}
