/* modules/push_send.c - telling app servers, and hearing from them: XEP-0357 §7. Done on job
 * threads, so that nobody waits for it; one after the other for each account. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "modules/message_log.h"
#include "modules/push_inside.h"
#include "router/session.h"
#include "xml/form.h"
#include "xml/parser.h"

#define ID_PREFIX "push-"
#define STATES 4096u /* nodes whose counts are remembered; more push each other out */
#define ASKED 4096u /* notifications whose answer is waited for, of the last ones */

static struct metric sent_metric =
	METRIC_COUNTER("push_sent_total", "Notifications sent to app servers.");
static struct metric held_metric = METRIC_COUNTER(
	"push_held_total", "Notifications not sent, because a node had max_rate of them.");
static struct metric failed_metric =
	METRIC_COUNTER("push_failed_total", "Notifications that app servers answered by an error.");
static struct metric given_up_metric = METRIC_COUNTER(
	"push_given_up_total", "Nodes that get nothing any more, because of errors.");
static struct metric lost_metric =
	METRIC_COUNTER("push_lost_total", "Notifications not sent, because too much waited.");

/* What is known of a node of an account's. */
struct state {
	uint64_t key; /* of account, service and node; 0: nobody's */
	uint64_t filled_ms;
	double tokens; /* notifications it may be sent now */
	uint32_t held; /* messages since the last one */
	uint32_t failures; /* in a row */
};
/* A notification on its way. */
struct asked {
	uint64_t number;
	uint64_t key;
	struct jid *bare, *service; /* owned */
	char *node; /* owned */
};
struct push_sender {
	_Atomic uint32_t refs;
	pthread_mutex_t lock; /* job threads' */
	uint64_t last; /* number */
	struct state states[STATES];
	struct asked asked[ASKED];
};

struct push_sender *push_sender_new(void)
{
	struct push_sender *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	metric_register(&sent_metric);
	metric_register(&held_metric);
	metric_register(&failed_metric);
	metric_register(&given_up_metric);
	metric_register(&lost_metric);
	pthread_mutex_init(&s->lock, NULL);
	s->last = clock_ms() << 16; /* not those of an instance before */
	return s;
}

static void asked_clear(struct asked *a)
{
	jid_free(a->bare);
	jid_free(a->service);
	free(a->node);
	*a = (struct asked){ 0 };
}

static struct push_sender *sender_ref(struct push_sender *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void push_sender_unref(struct push_sender *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < ASKED; i++)
		asked_clear(&s->asked[i]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- Which messages: §1, and what is kept anyway */

/* What a carbon copy (XEP-0280) holds of a message that somebody has sent to the account; NULL: of
 * one that the account has sent. */
static const struct elem *received(const struct elem *message)
{
	const struct elem *copy, *forwarded;

	if (elem_child(message, "sent", NS_CARBONS))
		return NULL;
	copy = elem_child(message, "received", NS_CARBONS);
	if (!copy)
		return message;
	forwarded = elem_child(copy, "forwarded", NS_FORWARD);
	return forwarded ? elem_child(forwarded, "message", NS_CLIENT) : NULL;
}

static bool has_text(const struct elem *message)
{
	return elem_child(message, "body", NS_CLIENT) || elem_child(message, "encrypted", NULL) ||
		elem_child(message, "x", "jabber:x:encrypted");
}

static const struct elem *worth_waking(const struct stanza *s, const struct push_conf *conf)
{
	const struct elem *message = s->kind == STANZA_MESSAGE ? received(s->root) : NULL;

	if (!message || s->type == MSG_ERROR || s->type == MSG_HEADLINE ||
		(s->from && s->to && jid_equal_bare(s->from, s->to) && message == s->root))
		return NULL;
	if (has_text(message))
		return message;
	return conf->notify_on == PUSH_ON_ALL && message == s->root &&
			message_worth(s) & MESSAGE_WORTH_KEEPING
		? message
		: NULL;
}

/* ---- Sending */

struct sending {
	struct job job;
	struct push_sender *sender; /* counted */
	struct host *host; /* counted */
	const struct push_conf *conf; /* held */
	struct jid *bare; /* owned */
	char *resource; /* owned; NULL: all of the account's services */
	struct stanza *stanza; /* counted */
	struct push_services *services; /* counted */
};

static void build_field(struct builder *b, const char *var, const char *value)
{
	build_open(b, "field", NULL);
	build_attr(b, "var", var);
	build_text(b, "value", value);
	build_close(b);
}

static void build_summary(struct builder *b, struct sending *p, uint32_t count)
{
	const struct elem *message = worth_waking(p->stanza, p->conf);
	const char *from = message ? elem_attr(message, "from") : NULL;
	const char *body =
		message ? elem_child_text(message, "body", NS_CLIENT, &b->stanza->arena) : NULL;
	char number[16];

	snprintf(number, sizeof(number), "%u", count);
	form_open(b, "form", "urn:xmpp:push:summary");
	build_field(b, "message-count", number);
	if (p->conf->include_sender && from)
		build_field(b, "last-message-sender", from);
	if (p->conf->include_body && body)
		build_field(b, "last-message-body", body);
	build_close(b);
}

static void build_options(struct builder *b, const char *options)
{
	struct parser_limits limits = { .depth = PARSER_DEPTH, .attrs = PARSER_ATTRS };
	struct stanza *form;

	limits.stanza_bytes = (uint32_t)strlen(options);
	if (!*options || parse_element(options, strlen(options), &limits, &form) != PARSER_OK)
		return;
	build_open(b, "publish-options", NULL);
	build_copy(b, form->root);
	build_close(b);
	stanza_unref(form);
}

static struct stanza *build_notification(
	struct sending *p, const struct push_service *to, uint64_t number, uint32_t count)
{
	struct builder b;
	char id[40];

	snprintf(id, sizeof(id), ID_PREFIX "%" PRIu64, number);
	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "set");
	build_attr(&b, "from", p->host->name);
	build_attr_jid(&b, "to", to->jid);
	build_attr(&b, "id", id);
	build_open(&b, "pubsub", NS_PUBSUB);
	build_open(&b, "publish", NULL);
	build_attr(&b, "node", *to->node ? to->node : NULL);
	build_open(&b, "item", NULL);
	build_open(&b, "notification", NS_PUSH);
	build_summary(&b, p, count);
	build_close(&b);
	build_close(&b);
	build_close(&b);
	build_options(&b, to->options);
	build_close(&b);
	return build_end(&b);
}

/* FNV-1a over the texts, with their ends. */
static uint64_t hash_text(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	while (*text++);
	return h;
}

static uint64_t key_of(const struct jid *bare, const struct push_service *to)
{
	uint64_t h = hash_text(0xcbf29ce484222325u, jid_local(bare));

	h = hash_text(hash_text(h, jid_local(to->jid)), jid_domain(to->jid));
	h = hash_text(hash_text(h, jid_resource(to->jid)), to->node);
	return h ? h : 1;
}

static struct state *state_of(struct push_sender *s, uint64_t key, int64_t rate)
{
	struct state *st = &s->states[key % STATES];
	uint64_t now = clock_ms();

	if (st->key != key)
		*st = (struct state){ .key = key, .filled_ms = now, .tokens = (double)rate };
	st->tokens += (double)(now - st->filled_ms) * (double)rate / 60000;
	if (st->tokens > (double)rate)
		st->tokens = (double)rate;
	st->filled_ms = now;
	return st;
}

/* Its number, and for how many messages it is; 0: not now. */
static uint64_t admit(struct sending *p, const struct push_service *to, uint32_t *out_count)
{
	struct push_sender *s = p->sender;
	uint64_t key = key_of(p->bare, to), number = 0;
	struct state *st;

	pthread_mutex_lock(&s->lock);
	st = state_of(s, key, p->conf->max_rate);
	*out_count = ++st->held;
	if (st->tokens >= 1) {
		struct asked *a;

		st->tokens -= 1;
		st->held = 0;
		number = ++s->last;
		a = &s->asked[number % ASKED];
		asked_clear(a);
		*a = (struct asked){ number, key, jid_dup(p->bare, NULL), jid_dup(to->jid, NULL),
			xstrdup(to->node) };
	}
	pthread_mutex_unlock(&s->lock);
	return number;
}

static void sending_work(struct job *j)
{
	struct sending *p = container_of(j, struct sending, job);

	job_check();
	for (unsigned i = 0; i < p->services->n; i++) {
		const struct push_service *to = &p->services->at[i];
		uint32_t count;
		uint64_t number;

		if (p->resource && strcmp(p->resource, to->resource) != 0)
			continue;
		number = admit(p, to, &count);
		metric_add(number ? &sent_metric : &held_metric, 1);
		if (number)
			route_post(build_notification(p, to, number, count));
	}
}

static void sending_done(struct job *j)
{
	struct sending *p = container_of(j, struct sending, job);

	push_sender_unref(p->sender);
	module_conf_drop(p->conf);
	host_unref(p->host);
	jid_free(p->bare);
	free(p->resource);
	stanza_unref(p->stanza);
	push_services_unref(p->services);
	free(p);
}

static bool has_service_of(const struct push_services *p, const char *resource)
{
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->at[i].resource, resource) == 0)
			return true;
	return false;
}

/* Whether it is sent, about. */
static bool notify(struct module_instance *mi, const struct account *a, const struct jid *bare,
	const char *resource, struct stanza *s)
{
	const struct push_services *services = account_part(a, &push_kind);
	struct sending *p;

	if (!services || (resource && !has_service_of(services, resource)) ||
		!worth_waking(s, module_conf(mi)))
		return false;
	p = xcalloc(1, sizeof(*p));
	p->job.work = sending_work;
	p->job.done = sending_done;
	p->sender = sender_ref(mi->data);
	p->host = host_ref(mi->host);
	p->conf = module_conf_hold(mi);
	p->bare = jid_bare(bare, NULL);
	p->resource = resource ? xstrdup(resource) : NULL;
	p->stanza = stanza_ref(s);
	p->services = push_services_ref(services);
	if (account_work(p->bare, &p->job)) {
		metric_add(&lost_metric, 1);
		sending_done(&p->job);
	}
	return true;
}

enum hook_next push_kept(void *subject, void *arg)
{
	const struct message_kept *k = subject;

	notify(arg, k->account, k->stanza->to, NULL, k->stanza);
	return HOOK_GO_ON;
}

enum hook_next push_away(void *subject, void *arg)
{
	const struct session_away *w = subject;

	return notify(arg, account_of(w->session), w->session->jid, jid_resource(w->session->jid),
		       w->stanza)
		? HOOK_STOP
		: HOOK_GO_ON;
}

/* ---- Answers: §7.1 */

struct answer {
	struct job job;
	struct push_sender *sender; /* counted */
	struct host *host; /* counted */
	const struct push_conf *conf; /* held */
	struct stanza *stanza; /* counted */
	struct asked asked; /* owned, once found */
};

/* One that may pass: the other side's server is away, or busy. */
static bool may_pass(const struct stanza *s)
{
	static const char *const passing[] = { "remote-server-not-found", "remote-server-timeout",
		"service-unavailable", "recipient-unavailable", "resource-constraint",
		"internal-server-error" };
	const struct elem *error = elem_child(s->root, "error", NULL);
	const char *type = error ? elem_attr(error, "type") : NULL;

	if (type && strcmp(type, "wait") == 0)
		return true;
	for (size_t i = 0; error && i < ARRAY_LEN(passing); i++)
		if (elem_child(error, passing[i], NS_STANZAS))
			return true;
	return false;
}

/* What was asked, taken; and whether the node is to be given up. */
static bool take_asked(struct answer *a, uint64_t number)
{
	struct push_sender *s = a->sender;
	struct asked *asked = &s->asked[number % ASKED];
	bool give_up = false;

	pthread_mutex_lock(&s->lock);
	if (asked->number == number && jid_equal(asked->service, a->stanza->from)) {
		struct state *st = &s->states[asked->key % STATES];

		a->asked = *asked;
		*asked = (struct asked){ 0 };
		if (st->key == a->asked.key)
			st->failures = a->stanza->type == IQ_RESULT ? 0 : st->failures + 1;
		give_up = a->stanza->type == IQ_ERROR &&
			(!may_pass(a->stanza) ||
				(st->key == a->asked.key && st->failures >= a->conf->max_failures));
		metric_add(&failed_metric, a->stanza->type == IQ_ERROR);
	}
	pthread_mutex_unlock(&s->lock);
	return give_up;
}

static void answer_done(struct job *j)
{
	struct answer *a = container_of(j, struct answer, job);

	asked_clear(&a->asked);
	push_sender_unref(a->sender);
	module_conf_drop(a->conf);
	host_unref(a->host);
	stanza_unref(a->stanza);
	free(a);
}

static void give_up_work(struct job *j)
{
	struct answer *a = container_of(j, struct answer, job);
	char service[JID_TEXT_MAX];

	job_check();
	jid_write(a->asked.service, service);
	log_info("push", "given up", L_STR("host", a->host->name),
		L_STR("user", jid_local(a->asked.bare)), L_STR("service", service),
		L_STR("node", a->asked.node));
	metric_add(&given_up_metric, 1);
	push_withdraw(a->host, a->asked.bare, service, a->asked.node);
}

static void answer_work(struct job *j)
{
	struct answer *a = container_of(j, struct answer, job);
	uint64_t number = strtoull(a->stanza->id + sizeof(ID_PREFIX) - 1, NULL, 10);
	struct answer *again;

	job_check();
	if (!take_asked(a, number))
		return;
	again = xcalloc(1, sizeof(*again)); /* in the account's own lane */
	again->job.work = give_up_work;
	again->job.done = answer_done;
	again->sender = sender_ref(a->sender);
	again->host = host_ref(a->host);
	again->stanza = stanza_ref(a->stanza);
	again->asked = a->asked;
	a->asked = (struct asked){ 0 };
	if (account_work(again->asked.bare, &again->job))
		answer_done(&again->job); /* it will fail again */
}

enum hook_next push_answered(void *subject, void *arg)
{
	struct module_instance *mi = arg;
	struct stanza *s = subject;
	struct answer *a;

	if (!s->id || strncmp(s->id, ID_PREFIX, sizeof(ID_PREFIX) - 1) != 0)
		return HOOK_GO_ON;
	a = xcalloc(1, sizeof(*a));
	a->job.work = answer_work;
	a->job.done = answer_done;
	a->sender = sender_ref(mi->data);
	a->host = host_ref(mi->host);
	a->conf = module_conf_hold(mi);
	a->stanza = stanza_ref(s);
	if (account_work(s->from, &a->job))
		answer_done(&a->job);
	return HOOK_STOP;
}
