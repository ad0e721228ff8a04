/* net/listener_conf.h - the rows of struct listen_conf, one entry of `listen`. */
#pragma once

#include "core/conf.h"
#include "net/listener.h"

extern const struct conf_item listen_items[];
extern const struct conf_hint listen_hints[]; /* of ejabberd's options that it does not have */

/* By enum listen_module, each with its other spellings: "ejabberd_c2s|c2s". */
extern const char *const listen_module_words[];

/* What follows from the options of one filled entry; map is its node. all_timeout_ms: the server's
 * negotiation_timeout, for an entry without one. */
void listen_conf_finish(struct listen_conf *l, const struct conf_node *map, int64_t all_timeout_ms,
	struct conf_errors *e);
/* Whether both cannot be open at once: the same port and addresses that overlap. */
bool listen_conf_clash(const struct listen_conf *a, const struct listen_conf *b);
