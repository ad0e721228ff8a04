/* bench/bench_report.c - printed to standard output once a run is over. */
#include "bench/bench_report.h"

#include <stdio.h>
#include <string.h>

void report_add(struct report *r, const char *name, double value, const char *unit)
{
	struct figure *f = &r->at[r->n];

	if (r->n == FIGURES_MAX)
		return;
	r->n++;
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->value = value;
	f->unit = unit;
}

void report_hist(struct report *r, const char *name, const struct hist *h)
{
	static const struct {
		const char *suffix;
		double share;
	} points[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 }, { "p99.9", 0.999 } };
	char full[48];

	for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
		snprintf(full, sizeof(full), "%s_%s", name, points[i].suffix);
		report_add(r, full, (double)hist_at(h, points[i].share), "us");
	}
	snprintf(full, sizeof(full), "%s_max", name);
	report_add(r, full, (double)h->max_us, "us");
}

/* Whole numbers as such, others with as many digits as mean something. */
static void print_value(double value)
{
	if (value == (double)(int64_t)value)
		printf("%lld", (long long)value);
	else
		printf(value < 100 ? "%.2f" : "%.1f", value);
}

void report_table(const struct report *r, const char *title)
{
	printf("%s\n", title);
	for (unsigned i = 0; i < r->n; i++) {
		printf("  %-34s ", r->at[i].name);
		print_value(r->at[i].value);
		printf("%s%s\n", *r->at[i].unit ? " " : "", r->at[i].unit);
	}
}

static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text >= ' ')
			putchar(*text);
	}
}

void report_json(const struct report *r, const char *title)
{
	printf("{\"run\":\"");
	print_escaped(title);
	printf("\"");
	for (unsigned i = 0; i < r->n; i++) {
		printf(",\"%s\":", r->at[i].name);
		print_value(r->at[i].value);
	}
	printf("}\n");
}
