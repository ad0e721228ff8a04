/* net/service.c - an external component's stream, from its header to its end. */
#include "net/service.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fsm.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/timer.h"
#include "net/acceptor.h"
#include "net/crowd.h"
#include "net/limits.h"
#include "router/access.h"
#include "router/component.h"
#include "router/deliver.h"
#include "router/message.h"
#include "router/route.h"

#define SHA1_HEX 40

struct service {
	struct fsm fsm; /* the actor is in it */
	struct stream stream;
	struct cds_list_head on_shard; /* net/crowd.h's */
	struct listener *listener; /* counted */
	struct listener_options *options; /* counted */
	struct conf_prefix address;
	uint16_t port;
	bool limited; /* counts in net/limits.h */
	struct jid *domain; /* owned; of the stream header; NULL before */
	struct component *served; /* owned; the first is domain's; NULL: none, or no more */
	struct timer timer; /* the negotiation's end */
};

enum service_state { WAIT_FOR_STREAM, WAIT_FOR_HANDSHAKE, STREAM_ESTABLISHED };
enum service_event {
	SERVICE_OPENED, /* data: struct stream_opened */
	SERVICE_STANZA, /* data: struct stanza, taken */
	SERVICE_CLAIMED, /* data: struct component, the domains it has got, taken; NULL: none */
};

int64_t service_count(void)
{
	return crowd_count(LISTEN_SERVICE);
}

static struct metric count_metric = METRIC_GAUGE_READ(
	"component_streams", "Streams of components, with a domain or not yet.", service_count);
static struct metric received_metrics[] = {
	METRIC_COUNTER_OF("component_stanzas_received_total", "kind=\"message\"",
		"Stanzas from external components."),
	METRIC_COUNTER_OF("component_stanzas_received_total", "kind=\"presence\"",
		"Stanzas from external components."),
	METRIC_COUNTER_OF("component_stanzas_received_total", "kind=\"iq\"",
		"Stanzas from external components."),
};
static struct metric sent_metric = METRIC_COUNTER(
	"component_stanzas_sent_total", "Stanzas given to streams of external components.");
static struct metric refused_metric = METRIC_COUNTER(
	"component_handshakes_failed_total", "Handshakes of components with a wrong secret.");

static void register_metrics(void)
{
	metric_register(&count_metric);
	for (size_t i = 0; i < ARRAY_LEN(received_metrics); i++)
		metric_register(&received_metrics[i]);
	metric_register(&sent_metric);
	metric_register(&refused_metric);
}

static struct service *service_of(struct fsm *f)
{
	return container_of(f, struct service, fsm);
}

static struct service *in_crowd(struct cds_list_head *stream)
{
	return container_of(stream, struct service, on_shard);
}

/* --- in the log ---------------------------------------------------------------------------- */

struct names {
	char connection[24], address[CONF_ADDRESS_TEXT_MAX];
};

static void names_write(const struct service *c, struct names *n)
{
	snprintf(n->connection, sizeof(n->connection), "c%" PRIx64, c->fsm.gen.actor.id.v);
	conf_address_write(&c->address, n->address);
}

#define service_log(c, level_, what, ...)                                                          \
	do {                                                                                       \
		struct names names_;                                                               \
		if (unlikely(                                                                      \
			    atomic_load_explicit(&log_level, memory_order_relaxed) >= (level_))) { \
			names_write((c), &names_);                                                 \
			log_at((level_), "service", what, L_STR("connection", names_.connection),  \
				L_STR("address", names_.address),                                  \
				L_STR("domain", (c)->domain ? jid_domain((c)->domain) : ""),       \
				##__VA_ARGS__);                                                    \
		}                                                                                  \
	} while (0)

/* --- ending -------------------------------------------------------------------------------- */

/* Nothing is delivered to it any more. Idempotent. */
ON_SHARD static void service_leave(struct service *c)
{
	struct component *served = c->served;

	if (!served)
		return;
	c->served = NULL;
	component_gone(served);
	for (struct component *p = served; p; p = p->next)
		hook_run(component_hooks(), &component_left_hook, p);
	component_release(served);
}

ON_SHARD static struct next service_fail(
	struct service *c, enum stream_condition cond, const char *text)
{
	service_log(c, LOG_LEVEL_INFO, "stream error",
		L_STR("condition", stream_condition_name(cond)), L_STR("text", text));
	service_leave(c);
	stream_error(&c->stream, cond, text);
	return fsm_same();
}

static void service_terminate(struct fsm *f, const char *reason UNUSED)
{
	struct service *c = service_of(f);

	shard_check(NULL);
	service_leave(c);
	timer_cancel(&c->timer);
	crowd_leave(LISTEN_SERVICE, &c->on_shard);
	accepted_release(c->listener, c->options, &c->address, c->limited);
	stream_end(&c->stream);
	jid_free(c->domain);
}

static void service_drop(struct fsm *f)
{
	free(service_of(f));
}

static void lost(struct stream *st, enum conn_loss why)
{
	struct service *c = container_of(st, struct service, stream);

	shard_check(NULL);
	service_log(c, c->served ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "connection ended",
		L_STR("why", conn_loss_text(why)),
		L_STR("tls", st->conn.tls && why == CONN_FAILED ? tls_error(st->conn.tls) : ""));
	fsm_stop_now(&c->fsm, STOP_NORMAL);
}

static void unsent(struct stream *st, struct stanza *s)
{
	shard_check(NULL);
	service_leave(container_of(st, struct service, stream));
	deliver_failed(s, DELIVER_SURE);
}

/* --- what comes from the component --------------------------------------------------------- */

static void opened(struct stream *st, const struct stanza *head, const char *default_ns)
{
	struct service *c = container_of(st, struct service, stream);
	struct stream_opened data = { head, default_ns };

	shard_check(NULL);
	fsm_event_now(&c->fsm, &(struct term){ .kind = SERVICE_OPENED, .data = &data });
}

static void stanza(struct stream *st, struct stanza *s)
{
	struct service *c = container_of(st, struct service, stream);

	shard_check(NULL);
	if (s->kind < ARRAY_LEN(received_metrics))
		metric_add(&received_metrics[s->kind], 1);
	fsm_event_now(&c->fsm, &(struct term){ .kind = SERVICE_STANZA, .data = s });
	if (deliver_congested())
		conn_rest(&st->conn, 1);
}

static void broken(struct stream *st, enum stream_condition condition, const char *text)
{
	shard_check(NULL);
	service_fail(container_of(st, struct service, stream), condition, text);
}

static void ended(struct stream *st)
{
	shard_check(NULL);
	service_leave(container_of(st, struct service, stream));
	stream_close(st);
}

static void secured(struct stream *st)
{
	struct service *c = container_of(st, struct service, stream);
	struct tls_info info;

	shard_check(NULL);
	tls_info(st->conn.tls, &info);
	service_log(c, LOG_LEVEL_DEBUG, "encrypted", L_STR("version", info.version),
		L_STR("cipher", info.cipher));
}

static const struct stream_events stream_calls = {
	.opened = opened,
	.stanza = stanza,
	.ended = ended,
	.broken = broken,
	.secured = secured,
	.unsent = unsent,
	.lost = lost,
};

/* --- wait_for_stream ----------------------------------------------------------------------- */

/* The secret of a domain; NULL: it is not served here. */
static const char *secret_of(const struct listen_conf *conf, const char *domain)
{
	const struct listen_domain *at = conf->hosts.at;

	for (size_t i = 0; i < conf->hosts.n; i++)
		if (!strcmp(at[i].name, domain))
			return at[i].password ? at[i].password : conf->password;
	return conf->hosts.n ? NULL : conf->password;
}

/* The domain asked for; what is wrong with it goes into *error. */
ON_SHARD static bool take_domain(struct service *c, const char *to, enum stream_condition *error)
{
	const char *domain;

	*error = STREAM_IMPROPER_ADDRESSING;
	if (!to || jid_parse(to, strlen(to), NULL, &c->domain))
		return false;
	*error = STREAM_HOST_UNKNOWN;
	domain = jid_domain(c->domain);
	if (!jid_is_domain(c->domain) || !secret_of(&c->options->conf, domain))
		return false;
	*error = STREAM_CONFLICT;
	return !route_has(domain) || component_find(domain);
}

static struct next wait_for_stream(struct fsm *f, struct term *e)
{
	struct service *c = service_of(f);
	const struct stream_opened *o = e->data;
	enum stream_condition error;
	const struct elem *head;

	shard_check(NULL);
	if (e->kind != SERVICE_OPENED)
		return service_fail(c, STREAM_BAD_FORMAT, NULL);
	head = o->head->root;
	if (strcmp(head->ns, NS_STREAM) || strcmp(o->default_ns, NS_COMPONENT))
		return service_fail(c, STREAM_INVALID_NAMESPACE, NULL);
	if (strcmp(head->name, "stream"))
		return service_fail(c, STREAM_BAD_FORMAT, NULL);
	if (!take_domain(c, elem_attr(head, "to"), &error))
		return service_fail(c, error, NULL);
	stream_send_header(&c->stream, jid_domain(c->domain), NULL, NULL);
	return fsm_next(WAIT_FOR_HANDSHAKE);
}

/* --- wait_for_handshake -------------------------------------------------------------------- */

/* XEP-0114 §3: of the stream's id and the secret, in hexadecimal. */
ON_SHARD static void digest_write(const struct service *c, char out[SHA1_HEX + 1])
{
	const char *secret = secret_of(&c->options->conf, jid_domain(c->domain));
	AUTO(free_ptr) char *text = xprintf("%016" PRIx64 "%s", c->stream.id, secret);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;

	REQUIRE(EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL) == 1);
	OPENSSL_cleanse(text, strlen(text));
	for (unsigned i = 0; i < len; i++)
		sprintf(out + i * 2, "%02x", digest[i]);
}

ON_SHARD static bool handshake_fits(const struct service *c, struct stanza *s)
{
	const char *given = elem_text(s->root, &s->arena);
	char want[SHA1_HEX + 1];

	digest_write(c, want);
	return strlen(given) == SHA1_HEX && !CRYPTO_memcmp(given, want, SHA1_HEX);
}

/* How many wrong guesses an address may make is as for clients, of the host that answers for all.
 */
ON_SHARD static const struct host_conf *guessing_rules(void)
{
	struct host *h = route_host(route_own_name());

	return h ? rcu_get(h->conf) : NULL;
}

ON_SHARD static bool is_allowed(const struct service *c)
{
	const struct access_subject who = { c->domain, &c->address };

	return !c->options->conf.access || access_allowed(c->options->conf.access, "", &who);
}

static void kick_replaced(struct actor_id stream)
{
	service_kick(stream, STREAM_CONFLICT, "Replaced by new connection");
}

ON_SHARD static struct component *ask_for(struct service *c, const struct jid *domain)
{
	struct component *p = component_new(domain, c->fsm.gen.actor.id);

	p->address = c->address;
	p->port = c->port;
	p->tls = c->stream.conn.tls != NULL;
	p->replaced = kick_replaced;
	return p;
}

static void claimed(struct actor_id stream, struct component *got)
{
	struct actor *a;
	struct service *c;

	shard_check(NULL);
	a = actor_find(stream);
	c = a ? container_of(a, struct service, fsm.gen.actor) : NULL;
	if (!c || stream_closing(&c->stream)) {
		component_release(got);
		return;
	}
	fsm_event_now(&c->fsm, &(struct term){ .kind = SERVICE_CLAIMED, .data = got });
	if (!stream_closing(&c->stream))
		stream_go_on(&c->stream);
}

/* Its domain and, if that is asked for, all others of the listener. */
ON_SHARD static void claim(struct service *c)
{
	const struct listen_conf *conf = &c->options->conf;
	const struct listen_domain *at = conf->hosts.at;
	struct component *list = ask_for(c, c->domain), **end = &list->next;

	for (size_t i = 0; conf->global_routes && i < conf->hosts.n; i++) {
		struct jid *other;

		if (!strcmp(at[i].name, jid_domain(c->domain)) ||
			jid_make(NULL, at[i].name, NULL, NULL, &other))
			continue;
		*end = ask_for(c, other);
		end = &(*end)->next;
		jid_free(other);
	}
	stream_wait(&c->stream);
	component_claim(list, conf->domain_conflict, claimed);
}

ON_SHARD static struct next check_handshake(struct service *c, struct stanza *s)
{
	const struct host_conf *rules = guessing_rules();
	bool blocked = rules && limits_login_blocked(&c->address, rules->auth_fails);

	if (!elem_is(s->root, "handshake", NS_CLIENT))
		return service_fail(c, STREAM_NOT_AUTHORIZED, "A handshake comes first.");
	if (blocked || !handshake_fits(c, s)) {
		metric_add(&refused_metric, 1);
		if (rules && !blocked)
			limits_login_failed(&c->address, rules->auth_fail_window_ms);
		return service_fail(
			c, STREAM_NOT_AUTHORIZED, blocked ? "Too many failed logins." : NULL);
	}
	if (!is_allowed(c))
		return service_fail(c, STREAM_NOT_AUTHORIZED, "Not by the access rule.");
	claim(c);
	return fsm_same();
}

ON_SHARD static void apply_limits(struct service *c)
{
	const struct parser_limits limits = listener_limits(&c->options->conf);

	parser_set_limits(c->stream.parser, &limits);
	c->stream.conn.out_max_held = (uint64_t)c->options->conf.max_out_bytes;
	if (c->limited)
		limits_end(&c->address);
	c->limited = false;
	timer_cancel(&c->timer);
}

ON_SHARD static struct next establish(struct service *c, struct component *got)
{
	struct builder b;

	if (!got)
		return service_fail(c, STREAM_CONFLICT, NULL);
	c->served = got;
	apply_limits(c);
	build_begin(&b, "handshake", NS_CLIENT);
	stream_send_element(&c->stream, &b);
	service_log(c, LOG_LEVEL_INFO, "component connected");
	for (struct component *p = got; p; p = p->next)
		hook_run(component_hooks(), &component_connected_hook, p);
	return fsm_next(STREAM_ESTABLISHED);
}

static struct next wait_for_handshake(struct fsm *f, struct term *e)
{
	struct service *c = service_of(f);
	struct next next;

	shard_check(NULL);
	if (e->kind == SERVICE_CLAIMED)
		return establish(c, e->data);
	if (e->kind != SERVICE_STANZA)
		return service_fail(c, STREAM_BAD_FORMAT, NULL);
	next = check_handshake(c, e->data);
	stanza_unref(e->data);
	return next;
}

/* --- stream_established -------------------------------------------------------------------- */

/* The domain among its own that from belongs to; without check_from it may speak for any other, and
 * that counts as its own. */
ON_SHARD static struct component *speaks_as(const struct service *c, const struct jid *from)
{
	for (struct component *p = c->served; p; p = p->next)
		if (!strcmp(jid_domain(p->jid), jid_domain(from)))
			return p;
	return c->options->conf.check_from ? NULL : c->served;
}

/* Back to the component, whatever from says. */
ON_SHARD static void refuse(struct service *c, struct stanza *s, int error)
{
	struct builder b;
	struct stanza *answer;

	if (s->type == MSG_ERROR || s->type == PRES_ERROR || s->type == IQ_ERROR ||
		s->type == IQ_RESULT)
		return;
	build_error(&b, s, error, NULL);
	answer = build_end(&b);
	stream_send_stanza(&c->stream, answer);
	stanza_unref(answer);
}

/* Takes s. */
ON_SHARD static struct next from_component(struct service *c, struct stanza *s)
{
	enum stream_condition wrong = s->kind == STANZA_OTHER ? STREAM_UNSUPPORTED_STANZA_TYPE
		: s->faults & STANZA_BAD_FROM                 ? STREAM_INVALID_FROM
							      : STREAM_IMPROPER_ADDRESSING;
	struct component *as = s->from ? speaks_as(c, s->from) : NULL;
	bool addressed = s->to || s->faults & STANZA_BAD_TO;
	int error;

	if (s->kind == STANZA_OTHER || !s->from || !addressed) {
		stanza_unref(s);
		return service_fail(c, wrong, NULL);
	}
	if (!as) {
		stanza_unref(s);
		return service_fail(c, STREAM_INVALID_FROM, NULL);
	}
	atomic_fetch_add_explicit(&as->received, 1, memory_order_relaxed);
	error = route_unfit(s);
	if (!error) {
		route_foreign(s);
		return fsm_same();
	}
	stanza_seal(s);
	refuse(c, s, error);
	stanza_unref(s);
	return fsm_same();
}

static struct next stream_established(struct fsm *f, struct term *e)
{
	struct service *c = service_of(f);

	shard_check(NULL);
	if (e->kind != SERVICE_STANZA)
		return service_fail(c, STREAM_BAD_FORMAT, NULL);
	return from_component(c, e->data);
}

/* --- what comes from the router ------------------------------------------------------------ */

static bool receive(struct actor *a, struct stanza *s, enum deliver_copies copies)
{
	struct service *c = container_of(a, struct service, fsm.gen.actor);
	struct component *to = c->served;

	shard_check(NULL);
	if (!to || stream_closing(&c->stream)) {
		service_leave(c); /* before the router looks for another receiver */
		return false;
	}
	while (to->next && strcmp(jid_domain(to->jid), jid_domain(s->to)))
		to = to->next;
	atomic_fetch_add_explicit(&to->sent, 1, memory_order_relaxed);
	metric_add(&sent_metric, 1);
	conn_write(&c->stream.conn, stanza_wire(s), copies == DELIVER_SURE ? s : NULL);
	message_taken(s);
	return true;
}

static uint64_t held_bytes(struct actor *a)
{
	shard_check(NULL);
	return stream_held_bytes(&container_of(a, struct service, fsm.gen.actor)->stream);
}

static struct session *session_of(struct actor *a UNUSED)
{
	return NULL;
}

static const struct recipient recipient = {
	.receive = receive,
	.session = session_of,
	.held_bytes = held_bytes,
};

/* --- beginning ----------------------------------------------------------------------------- */

static const struct fsm_state states[] = {
	[WAIT_FOR_STREAM] = { "wait_for_stream", wait_for_stream },
	[WAIT_FOR_HANDSHAKE] = { "wait_for_handshake", wait_for_handshake },
	[STREAM_ESTABLISHED] = { "stream_established", stream_established },
};
static const struct fsm_class class = {
	.gen = { .actor = { .name = "service",
			 .behaviour = &fsm_behaviour,
			 .recipient = &recipient },
		.version = 1,
		.bytes = sizeof(struct service) },
	FSM_STATES(states),
	.terminate = service_terminate,
	.drop = service_drop,
};

static void timer_fired(struct timer *t)
{
	struct service *c = container_of(t, struct service, timer);

	shard_check(NULL);
	if (!stream_closing(&c->stream))
		service_fail(c, STREAM_CONNECTION_TIMEOUT, "The handshake took too long.");
}

/* As its listener says by now; where that is closed and the rules have lost what it said, as ever.
 */
ON_SHARD static void shape(struct service *c)
{
	const char *shaper = rcu_get(c->listener->options)->conf.shaper;
	const struct access_subject who = { c->domain, &c->address };

	if (!shaper)
		conn_change_shaper(&c->stream.conn, (struct shaper_rate){ 0 });
	else if (access_knows_shaper(shaper))
		conn_change_shaper(&c->stream.conn, shaper_rate_for(shaper, "", &who));
}

void service_accepted(struct msg *m)
{
	struct accepted *a = container_of(m, struct accepted, msg);
	const struct parser_limits limits = listener_first_limits(&a->options->conf);
	struct service *c = xcalloc(1, sizeof(*c));

	shard_check(NULL);
	if (stream_begin(&c->stream, a->fd, STREAM_FROM_COMPONENT, &limits, &stream_calls)) {
		accepted_release(a->listener, a->options, &a->address, true);
		free(c);
		free(a);
		return;
	}
	c->listener = a->listener;
	c->options = a->options;
	c->limited = true;
	c->address = a->address;
	c->port = a->port;
	free(a);
	timer_init(&c->timer, timer_fired);
	crowd_join(LISTEN_SERVICE, &c->on_shard);
	register_metrics();
	fsm_start(&c->fsm, &class, NULL, NULL);
	service_log(c, LOG_LEVEL_DEBUG, "connected", L_INT("port", c->port));
	if (c->options->conf.shaper)
		shape(c);
	timer_set(&c->timer, (uint64_t)c->options->conf.negotiation_timeout_ms);
	if (c->options->conf.tls &&
		conn_start_tls(&c->stream.conn, c->options->tls, NULL, TLS_DIRECT, NULL))
		service_fail(c, STREAM_INTERNAL_SERVER_ERROR, "There is no certificate.");
}

/* --- from elsewhere ------------------------------------------------------------------------ */

struct kick {
	struct letter letter;
	enum stream_condition condition;
	const char *text;
};

static void kick_open(struct actor *a, struct letter *l)
{
	struct kick *k = container_of(l, struct kick, letter);

	shard_check(NULL);
	if (a)
		service_fail(container_of(a, struct service, fsm.gen.actor), k->condition, k->text);
	free(k);
}

void service_kick(struct actor_id id, enum stream_condition c, const char *text)
{
	struct kick *k = xcalloc(1, sizeof(*k));

	k->letter.to = id;
	k->letter.open = kick_open;
	k->condition = c;
	k->text = text;
	letter_post(&k->letter);
}

static void kick_one(struct cds_list_head *stream, void *condition)
{
	shard_check(NULL);
	service_fail(in_crowd(stream), *(enum stream_condition *)condition, NULL);
}

void service_kick_all(enum stream_condition c)
{
	crowd_tell(LISTEN_SERVICE, kick_one, &c, sizeof(c));
}

static void shape_one(struct cds_list_head *stream, void *unused UNUSED)
{
	shard_check(NULL);
	shape(in_crowd(stream));
}

void service_shape_all(void)
{
	crowd_tell(LISTEN_SERVICE, shape_one, NULL, 0);
}
