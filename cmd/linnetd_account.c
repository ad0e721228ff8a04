/* cmd/linnetd_account.c - what commands about one account have in common: which account, in whose
 * tables, and an answer that is a number or a list. */
#include <errno.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/registry.h"
#include "router/host.h"
#include "router/route.h"

struct host *host_of_args(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "host");
	char domain[JID_PART_MAX + 1];
	struct host *h = NULL;

	if (jid_prep_domain(given, strlen(given), domain) >= 0)
		h = route_host(domain);
	if (!h)
		command_fail(answer, "%s is not a host of this server", given);
	return h ? host_ref(h) : NULL;
}

struct host *account_of_args(const json_t *args, char *user, struct command_answer *answer)
{
	const char *given = command_text(args, "user");
	struct host *h = host_of_args(args, answer);

	if (!h || jid_prep_local(given, strlen(given), user) > 0)
		return h;
	command_fail(answer, "'%s' cannot be the name of an account", given);
	host_unref(h);
	return NULL;
}

struct host *account_of_module(
	const char *module, const json_t *args, char *user, struct command_answer *answer)
{
	struct host *h = account_of_args(args, user, answer);

	if (!h || !module || registry_find(h, module))
		return h;
	command_fail(answer, "mod_%s does not run on %s", module, h->name);
	host_unref(h);
	return NULL;
}

void command_fail_db(struct command_answer *answer, int64_t error)
{
	command_fail(answer, "the database: %s",
		error == -ENOSYS ? "there is none" : strerrordesc_np((int)-error));
}

void command_number(struct command_answer *answer, const char *what, int64_t n)
{
	if (n < 0)
		command_fail_db(answer, n);
	else
		answer->result = json_pack("{s:I}", what, (json_int_t)n);
}

/* As account_of_module(), and the account as an address, which the caller frees. */
static struct host *address_of_args(
	const char *module, const json_t *args, struct jid **account, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module(module, args, user, answer);

	if (h)
		REQUIRE(jid_make(user, h->name, NULL, NULL, account) == JID_OK);
	return h;
}

void command_number_of(const char *module, const char *what, account_number_fn *fn,
	const json_t *args, struct command_answer *answer)
{
	struct jid *account;
	struct host *h = address_of_args(module, args, &account, answer);

	if (!h)
		return;
	command_number(answer, what, fn(h, account, args));
	jid_free(account);
	host_unref(h);
}

void command_list_of(
	const char *module, account_list_fn *fn, const json_t *args, struct command_answer *answer)
{
	struct jid *account;
	struct host *h = address_of_args(module, args, &account, answer);
	int result;

	if (!h)
		return;
	answer->result = json_array();
	result = fn(h, account, answer->result);
	if (result < 0)
		command_fail_db(answer, result);
	jid_free(account);
	host_unref(h);
}
