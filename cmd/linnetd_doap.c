/* cmd/linnetd_doap.c - what the server implements, as a description of a project (DOAP) with the
 * XMPP Standards Foundation's vocabulary (XEP-0453): made from the descriptors of the modules, and
 * for what is no module's from the table below. docs/linnet.doap is what it prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/buf.h"
#include "core/mem.h"
#include "modules/module.h"
#include "modules/registry.h"
#include "xml/builder.h"

#define EXTENSIONS_MAX 512
#define XEP_URL "https://xmpp.org/extensions/xep-%s.html"

/* Of the streams themselves; as a module's xeps: number, version and, unless it is whole,
 * "partial". */
static const char *const streams[] = { "XEP-0078 2.5", "XEP-0114 1.6", "XEP-0175 1.2",
	"XEP-0178 1.2", "XEP-0185 1.0", "XEP-0198 1.6.3", "XEP-0220 1.1.1",
	"XEP-0288 1.0.1 partial", "XEP-0368 1.1.0", "XEP-0386 1.1.0", "XEP-0388 1.0.4",
	"XEP-0440 1.0.0", "XEP-0474 0.5.0", "XEP-0478 0.2.0", "XEP-0480 0.2.0", "XEP-0484 0.2.0" };
static const char *const rfcs[] = { "6120", "6121", "7590", "7622" };

struct extension {
	char number[8]; /* "0133" */
	char version[16];
	bool partial;
	char *modules; /* owned: "mod_announce, mod_configure"; NULL: none's */
};
struct extensions {
	struct extension at[EXTENSIONS_MAX];
	size_t n;
	const char *module; /* whose xeps are being read; NULL: nobody's */
};

static struct extension *find(struct extensions *all, const char *number)
{
	struct extension *e;

	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->at[i].number, number) == 0)
			return &all->at[i];
	REQUIRE(all->n < EXTENSIONS_MAX);
	e = &all->at[all->n++];
	snprintf(e->number, sizeof(e->number), "%s", number);
	return e;
}

/* Of two that implement parts of the same, the newer version is told. */
static void note(struct extensions *all, const char *text)
{
	char number[8], version[16], more[16] = "";
	struct extension *e;

	REQUIRE(sscanf(text, "XEP-%7s %15s %15s", number, version, more) >= 2);
	e = find(all, number);
	if (strverscmp(version, e->version) > 0)
		snprintf(e->version, sizeof(e->version), "%s", version);
	e->partial |= strcmp(more, "partial") == 0;
	if (all->module) {
		char *modules = xprintf("%s%smod_%s", e->modules ? e->modules : "",
			e->modules ? ", " : "", all->module);

		free(e->modules);
		e->modules = modules;
	}
}

static void note_module(const struct module *m, const struct conf_item *common UNUSED, void *arg)
{
	struct extensions *all = arg;

	all->module = m->name;
	for (const char *const *xep = m->xeps; xep && *xep; xep++)
		note(all, *xep);
}

static int by_number(const void *a, const void *b)
{
	return strcmp(((const struct extension *)a)->number, ((const struct extension *)b)->number);
}

static void print_escaped(FILE *out, const char *text)
{
	struct buf *b = NULL;

	xml_escape(text, strlen(text), &b);
	fwrite(b->data, 1, b->len, out);
	buf_unref(b);
}

static void print_extension(FILE *out, const struct extension *e)
{
	fputs("    <implements>\n      <xmpp:SupportedXep>\n", out);
	fprintf(out, "        <xmpp:xep rdf:resource=\"" XEP_URL "\"/>\n", e->number);
	fprintf(out, "        <xmpp:version>%s</xmpp:version>\n", e->version);
	fprintf(out, "        <xmpp:status>%s</xmpp:status>\n",
		e->partial ? "partial" : "complete");
	if (e->modules) {
		fputs("        <xmpp:note xml:lang=\"en\">", out);
		print_escaped(out, e->modules);
		fputs("</xmpp:note>\n", out);
	}
	fputs("      </xmpp:SupportedXep>\n    </implements>\n", out);
}

void doap_print(FILE *out)
{
	struct extensions *all = xcalloc(1, sizeof(*all));

	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		note(all, streams[i]);
	registry_reference_each(note_module, all);
	qsort(all->at, all->n, sizeof(all->at[0]), by_number);
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"\n"
	      "         xmlns:xmpp=\"https://linkmauve.fr/ns/xmpp-doap#\"\n"
	      "         xmlns=\"http://usefulinc.com/ns/doap#\">\n"
	      "  <Project>\n"
	      "    <name>Linnet</name>\n"
	      "    <shortdesc xml:lang=\"en\">XMPP server with a multi-threaded, sharded "
	      "runtime</shortdesc>\n"
	      "    <description xml:lang=\"en\">An XMPP server in C: connections on sharded worker "
	      "threads, routing tables read without locks, loadable modules, supervision after "
	      "Erlang's.</description>\n"
	      "    <created>2026-11-21</created>\n"
	      "    <license rdf:resource=\"https://www.apache.org/licenses/LICENSE-2.0\"/>\n"
	      "    <programming-language>C</programming-language>\n"
	      "    <os>Linux</os>\n"
	      "    <category "
	      "rdf:resource=\"https://linkmauve.fr/ns/xmpp-doap#category-server\"/>\n",
		out);
	for (size_t i = 0; i < ARRAY_LEN(rfcs); i++)
		fprintf(out,
			"    <implements "
			"rdf:resource=\"https://www.rfc-editor.org/info/rfc%s\"/>\n",
			rfcs[i]);
	for (size_t i = 0; i < all->n; i++) {
		print_extension(out, &all->at[i]);
		free(all->at[i].modules);
	}
	fputs("  </Project>\n</rdf:RDF>\n", out);
	free(all);
}
