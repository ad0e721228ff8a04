/* cmd/linnetd_dns.c - commands about how other servers are found. */
#include <string.h>

#include "cmd/linnetd.h"
#include "core/command.h"
#include "core/errand.h"
#include "core/mem.h"
#include "net/dns.h"
#include "net/lookup.h"
#include "xml/jid.h"

/* A lookup that the control thread waits for. */
struct asking {
	struct errand errand;
	struct telling telling;
	char domain[JID_PART_MAX + 1];
	json_t *steps; /* owned */
	const struct places *places; /* counted */
};

static void add_step(struct telling *t, const char *line)
{
	struct asking *a = caa_container_of(t, struct asking, telling);

	json_array_append_new(a->steps, json_pack("{s:s}", "step", line));
}

static void found(const struct places *p, void *arg)
{
	struct asking *a = arg;

	a->places = places_ref(p);
	errand_tell(&a->errand);
}

static void begin(struct msg *m)
{
	struct asking *a = caa_container_of(m, struct asking, errand.msg);

	shard_check(NULL);
	(void)!lookup_start(a->domain, &a->telling, found, a);
}

static json_t *describe(const struct place *p)
{
	char text[PLACE_TEXT_MAX];

	return json_pack("{s:i, s:s, s:s, s:s, s:b, s:i}", "rank", (int)p->rank, "address",
		place_text(p, text), "host", p->host, "tls", p->direct_tls ? "direct" : "starttls",
		"validated", p->secure, "tlsa", p->tlsa ? (int)p->tlsa->n : 0);
}

static json_t *list_places(const struct places *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < p->n; i++)
		json_array_append_new(list, describe(&p->at[i]));
	return list;
}

/* False: the answer says why not. Otherwise steps and places are the caller's. */
static bool look_up(struct asking *a, const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "domain");

	if (jid_prep_domain(given, strlen(given), a->domain) <= 0) {
		command_fail(answer, "'%s' is not a domain", given);
		return false;
	}
	a->telling.step = add_step;
	a->steps = json_array();
	errand_wait(&a->errand, shard_at(0), begin);
	return true;
}

static void run_lookup(const json_t *args, struct command_answer *answer)
{
	struct asking a = { 0 };

	if (!look_up(&a, args, answer))
		return;
	if (a.places->outcome == PLACES_FOUND)
		answer->result = list_places(a.places);
	else
		command_fail(answer, "%s", a.places->why);
	json_decref(a.steps);
	places_unref(a.places);
}

static void run_explain(const json_t *args, struct command_answer *answer)
{
	struct asking a = { 0 };

	if (!look_up(&a, args, answer))
		return;
	answer->result = a.steps;
	places_unref(a.places);
}

static void run_flush(const json_t *args UNUSED, struct command_answer *answer)
{
	answer->result = json_pack("{s:I}", "forgotten", (json_int_t)dns_flush());
}

static const struct command_arg domain_args[] = { { "domain", ARG_STRING, .help = "Whose server." },
	{ 0 } };

static const struct command commands[] = {
	{ "dns-lookup", "federation",
		"List where the server of a domain is, in the order in which the places are tried; "
		"those of a higher rank are for when no other answers.",
		domain_args, run_lookup,
		(const char *const[]){
			"rank", "address", "host", "tls", "validated", "tlsa", NULL } },
	{ "dns-explain", "federation",
		"Look up where the server of a domain is, and tell what was asked and answered.",
		domain_args, run_explain, (const char *const[]){ "step", NULL } },
	{ "dns-flush", "federation", "Forget what name servers have answered so far.", NULL,
		run_flush },
};

void commands_add_dns(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
