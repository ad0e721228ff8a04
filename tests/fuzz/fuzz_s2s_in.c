/* Another server's bytes against a whole server in one process: stream header, dialback, stream
 * management, stanzas. The input begins with how far the stream has come: '0' it has just
 * connected, '1' its header was answered, anything else it may send for remote.example and goes
 * both ways. There is no way out to any server, so what it asks for about itself is refused.
 * Whatever it sends, what it gets is well-formed XML, a client is served still, and when it is gone
 * nothing of it is left. */
#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/registry.h"
#include "net/acceptor.h"
#include "net/limits.h"
#include "net/s2s_in.h"
#include "net/s2s_in_stream.h"
#include "router/account.h"
#include "router/directory.h"
#include "router/route.h"
#include "tests/support/on_shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPEN                                                                                     \
	"<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' to='localhost' " \
	"from='remote.example' version='1.0' xmlns:stream='http://etherx.jabber.org/streams'>"
#define BIDI "<bidi xmlns='urn:xmpp:bidi'/>"

static const char modules[] = "{ping: {}, version: {}, time: {}, disco: {}, echo: {}}";

/* --- the server --- */

static struct host *host;
static struct listener listener;
static struct listener_options options;
static const struct conf_prefix address = { .bytes = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
	.bits = 128 };

static void start_modules(void)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("modules", modules, sizeof(modules) - 1, e);

	REQUIRE(f && registry_start_host(host, conf_root(f), e) == 0);
	conf_file_free(f);
	conf_errors_free(e);
}

static void start_server(void)
{
	struct host_conf *conf = host_conf_new();

	job_check();
	rcu_thread_begin();
	log_level = LOG_LEVEL_NONE;
	directory_init();
	REQUIRE(jobs_start(1) == 0 && auth_start(NULL) == 0 && shards_start(1) == 0);
	accounts_start();
	conf->language = "en";
	conf->s2s_access = "all";
	conf->s2s_dialback = true;
	conf->sm = (struct sm_conf){ .resume_timeout_ms = 60000,
		.max_resume_timeout_ms = 60000,
		.max_ack_queue = 100,
		.max_ack_bytes = 1 << 20,
		.ack_timeout_ms = 60000 };
	host = host_new("localhost", conf);
	start_modules();
	REQUIRE(route_register_host(host) == 0);
	atomic_init(&options.refs, 1);
	options.conf = (struct listen_conf){ .max_stanza_size = 20000,
		.max_stanza_size_unauthenticated = 10000,
		.negotiation_timeout_ms = 3600000 };
	atomic_init(&listener.refs, 1);
	rcu_set(listener.options, &options);
}

static void pass_by(void *arg UNUSED)
{
}

/* The shard has seen what it was sent, and answered. */
static void settle(void)
{
	for (int i = 0; i < 4; i++)
		on_shard(0, pass_by, NULL);
}

/* For what a job thread or a clean end has a part in, too: some ten seconds of these are enough. */
#define TURNS 10000
static void wait_a_turn(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	nanosleep(&moment, NULL);
	settle();
}

static bool nobody_is_left(void)
{
	return s2s_in_count() == 0 && atomic_load(&listener.connections) == 0;
}

/* --- the other server --- */

struct visitor {
	int fd;
	struct buf *heard; /* all of it */
};

static void arrive(struct visitor *v)
{
	struct accepted *a = xcalloc(1, sizeof(*a));
	const int much = 4 << 20;
	int fd[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &much, sizeof(much));
	v->fd = fd[1];
	v->heard = buf_new(1024);
	REQUIRE(limits_begin(&address, 0));
	a->msg.run = s2s_in_accepted;
	a->fd = fd[0];
	a->listener = &listener;
	a->options = listener_options_ref(&options);
	a->address = address;
	atomic_fetch_add(&listener.refs, 1);
	atomic_fetch_add(&listener.connections, 1);
	shard_post(shard_at(0), &a->msg);
}

static void hear(struct visitor *v)
{
	static char room[65536];
	ssize_t n;

	while ((n = recv(v->fd, room, sizeof(room), 0)) > 0)
		buf_append(&v->heard, room, (size_t)n);
}

static void say(struct visitor *v, const char *text, size_t len)
{
	/* A server that has closed may not have read it all. */
	REQUIRE(send(v->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len || errno == EPIPE ||
		errno == ECONNRESET);
	settle();
	hear(v);
}

static void note(const struct s2s_in_info *info, void *arg)
{
	*(struct actor_id *)arg = info->id;
}

/* As if the authoritative server had said yes. */
static void believe(void *arg)
{
	struct s2s_question *q = xcalloc(1, sizeof(*q));
	struct s2s_in *c;

	shard_check(NULL);
	c = s2s_in_of_actor(actor_find(*(struct actor_id *)arg));
	REQUIRE(c);
	q->request = (struct s2s_request){ .from = "remote.example",
		.to = "localhost",
		.theirs = "remote.example",
		.ours = "localhost" };
	q->verify.verdict = S2S_VALID;
	fsm_event_now(&c->fsm, &(struct term){ .kind = S2S_IN_VERIFIED, .data = q });
	free(q);
}

static void come_so_far(struct visitor *v, uint8_t how_far)
{
	struct actor_id id = ACTOR_NONE;

	if (how_far == '0')
		return;
	say(v, OPEN, sizeof(OPEN) - 1);
	if (how_far == '1')
		return;
	say(v, BIDI, sizeof(BIDI) - 1);
	s2s_in_each(note, &id);
	on_shard(0, believe, &id);
	settle();
}

/* --- what must hold --- */

/* Each document in what it got; the last may be without its end. */
static void check_documents(struct visitor *v)
{
	static const char declaration[] = "<?xml version='1.0'?>", end[] = "</stream:stream>";
	const char *at, *next;

	buf_append_char(&v->heard, 0);
	for (at = v->heard->data; *at; at = next) {
		struct buf *b;
		xmlDoc *doc;

		next = strstr(at + 1, declaration);
		next = next ? next : at + strlen(at);
		b = buf_of(at, (size_t)(next - at));
		if (b->len < sizeof(end) || memcmp(next - (sizeof(end) - 1), end, sizeof(end) - 1))
			buf_append(&b, end, sizeof(end) - 1);
		doc = xmlReadMemory(b->data, (int)b->len, NULL, NULL,
			XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
		REQUIRE(doc);
		xmlFreeDoc(doc);
		buf_unref(b);
	}
}

/* A stream of its own is served. */
static void check_next(void)
{
	static const char verify[] =
		OPEN "<db:verify from='remote.example' to='localhost' id='1'>abc"
		     "</db:verify></stream:stream>";
	struct visitor v;

	arrive(&v);
	say(&v, verify, sizeof(verify) - 1);
	buf_append_char(&v.heard, 0);
	REQUIRE(strstr(v.heard->data, "type='invalid'"));
	close(v.fd);
	buf_unref(v.heard);
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	struct visitor v;

	if (!host)
		start_server();
	if (!size || size > 16384)
		return 0;
	arrive(&v);
	come_so_far(&v, *data);
	for (size_t at = 1, n; at < size; at += n) {
		n = size - at < 4096 ? size - at : 4096;
		say(&v, (const char *)data + at, n);
	}
	check_documents(&v);
	close(v.fd);
	buf_unref(v.heard);
	settle();
	if (inputs++ % 32 == 0)
		check_next();
	s2s_in_kick_all(STREAM_RESET); /* those that would wait to be resumed */
	for (unsigned turn = 0; !nobody_is_left() && turn < TURNS; turn++)
		wait_a_turn();
	REQUIRE(nobody_is_left());
	rcu_quiescent();
	return 0;
}
