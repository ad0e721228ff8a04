/* net/s2s_in_dialback.c - server dialback on a stream that another server opened: XEP-0220 §2.2.
 * As the receiving server it asks the authoritative one whether the key that came with a pair of
 * domains is right, unless the peer's certificate says enough; as the authoritative server it looks
 * at a key that is said to be one of ours. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/sysmon.h"
#include "net/dialback.h"
#include "net/limits.h"
#include "net/s2s.h"
#include "net/s2s_in_stream.h"
#include "net/s2s_stanza.h"
#include "router/route.h"

#define ASKING_MAX 50u /* questions of one stream that are out at once */
#define REFUSED_MAX 50u /* pairs that did not stand the proof before the stream ends */
#define KEY_MAX 1024u
#define ID_MAX 1024u

enum refusal {
	NOT_REFUSED,
	ITEM_NOT_FOUND,
	REMOTE_CONNECTION_FAILED,
	REMOTE_SERVER_NOT_FOUND,
	REMOTE_SERVER_TIMEOUT,
	POLICY_VIOLATION,
	NOT_AUTHORIZED,
	FORBIDDEN,
	NOT_ALLOWED,
	NOT_ACCEPTABLE,
	RESOURCE_CONSTRAINT,
	REFUSALS,
};
/* §2.5; the type is the condition's usual one, RFC 6120 §8.3.3. */
static const struct {
	const char *condition, *type;
} refusals[REFUSALS] = {
	[ITEM_NOT_FOUND] = { "item-not-found", "cancel" },
	[REMOTE_CONNECTION_FAILED] = { "remote-connection-failed", "wait" },
	[REMOTE_SERVER_NOT_FOUND] = { "remote-server-not-found", "cancel" },
	[REMOTE_SERVER_TIMEOUT] = { "remote-server-timeout", "wait" },
	[POLICY_VIOLATION] = { "policy-violation", "modify" },
	[NOT_AUTHORIZED] = { "not-authorized", "auth" },
	[FORBIDDEN] = { "forbidden", "auth" },
	[NOT_ALLOWED] = { "not-allowed", "cancel" },
	[NOT_ACCEPTABLE] = { "not-acceptable", "modify" },
	[RESOURCE_CONSTRAINT] = { "resource-constraint", "wait" },
};

#define RESULT(result_)                                                       \
	METRIC_COUNTER_OF("dialback_results_total", "result=\"" result_ "\"", \
		"Requests of other servers to be believed by dialback, by their end.")
static struct metric valid_metric = RESULT("valid"), invalid_metric = RESULT("invalid"),
		     error_metric = RESULT("error");
#define KEY(result_)                                                       \
	METRIC_COUNTER_OF("dialback_keys_total", "result=\"" result_ "\"", \
		"Keys of ours that other servers asked about, by what they were told.")
static struct metric good_key_metric = KEY("valid"), bad_key_metric = KEY("invalid"),
		     no_key_metric = KEY("error");

__attribute__((constructor)) static void register_metrics(void)
{
	struct metric *all[] = { &valid_metric, &invalid_metric, &error_metric, &good_key_metric,
		&bad_key_metric, &no_key_metric };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		metric_register(all[i]);
}

/* --- answering ----------------------------------------------------------------------------- */

static void begin_answer(
	struct builder *b, const char *name, const struct s2s_request *r, const char *type)
{
	build_begin(b, name, NS_DIALBACK);
	build_attr(b, "from", r->to);
	build_attr(b, "to", r->from);
	build_attr(b, "id", r->id);
	build_attr(b, "type", type);
}

ON_SHARD static void answer(
	struct stream *st, const char *name, const struct s2s_request *r, const char *type)
{
	struct builder b;

	begin_answer(&b, name, r, type);
	stream_send_element(st, &b);
}

ON_SHARD static void answer_error(
	struct stream *st, const char *name, const struct s2s_request *r, enum refusal refusal)
{
	struct builder b;

	begin_answer(&b, name, r, "error");
	build_open(&b, "error", NS_CLIENT);
	build_attr(&b, "type", refusals[refusal].type);
	build_open(&b, refusals[refusal].condition, NS_STANZAS);
	build_close(&b);
	build_close(&b);
	stream_send_element(st, &b);
}

/* --- the authoritative server: §2.2.2 ------------------------------------------------------ */

ON_SHARD static enum refusal check_verify(const struct stream *st, const struct s2s_request *r)
{
	if (!route_has(r->ours))
		return ITEM_NOT_FOUND;
	if (!st->conn.tls && s2s_needs_tls(r->ours))
		return POLICY_VIOLATION;
	return NOT_REFUSED;
}

/* True: we are who could say. */
ON_SHARD static bool verify(struct stream *st, const struct s2s_request *r)
{
	enum refusal refusal = check_verify(st, r);
	bool good;

	if (refusal) {
		metric_add(&no_key_metric, 1);
		answer_error(st, "verify", r, refusal);
		return false;
	}
	good = dialback_is_key(r->key, r->theirs, r->ours, r->id);
	metric_add(good ? &good_key_metric : &bad_key_metric, 1);
	answer(st, "verify", r, good ? "valid" : "invalid");
	return true;
}

/* --- the receiving server: §2.2.1 ---------------------------------------------------------- */

static const char *add_text(char **at, const char *text)
{
	const char *copy = *at;
	size_t len = strlen(text) + 1;

	memcpy(*at, text, len);
	*at += len;
	return copy;
}

static void answered(struct s2s_verify *v)
{
	struct s2s_question *q = container_of(v, struct s2s_question, verify);
	struct actor *a;

	shard_check(NULL);
	a = actor_find(q->stream);
	if (a) {
		struct s2s_in *c = container_of(a, struct s2s_in, fsm.gen.actor);

		c->asking--;
		if (c->stream.id == q->stream_id && !stream_closing(&c->stream))
			fsm_event_now(
				&c->fsm, &(struct term){ .kind = S2S_IN_VERIFIED, .data = q });
	}
	free(q);
}

ON_SHARD static void ask(struct s2s_in *c, const struct s2s_request *r)
{
	struct s2s_question *q = xcalloc(1,
		sizeof(*q) + strlen(r->from) + strlen(r->to) + strlen(r->theirs) + strlen(r->ours) +
			strlen(r->key) + 5);
	char *at = q->text;

	q->stream = c->fsm.gen.actor.id;
	q->stream_id = c->stream.id;
	stream_id_write(&c->stream, q->id);
	q->request = (struct s2s_request){ .from = add_text(&at, r->from),
		.to = add_text(&at, r->to),
		.theirs = add_text(&at, r->theirs),
		.ours = add_text(&at, r->ours),
		.key = add_text(&at, r->key) };
	q->verify = (struct s2s_verify){ .ours = q->request.ours,
		.theirs = q->request.theirs,
		.stream_id = q->id,
		.key = q->request.key,
		.done = answered };
	c->asking++;
	s2s_verify(&q->verify);
}

/* The peer may send for a pair. */
ON_SHARD static struct next accept_pair(
	struct s2s_in *c, const struct s2s_request *r, enum s2s_in_proof proof)
{
	metric_add(&valid_metric, 1);
	answer(&c->stream, "result", r, "valid");
	s2s_in_authorise(c, r->theirs, r->ours, proof);
	return c->pairs.n ? fsm_next(S2S_IN_STREAM_ESTABLISHED) : fsm_same();
}

/* Not for the peer's want of a right key, so the stream goes on. */
ON_SHARD static struct next refuse_pair(
	struct s2s_in *c, const struct s2s_request *r, enum refusal refusal, const char *why)
{
	metric_add(&error_metric, 1);
	s2s_in_log(c, LOG_LEVEL_INFO, "dialback refused", L_STR("sender", r->theirs),
		L_STR("target", r->ours), L_STR("condition", refusals[refusal].condition),
		L_STR("why", why));
	answer_error(&c->stream, "result", r, refusal);
	if (++c->refused >= REFUSED_MAX)
		return s2s_in_fail(
			c, STREAM_POLICY_VIOLATION, "Too many domains were not believed.");
	return fsm_same();
}

/* §2.2.1: a wrong key ends the stream, or only this pair where others have been believed. */
ON_SHARD static struct next reject_key(struct s2s_in *c, const struct s2s_request *r)
{
	const struct host_conf *conf = s2s_in_conf(r->ours);

	metric_add(&invalid_metric, 1);
	s2s_in_log(c, LOG_LEVEL_WARNING, "dialback key is wrong", L_STR("sender", r->theirs),
		L_STR("target", r->ours));
	limits_login_failed(&c->address, conf ? conf->auth_fail_window_ms : 600000);
	if (c->pairs.n)
		return refuse_pair(c, r, FORBIDDEN, "the key is wrong");
	answer(&c->stream, "result", r, "invalid");
	stream_close(&c->stream);
	return fsm_same();
}

/* What the authoritative server's answer, or the want of one, means to the peer: §2.5. */
static const enum refusal verdicts[] = {
	[S2S_ITEM_NOT_FOUND] = REMOTE_SERVER_NOT_FOUND,
	[S2S_REMOTE_NOT_FOUND] = REMOTE_CONNECTION_FAILED,
	[S2S_REMOTE_TIMEOUT] = REMOTE_SERVER_TIMEOUT,
	[S2S_REMOTE_FAILED] = REMOTE_SERVER_TIMEOUT,
};

struct next s2s_in_verified(struct s2s_in *c, const struct s2s_question *q)
{
	enum s2s_verdict verdict = q->verify.verdict;

	if (verdict == S2S_VALID && c->pairs.n < S2S_PAIRS_MAX)
		return accept_pair(c, &q->request, S2S_IN_BY_DIALBACK);
	if (verdict == S2S_INVALID)
		return reject_key(c, &q->request);
	return refuse_pair(c, &q->request,
		verdict == S2S_VALID ? RESOURCE_CONSTRAINT : verdicts[verdict], q->verify.why);
}

/* Whether the address has shown so many wrong keys that it is not listened to for a while. */
ON_SHARD static bool is_blocked(const struct s2s_in *c, const char *ours)
{
	const struct host_conf *conf = s2s_in_conf(ours);

	return conf && limits_login_blocked(&c->address, conf->auth_fails);
}

/* Before anybody is asked. */
ON_SHARD static enum refusal check_result(const struct s2s_in *c, const struct s2s_request *r)
{
	if (!route_has(r->ours))
		return ITEM_NOT_FOUND;
	if (s2s_in_tls_missing(c, r->ours))
		return POLICY_VIOLATION;
	if (route_has(r->theirs) || !s2s_allowed(r->ours, r->theirs))
		return NOT_ALLOWED;
	if (c->pairs.n + c->asking >= S2S_PAIRS_MAX || c->asking >= ASKING_MAX ||
		sysmon_memory_short() || is_blocked(c, r->ours))
		return RESOURCE_CONSTRAINT;
	return NOT_REFUSED;
}

ON_SHARD static struct next result(struct s2s_in *c, const struct s2s_request *r)
{
	enum refusal refusal = check_result(c, r);

	if (refusal)
		return refuse_pair(c, r, refusal, NULL);
	if (s2s_in_is_certified(c, r->theirs)) /* §1.2: without dialling back */
		return accept_pair(c, r, S2S_IN_BY_CERTIFICATE);
	if (s2s_needs_certificate(r->ours))
		return refuse_pair(c, r, NOT_AUTHORIZED, "its certificate is not valid for it");
	ask(c, r);
	return fsm_same();
}

/* --- both ---------------------------------------------------------------------------------- */

static const char *read_domain(const char *text, struct arena *a)
{
	struct jid *j;

	if (!text || jid_parse(text, strlen(text), a, &j) || !jid_is_domain(j))
		return NULL;
	return jid_domain(j);
}

/* Peers may write the key as an editor would. */
static const char *read_key(const struct elem *e, struct arena *a)
{
	const char *text = elem_text(e, a);
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	return len && len <= KEY_MAX ? arena_text(a, text, len) : NULL;
}

/* False: nobody could be answered. */
static bool read_request(struct s2s_request *r, struct stanza *s, bool is_verify)
{
	const struct elem *e = s->root;

	r->from = elem_attr(e, "from");
	r->to = elem_attr(e, "to");
	r->id = is_verify ? elem_attr(e, "id") : NULL;
	r->theirs = read_domain(r->from, &s->arena);
	r->ours = read_domain(r->to, &s->arena);
	r->key = read_key(e, &s->arena);
	return r->theirs && r->ours && r->key && (!is_verify || (r->id && strlen(r->id) <= ID_MAX));
}

struct next s2s_in_dialback(struct s2s_in *c, struct stanza *s)
{
	bool is_verify = elem_is(s->root, "verify", NS_DIALBACK);
	struct s2s_request r;

	if (!is_verify && !elem_is(s->root, "result", NS_DIALBACK))
		return s2s_in_fail(c, STREAM_UNSUPPORTED_STANZA_TYPE, NULL);
	if (elem_attr(s->root, "type")) { /* §3.1: an answer to what was not asked here */
		s2s_in_log(c, LOG_LEVEL_INFO, "unasked answer to dialback ignored");
		return fsm_same();
	}
	if (!read_request(&r, s, is_verify))
		return s2s_in_fail(c, STREAM_IMPROPER_ADDRESSING, NULL);
	if (!is_verify)
		return result(c, &r);
	c->helpful |= verify(&c->stream, &r);
	return fsm_same();
}

/* XEP-0288 §2.2 lets them ask. What is for another pair of domains they can send by a stream of
 * their own. */
void s2s_dialback_asked(struct stream *st, struct stanza *s)
{
	bool is_verify = elem_is(s->root, "verify", NS_DIALBACK);
	struct s2s_request r;

	if (elem_attr(s->root, "type") || !read_request(&r, s, is_verify))
		return;
	if (is_verify)
		verify(st, &r);
	else
		answer_error(st, "result", &r, NOT_ALLOWED);
}
