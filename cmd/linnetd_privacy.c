/* cmd/linnetd_privacy.c - commands that show whom an account will not hear from: its blocks and its
 * privacy lists (router/privacy.h). */
#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/privacy_store.h"
#include "router/subscription.h"

/* fn() is called for each rule, in the order in which they are asked. */
static void each_rule(const char *module, const json_t *args, struct command_answer *answer,
	void (*fn)(
		const struct privacy *p, const struct privacy_list *l, unsigned rule, json_t *rows))
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module(module, args, user, answer);
	struct account_part *part = NULL;
	struct jid *account;
	int error;

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	REQUIRE(jid_make(user, h->name, NULL, NULL, &account) == JID_OK);
	error = privacy_store_load(NULL, h, account, &part);
	jid_free(account);
	if (error)
		command_fail_db(answer, error);
	if (part) {
		const struct privacy *p = container_of(part, struct privacy, part);

		for (unsigned i = 0; i < p->n; i++)
			for (unsigned k = 0; k < p->lists[i].n; k++)
				fn(p, &p->lists[i], k, answer->result);
		part->free(part);
	}
	host_unref(h);
}

/* ---- blocks */

static void add_block(
	const struct privacy *p, const struct privacy_list *l, unsigned rule, json_t *rows)
{
	char address[JID_TEXT_MAX];

	if (l != p->standard || !privacy_is_block(&l->rules[rule]))
		return;
	jid_write(l->rules[rule].jid, address);
	json_array_append_new(rows, json_pack("{s:s}", "address", address));
}

static void run_blocks(const json_t *args, struct command_answer *answer)
{
	each_rule("blocking", args, answer, add_block);
}

/* ---- privacy-lists */

/* In the words of XEP-0016. */
static json_t *about_value(const struct privacy_rule *r)
{
	char address[JID_TEXT_MAX];

	switch (r->about) {
	case PRIVACY_JID:
		jid_write(r->jid, address);
		return json_pack("s+", "address ", address);
	case PRIVACY_GROUP:
		return json_pack("s+", "group ", r->group);
	case PRIVACY_SUBSCRIPTION:
		return json_pack("s+", "subscription ", subscription_name(r->subscription));
	case PRIVACY_ANYBODY:
		break;
	}
	return json_string("anybody");
}

static json_t *kinds_value(unsigned kinds)
{
	static const char *const names[] = { "message", "iq", "presence-in", "presence-out" };
	json_t *all = json_array();

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (kinds & 1u << i)
			json_array_append_new(all, json_string(names[i]));
	return all;
}

static void add_rule(
	const struct privacy *p, const struct privacy_list *l, unsigned rule, json_t *rows)
{
	const struct privacy_rule *r = &l->rules[rule];

	json_array_append_new(rows,
		json_pack("{s:s, s:b, s:i, s:s, s:o, s:o}", "list", l->name, "default",
			l == p->standard, "rule", (int)rule + 1, "action",
			r->deny ? "deny" : "allow", "about", about_value(r), "stanzas",
			kinds_value(r->kinds)));
}

static void run_lists(const json_t *args, struct command_answer *answer)
{
	each_rule("privacy", args, answer, add_rule);
}

static const struct command_arg account_args[] = { ACCOUNT_ARGS, { 0 } };

static const struct command commands[] = {
	{ "blocks", "stored", "List the addresses that an account has blocked.", account_args,
		run_blocks, (const char *const[]){ "address", NULL } },
	{ "privacy-lists", "stored",
		"List the rules of an account's privacy lists, in the order in which they are "
		"asked; "
		"without stanzas a rule is about everything, both ways.",
		account_args, run_lists,
		(const char *const[]){
			"list", "default", "rule", "action", "about", "stanzas", NULL } },
};

void commands_add_privacy(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
