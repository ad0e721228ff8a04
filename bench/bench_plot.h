/* bench/bench_plot.h - one chart as SVG, part of a page: points over two axes with units, no
 * script. What a mark means is in its <title>, which browsers show where one points. */
#pragma once

#include <libxml/xmlwriter.h>

#include "core/attr.h"

enum plot_form {
	PLOT_LINE,
	PLOT_DOTS, /* joined by a thin line */
	PLOT_BARS, /* each from its x to the next one's; the last point only ends the one before */
};
struct plot_point {
	double x, y;
};
struct plot_series {
	const char *name;
	enum plot_form form;
	struct plot_point *at; /* owned */
	unsigned n, room;
};
struct plot_mark { /* a vertical line */
	double x;
	char label[48];
};
#define PLOT_SERIES_MAX 2
#define PLOT_MARKS_MAX 6
struct plot {
	const char *title, *x_label, *y_label; /* the labels with their units */
	bool log_x; /* x above 0 then */
	struct plot_series series[PLOT_SERIES_MAX];
	struct plot_mark marks[PLOT_MARKS_MAX];
	unsigned n_series, n_marks;
};
/* More than PLOT_SERIES_MAX are a mistake. */
struct plot_series *plot_series(struct plot *p, const char *name, enum plot_form form);
void plot_point(struct plot_series *s, double x, double y);
void plot_mark(struct plot *p, double x, const char *format, ...) PRINTF_LIKE(3, 4);
/* False: there is nothing to draw. */
bool plot_has_points(const struct plot *p);
void plot_write(const struct plot *p, xmlTextWriterPtr out);
void plot_fini(struct plot *p);

/* Where an axis has its ticks: from a multiple of the step on, or 1, 10, 100 times a power. */
double plot_step(double range); /* 1, 2 or 5 times a power of ten; four to ten of them in range */
void plot_tick(double value, char *out, size_t room); /* 0.05, 12, 20k, 1.5M */
