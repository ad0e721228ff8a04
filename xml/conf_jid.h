/* xml/conf_jid.h - checks for settings that hold addresses: conf_item.check of CONF_DOMAIN and
 * CONF_JID rows. The field (const char *) is replaced by its prepared form. NULL, or what was
 * expected. Any thread. */
#pragma once

#include "core/arena.h"
#include "core/attr.h"

const char *conf_check_domain(const void *value, struct arena *a);
const char *conf_check_jid(const void *value, struct arena *a);
