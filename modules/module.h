/* modules/module.h - the one header a module sees, inside the tree and out of it.
 * A module is a descriptor: settings table, features, handler rows, and functions that run when a
 * virtual host starts, changes or stops it: ejabberd's gen_mod. Everything named in the rows is
 * registered before start() and withdrawn, with a grace period, after stop(). */
#pragma once

#include "core/attr.h"
#include "core/conf.h"
#include "core/hook.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "router/access.h"
#include "router/auth.h"
#include "router/host.h"
#include "router/iq.h"
#include "router/route.h"
#include "xml/builder.h"
#include "xml/jid.h"
#include "xml/stanza.h"

/* Raised whenever anything a module can see changes its layout or meaning. */
#define LINNET_MODULE_ABI 1

/* One module on one host. */
struct module_instance {
	const struct module *module;
	struct host *host;            /* counted */
	const void *conf;             /* conf_size bytes filled from .conf; replaced by reload */
	void *data;                   /* the module's own, from start() */
	struct module_instance *next; /* of the same host; registry's */
	struct module_private *priv;  /* registry's */
};

struct iq_row { /* ends with a NULL ns */
	enum iq_types types;
	enum iq_scope scope;
	const char *ns;
	enum iq_discipline disc; /* default; the module's iqdisc setting overrides it */
	iq_handler *fn;
	unsigned queues;         /* IQ_QUEUES: default number of lanes */
};
struct hook_row { /* ends with a NULL hook */
	struct hook *hook;
	int order;
	hook_fn *fn;             /* arg: the struct module_instance */
};

struct module {
	unsigned abi;                       /* LINNET_MODULE_ABI */
	const char *name;                   /* "version"; in settings also mod_version */
	const char *help;
	const char *const *xeps;            /* "XEP-0092 1.1", ...; NULL-terminated; for docs and DOAP */
	const char *const *features;        /* of the server's disco#info; NULL-terminated */
	const char *const *account_features; /* of an account's disco#info */
	const struct conf_item *conf;
	size_t conf_size;
	const struct iq_row *iq;
	const struct hook_row *hooks;
	/* On the main or control thread, which may block. 0 or negative errno (then it is not
	 * started, all is withdrawn, and the host's start or the reload fails). */
	int (*start)(struct module_instance *mi);
	void (*stop)(struct module_instance *mi);
	/* The settings have changed: mi->conf is the new one already, old the one before, both whole
	 * during the call. NULL: nothing to do. Handlers see the new conf from then on. */
	void (*reload)(struct module_instance *mi, const void *old);
	/* A cross-check of one host's settings at --check; returns NULL or what is wrong. */
	const char *(*check)(const void *conf, struct arena *a);
};
/* An out-of-tree module exports one descriptor under this name. */
#define LINNET_MODULE_SYMBOL "linnet_module"
#define LINNET_MODULE(m) const struct module *const linnet_module = &(m)
