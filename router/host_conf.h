/* router/host_conf.h - the rows of struct host_conf: options that stand at the top of the settings
 * for all hosts, and under host_config for one of them. */
#pragma once

#include "core/conf.h"
#include "router/host.h"

extern const struct conf_item host_conf_items[]; /* all .per_host */

/* The word of auth_method, and behind "mod_auth_" the module that brings it. */
const char *auth_method_name(enum auth_method m);

/* A snapshot with one reference: the options of all hosts, and over them what own (a map under
 * host_config, NULL for none) says. What else may or may not stand in own goes to the extra parts,
 * if any. at: the host's place in the file. Errors are added to e. */
struct host_conf *host_conf_make(const char *name, const struct host_conf *all,
	const struct conf_node *own, const struct conf_node *at, const struct conf_part *extra,
	unsigned n_extra, struct conf_errors *e);
