/* modules/caps_cache.h - features by verified hash: what all clients of one version say of
 * themselves is asked once and known from then on, also after a restart. One cache for all hosts,
 * in memory with a bound and in the database with a larger one. Behind modules/caps. */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"
#include "core/rcu.h"
#include "xml/stanza.h"

/* Sorted. Constant; counted; read under RCU. */
struct caps_features {
	_Atomic uint32_t refs;
	struct rcu_head rcu;
	uint32_t bytes; /* of the texts, with their NULs */
	uint32_t n;
	const char *at[]; /* the texts stand behind */
};
/* Of a disco#info answer; one reference. NULL: more than CAPS_FEATURES_BYTES. */
#define CAPS_FEATURES_BYTES 16384
struct caps_features *caps_features_read(const struct elem *query);
struct caps_features *caps_features_ref(struct caps_features *f);
void caps_features_unref(struct caps_features *f); /* the last one frees after a grace period */
/* NULL has none. */
bool caps_features_have(const struct caps_features *f, const char *feature);

#define CAPS_KEY_MAX 192 /* bytes of "1:sha-1:QgayPKawpkPSDYmwT/WM94uAlu0=" with a NUL */

/* main or control thread, once for each host that has the module; and its end. 0 or -errno. */
ON_JOB int caps_cache_start(void);
void caps_cache_stop(void);
/* From memory; good until the thread's next quiescent state. RCU-registered thread. */
struct caps_features *caps_cache_find(const char *key);
/* From the database, into memory. *out: one reference, NULL for none. 0 or a negative errno. */
ON_JOB int caps_cache_load(const char *key, struct caps_features **out);
/* What was verified. Any thread; the database is written later. */
void caps_cache_add(const char *key, struct caps_features *f);
/* Forgets all; how many the database had, or a negative errno. */
ON_JOB int caps_cache_clear(void);
unsigned caps_cache_count(void); /* in memory */
