/* modules/permit.c - who may know whether an account is there. */
#include "modules/permit.h"

#include "router/access.h"

HOOK(presence_permit);

bool presence_permitted(struct host *h, const struct jid *who, const struct jid *account)
{
	struct presence_permit permit = { .host = h, .who = who, .account = account };
	struct access_subject subject = { .jid = who };

	return jid_equal_bare(who, account) || acl_matches("admin", h->name, &subject) ||
		hook_run(h->hooks, &presence_permit_hook, &permit) == HOOK_STOP;
}

bool admin_permitted(struct host *h, const char *access, const struct jid *who)
{
	struct access_subject subject = { .jid = who };

	return access ? access_allowed(access, h->name, &subject)
		      : acl_matches("admin", h->name, &subject);
}
