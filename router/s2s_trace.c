/* router/s2s_trace.c - a ring of attempts, each a list of lines. */
#include "router/s2s_trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"

#define LINE_MAX_BYTES 400

static void forget(struct s2s_attempt *a)
{
	while (a->n)
		free(a->lines[--a->n].text);
	free(a->lines);
	a->lines = NULL;
}

void s2s_trace_begin(struct s2s_trace *t)
{
	forget(&t->attempts[t->begun++ % S2S_TRACE_ATTEMPTS]);
}

/* What was cut in the middle of a character ends before it. */
static void trim(char *text, size_t len)
{
	while (len && (text[len - 1] & 0xc0) == 0x80)
		len--;
	if (len && (text[len - 1] & 0x80))
		len--;
	text[len] = 0;
}

void s2s_trace_say(struct s2s_trace *t, const char *format, ...)
{
	struct s2s_attempt *a;
	char text[LINE_MAX_BYTES];
	va_list args;
	int len;

	if (!t->begun)
		s2s_trace_begin(t);
	a = &t->attempts[(t->begun - 1) % S2S_TRACE_ATTEMPTS];
	if (a->n == S2S_TRACE_LINES)
		return;
	if (!a->lines)
		a->lines = xcalloc(S2S_TRACE_LINES, sizeof(*a->lines));
	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len >= (int)sizeof(text))
		trim(text, sizeof(text) - 1);
	a->lines[a->n++] = (struct s2s_trace_line){ clock_wall_ms(), xstrdup(text) };
}

void s2s_trace_each(const struct s2s_trace *t,
	void (*fn)(unsigned attempt, const struct s2s_trace_line *line, void *arg), void *arg)
{
	unsigned first = t->begun > S2S_TRACE_ATTEMPTS ? t->begun - S2S_TRACE_ATTEMPTS : 0;

	for (unsigned i = first; i < t->begun; i++) {
		const struct s2s_attempt *a = &t->attempts[i % S2S_TRACE_ATTEMPTS];

		for (unsigned k = 0; k < a->n; k++)
			fn(i + 1, &a->lines[k], arg);
	}
}

void s2s_trace_fini(struct s2s_trace *t)
{
	for (unsigned i = 0; i < S2S_TRACE_ATTEMPTS; i++)
		forget(&t->attempts[i]);
}
