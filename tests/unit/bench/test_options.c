/* tests/unit/bench/test_options.c - the command line, and what is printed about it. */
#include "bench/bench_options.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench_scenario.h"

static struct options o;

/* The words of a line, read as options. */
static bool read_line(const char *line)
{
	static char text[400];
	char *argv[40] = { "linnet-bench" };
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return options_read(&o, argc, argv);
}

Test(options, what_is_not_given)
{
	cr_assert(read_line("chat"));
	cr_expect_str_eq(o.scenario, "chat");
	cr_expect_str_eq(o.host, "127.0.0.1");
	cr_expect_eq(o.port, 5222);
	cr_expect_eq(o.users, 100);
	cr_expect_eq(o.rate, 0);
	cr_expect_eq(o.to, TO_FULL);
	cr_expect_eq(o.processes, 0);
	cr_expect_null(o.json);
}

Test(options, what_is_given_in_any_order)
{
	cr_assert(read_line("--port 5333 chat --tls starttls --auth PLAIN --users 7 --rate 1.5 "
			    "--to bare --processes 3 --messages 5000000000 --json - --html a.html "
			    "--quiet --register"));
	cr_expect_eq(o.port, 5333);
	cr_expect_eq(o.tls, BENCH_STARTTLS);
	cr_expect_eq(o.mech, MECH_PLAIN);
	cr_expect_eq(o.users, 7);
	cr_expect_eq(o.rate, 1.5);
	cr_expect_eq(o.to, TO_BARE);
	cr_expect_eq(o.processes, 3);
	cr_expect_eq(o.messages, 5000000000);
	cr_expect_str_eq(o.json, "-");
	cr_expect_str_eq(o.html, "a.html");
	cr_expect(o.quiet);
	cr_expect(o.do_register);
}

Test(options, processes_may_be_several)
{
	char line[80];

	snprintf(line, sizeof(line), "ping --pid %d --pid %d", (int)getpid(), (int)getppid());
	cr_assert(read_line(line));
	cr_expect_geq(o.server.n, 2);
}

Test(options, a_relay_has_its_clients_come_in_order)
{
	cr_assert(read_line("--relay --processes 4 --parallel 9 chat"));
	cr_expect_eq(o.parallel, 1);
	cr_expect_eq(o.processes, 1);
}

static const struct {
	const char *line, *says;
} refused[] = {
	{ "", "name a scenario" },
	{ "dance", "no such scenario" },
	{ "chat ping", "one scenario only" },
	{ "--port 0 chat", "--port: expected a number from 1 to 65535" },
	{ "--port 65536 chat", "--port" },
	{ "--port 1x chat", "--port" },
	{ "--users 0 chat", "--users" },
	{ "--rate -1 chat", "--rate" },
	{ "--rate nan chat", "--rate" },
	{ "--rate 5 idle", "knows no --rate" },
	{ "--to nobody chat", "full or bare" },
	{ "--tls some chat", "plain, starttls or direct" },
	{ "--pid 1073741824 chat", "a process there is" },
	{ "--unheard chat", "unheard" },
	{ "chat --port", "port" },
};

Test(options, wrong_ones_are_named)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		char *said = NULL;
		size_t len;
		FILE *before = stderr;
		bool good;

		stderr = open_memstream(&said, &len);
		good = read_line(refused[i].line);
		fclose(stderr);
		stderr = before;
		cr_expect_not(good, "%s", refused[i].line);
		cr_expect(strstr(said, refused[i].says), "%s: %s", refused[i].line, said);
		free(said);
	}
}

static char *printed(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(out);
	fclose(out);
	return text;
}

Test(options, help_and_manual_know_every_scenario_and_option)
{
	static const char *const some[] = { "rate", "processes", "json", "html", "quiet", "pid" };
	char *help = printed(options_help), *man = printed(options_man), word[40];

	for (const struct scenario *const *s = scenarios; *s; s++) {
		cr_expect(strstr(help, (*s)->name));
		snprintf(word, sizeof(word), ".TP\n\\fB%s", (*s)->name);
		cr_expect(strstr(man, word), "%s", word);
	}
	for (size_t i = 0; i < ARRAY_LEN(some); i++) {
		snprintf(word, sizeof(word), "  --%s", some[i]);
		cr_expect(strstr(help, word));
		snprintf(word, sizeof(word), "\\fB\\-\\-%s", some[i]);
		cr_expect(strstr(man, word));
	}
	free(help);
	free(man);
}

Test(options, the_title_says_what_is_measured)
{
	char title[240];

	cr_assert(read_line("chat --rate 500 --to bare --users 8 --seconds 3"));
	options_title(&o, title, sizeof(title));
	cr_expect_str_eq(title,
		"chat: 8 users, plain, SCRAM-SHA-1, 500 per second, body of 100 "
		"bytes, to bare JIDs, 3 s");
}
