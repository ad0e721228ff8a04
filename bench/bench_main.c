/* bench/bench_main.c - linnet-bench: a load generator for XMPP servers. */
#include "bench/bench_crew.h"

static void list_accounts(const struct options *o)
{
	for (unsigned i = o->first_user; i < o->first_user + o->users; i++)
		printf("%s%u %s %s%u\n", o->user_prefix, i, o->domain, o->password, i);
}

int main(int argc, char **argv)
{
	struct options o;

	if (!options_read(&o, argc, argv))
		return 2;
	if (o.help)
		options_help(stdout);
	else if (o.man)
		options_man(stdout);
	else if (o.list)
		list_accounts(&o);
	else
		return crew_run(&o, o.scenario ? scenario_find(o.scenario) : NULL);
	return 0;
}
