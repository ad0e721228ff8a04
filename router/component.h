/* router/component.h - external components: who serves which domain of its own over a stream
 * (XEP-0114; net/service.h makes the streams). While a stream serves a domain, that stands in the
 * route table; when the stream goes, it is withdrawn, and the domain is as unknown as before.
 * Claims and releases run one after the other on the job threads, so that who comes after somebody
 * went finds the domain free. */
#pragma once

#include <urcu/list.h>

#include "core/actor.h"
#include "core/attr.h"
#include "core/conf.h"
#include "core/hook.h"
#include "xml/stanza.h"

/* One domain that a stream serves, or asks for. */
struct component {
	/* Constant after component_claim(). */
	struct jid *jid; /* the domain */
	struct actor_id stream;
	struct conf_prefix address;
	uint16_t port;
	bool tls;
	uint64_t since_ms; /* wall clock, when it was asked for */
	/* The domain was somebody's who still has it, and is another's now: his stream ends. Any
	 * thread. */
	void (*replaced)(struct actor_id stream);
	/* Any thread. */
	_Atomic bool gone; /* its stream takes nothing any more */
	_Atomic uint64_t received, sent; /* stanzas from it, and to it */
	/* Its stream's: the next of the domains that it serves. */
	struct component *next;
	struct cds_list_head node; /* private */
};

/* On the main thread, after jobs_start() and before jobs_stop(). */
void components_start(void);
void components_stop(void); /* all streams have gone */

struct component *component_new(const struct jid *domain, struct actor_id stream) __attribute__((
	returns_nonnull)); /* copies the domain; the rest is for the caller to fill in */

/* What becomes of a domain that another component has already. */
enum component_conflict { COMPONENT_CLOSE_NEW, COMPONENT_CLOSE_OLD };
/* Asks for all domains of the list, which it takes. done() runs on this shard, whether the stream
 * still lives or not, with those it has got; without the first it gets none. They go back by
 * component_release(). */
typedef void component_claimed_fn(struct actor_id stream, struct component *got);
ON_SHARD void component_claim(
	struct component *list, enum component_conflict conflict, component_claimed_fn *done);
/* Nothing more is delivered from here on, and what was under way is answered. */
ON_SHARD void component_gone(struct component *list);
/* The same, and the domains are given back; takes the list. NULL is fine. */
ON_SHARD void component_release(struct component *list);

/* Who serves the domain: good until the thread's next quiescent state. NULL: no component. */
const struct component *component_find(const char *domain);
/* In no order; fn is quick: nobody gets or gives back a domain meanwhile. Any thread. */
void components_each(void (*fn)(const struct component *c, void *arg), void *arg);
int64_t components_count(void); /* domains */

/* Both hang in one set, not a host's. Subject: struct component; on its stream's shard. */
extern struct hook component_connected_hook; /* it has been told so: what is routed now arrives */
extern struct hook component_left_hook; /* nothing reaches it any more */
struct hook_set *component_hooks(void);
