/* net/c2s_sasl.c - SASL on a client stream: one exchange at a time, in the elements of RFC 6120 §6
 * or, when c->login->sasl2 is there, of XEP-0388. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/c2s_stream.h"

static const char *profile(const struct c2s *c)
{
	return c->login->sasl2 ? NS_SASL2 : NS_SASL;
}

ON_SHARD static void send_sasl(struct c2s *c, const char *name, const char *data)
{
	struct builder b;

	build_begin(&b, name, profile(c));
	if (data)
		build_cdata(&b, data, strlen(data));
	stream_send_element(&c->stream, &b);
}

ON_SHARD static void send_failure(struct c2s *c, const char *ns, enum sasl_condition condition)
{
	struct builder b;

	build_begin(&b, "failure", ns);
	build_open(&b, sasl_condition_name(condition), NS_SASL);
	build_close(&b);
	stream_send_element(&c->stream, &b);
}

ON_SHARD static void forget_exchange(struct c2s *c)
{
	sasl_free(c->login->sasl);
	c->login->sasl = NULL;
	c2s_sasl2_free(c->login->sasl2);
	c->login->sasl2 = NULL;
	stanza_unref(c->login->request);
	c->login->request = NULL;
}

/* XEP-0388 §2.6.2: the stream is as if nothing had been tried. */
struct next c2s_sasl_failed(struct c2s *c, enum sasl_condition condition)
{
	const struct sasl *s =
		c2s_sasl2_is_done(c) ? NULL : c->login->sasl; /* else none was guessed */

	send_failure(c, profile(c), condition);
	if (!c2s_login_failed(c, s ? s->user : NULL, sasl_condition_name(condition)))
		return fsm_same();
	forget_exchange(c);
	return fsm_next(WAIT_FOR_FEATURE_REQUEST);
}

ON_SHARD static struct next sasl_done(struct c2s *c)
{
	struct sasl *s = c->login->sasl;

	if (!c2s_login_allowed(c, s->user))
		return c2s_sasl_failed(c, SASL_NOT_AUTHORIZED);
	if (c->login->sasl2)
		return c2s_sasl2_done(c);
	send_sasl(c, "success", s->out);
	c2s_logged_in(c, xstrdup(s->user));
	forget_exchange(c);
	stream_restart(&c->stream);
	return fsm_next(WAIT_FOR_STREAM);
}

struct next c2s_sasl_verdict(struct c2s *c, int verdict)
{
	struct sasl *s = c->login->sasl;
	struct auth_request *r;

	switch (verdict) {
	case SASL_CONTINUE:
		send_sasl(c, "challenge", s->out);
		return fsm_next(WAIT_FOR_SASL_RESPONSE);
	case SASL_NEED_ACCOUNT:
		r = c2s_question(c, AUTH_ASK_FIND, s->user, NULL);
		break;
	case SASL_NEED_CHECK:
		r = c2s_question(c, AUTH_ASK_CHECK, s->user, s->password);
		break;
	case SASL_NEED_TOKEN:
		r = c2s_sasl2_token_question(c);
		break;
	case SASL_DONE:
		return sasl_done(c);
	default:
		return c2s_sasl_failed(c, s->condition);
	}
	if (c2s_ask(c, r))
		return fsm_next(WAIT_FOR_SASL_RESPONSE);
	return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
}

/* The backend has answered: go on where SASL_NEED_... stopped. */
ON_SHARD static struct next sasl_answered(struct c2s *c, const struct auth_request *r)
{
	struct sasl *s = c->login->sasl;

	if (r->result < 0) {
		log_warning("c2s", "accounts cannot be asked", L_STR("host", c->session.host->name),
			L_STR("why", strerror(-r->result)));
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	}
	if (r->ask == AUTH_ASK_CHECK && r->result == AUTH_DISABLED) /* RFC 6120 §6.5.2 */
		return c2s_sasl_verdict(c, sasl_fail(s, SASL_ACCOUNT_DISABLED));
	if (r->ask == AUTH_ASK_CHECK)
		return c2s_sasl_verdict(c, sasl_checked(s, r->result == 0));
	if (r->ask == AUTH_ASK_TOKEN)
		return c2s_sasl2_token(c, r);
	if (r->result == 0 && c->login->sasl2)
		c2s_sasl2_account(c, r);
	return c2s_sasl_verdict(c, sasl_account(s, r->result == 0 ? &r->account : NULL));
}

struct sasl *c2s_new_sasl(const struct c2s *c, const char *mechanism, uint32_t offered)
{
	struct tls_channel channel;
	struct sasl *s;

	if (sasl_binds(mechanism))
		tls_channel(c->stream.conn.tls, &channel);
	else
		tls_channel_kinds(c->stream.conn.tls, &channel);
	s = sasl_new(c->session.host, offered, &channel);
	s->certified = c->login->certified;
	s->n_certified = c->login->n_certified;
	return s;
}

struct next c2s_sasl(struct c2s *c, struct stanza *s)
{
	const char *text = elem_text(s->root, &s->arena);
	const char *named = elem_attr(s->root, "mechanism"), *mechanism = named ? named : "";

	if (c2s_login_blocked(c))
		return c2s_fail(c, STREAM_POLICY_VIOLATION, "Too many failed logins.");
	if (c2s_tls_missing(c)) { /* RFC 6120 §6.5.4 */
		send_failure(c, NS_SASL, SASL_ENCRYPTION_REQUIRED);
		return fsm_same();
	}
	if (c2s_logins_refused()) { /* RFC 6120 §6.5.11 */
		send_failure(c, NS_SASL, SASL_TEMPORARY_AUTH_FAILURE);
		return fsm_same();
	}
	c->login->sasl = c2s_new_sasl(c, mechanism, c->login->offered);
	c->login->sasl->equals_is_empty = true;
	return c2s_sasl_verdict(
		c, sasl_start(c->login->sasl, mechanism, *text ? text : NULL, strlen(text)));
}

/* RFC 6120 §6.3.5, XEP-0388 §2.4: nothing but what belongs to the exchange. */
ON_SHARD static struct next exchange_element(struct c2s *c, struct stanza *s)
{
	const char *text = elem_text(s->root, &s->arena);

	if (elem_is(s->root, "abort", profile(c)))
		return c2s_sasl_failed(c, SASL_ABORTED);
	if (c2s_sasl2_is_done(c))
		return c2s_sasl2_element(c, s);
	if (elem_is(s->root, "response", profile(c)))
		return c2s_sasl_verdict(c, sasl_step(c->login->sasl, text, strlen(text)));
	return c2s_fail(c, STREAM_NOT_AUTHORIZED, NULL);
}

struct next wait_for_sasl_response(struct fsm *f, struct term *e)
{
	struct c2s *c = c2s_of(f);
	struct next next = fsm_same();

	if (e->kind == C2S_STANZA) {
		next = exchange_element(c, e->data);
		stanza_unref(e->data);
	} else if (stream_closing(&c->stream)) {
		; /* too late */
	} else if (e->kind == C2S_NOTED) {
		next = c2s_sasl2_noted(c, e->data);
	} else if (e->kind == C2S_NOT_RESUMED) {
		next = c2s_sasl2_not_resumed(c);
	} else if (e->kind == C2S_PREPARED) {
		next = c2s_sasl2_prepared(c);
	} else if (e->kind == C2S_AUTH) {
		next = c2s_sasl2_is_done(c) ? c2s_sasl2_answered(c, e->data)
					    : sasl_answered(c, e->data);
	} else {
		next = c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	}
	return next;
}
