/* net/s2s_in_stanza.c - the established stream: another server's stanzas, and what else it says. */
#include "net/s2s_in_sm.h"
#include "net/s2s_stanza.h"

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
	struct s2s_carrier from = { &c->stream, &c->pairs, c->ours, NULL };
	enum stream_condition condition;

	if (s->kind == STANZA_OTHER) {
		struct next next = s2s_in_element(c, s);

		stanza_unref(s);
		return next;
	}
	c->received++;
	s2s_in_go_both_ways(c);
	from.acks = c->sm ? &c->sm->acks : NULL;
	condition = s2s_stanza(&from, s);
	return condition == STREAM_CONDITIONS ? fsm_same() : end_with(c, s, condition);
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
