/* The hooks of streams before login as the stream runs them: features are gathered from all, a
 * request is answered by the first who knows it. */
#include "router/prelogin.h"

#include <stdlib.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "tests/support/asking.h"

static struct hook_set *host;

static void begin(void)
{
	rcu_thread_begin();
	host = hook_set_new();
}

static void end(void)
{
	hook_set_free(host);
	rcu_wait_later();
	rcu_thread_end();
}

TestSuite(prelogin, .init = begin, .fini = end);

/* arg: the feature's name; offered under TLS only. */
static enum hook_next offer(void *subject, void *arg)
{
	struct stream_features *f = subject;

	if (f->tls) {
		build_open(f->features, arg, "urn:example:feature");
		build_close(f->features);
	}
	return HOOK_GO_ON;
}

/* What the features come to. The caller frees. */
static char *features(bool tls)
{
	struct builder b;
	struct stream_features f = { .features = &b, .tls = tls };
	struct buf *wire = NULL;
	char *text;

	build_begin(&b, "features", NS_STREAM);
	hook_run(host, &stream_features_hook, &f);
	elem_wire(b.stanza->root, "", &wire);
	text = strndup(wire->data, wire->len);
	buf_unref(wire);
	build_drop(&b);
	return text;
}

Test(prelogin, features_come_from_all_in_their_order)
{
	AUTO(free_ptr) char *none = NULL, *plain = NULL, *both = NULL;
	const char *first, *second;

	none = features(true);
	cr_expect_null(strstr(none, "urn:example:feature"));
	hook_add(host, &stream_features_hook, 60, offer, "second");
	hook_add(host, &stream_features_hook, 50, offer, "first");
	both = features(true);
	first = strstr(both, "<first ");
	second = strstr(both, "<second ");
	cr_expect(first && second && first < second, "%s", both);
	plain = features(false);
	cr_expect_str_eq(plain, none, "each looks at the stream it is asked about");
}

struct answerer {
	const char *ns;
	unsigned asked;
};

static enum hook_next answer(void *subject, void *arg)
{
	struct prelogin_iq *q = subject;
	struct answerer *a = arg;

	a->asked++;
	return strcmp(stanza_iq_child(q->iq)->ns, a->ns) == 0 ? HOOK_STOP : HOOK_GO_ON;
}

static enum hook_next ask_namespace(const char *ns)
{
	AUTO(free_ptr)
	char *text = xprintf("<iq xmlns='jabber:client' type='get' id='1'>"
			     "<query xmlns='%s'/></iq>",
		ns);
	struct prelogin_iq q = { .iq = parse_sealed(text) };
	enum hook_next next = hook_run(host, &prelogin_iq_hook, &q);

	stanza_unref(q.iq);
	return next;
}

Test(prelogin, a_request_is_answered_once)
{
	struct answerer registering = { "jabber:iq:register", 0 };
	struct answerer again = { "jabber:iq:register", 0 }, other = { "jabber:iq:auth", 0 };

	cr_expect_eq(ask_namespace("jabber:iq:register"), HOOK_GO_ON, "nobody: the stream does");
	hook_add(host, &prelogin_iq_hook, 50, answer, &registering);
	hook_add(host, &prelogin_iq_hook, 51, answer, &again);
	hook_add(host, &prelogin_iq_hook, 52, answer, &other);
	cr_expect_eq(ask_namespace("jabber:iq:register"), HOOK_STOP);
	cr_expect_eq(registering.asked, 1);
	cr_expect_eq(again.asked, 0, "the first has answered");
	cr_expect_eq(ask_namespace("jabber:iq:auth"), HOOK_STOP);
	cr_expect_eq(other.asked, 1);
	cr_expect_eq(ask_namespace("jabber:iq:roster"), HOOK_GO_ON);
	cr_expect_eq(other.asked, 2);
}
