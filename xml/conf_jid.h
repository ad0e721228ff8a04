/* xml/conf_jid.h - checks of settings that are domains or JIDs: the .check of CONF_DOMAIN and
 * CONF_JID rows. Each puts the prepared form in place of what the file says. */
#pragma once

#include "core/conf.h"

const char *conf_check_domain(const void *value, struct arena *a);
const char *conf_check_jid(const void *value, struct arena *a);
