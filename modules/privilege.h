/* modules/privilege.h - what external components may do in the name of a host's accounts: XEP-0356
 * (Privileged Entity), ejabberd's mod_privilege. Answers for other modules. */
#pragma once

#include "core/attr.h"
#include "router/host.h"
#include "xml/jid.h"

/* Whether from is a component that may read (or, with set, change) the rosters of h's accounts. On
 * a shard. */
bool privilege_roster(struct host *h, const struct jid *from, bool set);
