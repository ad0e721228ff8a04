/* cmd/linnetd_reference.c - the manual, from the tables that parse the options, the commands and
 * the settings. docs/ keeps what it prints; tools/manual brings it up to date, and a test says when
 * it is behind. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cmd/linnetctl_options.h"
#include "cmd/linnetd.h"
#include "cmd/linnetd_manual.h"
#include "cmd/linnetd_options.h"
#include "core/cli.h"
#include "core/command.h"

#define MANUAL_DATE "2026-11-21" /* of the words in this file */

static void upper(const char *text, FILE *out)
{
	for (; *text; text++)
		if (*text == '-')
			fputs("\\-", out);
		else
			fputc(toupper((unsigned char)*text), out);
}

static void title(FILE *out, const char *name, int section, const char *what)
{
	fputs(".TH ", out);
	upper(name, out);
	fprintf(out, " %d \"" MANUAL_DATE "\" \"Linnet " LINNET_VERSION "\" \"Linnet manual\"\n",
		section);
	fputs(".SH NAME\n", out);
	cli_roff(name, out);
	fprintf(out, " \\- %s\n", what);
}

static void section(FILE *out, const char *name, const char *text)
{
	fprintf(out, ".SH %s\n", name);
	cli_roff(text, out);
	fputc('\n', out);
}

static void entry(FILE *out, const char *term, const char *text)
{
	fputs(".TP\n\\fB", out);
	cli_roff(term, out);
	fputs("\\fR\n", out);
	cli_roff(text, out);
	fputc('\n', out);
}

/* ---- linnetd(8) ---- */

static void page_linnetd(FILE *out)
{
	title(out, "linnetd", 8, "XMPP server");
	fputs(".SH SYNOPSIS\n.B linnetd\n[\\fIOPTIONS\\fR]\n", out);
	section(out, "DESCRIPTION",
		"Answers for the domains that its settings file names: clients connect by XMPP "
		"(RFC 6120, RFC 6121). linnet.yml(5) explains the settings, linnetctl(8) how to "
		"ask "
		"a running server.");
	fputs(".SH OPTIONS\n", out);
	cli_man(linnetd_options, out);
	fputs(".SH SIGNALS\n", out);
	entry(out, "SIGTERM, SIGINT",
		"Stop: nothing is accepted any more, clients are told (system-shutdown) and get a "
		"moment to take what waits for them. A second one ends the server at once.");
	entry(out, "SIGHUP",
		"Open the log anew and apply the settings file; with an error in it nothing "
		"changes, and the log has the error.");
	entry(out, "SIGUSR1", "Open the log anew, after it was moved away.");
	fputs(".SH EXIT STATUS\n", out);
	entry(out, "0", "Stopped as asked, or --check found no error.");
	entry(out, "1", "It could not start, or --check found errors.");
	entry(out, "2", "Wrong usage.");
	section(out, "SEE ALSO", "linnetctl(8), linnet.yml(5)");
}

/* ---- linnetctl(8) ---- */

static void command_arg(const struct command_arg *arg, FILE *out)
{
	bool flag = arg->type == ARG_FLAG;
	bool optional = flag || arg->optional || arg->type == ARG_SECRET;

	fputs(optional ? " [" : " ", out);
	if (flag || arg->option) {
		fputs("\\fB\\-\\-", out);
		cli_roff(arg->name, out);
		fputs(flag ? "\\fR" : "\\fR ", out);
	}
	if (!flag) {
		fputs("\\fI", out);
		upper(arg->name, out);
		fputs("\\fR", out);
	}
	fputs(optional ? "]" : "", out);
}

struct command_list {
	FILE *out;
	const char *group;
};

static void command_entry(const struct command *c, void *arg)
{
	struct command_list *list = arg;
	FILE *out = list->out;

	if (strcmp(list->group, c->group))
		fprintf(out, ".SS %s\n", c->group);
	list->group = c->group;
	fputs(".TP\n\\fB", out);
	cli_roff(c->name, out);
	fputs("\\fR", out);
	for (const struct command_arg *a = c->args; a && a->name; a++)
		command_arg(a, out);
	fputc('\n', out);
	cli_roff(c->help, out);
	fputc('\n', out);
	for (const struct command_arg *a = c->args; a && a->name; a++) {
		fputs(".br\n\\fI", out);
		upper(a->name, out);
		fputs("\\fR: ", out);
		cli_roff(a->help, out);
		fputc('\n', out);
	}
}

static void page_linnetctl(FILE *out)
{
	struct command_list list = { out, "" };

	title(out, "linnetctl", 8, "the console of a running Linnet server");
	fputs(".SH SYNOPSIS\n.B linnetctl\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR "
	      "[\\fIARGUMENTS\\fR]\n",
		out);
	section(out, "DESCRIPTION",
		"Sends a command to the server over its control socket and prints the answer. Only "
		"root, the server's own user and whom the mode of the socket's file names may. The "
		"server says which commands there are (linnetctl help), so modules may bring more "
		"than this page lists.");
	fputs(".SH OPTIONS\n", out);
	cli_man(ctl_options, out);
	fputs(".PP\n", out);
	cli_roff(CTL_WHICH_SOCKET, out);
	fputc('\n', out);
	fputs(".SH COMMANDS\n", out);
	command_each(command_entry, &list);
	fputs(".SH EXIT STATUS\n", out);
	entry(out, "0", "Done.");
	entry(out, "1", "The command failed; standard error says why.");
	entry(out, "2", "Wrong usage.");
	entry(out, "3", "No server answered.");
	section(out, "SEE ALSO", "linnetd(8), linnet.yml(5)");
}

/* ---- linnet.yml(5), settings.md ---- */

static const char *const about_settings[] = {
	"One YAML document: a mapping of options. Times are 30 (seconds), 500 ms, 5 min, 2 hours, "
	"1 day; sizes are 65536, 64 KB, 1 MB; relative paths start at the folder of the file. "
	"Anchors, aliases and tags are refused.",
	"A name says where its option stands: `hosts` at the top, `listen[].port` in each entry of "
	"listen, `database.path` under database, `modules.mod_ping.send_pings` under mod_ping "
	"under "
	"modules. What says so may also stand under `host_config`, below the name of a host, and "
	"differ there; `modules` is such an option, and so all options of modules are.",
	"`linnetd --check --config FILE` names every error with its line and column. `linnetctl "
	"reload` applies the file to a running server as a whole, or with an error nothing of it. "
	"Each option says whether a reload applies it. One that is applied at the next start of "
	"the server is named by every reload until then.",
	NULL
};

static void page_settings(FILE *out)
{
	title(out, "linnet.yml", 5, "settings of the Linnet XMPP server");
	fputs(".SH DESCRIPTION\n", out);
	for (const char *const *text = about_settings; *text; text++) {
		fputs(text == about_settings ? "" : ".PP\n", out);
		cli_roff(*text, out);
		fputc('\n', out);
	}
	fputs(".SH OPTIONS\n", out);
	manual_reference(out, CONF_ROFF);
	section(out, "SEE ALSO", "linnetd(8), linnetctl(8)");
}

static void page_markdown(FILE *out)
{
	fputs("# Settings\n", out);
	for (const char *const *text = about_settings; *text; text++)
		fprintf(out, "\n%s\n", *text);
	fputs("\nThis page is printed by `linnetd --reference settings.md`, from the tables that "
	      "read "
	      "the file;\n`linnetd --example` prints the same as a commented settings file.\n",
		out);
	manual_reference(out, CONF_MARKDOWN);
}

static const struct {
	const char *name;
	void (*print)(FILE *out);
} pages[] = {
	{ "linnetd.8", page_linnetd },
	{ "linnetctl.8", page_linnetctl },
	{ "linnet.yml.5", page_settings },
	{ "settings.md", page_markdown },
	{ "linnet.doap", doap_print },
};

bool reference_print(const char *page, FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (!strcmp(pages[i].name, page)) {
			pages[i].print(out);
			return true;
		}
	return false;
}
