/* net/s2s_in_login.c - before the first stanza of another server: stream header, features,
 * STARTTLS; and what it may ask for at any time. */
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "core/sysmon.h"
#include "net/s2s_in_sm.h"
#include "net/s2s_stanza.h"
#include "net/tls_peer.h"
#include "router/route.h"
#include "router/s2s_conf.h"

/* --- policy -------------------------------------------------------------------------------- */

const struct host_conf *s2s_in_conf(const char *ours)
{
	struct host *h = s2s_host(ours);

	return h ? rcu_get(h->conf) : NULL;
}

static enum s2s_starttls starttls_of(const char *ours)
{
	const struct host_conf *conf = s2s_in_conf(ours);

	return conf ? (enum s2s_starttls)conf->s2s_starttls : S2S_TLS_REQUIRED;
}

bool s2s_in_tls_missing(const struct s2s_in *c, const char *ours)
{
	return !s2s_in_is_secure(c) && s2s_needs_tls(ours);
}

bool s2s_in_is_certified(const struct s2s_in *c, const char *theirs)
{
	return tls_peer_is_good(tls_peer_check(c->stream.conn.tls, theirs));
}

ON_SHARD static bool may_starttls(const struct s2s_in *c)
{
	return !s2s_in_is_secure(c) && !c->pairs.n && starttls_of(c->ours) != S2S_TLS_NO &&
		tls_store_ready(c->options->tls);
}

/* --- the stream header: RFC 6120 §4.7 ------------------------------------------------------ */

enum version { VERSION_NONE, VERSION_1, VERSION_BAD };

/* §4.7.5: a major version above ours is answered with ours; none is one of before 2004. */
static enum version read_version(const char *text)
{
	if (!text || !strncmp(text, "0.", 2))
		return VERSION_NONE;
	return *text >= '1' && *text <= '9' && strchr(text, '.') ? VERSION_1 : VERSION_BAD;
}

/* A prepared domain out of an attribute, to be freed. NULL: it is none. */
static char *read_domain(const char *text)
{
	char *domain = NULL;
	struct jid *j;

	if (!text || jid_parse(text, strlen(text), NULL, &j))
		return NULL;
	if (jid_is_domain(j))
		domain = xstrdup(jid_domain(j));
	jid_free(j);
	return domain;
}

/* The names of a stream are those of its first header: a later one may not have others. */
ON_SHARD static bool take_name(char **name, char *given)
{
	bool same = !*name || !strcmp(*name, given);

	if (!*name)
		*name = given;
	else
		free(given);
	return same;
}

ON_SHARD static bool take_to(
	struct s2s_in *c, const char *to, enum version version, enum stream_condition *error)
{
	char *ours;

	if (!to && version == VERSION_NONE)
		to = c->ours ? c->ours : route_own_name();
	ours = read_domain(to);
	*error = STREAM_IMPROPER_ADDRESSING; /* §4.9.3.7 */
	if (!ours)
		return false;
	*error = STREAM_HOST_UNKNOWN; /* §4.9.3.6 */
	if (!route_has(ours)) {
		free(ours);
		return false;
	}
	return take_name(&c->ours, ours);
}

ON_SHARD static bool take_from(struct s2s_in *c, const char *from, enum stream_condition *error)
{
	char *theirs;

	if (!from)
		return true;
	theirs = read_domain(from);
	*error = STREAM_IMPROPER_ADDRESSING;
	if (!theirs)
		return false;
	*error = STREAM_INVALID_FROM;
	return take_name(&c->theirs, theirs);
}

static void add_empty(struct builder *b, const char *name, const char *ns)
{
	build_open(b, name, ns);
	build_close(b);
}

ON_SHARD static void add_tls(const struct s2s_in *c, struct builder *b)
{
	build_open(b, "starttls", NS_TLS);
	if (s2s_in_tls_missing(c, c->ours))
		add_empty(b, "required", NULL);
	build_close(b);
}

/* XEP-0178 §3 step 8: to whom it would succeed. */
static void add_external(struct builder *b)
{
	build_open(b, "mechanisms", NS_SASL);
	build_text(b, "mechanism", "EXTERNAL");
	build_close(b);
}

/* XEP-0220 §2.4.2 */
static void add_dialback(struct builder *b)
{
	build_open(b, "dialback", NS_FEATURE_DIALBACK);
	add_empty(b, "errors", NULL);
	build_close(b);
}

/* XEP-0478: what the peer may send before it is cut off, and how long it may be silent. */
ON_SHARD static void add_limits(const struct s2s_in *c, struct builder *b)
{
	build_open(b, "limits", NS_LIMITS);
	build_int(b, "max-bytes",
		c->pairs.n || c->proven ? c->options->conf.max_stanza_size
					: c->options->conf.max_stanza_size_unauthenticated);
	build_int(b, "idle-seconds", s2s_conf()->idle_ms / 1000);
	build_close(b);
}

ON_SHARD static void send_features(struct s2s_in *c)
{
	struct builder b;

	build_begin(&b, "features", NS_STREAM);
	if (may_starttls(c))
		add_tls(c, &b);
	if (s2s_in_offers_external(c))
		add_external(&b);
	if (!s2s_in_tls_missing(c, c->ours) && !s2s_needs_certificate(c->ours))
		add_dialback(&b);
	if (!c->bidi && s2s_both_ways(c->ours))
		add_empty(&b, "bidi", NS_FEATURE_BIDI); /* XEP-0288 §2.1 */
	if (!s2s_in_tls_missing(c, c->ours) && !c->sm)
		add_empty(&b, "sm", NS_SM); /* XEP-0198, once the peer has proven who it is */
	add_limits(c, &b);
	stream_send_features(&c->stream, &b);
}

/* Whether such a peer may have a stream at all. */
ON_SHARD static bool is_welcome(struct s2s_in *c)
{
	const char *why = NULL;

	if (!c->theirs)
		return true;
	if (route_has(c->theirs))
		why = TR("That domain is one of this server's own.");
	else if (!s2s_allowed(c->ours, c->theirs))
		why = TR("This server does not speak with that domain.");
	if (!why)
		return true;
	s2s_in_log(c, LOG_LEVEL_INFO, "refused", L_STR("why", why));
	s2s_in_fail(c, STREAM_POLICY_VIOLATION, why);
	return false;
}

struct next s2s_in_wait_for_stream(struct fsm *f, struct term *e)
{
	struct s2s_in *c = s2s_in_of(f);
	const struct stream_opened *o = e->data;
	enum stream_condition error = STREAM_BAD_FORMAT;
	const struct elem *head;
	enum version version;

	if (e->kind != S2S_IN_OPENED)
		return s2s_in_fail(c, STREAM_BAD_FORMAT, NULL);
	head = o->head->root;
	if (strcmp(head->ns, NS_STREAM) || strcmp(o->default_ns, NS_SERVER))
		return s2s_in_fail(c, STREAM_INVALID_NAMESPACE, NULL); /* §4.8 */
	version = read_version(elem_attr(head, "version"));
	if (strcmp(head->name, "stream") || !take_to(c, elem_attr(head, "to"), version, &error) ||
		!take_from(c, elem_attr(head, "from"), &error))
		return s2s_in_fail(c, error, NULL);
	stream_send_header(&c->stream, c->ours, c->theirs, lang_pick(o->head->lang, "en"));
	if (!is_welcome(c))
		return fsm_same();
	if (version == VERSION_BAD)
		return s2s_in_fail(c, STREAM_UNSUPPORTED_VERSION, NULL);
	if (!c->pairs.n && sysmon_memory_short()) /* §4.9.3.17 */
		return s2s_in_fail(c, STREAM_RESOURCE_CONSTRAINT, "The server is short of memory.");
	if (version == VERSION_1)
		send_features(c);
	if (c->proven)
		s2s_in_authorise(c, c->theirs, c->ours, S2S_IN_BY_CERTIFICATE);
	return fsm_next(c->pairs.n ? S2S_IN_STREAM_ESTABLISHED : S2S_IN_WAIT_FOR_FEATURE_REQUEST);
}

/* --- what may be asked for ----------------------------------------------------------------- */

ON_SHARD static struct next begin_starttls(struct s2s_in *c)
{
	struct builder b;

	if (!may_starttls(c) || c->asking) { /* §5.4.2.2 */
		build_begin(&b, "failure", NS_TLS);
		stream_send_element(&c->stream, &b);
		stream_close(&c->stream);
		return fsm_same();
	}
	stream_start_tls(&c->stream, c->options->tls, &tls_offer_to_servers);
	return fsm_next(S2S_IN_WAIT_FOR_STREAM);
}

/* XEP-0478 §4.2: in <bidi/>, for want of features that go this way. */
static uint64_t read_max_bytes(const struct elem *bidi, struct arena *a)
{
	const struct elem *limits = elem_child(bidi, "limits", NS_LIMITS);
	const char *text = limits ? elem_child_text(limits, "max-bytes", NS_LIMITS, a) : NULL;

	return text ? strtoull(text, NULL, 10) : 0;
}

/* XEP-0288 §2.2. Pairs that there are already go both ways from now on, too. */
ON_SHARD static struct next begin_bidi(struct s2s_in *c, struct stanza *s)
{
	if (c->bidi || s2s_in_tls_missing(c, c->ours) || !s2s_both_ways(c->ours))
		return fsm_same();
	c->bidi = true;
	c->peer_max_bytes = read_max_bytes(s->root, &s->arena);
	if (c->pairs.n)
		s2s_in_go_both_ways(c);
	return fsm_same();
}

struct next s2s_in_element(struct s2s_in *c, struct stanza *s)
{
	if (elem_is(s->root, "starttls", NS_TLS))
		return begin_starttls(c);
	if (elem_is(s->root, NULL, NS_SASL))
		return s2s_in_sasl(c, s);
	if (elem_is(s->root, NULL, NS_DIALBACK))
		return s2s_in_dialback(c, s);
	if (elem_is(s->root, "bidi", NS_BIDI))
		return begin_bidi(c, s);
	if (elem_is(s->root, NULL, NS_SM))
		return s2s_in_sm_element(c, s);
	return s2s_in_fail(c, STREAM_UNSUPPORTED_STANZA_TYPE, NULL); /* §4.9.3.24 */
}

struct next s2s_in_wait_for_feature_request(struct fsm *f, struct term *e)
{
	struct s2s_in *c = s2s_in_of(f);
	struct stanza *s = e->data;
	struct next next;

	if (e->kind == S2S_IN_VERIFIED)
		return s2s_in_verified(c, e->data);
	if (e->kind != S2S_IN_STANZA)
		return s2s_in_fail(c, STREAM_BAD_FORMAT, NULL);
	if (s->kind == STANZA_OTHER)
		next = s2s_in_element(c, s);
	else
		next = s2s_in_fail(c, STREAM_NOT_AUTHORIZED, NULL); /* §4.9.3.12 */
	stanza_unref(s);
	return next;
}
