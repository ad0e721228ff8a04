/* xml/conf_jid.h - checks for settings that are domains or addresses: struct conf_item's .check of
 * CONF_DOMAIN and CONF_JID. Each replaces what was written by its prepared form, so that settings
 * compare byte by byte with what comes over streams. */
#pragma once

#include "core/arena.h"

const char *conf_check_domain(const void *value, struct arena *a); /* at a const char * */
const char *conf_check_jid(const void *value, struct arena *a);
