/* net/s2s_in_stanza.c - the established stream: another server's stanzas are checked and handed to
 * the router (RFC 6120 §8.1, §10). */
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/s2s_in_sm.h"
#include "router/route.h"
#include "xml/builder.h"

/* To a domain of ours that the peer has not asked for, from one that it has proven: what its being
 * who it is was proven for was another name of the same server, so only policy is left to be asked.
 * Whether that was so is remembered while there is room. */
ON_SHARD static bool may_send_here(struct s2s_in *c, const char *theirs, const char *ours)
{
	if (!s2s_allowed(ours, theirs) || s2s_in_tls_missing(c, ours) ||
		(s2s_in_wants_certificate(ours) && !s2s_in_is_certified(c, theirs)))
		return false;
	s2s_pairs_add(&c->pairs, theirs, ours);
	return true;
}

/* What a stream may carry: §8.1.1.2, §8.1.2.2. */
enum carries { CARRIES, CARRIES_NOT_HERE, CARRIES_NO_ADDRESS, CARRIES_SPOOFED, CARRIES_UNKNOWN };
ON_SHARD static enum carries check_addresses(struct s2s_in *c, const struct stanza *s)
{
	const char *theirs, *ours;
	bool has;

	if (!s->from || s->faults & STANZA_BAD_FROM || (!s->to && !(s->faults & STANZA_BAD_TO)))
		return CARRIES_NO_ADDRESS;
	theirs = jid_domain(s->from);
	ours = s->to ? jid_domain(s->to) : c->ours;
	has = s2s_pairs_has(&c->pairs, theirs, ours);
	if (!has && !s2s_pairs_sends(&c->pairs, theirs))
		return CARRIES_SPOOFED;
	if (!route_has(ours)) /* or not any more: a component may have gone */
		return CARRIES_UNKNOWN;
	return has || may_send_here(c, theirs, ours) ? CARRIES : CARRIES_NOT_HERE;
}

/* What RFC 6120 §8 asks of any stanza; 0, or the stanza error. A `to` that is no address would be a
 * reason to end the stream (§4.9.3.7), but then any user of a lax server could end it for all. */
static int check_stanza(const struct stanza *s)
{
	if (s->faults & STANZA_BAD_TO)
		return ERR_JID_MALFORMED; /* §8.3.3.8 */
	if (s->type == TYPE_BAD)
		return ERR_BAD_REQUEST;
	if (s->kind == STANZA_IQ && !s->id)
		return ERR_BAD_REQUEST; /* §8.1.3 */
	if ((s->type == IQ_GET || s->type == IQ_SET) && !stanza_iq_child(s))
		return ERR_BAD_REQUEST; /* §8.2.3 */
	return 0;
}

/* In our domain's name: the stanza's own `to` may be no address. */
ON_SHARD static void bounce(struct s2s_in *c, struct stanza *s, int error)
{
	struct jid *ours;

	if (!s->to && !jid_make(NULL, c->ours, NULL, &s->arena, &ours))
		stanza_set_to(s, ours);
	stanza_seal(s);
	route_error(s, error, NULL);
}

/* Takes s. */
ON_SHARD static void s2s_in_stanza(struct s2s_in *c, struct stanza *s)
{
	int error = check_stanza(s);

	if (!error) {
		route_foreign(s);
	} else {
		bounce(c, s, error);
		stanza_unref(s);
	}
}

ON_SHARD static struct next end_with(
	struct s2s_in *c, struct stanza *s, enum stream_condition condition)
{
	s2s_in_log(c, LOG_LEVEL_INFO, "sent what it may not",
		L_STR("condition", stream_condition_name(condition)),
		L_STR("sender", s->from ? jid_domain(s->from) : ""),
		L_STR("target", s->to ? jid_domain(s->to) : ""));
	stanza_unref(s);
	return s2s_in_fail(c, condition, NULL);
}

/* Takes s. */
ON_SHARD static struct next stanza_event(struct s2s_in *c, struct stanza *s)
{
	enum carries carries;

	if (s->kind == STANZA_OTHER) {
		struct next next = s2s_in_element(c, s);

		stanza_unref(s);
		return next;
	}
	carries = check_addresses(c, s);
	switch (carries) {
	case CARRIES:
	case CARRIES_NOT_HERE:
		break;
	case CARRIES_NO_ADDRESS: /* §4.9.3.7 */
		return end_with(c, s, STREAM_IMPROPER_ADDRESSING);
	case CARRIES_SPOOFED: /* §4.9.3.9 */
		return end_with(c, s, STREAM_INVALID_FROM);
	case CARRIES_UNKNOWN: /* §4.9.3.6 */
		return end_with(c, s, STREAM_HOST_UNKNOWN);
	}
	if (c->sm)
		acks_begin_foreign(&c->sm->acks);
	if (carries == CARRIES) {
		s2s_in_stanza(c, s);
	} else {
		bounce(c, s, ERR_NOT_ALLOWED);
		stanza_unref(s);
	}
	acks_end_stanza();
	return fsm_same();
}

struct next s2s_in_stream_established(struct fsm *f, struct term *e)
{
	struct s2s_in *c = s2s_in_of(f);

	if (e->kind == S2S_IN_VERIFIED)
		return s2s_in_verified(c, e->data);
	if (e->kind == S2S_IN_STANZA)
		return stanza_event(c, e->data);
	if (e->kind == S2S_IN_LOST)
		return fsm_next(S2S_IN_WAIT_FOR_RESUME);
	return s2s_in_fail(c, STREAM_BAD_FORMAT, NULL);
}

/* The peer is gone and may come back: XEP-0198 §5. */
struct next s2s_in_wait_for_resume(struct fsm *f, struct term *e)
{
	if (e->kind != S2S_IN_RESUMED)
		return fsm_same();
	s2s_in_watch(s2s_in_of(f));
	return fsm_next(S2S_IN_STREAM_ESTABLISHED);
}
