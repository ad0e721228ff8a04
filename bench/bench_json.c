/* bench/bench_json.c - a run for programs. */
#include <jansson.h>
#include <math.h>

#include "bench/bench_run.h"

/* Three digits behind the point are more than any figure is worth. */
static json_t *number(double value)
{
	if (!isfinite(value))
		return json_null();
	if (fabs(value) < 1e15 && value == (double)(int64_t)value)
		return json_integer((json_int_t)value);
	return json_real(round(value * 1000) / 1000);
}

/* [[longest in us, how many], ...] of the buckets that hold any. */
static json_t *buckets(const struct hist *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (h->count[i])
			json_array_append_new(list,
				json_pack("[I, I]", (json_int_t)hist_top(i),
					(json_int_t)h->count[i]));
	return list;
}

static json_t *timeline(const struct timeline *t)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < t->n; i++) {
		const struct sample *s = &t->at[i];
		json_t *one = json_pack("{s:o, s:s, s:i, s:o, s:I, s:I, s:o, s:o}", "at_s",
			number(s->at_s), "phase", phase_name(s->phase), "sessions", s->sessions,
			"per_second", number(s->per_second), "p50_us", (json_int_t)s->p50_us,
			"p99_us", (json_int_t)s->p99_us, "server_cores", number(s->server_cores),
			"own_cores", number(s->own_cores));

		if (s->memory)
			json_object_set_new(
				one, "server_memory", json_integer((json_int_t)s->memory));
		json_array_append_new(list, one);
	}
	return list;
}

bool run_json(const struct run *r, FILE *out)
{
	json_t *run = json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:b}", "run", r->title, "scenario",
		r->options->scenario, "began", r->began, "version", LINNET_VERSION, "processes",
		r->processes, "good", r->good, "generator_was_limit",
		report_own_limit(&r->report) == OWN_BUSY);
	json_t *units = json_object(), *timings = json_object();
	bool written;

	if (r->not_offered)
		json_object_set_new(run, "not_offered", json_string(r->not_offered));
	for (unsigned i = 0; i < r->figures.n; i++) {
		const struct figure *f = &r->figures.at[i];

		json_object_set_new(run, f->name, number(f->value));
		if (*f->unit)
			json_object_set_new(units, f->name, json_string(f->unit));
	}
	for (unsigned i = 0; i < r->report.n_timings; i++)
		json_object_set_new(
			timings, r->report.timings[i].name, buckets(&r->report.timings[i].hist));
	json_object_set_new(run, "units", units);
	json_object_set_new(run, "buckets", timings);
	json_object_set_new(run, "timeline", timeline(&r->timeline));
	written = !json_dumpf(run, out, JSON_COMPACT | JSON_REAL_PRECISION(12)) &&
		fputc('\n', out) != EOF && !fflush(out);
	json_decref(run);
	return written;
}
