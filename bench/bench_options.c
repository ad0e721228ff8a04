/* bench/bench_options.c - the command line. */
#include "bench/bench_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_scenario.h"

static const char *const tls_words[] = { "plain", "starttls", "direct" };
static const char *const mech_words[] = { "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN" };

static void usage(FILE *out)
{
	fprintf(out,
		"usage: linnet-bench [options] SCENARIO\n"
		"scenarios:\n");
	for (const struct scenario *const *s = scenarios; *s; s++)
		fprintf(out, "  %-8s %s\n", (*s)->name, (*s)->help);
	fprintf(out,
		"the server:\n"
		"  --host ADDRESS       where it listens (127.0.0.1)\n"
		"  --port N             (5222)\n"
		"  --domain NAME        the virtual host (localhost)\n"
		"  --tls MODE           plain, starttls or direct (plain)\n"
		"  --auth MECHANISM     SCRAM-SHA-1, SCRAM-SHA-256 or PLAIN (SCRAM-SHA-1)\n"
		"  --relay              it is linnet-relay: connect and begin, without a login\n"
		"  --pid PID            measure this process and its children; may be repeated\n"
		"the accounts:\n"
		"  --users N            how many (100)\n"
		"  --first N            number of the first (0)\n"
		"  --user PREFIX        names are PREFIX and a number (user)\n"
		"  --password PREFIX    passwords are PREFIX and the same number (secret)\n"
		"  --register           make them first, by XEP-0077\n"
		"  --list               print \"name domain password\" of each and end\n"
		"the load:\n"
		"  --parallel N         logins under way at once (20)\n"
		"  --inflight K         messages of a pair, pings of a user on the way (1)\n"
		"  --size BYTES         of a message's body (100)\n"
		"  --seconds T          how long to measure (10)\n"
		"  --warmup T           seconds before that (1)\n"
		"  --messages M         end after so many; 0: by time alone (0)\n"
		"  --one-address        connect from one address, not from many of 127.0.0.0/8\n"
		"  --json               figures as one JSON object\n");
}

NO_RETURN static void wrong(const char *what, const char *text)
{
	fprintf(stderr, "linnet-bench: %s: %s\n", what, text);
	usage(stderr);
	exit(2);
}

static double number(const char *what, const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		wrong(what, text);
	return value;
}

static int word(const char *what, const char *text, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(words[i], text))
			return i;
	wrong(what, text);
}

enum option_id {
	OPT_HOST = 256,
	OPT_PORT,
	OPT_DOMAIN,
	OPT_TLS,
	OPT_AUTH,
	OPT_RELAY,
	OPT_PID,
	OPT_USERS,
	OPT_FIRST,
	OPT_USER,
	OPT_PASSWORD,
	OPT_REGISTER,
	OPT_LIST,
	OPT_PARALLEL,
	OPT_INFLIGHT,
	OPT_SIZE,
	OPT_SECONDS,
	OPT_WARMUP,
	OPT_MESSAGES,
	OPT_ONE_ADDRESS,
	OPT_JSON,
	OPT_HELP,
};
static const struct option_name {
	const char *name;
	int argument;
	enum option_id id;
} names[] = {
	{ "host", 1, OPT_HOST },
	{ "port", 1, OPT_PORT },
	{ "domain", 1, OPT_DOMAIN },
	{ "tls", 1, OPT_TLS },
	{ "auth", 1, OPT_AUTH },
	{ "relay", 0, OPT_RELAY },
	{ "pid", 1, OPT_PID },
	{ "users", 1, OPT_USERS },
	{ "first", 1, OPT_FIRST },
	{ "user", 1, OPT_USER },
	{ "password", 1, OPT_PASSWORD },
	{ "register", 0, OPT_REGISTER },
	{ "list", 0, OPT_LIST },
	{ "parallel", 1, OPT_PARALLEL },
	{ "inflight", 1, OPT_INFLIGHT },
	{ "size", 1, OPT_SIZE },
	{ "seconds", 1, OPT_SECONDS },
	{ "warmup", 1, OPT_WARMUP },
	{ "messages", 1, OPT_MESSAGES },
	{ "one-address", 0, OPT_ONE_ADDRESS },
	{ "json", 0, OPT_JSON },
	{ "help", 0, OPT_HELP },
};

static void take(struct options *o, enum option_id id, const char *text)
{
	switch (id) {
	case OPT_HOST:
		o->host = text;
		break;
	case OPT_PORT:
		o->port = (uint16_t)number("--port", text, 1, 65535);
		break;
	case OPT_DOMAIN:
		o->domain = text;
		break;
	case OPT_TLS:
		o->tls = (enum bench_tls)word("--tls", text, tls_words, ARRAY_LEN(tls_words));
		break;
	case OPT_AUTH:
		o->mech = (enum bench_mech)word("--auth", text, mech_words, ARRAY_LEN(mech_words));
		break;
	case OPT_RELAY:
		o->relay = true;
		break;
	case OPT_PID:
		if (!processes_add(&o->server, (pid_t)number("--pid", text, 1, 1 << 30)))
			wrong("--pid: no such process", text);
		break;
	case OPT_USERS:
		o->users = (unsigned)number("--users", text, 1, 1e6);
		break;
	case OPT_FIRST:
		o->first_user = (unsigned)number("--first", text, 0, 1e9);
		break;
	case OPT_USER:
		o->user_prefix = text;
		break;
	case OPT_PASSWORD:
		o->password = text;
		break;
	case OPT_REGISTER:
		o->do_register = true;
		break;
	case OPT_LIST:
		o->list = true;
		break;
	case OPT_PARALLEL:
		o->parallel = (unsigned)number("--parallel", text, 1, 1e5);
		break;
	case OPT_INFLIGHT:
		o->inflight = (unsigned)number("--inflight", text, 1, 1e5);
		break;
	case OPT_SIZE:
		o->size = (unsigned)number("--size", text, 0, 1e6);
		break;
	case OPT_SECONDS:
		o->seconds = number("--seconds", text, 0, 1e6);
		break;
	case OPT_WARMUP:
		o->warmup = number("--warmup", text, 0, 1e6);
		break;
	case OPT_MESSAGES:
		o->messages = (uint64_t)number("--messages", text, 0, 1e15);
		break;
	case OPT_ONE_ADDRESS:
		o->one_address = true;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_HELP:
		usage(stdout);
		exit(0);
	}
}

void options_read(struct options *o, int argc, char **argv)
{
	struct option all[ARRAY_LEN(names) + 1] = { 0 };
	int c;

	*o = (struct options){ .host = "127.0.0.1",
		.domain = "localhost",
		.user_prefix = "user",
		.password = "secret",
		.port = 5222,
		.users = 100,
		.parallel = 20,
		.inflight = 1,
		.size = 100,
		.seconds = 10,
		.warmup = 1 };
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		all[i] =
			(struct option){ names[i].name, names[i].argument, NULL, (int)names[i].id };
	while ((c = getopt_long(argc, argv, "", all, NULL)) != -1) {
		if (c == '?') {
			usage(stderr);
			exit(2);
		}
		take(o, (enum option_id)c, optarg);
	}
	if (optind < argc)
		o->scenario = argv[optind++];
	if (optind < argc)
		wrong("one scenario only", argv[optind]);
	if (o->relay)
		o->parallel = 1; /* so that it pairs clients in the order of their numbers */
	if (!o->scenario && !o->do_register && !o->list)
		wrong("nothing to do", "name a scenario, --register or --list");
}

void options_title(const struct options *o, char *out, size_t room)
{
	int len =
		snprintf(out, room, "%s: %u users, %s, %s", o->scenario ? o->scenario : "register",
			o->users, tls_words[o->tls], mech_words[o->mech]);

	if (o->scenario && (!strcmp(o->scenario, "chat") || !strcmp(o->scenario, "ping")))
		len += snprintf(out + len, room - (size_t)len, ", %u in flight", o->inflight);
	if (o->scenario && !strcmp(o->scenario, "chat"))
		len += snprintf(out + len, room - (size_t)len, ", body of %u bytes", o->size);
	snprintf(out + len, room - (size_t)len, ", %g s", o->seconds);
}
