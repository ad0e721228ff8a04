/* tests/unit/bench/finished_run.h - a run to show, with a name that no format may trip over. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "bench/bench_run.h"

#define AWKWARD "<&\"'>\\ \xc3\xbc ]]>"

/* Looks at the server's memory and sessions grow for a while; then messages. */
static inline void finished_timeline(struct timeline *t)
{
	t->n = t->room = 20;
	t->at = calloc(t->n, sizeof(*t->at));
	for (unsigned i = 0; i < t->n; i++) {
		struct sample *s = &t->at[i];

		s->at_s = i;
		s->phase = i < 10 ? PHASE_LOGIN : i < 18 ? PHASE_MEASURE : PHASE_DRAIN;
		s->sessions = i < 10 ? i * 10 : 100;
		s->memory = i < 10 ? (8 + i) * 1048576ull : 0;
		s->operations = i < 10 ? 0 : 1000;
		s->per_second = (double)s->operations;
		s->p50_us = s->operations ? 100 : 0;
		s->p99_us = s->operations ? 900 : 0;
		s->server_cores = 0.5;
		s->own_cores = 0.25;
	}
}

static inline void finished_run(struct run *r, struct options *o)
{
	struct window w = { "message", true, 2, 8000, 500000, 4000000000, 3000000, 2000, 0.95 };
	struct hist h;

	*o = (struct options){ .scenario = "chat", .host = "127.0.0.1", .port = 5222 };
	o->server.n = 1;
	*r = (struct run){ .options = o, .processes = 2 };
	snprintf(r->title, sizeof(r->title), "chat: %s", AWKWARD);
	snprintf(r->began, sizeof(r->began), "2026-11-21T16:27:43Z");
	hist_clear(&h);
	for (uint64_t us = 50; us < 100000; us += us / 10)
		hist_add(&h, us);
	report_window(&r->report, &w);
	report_hist(&r->report, "latency", &h);
	report_add(&r->report, "lost", 0, "");
	report_add(&r->report, "undefined", 0.0 / 0.0, "us");
	report_figures(&r->report, &r->figures);
	finished_timeline(&r->timeline);
}

/* What is written, to be freed. */
static inline char *written(bool (*write)(const struct run *r, FILE *out), const struct run *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool good = write(r, out);

	fclose(out);
	if (!good) {
		free(text);
		return NULL;
	}
	return text;
}
