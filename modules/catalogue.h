/* modules/catalogue.h - which modules there are: built in, or shared objects NAME.so in the folders
 * of the setting module_path, loaded when first named. A shared object stays loaded until the
 * server ends. For modules/registry alone, which holds its lock. */
#pragma once

#include "core/conf.h"
#include "modules/module.h"

/* A name without the mod_ that settings may put in front. */
const char *module_plain_name(const char *name);
/* Folders (const char *) to search. Copied. */
void catalogue_set_folders(const struct conf_list *folders);
/* The module that the key of a node in a `modules` map names. NULL: e says why not. */
const struct module *catalogue_find(const struct conf_node *at, struct conf_errors *e);
void catalogue_each(void (*fn)(const struct module *m, void *arg), void *arg);
