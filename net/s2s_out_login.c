/* net/s2s_out_login.c - from the stream header to the established stream: RFC 6120 §4.3, §5, §6.
 * The order is STARTTLS, then SASL EXTERNAL (XEP-0178), then dialback (XEP-0220). */
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "net/base64.h"
#include "net/dialback.h"
#include "net/s2s_out_stream.h"
#include "net/tls_peer.h"
#include "xml/builder.h"

#define REST_MS 10000 /* without anything to do, for what may follow a question */

/* --- policy -------------------------------------------------------------------------------- */

/* Good until the end of the turn. */
static const struct host_conf *conf_of(const struct s2s_out *o)
{
	struct host *h = s2s_host(o->ours);

	return h ? rcu_get(h->conf) : NULL;
}

static int tls_policy(const struct s2s_out *o)
{
	const struct host_conf *conf = conf_of(o);

	return conf ? conf->s2s_starttls : S2S_TLS_REQUIRED;
}

static bool may_call_back(const struct s2s_out *o)
{
	const struct host_conf *conf = conf_of(o);

	return conf && conf->s2s_dialback;
}

/* Where a call back will not do, their certificate must. */
static bool must_be_trusted(const struct s2s_out *o)
{
	return tls_policy(o) == S2S_TLS_REQUIRED_TRUSTED || !may_call_back(o);
}

/* --- encryption ---------------------------------------------------------------------------- */

ON_SHARD static struct next secured(struct s2s_out *o)
{
	struct tls *tls = o->stream.conn.tls;
	enum tls_verdict peer = tls_peer_check(tls, o->theirs);
	struct tls_info info;

	tls_info(tls, &info);
	o->secure = true;
	s2s_out_say(o, "encrypted by %s, %s; %s%s", info.version, info.cipher,
		tls_peer_is_good(peer) ? "its certificate is good" : "its certificate is not: ",
		tls_peer_is_good(peer) ? "" : tls_peer_text(peer));
	if (peer == TLS_PEER_DANE_MISMATCH || (!tls_peer_is_good(peer) && must_be_trusted(o)))
		return s2s_out_refuse(o, STREAM_POLICY_VIOLATION,
			"The certificate of that server is not valid for its domain.");
	s2s_out_send_header(o);
	return fsm_next(S2S_OUT_WAIT_FOR_STREAM);
}

ON_SHARD static struct next ask_for_tls(struct s2s_out *o)
{
	struct builder b;

	build_begin(&b, "starttls", NS_TLS);
	stream_send_element(&o->stream, &b);
	return fsm_next(S2S_OUT_WAIT_FOR_STARTTLS_PROCEED);
}

struct next s2s_out_wait_for_starttls_proceed(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);
	const struct stanza *s = e->data;

	if (e->kind == S2S_OUT_SECURED)
		return secured(o);
	if (e->kind != S2S_OUT_STANZA)
		return fsm_same();
	if (!elem_is(s->root, "proceed", NS_TLS))
		return s2s_out_fail(o, TR("That server offers encryption and then refuses it."));
	if (s2s_out_begin_tls(o))
		return s2s_out_fail(o, TR("TLS cannot begin."));
	return fsm_same();
}

/* --- who we are ---------------------------------------------------------------------------- */

/* XEP-0288. Who gets so far may be asked: where its certificate does not say that it is the server
 * of theirs, dialback will do, and that takes the word of the server that DNS has led us to, which
 * this is. What it would not have to know otherwise is how much we take: XEP-0478 §4.2. */
ON_SHARD static void ask_for_both_ways(struct s2s_out *o)
{
	struct builder b;

	if (o->bidi || !(o->offers & OFFERS_BIDI) || !s2s_both_ways(o->ours))
		return;
	build_begin(&b, "bidi", NS_BIDI);
	build_open(&b, "limits", NS_LIMITS);
	build_int(&b, "max-bytes", S2S_OUT_STANZA_MAX);
	build_close(&b);
	stream_send_element(&o->stream, &b);
	o->bidi = true;
	s2s_out_say(o, "may send by this stream, too (bidi)");
}

/* XEP-0178 §3: we name the domain, though the certificate may leave no doubt. */
ON_SHARD static struct next show_certificate(struct s2s_out *o)
{
	size_t len = strlen(o->ours);
	AUTO(free_ptr) char *text = xmalloc(BASE64_LEN(len) + 1);
	struct builder b;

	ask_for_both_ways(o);
	base64_encode(o->ours, len, text);
	build_begin(&b, "auth", NS_SASL);
	build_attr(&b, "mechanism", "EXTERNAL");
	build_cdata(&b, text, strlen(text));
	stream_send_element(&o->stream, &b);
	s2s_out_say(o, "shows its certificate (SASL EXTERNAL)");
	return fsm_next(S2S_OUT_WAIT_FOR_AUTH_RESULT);
}

/* XEP-0220 §2.1.1. */
ON_SHARD static struct next call_back(struct s2s_out *o)
{
	char key[DIALBACK_KEY_LEN + 1];
	struct builder b;

	if (!may_call_back(o))
		return s2s_out_refuse(
			o, STREAM_POLICY_VIOLATION, "That server does not take our certificate.");
	if (!o->peer_id)
		return s2s_out_refuse(
			o, STREAM_INVALID_XML, "The stream of that server has no id.");
	ask_for_both_ways(o);
	dialback_key(o->theirs, o->ours, o->peer_id, key);
	build_begin(&b, "result", NS_DIALBACK);
	build_attr(&b, "from", o->ours);
	build_attr(&b, "to", o->theirs);
	build_cdata(&b, key, DIALBACK_KEY_LEN);
	stream_send_element(&o->stream, &b);
	o->calling_back = true;
	s2s_out_say(o, "shows a key for a call back (dialback)");
	return fsm_next(S2S_OUT_WAIT_FOR_VALIDATION);
}

/* Does what is wanted of a stream that is as safe as it will be. SASL starts the stream anew, so
 * the answers to questions are waited for first. */
ON_SHARD static struct next serve(struct s2s_out *o)
{
	bool external = o->offers & OFFERS_EXTERNAL && !o->tried_external;

	s2s_out_ask(o);
	if (!s2s_out_is_awaited(o)) {
		if (!o->asked)
			timer_set(&o->timer, REST_MS);
		return fsm_next(S2S_OUT_WAIT_FOR_VALIDATION);
	}
	if (!external)
		return call_back(o);
	return o->asked ? fsm_next(S2S_OUT_WAIT_FOR_VALIDATION) : show_certificate(o);
}

static const char *failure_of(const struct stanza *s)
{
	elem_each_child (s->root, child)
		if (strcmp(child->name, "text"))
			return child->name;
	return "without a reason";
}

struct next s2s_out_wait_for_auth_result(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);
	const struct stanza *s = e->data;

	if (e->kind != S2S_OUT_STANZA)
		return fsm_same();
	if (elem_is(s->root, "success", NS_SASL)) {
		o->authenticated = true;
		stream_restart(&o->stream);
		s2s_out_send_header(o);
		return fsm_next(S2S_OUT_WAIT_FOR_STREAM);
	}
	if (!elem_is(s->root, "failure", NS_SASL))
		return fsm_same();
	o->tried_external = true;
	s2s_out_say(o, "it does not take our certificate: %.60s", failure_of(s));
	return serve(o);
}

/* --- dialback ------------------------------------------------------------------------------ */

static bool is_theirs_to_us(const struct s2s_out *o, const struct stanza *s)
{
	return s->from && s->to && !strcmp(jid_domain(s->from), o->theirs) &&
		!strcmp(jid_domain(s->to), o->ours);
}

/* XEP-0220 §2.1.1, §2.5. */
ON_SHARD static struct next validated(struct s2s_out *o, const struct stanza *s)
{
	const char *type = elem_attr(s->root, "type");
	const struct elem *error, *condition;

	if (!o->calling_back || !type || !is_theirs_to_us(o, s))
		return fsm_same();
	if (!strcmp(type, "valid"))
		return s2s_out_proven(o);
	if (!strcmp(type, "invalid")) {
		o->key_refused = true;
		return s2s_out_fail(o, TR("That server has found our key to be invalid."));
	}
	error = elem_child(s->root, "error", NULL);
	condition = error ? elem_child(error, NULL, NS_STANZAS) : NULL;
	return s2s_out_fail(o, "That server could not verify who we are: %.60s",
		condition ? condition->name : "it does not say why");
}

struct next s2s_out_wait_for_validation(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);
	const struct stanza *s = e->data;

	if (e->kind == S2S_OUT_STANZA && elem_is(s->root, "result", NS_DIALBACK))
		return validated(o, s);
	if (e->kind == S2S_OUT_STANZA && elem_is(s->root, "verify", NS_DIALBACK))
		s2s_out_answer(o, s);
	else if (e->kind != S2S_OUT_WANTED)
		return fsm_same();
	if (!o->calling_back)
		return serve(o);
	s2s_out_ask(o);
	return fsm_same();
}

/* --- header and features ------------------------------------------------------------------- */

/* RFC 6120 §4.7.5: without a version there are no features, and nothing but dialback. */
ON_SHARD static struct next without_features(struct s2s_out *o)
{
	s2s_out_say(o, "it is a server of before XMPP 1.0");
	if (!o->secure && tls_policy(o) >= S2S_TLS_REQUIRED)
		return s2s_out_refuse(
			o, STREAM_POLICY_VIOLATION, "That server does not offer encryption.");
	o->usable = true;
	return serve(o);
}

ON_SHARD static struct next header(struct s2s_out *o, const struct s2s_out_opened *opened)
{
	const struct elem *root = opened->head->root;
	const char *id = elem_attr(root, "id"), *version = elem_attr(root, "version");

	if (!elem_is(root, "stream", NS_STREAM) || strcmp(opened->default_ns, NS_SERVER))
		return s2s_out_refuse(o, STREAM_INVALID_NAMESPACE,
			"That is no stream of a server to other servers.");
	free(o->peer_id);
	o->peer_id = id ? xstrdup(id) : NULL;
	o->versioned = version && strtoul(version, NULL, 10) >= 1;
	if (!o->versioned && !o->authenticated)
		return without_features(o);
	return fsm_next(S2S_OUT_WAIT_FOR_FEATURES);
}

struct next s2s_out_wait_for_stream(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);

	if (e->kind == S2S_OUT_OPENED)
		return header(o, e->data);
	if (e->kind == S2S_OUT_SECURED)
		return secured(o);
	return fsm_same();
}

/* A number of seconds or bytes that nothing is done with but compare it; 0: there is none. */
static uint64_t read_limit(const struct elem *limits, const char *name)
{
	const char *text;
	uint64_t limit;
	struct arena a;

	arena_init(&a, NULL, 0);
	text = limits ? elem_child_text(limits, name, NS_LIMITS, &a) : NULL;
	limit = text ? strtoull(text, NULL, 10) : 0;
	arena_fini(&a);
	return limit < UINT32_MAX ? limit : UINT32_MAX;
}

/* XEP-0478 §4. */
static void note_limits(struct s2s_out *o, const struct stanza *features)
{
	const struct elem *limits = elem_child(features->root, "limits", NS_LIMITS);

	o->peer_max_bytes = read_limit(limits, "max-bytes");
	o->peer_idle_ms = read_limit(limits, "idle-seconds") * 1000;
}

static uint8_t offers_of(const struct stanza *features)
{
	const struct elem *starttls = elem_child(features->root, "starttls", NS_TLS);
	const struct elem *mechanisms = elem_child(features->root, "mechanisms", NS_SASL);
	uint8_t offers = 0;
	struct arena a;

	if (starttls)
		offers |= OFFERS_STARTTLS;
	if (starttls && elem_child(starttls, "required", NS_TLS))
		offers |= REQUIRES_STARTTLS;
	if (elem_child(features->root, "sm", NS_SM))
		offers |= OFFERS_SM;
	if (elem_child(features->root, "bidi", NS_FEATURE_BIDI))
		offers |= OFFERS_BIDI;
	arena_init(&a, NULL, 0);
	for (const struct elem *m = mechanisms ? elem_first(mechanisms) : NULL; m; m = elem_next(m))
		if (elem_is(m, "mechanism", NS_SASL) && !strcmp(elem_text(m, &a), "EXTERNAL"))
			offers |= OFFERS_EXTERNAL;
	arena_fini(&a);
	return offers;
}

ON_SHARD static struct next without_tls(struct s2s_out *o)
{
	int policy = tls_policy(o);

	if (o->offers & OFFERS_STARTTLS && policy != S2S_TLS_NO)
		return ask_for_tls(o);
	if (policy >= S2S_TLS_REQUIRED || must_be_trusted(o))
		return s2s_out_refuse(
			o, STREAM_POLICY_VIOLATION, "That server does not offer encryption.");
	if (o->offers & REQUIRES_STARTTLS)
		return s2s_out_refuse(o, STREAM_POLICY_VIOLATION,
			"That server wants encryption, which is off here.");
	o->offers &= (uint8_t)~OFFERS_EXTERNAL; /* there is no certificate to be shown */
	o->usable = true;
	return serve(o);
}

struct next s2s_out_wait_for_features(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);
	const struct stanza *s = e->data;

	if (e->kind != S2S_OUT_STANZA)
		return fsm_same();
	if (!elem_is(s->root, "features", NS_STREAM))
		return s2s_out_refuse(o, STREAM_UNSUPPORTED_STANZA_TYPE,
			"That server does not say what it offers.");
	o->offers = offers_of(s);
	note_limits(o, s);
	if (o->authenticated)
		return s2s_out_proven(o);
	if (!o->secure)
		return without_tls(o);
	o->usable = true;
	return serve(o);
}

/* --- established --------------------------------------------------------------------------- */

struct next s2s_out_foreign(struct s2s_out *o, struct term *e)
{
	const struct s2s_carrier from = { &o->stream, &o->pairs, o->ours,
		s2s_out_sm_is_on(o) ? s2s_out_sm_acks(o) : NULL };
	enum stream_condition condition;

	o->used_ms = shard_now_ms();
	condition = s2s_stanza(&from, e->data);
	s2s_out_sm_handled(o);
	if (condition != STREAM_CONDITIONS)
		return s2s_out_end(o, condition, "That server sends what it may not.");
	term_take(e);
	return fsm_same();
}

struct next s2s_out_stream_established(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);
	struct stanza *s = e->data;

	if (e->kind == S2S_OUT_WANTED)
		s2s_out_ask(o);
	if (e->kind != S2S_OUT_STANZA)
		return fsm_same();
	if (s->kind != STANZA_OTHER && o->bidi)
		return s2s_out_foreign(o, e);
	if (elem_is(s->root, "verify", NS_DIALBACK) && elem_attr(s->root, "type"))
		s2s_out_answer(o, s);
	else if (s->root->ns == NS_DIALBACK && o->bidi)
		s2s_dialback_asked(&o->stream, s);
	else if (s->root->ns == NS_SM)
		s2s_out_sm_element(o, s->root);
	return fsm_same();
}
