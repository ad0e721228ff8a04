/* net/c2s_login.c - the states before a session: stream header, features, STARTTLS, and the login
 * of old clients (XEP-0078). What all ways to log in share is here too. */
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/sysmon.h"
#include "net/c2s_stream.h"
#include "net/limits.h"
#include "net/tls_peer.h"
#include "router/prelogin.h"
#include "router/route.h"
#include "xml/jid.h"

/* Failed logins on one stream before it ends: RFC 6120 §6.4.5 asks for 2 to 5. Clients that walk
 * down the list of mechanisms without naming an account guess nothing and may walk to its end. */
#define GUESSES_MAX 5
#define ATTEMPTS_MAX 12

static struct metric login_metric =
	METRIC_COUNTER_OF("logins_total", "result=\"ok\"", "SASL and legacy logins by result.");
static struct metric login_failed_metric =
	METRIC_COUNTER_OF("logins_total", "result=\"failed\"", "SASL and legacy logins by result.");

static struct metric login_refused_metric = METRIC_COUNTER_OF(
	"logins_total", "result=\"refused\"", "SASL and legacy logins by result.");

/* --- the stream header --------------------------------------------------------------------- */

/* RFC 6120 §4.7.5: a major version above ours is answered with ours; none means an old client. */
enum version { VERSION_NONE, VERSION_1, VERSION_BAD };

static enum version read_version(const char *text)
{
	static const char digits[] = "0123456789";
	size_t major, minor;

	if (!text)
		return VERSION_NONE;
	major = strspn(text, digits);
	if (!major || text[major] != '.')
		return VERSION_BAD;
	minor = strspn(text + major + 1, digits);
	if (!minor || text[major + 1 + minor])
		return VERSION_BAD;
	return strspn(text, "0") < major ? VERSION_1 : VERSION_NONE;
}

bool c2s_tls_missing(const struct c2s *c)
{
	return c->options->conf.starttls && c->options->conf.starttls_required && !c2s_is_secure(c);
}

bool c2s_logins_refused(void)
{
	bool refused = sysmon_memory_short();

	if (refused)
		metric_add(&login_refused_metric, 1);
	return refused;
}

/* The host of a stream is the first header's; a later header may not name another. */
ON_SHARD static bool take_host(struct c2s *c, const char *to, enum stream_condition *error)
{
	struct jid *domain = NULL;
	struct host *h;

	*error = STREAM_IMPROPER_ADDRESSING; /* §4.9.3.7 */
	if (!to || jid_parse(to, strlen(to), NULL, &domain))
		return false;
	*error = STREAM_HOST_UNKNOWN; /* §4.9.3.6 */
	h = jid_is_domain(domain) ? route_host(jid_domain(domain)) : NULL;
	jid_free(domain);
	if (!h || (c->session.host && c->session.host != h))
		return false;
	if (!c->session.host) {
		c->session.host = host_ref(h);
		c->conf = host_conf_hold(h);
		c->stream.conn.out_max_held = (uint64_t)c->conf->max_out_bytes;
	}
	return true;
}

/* XEP-0440. A list without any would break §2. */
static void add_bindings(struct builder *b, uint32_t offered, const struct tls_channel *channel)
{
	bool any = false;

	for (int type = 0; type < TLS_BINDINGS; type++) {
		if (!sasl_announces(offered, channel, (enum tls_binding)type))
			continue;
		if (!any)
			build_open(b, "sasl-channel-binding", NS_SASL_CB);
		any = true;
		build_open(b, "channel-binding", NULL);
		build_attr(b, "type", tls_binding_name((enum tls_binding)type));
		build_close(b);
	}
	if (any)
		build_close(b);
}

static void forget_certified(struct c2s_login *l)
{
	while (l->n_certified)
		jid_free(l->certified[--l->n_certified]);
}

/* XEP-0178 §2: the accounts of this host that the client's certificate names, if it is good. */
ON_SHARD static bool find_certified(struct c2s *c)
{
	struct c2s_login *l = c->login;
	enum tls_verdict worth;
	size_t n;

	forget_certified(l);
	if (!c->options->conf.tls_verify)
		return false;
	worth = tls_peer_check_chain(c->stream.conn.tls);
	if (!tls_peer_is_good(worth)) {
		if (worth != TLS_PEER_NONE)
			c2s_log(c, LOG_LEVEL_INFO, "the client's certificate does not count",
				L_STR("why", tls_peer_text(worth)));
		return false;
	}
	n = tls_peer_accounts(c->stream.conn.tls, l->certified, ARRAY_LEN(l->certified));
	for (size_t i = 0; i < n; i++)
		if (strcmp(jid_domain(l->certified[i]), c->session.host->name) != 0)
			jid_free(l->certified[i]);
		else
			l->certified[l->n_certified++] = l->certified[i];
	return l->n_certified;
}

ON_SHARD static void add_sasl_feature(struct c2s *c, struct builder *b)
{
	struct tls_channel channel;

	tls_channel_kinds(c->stream.conn.tls, &channel);
	channel.certified = find_certified(c);
	c->login->offered =
		auth_mechanisms(c->session.host, c->conf, sasl_mechanisms(c->conf, &channel));
	if (!c->login->offered)
		return;
	build_open(b, "mechanisms", NS_SASL);
	for (unsigned i = 0; i < SASL_MECHANISMS; i++)
		if (c->login->offered & 1u << i)
			build_text(b, "mechanism", sasl_mechanism_name(i));
	build_close(b);
	c2s_sasl2_offer(c, b);
	add_bindings(b, c->login->offered, &channel);
}

static void add_empty(struct builder *b, const char *name, const char *ns)
{
	build_open(b, name, ns);
	build_close(b);
}

ON_SHARD static void add_starttls_feature(struct c2s *c, struct builder *b)
{
	build_open(b, "starttls", NS_TLS);
	if (c2s_tls_missing(c))
		add_empty(b, "required", NULL);
	build_close(b);
}

/* XEP-0478: what the client may send before it is cut off. */
ON_SHARD static void add_limits_feature(struct c2s *c, struct builder *b)
{
	build_open(b, "limits", NS_LIMITS);
	build_int(b, "max-bytes",
		c->user ? c->options->conf.max_stanza_size
			: c->options->conf.max_stanza_size_unauthenticated);
	build_close(b);
}

ON_SHARD static bool may_starttls(const struct c2s *c)
{
	return c->options->conf.starttls && !c2s_is_secure(c) && tls_store_ready(c->options->tls);
}

void c2s_send_features(struct c2s *c)
{
	struct builder b;
	struct stream_features subject = {
		.host = c->session.host,
		.features = &b,
		.authenticated = c->user != NULL,
		.tls = c2s_is_secure(c),
		.address = &c->session.address,
	};

	build_begin(&b, "features", NS_STREAM);
	if (c->user && !c->bound) {
		add_empty(&b, "bind", NS_BIND);
		add_empty(&b, "sm", NS_SM); /* XEP-0198 */
		add_empty(&b, "csi", NS_CSI); /* XEP-0352 */
		build_open(
			&b, "session", NS_SESSION); /* RFC 3921, as draft-cridland-xmpp-session */
		add_empty(&b, "optional", NULL);
		build_close(&b);
	} else if (!c->user) {
		if (may_starttls(c))
			add_starttls_feature(c, &b);
		if (!c2s_tls_missing(c)) {
			add_sasl_feature(c, &b);
			if (c->conf->legacy_auth && c2s_is_secure(c))
				add_empty(&b, "auth", NS_FEATURE_AUTH);
		}
	}
	add_limits_feature(c, &b);
	if (!c2s_tls_missing(c))
		hook_run(c->session.host->hooks, &stream_features_hook, &subject);
	stream_send_features(&c->stream, &b);
}

/* Who the client says it is. RFC 6120 §4.7.1: a hint until it has logged in. */
ON_SHARD static void take_from(struct c2s *c, const char *from)
{
	struct jid **out = &c->login->from;

	jid_free(*out);
	*out = NULL;
	if (from && (jid_parse(from, strlen(from), NULL, out) || !jid_local(*out)[0])) {
		jid_free(*out);
		*out = NULL;
	}
}

/* The answer to the client's header, in the host's name. RFC 6120 §4.7.2: to is the bare JID that
 * the client said it has, if it did. §4.7.4: the language is the client's, where there are texts.
 */
ON_SHARD static void greet(struct c2s *c, const struct stanza *head)
{
	const struct jid *from = c->login->from;
	char bare[JID_TEXT_MAX];

	if (from)
		jid_write_bare(from, bare);
	stream_send_header(&c->stream, c->session.host->name, from ? bare : NULL,
		lang_pick(head->lang, c->conf->texts));
}

/* XEP-0388 §2.1, RFC 6120 §4.9.3.9: from another domain than it speaks to. */
ON_SHARD static bool from_elsewhere(const struct c2s *c)
{
	return c->login->from && c2s_is_secure(c) &&
		strcmp(jid_domain(c->login->from), c->session.host->name) != 0;
}

struct next wait_for_stream(struct fsm *f, struct term *e)
{
	struct c2s *c = c2s_of(f);
	const struct stream_opened *o = e->data;
	enum stream_condition error;
	const struct elem *head;
	enum version version;

	if (e->kind == C2S_LOST) /* of a process before: net/c2s_sm_restore.c */
		return fsm_next(WAIT_FOR_RESUME);
	if (e->kind != C2S_OPENED)
		return c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	head = o->head->root;
	if (strcmp(head->ns, NS_STREAM) || strcmp(o->default_ns, NS_CLIENT))
		return c2s_fail(c, STREAM_INVALID_NAMESPACE, NULL); /* RFC 6120 §4.8 */
	if (strcmp(head->name, "stream"))
		return c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	if (!take_host(c, elem_attr(head, "to"), &error))
		return c2s_fail(c, error, NULL);
	version = read_version(elem_attr(head, "version"));
	take_from(c, elem_attr(head, "from"));
	greet(c, o->head);
	if (from_elsewhere(c))
		return c2s_fail(c, STREAM_INVALID_FROM, NULL);
	if (!c->user && c2s_logins_refused()) /* RFC 6120 §4.9.3.17 */
		return c2s_fail(c, STREAM_RESOURCE_CONSTRAINT, "The server is short of memory.");
	if (version == VERSION_NONE && c->conf->legacy_auth && c2s_is_secure(c))
		return fsm_next(WAIT_FOR_AUTH); /* no features for those who know none */
	if (version != VERSION_1)
		return c2s_fail(c, STREAM_UNSUPPORTED_VERSION, NULL);
	c2s_send_features(c);
	return fsm_next(c->user ? WAIT_FOR_BIND : WAIT_FOR_FEATURE_REQUEST);
}

/* --- asking the host's account backend ----------------------------------------------------- */

/* The stream may be gone when the answer comes, so it is named by id. */
struct login {
	struct auth_request auth;
	struct actor_id stream;
};

static void login_answered(struct auth_request *r)
{
	struct login *l = container_of(r, struct login, auth);
	struct actor *a;

	shard_check(NULL);
	a = actor_find(l->stream);
	if (a) {
		struct c2s *c = container_of(a, struct c2s, fsm.gen.actor);

		fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_AUTH, .data = r });
		if (!stream_closing(&c->stream))
			stream_go_on(&c->stream);
	}
	auth_request_fini(r);
	free(l);
}

struct auth_request *c2s_question(
	struct c2s *c, enum auth_ask what, const char *user, const char *password)
{
	struct login *l = xcalloc(1, sizeof(*l));

	auth_request_init(&l->auth, what, c->session.host, user, password, login_answered);
	l->stream = c->session.id;
	return &l->auth;
}

bool c2s_ask(struct c2s *c, struct auth_request *r)
{
	if (auth_ask(r)) {
		auth_request_fini(r);
		free(container_of(r, struct login, auth));
		return false;
	}
	stream_wait(&c->stream);
	return true;
}

bool c2s_login_allowed(const struct c2s *c, const char *user)
{
	struct access_subject who = { .address = &c->session.address };
	struct jid *jid;
	bool allowed;

	if (!c->options->conf.access)
		return true;
	if (jid_make(user, c->session.host->name, NULL, NULL, &jid))
		return false;
	who.jid = jid;
	allowed = access_allowed(c->options->conf.access, c->session.host->name, &who);
	jid_free(jid);
	return allowed;
}

ON_SHARD static void apply_session_limits(struct c2s *c)
{
	const struct parser_limits limits = listener_limits(&c->options->conf);

	parser_set_limits(c->stream.parser, &limits);
	if (c->options->conf.shaper)
		conn_set_shaper(&c->stream.conn, c2s_rate(c, c->options->conf.shaper));
}

void c2s_logged_in(struct c2s *c, char *user)
{
	free(c->user); /* XEP-0078: of a login whose resource was refused */
	c->user = user;
	if (c->limited)
		limits_end(&c->session.address);
	c->limited = false;
	apply_session_limits(c);
	metric_add(&login_metric, 1);
}

bool c2s_login_failed(struct c2s *c, const char *user, const char *why)
{
	metric_add(&login_failed_metric, 1);
	if (user) /* else no name was tried yet, so nothing was guessed */
		limits_login_failed(&c->session.address, c->conf->auth_fail_window_ms);
	c2s_log(c, LOG_LEVEL_INFO, "login failed", L_STR("user", user),
		L_STR("host", c->session.host->name), L_STR("why", why));
	c->login->auth_guesses += user != NULL;
	if (++c->login->auth_attempts < ATTEMPTS_MAX && c->login->auth_guesses < GUESSES_MAX)
		return true;
	c2s_fail(c, STREAM_POLICY_VIOLATION, "Too many failed logins.");
	return false;
}

bool c2s_login_blocked(const struct c2s *c)
{
	return limits_login_blocked(&c->session.address, c->conf->auth_fails);
}

void c2s_login_end(struct c2s *c)
{
	struct c2s_login *l = c->login;

	if (!l)
		return;
	c->login = NULL;
	sasl_free(l->sasl);
	c2s_sasl2_free(l->sasl2);
	jid_free(l->from);
	forget_certified(l);
	stanza_unref(l->request);
	free(l);
}

/* --- what a client may ask for before login ------------------------------------------------ */

/* A request for registration and the like: RFC 6120 §6.1 forbids all else. */
ON_SHARD static struct next prelogin_request(struct c2s *c, struct stanza *s)
{
	struct prelogin_iq subject = {
		.host = c->session.host,
		.iq = s,
		.address = &c->session.address,
		.stream = c->session.id,
		.tls = c2s_is_secure(c),
	};

	if ((s->type != IQ_GET && s->type != IQ_SET) || !stanza_iq_child(s) || c2s_tls_missing(c))
		return c2s_fail(c, STREAM_NOT_AUTHORIZED, NULL);
	stanza_seal(s);
	if (hook_run(c->session.host->hooks, &prelogin_iq_hook, &subject) != HOOK_STOP)
		return c2s_fail(c, STREAM_NOT_AUTHORIZED, NULL);
	return fsm_same();
}

ON_SHARD static struct next begin_starttls(struct c2s *c)
{
	struct builder b;

	if (!may_starttls(c)) { /* RFC 6120 §5.4.2.2 */
		build_begin(&b, "failure", NS_TLS);
		stream_send_element(&c->stream, &b);
		stream_close(&c->stream);
		return fsm_same();
	}
	stream_start_tls(&c->stream, c->options->tls, &c->options->offer);
	return fsm_next(WAIT_FOR_STREAM);
}

/* XEP-0078 §5: a client that saw the feature may log in as of old. */
ON_SHARD static bool is_legacy(const struct c2s *c, const struct stanza *s)
{
	const struct elem *query = s->kind == STANZA_IQ ? stanza_iq_child(s) : NULL;

	return query && elem_is(query, "query", NS_AUTH) && c->conf->legacy_auth &&
		c2s_is_secure(c);
}

struct next wait_for_feature_request(struct fsm *f, struct term *e)
{
	struct c2s *c = c2s_of(f);
	struct stanza *s = e->data;
	struct next next;

	if (e->kind == C2S_AUTH)
		return wait_for_auth(f, e);
	if (e->kind != C2S_STANZA)
		return c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	if (elem_is(s->root, "starttls", NS_TLS))
		next = begin_starttls(c);
	else if (elem_is(s->root, "auth", NS_SASL))
		next = c2s_sasl(c, s);
	else if (elem_is(s->root, "authenticate", NS_SASL2) && c->conf->sasl2)
		next = c2s_sasl2(c, s);
	else if (is_legacy(c, s))
		return wait_for_auth(f, e);
	else if (s->kind == STANZA_IQ)
		next = prelogin_request(c, s);
	else
		next = c2s_fail(c, STREAM_NOT_AUTHORIZED, NULL); /* §4.9.3.12 */
	stanza_unref(s);
	return next;
}

/* --- XEP-0078: username, password and resource in one request, under TLS only --------------- */

ON_SHARD static void legacy_answer(struct c2s *c, const struct stanza *s, int error)
{
	struct stanza *answer;
	struct builder b;

	if (error)
		build_error(&b, s, error, NULL);
	else
		build_iq_result(&b, s);
	answer = build_end(&b);
	stream_send_stanza(&c->stream, answer);
	stanza_unref(answer);
}

ON_SHARD static void legacy_fields(struct c2s *c, const struct stanza *s)
{
	struct stanza *answer;
	struct builder b;

	build_iq_result(&b, s);
	build_open(&b, "query", NS_AUTH);
	build_text(&b, "username", NULL);
	build_text(&b, "password", NULL);
	build_text(&b, "resource", NULL);
	build_close(&b);
	answer = build_end(&b);
	stream_send_stanza(&c->stream, answer);
	stanza_unref(answer);
}

ON_SHARD static void legacy_login(struct c2s *c, struct stanza *s, const struct elem *query)
{
	const char *user = elem_child_text(query, "username", NS_AUTH, &s->arena);
	const char *password = elem_child_text(query, "password", NS_AUTH, &s->arena);
	const char *resource = elem_child_text(query, "resource", NS_AUTH, &s->arena);
	char prepared[JID_PART_MAX + 1];

	if (!user || !password || !resource || !*resource) { /* XEP-0078 §3.2: not-acceptable */
		legacy_answer(c, s, ERR_NOT_ACCEPTABLE);
		return;
	}
	if (jid_prep_local(user, strlen(user), prepared) < 0 || !c2s_login_allowed(c, prepared)) {
		legacy_answer(c, s, ERR_NOT_AUTHORIZED);
		return;
	}
	if (c2s_logins_refused() ||
		!c2s_ask(c, c2s_question(c, AUTH_ASK_CHECK, prepared, password))) {
		legacy_answer(c, s, ERR_RESOURCE_CONSTRAINT);
		return;
	}
	c->login->request = stanza_ref(s);
}

/* The request that waited is answered. */
ON_SHARD static void legacy_end(struct c2s *c, int error)
{
	legacy_answer(c, c->login->request, error);
	stanza_unref(c->login->request);
	c->login->request = NULL;
}

ON_SHARD static struct next legacy_bound(struct c2s *c, int error)
{
	legacy_end(c, error);
	return error ? fsm_same() : fsm_next(SESSION_ESTABLISHED);
}

ON_SHARD static struct next legacy_answered(struct c2s *c, const struct auth_request *r)
{
	struct stanza *s = c->login->request;
	const struct elem *query = elem_child(s->root, "query", NS_AUTH);

	if (stream_closing(&c->stream)) /* too late */
		return fsm_same();
	if (r->result == 0) {
		c2s_logged_in(c, xstrdup(r->user));
		return c2s_bind(
			c, elem_child_text(query, "resource", NS_AUTH, &s->arena), legacy_bound);
	}
	if (r->result < 0)
		legacy_end(c, ERR_INTERNAL_SERVER_ERROR);
	else if (c2s_login_failed(c, r->user, "legacy"))
		legacy_end(c, ERR_NOT_AUTHORIZED);
	return fsm_same();
}

struct next wait_for_auth(struct fsm *f, struct term *e)
{
	struct c2s *c = c2s_of(f);
	struct stanza *s = e->data;
	struct next next = fsm_same();
	const struct elem *query;

	if (e->kind == C2S_AUTH)
		return legacy_answered(c, e->data);
	if (e->kind != C2S_STANZA)
		return c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	query = s->kind == STANZA_IQ ? stanza_iq_child(s) : NULL;
	if (!query || !elem_is(query, "query", NS_AUTH))
		next = s->kind == STANZA_IQ ? prelogin_request(c, s)
					    : c2s_fail(c, STREAM_NOT_AUTHORIZED, NULL);
	else if (c2s_login_blocked(c))
		next = c2s_fail(c, STREAM_POLICY_VIOLATION, "Too many failed logins.");
	else if (s->type == IQ_GET)
		legacy_fields(c, s);
	else if (s->type == IQ_SET)
		legacy_login(c, s, query);
	stanza_unref(s);
	return next;
}
