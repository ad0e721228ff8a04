/* bench/bench_report.c - collected, merged, made into figures. */
#include "bench/bench_report.h"

#include <stdio.h>
#include <string.h>

#define OWN_LIMIT 0.9 /* of a core */

static void add(struct report *r, const char *name, double value, const char *unit, bool same)
{
	struct figure *f = &r->figures[r->n];

	if (r->n == FIGURES_MAX)
		return;
	r->n++;
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->value = value;
	f->unit = unit;
	f->same = same;
}

void report_add(struct report *r, const char *name, double value, const char *unit)
{
	add(r, name, value, unit, false);
}

void report_same(struct report *r, const char *name, double value, const char *unit)
{
	add(r, name, value, unit, true);
}

void report_hist(struct report *r, const char *name, const struct hist *h)
{
	struct timing *t = &r->timings[r->n_timings];

	if (r->n_timings == ARRAY_LEN(r->timings))
		return;
	r->n_timings++;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->hist = *h;
}

void report_window(struct report *r, const struct window *w)
{
	if (r->n_windows < ARRAY_LEN(r->windows))
		r->windows[r->n_windows++] = *w;
}

void window_plural(const struct window *w, char *out, size_t room)
{
	size_t len = strlen(w->name);

	if (len && w->name[len - 1] == 'y')
		snprintf(out, room, "%.*sies", (int)len - 1, w->name);
	else
		snprintf(out, room, "%ss", w->name);
}

/* --- merging ----------------------------------------------------------------------------- */

static void merge_window(struct window *into, const struct window *from)
{
	into->processes += from->processes;
	into->operations += from->operations;
	into->own_us += from->own_us;
	into->wall_ns += from->wall_ns;
	into->server_us += from->server_us;
	into->per_second += from->per_second;
	if (from->busiest > into->busiest)
		into->busiest = from->busiest;
	if (from->neediest > into->neediest)
		into->neediest = from->neediest;
}

static void merge_figure(struct report *into, const struct figure *from)
{
	for (unsigned i = 0; i < into->n; i++)
		if (!strcmp(into->figures[i].name, from->name)) {
			into->figures[i].value += from->same ? 0 : from->value;
			return;
		}
	add(into, from->name, from->value, from->unit, from->same);
}

void report_merge(struct report *into, const struct report *from)
{
	unsigned k;

	for (unsigned i = 0; i < from->n_windows; i++) {
		for (k = 0; k < into->n_windows; k++)
			if (!strcmp(into->windows[k].name, from->windows[i].name))
				break;
		if (k < into->n_windows)
			merge_window(&into->windows[k], &from->windows[i]);
		else
			report_window(into, &from->windows[i]);
	}
	for (unsigned i = 0; i < from->n_timings; i++) {
		for (k = 0; k < into->n_timings; k++)
			if (!strcmp(into->timings[k].name, from->timings[i].name))
				break;
		if (k < into->n_timings)
			hist_merge(&into->timings[k].hist, &from->timings[i].hist);
		else
			report_hist(into, from->timings[i].name, &from->timings[i].hist);
	}
	for (unsigned i = 0; i < from->n; i++)
		merge_figure(into, &from->figures[i]);
}

/* --- figures ----------------------------------------------------------------------------- */

static void put(struct figures *out, const char *before, const char *name, const char *after,
	double value, const char *unit)
{
	struct figure *f = &out->at[out->n];

	if (out->n == ARRAY_LEN(out->at))
		return;
	out->n++;
	*f = (struct figure){ .value = value, .unit = unit };
	snprintf(f->name, sizeof(f->name), "%.31s%.47s%.31s", before, name, after);
}

/* What several windows would tell by one name: the first has it, the others put theirs before. */
static void put_of(struct figures *out, const struct window *w, bool first, const char *name,
	double value, const char *unit)
{
	put(out, first ? "" : w->name, first ? "" : "_", name, value, unit);
}

static void window_figures(const struct window *w, bool first, struct figures *out)
{
	double seconds = (double)w->wall_ns / 1e9 / w->processes;
	double server_us = (double)w->server_us / w->processes;
	double n = w->operations ? (double)w->operations : 1;
	char many[36];

	window_plural(w, many, sizeof(many));
	put(out, "", many, "", (double)w->operations, "");
	put_of(out, w, first, "seconds", seconds, "s");
	put(out, "", many, "_per_second", w->per_second, "/s");
	if (w->has_server) {
		put(out, "server_cpu_per_", w->name, "", server_us / n, "us");
		put_of(out, w, first, "server_cores", server_us / 1e6 / seconds, "");
	}
	put(out, "own_cpu_per_", w->name, "", (double)w->own_us / n, "us");
	put_of(out, w, first, "own_cores_busiest", w->busiest, "");
	put_of(out, w, first, "own_cores_wanted", w->neediest, "");
}

static void timing_figures(const struct timing *t, struct figures *out)
{
	static const struct {
		const char *suffix;
		double share;
	} points[] = { { "_p50", 0.5 }, { "_p95", 0.95 }, { "_p99", 0.99 }, { "_p99.9", 0.999 } };

	for (unsigned i = 0; i < ARRAY_LEN(points); i++)
		put(out, "", t->name, points[i].suffix, (double)hist_at(&t->hist, points[i].share),
			"us");
	put(out, "", t->name, "_max", (double)t->hist.max_us, "us");
}

void report_figures(const struct report *r, struct figures *out)
{
	out->n = 0;
	for (unsigned i = 0; i < r->n_windows; i++)
		window_figures(&r->windows[i], i == 0, out);
	for (unsigned i = 0; i < r->n_timings; i++)
		timing_figures(&r->timings[i], out);
	for (unsigned i = 0; i < r->n; i++)
		put(out, "", r->figures[i].name, "", r->figures[i].value, r->figures[i].unit);
}

static void own_cores(const struct report *r, double *busiest, double *neediest)
{
	*busiest = *neediest = 0;
	for (unsigned i = 0; i < r->n_windows; i++) {
		const struct window *w = &r->windows[i];

		*busiest = w->busiest > *busiest ? w->busiest : *busiest;
		*neediest = w->neediest > *neediest ? w->neediest : *neediest;
	}
}

enum own_limit report_own_limit(const struct report *r)
{
	double busiest, neediest;

	own_cores(r, &busiest, &neediest);
	return busiest >= OWN_LIMIT ? OWN_BUSY : neediest >= OWN_LIMIT ? OWN_STARVED : OWN_FREE;
}

void report_own_text(const struct report *r, char *out, size_t room)
{
	double busiest, neediest;

	own_cores(r, &busiest, &neediest);
	*out = 0;
	switch (report_own_limit(r)) {
	case OWN_FREE:
		break;
	case OWN_BUSY:
		snprintf(out, room,
			"The load generator was the limit: a process of it used %.0f %% of a core. "
			"More --processes, or more cores, would tell more about the server.",
			busiest * 100);
		break;
	case OWN_STARVED:
		snprintf(out, room,
			"The machine was the limit: a process of the load generator used %.0f %% "
			"of a core and waited for one %.0f %% of the time.",
			busiest * 100, (neediest - busiest) * 100);
		break;
	}
}
