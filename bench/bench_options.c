/* bench/bench_options.c - the command line. */
#include "bench/bench_options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_scenario.h"
#include "core/cli.h"

static const char *const tls_words[] = { "plain", "starttls", "direct", NULL };
static const char *const mech_words[] = { "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", NULL };
static const char *const login_words[] = { "sasl", "sasl2", "token", NULL };
static const char *const to_words[] = { "full", "bare", NULL };

enum kind {
	KIND_CHAPTER, /* a heading of --help and the man page, no option */
	KIND_TEXT,
	KIND_UNSIGNED,
	KIND_UINT64,
	KIND_DOUBLE,
	KIND_WORD, /* an enum, by its place in words */
	KIND_FLAG,
	KIND_PID, /* added to the processes there are */
};
static const struct row {
	const char *name, *value;
	enum kind kind;
	size_t at; /* of the field */
	double min, max;
	const char *const *words;
	const char *help;
} rows[] = {
#define AT(field) offsetof(struct options, field)
	{ "The server", .kind = KIND_CHAPTER },
	{ "host", "ADDRESS", KIND_TEXT, AT(host), .help = "Where it listens (127.0.0.1)." },
	{ "port", "N", KIND_UNSIGNED, AT(port), 1, 65535, .help = "Its port (5222)." },
	{ "domain", "NAME", KIND_TEXT, AT(domain), .help = "The virtual host (localhost)." },
	{ "tls", "MODE", KIND_WORD, AT(tls), .words = tls_words,
		.help = "plain, starttls or direct (plain)." },
	{ "auth", "MECHANISM", KIND_WORD, AT(mech), .words = mech_words,
		.help = "SCRAM-SHA-1, SCRAM-SHA-256 or PLAIN (SCRAM-SHA-1)." },
	{ "login", "WAY", KIND_WORD, AT(login), .words = login_words,
		.help = "sasl (RFC 6120), or under TLS sasl2 (XEP-0388 with the resource bound "
			"inline) or token (so the first time, and then by XEP-0484 in one round "
			"trip) (sasl)." },
	{ "sm", NULL, KIND_FLAG, AT(sm),
		.help = "All enable stream management with resumption (XEP-0198) and answer its "
			"requests." },
	{ "carbons", NULL, KIND_FLAG, AT(carbons),
		.help = "All enable message carbons (XEP-0280)." },
	{ "relay", NULL, KIND_FLAG, AT(relay),
		.help = "It is linnet-relay: connect and begin, without a login." },
	{ "pid", "PID", KIND_PID, AT(server), 1, 1 << 30,
		.help = "Measure the CPU and memory of this process and its children; may be "
			"repeated." },
	{ "The accounts", .kind = KIND_CHAPTER },
	{ "users", "N", KIND_UNSIGNED, AT(users), 1, 1e6, .help = "How many (100)." },
	{ "first", "N", KIND_UNSIGNED, AT(first_user), 0, 1e9, .help = "Number of the first (0)." },
	{ "user", "PREFIX", KIND_TEXT, AT(user_prefix),
		.help = "Names are PREFIX and a number (user)." },
	{ "password", "PREFIX", KIND_TEXT, AT(password),
		.help = "Passwords are PREFIX and the same number (secret)." },
	{ "register", NULL, KIND_FLAG, AT(do_register), .help = "Make them first, by XEP-0077." },
	{ "list", NULL, KIND_FLAG, AT(list),
		.help = "Print \"name domain password\" of each and end." },
	{ "The load", .kind = KIND_CHAPTER },
	{ "parallel", "N", KIND_UNSIGNED, AT(parallel), 1, 1e5,
		.help = "Logins under way at once (20)." },
	{ "inflight", "K", KIND_UNSIGNED, AT(inflight), 1, 1e5,
		.help = "Closed loop: messages of a pair, pings of a user on the way; the next "
			"one goes out when one has come (1)." },
	{ "rate", "N", KIND_DOUBLE, AT(rate), 0, 1e9,
		.help = "Open loop: operations per second of all users together, whether or not "
			"the server keeps up; latency counts from the moment at which each was to "
			"be sent. 0: closed loop (0)." },
	{ "to", "FORM", KIND_WORD, AT(to), .words = to_words,
		.help = "Messages go to full or bare JIDs (full)." },
	{ "size", "BYTES", KIND_UNSIGNED, AT(size), 0, 1e6,
		.help = "Length of a message's body (100)." },
	{ "fanout", "N", KIND_UNSIGNED, AT(fanout), 1, 1e6,
		.help = "Contacts of a user, occupants of a room, subscribers of a node (20)." },
	{ "batch", "N", KIND_UNSIGNED, AT(batch), 1, 1e6,
		.help = "Messages for a user who is away (offline 100, resume 10), or in an "
			"archive (mam 500)." },
	{ "page", "N", KIND_UNSIGNED, AT(page), 1, 1e6,
		.help = "Messages that an archive is asked for at once (50)." },
	{ "seconds", "T", KIND_DOUBLE, AT(seconds), 0, 1e6, .help = "How long to measure (10)." },
	{ "warmup", "T", KIND_DOUBLE, AT(warmup), 0, 1e6, .help = "Seconds before that (1)." },
	{ "finish", NULL, KIND_FLAG, AT(finish),
		.help = "chat: count all from the first message on, without a warm-up, until the "
			"server has nothing left to do, such as storing what it has passed on." },
	{ "messages", "M", KIND_UINT64, AT(messages), 0, 1e15,
		.help = "End after so many; 0: by time alone (0)." },
	{ "processes", "N", KIND_UNSIGNED, AT(processes), 0, 64,
		.help = "Processes that share the users; 0: as many as the limit of open files "
			"makes necessary (0)." },
	{ "one-address", NULL, KIND_FLAG, AT(one_address),
		.help = "Connect from one address, not from many of 127.0.0.0/8." },
	{ "What is shown", .kind = KIND_CHAPTER },
	{ "quiet", NULL, KIND_FLAG, AT(quiet),
		.help = "No live view, which a terminal gets otherwise." },
	{ "json", "FILE", KIND_TEXT, AT(json),
		.help = "Write the result as one JSON object; - writes it to standard output in "
			"place of the table." },
	{ "html", "FILE", KIND_TEXT, AT(html),
		.help = "Write the result as a page with plots, complete in itself." },
	{ "help", NULL, KIND_FLAG, AT(help), .help = "Print this help and exit." },
	{ "man", NULL, KIND_FLAG, AT(man), .help = "Print the manual page and exit." },
#undef AT
};

/* --- reading ----------------------------------------------------------------------------- */

static bool wrong(const char *name, const char *text, const char *expected)
{
	fprintf(stderr, "linnet-bench: --%s: expected %s, found '%s'\n", name, expected, text);
	return false;
}

static bool take_number(const struct row *r, void *field, const char *text)
{
	char *end, expected[80];
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= r->min && value <= r->max)) {
		snprintf(expected, sizeof(expected), "a number from %.0f to %.0f", r->min, r->max);
		return wrong(r->name, text, expected);
	}
	if (r->kind == KIND_DOUBLE)
		*(double *)field = value;
	else if (r->kind == KIND_UINT64)
		*(uint64_t *)field = (uint64_t)value;
	else if (r->kind == KIND_UNSIGNED)
		*(unsigned *)field = (unsigned)value;
	else if (!processes_add(field, (pid_t)value))
		return wrong(r->name, text, "a process there is");
	return true;
}

static bool take_word(const struct row *r, int *field, const char *text)
{
	for (int i = 0; r->words[i]; i++)
		if (!strcmp(r->words[i], text)) {
			*field = i;
			return true;
		}
	return wrong(r->name, text, r->help);
}

static bool take(struct options *o, const struct row *r, const char *text)
{
	void *field = (char *)o + r->at;

	switch (r->kind) {
	case KIND_TEXT:
		*(const char **)field = text;
		return true;
	case KIND_FLAG:
		*(bool *)field = true;
		return true;
	case KIND_WORD:
		return take_word(r, field, text);
	default:
		return take_number(r, field, text);
	}
}

static bool consistent(const struct options *o)
{
	const char *fault = NULL;

	if (!o->scenario && !o->do_register && !o->list && !o->help && !o->man)
		fault = "name a scenario, --register or --list";
	else if (o->scenario && !scenario_find(o->scenario))
		fault = "there is no such scenario";
	else if (o->rate > 0 && o->scenario && !scenario_find(o->scenario)->open_loop)
		fault = "this scenario knows no --rate";
	else if (o->login != LOGIN_SASL && o->tls == BENCH_PLAIN)
		fault = "--login sasl2 and token go with --tls starttls or direct";
	if (fault)
		fprintf(stderr, "linnet-bench: %s\nlinnet-bench: --help says more\n", fault);
	return !fault;
}

bool options_read(struct options *o, int argc, char **argv)
{
	struct option all[ARRAY_LEN(rows) + 1] = { 0 };
	unsigned n = 0;
	int index = 0, c;

	*o = (struct options){ .host = "127.0.0.1",
		.domain = "localhost",
		.user_prefix = "user",
		.password = "secret",
		.port = 5222,
		.users = 100,
		.parallel = 20,
		.inflight = 1,
		.size = 100,
		.fanout = 20,
		.page = 50,
		.seconds = 10,
		.warmup = 1 };
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind != KIND_CHAPTER)
			all[n++] = (struct option){ rows[i].name, rows[i].value != NULL, NULL,
				256 + (int)i };
	optind = 0; /* anew, also where it was used before */
	while ((c = getopt_long(argc, argv, "", all, &index)) != -1)
		if (c < 256 || !take(o, &rows[c - 256], optarg))
			return false;
	if (optind < argc)
		o->scenario = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "linnet-bench: one scenario only, found '%s'\n", argv[optind]);
		return false;
	}
	if (o->relay) /* it pairs clients in the order in which they come */
		o->parallel = o->processes = 1;
	return consistent(o);
}

/* --- telling ----------------------------------------------------------------------------- */

/* Chapter by chapter: its heading, and its options as core/cli prints them. */
static void each_chapter(
	void (*print)(const char *heading, const struct cli_option *options, FILE *out), FILE *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows);) {
		struct cli_option chapter[ARRAY_LEN(rows) + 1] = { 0 };
		const char *heading = rows[i++].name;

		for (unsigned n = 0; i < ARRAY_LEN(rows) && rows[i].kind != KIND_CHAPTER; i++)
			chapter[n++] =
				(struct cli_option){ rows[i].name, rows[i].value, rows[i].help };
		print(heading, chapter, out);
	}
}

static void help_chapter(const char *heading, const struct cli_option *options, FILE *out)
{
	fprintf(out, "%s:\n", heading);
	cli_help(options, out);
}

void options_help(FILE *out)
{
	fprintf(out, "usage: linnet-bench [OPTIONS] SCENARIO\nScenarios:\n");
	for (const struct scenario *const *s = scenarios; *s; s++)
		cli_wrap((*s)->help, fprintf(out, "  %s", (*s)->name), 24, out);
	each_chapter(help_chapter, out);
}

static void man_chapter(const char *heading, const struct cli_option *options, FILE *out)
{
	fprintf(out, ".SS %s\n", heading);
	cli_man(options, out);
}

static void man_section(FILE *out, const char *heading, const char *text)
{
	fprintf(out, ".SH %s\n", heading);
	cli_roff(text, out);
	fputc('\n', out);
}

static void man_entry(FILE *out, const char *term, const char *text)
{
	fputs(".TP\n\\fB", out);
	cli_roff(term, out);
	fputs("\\fR\n", out);
	cli_roff(text, out);
	fputc('\n', out);
}

void options_man(FILE *out)
{
	fputs(".TH LINNET\\-BENCH 1 \"2026-11-21\" \"Linnet " LINNET_VERSION
	      "\" \"Linnet manual\"\n"
	      ".SH NAME\nlinnet\\-bench \\- load generator for XMPP servers\n"
	      ".SH SYNOPSIS\n.B linnet\\-bench\n[\\fIOPTIONS\\fR] \\fISCENARIO\\fR\n",
		out);
	man_section(out, "DESCRIPTION",
		"Plays many clients against any XMPP server and tells how fast it answered, "
		"whether anything was lost, doubled or out of order, and what it used: with "
		"--pid, "
		"the CPU time and memory of the server's processes. The load generator's own CPU "
		"time is told too, and plainly so when it was the limit and not the server.");
	fputs(".SH SCENARIOS\n", out);
	for (const struct scenario *const *s = scenarios; *s; s++)
		man_entry(out, (*s)->name, (*s)->help);
	fputs(".SH OPTIONS\n", out);
	each_chapter(man_chapter, out);
	fputs(".SH EXIT STATUS\n", out);
	man_entry(out, "0", "The run was made and nothing was lost, doubled or out of order.");
	man_entry(out, "1", "Something was, or the run could not be made.");
	man_entry(out, "2", "Wrong usage.");
	man_entry(out, "3", "The server does not offer what the scenario is about.");
	man_section(out, "SEE ALSO", "linnetd(8)");
}

void options_title(const struct options *o, char *out, size_t room)
{
	int len = snprintf(out, room, "%s: %u users, %s, %s",
		o->scenario ? o->scenario : "register", o->users, tls_words[o->tls],
		o->login == LOGIN_TOKEN ? "token" : mech_words[o->mech]);
	bool chat = o->scenario && !strcmp(o->scenario, "chat");

	if (o->rate > 0)
		len += snprintf(out + len, room - (size_t)len, ", %g per second", o->rate);
	else if (chat || (o->scenario && !strcmp(o->scenario, "ping")))
		len += snprintf(out + len, room - (size_t)len, ", %u in flight", o->inflight);
	if (chat)
		len += snprintf(out + len, room - (size_t)len, ", body of %u bytes, to %s JIDs",
			o->size, to_words[o->to]);
	snprintf(out + len, room - (size_t)len, ", %g s", o->seconds);
}
