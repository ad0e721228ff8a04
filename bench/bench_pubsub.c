/* bench/bench_pubsub.c - nodes with N subscribers each (XEP-0060); one of them publishes, and all
 * are told, the publisher too. At the domain's service where there is one, else on the first user's
 * account (XEP-0163). Each subscriber gets each item once, in order. */
#include <stdio.h>
#include <string.h>

#include "bench/bench_ask.h"
#include "bench/bench_fanout.h"
#include "bench/bench_number.h"
#include "bench/bench_step.h"

#define NS_PUBSUB "http://jabber.org/protocol/pubsub"
#define NS_OWNER NS_PUBSUB "#owner"
#define FIELD(name, value) "<field var='" name "'><value>" value "</value></field>"
/* What is published is passed on and not kept, so that it is the fan-out that is measured. */
#define NODE_CONFIG                                                                      \
	"<configure><x xmlns='jabber:x:data' type='submit'>"                             \
	"<field var='FORM_TYPE' type='hidden'><value>" NS_PUBSUB                         \
	"#node_config</value></field>" FIELD("pubsub#access_model", "open")              \
		FIELD("pubsub#publish_model", "open") FIELD("pubsub#persist_items", "0") \
			FIELD("pubsub#send_last_published_item", "never") "</x></configure>"

static struct {
	char service[256];
	struct fanout out;
	bool subscribing;
} pubsub;

/* The name of the node of this client's group. */
static const char *node_of(const struct client *c)
{
	static char name[80];

	snprintf(name, sizeof(name), "%s-%u", run_tag(), c->number / c->loop->options->fanout);
	return name;
}

static bool refused(struct client *c, const char *text)
{
	if (answer_is_result(text))
		return false;
	fanout_wrong(&pubsub.out, c, "refused", *text ? text : "no answer");
	return true;
}

/* The first user makes all nodes, one after the other: some servers let few do it, and some do not
 * like several being made at once. */
static bool for_each_node(struct bench *b, const char *ns, const char *tag, const char *behind)
{
	char payload[1200];

	for (unsigned i = 0; i < pubsub.out.n; i++) {
		snprintf(payload, sizeof(payload), "<pubsub xmlns='%s'><%s node='%s'/>%s</pubsub>",
			ns, tag, node_of(pubsub.out.fans[i].from), behind);
		if (refused(b->clients, ask(b->clients, "set", pubsub.service, payload)))
			return false;
	}
	return true;
}

static void begin_request(struct client *c)
{
	client_sendf(c, "<iq type='set' id='pub' to='%s'><pubsub xmlns='" NS_PUBSUB "'>",
		pubsub.service);
}

static void begin_subscribe(struct client *c)
{
	char own[300];

	bare_jid(c, own, sizeof(own));
	begin_request(c);
	client_sendf(c, "<subscribe node='%s' jid='%s'/></pubsub></iq>", node_of(c), own);
}

static void publish(struct fan *f, uint64_t number)
{
	struct client *c = f->from;

	begin_request(c);
	client_sendf(c,
		"<publish node='%s'><item id='%llu'>"
		"<entry xmlns='http://www.w3.org/2005/Atom'><title>",
		node_of(c), (unsigned long long)number);
	send_numbered(c, number);
	client_sendf(c, "</title></entry></item></publish></pubsub></iq>");
}

static void pubsub_ready(struct client *c)
{
	step_done(bench_of(c));
}

static void answered(struct client *c, const char *text)
{
	bool good = !refused(c, text);

	if (pubsub.subscribing && good)
		step_done(bench_of(c));
	else if (pubsub.subscribing)
		step_fail(bench_of(c));
}

static void pubsub_stanza(struct client *c, const char *text)
{
	unsigned subscribers = c->loop->options->fanout;
	uint64_t number;

	if (!strncmp(text, "<iq", 3) && attr_is(text, "id", "pub"))
		answered(c, text);
	else if (!strncmp(text, "<message", 8) && strstr(text, "<item ") &&
		read_numbered(strstr(text, "<item "), &number))
		fanout_got(&pubsub.out, &pubsub.out.fans[c->number / subscribers],
			c->number % subscribers, number, c, text);
}

static void pubsub_closed(struct client *c, const char *why)
{
	fanout_wrong(&pubsub.out, c, "connection lost", why ? why : "");
	step_fail(bench_of(c));
}

static const struct client_events pubsub_events = { pubsub_ready, pubsub_stanza, pubsub_closed };

static bool prepare(struct bench *b)
{
	bool good;

	if (!for_each_node(b, NS_PUBSUB, "create", NODE_CONFIG))
		return false;
	pubsub.subscribing = true;
	good = step_run(b, 0, 1, begin_subscribe);
	pubsub.subscribing = false;
	return good;
}

static bool pubsub_run(struct bench *b)
{
	unsigned subscribers = b->options->fanout, nodes = b->options->users / subscribers;
	bool good;

	if (!nodes || b->options->users % subscribers) {
		fprintf(stderr, "linnet-bench: pubsub needs a multiple of %u users\n", subscribers);
		return false;
	}
	if (!step_login_one(b, 0, &pubsub_events))
		return false;
	if (!ask_for_service(
		    b->clients, "pubsub", NS_PUBSUB, pubsub.service, sizeof(pubsub.service))) {
		bare_jid(b->clients, pubsub.service, sizeof(pubsub.service));
		if (!ask_has_identity(b->clients, NULL, "pubsub", "pep"))
			return bench_not_offered(b,
				"no service with the feature " NS_PUBSUB ", nor accounts with it");
	}
	fanout_init(&pubsub.out, nodes);
	for (unsigned i = 0; i < nodes; i++)
		fanout_fan(&pubsub.out, i, &b->clients[i * subscribers], subscribers, publish);
	good = step_login(b, 1, 1, &pubsub_events) && prepare(b) &&
		fanout_run(&pubsub.out, b, "item") && for_each_node(b, NS_OWNER, "delete", "");
	bench_close_all(b);
	fanout_fini(&pubsub.out);
	return good;
}

const struct scenario scenario_pubsub = { "pubsub",
	"Nodes of --fanout subscribers, one of each publishes (XEP-0060); each gets each item once "
	"and in order.",
	pubsub_run, .group_is_fanout = true };
