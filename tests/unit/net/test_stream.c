/* An XML stream over a socket pair: its frame in both directions, its errors, where parsing stops
 * and goes on. RFC 6120 §4 and §5. The peer is the test's own thread; a turn is over when settle()
 * returns. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/rcu.h"
#include "net/stream.h"
#include "tests/support/moved_clock.h"
#include "tests/support/tls_peer.h"

#define HEADER                                                                                  \
	"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " \
	"to='localhost' version='1.0'>"

/* The server's side. Touched on the shard, read after settle(). */
static struct {
	struct stream stream;
	char log[4096]; /* what happened, in short */
	const char *at; /* the name of the element to do something at, or NULL */
	void (*then)(struct stream *st); /* that */
	struct stanza *stanza; /* meanwhile: that element */
} side;
static enum stream_kind kind; /* of the next stream */
static struct tls_store *store;
static int peer = -1;

static void note(const char *format, ...)
{
	size_t len = strlen(side.log);
	va_list args;

	va_start(args, format);
	vsnprintf(side.log + len, sizeof(side.log) - len, format, args);
	va_end(args);
}

static void opened(struct stream *st, const struct stanza *head, const char *default_ns)
{
	shard_check(NULL);
	note("open %s %s;", elem_attr(head->root, "to"), default_ns);
	if (side.at && strcmp(side.at, "stream") == 0)
		side.then(st);
}

static void stanza(struct stream *st, struct stanza *s)
{
	bool here = side.at && strcmp(side.at, s->root->name) == 0;

	shard_check(NULL);
	note("%s;", s->root->name);
	side.stanza = s;
	if (here)
		side.then(st);
	stanza_unref(s);
}

static void ended(struct stream *st UNUSED)
{
	note("end;");
}

static void broken(struct stream *st, enum stream_condition c, const char *text)
{
	shard_check(NULL);
	stream_error(st, c, text);
}

static void secured(struct stream *st UNUSED)
{
	note("secured;");
}

static void unsent(struct stream *st UNUSED, struct stanza *s)
{
	note("unsent %s;", s->id);
}

static void lost(struct stream *st UNUSED, enum conn_loss why)
{
	note("lost: %s;", conn_loss_text(why));
}

static void refused(struct stream *st UNUSED, const struct stanza *error)
{
	note("refused: %s;", stream_condition_name(stream_condition_of(error)));
}

static const struct stream_events events = {
	.opened = opened,
	.stanza = stanza,
	.ended = ended,
	.broken = broken,
	.secured = secured,
	.unsent = unsent,
	.lost = lost,
	.refused = refused,
};

static void begin_here(void *fd)
{
	const struct parser_limits limits = { 10000, 8, 16 };

	shard_check(NULL);
	cr_assert_eq(stream_begin(&side.stream, *(int *)fd, kind, &limits, &events), 0);
}

static void end_here(void *arg UNUSED)
{
	shard_check(NULL);
	stream_end(&side.stream);
}

static void begin_as(enum stream_kind k)
{
	int fd[2];

	kind = k;
	rcu_thread_begin();
	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	peer = fd[1];
	memset(&side, 0, sizeof(side));
	on_shard(0, begin_here, &fd[0]);
}

static void begin(void)
{
	begin_as(STREAM_FROM_CLIENT);
}

static void begin_to_server(void)
{
	begin_as(STREAM_TO_SERVER);
}

static void end(void)
{
	on_shard(0, end_here, NULL);
	close(peer);
	shards_stop();
	rcu_wait_later();
	tls_store_free(store);
	rcu_thread_end();
}
TestSuite(stream, .init = begin, .fini = end, .timeout = 60);
TestSuite(stream_out, .init = begin_to_server, .fini = end, .timeout = 60);

/* --- small words --- */

static void tell(const char *text)
{
	cr_assert_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	settle();
}

/* What the peer finds in its socket; "EOF" is the end. */
static const char *hears(void)
{
	static char room[65536];
	ssize_t n = recv(peer, room, sizeof(room) - 1, 0);

	room[n > 0 ? n : 0] = '\0';
	return n ? room : "EOF";
}

static void run_here(void *fn)
{
	shard_check(NULL);
	(*(void (**)(struct stream * st)) fn)(&side.stream);
}

/* fn(stream) in a turn of its own. */
static void run(void (*fn)(struct stream *st))
{
	on_shard(0, run_here, &fn);
	settle();
}

static void at(const char *name, void (*fn)(struct stream *st))
{
	side.at = name;
	side.then = fn;
}

static void expect_log(const char *wanted)
{
	cr_expect_str_eq(side.log, wanted);
	side.log[0] = '\0';
}

/* --- in --- */

static const char dialogue[] =
	"<?xml version='1.0'?>" HEADER
	"<message><body>a&amp;b</body></message> \n<presence/></stream:stream>";

Test(stream, events_in_order)
{
	tell(dialogue);
	expect_log("open localhost jabber:client;message;presence;end;");
}

Test(stream, events_byte_by_byte)
{
	for (const char *c = dialogue; *c; c++)
		tell((const char[]){ *c, '\0' });
	expect_log("open localhost jabber:client;message;presence;end;");
}

/* --- what parsing stops at --- */

Test(stream, waiting_leaves_the_rest_for_later)
{
	at("iq", stream_wait);
	tell(HEADER "<message/><iq/><presence/>");
	tell("<message/>");
	expect_log("open localhost jabber:client;message;iq;");
	run(stream_go_on);
	expect_log("presence;message;");
}

Test(stream, waiting_at_the_header)
{
	at("stream", stream_wait);
	tell(HEADER "<message/>");
	expect_log("open localhost jabber:client;");
	run(stream_go_on);
	expect_log("message;");
}

Test(stream, waiting_again_within_the_rest)
{
	at("iq", stream_wait);
	tell(HEADER "<iq/><iq/><presence/>");
	run(stream_go_on);
	expect_log("open localhost jabber:client;iq;iq;");
	run(stream_go_on);
	expect_log("presence;");
	tell("<message/>");
	expect_log("message;");
}

Test(stream, waiting_in_the_middle_of_an_element)
{
	tell(HEADER "<mess");
	run(stream_wait);
	tell("age/>");
	expect_log("open localhost jabber:client;");
	run(stream_go_on);
	expect_log("message;");
}

static void send_header(struct stream *st)
{
	stream_send_header(st, "localhost", NULL, NULL);
}

static void restart(struct stream *st)
{
	stream_restart(st);
}

/* RFC 6120 §6.4.6: a client that does not wait for <success/> has sent its next stream already. */
Test(stream, a_new_stream_in_the_same_bytes)
{
	at("auth", restart);
	tell(HEADER "<message/><auth/>" HEADER "<presence/>");
	expect_log(
		"open localhost jabber:client;message;auth;open localhost jabber:client;presence;");
	cr_expect_not(side.stream.header_sent);
}

Test(stream, a_new_stream_byte_by_byte)
{
	at("auth", restart);
	for (const char *c = HEADER "<auth/><?xml version='1.0'?>" HEADER "<presence/>"; *c; c++)
		tell((const char[]){ *c, '\0' });
	expect_log("open localhost jabber:client;auth;open localhost jabber:client;presence;");
}

/* --- out --- */

static void send_header_for(struct stream *st)
{
	stream_send_header(st, "localhost", "a'b&c<d@localhost", "de");
}

Test(stream, its_header)
{
	char wanted[400];

	run(send_header_for);
	snprintf(wanted, sizeof(wanted),
		"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
		"xmlns:stream='http://etherx.jabber.org/streams' id='%016llx' from='localhost' "
		"to='a&apos;b&amp;c&lt;d@localhost' version='1.0' xml:lang='de'>",
		(unsigned long long)side.stream.id);
	cr_expect_str_eq(hears(), wanted, "RFC 6120 §4.7");
	cr_expect(side.stream.header_sent);
}

Test(stream, its_id_is_another_each_time)
{
	uint64_t first;

	run(send_header);
	first = side.stream.id;
	run(restart);
	run(send_header);
	cr_expect_neq(side.stream.id, first, "RFC 6120 §4.7.3");
}

static void send_features(struct stream *st)
{
	struct builder b;

	build_begin(&b, "features", NS_STREAM);
	build_open(&b, "bind", NS_BIND);
	build_close(&b);
	build_open(&b, "own", NS_CLIENT);
	build_close(&b);
	stream_send_features(st, &b);
}

static void send_failure(struct stream *st)
{
	struct builder b;

	build_begin(&b, "failure", NS_SASL);
	build_open(&b, "aborted", NULL);
	build_close(&b);
	stream_send_element(st, &b);
}

Test(stream, its_own_elements)
{
	run(send_features);
	cr_expect_str_eq(hears(),
		"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><own/>"
		"</stream:features>",
		"RFC 6120 §4.3.2");
	run(send_failure);
	cr_expect_str_eq(
		hears(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><aborted/></failure>");
}

static void send_stanza(struct stream *st)
{
	struct stanza *s;
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "id", "m1");
	s = build_end(&b);
	stream_send_stanza(st, s);
	conn_write(&st->conn, stanza_wire(s), s);
	stanza_unref(s);
}

Test(stream, a_stanza_of_our_own_does_not_come_back)
{
	static const int least = 1;

	run(send_stanza);
	cr_expect_str_eq(hears(), "<message id='m1'/><message id='m1'/>");
	setsockopt(side.stream.conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	side.stream.conn.out_max_held = 8000;
	while (!side.log[0])
		run(send_stanza);
	cr_expect(strstr(side.log, "unsent m1;") == side.log);
	cr_expect(strstr(side.log, "lost: peer does not read;"));
}

/* --- errors --- */

#define ERROR(condition) \
	"<stream:error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"

static const struct {
	const char *section, *text, *condition;
} wrong[] = {
	{ "§4.9.3.13 tags that do not match", HEADER "<a></b>", "not-well-formed" },
	{ "§4.9.3.13 a bare ampersand", HEADER "<a>&</a>", "not-well-formed" },
	{ "§4.9.3.13 not UTF-8", HEADER "<a>\xff</a>", "not-well-formed" },
	{ "§4.9.3.13 no XML at all", "GET / HTTP/1.0\r\n\r\n", "not-well-formed" },
	{ "§4.9.3.13 another end", HEADER "</stream>", "not-well-formed" },
	{ "§4.9.3.18 a comment", HEADER "<!-- a -->", "restricted-xml" },
	{ "§4.9.3.18 a DTD", "<!DOCTYPE a []>", "restricted-xml" },
	{ "§4.9.3.18 an instruction", HEADER "<?php ?>", "restricted-xml" },
	{ "§4.9.3.18 an entity", HEADER "<a>&lol;</a>", "restricted-xml" },
	{ "§4.9.3.2 a prefix that is not declared", HEADER "<a:b/>", "bad-namespace-prefix" },
	{ "§4.9.3.22 UTF-16", "<?xml version='1.0' encoding='UTF-16'?>" HEADER,
		"unsupported-encoding" },
	{ "§4.9.3.1 text between stanzas", HEADER "romeo", "bad-format" },
	{ "§4.9.3.14 too deep",
		HEADER "<a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a>",
		"policy-violation" },
};

Test(stream, what_cannot_be_parsed)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char wanted[200];
		const char *said;

		tell(wrong[i].text);
		tell("<presence/>");
		said = hears();
		cr_expect(strncmp(said, "<?xml version='1.0'?><stream:stream ", 36) == 0,
			"§4.9.1.2 a header comes before: %s", said);
		snprintf(wanted, sizeof(wanted), ERROR("%s"), wrong[i].condition);
		cr_expect(strstr(said, wanted), "%s: %s", wrong[i].section, said);
		cr_expect(strstr(said, "</stream:error></stream:stream>"), "§4.9.1.1: %s", said);
		cr_expect_str_eq(hears(), "EOF", "§4.9.1.1");
		cr_expect_not(strstr(side.log, "presence"), "nothing is heard after an error");
		cr_expect(stream_closing(&side.stream));
		end();
		begin();
	}
}

static char big[10100];

Test(stream, a_stanza_that_is_too_big)
{
	memset(big, 'x', sizeof(big) - 1);
	tell(HEADER "<message>");
	tell(big); /* is cut off before it has come whole */
	cr_expect(strstr(hears(), ERROR("policy-violation")), "RFC 6120 §4.9.3.14");
	expect_log("open localhost jabber:client;");
}

static void fail_twice(struct stream *st)
{
	stream_error(st, STREAM_CONFLICT, "Replaced <by> new");
	stream_error(st, STREAM_RESET, NULL);
	stream_close(st);
	send_header(st);
}

Test(stream, one_error_is_all)
{
	run(send_header);
	hears();
	run(fail_twice);
	cr_expect_str_eq(hears(),
		ERROR("conflict") "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>"
				  "Replaced &lt;by&gt; new</text></stream:error></stream:stream>",
		"RFC 6120 §4.9.1.1");
	cr_expect_str_eq(hears(), "EOF");
}

static void fail(struct stream *st)
{
	stream_error(st, STREAM_POLICY_VIOLATION, NULL);
}

Test(stream, an_error_within_a_callback_stops_all)
{
	at("iq", fail);
	tell(HEADER "<iq/><presence/>");
	tell("<message/></stream:stream>");
	expect_log("open localhost jabber:client;iq;");
	close(peer);
	peer = -1;
	settle();
	expect_log("lost: closed;");
}

Test(stream, an_error_while_waiting)
{
	at("iq", stream_wait);
	tell(HEADER "<iq/><presence/>");
	run(fail);
	run(stream_go_on);
	expect_log("open localhost jabber:client;iq;");
}

Test(stream, every_condition_has_its_name)
{
	for (int c = 0; c < STREAM_CONDITIONS; c++) {
		const char *name = stream_condition_name((enum stream_condition)c);

		cr_assert(name && name[0], "%d", c);
		cr_expect_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name), "%s", name);
	}
}

Test(stream, a_close)
{
	run(send_header);
	hears();
	run(stream_close);
	cr_expect_str_eq(hears(), "</stream:stream>", "RFC 6120 §4.4");
	cr_expect_str_eq(hears(), "EOF");
	clock_move(1100);
	expect_log("lost: closed;");
}

Test(stream, a_close_without_a_header)
{
	run(stream_close);
	cr_expect_str_eq(hears(), "EOF", "there is no stream to end");
}

Test(stream, the_peer_goes_without_a_word)
{
	tell(HEADER "<mess");
	close(peer);
	peer = -1;
	settle();
	expect_log("open localhost jabber:client;lost: closed by peer;");
}

/* --- TLS --- */

static void start_tls(struct stream *st)
{
	stream_start_tls(st, store, NULL);
}

/* RFC 6120 §5.4.3.3: what came behind <starttls/> was not protected. */
Test(stream, nothing_in_the_clear_behind_starttls)
{
	struct tls_peer client;
	char room[4096];

	store = store_with_certificate("localhost");
	at("starttls", start_tls);
	tell(HEADER "<message/><starttls/><iq/>" HEADER "<presence/>");
	expect_log("open localhost jabber:client;message;starttls;");
	cr_expect_str_eq(hears(), "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "§5.4.2.3");
	tls_peer_begin(&client, peer);
	cr_assert(tls_peer_shake(&client, settle));
	expect_log("secured;");
	tls_peer_send(&client, HEADER "<presence/>");
	settle();
	expect_log("open localhost jabber:client;presence;");
	run(fail);
	cr_assert_gt(tls_peer_read(&client, room, sizeof(room)), 0);
	cr_expect(
		strncmp(room, "<?xml", 5) == 0, "§5.4.3.3 a new stream has a new header: %s", room);
	cr_expect(tls_peer_was_closed(&client));
	tls_peer_end(&client);
}

Test(stream, starttls_alone_in_its_bytes)
{
	struct tls_peer client;

	store = store_with_certificate("localhost");
	at("starttls", start_tls);
	tell(HEADER);
	tell("<starttls/>");
	hears();
	tls_peer_begin(&client, peer);
	cr_assert(tls_peer_shake(&client, settle));
	expect_log("open localhost jabber:client;starttls;secured;");
	tls_peer_end(&client);
}

Test(stream, starttls_without_a_certificate)
{
	store = tls_store_new();
	at("starttls", start_tls);
	tell(HEADER "<starttls/><iq/>");
	expect_log("open localhost jabber:client;starttls;");
	cr_expect(strncmp(hears(), "<proceed ", 9) == 0);
	cr_expect_str_eq(hears(), "EOF");
}

/* --- servers and components --- */

#define SERVER_HEADER                                                                           \
	"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' " \
	"xmlns:db='jabber:server:dialback' from='b.example' to='a.example' id='s1' version='1.0'>"
#define OUR_SERVER_HEADER                                                                    \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:server' "                         \
	"xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' " \
	"from='a.example' to='b.example' version='1.0' xml:lang='en'>"

static void send_header_out(struct stream *st)
{
	stream_send_header(st, "a.example", "b.example", NULL);
}

Test(stream_out, our_header_is_the_first)
{
	run(send_header_out);
	cr_expect_str_eq(hears(), OUR_SERVER_HEADER, "RFC 6120 §4.7.3: no id from us");
	cr_expect_eq(side.stream.id, 0);
	tell(SERVER_HEADER "<stream:features/><message/></stream:stream>");
	expect_log("open a.example jabber:server;features;message;end;");
}

static void begin_anew(struct stream *st)
{
	stream_restart(st);
	send_header_out(st);
}

/* RFC 6120 §6.3.2: the initiating entity begins the new stream. */
Test(stream_out, a_new_stream_after_sasl)
{
	run(send_header_out);
	hears();
	at("success", begin_anew);
	tell(SERVER_HEADER "<stream:features/><success/>");
	cr_expect_str_eq(hears(), OUR_SERVER_HEADER);
	tell(SERVER_HEADER "<stream:features/>");
	expect_log("open a.example jabber:server;features;success;open a.example jabber:server;"
		   "features;");
}

Test(stream_out, the_peer_says_no)
{
	run(send_header_out);
	tell(SERVER_HEADER ERROR("host-unknown") "</stream:error>");
	expect_log("open a.example jabber:server;refused: host-unknown;end;");
}

Test(stream_out, the_peer_says_no_in_words_of_its_own)
{
	tell(SERVER_HEADER "<stream:error><gone-fishing xmlns='urn:fish'/></stream:error>");
	expect_log("open a.example jabber:server;refused: undefined-condition;end;");
}

static void send_dialback(struct stream *st)
{
	struct builder b;

	build_begin(&b, "result", NS_DIALBACK);
	build_attr(&b, "id", "a'b");
	build_cdata(&b, "k<y", 3);
	build_open(&b, "error", NS_CLIENT);
	build_close(&b);
	stream_send_element(st, &b);
}

Test(stream_out, dialback_has_its_prefix)
{
	run(send_dialback);
	cr_expect_str_eq(
		hears(), "<db:result id='a&apos;b'>k&lt;y<error/></db:result>", "XEP-0220 §2.1");
	run(send_failure);
	cr_expect_str_eq(
		hears(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><aborted/></failure>");
}

Test(stream_out, an_error_before_any_header)
{
	tell("<a></b>");
	cr_expect(strstr(hears(), "xmlns='jabber:server'"), "RFC 6120 §4.9.1.2");
}

static const struct {
	enum stream_kind kind;
	const char *section, *wanted;
} headers[] = {
	{ STREAM_FROM_SERVER, "RFC 6120 §4.8.2",
		"<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
		"xmlns:stream='http://etherx.jabber.org/streams' "
		"xmlns:db='jabber:server:dialback' id='%016llx' from='a.example' to='b.example' "
		"version='1.0' xml:lang='en'>" },
	{ STREAM_FROM_COMPONENT, "XEP-0114 §3",
		"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
		"xmlns:stream='http://etherx.jabber.org/streams' id='%016llx' from='a.example' "
		"to='b.example' xml:lang='en'>" },
};

Test(stream, a_header_of_each_kind)
{
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		char wanted[400];

		end();
		begin_as(headers[i].kind);
		run(send_header_out);
		snprintf(wanted, sizeof(wanted), headers[i].wanted,
			(unsigned long long)side.stream.id);
		cr_expect_str_eq(hears(), wanted, "%s", headers[i].section);
	}
}

static void echo(struct stream *st)
{
	stanza_seal(side.stanza);
	stream_send_stanza(st, side.stanza);
}

/* What comes in a server's or a component's stream leaves in any other, and the other way round.
 * RFC 6120 §4.8.3. */
Test(stream, a_stanza_has_one_form_on_every_kind_of_stream)
{
	static const char *const namespaces[] = { NS_CLIENT, NS_SERVER, NS_COMPONENT };
	static const struct {
		const char *came, *leaves;
	} rows[] = {
		{ "<message><body>a</body><x xmlns='u'/></message>",
			"<message><body>a</body><x xmlns='u'/></message>" },
		{ "<message><body xmlns='%s'>a</body></message>",
			"<message><body>a</body></message>" },
		{ "<message xmlns='%s'><body>a</body></message>",
			"<message><body>a</body></message>" },
	};

	for (size_t i = 0; i < ARRAY_LEN(namespaces) * ARRAY_LEN(rows); i++) {
		const char *ns = namespaces[i / ARRAY_LEN(rows)];
		size_t row = i % ARRAY_LEN(rows);
		AUTO(free_ptr) char *header = NULL;
		char room[400];

		end();
		begin_as(STREAM_TO_SERVER);
		header = xprintf("<stream:stream xmlns='%s' "
				 "xmlns:stream='http://etherx.jabber.org/streams'>",
			ns);
		snprintf(room, sizeof(room), rows[row].came, ns);
		at("message", echo);
		tell(header);
		tell(room);
		cr_expect_str_eq(hears(), rows[row].leaves, "%s: %s", ns, room);
	}
}

static struct tls *their_tls; /* the peer's, who accepts */

static void connect_tls(struct stream *st)
{
	const struct tls_target to = { .domain = "localhost" };

	cr_assert(stream_connect_tls(st, store, &to));
}

static void connect_direct_tls(struct stream *st)
{
	const struct tls_target to = { .domain = "localhost", .entry = TLS_DIRECT };

	cr_assert(stream_connect_tls(st, store, &to));
}

static void they_accept_tls(enum tls_entry entry)
{
	int says = TLS_WANT_READ;

	their_tls = tls_new(store, peer, NULL, entry, &tls_offer_to_servers);
	for (int turn = 0; turn < 10 && says == TLS_WANT_READ; turn++) {
		says = tls_handshake(their_tls);
		settle();
	}
	cr_assert_eq(says, 0, "%s", tls_error(their_tls));
}

static void they_tell(const char *text)
{
	struct iovec piece = { (void *)text, strlen(text) };
	size_t n;

	cr_assert_eq(tls_write(their_tls, &piece, 1, &n), 0);
	settle();
}

static const char *they_hear(void)
{
	static char room[TLS_READ_ROOM + 1];
	size_t n;

	tls_read(their_tls, room, TLS_READ_ROOM, &n);
	room[n] = '\0';
	return room;
}

/* RFC 6120 §5.4.3.3: what came behind <proceed/> was not protected. */
Test(stream_out, nothing_in_the_clear_behind_proceed)
{
	store = store_with_certificate("localhost");
	run(send_header_out);
	hears();
	at("proceed", connect_tls);
	tell(SERVER_HEADER "<stream:features/><proceed/>" SERVER_HEADER "<message/>");
	expect_log("open a.example jabber:server;features;proceed;");
	cr_expect_not(conn_open(&side.stream.conn));
	they_accept_tls(TLS_STARTTLS);
	expect_log("secured;");
	run(send_header_out);
	cr_expect_str_eq(they_hear(), OUR_SERVER_HEADER, "§5.4.3.3");
	they_tell(SERVER_HEADER "<stream:features/>");
	expect_log("open a.example jabber:server;features;");
	tls_free(their_tls);
}

/* XEP-0368. */
Test(stream_out, direct_tls_first)
{
	store = store_with_certificate("localhost");
	run(connect_direct_tls);
	they_accept_tls(TLS_DIRECT);
	expect_log("secured;");
	run(send_header_out);
	cr_expect_str_eq(they_hear(), OUR_SERVER_HEADER);
	tls_free(their_tls);
}

Test(stream_out, the_peer_goes_during_the_handshake)
{
	store = store_with_certificate("localhost");
	run(connect_direct_tls);
	close(peer);
	peer = -1;
	settle();
	expect_log("lost: closed by peer;");
}

static void connect_tls_in_vain(struct stream *st)
{
	const struct tls_target to = { .domain = "localhost" };

	cr_expect_not(stream_connect_tls(st, store, &to));
}

Test(stream_out, tls_that_cannot_begin)
{
	store = tls_store_new();
	run(connect_tls_in_vain);
	cr_expect_str_eq(hears(), "EOF");
	cr_expect(stream_closing(&side.stream));
}

/* --- rest --- */

static void send_many(struct stream *st)
{
	for (int i = 0; i < 10; i++)
		send_stanza(st);
}

Test(stream, hibernation_gives_memory_back)
{
	tell(HEADER "<message/>");
	run(send_stanza);
	cr_expect_eq(side.stream.conn.out_room, 0, "little is no longer held than it waits");
	run(send_many);
	cr_expect_gt(side.stream.conn.out_room, 0);
	run(stream_hibernate);
	cr_expect_eq(side.stream.conn.out_room, 0);
	tell("<presence xml:lang='de'/></stream:stream>");
	expect_log("open localhost jabber:client;message;presence;end;");
}

Test(stream, hibernation_in_the_middle_of_an_element)
{
	tell(HEADER "<message><bo");
	run(stream_hibernate);
	tell("dy/></message>");
	expect_log("open localhost jabber:client;message;");
}
