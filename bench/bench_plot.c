/* bench/bench_plot.c - axes, ticks and marks; colours and type are the page's style. */
#include "bench/bench_plot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WIDTH 640.0
#define HEIGHT 300.0
#define LEFT 64.0
#define RIGHT 16.0
#define TOP 16.0
#define BOTTOM 48.0

/* --- filling ----------------------------------------------------------------------------- */

struct plot_series *plot_series(struct plot *p, const char *name, enum plot_form form)
{
	struct plot_series *s = &p->series[p->n_series];

	REQUIRE(p->n_series < PLOT_SERIES_MAX);
	p->n_series++;
	*s = (struct plot_series){ .name = name, .form = form };
	return s;
}

void plot_point(struct plot_series *s, double x, double y)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->at = realloc(s->at, s->room * sizeof(*s->at));
		if (!s->at)
			abort();
	}
	s->at[s->n++] = (struct plot_point){ x, y };
}

void plot_mark(struct plot *p, double x, const char *format, ...)
{
	struct plot_mark *m = &p->marks[p->n_marks];
	va_list args;

	if (p->n_marks == PLOT_MARKS_MAX)
		return;
	p->n_marks++;
	m->x = x;
	va_start(args, format);
	vsnprintf(m->label, sizeof(m->label), format, args);
	va_end(args);
}

void plot_fini(struct plot *p)
{
	for (unsigned i = 0; i < p->n_series; i++)
		free(p->series[i].at);
	p->n_series = p->n_marks = 0;
}

bool plot_has_points(const struct plot *p)
{
	for (unsigned i = 0; i < p->n_series; i++)
		if (p->series[i].n > 1)
			return true;
	return false;
}

/* --- ticks ------------------------------------------------------------------------------- */

double plot_step(double range)
{
	double power = pow(10, floor(log10(range))), times = range / power;

	return times < 2 ? power / 5 : times < 5 ? power / 2 : power;
}

void plot_tick(double value, char *out, size_t room)
{
	double size = fabs(value);

	if (size < 1e-12)
		snprintf(out, room, "0");
	else if (size >= 1e6)
		snprintf(out, room, "%gM", value / 1e6);
	else if (size >= 1e4)
		snprintf(out, room, "%gk", value / 1e3);
	else
		snprintf(out, room, "%g", value);
}

/* --- drawing ----------------------------------------------------------------------------- */

struct drawing {
	const struct plot *plot;
	xmlTextWriterPtr out;
	double x_min, x_max, y_max; /* y begins at 0 */
};

static void begin(struct drawing *d, const char *name, const char *class)
{
	xmlTextWriterStartElement(d->out, BAD_CAST name);
	if (class)
		xmlTextWriterWriteAttribute(d->out, BAD_CAST "class", BAD_CAST class);
}

static void end(struct drawing *d)
{
	xmlTextWriterEndElement(d->out);
}

static void number(struct drawing *d, const char *name, double value)
{
	xmlTextWriterWriteFormatAttribute(d->out, BAD_CAST name, "%.1f", value);
}

static void line(struct drawing *d, const char *class, double x1, double y1, double x2, double y2)
{
	begin(d, "line", class);
	number(d, "x1", x1);
	number(d, "y1", y1);
	number(d, "x2", x2);
	number(d, "y2", y2);
	end(d);
}

static void text(struct drawing *d, const char *class, double x, double y, const char *what)
{
	begin(d, "text", class);
	number(d, "x", x);
	number(d, "y", y);
	xmlTextWriterWriteString(d->out, BAD_CAST what);
	end(d);
}

static void hint(struct drawing *d, const struct plot_series *s, double x, double y)
{
	char at_x[32], at_y[32];

	snprintf(at_x, sizeof(at_x), "%.4g", x);
	snprintf(at_y, sizeof(at_y), "%.4g", y);
	xmlTextWriterWriteFormatElement(
		d->out, BAD_CAST "title", "%s: %s at %s %s", s->name, at_y, d->plot->x_label, at_x);
}

static double place_x(const struct drawing *d, double x)
{
	double share = d->plot->log_x ? log(x / d->x_min) / log(d->x_max / d->x_min)
				      : (x - d->x_min) / (d->x_max - d->x_min);

	return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct drawing *d, double y)
{
	return HEIGHT - BOTTOM - y / d->y_max * (HEIGHT - TOP - BOTTOM);
}

static void measure(struct drawing *d)
{
	bool any = false;

	for (unsigned i = 0; i < d->plot->n_series; i++)
		for (unsigned k = 0; k < d->plot->series[i].n; k++) {
			const struct plot_point *at = &d->plot->series[i].at[k];

			d->x_min = !any || at->x < d->x_min ? at->x : d->x_min;
			d->x_max = !any || at->x > d->x_max ? at->x : d->x_max;
			d->y_max = at->y > d->y_max ? at->y : d->y_max;
			any = true;
		}
	if (!(d->x_max > d->x_min))
		d->x_max = d->plot->log_x ? d->x_min * 10 : d->x_min + 1;
	if (!(d->y_max > 0))
		d->y_max = 1;
	d->y_max = ceil(d->y_max / plot_step(d->y_max)) * plot_step(d->y_max);
}

static void tick_x(struct drawing *d, double x)
{
	char label[32];

	if (x < d->x_min * 0.9999 || x > d->x_max * 1.0001)
		return;
	plot_tick(x, label, sizeof(label));
	line(d, "grid", place_x(d, x), TOP, place_x(d, x), HEIGHT - BOTTOM);
	text(d, "tick middle", place_x(d, x), HEIGHT - BOTTOM + 16, label);
}

/* Powers of ten; with few of them also 2 and 5 times each. */
static void log_ticks(struct drawing *d)
{
	bool few = d->x_max / d->x_min < 300;

	for (int power = (int)floor(log10(d->x_min)); pow(10, power) <= d->x_max; power++) {
		tick_x(d, pow(10, power));
		if (few) {
			tick_x(d, 2 * pow(10, power));
			tick_x(d, 5 * pow(10, power));
		}
	}
}

static void axes(struct drawing *d)
{
	double step = plot_step(d->x_max - d->x_min);
	char label[32];

	if (d->plot->log_x)
		log_ticks(d);
	else
		for (double k = ceil(d->x_min / step); k * step <= d->x_max * 1.0001; k++)
			tick_x(d, k * step);
	step = plot_step(d->y_max);
	for (double k = 0; k * step <= d->y_max * 1.0001; k++) {
		double y = place_y(d, k * step);

		plot_tick(k * step, label, sizeof(label));
		line(d, k > 0 ? "grid" : "axis", LEFT, y, WIDTH - RIGHT, y);
		text(d, "tick end", LEFT - 6, y + 4, label);
	}
	text(d, "label middle", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, d->plot->x_label);
	begin(d, "text", "label middle");
	xmlTextWriterWriteFormatAttribute(d->out, BAD_CAST "transform",
		"translate(14 %.1f) rotate(-90)", (TOP + HEIGHT - BOTTOM) / 2);
	xmlTextWriterWriteString(d->out, BAD_CAST d->plot->y_label);
	end(d);
}

static void draw_line(struct drawing *d, const struct plot_series *s, const char *class)
{
	begin(d, "path", class);
	xmlTextWriterStartAttribute(d->out, BAD_CAST "d");
	for (unsigned i = 0; i < s->n; i++)
		xmlTextWriterWriteFormatString(d->out, "%c%.1f %.1f", i ? 'L' : 'M',
			place_x(d, s->at[i].x), place_y(d, s->at[i].y));
	xmlTextWriterEndAttribute(d->out);
	end(d);
}

/* Large enough to be pointed at, also where the line alone is drawn. */
static void draw_points(struct drawing *d, const struct plot_series *s, const char *class, double r)
{
	for (unsigned i = 0; i < s->n; i++) {
		begin(d, "circle", class);
		number(d, "cx", place_x(d, s->at[i].x));
		number(d, "cy", place_y(d, s->at[i].y));
		number(d, "r", r);
		hint(d, s, s->at[i].x, s->at[i].y);
		end(d);
	}
}

static void draw_bars(struct drawing *d, const struct plot_series *s, const char *class)
{
	for (unsigned i = 0; i + 1 < s->n; i++) {
		double left = place_x(d, s->at[i].x), right = place_x(d, s->at[i + 1].x);
		double top = place_y(d, s->at[i].y);

		if (s->at[i].y <= 0)
			continue;
		begin(d, "rect", class);
		number(d, "x", left + 1);
		number(d, "y", top);
		number(d, "width", right - left > 3 ? right - left - 2 : 1);
		number(d, "height", HEIGHT - BOTTOM - top);
		hint(d, s, s->at[i].x, s->at[i].y);
		end(d);
	}
}

static void draw_series(struct drawing *d, unsigned which)
{
	const struct plot_series *s = &d->plot->series[which];

	switch (s->form) {
	case PLOT_BARS:
		draw_bars(d, s, which ? "bar second" : "bar first");
		break;
	case PLOT_LINE:
		draw_line(d, s, which ? "line second" : "line first");
		draw_points(d, s, "touch", 6);
		break;
	case PLOT_DOTS:
		draw_line(d, s, which ? "thin second" : "thin first");
		draw_points(d, s, which ? "dot second" : "dot first", 4);
		break;
	}
}

/* Each label one line lower than the one before, so that close ones can be read. */
static void draw_marks(struct drawing *d)
{
	for (unsigned i = 0; i < d->plot->n_marks; i++) {
		const struct plot_mark *m = &d->plot->marks[i];
		double x = place_x(d, m->x);
		bool right = x > (LEFT + WIDTH - RIGHT) / 2;

		if (m->x < d->x_min || m->x > d->x_max)
			continue;
		line(d, "mark", x, TOP, x, HEIGHT - BOTTOM);
		text(d, right ? "note end" : "note", right ? x - 4 : x + 4, TOP + 10 + 14 * i,
			m->label);
	}
}

void plot_write(const struct plot *p, xmlTextWriterPtr out)
{
	struct drawing d = { .plot = p, .out = out };

	measure(&d);
	begin(&d, "svg", NULL);
	xmlTextWriterWriteAttribute(out, BAD_CAST "xmlns", BAD_CAST "http://www.w3.org/2000/svg");
	xmlTextWriterWriteFormatAttribute(out, BAD_CAST "viewBox", "0 0 %.0f %.0f", WIDTH, HEIGHT);
	xmlTextWriterWriteAttribute(out, BAD_CAST "role", BAD_CAST "img");
	xmlTextWriterWriteFormatAttribute(
		out, BAD_CAST "aria-label", "%s: %s by %s", p->title, p->y_label, p->x_label);
	axes(&d);
	for (unsigned i = 0; i < p->n_series; i++)
		draw_series(&d, i);
	draw_marks(&d);
	end(&d);
}
