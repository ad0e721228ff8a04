/* cmd/linnetd_manual.c - all options for people: the reference in the manual's two formats, and the
 * commented settings file. */
#include "cmd/linnetd_manual.h"

#include <string.h>

#include "cmd/linnetd_settings.h"
#include "core/cli.h"
#include "modules/registry.h"

struct printing {
	FILE *out;
	enum conf_format format;
	bool begun; /* something stands before what comes next */
};

static void heading(struct printing *p, const char *text)
{
	fputs(p->format == CONF_MARKDOWN ? "\n### " : ".SS ", p->out);
	fputs(text, p->out);
	fputc('\n', p->out);
	p->begun = false;
}

static void paragraph(struct printing *p, const char *text)
{
	if (p->format == CONF_MARKDOWN) {
		fprintf(p->out, "\n%s\n", text);
		return;
	}
	fputs(p->begun ? ".PP\n" : "", p->out);
	p->begun = true;
	cli_roff(text, p->out);
	fputc('\n', p->out);
}

static void print_chapter(const char *title, const struct conf_item *rows, void *arg)
{
	const struct printing *p = arg;

	fprintf(p->out, p->format == CONF_MARKDOWN ? "\n## %s\n" : ".SS %s\n", title);
	conf_reference(rows, "", p->out, p->format);
}

/* ---- Modules ---- */

static const char *types_text(enum iq_types types)
{
	return types == IQ_FOR_GET ? "get" : types == IQ_FOR_SET ? "set" : "get and set";
}

/* "Implements XEP-0012 2.0. Answers jabber:iq:last (get) to the server: no_queue." */
static const char *facts(const struct module *m, struct arena *a)
{
	const char *text = "", *before = "Implements ";
	char disc_text[IQDISC_TEXT_MAX];

	for (const char *const *xep = m->xeps; xep && *xep; xep++, before = ", ")
		text = arena_printf(a, "%s%s%s", text, before, *xep);
	if (*text)
		text = arena_printf(a, "%s.", text);
	before = *text ? " Answers " : "Answers ";
	for (const struct iq_row *row = m->iq; row && row->ns; row++, before = "; ") {
		struct iqdisc disc = { row->disc, row->queues ? row->queues : IQ_ROW_QUEUES, 0 };

		text = arena_printf(a, "%s%s%s (%s) to %s: %s", text, before, row->ns,
			types_text(row->types), row->scope == IQ_LOCAL ? "the server" : "accounts",
			iqdisc_text(&disc, disc_text));
	}
	return m->iq && m->iq->ns ? arena_printf(a, "%s.", text) : text;
}

/* The options that every module with requests has besides its own; the last row printed counts. */
static void find_common(const struct module *m UNUSED, const struct conf_item *common, void *arg)
{
	if (common)
		*(const struct conf_item **)arg = common;
}

static void print_module(const struct module *m, const struct conf_item *common, void *arg)
{
	struct printing *p = arg;
	struct arena a;
	const char *said;

	arena_init(&a, NULL, 0);
	heading(p, arena_printf(&a, "mod_%s", m->name));
	if (m->help)
		paragraph(p, m->help);
	said = facts(m, &a);
	if (*said)
		paragraph(p, said);
	conf_reference(m->conf, arena_printf(&a, "modules.mod_%s.", m->name), p->out, p->format);
	p->begun |= m->conf && m->conf->type;
	if (common)
		paragraph(p, "Also iqdisc and max_queue, as above.");
	arena_fini(&a);
}

static void print_modules(struct printing *p)
{
	const struct conf_item *common = NULL;

	registry_reference_each(find_common, &common);
	heading(p, "Options of every module that answers requests");
	conf_reference(common, "modules.MODULE.", p->out, p->format);
	registry_reference_each(print_module, p);
}

void manual_reference(FILE *out, enum conf_format format)
{
	struct printing p = { out, format };

	settings_chapters_each(print_chapter, &p);
	print_modules(&p);
}

/* ---- The commented file ---- */

static void example_module(const struct module *m, const struct conf_item *common, void *arg)
{
	bool options = (m->conf && m->conf->type) || (common && common->type);
	FILE *out = arg;

	if (m->help)
		fprintf(out, "#   %s\n", m->help);
	fprintf(out, "#  mod_%s:%s\n", m->name, options ? "" : " {}");
	conf_example(m->conf, 4, out);
	conf_example(common, 4, out);
}

/* The modules' chapter is the last one. */
static void example_chapter(const char *title, const struct conf_item *rows, void *arg)
{
	struct printing *p = arg;
	FILE *out = p->out;
	bool modules = !strcmp(rows->name, "modules");

	fprintf(out, "%s# ---- %s ----\n", p->begun ? "\n" : "", title);
	p->begun = true;
	if (!modules) {
		conf_example(rows, 0, out);
		return;
	}
	fprintf(out, "# %s\n#modules:\n", rows->help);
	registry_reference_each(example_module, out);
}

void manual_example(FILE *out)
{
	settings_chapters_each(example_chapter, &(struct printing){ .out = out });
}
