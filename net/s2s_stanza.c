/* net/s2s_stanza.c - another server's stanzas are checked and handed to the router: RFC 6120 §8.1,
 * §10. */
#include "net/s2s_stanza.h"

#include "core/lang.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "net/tls_peer.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/host.h"
#include "router/route.h"
#include "router/s2s.h"

#define RECEIVED(kind_)                                                          \
	METRIC_COUNTER_OF("s2s_in_stanzas_received_total", "kind=\"" kind_ "\"", \
		"Stanzas from "                                                  \
		"other servers.")
static struct metric received_metrics[] = { RECEIVED("message"), RECEIVED("presence"),
	RECEIVED("iq") };

__attribute__((constructor)) static void register_metrics(void)
{
	for (size_t i = 0; i < ARRAY_LEN(received_metrics); i++)
		metric_register(&received_metrics[i]);
}

/* --- policy -------------------------------------------------------------------------------- */

/* Good until the end of the turn. NULL: there is no host. */
static const struct host_conf *conf_of(const char *ours)
{
	struct host *h = s2s_host(ours);

	return h ? rcu_get(h->conf) : NULL;
}

bool s2s_needs_tls(const char *ours)
{
	const struct host_conf *conf = conf_of(ours);

	return !conf || conf->s2s_starttls >= S2S_TLS_REQUIRED;
}

bool s2s_needs_certificate(const char *ours)
{
	const struct host_conf *conf = conf_of(ours);

	return conf && (conf->s2s_starttls == S2S_TLS_REQUIRED_TRUSTED || !conf->s2s_dialback);
}

bool s2s_both_ways(const char *ours)
{
	const struct host_conf *conf = conf_of(ours);

	return conf && conf->s2s_bidi;
}

/* --- addresses ----------------------------------------------------------------------------- */

/* To a domain of ours that the peer has not asked for, from one that it has proven: what its being
 * who it is was proven for was another name of the same server, so only policy is left to be asked.
 * Whether that was so is remembered while there is room. */
ON_SHARD static bool may_send_here(
	const struct s2s_carrier *c, const char *theirs, const char *ours)
{
	struct tls *tls = c->stream->conn.tls;

	if (!s2s_allowed(ours, theirs) || (!tls && s2s_needs_tls(ours)) ||
		(s2s_needs_certificate(ours) && !tls_peer_is_good(tls_peer_check(tls, theirs))))
		return false;
	s2s_pairs_add(c->pairs, theirs, ours);
	return true;
}

/* What a stream may carry: §8.1.1.2, §8.1.2.2. */
enum carries { CARRIES, CARRIES_NOT_HERE, CARRIES_NO_ADDRESS, CARRIES_SPOOFED, CARRIES_UNKNOWN };
ON_SHARD static enum carries check_addresses(const struct s2s_carrier *c, const struct stanza *s)
{
	const char *theirs, *ours;
	bool has;

	if (!s->from || s->faults & STANZA_BAD_FROM || (!s->to && !(s->faults & STANZA_BAD_TO)))
		return CARRIES_NO_ADDRESS;
	theirs = jid_domain(s->from);
	ours = s->to ? jid_domain(s->to) : c->ours;
	has = s2s_pairs_has(c->pairs, theirs, ours);
	if (!has && !s2s_pairs_sends(c->pairs, theirs))
		return CARRIES_SPOOFED;
	if (!route_has(ours)) /* or not any more: a component may have gone */
		return CARRIES_UNKNOWN;
	return has || may_send_here(c, theirs, ours) ? CARRIES : CARRIES_NOT_HERE;
}

/* --- on to the router ---------------------------------------------------------------------- */

/* In our domain's name: the stanza's own `to` may be no address. Takes s. */
ON_SHARD static void bounce(const struct s2s_carrier *c, struct stanza *s, int error)
{
	struct jid *ours;

	if (!s->to && !jid_make(NULL, c->ours, NULL, &s->arena, &ours))
		stanza_set_to(s, ours);
	stanza_seal(s);
	route_error(s, error, NULL);
	stanza_unref(s);
}

/* A `to` that is no address would be a reason to end the stream (§4.9.3.7), but then any user of a
 * lax server could end it for all. Takes s. */
ON_SHARD static void hand_on(const struct s2s_carrier *c, struct stanza *s, enum carries carries)
{
	int error = carries == CARRIES ? route_unfit(s) : ERR_NOT_ALLOWED;

	if (c->acks)
		acks_begin_foreign(c->acks);
	if (error)
		bounce(c, s, error);
	else
		route_foreign(s);
	acks_end_stanza();
	if (deliver_congested())
		conn_rest(&c->stream->conn, 1);
}

enum stream_condition s2s_stanza(const struct s2s_carrier *c, struct stanza *s)
{
	enum carries carries = check_addresses(c, s);

	switch (carries) {
	case CARRIES:
	case CARRIES_NOT_HERE:
		break;
	case CARRIES_NO_ADDRESS:
		return STREAM_IMPROPER_ADDRESSING; /* §4.9.3.7 */
	case CARRIES_SPOOFED:
		return STREAM_INVALID_FROM; /* §4.9.3.9 */
	case CARRIES_UNKNOWN:
		return STREAM_HOST_UNKNOWN; /* §4.9.3.6 */
	}
	metric_add(&received_metrics[s->kind], 1);
	s->lang_else = lang_tag(c->stream->lang);
	if (s->to)
		directory_soon(s->to, DIRECTORY_BUCKET);
	hand_on(c, s, carries);
	return STREAM_CONDITIONS;
}
