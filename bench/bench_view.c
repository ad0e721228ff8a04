/* bench/bench_view.c - "\r" and "erase to the end of the line" are all it asks of a terminal. */
#include "bench/bench_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void view_init(struct view *v, const struct options *o)
{
	bool busy = o->json && !strcmp(o->json, "-");

	*v = (struct view){ .shown = !o->quiet && !busy && isatty(STDOUT_FILENO),
		.has_server = o->server.n > 0,
		.users = o->users,
		.warmup = o->warmup,
		.seconds = o->seconds };
}

PRINTF_LIKE(3, 4) static void add(char *out, size_t room, const char *format, ...)
{
	size_t len = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + len, room - len, format, args);
	va_end(args);
}

void view_line(struct view *v, const struct sample *s, char *out, size_t room)
{
	double whole;

	if (s->phase != v->phase) {
		v->phase = s->phase;
		v->since_s = s->at_s;
	}
	whole = s->phase == PHASE_WARMUP ? v->warmup : s->phase == PHASE_MEASURE ? v->seconds : 0;
	snprintf(out, room, "%-8s", phase_name(s->phase));
	if (whole > 0)
		add(out, room, " %.0f/%.0f s", s->at_s - v->since_s, whole);
	if (s->sessions)
		add(out, room, "  %u/%u sessions", s->sessions, v->users);
	if (s->operations)
		add(out, room, "  %.0f/s  p99 %.2f ms", s->per_second, (double)s->p99_us / 1e3);
	if (v->has_server)
		add(out, room, "  server %.0f %%", s->server_cores * 100);
	add(out, room, "  own %.0f %%", s->own_cores * 100);
}

void view_show(struct view *v, const struct sample *s)
{
	char line[160] = "";

	if (!v->shown)
		return;
	view_line(v, s, line, sizeof(line));
	printf("\r%s\033[K", line);
	fflush(stdout);
}

void view_clear(const struct view *v)
{
	if (v->shown) {
		printf("\r\033[K");
		fflush(stdout);
	}
}
