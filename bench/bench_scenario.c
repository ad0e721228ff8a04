/* bench/bench_scenario.c - all of them. */
#include "bench/bench_scenario.h"

#include <string.h>

extern const struct scenario scenario_chat, scenario_idle, scenario_login, scenario_ping;
const struct scenario *const scenarios[] = {
	&scenario_chat,
	&scenario_idle,
	&scenario_login,
	&scenario_ping,
	NULL,
};

const struct scenario *scenario_find(const char *name)
{
	for (const struct scenario *const *s = scenarios; *s; s++)
		if (!strcmp((*s)->name, name))
			return *s;
	return NULL;
}
