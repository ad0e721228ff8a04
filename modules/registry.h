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

/* Starts a host's modules in the order of the map. 0; CONF_BAD when the settings are wrong; a
 * negative errno when a module did not start: nothing runs then. e says why. */
int registry_start_host(struct host *h, const struct conf_node *modules, struct conf_errors *e);
/* Stops what runs, last started first. */
void registry_stop_host(struct host *h);
/* From what runs to what the map says: everything is checked, then new modules start, those with
 * changed options that are marked needs_restart stop and start, removed ones stop, all others get
 * their options handed over. Returns as registry_start_host(); after a failure everything runs as
 * it did before. */
int registry_reload_host(struct host *h, const struct conf_node *modules, struct conf_errors *e);

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
