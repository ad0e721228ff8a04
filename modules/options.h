/* modules/options.h - one module's settings on one host, as read from its map: the module's own and
 * those that every module with requests has (iqdisc, max_queue). Counted, because a handler that
 * blocks keeps them across a reload; see module_conf_hold(). For modules/registry. */
#pragma once

#include <stdatomic.h>

#include "core/arena.h"
#include "core/conf.h"
#include "modules/module.h"

struct options {
	_Atomic uint32_t refs;
	struct arena arena;
	struct iqdisc disc; /* kind and queues only if disc_given */
	bool disc_given;
	const void *conf; /* the module's own part */
};

/* The rows that m has besides its own; NULL: none. */
const struct conf_item *options_common(const struct module *m);
/* One reference, always; what is wrong is in e. map: NULL or CONF_NULL for presets alone. */
struct options *options_read(
	const struct module *m, const struct conf_node *map, struct conf_errors *e);
void options_drop(struct options *o); /* NULL is fine */
/* Where a row's requests are answered with these options. */
struct iqdisc options_disc(const struct options *o, const struct iq_row *row);
/* Whether two readings of one module's map came to the same. Both files are still there. */
bool options_same(const struct module *m, const struct options *a, const struct options *b);
/* Whether a row differs that only a start of the module applies. */
bool options_need_restart(
	const struct module *m, const struct options *before, const struct options *after);
/* Every option that differs, iqdisc and max_queue too. Both files are still there. */
void options_differences(const struct module *m, const struct options *before,
	const struct options *after, void (*fn)(const struct conf_change *change, void *arg),
	void *arg);
