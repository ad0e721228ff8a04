/* tests/unit/modules/test_report.c - XEP-0377 §4, §5, §6: what is kept of a report, and who is
 * told. */
#include "core/lang.h"
#include "modules/report.h"
#include "router/directory.h"
#include "tests/support/database.h"
#include "tests/support/hearing.h"
#include "tests/support/hosting.h"

static struct host *h;
static struct heard staff;

static void begin(void)
{
	h = hosting_begin("shakespeare.lit");
	database_begin();
	directory_init();
	cr_assert_eq(jobs_start(1), 0);
	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(route_register_service("staff.example", heard_service, &staff), 0);
}

static void end(void)
{
	registry_stop_host(h);
	route_unregister("staff.example");
	shards_stop();
	jobs_stop();
	directory_fini();
	heard_forget(&staff);
	database_end();
	hosting_end(h);
}
TestSuite(report, .init = begin, .fini = end);

static struct jid *jid(const char *text)
{
	struct jid *j;

	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), 0);
	return j;
}

/* The database is asked after all that was asked of it before. */
static void take(const char *reporter, const char *reported, const char *report)
{
	struct stanza *s = parse_unsealed(report);
	struct jid *who = jid(reporter), *whom = jid(reported);

	report_take(h, who, whom, s->root);
	cr_assert_eq(report_delete(-1), 0);
	jid_free(who);
	jid_free(whom);
	stanza_unref(s);
}

static void note(const struct report *r, void *text)
{
	char line[4096];

	snprintf(line, sizeof(line), "%lld %s|%s|%s|%s|%s|%s|%d%d\n", (long long)r->id, r->reporter,
		r->reported, r->reason, r->text, r->lang, r->stanza_ids, r->to_origin,
		r->to_third_party);
	strcat(text, line);
}

static const char *all(const struct report_query *q, char text[8192])
{
	*text = '\0';
	cr_assert_geq(report_each(q, note, text), 0);
	return text;
}

#define REPORT(inside)                                                                       \
	"<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>" inside "</" \
	"report>"
#define SID(by, id) "<stanza-id xmlns='urn:xmpp:sid:0' by='" by "' id='" id "'/>"

static const struct {
	const char *section, *report, *kept; /* behind the addresses; NULL: nothing */
} rows[] = {
	{ "4", "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/>",
		"urn:xmpp:reporting:spam||||00" },
	{ "4", "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:abuse'/>",
		"urn:xmpp:reporting:abuse||||00" },
	{ "4", "<report xmlns='urn:xmpp:reporting:1' reason='urn:example:rude'/>",
		"urn:example:rude||||00" },
	{ "4, a reason MUST be there", "<report xmlns='urn:xmpp:reporting:1'/>", NULL },
	{ "4, another version",
		"<report xmlns='urn:xmpp:reporting:0' reason='urn:xmpp:reporting:spam'/>", NULL },
	{ "4", REPORT("<text xml:lang='en'>Never came trouble.</text>"),
		"urn:xmpp:reporting:spam|Never came trouble.|en||00" },
	{ "4", REPORT("<text>Nie</text><text xml:lang='en'>Never</text>"),
		"urn:xmpp:reporting:spam|Nie|||00" },
	{ "5", REPORT("<report-origin/>"), "urn:xmpp:reporting:spam||||10" },
	{ "5", REPORT("<third-party/>"), "urn:xmpp:reporting:spam||||01" },
	{ "5", REPORT("<third-party xmlns='x'/>"), "urn:xmpp:reporting:spam||||00" },
	{ "6", REPORT(SID("romeo@example.net", "28482") SID("romeo@example.net", "38383")),
		"urn:xmpp:reporting:spam|||romeo@example.net 28482\nromeo@example.net 38383|00" },
	{ "6",
		REPORT("<stanza-id xmlns='urn:xmpp:sid:0' id='1'/>" SID("a", "b&#10;c d")
				SID("a", "e")),
		"urn:xmpp:reporting:spam|||a e|00" },
};

Test(report, what_is_kept)
{
	cr_assert_eq(start_modules(h, "mod_report: {}"), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct report_query q = { .max = 1 };
		char text[8192], want[512] = "";

		take("juliet@shakespeare.lit/chamber", "romeo@example.net/x", rows[i].report);
		all(&q, text);
		if (rows[i].kept)
			snprintf(want, sizeof(want),
				"juliet@shakespeare.lit|romeo@example.net/x|%s\n", rows[i].kept);
		cr_expect_str_eq(
			*text ? strchr(text, ' ') + 1 : "", want, "§%s: %s", rows[i].section, text);
		if (*text)
			cr_assert_eq(report_delete(atoll(text)), 1);
	}
}

Test(report, long_ones_are_cut)
{
	static char report[20000], text[8192];
	char *at = report;

	cr_assert_eq(start_modules(h, "mod_report: {}"), 0);
	at = stpcpy(at, "<report xmlns='urn:xmpp:reporting:1' reason='r'><text>");
	for (int i = 0; i < 1500; i++)
		at = stpcpy(at, "\xc3\xa9");
	at = stpcpy(at, "</text>");
	for (int i = 0; i < 30; i++)
		at += sprintf(at, SID("b", "%d"), i);
	strcpy(at, "</report>");
	take("juliet@shakespeare.lit", "romeo@example.net", report);
	all(&(struct report_query){ .max = 1 }, text);
	cr_expect(strstr(text, "b 0\n") && strstr(text, "b 18\n"));
	cr_expect_not(strstr(text, "b 20"));
	cr_expect_eq(strstr(text, "||b 0") - strstr(text, "\xc3\xa9"), 2000);
}

Test(report, where_it_does_not_run)
{
	char text[8192];

	cr_assert_eq(start_modules(h, "mod_report: {}"), 0);
	registry_stop_host(h);
	take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	cr_expect_str_eq(all(&(struct report_query){ .max = 10 }, text), "");
}

Test(report, lists)
{
	char text[8192];

	cr_assert_eq(start_modules(h, "mod_report: {}"), 0);
	take("juliet@shakespeare.lit", "a@example.net/1",
		"<report xmlns='urn:xmpp:reporting:1' reason='1'/>");
	take("juliet@shakespeare.lit", "b@example.net",
		"<report xmlns='urn:xmpp:reporting:1' reason='2'/>");
	take("juliet@shakespeare.lit", "a@example.net/2",
		"<report xmlns='urn:xmpp:reporting:1' reason='3'/>");
	cr_expect_str_eq(all(&(struct report_query){ .max = 2 }, text),
		"3 juliet@shakespeare.lit|a@example.net/2|3||||00\n"
		"2 juliet@shakespeare.lit|b@example.net|2||||00\n");
	cr_expect_str_eq(all(&(struct report_query){ .max = 2, .before = 2 }, text),
		"1 juliet@shakespeare.lit|a@example.net/1|1||||00\n");
	cr_expect_str_eq(all(&(struct report_query){ .max = 5, .reported = "b@example.net" }, text),
		"2 juliet@shakespeare.lit|b@example.net|2||||00\n");
	cr_expect_str_eq(all(&(struct report_query){ .max = 1, .reported = "a@example.net" }, text),
		"3 juliet@shakespeare.lit|a@example.net/2|3||||00\n");
	cr_expect_str_eq(all(&(struct report_query){ .max = 5,
				     .host = "shakespeare.lit",
				     .reported = "b@example.net" },
				 text),
		"2 juliet@shakespeare.lit|b@example.net|2||||00\n");
	cr_expect_str_eq(all(&(struct report_query){ .max = 5, .host = "other" }, text), "");
}

static unsigned ids(void)
{
	char text[8192];
	unsigned bits = 0;

	all(&(struct report_query){ .max = 100 }, text);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		bits |= 1u << atoi(line);
	return bits;
}

Test(report, only_so_many)
{
	cr_assert_eq(start_modules(h, "mod_report: {max_reports: 4, max_age: 1 hour}"), 0);
	for (int i = 1; i <= 5; i++)
		take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	cr_expect_eq(ids(), 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5);
	cr_assert_eq(reload_modules(h, "mod_report: {max_reports: 2, max_age: 1 hour}"), 0);
	take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	cr_expect_eq(ids(), 1u << 5 | 1u << 6);
}

static int make_old(struct db_tx *tx, void *arg UNUSED)
{
	static struct db_stmt stmt = DB_STMT("old", "UPDATE reports SET at = 1 WHERE id < 3");

	return db_run(tx, &stmt, DB_NO_PARAMS);
}

Test(report, only_so_long)
{
	cr_assert_eq(start_modules(h, "mod_report: {max_age: 1 hour}"), 0);
	for (int i = 1; i <= 3; i++)
		take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	cr_assert_eq(db_write(database, make_old, NULL), 2);
	take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	cr_expect_eq(ids(), 1u << 3 | 1u << 4);
}

Test(report, so_many_of_one_account_a_day)
{
	cr_assert_eq(start_modules(h, "mod_report: {max_per_day: 2}"), 0);
	for (int i = 0; i < 4; i++)
		take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	take("nurse@shakespeare.lit", "romeo@example.net", REPORT(""));
	cr_expect_eq(ids(), 1u << 1 | 1u << 2 | 1u << 3);
}

Test(report, operators_are_told)
{
	cr_assert_eq(start_modules(h, "mod_report: {forward_to: [abuse@staff.example]}"), 0);
	take("juliet@shakespeare.lit/chamber", "romeo@example.net",
		REPORT("<text xml:lang='en'>He &amp; his friends</text>"));
	cr_assert(heard_wait(&staff, 1));
	cr_expect_str_eq(heard_last(&staff),
		"<message from='shakespeare.lit' to='abuse@staff.example'><body>"
		"juliet@shakespeare.lit has reported romeo@example.net: spam\nHe &amp; his friends"
		"</body>" REPORT("<text xml:lang='en'>He &amp; his friends</text>") "</message>",
		"%s", heard_last(&staff));
}

Test(report, a_removed_account_is_not_named)
{
	struct jid *juliet = jid("juliet@shakespeare.lit");
	char text[8192];

	cr_assert_eq(start_modules(h, "mod_report: {}"), 0);
	take("juliet@shakespeare.lit", "romeo@example.net", REPORT(""));
	take("nurse@shakespeare.lit", "romeo@example.net", REPORT(""));
	hook_run(h->hooks, &account_removed_hook, juliet);
	cr_assert_eq(report_delete(-1), 0);
	cr_expect_str_eq(all(&(struct report_query){ .max = 10 }, text),
		"2 nurse@shakespeare.lit|romeo@example.net|urn:xmpp:reporting:spam||||00\n"
		"1 |romeo@example.net|urn:xmpp:reporting:spam||||00\n");
	jid_free(juliet);
}
