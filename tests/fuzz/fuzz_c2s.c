/* A client's bytes against a whole server in one process: stream, login, routing, modules. The
 * input begins with how far the client has come: '0' it has just connected, anything else it has a
 * bound resource. In the rest, the byte 1 stands for its bare JID, 2 for its full one and 3 for
 * the full JID of somebody else who is connected. Whatever it sends, what it gets is well-formed
 * XML, nobody else suffers, and when it is gone nothing of it is left. */
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
#include "net/c2s.h"
#include "net/limits.h"
#include "router/account.h"
#include "router/directory.h"
#include "tests/support/on_shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPEN                                                                 \
	"<stream:stream xmlns='jabber:client' to='localhost' version='1.0' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"
#define LOGIN                                                                                     \
	OPEN "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>=</auth>" OPEN \
	     "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"              \
	     "<resource>r</resource></bind></iq>"

static const char modules[] = "{ping: {}, version: {}, time: {}, disco: {}, echo: {}, "
			      "cputime: {iqdisc: no_queue}}";

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
	log_level = LOG_LEVEL_ERROR;
	directory_init();
	REQUIRE(jobs_start(1) == 0 && auth_start(NULL) == 0 && shards_start(1) == 0);
	accounts_start();
	conf->sasl_mechanisms = SASL_ANONYMOUS | SASL_PLAIN | SASL_SCRAM_SHA_256;
	conf->anonymous = conf->legacy_auth = conf->sasl2 = true;
	conf->max_sessions = 10;
	conf->max_out_bytes = 1 << 20;
	conf->auth_fails = 0;
	conf->language = "en";
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

/* For what a job thread has a part in, too: some ten seconds of these are enough. */
#define TURNS 10000
static void wait_a_turn(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	nanosleep(&moment, NULL);
	settle();
}

static bool only_the_witness_is_left(void)
{
	return c2s_count() == 1 && directory_count() == 1 &&
		atomic_load(&listener.connections) == 1;
}

/* --- a client --- */

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
	a->msg.run = c2s_accepted;
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

static void leave(struct visitor *v)
{
	close(v->fd);
	buf_unref(v->heard);
	settle();
}

/* The full JID that the answer to bind gives. */
static char *log_in(struct visitor *v)
{
	const char *at = NULL;

	say(v, LOGIN, sizeof(LOGIN) - 1);
	for (unsigned turn = 0; !at && turn < TURNS; turn++) {
		if (turn)
			wait_a_turn();
		hear(v);
		buf_append_char(&v->heard, 0);
		v->heard->len--;
		at = strstr(v->heard->data, "<jid>");
	}
	if (!at)
		fprintf(stderr, "instead of a resource: %s\n", v->heard->data);
	REQUIRE(at);
	return xstrndup(at + 5, strcspn(at + 5, "<"));
}

/* --- what must hold --- */

static struct visitor witness;
static char *witness_jid;

/* Each document in what a client got; the last may be without its end. */
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

static void check_witness(void)
{
	static const char ping[] =
		"<iq type='get' id='w' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";

	witness.heard->len = 0;
	say(&witness, ping, sizeof(ping) - 1);
	buf_append_char(&witness.heard, 0);
	REQUIRE(strstr(witness.heard->data, "id='w'"));
	witness.heard->len = 0;
}

/* The input with names where their bytes stand. */
static struct buf *with_names(const uint8_t *data, size_t size, const char *jid)
{
	struct buf *b = buf_new(size + 64);

	for (size_t i = 0; i < size; i++) {
		if (data[i] == 1 && jid)
			buf_append(&b, jid, strcspn(jid, "/"));
		else if (data[i] == 2 && jid)
			buf_append(&b, jid, strlen(jid));
		else if (data[i] == 3)
			buf_append(&b, witness_jid, strlen(witness_jid));
		else
			buf_append_char(&b, (char)data[i]);
	}
	return b;
}

static void begin(void)
{
	start_server();
	arrive(&witness);
	witness_jid = log_in(&witness);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	AUTO(free_ptr) char *jid = NULL;
	struct visitor v;
	struct buf *text;

	if (!host)
		begin();
	if (!size || size > 16384)
		return 0;
	arrive(&v);
	if (*data != '0')
		jid = log_in(&v);
	text = with_names(data + 1, size - 1, jid);
	for (size_t at = 0, n; at < text->len; at += n) {
		n = text->len - at < 4096 ? text->len - at : 4096;
		say(&v, text->data + at, n);
	}
	buf_unref(text);
	check_documents(&v);
	leave(&v);
	if (inputs++ % 32 == 0)
		check_witness();
	for (unsigned turn = 0; !only_the_witness_is_left() && turn < TURNS; turn++)
		wait_a_turn();
	REQUIRE(only_the_witness_is_left());
	rcu_quiescent();
	return 0;
}
