/* modules/configure.c - administration by ad-hoc commands: XEP-0133 (Service Administration).
 * Left out are: the user's password (§4.7, retracted: nobody knows it), black and white lists and
 * the list of administrators (§4.11, §4.12, §4.29) and the welcome message (§4.27, §4.28), all of
 * which stand in the settings file, which a reload applies; and restarting (§4.30), which is
 * linnetctl's (upgrade), because it has to wait for all that is under way. Announcements
 * (§4.23-4.26) are mod_announce's. */
#include "modules/configure.h"

#include <errno.h>

#include "modules/campaign.h"
#include "modules/module.h"
#include "modules/permit.h"

struct configure_conf {
	const char *access;
};
static const struct conf_item configure_items[] = {
	{ "access", CONF_ACCESS, FIELD(struct configure_conf, access, const char *),
		.help = "Who may run these commands; without it, the acl `admin`." },
	{ 0 }
};

int configure_outcome(struct adhoc *a, int outcome)
{
	switch (outcome) {
	case 0:
		return 0;
	case AUTH_NO_SUCH_USER:
		a->problem = TR("There is no such account.");
		return ERR_ITEM_NOT_FOUND;
	case AUTH_EXISTS:
		a->problem = TR("The account exists already.");
		return ADHOC_WRONG;
	case AUTH_READ_ONLY:
	case -ENOSYS:
		a->problem = TR("The accounts of this host cannot be changed here.");
		return ERR_NOT_ALLOWED;
	case -EINVAL:
		a->problem = TR("This password is not allowed.");
		return ADHOC_WRONG;
	default:
		return ERR_INTERNAL_SERVER_ERROR;
	}
}

static enum hook_next offer(void *subject, void *arg)
{
	struct host *h = adhoc_search_host(subject);
	const struct configure_conf *conf = module_conf(arg);
	bool allowed = admin_permitted(h, conf->access, adhoc_search_from(subject));

	adhoc_offer(subject, account_commands.at, account_commands.n, allowed, arg);
	adhoc_offer(subject, list_commands.at, list_commands.n, allowed, arg);
	adhoc_offer(subject, service_commands.at, service_commands.n, allowed, arg);
	return HOOK_GO_ON;
}

static int configure_start(struct module_instance *mi UNUSED)
{
	campaigns_open(); /* the end of the service is announced */
	return 0;
}

static void configure_stop(struct module_instance *mi UNUSED)
{
	campaigns_close();
}

const struct module module_configure = {
	.abi = LINNET_MODULE_ABI,
	.name = "configure",
	.help = "Administration from a client, by ad-hoc commands (mod_adhoc): accounts, "
		"sessions, lists and numbers of users, the end of the service. It has the commands "
		"of XEP-0133 but for these: what stands in the settings (administrators, black and "
		"white lists, the welcome message), passwords, which nobody knows, restarting, "
		"which linnetctl upgrade does, and announcements, which are mod_announce's.",
	.xeps = (const char *const[]){ "XEP-0133 1.3.1 partial", NULL },
	.conf = configure_items,
	.conf_size = sizeof(struct configure_conf),
	.hooks = (const struct hook_row[]){ { &adhoc_hook, 50, offer }, { 0 } },
	.start = configure_start,
	.stop = configure_stop,
};
LINNET_MODULE(module_configure);
