/* tests/unit/modules/test_adhoc.c - XEP-0050's sessions (§2.4.2, §3.3, §3.7, §4.4): a command with
 * several stages, who may go on with it, and when it is forgotten. */
#include "core/job.h"
#include "core/shard.h"
#include "modules/adhoc.h"
#include "router/directory.h"
#include "tests/support/asking.h"
#include "tests/support/hosting.h"
#include "tests/support/moved_clock.h"

extern const struct module module_adhoc;

static struct host *h;
static int freed;

static void data_free(void *data)
{
	free(data);
	freed++;
}

static void send_stage(struct adhoc *a, const char *var)
{
	form_open(a->answer, "form", NULL);
	form_result(a->answer, NULL, &(struct form_row){ var, FORM_TEXT_SINGLE }, NULL);
	build_close(a->answer);
}

/* Two forms, one after the other, and back; what was said in the first is kept for the end. */
static int journey(struct adhoc *a)
{
	if (a->stage == 0) {
		a->data = xstrdup(form_text(a->form, "from", a->arena));
		a->free = data_free;
		a->stage = 1;
		adhoc_ways(a, 1u << ADHOC_PREV | 1u << ADHOC_COMPLETE);
		send_stage(a, "to");
		return ADHOC_MORE;
	}
	if (a->action == ADHOC_PREV) {
		a->stage = 0;
		data_free(a->data);
		a->data = NULL;
		adhoc_ways(a, 1u << ADHOC_NEXT);
		send_stage(a, "from");
		return ADHOC_MORE;
	}
	adhoc_note(a, "info", a->data);
	return ADHOC_DONE;
}

static const struct form_row first[] = { { "from", FORM_TEXT_SINGLE, .required = true }, { 0 } };
static const struct adhoc_command commands[] = {
	{ .node = "journey", .name = "Journey", .fields = first, .run = journey },
};

static enum hook_next offer(void *subject, void *arg)
{
	adhoc_offer(subject, commands, 1, true, arg);
	return HOOK_GO_ON;
}

static void begin(void)
{
	h = hosting_begin("capulet.com");
	directory_init();
	cr_assert_eq(jobs_start(1), 0);
	cr_assert_eq(shards_start(1), 0);
	hook_add(h->hooks, &adhoc_hook, 50, offer, NULL);
	cr_assert_eq(start_modules(h, "mod_adhoc: {session_timeout: 60, max_sessions: 2}"), 0);
}

static void end(void)
{
	registry_stop_host(h);
	shards_stop();
	jobs_stop();
	directory_fini();
	hosting_end(h);
}
TestSuite(adhoc, .init = begin, .fini = end);

static char *request(const char *from, const char *attributes, const char *fields)
{
	struct module_instance *mi = registry_find(h, "adhoc");
	AUTO(free_ptr)
	char *text =
		xprintf("<iq xmlns='jabber:client' type='set' from='%s' to='capulet.com' id='1'>"
			"<command xmlns='http://jabber.org/protocol/commands' node='journey' %s>%s"
			"</command></iq>",
			from, attributes, fields);

	return ask(module_adhoc.iq[0].fn, h, module_conf(mi), mi, text);
}

#define JULIET "juliet@capulet.com/balcony"
#define FORM(f) "<x xmlns='jabber:x:data' type='submit'>" f "</x>"
#define FROM FORM("<field var='from'><value>Verona</value></field>")

/* The answer is good and has what is wanted; its session, as an attribute, goes to id. */
static void expect(char *answer, const char *wanted, char id[64])
{
	const char *at = strstr(answer, "sessionid='");

	cr_assert(at, "%s", answer);
	snprintf(id, 64, "%.28s", at);
	cr_expect(strstr(answer, wanted), "%s: %s", wanted, answer);
	free(answer);
}

static void expect_refusal(char *answer)
{
	cr_expect_str_eq(answer, "later");
	free(answer);
}

static void with(char *out, const char *id, const char *action)
{
	snprintf(out, 128, "%s action='%s'", id, action);
}

Test(adhoc, section_2_4_2_stages_forth_and_back)
{
	char id[64], attributes[128];

	freed = 0;
	expect(request(JULIET, "", ""),
		"status='executing'><actions execute='complete'><complete/></actions>", id);
	with(attributes, id, "next");
	expect(request(JULIET, attributes, FROM),
		"<actions execute='complete'><prev/><complete/></actions>", id);
	with(attributes, id, "prev");
	expect(request(JULIET, attributes, ""),
		"<actions execute='next'><next/></actions><x xmlns='jabber:x:data' type='form'>"
		"<field var='from'",
		id);
	cr_expect_eq(freed, 1);
	with(attributes, id, "next");
	expect(request(JULIET, attributes, FROM), "<field var='to'", id);
	with(attributes, id, "complete");
	expect(request(JULIET, attributes, ""), "<note type='info'>Verona</note></command>", id);
	cr_expect_eq(freed, 2);
	expect_refusal(request(JULIET, attributes, ""));
}

Test(adhoc, section_3_3_a_session_is_of_one_requester)
{
	char id[64], attributes[128];

	expect(request(JULIET, "", ""), "executing", id);
	with(attributes, id, "next");
	expect_refusal(request("juliet@capulet.com/chamber", attributes, FROM));
	expect_refusal(request("romeo@montague.net/orchard", attributes, FROM));
	expect(request(JULIET, attributes, FROM), "<field var='to'", id);
}

Test(adhoc, section_3_3_it_does_not_last_for_ever)
{
	char id[64], attributes[128];

	freed = 0;
	expect(request(JULIET, "", FROM), "<field var='to'", id);
	clock_move(59000);
	with(attributes, id, "prev");
	expect(request(JULIET, attributes, ""), "<field var='from'", id);
	with(attributes, id, "next");
	expect(request(JULIET, attributes, FROM), "<field var='to'", id);
	clock_move(60001);
	with(attributes, id, "complete");
	expect_refusal(request(JULIET, attributes, ""));
	cr_expect_eq(freed, 2, "what it held goes with it");
}

Test(adhoc, section_3_7_one_language_for_all_stages)
{
	char id[64], attributes[128];

	expect(request(JULIET, "xml:lang='pt-BR'", ""), "xml:lang='pt'", id);
	with(attributes, id, "next' xml:lang='de");
	expect(request(JULIET, attributes, FROM), "xml:lang='pt'", id);
}

Test(adhoc, so_many_at_once_for_each)
{
	char id[64], attributes[128];

	expect(request(JULIET, "", ""), "executing", id);
	expect(request(JULIET, "", ""), "executing", id);
	expect_refusal(request(JULIET, "", ""));
	with(attributes, id, "cancel");
	expect(request(JULIET, attributes, ""), "status='canceled'", id);
	expect(request("juliet@capulet.com/chamber", "", ""), "executing", id);
	expect(request(JULIET, "", ""), "executing", id);
}

Test(adhoc, section_4_4_what_is_missing_can_be_added)
{
	char id[64], attributes[128];

	expect(request(JULIET, "", ""), "executing", id);
	with(attributes, id, "next");
	expect_refusal(request(JULIET, attributes, FORM("")));
	expect(request(JULIET, attributes, FROM), "<field var='to'", id);
}
