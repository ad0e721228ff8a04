/* core/stall.c - names a slow handler as well as the symbol table allows. */
#include "core/stall.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/metric.h"

#define NAME_BYTES 100

_Atomic uint32_t stall_ms = STALL_MS;
_Thread_local uint64_t stall_since_ms;
_Thread_local const char *stall_name;
_Thread_local void *stall_fn;
_Thread_local uint64_t stall_longest_ms;
/* Who that was. The name is copied, as the turn may end when it is gone; to find the function's
 * takes too long for what happens at each tick of the clock. */
static _Thread_local struct {
	const char *kind;
	void *fn;
	char name[NAME_BYTES];
} longest;

static struct metric long_turns = METRIC_COUNTER("shard_long_turns_total",
	"Turns that were longer than shard_turn_warning without a handler that was");
static struct metric slow_turns = METRIC_COUNTER(
	"shard_slow_turns_total", "Handlers that held a shard for longer than shard_turn_warning");

/* "conn_readable", or "linnetd+0x1234" for addr2line when the function is not exported: dladdr()
 * then offers its nearest exported neighbour, which would be a lie. */
static void put_function(void *fn, char *out, size_t size)
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
}

/* "urn:xmpp:ping/ping_get", "c2s/conn_ready", "conn_ready". */
static const char *name_of(const char *name, void *fn, char *out, size_t size)
{
	size_t len;

	snprintf(out, size, "%.*s%s", NAME_BYTES, name ? name : "", name ? "/" : "");
	len = strlen(out);
	put_function(fn, out + len, size - len);
	return out;
}

void stall_register(void)
{
	metric_register(&slow_turns);
	metric_register(&long_turns);
}

/* By kind, so that a flood of one does not hide another. */
static struct log_seldom *seldom_of(const char *kind)
{
	static struct {
		const char *kind; /* NULL: any other */
		struct log_seldom seldom;
	} kinds[] = { { .kind = "hook" }, { .kind = "iq" }, { .kind = "mail" }, { .kind = NULL } };
	unsigned i = 0;

	while (kinds[i].kind && strcmp(kinds[i].kind, kind) != 0)
		i++;
	return &kinds[i].seldom;
}

void stall_report(const char *kind, const char *name, void *fn, uint64_t took_ms)
{
	uint32_t left_out;
	char space[256];

	metric_add(&slow_turns, 1);
	if (!log_seldom(seldom_of(kind), &left_out))
		return;
	log_warning("shard", "a handler held its shard", L_STR("kind", kind),
		L_STR("handler", name_of(name, fn, space, sizeof(space))), L_INT("ms", took_ms),
		L_INT("left_out", left_out));
}

void stall_note_longest(const char *kind, const char *name, void *fn, uint64_t took_ms)
{
	stall_longest_ms = took_ms;
	longest.kind = kind;
	longest.fn = fn;
	snprintf(longest.name, sizeof(longest.name), "%s", name ? name : "");
}

void stall_report_turn(uint64_t took_ms)
{
	static struct log_seldom seldom;
	uint32_t left_out;
	char space[256];

	metric_add(&long_turns, 1);
	if (!log_seldom(&seldom, &left_out))
		return;
	if (stall_longest_ms)
		name_of(longest.name[0] ? longest.name : NULL, longest.fn, space, sizeof(space));
	log_warning("shard", "a turn was long", L_INT("ms", took_ms),
		L_STR("kind", stall_longest_ms ? longest.kind : "none"),
		L_STR("longest", stall_longest_ms ? space : "none"),
		L_INT("longest_ms", stall_longest_ms), L_INT("left_out", left_out));
}
