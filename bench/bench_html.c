/* bench/bench_html.c - a run as a page: the main figures, the plots, all figures. It is written as
 * XML that is also HTML, so nothing that a title holds can break it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_plot.h"
#include "bench/bench_run.h"

#define BARS_PER_OCTAVE 4

/* No <, >, & or quotes: it is written as text. */
static const char style[] =
	"\n:root{color-scheme:light dark;--paper:#fcfcfb;--card:#fff;--ink:#1a1a19;--muted:#63625c;"
	"--grid:#e7e6e1;--first:#2a6fdb;--second:#c75f06;--bad:#b42318}\n"
	"@media (prefers-color-scheme:dark){:root{--paper:#151514;--card:#1f1f1d;--ink:#f2f1ee;"
	"--muted:#a5a49c;--grid:#3a3a37;--first:#6aa5f5;--second:#f09a50;--bad:#ff8a7a}}\n"
	"body{margin:0 auto;max-width:1400px;padding:24px;background:var(--paper);color:var(--ink);"
	"font:15px/1.45 system-ui,sans-serif}\n"
	"h1{font-size:22px;margin:0}h2{font-size:16px;margin:0 0 8px}\n"
	".muted{color:var(--muted)}.bad{color:var(--bad)}\n"
	".tiles,.plots{display:grid;gap:16px;margin:20px 0}\n"
	".tiles{grid-template-columns:repeat(auto-fit,minmax(170px,1fr))}\n"
	".plots{grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr))}\n"
	".tile,section{background:var(--card);border:1px solid var(--grid);border-radius:8px;"
	"padding:14px 16px}\n"
	".tile b{display:block;font-size:24px;font-weight:600}\n"
	"table{border-collapse:collapse}td{padding:2px 16px 2px 0;"
	"border-bottom:1px solid var(--grid)}\n"
	"td.value{text-align:right;font-variant-numeric:tabular-nums}\n"
	"svg{display:block;width:100%;height:auto}svg text{fill:var(--muted);font-size:12px}\n"
	".middle{text-anchor:middle}.end{text-anchor:end}svg "
	".note{fill:var(--ink);paint-order:stroke;"
	"stroke:var(--card);stroke-width:4px}\n"
	".grid{stroke:var(--grid)}.axis{stroke:var(--muted)}\n"
	".mark{stroke:var(--muted);stroke-dasharray:3 3}\n"
	".line,.thin{fill:none;stroke-width:2;stroke-linejoin:round}.thin{stroke-width:1}\n"
	".touch{fill:transparent}\n"
	".line.first,.thin.first{stroke:var(--first)}.line.second,.thin.second{stroke:var(--second)"
	"}\n"
	".bar.first,.dot.first{fill:var(--first)}.bar.second,.dot.second{fill:var(--second)}\n"
	".key{display:inline-block;width:12px;height:12px;border-radius:3px;margin:0 6px 0 12px}\n"
	".key.first{background:var(--first)}.key.second{background:var(--second)}\n";

static void begin(xmlTextWriterPtr w, const char *name, const char *class)
{
	xmlTextWriterStartElement(w, BAD_CAST name);
	if (class)
		xmlTextWriterWriteAttribute(w, BAD_CAST "class", BAD_CAST class);
}

/* Never <x/>, which HTML takes for an open tag. */
static void end(xmlTextWriterPtr w)
{
	xmlTextWriterFullEndElement(w);
}

static void element(xmlTextWriterPtr w, const char *name, const char *class, const char *text)
{
	begin(w, name, class);
	xmlTextWriterWriteString(w, BAD_CAST text);
	end(w);
}

/* --- the plots --------------------------------------------------------------------------- */

static void write_plot(struct plot *p, xmlTextWriterPtr w)
{
	static const char *const keys[PLOT_SERIES_MAX] = { "key first", "key second" };

	if (plot_has_points(p)) {
		begin(w, "section", NULL);
		begin(w, "h2", NULL);
		xmlTextWriterWriteString(w, BAD_CAST p->title);
		for (unsigned i = 0; p->n_series > 1 && i < p->n_series; i++) {
			element(w, "span", keys[i], "");
			element(w, "span", "muted", p->series[i].name);
		}
		end(w);
		plot_write(p, w);
		end(w);
	}
	plot_fini(p);
}

/* Bars of a quarter of a power of two, as shares of all. */
static void distribution(const struct timing *t, xmlTextWriterPtr w)
{
	static const struct {
		const char *name;
		double share;
	} marks[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 }, { "p99.9", 0.999 } };
	struct plot p = { .title = "Latency distribution",
		.x_label = "latency (ms)",
		.y_label = "share of all (%)",
		.log_x = true };
	struct plot_series *s = plot_series(&p, "share in %", PLOT_BARS);
	double sums[64 * BARS_PER_OCTAVE] = { 0 };
	int first = -1, last = -1;
	char title[64];

	snprintf(title, sizeof(title), "Distribution of %s", t->name);
	p.title = title;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		double middle = ((double)hist_bottom(i) + (double)hist_top(i) + 1) / 2;
		int bar = middle > 1 ? (int)(log2(middle) * BARS_PER_OCTAVE) : 0;

		if (!t->hist.count[i])
			continue;
		first = first < 0 ? bar : first;
		last = bar;
		sums[bar] += (double)t->hist.count[i] * 100 / (double)t->hist.n;
	}
	for (int bar = first; bar >= 0 && bar <= last + 1; bar++)
		plot_point(
			s, exp2((double)bar / BARS_PER_OCTAVE) / 1e3, bar <= last ? sums[bar] : 0);
	for (unsigned i = 0; i < ARRAY_LEN(marks); i++) {
		double ms = (double)hist_at(&t->hist, marks[i].share) / 1e3;

		plot_mark(&p, ms, "%s %.3g ms", marks[i].name, ms);
	}
	write_plot(&p, w);
}

static void mark_measuring(struct plot *p, const struct timeline *t)
{
	for (unsigned i = 1; i < t->n; i++)
		if (t->at[i].phase != t->at[i - 1].phase &&
			(t->at[i].phase == PHASE_MEASURE || t->at[i].phase == PHASE_DRAIN))
			plot_mark(p, t->at[i].at_s, "%s", phase_name(t->at[i].phase));
}

static void throughput(const struct run *r, xmlTextWriterPtr w)
{
	struct plot p = { .title = "Throughput", .x_label = "time (s)" };
	struct plot_series *s = plot_series(&p, "operations per second", PLOT_LINE);
	const struct timeline *t = &r->timeline;
	char label[64], many[36] = "operations";
	bool any = false;

	if (r->report.n_windows)
		window_plural(&r->report.windows[0], many, sizeof(many));
	snprintf(label, sizeof(label), "%s per second", many);
	p.y_label = s->name = label;
	for (unsigned i = 0; i < t->n; i++) {
		any |= t->at[i].operations > 0;
		if (t->at[i].phase >= PHASE_WARMUP)
			plot_point(s, t->at[i].at_s, t->at[i].per_second);
	}
	mark_measuring(&p, t);
	if (any)
		write_plot(&p, w);
	else
		plot_fini(&p);
}

static void latency_by_time(const struct run *r, xmlTextWriterPtr w)
{
	struct plot p = { .title = "Latency", .x_label = "time (s)", .y_label = "latency (ms)" };
	struct plot_series *p50 = plot_series(&p, "p50", PLOT_LINE);
	struct plot_series *p99 = plot_series(&p, "p99", PLOT_LINE);
	const struct timeline *t = &r->timeline;

	for (unsigned i = 0; i < t->n; i++)
		if (t->at[i].operations) {
			plot_point(p50, t->at[i].at_s, (double)t->at[i].p50_us / 1e3);
			plot_point(p99, t->at[i].at_s, (double)t->at[i].p99_us / 1e3);
		}
	mark_measuring(&p, t);
	write_plot(&p, w);
}

static void cpu(const struct run *r, xmlTextWriterPtr w)
{
	struct plot p = { .title = "CPU", .x_label = "time (s)", .y_label = "CPU (cores)" };
	struct plot_series *server = NULL, *own;
	const struct timeline *t = &r->timeline;

	if (r->options->server.n)
		server = plot_series(&p, "server", PLOT_LINE);
	own = plot_series(&p, "load generator", PLOT_LINE);
	for (unsigned i = 1; i < t->n; i++) { /* the first has nothing before it */
		if (server)
			plot_point(server, t->at[i].at_s, t->at[i].server_cores);
		plot_point(own, t->at[i].at_s, t->at[i].own_cores);
	}
	mark_measuring(&p, t);
	write_plot(&p, w);
}

static void memory(const struct run *r, xmlTextWriterPtr w)
{
	struct plot p = {
		.title = "Server memory by sessions", .x_label = "sessions", .y_label = "PSS (MiB)"
	};
	struct plot_series *s = plot_series(&p, "MiB", PLOT_DOTS);
	const struct timeline *t = &r->timeline;

	for (unsigned i = 0; i < t->n; i++)
		if (t->at[i].memory && t->at[i].phase <= PHASE_MEASURE)
			plot_point(s, t->at[i].sessions, (double)t->at[i].memory / 1048576);
	write_plot(&p, w);
}

/* --- the page ---------------------------------------------------------------------------- */

static void tile(xmlTextWriterPtr w, const char *name, double value, const char *unit)
{
	char number[40], text[80];

	run_value(value, number, sizeof(number));
	snprintf(text, sizeof(text), "%s%s%s", number, *unit ? " " : "", unit);
	begin(w, "div", "tile");
	element(w, "b", NULL, text);
	element(w, "span", "muted", name);
	end(w);
}

static void tiles(const struct run *r, xmlTextWriterPtr w)
{
	const struct report *report = &r->report;
	char name[64], many[36];

	begin(w, "div", "tiles");
	if (report->n_windows) {
		const struct window *first = &report->windows[0];

		window_plural(first, many, sizeof(many));
		snprintf(name, sizeof(name), "%s per second", many);
		tile(w, name, round(first->per_second), "");
		snprintf(name, sizeof(name), "server CPU per %s", first->name);
		if (first->has_server && first->operations)
			tile(w, name,
				(double)first->server_us / first->processes /
					(double)first->operations,
				"µs");
	}
	for (unsigned i = 0; i < report->n_timings && !i; i++) {
		snprintf(name, sizeof(name), "%s, median", report->timings[i].name);
		tile(w, name, (double)hist_at(&report->timings[i].hist, 0.5) / 1e3, "ms");
		snprintf(name, sizeof(name), "%s, p99", report->timings[i].name);
		tile(w, name, (double)hist_at(&report->timings[i].hist, 0.99) / 1e3, "ms");
	}
	for (unsigned i = 0; i < report->n; i++)
		if (!strcmp(report->figures[i].name, "server_memory_per_session"))
			tile(w, "server memory per session", report->figures[i].value / 1024,
				"KiB");
	end(w);
}

static void table(const struct run *r, xmlTextWriterPtr w)
{
	char value[40];

	begin(w, "section", NULL);
	element(w, "h2", NULL, "All figures");
	begin(w, "table", NULL);
	for (unsigned i = 0; i < r->figures.n; i++) {
		const struct figure *f = &r->figures.at[i];

		run_value(f->value, value, sizeof(value));
		begin(w, "tr", NULL);
		element(w, "td", NULL, f->name);
		element(w, "td", "value", value);
		element(w, "td", "muted", f->unit);
		end(w);
	}
	end(w);
	end(w);
}

static void head(const struct run *r, xmlTextWriterPtr w)
{
	begin(w, "head", NULL);
	begin(w, "meta", NULL);
	xmlTextWriterWriteAttribute(w, BAD_CAST "charset", BAD_CAST "utf-8");
	xmlTextWriterEndElement(w);
	begin(w, "meta", NULL);
	xmlTextWriterWriteAttribute(w, BAD_CAST "name", BAD_CAST "viewport");
	xmlTextWriterWriteAttribute(
		w, BAD_CAST "content", BAD_CAST "width=device-width, initial-scale=1");
	xmlTextWriterEndElement(w);
	element(w, "title", NULL, r->title);
	element(w, "style", NULL, style);
	end(w);
}

static void summary(const struct run *r, xmlTextWriterPtr w)
{
	char text[240];

	element(w, "h1", NULL, r->title);
	snprintf(text, sizeof(text), "%s, %s:%u, linnet-bench " LINNET_VERSION " in %u process%s",
		r->began, r->options->host, r->options->port, r->processes,
		r->processes == 1 ? "" : "es");
	element(w, "div", "muted", text);
	if (r->not_offered) {
		snprintf(text, sizeof(text), "Not offered by this server: %s", r->not_offered);
		element(w, "div", "bad", text);
		return;
	}
	element(w, "div", r->good ? NULL : "bad",
		r->good ? "Nothing was lost, doubled or out of order."
			: "The run has failed: something was lost, doubled or out of order, or a "
			  "connection broke.");
	report_own_text(&r->report, text, sizeof(text));
	if (*text)
		element(w, "div", "bad", text);
}

static void page(const struct run *r, xmlTextWriterPtr w)
{
	begin(w, "html", NULL);
	xmlTextWriterWriteAttribute(w, BAD_CAST "lang", BAD_CAST "en");
	head(r, w);
	begin(w, "body", NULL);
	summary(r, w);
	tiles(r, w);
	begin(w, "div", "plots");
	for (unsigned i = 0; i < r->report.n_timings; i++)
		distribution(&r->report.timings[i], w);
	throughput(r, w);
	latency_by_time(r, w);
	cpu(r, w);
	memory(r, w);
	end(w);
	table(r, w);
	end(w);
	end(w);
}

bool run_html(const struct run *r, FILE *out)
{
	xmlBufferPtr bytes = xmlBufferCreate();
	xmlTextWriterPtr w = xmlNewTextWriterMemory(bytes, 0);
	bool written;

	if (!bytes || !w)
		abort();
	xmlTextWriterWriteRaw(w, BAD_CAST "<!DOCTYPE html>\n");
	page(r, w);
	xmlTextWriterFlush(w);
	xmlFreeTextWriter(w); /* first: it writes what is left */
	written = fwrite(xmlBufferContent(bytes), 1, (size_t)xmlBufferLength(bytes), out) ==
			(size_t)xmlBufferLength(bytes) &&
		fputc('\n', out) != EOF && !fflush(out);
	xmlBufferFree(bytes);
	return written;
}
