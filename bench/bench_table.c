/* bench/bench_table.c - a run for people, in lines. */
#include "bench/bench_run.h"

#include <math.h>

#include "core/cli.h"

/* Whole numbers as such. */
void run_value(double value, char *out, size_t room)
{
	if (!isfinite(value))
		snprintf(out, room, "-");
	else if (fabs(value) < 1e15 && value == (double)(int64_t)value)
		snprintf(out, room, "%lld", (long long)value);
	else
		snprintf(out, room, value < 100 ? "%.2f" : "%.1f", value);
}

void run_table(const struct run *r, FILE *out)
{
	char value[40], text[240];

	if (r->not_offered) {
		fprintf(out, "%s: not offered by this server: %s\n", r->options->scenario,
			r->not_offered);
		return;
	}
	fprintf(out, "%s\n", r->title);
	for (unsigned i = 0; i < r->figures.n; i++) {
		const struct figure *f = &r->figures.at[i];

		run_value(f->value, value, sizeof(value));
		fprintf(out, "  %-34s %s%s%s\n", f->name, value, *f->unit ? " " : "", f->unit);
	}
	report_own_text(&r->report, text, sizeof(text));
	if (*text)
		cli_wrap(text, 0, 2, out);
}
