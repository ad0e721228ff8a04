/* modules/roster_push.c - what an account's resources hear of its roster: RFC 6121 §2.1.6. From the
 * account's lane, straight to their shards, so that everybody hears it in the order it happened. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "modules/roster_inside.h"
#include "router/component.h"
#include "router/deliver.h"
#include "router/directory.h"

HOOK(roster_push);

static struct metric pushes_metric =
	METRIC_COUNTER("roster_pushes_total", "Roster changes sent to resources.");

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&pushes_metric);
}

/* ---- Versions */

const char *roster_version_text(struct roster *r, int64_t version)
{
	uint64_t shared = roster_shared_digest(r);

	if (!r->conf->versioning)
		return NULL;
	return shared ? arena_printf(&r->arena, "%" PRId64 "-%" PRIx64, version, shared)
		      : arena_printf(&r->arena, "%" PRId64, version);
}

int64_t roster_version_read(struct roster *r, const char *text)
{
	uint64_t shared = 0;
	char *end;
	int64_t version;

	errno = 0;
	version = strtoll(text, &end, 10);
	if (end != text && *end == '-')
		shared = strtoull(end + 1, &end, 16);
	if (errno || end == text || *end || version < r->base || version > r->version)
		return -1;
	return shared == roster_shared_digest(r) ? version : -1;
}

/* ---- Pushes */

/* version NULL: without one. */
ON_JOB static struct stanza *build_push(
	struct roster *r, const struct jid *to, const struct roster_item *item, const char *version)
{
	struct roster_item seen = roster_merged(r, item);
	struct builder b;
	char id[32];

	snprintf(id, sizeof(id), "push%" PRId64, item->changed);
	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "set");
	build_attr(&b, "id", id);
	build_attr_jid(&b, "from", r->account);
	build_attr_jid(&b, "to", to);
	build_open(&b, "query", NS_ROSTER);
	build_attr(&b, "ver", version);
	roster_item_build(&b, &seen);
	build_close(&b);
	return build_end(&b);
}

static const char *version_of(struct roster *r, const struct roster_item *item)
{
	return roster_version_text(r, item->changed ? item->changed : r->version);
}

static bool is_interested(const struct session *ss)
{
	return atomic_load_explicit(&ss->interested, memory_order_relaxed);
}

void roster_push(struct roster *r, const struct roster_item *item)
{
	const struct sessions *all = directory_find(r->account);
	struct stanza *push[2] = { NULL, NULL }; /* with a version, without */

	for (unsigned i = 0; all && i < all->n; i++) {
		const struct session *ss = all->at[i].session;
		bool behind = session_is_reading(ss, SESSION_READS_OLD_ROSTER);
		struct stanza *s;

		if (!is_interested(ss))
			continue;
		if (!push[behind])
			push[behind] = build_push(
				r, r->account, item, behind ? NULL : version_of(r, item));
		s = stanza_readdressed(push[behind], ss->jid);
		deliver_to(all->at[i].id, s);
		stanza_unref(s);
		metric_add(&pushes_metric, 1);
	}
	if (!hook_empty(r->host->hooks, &roster_push_hook)) {
		if (!push[0])
			push[0] = build_push(r, r->account, item, version_of(r, item));
		hook_run(r->host->hooks, &roster_push_hook, push[0]);
	}
	stanza_unref(push[0]);
	stanza_unref(push[1]);
}

void roster_push_to(struct roster *r, const struct session *ss, const struct roster_item *item)
{
	struct stanza *s = build_push(r, ss->jid, item, version_of(r, item));

	deliver_to(ss->id, s);
	stanza_unref(s);
	metric_add(&pushes_metric, 1);
}

void roster_falls_behind(const struct jid *account)
{
	const struct sessions *all = directory_find(account);

	for (unsigned i = 0; all && i < all->n; i++)
		session_reads((struct session *)all->at[i].session, SESSION_READS_OLD_ROSTER);
}

/* ---- Presence */

void roster_tell_interested(struct roster *r, struct stanza *s)
{
	const struct sessions *all = directory_find(r->account);

	for (unsigned i = 0; all && i < all->n; i++)
		if (is_interested(all->at[i].session))
			deliver_to(all->at[i].id, s);
}

void roster_tell_available(struct roster *r, struct stanza *s)
{
	const struct sessions *all = directory_find(r->account);

	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].available)
			deliver_to(all->at[i].id, s);
}

void roster_answer(const struct jid *full, struct stanza *s)
{
	const struct session_entry *e = directory_find_full(full);

	if (!e && component_find(jid_domain(full))) {
		route_post(s);
		return;
	}
	if (e)
		deliver_to(e->id, s);
	stanza_unref(s);
}
