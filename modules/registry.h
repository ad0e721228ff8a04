/* modules/registry.h - which modules there are and which run where: gen_mod's table.
 * Modules are built in (one list in catalogue.c) or shared objects NAME.so in one of the folders of
 * the setting module_path; a shared object stays loaded until the server ends. Settings name a
 * module as mod_version or version.
 * What changes anything runs on the main or control thread, one at a time, and may block; what only
 * looks may run on any registered thread. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"
#include "modules/module.h"

/* Folders (const char *) searched for modules that are not built in. Copied. */
void registry_set_folders(const struct conf_list *folders);

/* Reads the `modules` map of one host without starting anything: unknown names, options by table,
 * disciplines, the modules' own checks. NULL or empty: no modules. 0, or CONF_BAD and e says why.
 */
int registry_check(const char *host_name, const struct conf_node *modules, struct conf_errors *e);

/* A change of what runs, on one host or on many, all or nothing: begin, say what shall be, prepare,
 * then commit or abandon. One change at a time.
 * Preparing starts the modules that are new, and those anew that have another value for an option
 * marked CONF_AT_MODULE_START, beside what runs: nobody sees them yet. Committing lets them take
 * over requests, hooks and domains, without a moment in which nobody answers; then what shall not
 * run any more stops, and all others get their options handed over. */
struct registry_change;
struct registry_change *registry_change_begin(void) __attribute__((returns_nonnull));
/* From what runs on h, nothing if it is new, to what the map says. at: where the settings name the
 * host, for errors; may be NULL. Host and nodes outlive the change. 0, or CONF_BAD and e says why:
 * only abandoning is left. */
int registry_change_host(struct registry_change *c, struct host *h, const struct conf_node *at,
	const struct conf_node *modules, struct conf_errors *e);
/* The host goes with the commit: others may have its domains. Its modules run on until
 * registry_stop_host(), which is for after the commit. */
void registry_change_gone(struct registry_change *c, struct host *h);
/* All that can fail. 0, or a negative errno and e says why: only abandoning is left. */
int registry_change_prepare(struct registry_change *c, struct conf_errors *e);
void registry_change_commit(struct registry_change *c);
void registry_change_abandon(struct registry_change *c); /* all is as it was; NULL is fine */

/* One host's change: its first, or another. 0; CONF_BAD when the settings are wrong; a negative
 * errno when a module did not start. e says why; after a failure everything runs as before. */
int registry_start_host(struct host *h, const struct conf_node *modules, struct conf_errors *e);
int registry_reload_host(struct host *h, const struct conf_node *modules, struct conf_errors *e);
/* Stops what runs, last started first. */
void registry_stop_host(struct host *h);

/* What makes one `modules` map of the other; both are right and their files still there. */
struct module_change {
	enum { MODULE_ADDED, MODULE_REMOVED, MODULE_CHANGED } what;
	const char *module; /* "ping" */
	const struct conf_change *option; /* MODULE_CHANGED: one of its options */
};
void registry_differences(const struct conf_node *before, const struct conf_node *after,
	void (*fn)(const struct module_change *change, void *arg), void *arg);

/* A running module by name, with or without mod_. Good until the thread's next quiescent state. */
struct module_instance *registry_find(struct host *h, const char *name);
/* In the order started. */
void registry_each(struct host *h, void (*fn)(struct module_instance *mi, void *arg), void *arg);
/* The rows of one module, with the discipline each has now. Not on a shard. */
void registry_iq_each(struct module_instance *mi,
	void (*fn)(const struct iq_row *row, const struct iqdisc *disc, void *arg), void *arg);
#define IQDISC_TEXT_MAX 32
const char *iqdisc_text(const struct iqdisc *disc, char text[IQDISC_TEXT_MAX]); /* as in settings */

/* Features that the running modules of a host announce, of the server (IQ_LOCAL) or of its
 * accounts (IQ_SM); one may come twice. */
void module_feature_each(
	struct host *h, enum iq_scope scope, void (*fn)(const char *feature, void *arg), void *arg);
/* Domains that the running modules of a host serve; title is NULL when there is none. */
void module_service_each(
	struct host *h, void (*fn)(const char *domain, const char *title, void *arg), void *arg);

/* All modules that are known (built in, or loaded so far) with the options that the registry adds
 * to the module's own, NULL for none: for the manual and the commented default file. */
void registry_reference_each(
	void (*fn)(const struct module *m, const struct conf_item *common, void *arg), void *arg);
