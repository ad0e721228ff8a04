/* net/c2s_csi.c - what may wait for a client that nobody looks at. */
#include "net/c2s_csi.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"

#define HELD_MAX 1000 /* stanzas; then they are sent after all */

/* What a stanza is, if it may wait: the next one of the same kind and sender takes its place. */
enum waits_as { IMPORTANT, PRESENCE, CHAT_STATE, NOTIFICATION };

struct held {
	struct held *next;
	struct stanza *stanza; /* one reference */
	const char *node; /* NOTIFICATION: of which, in the stanza; else NULL */
	enum waits_as as;
	enum deliver_copies copies;
};
struct csi {
	struct held *first, **last;
	unsigned n;
	uint64_t bytes;
};

static struct metric inactive_metric =
	METRIC_GAUGE("csi_inactive", "Clients that said that nobody looks at them.");
static struct metric held_metric =
	METRIC_COUNTER("csi_held_total", "Stanzas that waited for an inactive client.");
static struct metric merged_metric = METRIC_COUNTER("csi_merged_total",
	"Stanzas for inactive clients that were never sent, because a later one took their place.");

/* ---- What may wait */

static bool is_chat_state_only(const struct elem *message)
{
	bool state = false;

	elem_each_child (message, child) {
		if (child->ns == NS_CHATSTATES)
			state = true;
		else if (child->name != NAME_THREAD && child->ns != NS_HINTS &&
			child->ns != NS_SID && child->ns != NS_DELAY)
			return false;
	}
	return state;
}

/* Of a carbon copy (XEP-0280): what was copied. */
static const struct elem *copied(const struct elem *message)
{
	const struct elem *way = elem_first(message), *forwarded;

	if (!way || way->ns != NS_CARBONS)
		return NULL;
	forwarded = elem_child(way, "forwarded", NS_FORWARD);
	return forwarded ? elem_child(forwarded, "message", NS_CLIENT) : NULL;
}

/* Of XEP-0060 §7.1.2.1, from a person's account: the node. A service's notifications matter. */
static const char *notified_node(const struct stanza *s)
{
	const struct elem *event = elem_child(s->root, "event", NS_PUBSUB_EVENT);
	const struct elem *items = event ? elem_child(event, "items", NS_PUBSUB_EVENT) : NULL;

	return items && s->type == MSG_HEADLINE && s->from && s->from->local_len
		? elem_attr(items, "node")
		: NULL;
}

/* Whoever has just been let into a room, or put out, wants to know: XEP-0045 §7.2.2, §9.1. */
static bool is_about_oneself(const struct stanza *s)
{
	const struct elem *x = elem_child(s->root, "x", NS_MUC_USER);

	return x && elem_child(x, "status", NS_MUC_USER);
}

static enum waits_as waits_as(const struct stanza *s, const struct client_state_conf *conf)
{
	const struct elem *copy;

	if (s->kind == STANZA_PRESENCE)
		return conf->queue_presence &&
				(s->type == PRES_AVAILABLE || s->type == PRES_UNAVAILABLE) &&
				!is_about_oneself(s)
			? PRESENCE
			: IMPORTANT;
	if (s->kind != STANZA_MESSAGE)
		return IMPORTANT;
	copy = copied(s->root);
	if (conf->queue_chat_states && is_chat_state_only(copy ? copy : s->root))
		return CHAT_STATE;
	return conf->queue_pep && notified_node(s) ? NOTIFICATION : IMPORTANT;
}

/* ---- Holding */

static bool takes_the_place_of(const struct held *now, const struct held *was)
{
	return now->as == was->as && now->stanza->from && was->stanza->from &&
		jid_equal(now->stanza->from, was->stanza->from) &&
		(now->as != NOTIFICATION || !strcmp(now->node, was->node)) &&
		(now->as != CHAT_STATE || !copied(was->stanza->root));
}

static void held_free(struct held *h)
{
	stanza_unref(h->stanza);
	free(h);
}

static void drop_earlier(struct csi *csi, const struct held *now)
{
	for (struct held **at = &csi->first, *h; (h = *at); at = &h->next) {
		if (!takes_the_place_of(now, h))
			continue;
		*at = h->next;
		if (!*at)
			csi->last = at;
		csi->n--;
		csi->bytes -= stanza_held_bytes(h->stanza);
		metric_add(&merged_metric, 1);
		held_free(h);
		return;
	}
}

static void hold(struct csi *csi, struct held *h)
{
	drop_earlier(csi, h);
	*csi->last = h;
	csi->last = &h->next;
	csi->n++;
	csi->bytes += stanza_held_bytes(h->stanza);
	metric_add(&held_metric, 1);
}

/* In order, each to c2s_send(): what that does not take goes as it says. */
ON_SHARD static void send_held(struct c2s *c)
{
	struct csi *csi = c->csi;
	struct held *h = csi->first;

	csi->first = NULL;
	csi->last = &csi->first;
	csi->n = 0;
	csi->bytes = 0;
	while (h) {
		struct held *next = h->next;

		if (!c2s_send(c, h->stanza, h->copies))
			deliver_failed(h->stanza, h->copies);
		held_free(h);
		h = next;
	}
}

bool c2s_csi_holds(struct c2s *c, struct stanza *s, enum deliver_copies copies)
{
	enum waits_as as = waits_as(s, &c->conf->client_state);
	struct held *h;

	if (as == IMPORTANT || c->csi->n == HELD_MAX) {
		send_held(c);
		return false;
	}
	h = xcalloc(1, sizeof(*h));
	h->stanza = stanza_ref(s);
	h->as = as;
	h->copies = copies;
	h->node = as == NOTIFICATION ? notified_node(s) : NULL;
	hold(c->csi, h);
	return true;
}

uint64_t c2s_csi_held_bytes(const struct c2s *c)
{
	return c->csi ? c->csi->bytes : 0;
}

/* ---- The client's state */

void c2s_csi_inactive(struct c2s *c)
{
	if (c->csi)
		return;
	c->csi = xcalloc(1, sizeof(*c->csi));
	c->csi->last = &c->csi->first;
	metric_add(&inactive_metric, 1);
}

static void forget(struct c2s *c)
{
	free(c->csi);
	c->csi = NULL;
	metric_add(&inactive_metric, -1);
}

void c2s_csi_active(struct c2s *c)
{
	if (!c->csi)
		return;
	send_held(c);
	if (c->csi) /* else the session has ended over it */
		forget(c);
}

void c2s_csi_end(struct c2s *c)
{
	struct held *h;

	if (!c->csi)
		return;
	while ((h = c->csi->first)) {
		c->csi->first = h->next;
		deliver_failed(h->stanza, h->copies);
		held_free(h);
	}
	forget(c);
}

struct next c2s_csi_element(struct c2s *c, const struct stanza *s)
{
	if (elem_is(s->root, "inactive", NS_CSI))
		c2s_csi_inactive(c);
	else if (elem_is(s->root, "active", NS_CSI))
		c2s_csi_active(c);
	return fsm_same();
}
