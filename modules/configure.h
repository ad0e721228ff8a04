/* modules/configure.h - the commands of XEP-0133 (Service Administration), in three files:
 * configure_accounts.c (§4.1-4.12), configure_lists.c (§4.13-4.22) and configure_service.c (§4.31);
 * configure.c says who may. */
#pragma once

#include "modules/adhoc.h"
#include "xml/ns.h"

#define ADMIN_NODE(name) "http://jabber.org/protocol/admin#" name

struct adhoc_commands {
	const struct adhoc_command *at;
	unsigned n;
};
extern const struct adhoc_commands account_commands, list_commands, service_commands;

/* What router/auth's outcome is to whoever asked: 0, an enum stanza_error, or ADHOC_WRONG; the
 * problem says more. */
int configure_outcome(struct adhoc *a, int outcome);
