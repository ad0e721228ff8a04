/* net/s2s_out_verify.c - XEP-0220 §2.2.2, §2.3.2: asking the server of a domain whether a key is
 * its own. Questions go to the link of the pair, whatever else it is doing. */
#include <string.h>

#include "net/s2s_out_stream.h"
#include "router/s2s_conf.h"

static void told(struct msg *m)
{
	struct s2s_verify *v = container_of(m, struct s2s_verify, msg);

	shard_check(v->asker);
	v->done(v);
}

static void conclude(struct s2s_verify *v, enum s2s_verdict verdict, const char *why)
{
	v->verdict = verdict;
	v->why = why;
	v->msg.run = told;
	shard_post(v->asker, &v->msg);
}

static void asked(struct msg *m)
{
	struct s2s_verify *v = container_of(m, struct s2s_verify, msg);
	struct s2s_link *l;

	shard_check(NULL);
	l = s2s_link_wanted(v->ours, v->theirs);
	if (l)
		s2s_out_question(l->out, v);
	else
		conclude(v, S2S_REMOTE_FAILED, "there are too many connections");
}

void s2s_verify(struct s2s_verify *v)
{
	v->asker = shard_self();
	v->msg.run = asked;
	shard_post(s2s_home(v->ours, v->theirs), &v->msg);
}

/* Behind the others of a list. */
static void append(struct s2s_verify **list, struct s2s_verify *v)
{
	while (*list)
		list = &(*list)->next;
	v->next = NULL;
	*list = v;
}

void s2s_out_question(struct s2s_out *o, struct s2s_verify *v)
{
	append(&o->waiting, v);
	fsm_event_now(&o->fsm, &TERM(S2S_OUT_WANTED));
}

void s2s_out_ask(struct s2s_out *o)
{
	struct s2s_verify *v;
	struct builder b;

	while ((v = o->waiting)) {
		o->waiting = v->next;
		append(&o->asked, v);
		build_begin(&b, "verify", NS_DIALBACK);
		build_attr(&b, "from", v->ours);
		build_attr(&b, "to", v->theirs);
		build_attr(&b, "id", v->stream_id);
		build_cdata(&b, v->key, strlen(v->key));
		stream_send_element(&o->stream, &b);
		s2s_out_say(o, "asked whether a key is theirs, for the stream %s", v->stream_id);
	}
	if (o->asked && !timer_armed(&o->answers))
		timer_set(&o->answers, (uint64_t)s2s_conf()->negotiation_ms);
}

/* The one with that stream id, which is all that tells them apart: the names are the link's. */
static struct s2s_verify *take_asked(struct s2s_out *o, const char *id)
{
	struct s2s_verify **at = &o->asked, *v;

	while (*at && strcmp((*at)->stream_id, id))
		at = &(*at)->next;
	v = *at;
	if (v)
		*at = v->next;
	return v;
}

static enum s2s_verdict verdict_of(const struct stanza *s, const char **why)
{
	const char *type = elem_attr(s->root, "type");
	const struct elem *error = elem_child(s->root, "error", NULL);

	if (type && !strcmp(type, "valid"))
		return S2S_VALID;
	if (type && !strcmp(type, "invalid")) {
		*why = "its server says that the key is not its own";
		return S2S_INVALID;
	}
	if (error && elem_child(error, "item-not-found", NULL)) {
		*why = "its server says that it has no such domain";
		return S2S_ITEM_NOT_FOUND;
	}
	*why = "its server answers with an error";
	return S2S_REMOTE_FAILED;
}

/* XEP-0220 §2.2.3: of the same two domains, and of a question of ours. */
void s2s_out_answer(struct s2s_out *o, const struct stanza *s)
{
	const char *id = elem_attr(s->root, "id"), *why = NULL;
	struct s2s_verify *v;
	enum s2s_verdict verdict;

	if (!id || !s->from || !s->to || strcmp(jid_domain(s->from), o->theirs) ||
		strcmp(jid_domain(s->to), o->ours))
		return;
	v = take_asked(o, id);
	if (!v)
		return;
	verdict = verdict_of(s, &why);
	s2s_out_say(o, "%s", why ? why : "the key is theirs");
	conclude(v, verdict, why);
	if (!o->asked)
		timer_cancel(&o->answers);
}

void s2s_out_no_answers(struct s2s_out *o, enum s2s_verdict verdict, const char *why)
{
	struct s2s_verify *v;

	timer_cancel(&o->answers);
	while ((v = o->asked)) {
		o->asked = v->next;
		conclude(v, verdict, why);
	}
	while ((v = o->waiting)) {
		o->waiting = v->next;
		conclude(v, verdict, why);
	}
}
