/* core/stall.c - names a slow handler as well as the symbol table allows. */
#include "core/stall.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/metric.h"

_Thread_local uint64_t stall_since_ms;

static struct metric slow_turns =
	METRIC_COUNTER("shard_slow_turns_total", "Handlers that held a shard for over 20 ms");

/* "conn_readable", or "linnetd+0x1234" for addr2line when the function is not exported: dladdr()
 * then offers its nearest exported neighbour, which would be a lie. */
static const char *name_of(void *fn, char *out, size_t size)
{
	const char *file;
	Dl_info at;

	if (!dladdr(fn, &at) || !at.dli_fname) {
		snprintf(out, size, "%p", fn);
	} else if (at.dli_sname && at.dli_saddr == fn) {
		snprintf(out, size, "%s", at.dli_sname);
	} else {
		file = strrchr(at.dli_fname, '/');
		snprintf(out, size, "%s+0x%zx", file ? file + 1 : at.dli_fname,
			(size_t)((char *)fn - (char *)at.dli_fbase));
	}
	return out;
}

void stall_report(const char *kind, void *fn, uint64_t took_ms)
{
	static struct log_seldom seldom;
	const char *name;
	uint32_t left_out;
	char space[128];

	metric_add(&slow_turns, 1);
	if (!log_seldom(&seldom, &left_out))
		return;
	name = name_of(fn, space, sizeof(space));
	log_warning("shard", "a handler held its shard", L_STR("kind", kind),
		L_STR("handler", name), L_INT("ms", took_ms), L_INT("left_out", left_out));
}
