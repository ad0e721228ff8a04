/* Another server's bytes to a stream of ours: its header, features, answers to dialback, stream
 * management. The input begins with how far the stream has come: '0' it is connected, '1' its
 * header was answered and features were offered, '2' our key was called valid, anything else stream
 * management is on, too. Meanwhile a stanza and a question about a key wait. Whatever comes, what
 * it gets is well-formed XML, the stanza comes back once at most, the question is answered once,
 * and when it is gone nothing is left of the stream. */
#include <errno.h>
#include <libxml/parser.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/outgoing_conf.h"
#include "net/s2s.h"
#include "net/s2s_out.h"
#include "router/directory.h"
#include "router/route.h"
#include "router/s2s.h"
#include "router/s2s_conf.h"
#include "tests/support/on_shard.h"
#include "xml/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OURS "capulet.example"
#define THEIRS "montague.example"
#define HEADER                                                                             \
	"<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' to='" OURS \
	"' from='" THEIRS "' id='1' version='1.0' "                                        \
	"xmlns:stream='http://etherx.jabber.org/streams'><stream:features>"                \
	"<dialback xmlns='urn:xmpp:features:dialback'/>"
#define FEATURES HEADER "</stream:features>"
#define FEATURES_SM HEADER "<sm xmlns='urn:xmpp:sm:3'/></stream:features>"
#define VALID "<db:result from='" THEIRS "' to='" OURS "' type='valid'/>"
#define ENABLED "<enabled xmlns='urn:xmpp:sm:3' id='a' resume='true'/>"

/* --- this server ---------------------------------------------------------------------------- */

static int listener = -1;
static _Atomic unsigned errors, answers;
static struct s2s_verify question = {
	.ours = OURS, .theirs = THEIRS, .stream_id = "2", .key = "k"
};

/* All of capulet.example hears nothing but errors. */
static void hear_error(void *arg UNUSED, struct stanza *s)
{
	REQUIRE(s->type == MSG_ERROR);
	atomic_fetch_add(&errors, 1);
}

static void answered(struct s2s_verify *v UNUSED)
{
	atomic_fetch_add(&answers, 1);
}

static uint16_t open_listener(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof(at);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	REQUIRE(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 16) == 0);
	REQUIRE(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	return ntohs(at.sin_port);
}

static void start_server(void)
{
	static int families[] = { OUTGOING_IPV4 };
	static struct fixed_place place = { .host = "127.0.0.1" };
	static struct fixed_places places = { .domain = THEIRS, .at = { &place, 1 } };
	static struct outgoing_conf outgoing = { .families = { families, 1 },
		.port = 5269,
		.timeout_ms = 10000,
		.places = { &places, 1 } };
	struct host_conf *conf = host_conf_new();
	struct s2s_conf s2s = *s2s_conf();

	rcu_thread_begin();
	log_level = LOG_LEVEL_NONE;
	directory_init();
	REQUIRE(shards_start(1) == 0);
	place.port = open_listener();
	outgoing_conf_publish(&outgoing);
	s2s.negotiation_ms = 3600000;
	s2s_conf_set(&s2s);
	conf->s2s_access = "all";
	conf->s2s_dialback = true;
	conf->s2s_starttls = S2S_TLS_NO;
	REQUIRE(route_register_host(host_new("localhost", conf)) == 0);
	REQUIRE(route_register_service(OURS, hear_error, NULL) == 0);
	question.done = answered;
	s2s_out_start(NULL);
	s2s_start();
}

static void pass_by(void *arg UNUSED)
{
}

static void settle(void)
{
	for (int i = 0; i < 4; i++)
		on_shard(0, pass_by, NULL);
}

static void send_stanza(void *arg UNUSED)
{
	static const char text[] = "<message type='chat' id='m' from='juliet@" OURS
				   "/balcony' to='romeo@" THEIRS "'><body>x</body></message>";

	shard_check(NULL);
	route(parse_wire(text, sizeof(text) - 1));
}

static void ask_about_key(void *arg UNUSED)
{
	shard_check(NULL);
	s2s_verify(&question);
}

/* --- the other server ------------------------------------------------------------------------ */

struct callee {
	int fd;
	struct buf *heard; /* all of it */
};

static void accept_call(struct callee *c)
{
	struct pollfd at = { .fd = listener, .events = POLLIN };

	REQUIRE(poll(&at, 1, 10000) == 1);
	c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	REQUIRE(c->fd >= 0);
	c->heard = buf_new(1024);
}

static void hear(struct callee *c)
{
	static char room[65536];
	ssize_t n;

	while ((n = recv(c->fd, room, sizeof(room), 0)) > 0)
		buf_append(&c->heard, room, (size_t)n);
}

static void say(struct callee *c, const char *text, size_t len)
{
	ssize_t sent = send(c->fd, text, len, MSG_NOSIGNAL);

	REQUIRE(sent == (ssize_t)len || errno == EPIPE || errno == ECONNRESET);
	settle();
	hear(c);
}

#define SAY(c, text) say((c), (text), sizeof(text) - 1)

static void come_so_far(struct callee *c, uint8_t how_far)
{
	if (how_far == '0')
		return;
	if (how_far == '1' || how_far == '2')
		SAY(c, FEATURES);
	else
		SAY(c, FEATURES_SM);
	if (how_far == '1')
		return;
	SAY(c, VALID);
	if (how_far != '2')
		SAY(c, ENABLED);
}

/* What it got is one document, but for its end. */
static void check_document(struct callee *c)
{
	static const char end[] = "</stream:stream>";
	struct buf *b = c->heard;
	xmlDoc *doc;

	if (!b->len)
		return;
	if (b->len < sizeof(end) ||
		memcmp(b->data + b->len - (sizeof(end) - 1), end, sizeof(end) - 1))
		buf_append(&c->heard, end, sizeof(end) - 1);
	b = c->heard;
	doc = xmlReadMemory(b->data, (int)b->len, NULL, NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
	REQUIRE(doc);
	xmlFreeDoc(doc);
}

/* Streams that were opened anew meanwhile are nobody's. */
static void refuse_calls(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		close(fd);
}

#define TURNS 10000
static void wait_until_it_is_over(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	s2s_close(NULL);
	for (unsigned turn = 0; turn < TURNS && (s2s_out_count() || !atomic_load(&answers));
		turn++) {
		refuse_calls();
		nanosleep(&moment, NULL);
		s2s_close(NULL);
	}
	REQUIRE(!s2s_out_count() && atomic_load(&answers) == 1 && atomic_load(&errors) <= 1);
	refuse_calls();
	s2s_recheck(); /* it may be tried again */
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct callee c;

	if (listener < 0)
		start_server();
	if (!size || size > 16384)
		return 0;
	atomic_store(&errors, 0);
	atomic_store(&answers, 0);
	on_shard(0, send_stanza, NULL);
	on_shard(0, ask_about_key, NULL);
	accept_call(&c);
	settle();
	come_so_far(&c, *data);
	for (size_t at = 1, n; at < size; at += n) {
		n = size - at < 4096 ? size - at : 4096;
		say(&c, (const char *)data + at, n);
	}
	check_document(&c);
	close(c.fd);
	buf_unref(c.heard);
	settle();
	wait_until_it_is_over();
	rcu_quiescent();
	return 0;
}
