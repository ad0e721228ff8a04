/* A client stream's life where a scenario cannot look: its times, answers of the account backend
 * that come too late, what it gives back when it ends, what becomes of stanzas it was given. RFC
 * 6120 §4 to §7, XEP-0078. The client is the test's own thread at the other end of a socket pair; a
 * turn is over when settle() returns. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/job.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/sysmon.h"
#include "net/acceptor.h"
#include "net/base64.h"
#include "net/c2s.h"
#include "net/c2s_stream.h"
#include "net/limits.h"
#include "router/directory.h"
#include "router/idle.h"
#include "router/prelogin.h"
#include "tests/support/hearing.h"
#include "tests/support/moved_clock.h"
#include "tests/support/tls_peer.h"

/* --- the world: one host, accounts whose answers wait at a gate, a listener without a socket ---
 */

static struct host *host;
static struct host_conf *conf;
static struct listener listener;
static struct listener_options *options;
static struct tls_store *store;
static const struct conf_prefix address = { .bytes = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 },
	.bits = 128 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	unsigned inside;
	int result; /* of every check */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static int check(void *arg UNUSED, struct host *h UNUSED, const char *user UNUSED,
	const char *password UNUSED)
{
	bool reading = rcu_offline();
	int result;

	pthread_mutex_lock(&gate.lock);
	gate.inside++;
	pthread_cond_broadcast(&gate.changed);
	while (gate.closed)
		pthread_cond_wait(&gate.changed, &gate.lock);
	result = gate.result;
	pthread_mutex_unlock(&gate.lock);
	rcu_online(reading);
	return result;
}

static const struct auth_backend backend = { .name = "gated", .check = check };

static void gate_close(void)
{
	gate.inside = 0;
	gate.closed = true;
}

static void gate_await(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&gate.lock);
	while (!gate.inside)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	rcu_online(reading);
}

static void gate_open(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.closed = false;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void begin(void)
{
	rcu_thread_begin();
	directory_init();
	cr_assert_eq(jobs_start(2), 0);
	cr_assert_eq(auth_start(NULL), 0);
	cr_assert_eq(shards_start(2), 0);
	conf = host_conf_new();
	conf->sasl_mechanisms = SASL_ANONYMOUS | SASL_PLAIN;
	conf->anonymous = conf->legacy_auth = true;
	conf->max_sessions = 3;
	conf->auth_fails = 100;
	conf->auth_fail_window_ms = 600000;
	conf->language = "en";
	host = host_new("capulet.lit", conf);
	auth_source_add(host, &backend, NULL, NULL);
	cr_assert_eq(route_register_host(host), 0);
	store = store_with_certificate("capulet.lit");
	options = xcalloc(1, sizeof(*options));
	atomic_init(&options->refs, 1);
	arena_init(&options->arena, NULL, 0);
	options->tls = store;
	options->conf = (struct listen_conf){ .starttls = true,
		.max_stanza_size = 65536,
		.max_stanza_size_unauthenticated = 10000,
		.negotiation_timeout_ms = 60000 };
	atomic_init(&listener.refs, 1);
	atomic_init(&listener.connections, 0);
	rcu_set(listener.options, options);
}

static void end(void)
{
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	settle();
	clock_move(5000);
	cr_expect_eq(c2s_count(), 0);
	cr_expect_eq(atomic_load(&listener.connections), 0);
	cr_expect_eq(atomic_load(&listener.refs), 1);
	cr_expect_eq(atomic_load(&options->refs), 1);
	cr_expect_eq(directory_count(), 0);
	route_unregister(host->name);
	shards_stop();
	auth_stop();
	jobs_stop();
	host_unref(host);
	rcu_wait_later();
	listener_options_unref(options);
	tls_store_free(store);
	directory_fini();
	rcu_thread_end();
}
TestSuite(c2s, .init = begin, .fini = end, .timeout = 60);

/* --- a client --- */

struct visitor {
	int fd;
	bool encrypted;
	struct tls_peer tls;
	char heard[65536]; /* the last that hears() took */
};

/* Accepted as net/acceptor.c would, on that shard. */
static void arrive(struct visitor *c, unsigned shard)
{
	struct accepted *a = xcalloc(1, sizeof(*a));
	int fd[2];

	memset(c, 0, sizeof(*c));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	c->fd = fd[1];
	cr_assert(limits_begin(&address, 0));
	a->msg.run = c2s_accepted;
	a->fd = fd[0];
	a->listener = &listener;
	a->options = listener_options_ref(options);
	a->address = address;
	atomic_fetch_add(&listener.refs, 1);
	atomic_fetch_add(&listener.connections, 1);
	shard_post(shard_at(shard), &a->msg);
	settle();
}

static void says(struct visitor *c, const char *text)
{
	if (c->encrypted)
		tls_peer_send(&c->tls, text);
	else
		cr_assert_eq(send(c->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	settle();
}

/* All that has come since; "EOF" for the end alone. */
static const char *hears(struct visitor *c)
{
	ssize_t n;

	if (c->encrypted) {
		tls_peer_read(&c->tls, c->heard, sizeof(c->heard));
		return c->heard;
	}
	n = recv(c->fd, c->heard, sizeof(c->heard) - 1, 0);
	c->heard[n > 0 ? n : 0] = '\0';
	return n ? c->heard : "EOF";
}

/* Says it and wants that among the answer. */
static void tries(struct visitor *c, const char *text, const char *wanted)
{
	says(c, text);
	hears(c);
	cr_assert(strstr(c->heard, wanted), "to %s\ncame %s\nnot %s", text, c->heard, wanted);
}

static void goes(struct visitor *c)
{
	if (c->encrypted)
		tls_peer_end(&c->tls);
	close(c->fd);
	settle();
}

#define OPEN                                                                   \
	"<stream:stream xmlns='jabber:client' to='capulet.lit' version='1.0' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"
#define ANONYMOUS "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>=</auth>"
#define BIND "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
#define LEGACY(name)                                                          \
	"<iq type='set' id='l'><query xmlns='jabber:iq:auth'><username>" name \
	"</username><password>secret</password><resource>r</resource></query></iq>"
#define STREAM_ERROR(condition) \
	"<stream:error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"

static void encrypts(struct visitor *c)
{
	tries(c, OPEN, "<starttls ");
	tries(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed ");
	tls_peer_begin(&c->tls, c->fd);
	cr_assert(tls_peer_shake(&c->tls, settle));
	c->encrypted = true;
	tries(c, OPEN, "<stream:features>");
}

static void says_plain(struct visitor *c, const char *user)
{
	char message[100], text[200], whole[300];
	int n = snprintf(message, sizeof(message), "%c%s%csecret", 0, user, 0);

	base64_encode(message, (size_t)n, text);
	snprintf(whole, sizeof(whole),
		"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>", text);
	says(c, whole);
}

/* Lets the account backend answer and waits until something has come of it. */
static const char *hears_after_a_job(struct visitor *c)
{
	for (int i = 0; i < 10000; i++) {
		settle();
		if (*hears(c))
			break;
	}
	return c->heard;
}

/* A bound resource of a throw-away account; jid: its full JID. */
static void logs_in(struct visitor *c, char *jid)
{
	tries(c, OPEN, "<mechanism>ANONYMOUS</mechanism>");
	tries(c, ANONYMOUS, "<success ");
	tries(c, OPEN, "<bind ");
	tries(c, BIND, "<jid>");
	cr_assert_eq(sscanf(strstr(c->heard, "<jid>"), "<jid>%199[^<]", jid), 1);
}

static void logs_in_as(struct visitor *c, const char *user)
{
	encrypts(c);
	says_plain(c, user);
	cr_assert(strstr(hears_after_a_job(c), "<success "), "%s", c->heard);
	tries(c, OPEN, "<bind ");
	tries(c,
		"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
		"<resource>r</resource></bind></iq>",
		"@capulet.lit/r</jid>");
}

/* --- what it counts in --- */

Test(c2s, counts_as_long_as_it_lives)
{
	struct visitor c;
	char jid[200];

	arrive(&c, 0);
	cr_expect_eq(c2s_count(), 1);
	cr_expect_eq(atomic_load(&listener.connections), 1);
	cr_expect_not(limits_begin(&address, 1), "not logged in yet");
	logs_in(&c, jid);
	cr_assert(limits_begin(&address, 1), "an authenticated one does not count");
	limits_end(&address);
	cr_expect_eq(directory_count(), 1);
	goes(&c);
	cr_expect_eq(c2s_count(), 0);
	cr_expect_eq(directory_count(), 0);
	arrive(&c, 1);
	goes(&c);
	cr_assert(limits_begin(&address, 1), "nor does one that is gone");
	limits_end(&address);
}

/* --- time --- */

static const struct {
	const char *what, *first, *second;
} stages[] = {
	{ "says nothing", NULL, NULL },
	{ "stops in its header", "<stream:stream ", NULL },
	{ "stops behind its header", OPEN, NULL },
	{ "stops in an element", OPEN "<auth ", NULL },
	{ "has logged in, but binds nothing", OPEN ANONYMOUS, OPEN },
};

Test(c2s, a_login_that_takes_too_long)
{
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		struct visitor c;

		arrive(&c, 0);
		if (stages[i].first)
			says(&c, stages[i].first);
		clock_move(30000);
		if (stages[i].second)
			says(&c, stages[i].second);
		clock_move(25000);
		hears(&c);
		cr_expect_not(strstr(c.heard, "error"), "%s", stages[i].what);
		clock_move(7000);
		hears(&c);
		cr_expect(strstr(c.heard, STREAM_ERROR("connection-timeout")),
			"RFC 6120 §4.9.3.4, one that %s: %s", stages[i].what, c.heard);
		goes(&c);
	}
}

Test(c2s, a_handshake_that_takes_too_long)
{
	struct visitor c;

	arrive(&c, 0);
	tries(&c, OPEN, "<starttls ");
	tries(&c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed ");
	clock_move(61000);
	cr_expect_str_eq(hears(&c), "EOF", "nothing is said in the clear");
	cr_expect_eq(c2s_count(), 0);
	goes(&c);
}

Test(c2s, a_session_lasts)
{
	struct visitor c;
	char jid[200];

	arrive(&c, 0);
	logs_in(&c, jid);
	for (int i = 0; i < 30; i++)
		clock_move(60000);
	tries(&c,
		"<message to='capulet.lit' type='error'/><iq id='1' type='get'><x xmlns='y'/></iq>",
		"<service-unavailable ");
	goes(&c);
}

static struct c2s *found; /* for its shard, and for looks while that sleeps */

static void find(const char *text)
{
	struct jid *jid;
	const struct session_entry *e;

	cr_assert_eq(jid_parse(text, strlen(text), NULL, &jid), 0);
	e = directory_find_full(jid);
	cr_assert_not_null(e);
	found = container_of((struct session *)e->session, struct c2s, session);
	jid_free(jid);
}

Test(c2s, an_idle_one_gives_memory_back)
{
	static const char iq[] = "<iq id='1' type='get'><x xmlns='y'/></iq>";
	struct visitor c;
	char jid[200], many[10 * sizeof(iq)] = "";

	arrive(&c, 0);
	logs_in(&c, jid);
	find(jid);
	tries(&c, iq, "<service-unavailable ");
	cr_expect_eq(found->stream.conn.out_room, 0, "little is no longer held than it waits");
	for (int i = 0; i < 10; i++)
		strcat(many, iq);
	tries(&c, many, "<service-unavailable ");
	clock_move(19000);
	cr_expect_gt(found->stream.conn.out_room, 0);
	clock_move(3000);
	cr_expect_eq(found->stream.conn.out_room, 0);
	tries(&c, iq, "<service-unavailable ");
	goes(&c);
}

static struct {
	unsigned asked;
	uint64_t silent_ms, pinged_ms;
} watch;

/* Pings after a minute, gives up after two. */
static enum hook_next watch_idle(void *subject, void *arg UNUSED)
{
	struct idle *i = subject;

	watch.asked++;
	watch.silent_ms = i->silent_ms;
	watch.pinged_ms = i->pinged_ms;
	i->dead = i->silent_ms >= 120000;
	if (i->silent_ms >= 60000 && !i->pinged_ms)
		i->pinged_ms = i->silent_ms;
	i->again_ms = i->silent_ms < 60000 ? 60000 : 120000;
	return HOOK_GO_ON;
}

Test(c2s, silence_is_watched_over)
{
	struct visitor c;
	unsigned asked;
	char jid[200];

	cr_assert_eq(hook_add(host->hooks, &session_idle_hook, 1, watch_idle, NULL), 0);
	arrive(&c, 0);
	logs_in(&c, jid);
	clock_move(1100);
	asked = watch.asked;
	cr_expect_geq(asked, 1, "when it opens");
	clock_move(50000);
	cr_expect_eq(watch.asked, asked, "not before it was asked to");
	clock_move(10000);
	cr_expect_eq(watch.asked, asked + 1);
	cr_expect_geq(watch.silent_ms, 60000);
	says(&c, " ");
	clock_move(61000);
	cr_expect_eq(watch.pinged_ms, 0, "it has been heard since");
	cr_expect_lt(watch.silent_ms, 70000);
	clock_move(50000);
	cr_expect(c2s_count());
	clock_move(12000);
	cr_expect_geq(watch.pinged_ms, 60000);
	hears(&c);
	cr_expect(strstr(c.heard, STREAM_ERROR("connection-timeout")), "RFC 6120 §4.9.3.4: %s",
		c.heard);
	goes(&c);
	hook_remove(host->hooks, &session_idle_hook, 1, watch_idle, NULL);
}

/* --- answers of the account backend --- */

static void let_jobs_end(void)
{
	gate_open();
	auth_stop(); /* waits for the last */
	cr_assert_eq(auth_start(NULL), 0);
	settle();
}

Test(c2s, an_answer_about_one_that_is_gone)
{
	static const char *const ways[] = { NULL, LEGACY("romeo") };

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct visitor c;

		gate_close();
		arrive(&c, 0);
		encrypts(&c);
		if (ways[i])
			says(&c, ways[i]);
		else
			says_plain(&c, "romeo");
		gate_await();
		goes(&c);
		cr_expect_eq(c2s_count(), 0);
		let_jobs_end();
		cr_expect_eq(directory_count(), 0);
	}
}

/* Its time was over while the backend thought: no session comes of it. */
Test(c2s, an_answer_about_one_that_is_ending)
{
	static const char *const ways[] = { NULL, LEGACY("romeo") };
	struct visitor first;

	arrive(&first, 1);
	logs_in_as(&first, "romeo");
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct visitor c;

		gate_close();
		arrive(&c, 0);
		encrypts(&c);
		if (ways[i])
			says(&c, ways[i]);
		else
			says_plain(&c, "romeo");
		gate_await();
		c2s_kick_all(STREAM_RESET);
		clock_move(0);
		let_jobs_end();
		hears(&c);
		cr_expect(strstr(c.heard, STREAM_ERROR("reset")), "%s", c.heard);
		cr_expect_not(strstr(c.heard, "<success") || strstr(c.heard, "result"));
		cr_expect_eq(directory_count(), 0);
		goes(&c);
	}
	goes(&first);
}

Test(c2s, a_late_answer_replaces_nobody)
{
	struct visitor live, late;

	arrive(&live, 1);
	logs_in_as(&live, "romeo");
	gate_close();
	arrive(&late, 0);
	encrypts(&late);
	says(&late, LEGACY("romeo"));
	gate_await();
	clock_move(61000); /* its negotiation timeout */
	let_jobs_end();
	cr_expect_eq(directory_count(), 1);
	tries(&live, "<iq id='1' type='get'><x xmlns='y'/></iq>", "<service-unavailable ");
	goes(&late);
	goes(&live);
}

Test(c2s, a_backend_that_is_away)
{
	struct visitor c;

	gate.result = -EIO;
	arrive(&c, 0);
	encrypts(&c);
	says_plain(&c, "romeo");
	cr_expect(strstr(hears_after_a_job(&c), "<temporary-auth-failure/>"), "RFC 6120 §6.5.11");
	says(&c, LEGACY("romeo"));
	cr_expect(strstr(hears_after_a_job(&c), "<internal-server-error "), "%s", c.heard);
	gate.result = 0;
	says_plain(&c, "romeo");
	cr_expect(strstr(hears_after_a_job(&c), "<success "), "and then it is back");
	goes(&c);
}

/* XEP-0078 §4: the password was right, the resource is another's; with another all is well. */
Test(c2s, a_resource_refused_to_an_old_client)
{
	struct visitor live, late;

	conf->resource_conflict = CONFLICT_CLOSE_NEW;
	arrive(&live, 1);
	logs_in_as(&live, "romeo");
	arrive(&late, 0);
	encrypts(&late);
	for (unsigned i = 0; i < 2; i++) {
		says(&late, LEGACY("romeo"));
		cr_expect(strstr(hears_after_a_job(&late), "<conflict "), "%s", late.heard);
	}
	says(&late, LEGACY("juliet"));
	cr_expect(strstr(hears_after_a_job(&late), "type='result'"), "%s", late.heard);
	cr_expect_eq(directory_count(), 2);
	goes(&late);
	goes(&live);
}

Test(c2s, guesses_are_few)
{
	struct visitor c;

	gate.result = AUTH_WRONG;
	arrive(&c, 0);
	encrypts(&c);
	for (unsigned i = 0; i < 5; i++) {
		if (i % 2)
			says(&c, LEGACY("romeo"));
		else
			says_plain(&c, "romeo");
		cr_assert(strstr(hears_after_a_job(&c), "not-authorized"), "%s", c.heard);
	}
	cr_expect(
		strstr(c.heard, STREAM_ERROR("policy-violation")), "RFC 6120 §6.4.5: %s", c.heard);
	goes(&c);
	conf->auth_fails = 5;
	arrive(&c, 0);
	encrypts(&c);
	says_plain(&c, "romeo");
	cr_expect(strstr(hears_after_a_job(&c), STREAM_ERROR("policy-violation")),
		"nor may it come back for more");
	goes(&c);
	gate.result = 0;
	clock_move(600000);
	arrive(&c, 0);
	encrypts(&c);
	says_plain(&c, "romeo");
	cr_expect(strstr(hears_after_a_job(&c), "<success "), "before the window is over");
	goes(&c);
}

Test(c2s, walking_down_the_list_is_no_guess)
{
	struct visitor c;

	arrive(&c, 0);
	tries(&c, OPEN, "<stream:features>");
	for (unsigned i = 0; i < 11; i++)
		tries(&c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>",
			"<invalid-mechanism/>");
	tries(&c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>",
		STREAM_ERROR("policy-violation"));
	goes(&c);
}

/* --- ended by others --- */

Test(c2s, kicked)
{
	struct actor_id id;
	struct visitor c;
	char jid[200];

	arrive(&c, 0);
	logs_in(&c, jid);
	find(jid);
	id = found->session.id;
	c2s_kick(id, STREAM_POLICY_VIOLATION, "enough");
	settle();
	hears(&c);
	cr_expect(strstr(c.heard, STREAM_ERROR("policy-violation")), "%s", c.heard);
	cr_expect(strstr(c.heard, ">enough</text>"), "%s", c.heard);
	cr_expect_eq(directory_count(), 0, "at once, not when it closes");
	goes(&c);
	c2s_kick(id, STREAM_CONFLICT, "who is not there any more");
	settle();
}

Test(c2s, all_of_a_host_or_all)
{
	struct host_conf *other_conf = host_conf_new();
	struct host *other;
	struct visitor c[3];
	char jid[200];

	other_conf->language = "en";
	other = host_new("montague.net", other_conf);
	for (unsigned i = 0; i < 2; i++) {
		arrive(&c[i], i);
		logs_in(&c[i], jid);
	}
	arrive(&c[2], 0); /* belongs to no host yet */
	c2s_kick_host(other, STREAM_HOST_GONE);
	settle();
	cr_expect_eq(directory_count(), 2);
	c2s_kick_host(host, STREAM_HOST_GONE);
	settle();
	cr_expect_eq(directory_count(), 0);
	for (unsigned i = 0; i < 2; i++) {
		hears(&c[i]);
		cr_expect(strstr(c[i].heard, STREAM_ERROR("host-gone")), "RFC 6120 §4.9.3.5");
		goes(&c[i]);
	}
	cr_expect_eq(c2s_count(), 1);
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	settle();
	hears(&c[2]);
	cr_expect(strstr(c[2].heard, STREAM_ERROR("system-shutdown")), "RFC 6120 §4.9.3.20");
	goes(&c[2]);
	host_unref(other);
}

/* --- stanzas for it --- */

static struct heard romeo;

static void send_to(const char *jid, unsigned number, size_t bytes)
{
	AUTO(free_ptr) char *body = xcalloc(1, bytes + 1);
	AUTO(free_ptr) char *text = NULL;

	memset(body, 'x', bytes);
	text = xprintf(
		"<message xmlns='jabber:client' type='chat' id='%u' from='romeo@montague.net/r' "
		"to='%s'><body>%s</body></message>",
		number, jid, body);
	send_from(1, text);
	settle();
}

/* Each message is read or comes back: none is lost, none both. */
Test(c2s, what_its_client_never_read_comes_back)
{
	enum { N = 40 };
	static const int least = 1;
	unsigned read = 0, back = 0;
	struct visitor c;
	char jid[200];

	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	arrive(&c, 0);
	logs_in(&c, jid);
	find(jid);
	setsockopt(found->stream.conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	found->stream.conn.out_max_held = 60000;
	for (unsigned i = 0; i < N; i++)
		send_to(jid, i, 2000);
	cr_expect_eq(c2s_count(), 0, "it is closed for not reading");
	for (const char *text = hears(&c); strcmp(text, "EOF") != 0; text = hears(&c))
		for (const char *m = text; (m = strstr(m, "</message>")); m++)
			read++;
	for (; back < romeo.n; back++)
		cr_expect(
			strstr(romeo.text[back], "<service-unavailable "), "%s", romeo.text[back]);
	cr_expect_gt(read, 0);
	cr_expect_gt(back, 10);
	cr_expect_eq(read + back, N);
	goes(&c);
	route_unregister("montague.net");
	heard_forget(&romeo);
}

static void no_room_to_send(const char *jid)
{
	static const int least = 1;

	find(jid);
	setsockopt(found->stream.conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
}

/* Memory is over its limit: the largest goes, its messages are read or come back, and it hears why
 * (RFC 6120 §4.9.3.17); whoever is smaller stays as long as that is enough. */
Test(c2s, who_holds_the_most_is_closed)
{
	enum { LARGE = 40, SMALL = 20 };
	struct visitor large, small, none;
	char large_jid[200], small_jid[200], none_jid[200];
	AUTO(free_ptr) char *came = xcalloc(1, 400000);
	unsigned read = 0;

	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	arrive(&small, 0);
	logs_in(&small, small_jid);
	arrive(&large, 1);
	logs_in(&large, large_jid);
	arrive(&none, 1);
	logs_in(&none, none_jid);
	no_room_to_send(small_jid);
	no_room_to_send(large_jid);
	for (unsigned i = 0; i < LARGE; i++)
		send_to(large_jid, i, 2000);
	for (unsigned i = 0; i < SMALL; i++)
		send_to(small_jid, i, 2000);

	cr_assert(c2s_shed(1));
	settle();
	cr_expect_eq(directory_count(), 2, "one is enough");
	for (const char *text = hears(&large); strcmp(text, "EOF") != 0; text = hears(&large)) {
		strcat(came, text);
		settle();
	}
	cr_expect(strstr(came, STREAM_ERROR("resource-constraint")), "%s", came);
	for (const char *m = came; (m = strstr(m, "</message>")); m++)
		read++;
	cr_expect_eq(read + romeo.n, LARGE);
	cr_expect_gt(romeo.n, LARGE / 2);
	goes(&large);

	cr_assert(c2s_shed(1000000));
	settle();
	cr_expect_eq(
		directory_count(), 1, "and now the next, but nobody who holds next to nothing");
	cr_assert(c2s_shed(1000000));
	settle();
	tries(&none, "<presence type='unavailable'/></stream:stream>", "</stream:stream>");
	goes(&none);
	goes(&small);
	route_unregister("montague.net");
	heard_forget(&romeo);
}

/* Memory is short: nobody new, wherever in its login it stands. */
Test(c2s, nobody_logs_in_while_memory_is_short)
{
	struct visitor inside, new, late, old;
	char jid[200];

	arrive(&inside, 0);
	logs_in(&inside, jid);
	arrive(&late, 0);
	tries(&late, OPEN, "<mechanism>ANONYMOUS</mechanism>");
	arrive(&old, 0);
	encrypts(&old);
	atomic_store(&sysmon_short, true);

	arrive(&new, 0); /* RFC 6120 §4.9.3.17 */
	tries(&new, OPEN, STREAM_ERROR("resource-constraint"));
	tries(&late, ANONYMOUS, "<temporary-auth-failure/>"); /* §6.5.11 */
	tries(&old, LEGACY("juliet"), "<resource-constraint "); /* XEP-0078 */
	tries(&inside, "<iq type='get' id='p'><query xmlns='urn:example:x'/></iq>", "id='p'");
	atomic_store(&sysmon_short, false);
	tries(&late, ANONYMOUS, "<success ");
	says(&old, LEGACY("juliet"));
	cr_expect(strstr(hears_after_a_job(&old), "type='result'"), "%s", old.heard);
	goes(&new);
	goes(&late);
	goes(&old);
	goes(&inside);
}

Test(c2s, what_comes_while_it_closes_comes_back)
{
	struct visitor c;
	char jid[200];

	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	arrive(&c, 0);
	logs_in(&c, jid);
	send_to(jid, 1, 1);
	cr_expect_eq(romeo.n, 0);
	tries(&c, "</stream:stream>", "</stream:stream>");
	cr_expect_eq(c2s_count(), 1, "it waits for its client to close");
	send_to(jid, 2, 1);
	cr_expect_eq(romeo.n, 1);
	goes(&c);
	route_unregister("montague.net");
	heard_forget(&romeo);
}

/* --- requests before login --- */

static struct actor_id asker;
static struct stanza *asked;

static enum hook_next answer_later(void *subject, void *arg UNUSED)
{
	const struct prelogin_iq *p = subject;

	if (strcmp(stanza_iq_child(p->iq)->ns, "urn:example:later") != 0)
		return HOOK_GO_ON;
	asker = p->stream;
	asked = stanza_ref(p->iq);
	return HOOK_STOP;
}

Test(c2s, an_answer_to_a_stream_without_an_address)
{
	struct stanza *answer;
	struct visitor c;
	struct builder b;

	cr_assert_eq(hook_add(host->hooks, &prelogin_iq_hook, 1, answer_later, NULL), 0);
	arrive(&c, 0);
	tries(&c, OPEN, "<stream:features>");
	says(&c, "<iq type='get' id='1'><x xmlns='urn:example:later'/></iq>");
	build_iq_result(&b, asked);
	answer = build_end(&b);
	for (int i = 0; i < 2; i++) { /* the second when it is gone */
		deliver_to(asker, answer);
		settle();
		if (i)
			break;
		hears(&c);
		cr_expect(strstr(c.heard, "type='result'") && strstr(c.heard, "id='1'"), "%s",
			c.heard);
		tries(&c, "<iq type='get' id='2'><x xmlns='urn:example:other'/></iq>",
			STREAM_ERROR("not-authorized"));
		goes(&c);
	}
	stanza_unref(answer);
	stanza_unref(asked);
	hook_remove(host->hooks, &prelogin_iq_hook, 1, answer_later, NULL);
}

Test(c2s, direct_tls)
{
	static const unsigned char alpn[] = "\x0bxmpp-client";
	struct visitor c;

	options->conf.tls = true;
	options->conf.starttls = false;
	arrive(&c, 0);
	tls_peer_begin(&c.tls, c.fd);
	SSL_set_alpn_protos(c.tls.ssl, alpn, sizeof(alpn) - 1);
	cr_assert(tls_peer_shake(&c.tls, settle));
	c.encrypted = true;
	tries(&c, OPEN, "<mechanism>PLAIN</mechanism>");
	cr_expect_not(strstr(c.heard, "starttls"), "XEP-0368");
	goes(&c);
}
