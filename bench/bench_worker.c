/* bench/bench_worker.c - one thread, one epoll set. */
#include "bench/bench_worker.h"

#include <signal.h>
#include <stdlib.h>

void worker_share(const struct options *all, unsigned group, unsigned processes, unsigned index,
	struct options *out)
{
	unsigned size = group ? group : 1, groups = all->users / size;
	unsigned from = (unsigned)((uint64_t)groups * index / processes) * size;
	unsigned to = (unsigned)((uint64_t)groups * (index + 1) / processes) * size;
	double part;

	if (index + 1 == processes) /* an incomplete group is for the scenario to refuse */
		to = all->users;
	part = (double)(to - from) / all->users;
	*out = *all;
	out->first_user += from;
	out->users = to - from;
	out->rate = all->rate * part;
	out->messages = (uint64_t)((double)all->messages * part + 0.999);
	out->parallel = all->parallel > processes ? all->parallel / processes : 1;
}

static bool play(struct bench *b, const struct scenario *s)
{
	bool good;

	if (b->options->do_register && !bench_start_all(b, GOAL_ACCOUNT, NULL))
		return false;
	if (!s)
		return true;
	good = s->run(b);
	bench_close_all(b);
	return good;
}

static const struct client_events no_events; /* until the scenario brings its own */

bool worker_run(
	const struct options *o, const struct scenario *s, struct board *board, unsigned index)
{
	struct options own;
	struct bench b = { .options = &own,
		.all_users = o->users,
		.board = board,
		.share = &board->shares[index] };
	bool good;

	worker_share(o, s ? scenario_group(s, o) : 1, board->processes, index, &own);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	loop_init(&b.loop, &own);
	b.clients = calloc(own.users, sizeof(*b.clients));
	if (!b.clients)
		abort();
	for (unsigned i = 0; i < own.users; i++)
		client_init(&b.clients[i], &b.loop, i, &no_events);
	good = play(&b, s);
	if (!good)
		atomic_store(&board->give_up, true);
	b.share->report = b.report;
	for (unsigned i = 0; i < own.users; i++)
		client_fini(&b.clients[i]);
	free(b.clients);
	loop_fini(&b.loop);
	return good;
}
