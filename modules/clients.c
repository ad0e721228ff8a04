/* modules/clients.c - lets people see which clients have access to their account, and take it away.
 * XEP-0494 (Client Access Management). */
#include "modules/clients.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "core/db.h"
#include "modules/module.h"
#include "router/directory.h"

static struct metric revoked_metric =
	METRIC_COUNTER("clients_revoked_total", "Clients whose access was taken away.");

/* --- who has access -------------------------------------------------------------------------- */

/* One that is connected, as it was when the list was begun. */
struct connected {
	uint64_t user_agent; /* 0: it gave no id */
	uint64_t resource; /* by user_agent_key(), too */
	int64_t since;
	bool listed;
};

struct listing {
	struct connected *at; /* owned */
	unsigned n;
	int64_t now;
	void (*fn)(const struct client_access *ca, void *arg);
	void *arg;
};

/* Nothing of the directory is good beyond the next call that blocks. */
static void take_connected(struct host *h, const char *user, struct listing *l)
{
	const struct sessions *all;
	struct jid *account;

	if (jid_make(user, h->name, NULL, NULL, &account))
		return;
	all = directory_find(account);
	jid_free(account);
	l->at = xcalloc(all ? all->n : 1, sizeof(*l->at));
	for (unsigned i = 0; all && i < all->n; i++) {
		const struct session *ss = all->at[i].session;

		l->at[l->n++] = (struct connected){
			.user_agent = ss->user_agent,
			.resource = user_agent_key(jid_resource(ss->jid)),
			.since = (int64_t)(ss->since_ms / 1000),
		};
	}
}

/* Its sessions, all of them, need no line of their own. */
static bool is_connected(struct listing *l, uint64_t user_agent)
{
	bool connected = false;

	for (unsigned i = 0; i < l->n; i++)
		if (l->at[i].user_agent == user_agent)
			connected = l->at[i].listed = true;
	return connected;
}

static void write_ref(char kind, uint64_t key, char out[CLIENT_REF + 1])
{
	snprintf(out, CLIENT_REF + 1, "%c%016" PRIx64, kind, key);
}

static void list_known(const struct user_agent *ua, void *arg)
{
	uint64_t key = user_agent_key(ua->id);
	struct listing *l = arg;
	struct client_access ca = { .agent = *ua, .connected = is_connected(l, key) };

	if (ca.connected)
		ca.agent.last_seen = l->now;
	write_ref('c', key, ca.ref);
	if (ca.connected || user_agent_has_access(ua, l->now))
		l->fn(&ca, l->arg);
}

/* Sessions that no row tells of: of clients without an id, or that are not kept. They came by the
 * password. */
static void list_others(struct listing *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct connected *c = &l->at[i];
		struct client_access ca = {
			.agent = { .first_seen = c->since,
				.last_seen = l->now,
				.ways = USER_AGENT_PASSWORD },
			.connected = true,
		};

		if (c->listed)
			continue;
		if (c->user_agent) {
			write_ref('c', c->user_agent, ca.ref);
			is_connected(l, c->user_agent);
		} else {
			write_ref('s', c->resource, ca.ref);
		}
		l->fn(&ca, l->arg);
	}
}

int clients_each(struct host *h, const char *user,
	void (*fn)(const struct client_access *ca, void *arg), void *arg)
{
	struct listing l = { .now = (int64_t)time(NULL), .fn = fn, .arg = arg };
	int error;

	job_check();
	take_connected(h, user, &l);
	error = user_agent_each(h, user, list_known, &l);
	if (!error)
		list_others(&l);
	free(l.at);
	return error;
}

/* --- taking it away -------------------------------------------------------------------------- */

struct search {
	const char *ref;
	bool found;
	struct client_access is;
};

static void compare(const struct client_access *ca, void *arg)
{
	struct search *s = arg;

	if (strcmp(ca->ref, s->ref))
		return;
	s->found = true;
	s->is = *ca;
}

int clients_revoke(struct host *h, const char *user, const char *ref, enum clients_force force)
{
	struct search s = { .ref = ref };
	int result;

	job_check();
	result = clients_each(h, user, compare, &s);
	if (result)
		return result;
	if (!s.found)
		return CLIENT_UNKNOWN;
	if (s.is.agent.ways & USER_AGENT_PASSWORD && force == CLIENTS_HEED_PASSWORD)
		return CLIENT_HAS_PASSWORD;
	if (!s.is.agent.id[0]) /* nothing is stored of it: linnetctl kick ends its session */
		return CLIENT_HAS_PASSWORD;
	result = user_agent_revoke(h, user, s.is.agent.id);
	if (result < 0)
		return result;
	metric_add(&revoked_metric, 1);
	return CLIENT_REVOKED;
}

/* --- XEP-0494 -------------------------------------------------------------------------------- */

static void build_time(struct builder *b, const char *name, int64_t at)
{
	time_t t = (time_t)at;
	struct tm parts;
	char text[32];

	gmtime_r(&t, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts); /* XEP-0082 */
	build_text(b, name, text);
}

/* §3.1. All that log in here have all of the account. */
static void build_client(const struct client_access *ca, void *arg)
{
	const struct user_agent *ua = &ca->agent;
	struct builder *b = arg;

	build_open(b, "client", NULL);
	build_attr(b, "connected", ca->connected ? "true" : "false");
	build_attr(b, "id", ca->ref);
	build_attr(b, "type", "session");
	build_time(b, "first-seen", ua->first_seen);
	build_time(b, "last-seen", ua->last_seen);
	build_open(b, "auth", NULL);
	if (ua->ways & USER_AGENT_PASSWORD)
		build_text(b, "password", NULL);
	if (user_agent_has_token(ua, (int64_t)time(NULL)))
		build_text(b, "fast", NULL);
	build_close(b);
	build_open(b, "permission", NULL);
	build_attr(b, "status", "unrestricted");
	build_close(b);
	build_open(b, "user-agent", NULL);
	if (ua->software[0])
		build_text(b, "software", ua->software);
	if (ua->device[0])
		build_text(b, "device", ua->device);
	build_close(b);
	build_close(b);
}

ON_JOB static int list(const struct iq *iq, struct builder *answer)
{
	int error;

	build_open(answer, "clients", NS_CAM);
	error = clients_each(iq->host, jid_local(iq->to), build_client, answer);
	build_close(answer);
	return error ? ERR_INTERNAL_SERVER_ERROR : 0;
}

/* §3.2: only another password takes the old one away. */
static int answer_password(const struct iq *iq)
{
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "error");
	build_attr(&b, "id", iq->stanza->id);
	build_attr_jid(&b, "from", iq->to);
	build_attr_jid(&b, "to", iq->from);
	build_open(&b, "error", NULL);
	build_attr(&b, "type", stanza_error_type(ERR_SERVICE_UNAVAILABLE));
	build_open(&b, stanza_error_name(ERR_SERVICE_UNAVAILABLE), NS_STANZAS);
	build_close(&b);
	build_open(&b, "password-reset-required", NS_CAM);
	build_close(&b);
	build_close(&b);
	route_post(build_end(&b));
	return IQ_LATER;
}

ON_JOB static int revoke(const struct iq *iq)
{
	const char *ref = elem_attr(iq->payload, "id");

	if (!ref || !*ref)
		return ERR_BAD_REQUEST;
	switch (clients_revoke(iq->host, jid_local(iq->to), ref, CLIENTS_HEED_PASSWORD)) {
	case CLIENT_REVOKED:
		return 0;
	case CLIENT_UNKNOWN:
		return ERR_ITEM_NOT_FOUND;
	case CLIENT_HAS_PASSWORD:
		return answer_password(iq);
	default:
		return ERR_INTERNAL_SERVER_ERROR;
	}
}

/* §5: nobody else's business. */
static int clients_iq(const struct iq *iq, struct builder *answer)
{
	job_check();
	if (!jid_equal_bare(iq->from, iq->to))
		return ERR_FORBIDDEN;
	if (!iq->set && elem_is(iq->payload, "list", NS_CAM))
		return list(iq, answer);
	if (iq->set && elem_is(iq->payload, "revoke", NS_CAM))
		return revoke(iq);
	return ERR_BAD_REQUEST;
}

static int clients_start(struct module_instance *mi)
{
	metric_register(&revoked_metric);
	if (db_main())
		return 0;
	log_error("clients", "needs a database", L_STR("host", mi->host->name));
	return -ENODEV;
}

const struct module module_clients = {
	.abi = LINNET_MODULE_ABI,
	.name = "clients",
	.help = "Lets people see which clients have access to their account, and take it away from "
		"those that have a token alone. How long clients are remembered is said by "
		"user_agent_lifetime.",
	.xeps = (const char *const[]){ "XEP-0494 0.1.0", NULL },
	.account_features = (const char *const[]){ NS_CAM, NULL },
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_CAM, IQ_QUEUES, clients_iq,
					       .blocks = true },
		{ 0 } },
	.start = clients_start,
};
LINNET_MODULE(module_clients);
