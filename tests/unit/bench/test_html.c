/* tests/unit/bench/test_html.c - a run as a page, read back by libxml2. */
#include <criterion/criterion.h>
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>

#include "tests/unit/bench/finished_run.h"

static struct run run;
static struct options options;
static char *page;
static xmlDocPtr doc;

static void read_back(void)
{
	page = written(run_html, &run);
	cr_assert_not_null(page);
	doc = xmlReadMemory(page, (int)strlen(page), "page", NULL, XML_PARSE_NONET);
	cr_assert_not_null(doc, "not well-formed: %s", page);
}

static void release(void)
{
	xmlFreeDoc(doc);
	free(page);
	timeline_fini(&run.timeline);
}

static int count(const char *path)
{
	xmlXPathContextPtr context = xmlXPathNewContext(doc);
	xmlXPathObjectPtr found;
	int n;

	xmlXPathRegisterNs(context, BAD_CAST "s", BAD_CAST "http://www.w3.org/2000/svg");
	found = xmlXPathEvalExpression(BAD_CAST path, context);
	cr_assert_not_null(found, "%s", path);
	n = found->nodesetval ? found->nodesetval->nodeNr : 0;
	xmlXPathFreeObject(found);
	xmlXPathFreeContext(context);
	return n;
}

Test(html, is_well_formed_and_keeps_the_title)
{
	xmlChar *title;

	finished_run(&run, &options);
	read_back();
	title = xmlNodeGetContent(xmlFirstElementChild(xmlDocGetRootElement(doc))->last->prev);
	cr_expect(strstr((const char *)title, AWKWARD), "%s", title);
	xmlFree(title);
	release();
}

Test(html, is_html_too)
{
	htmlDocPtr html;

	finished_run(&run, &options);
	read_back();
	html = htmlReadMemory(page, (int)strlen(page), "page", NULL,
		HTML_PARSE_NONET | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING);
	cr_assert_not_null(html);
	cr_expect_eq(strncmp(page, "<!DOCTYPE html>", 15), 0);
	xmlFreeDoc(html);
	for (const char *at = page; (at = strstr(at, "/>")); at++) {
		const char *begins = at;

		while (*begins != '<')
			begins--;
		cr_expect(strncmp(begins, "<div", 4) && strncmp(begins, "<span", 5) &&
				strncmp(begins, "<td", 3),
			"HTML takes it for an open tag: %.40s", begins);
	}
	release();
}

Test(html, needs_nothing_from_elsewhere)
{
	finished_run(&run, &options);
	read_back();
	cr_expect_eq(count("//script | //link | //img | //*[@src] | //*[@href]"), 0);
	cr_expect_null(strstr(page, "url("));
	cr_expect_null(strstr(page, "@import"));
	release();
}

Test(html, every_plot_has_labelled_axes)
{
	static const char *const labels[] = { "latency (ms)", "share of all (%)",
		"messages per second", "CPU (cores)", "sessions", "PSS (MiB)" };

	finished_run(&run, &options);
	read_back();
	cr_expect_eq(count("//s:svg"), 5);
	cr_expect_eq(count("//s:text[starts-with(@class, 'label')]"), 10);
	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		char path[100];

		snprintf(path, sizeof(path), "//s:text[. = '%s']", labels[i]);
		cr_expect_geq(count(path), 1, "%s", labels[i]);
	}
	release();
}

Test(html, every_mark_lies_within_its_plot)
{
	finished_run(&run, &options);
	read_back();
	cr_expect_geq(count("//s:circle"), 10);
	cr_expect_geq(count("//s:rect"), 10);
	cr_expect_eq(count("//s:circle[@cx < 64 or @cx > 624 or @cy < 16 or @cy > 252]"), 0);
	cr_expect_eq(count("//s:rect[@x < 64 or @x + @width > 624 or @y < 16]"), 0);
	cr_expect_eq(count("//s:svg//@*[contains(., 'nan') or contains(., 'inf')]"), 0);
	release();
}

Test(html, all_figures_are_in_the_table)
{
	finished_run(&run, &options);
	read_back();
	cr_expect_eq(count("//tr"), (int)run.figures.n);
	release();
}

Test(html, a_run_without_anything_to_plot_is_a_page_too)
{
	finished_run(&run, &options);
	timeline_fini(&run.timeline);
	run.report.n_timings = run.report.n_windows = 0;
	read_back();
	cr_expect_eq(count("//s:svg"), 0);
	cr_expect_eq(count("//h1"), 1);
	release();
}

Test(html, a_single_latency_can_be_drawn)
{
	finished_run(&run, &options);
	hist_clear(&run.report.timings[0].hist);
	hist_add(&run.report.timings[0].hist, 0);
	read_back();
	cr_expect_eq(count("//s:rect"), 1);
	release();
}

Test(html, says_what_is_not_offered)
{
	finished_run(&run, &options);
	run.not_offered = "no rooms & " AWKWARD;
	read_back();
	cr_expect_eq(count("//div[@class='bad'][starts-with(., 'Not offered by this server: no "
			   "rooms & ')]"),
		1);
	release();
}
