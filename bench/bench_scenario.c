/* bench/bench_scenario.c - all of them. */
#include "bench/bench_scenario.h"

#include <string.h>

extern const struct scenario scenario_chat, scenario_idle, scenario_login, scenario_mam,
	scenario_muc, scenario_offline, scenario_ping, scenario_presence, scenario_pubsub,
	scenario_resume;
const struct scenario *const scenarios[] = {
	&scenario_chat,
	&scenario_idle,
	&scenario_login,
	&scenario_mam,
	&scenario_muc,
	&scenario_offline,
	&scenario_ping,
	&scenario_presence,
	&scenario_pubsub,
	&scenario_resume,
	NULL,
};

const struct scenario *scenario_find(const char *name)
{
	for (const struct scenario *const *s = scenarios; *s; s++)
		if (!strcmp((*s)->name, name))
			return *s;
	return NULL;
}

unsigned scenario_group(const struct scenario *s, const struct options *o)
{
	unsigned group = s->group_is_all ? o->users : s->group_is_fanout ? o->fanout : s->group;

	return group ? group : 1;
}
