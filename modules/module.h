/* modules/module.h - the one header a module sees, inside the tree and out of it.
 * A module is a descriptor: settings table, features, handler rows, and functions that run when a
 * virtual host starts, changes or stops it: ejabberd's gen_mod. start() runs before the handlers
 * and hooks of the rows are registered, and stop() after they are withdrawn and their last call has
 * returned, so a handler never sees a module that is half there. A reload that fails elsewhere
 * takes a start() back with a stop(), and nothing came in between. */
#pragma once

#include <stdio.h>

#include "core/attr.h"
#include "core/child.h"
#include "core/conf.h"
#include "core/hook.h"
#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "router/access.h"
#include "router/auth.h"
#include "router/host.h"
#include "router/iq.h"
#include "router/route.h"
#include "xml/builder.h"
#include "xml/jid.h"
#include "xml/ns.h"
#include "xml/stanza.h"

/* Raised whenever anything a module can see changes its layout or meaning. */
#define LINNET_MODULE_ABI 3

/* What modules/ gives to modules built outside of it; all else in there stays its own, so that
 * their names cannot meet. */
#define MODULE_PUBLIC __attribute__((visibility("default")))

struct module;

/* One module on one host. Constant while it runs, but for the settings. */
struct module_instance {
	const struct module *module;
	struct host *host; /* counted */
	void *data; /* the module's own, from start() */
	RCU_PTR(const void) conf; /* module_conf() */
};

/* The settings, conf_size bytes filled from the module's table. On a shard they stay whole until
 * the end of the turn; in a handler iq_conf() is the same, and good wherever the handler runs. */
static inline const void *module_conf(struct module_instance *mi)
{
	return rcu_get(mi->conf);
}
/* Counted for the caller, who may block meanwhile. Any registered thread. */
MODULE_PUBLIC const void *module_conf_hold(struct module_instance *mi);
MODULE_PUBLIC void module_conf_drop(const void *held); /* NULL is fine */

struct iq_row { /* ends with a NULL ns */
	enum iq_types types;
	enum iq_scope scope;
	const char *ns;
	enum iq_discipline disc; /* default; the module's iqdisc setting overrides it */
	iq_handler *fn; /* arg: the struct module_instance */
	unsigned queues; /* IQ_QUEUES: default number of lanes; 0: IQ_ROW_QUEUES */
	bool blocks; /* calls ON_JOB functions: no_queue is refused */
	bool lane; /* modules/account_request.h: anything but no_queue is refused */
};
#define IQ_ROW_QUEUES 4
struct hook_row { /* ends with a NULL hook */
	struct hook *hook;
	int order;
	hook_fn *fn; /* arg: the struct module_instance */
};

struct module {
	unsigned abi; /* LINNET_MODULE_ABI */
	const char *name; /* "version"; in settings also mod_version */
	const char *help;
	const char *const *xeps; /* "XEP-0092 1.1" or "XEP-0133 1.3.1 partial"; NULL-terminated; for
				    docs and DOAP */
	const char *const *features; /* of the server's disco#info; NULL-terminated */
	const char *const *account_features; /* of an account's disco#info */
	const struct conf_item *conf;
	size_t conf_size;
	const struct iq_row *iq;
	const struct hook_row *hooks;
	/* On the main or control thread, which may block. 0 or negative errno (then it is not
	 * started, all is withdrawn, and the host's start or the reload fails). */
	int (*start)(struct module_instance *mi);
	void (*stop)(struct module_instance *mi);
	/* The settings have changed: module_conf() gives the new ones already, old are the ones
	 * before, both whole during the call. NULL: nothing to do. A change of an option marked
	 * CONF_AT_MODULE_START starts a new instance instead, beside this one, which stops when the
	 * other has taken over. Nodes of CONF_RAW options are good during start() and reload()
	 * only. */
	void (*reload)(struct module_instance *mi, const void *old);
	/* Ends with a NULL id. Actors, threads and processes that are to live while the module runs
	 * on a host, below the host's supervisor: started after it, in no order with those of
	 * others, and stopped before it; the arg of each is the struct module_instance, whatever
	 * stands here. Too many restarts start all of the host's modules anew. */
	const struct child_spec *children;
	/* A cross-check of one host's settings at --check; returns NULL or what is wrong. */
	const char *(*check)(const void *conf, struct arena *a);
};

/* Gives the module a domain of its own: stanzas to it go to fn, on the sender's shard. @HOST@ in
 * the domain stands for the virtual host's name. title (NULL: none) stands in the host's
 * disco#items. For start() alone, as its last step: the domain is served once all that starts with
 * it has started; withdrawn, with a grace period, before stop().
 * 0, -EINVAL: not a domain, -EADDRINUSE: it has a route already. */
MODULE_PUBLIC int module_serve(struct module_instance *mi, const char *domain, const char *title,
	service_fn *fn, void *arg);

/* Ends every module's file. Built out of the tree it exports the descriptor under the one name that
 * the registry looks for. */
#define LINNET_MODULE_SYMBOL "linnet_module"
#ifdef LINNET_BUILT_IN
#define LINNET_MODULE(m) extern const struct module m
#else
#define LINNET_MODULE(m)                                               \
	MODULE_PUBLIC extern const struct module *const linnet_module; \
	const struct module *const linnet_module = &(m)
#endif
