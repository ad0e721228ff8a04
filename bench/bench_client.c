/* bench/bench_client.c - sockets, TLS and the negotiation of RFC 6120, from the client's end. */
#include "bench/bench_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM (1u << 20) /* the longest stanza, and what one client gets read in a round */
#define EVENTS 512

static void lose(struct client *c, const char *why);

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- attributes -------------------------------------------------------------------------- */

bool attr_of(const char *text, const char *name, const char **value, size_t *len)
{
	size_t name_len = strlen(name);

	while (*text && *text != '>' && *text != ' ')
		text++;
	while (*text == ' ') {
		const char *equals, *end;
		bool found;

		while (*text == ' ')
			text++;
		equals = strchr(text, '=');
		if (*text == '>' || *text == '/' || !equals)
			return false;
		end = strchr(equals + 2, equals[1]);
		if (!end)
			return false;
		found = (size_t)(equals - text) == name_len && !memcmp(text, name, name_len);
		if (found) {
			*value = equals + 2;
			*len = (size_t)(end - equals - 2);
			return true;
		}
		text = end + 1;
	}
	return false;
}

bool attr_is(const char *text, const char *name, const char *value)
{
	const char *at;
	size_t len;

	return attr_of(text, name, &at, &len) && len == strlen(value) && !memcmp(at, value, len);
}

int64_t attr_number(const char *text, const char *name)
{
	const char *at;
	size_t len;

	return attr_of(text, name, &at, &len) && len ? strtoll(at, NULL, 10) : -1;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* --- out --------------------------------------------------------------------------------- */

void client_send(struct client *c, const char *bytes, size_t len)
{
	if (c->out_len + len > c->out_cap) {
		c->out_cap = (c->out_len + len) * 2;
		c->out = realloc(c->out, c->out_cap);
		if (!c->out)
			abort();
	}
	memcpy(c->out + c->out_len, bytes, len);
	c->out_len += len;
	if (!c->is_dirty) {
		c->is_dirty = true;
		c->next_dirty = c->loop->dirty;
		c->loop->dirty = c;
	}
}

void client_sendf(struct client *c, const char *format, ...)
{
	char text[4096];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0 || len >= (int)sizeof(text))
		abort();
	client_send(c, text, (size_t)len);
}

static void watch(struct client *c, int op)
{
	struct epoll_event e = { .events = EPOLLIN | (c->wants_write ? EPOLLOUT : 0u),
		.data.ptr = c };

	epoll_ctl(c->loop->epoll, op, c->fd, &e);
}

static void set_wants_write(struct client *c, bool wants)
{
	if (c->wants_write == wants)
		return;
	c->wants_write = wants;
	watch(c, EPOLL_CTL_MOD);
}

/* How many bytes went out; -1: wait for the socket; -2: it is gone. */
static ssize_t write_some(struct client *c, const char *bytes, size_t len)
{
	ssize_t n;

	if (!c->ssl) {
		n = send(c->fd, bytes, len, MSG_NOSIGNAL);
		return n >= 0 ? n : errno == EAGAIN ? -1 : -2;
	}
	ERR_clear_error();
	n = SSL_write(c->ssl, bytes, (int)(len < INT32_MAX ? len : INT32_MAX));
	if (n > 0)
		return n;
	return SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE ? -1 : -2;
}

static void flush(struct client *c)
{
	if (c->step <= STEP_HANDSHAKE)
		return;
	while (c->out_at < c->out_len) {
		ssize_t n = write_some(c, c->out + c->out_at, c->out_len - c->out_at);

		if (n == -1) {
			set_wants_write(c, true);
			return;
		}
		if (n < 0) {
			lose(c, "connection lost while writing");
			return;
		}
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
	set_wants_write(c, false);
}

/* --- life -------------------------------------------------------------------------------- */

void client_init(
	struct client *c, struct loop *l, unsigned number, const struct client_events *events)
{
	*c = (struct client){ .loop = l, .number = number, .events = events, .fd = -1 };
}

static void hang_up(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->in);
	free(c->jid);
	c->in = NULL;
	c->jid = NULL;
	c->in_len = c->out_at = c->out_len = 0;
	c->wants_write = c->authenticated = c->wants_session = false;
	c->step = STEP_NONE;
	scan_restart(&c->scan);
}

void client_fini(struct client *c)
{
	hang_up(c);
	for (struct client **at = &c->loop->dirty; *at; at = &(*at)->next_dirty)
		if (*at == c) {
			*at = c->next_dirty;
			break;
		}
	free(c->out);
	c->out = NULL;
}

static void lose(struct client *c, const char *why)
{
	bool asked = c->step == STEP_CLOSING;

	if (c->step == STEP_NONE)
		return;
	hang_up(c);
	c->events->closed(c, asked ? NULL : why);
}

void client_close(struct client *c)
{
	if (c->step == STEP_NONE || c->step == STEP_CLOSING)
		return;
	client_sendf(c, "</stream:stream>");
	c->step = STEP_CLOSING;
}

void client_cut(struct client *c)
{
	hang_up(c);
}

/* An address of 127.0.0.0/8 for each client, so that no limit per address stands in the way. */
static void choose_source(const struct client *c, int fd)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	unsigned n = c->loop->options->first_user + c->number;
	int on = 1;

	if (c->loop->options->one_address || !starts(c->loop->options->host, "127."))
		return;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	from.sin_addr.s_addr = htonl(
		127u << 24 | (1 + n / 62500 % 250) << 16 | (n / 250 % 250) << 8 | (1 + n % 250));
	bind(fd, (struct sockaddr *)&from, sizeof(from));
}

static bool server_address(const struct options *o, struct sockaddr_storage *at, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)at;

	memset(at, 0, sizeof(*at));
	if (inet_pton(AF_INET, o->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)o->port);
		*len = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)o->port);
	*len = sizeof(*v6);
	return inet_pton(AF_INET6, o->host, &v6->sin6_addr) == 1;
}

void client_start(struct client *c, enum client_goal goal)
{
	struct sockaddr_storage to;
	socklen_t len;
	int on = 1;

	c->goal = goal;
	c->began_ns = now_ns();
	c->step = STEP_CONNECT;
	if (!server_address(c->loop->options, &to, &len)) {
		lose(c, "--host is not an address");
		return;
	}
	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		lose(c, strerror(errno));
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	choose_source(c, c->fd);
	c->wants_write = true;
	watch(c, EPOLL_CTL_ADD);
	if (connect(c->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		lose(c, strerror(errno));
}

/* --- negotiation ------------------------------------------------------------------------- */

static void names_of(const struct client *c, char *user, char *password, size_t room)
{
	const struct options *o = c->loop->options;

	snprintf(user, room, "%s%u", o->user_prefix, o->first_user + c->number);
	snprintf(password, room, "%s%u", o->password, o->first_user + c->number);
}

static void open_stream(struct client *c)
{
	scan_restart(&c->scan);
	client_sendf(c,
		"<?xml version='1.0'?><stream:stream to='%s' version='1.0' xml:lang='en' "
		"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
		c->loop->options->domain);
	c->step = STEP_FEATURES;
}

static void handshake(struct client *c)
{
	int n;

	if (!c->ssl) {
		c->ssl = SSL_new(c->loop->tls);
		SSL_set_fd(c->ssl, c->fd);
		SSL_set_connect_state(c->ssl);
		SSL_set_tlsext_host_name(c->ssl, c->loop->options->domain);
		if (c->loop->options->tls == BENCH_DIRECT_TLS)
			SSL_set_alpn_protos(c->ssl, (const uint8_t *)"\x0bxmpp-client", 12);
	}
	c->step = STEP_HANDSHAKE;
	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		set_wants_write(c, false);
		open_stream(c);
		return;
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		set_wants_write(c, false);
		break;
	case SSL_ERROR_WANT_WRITE:
		set_wants_write(c, true);
		break;
	default:
		lose(c, "TLS handshake failed");
	}
}

static void begin_sasl(struct client *c)
{
	enum bench_mech mech = c->loop->options->mech;
	char user[100], password[100], text[SCRAM_TEXT];

	names_of(c, user, password, sizeof(user));
	if (!scram_begin(&c->scram, mech, user, password, text)) {
		lose(c, "name or password too long");
		return;
	}
	client_sendf(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>",
		mech_name(mech), text);
	c->step = mech == MECH_PLAIN ? STEP_SUCCESS : STEP_CHALLENGE;
}

static void begin_register(struct client *c)
{
	char user[100], password[100];

	names_of(c, user, password, sizeof(user));
	client_sendf(c,
		"<iq type='set' id='reg'><query xmlns='jabber:iq:register'>"
		"<username>%s</username><password>%s</password></query></iq>",
		user, password);
	c->step = STEP_REGISTER;
}

static void on_features(struct client *c, const char *text)
{
	const char *session;

	if (!strstr(text, "features")) {
		lose(c, text);
	} else if (c->authenticated && c->resume) {
		client_send(c, c->resume, strlen(c->resume));
		c->step = STEP_RESUME;
	} else if (c->authenticated) {
		if (!c->loop->features)
			c->loop->features = strdup(text);
		session = strstr(text, "urn:ietf:params:xml:ns:xmpp-session");
		c->wants_session = session && strncmp(session + 36, "><optional", 10);
		client_sendf(c,
			"<iq type='set' id='bind'>"
			"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
		c->step = STEP_BIND;
	} else if (c->loop->options->tls == BENCH_STARTTLS && !c->ssl) {
		client_sendf(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
		c->step = STEP_PROCEED;
	} else if (c->goal == GOAL_ACCOUNT) {
		begin_register(c);
	} else {
		begin_sasl(c);
	}
}

static void on_challenge(struct client *c, const char *text)
{
	struct loop *l = c->loop;
	const char *from = strchr(text, '>'), *to = strrchr(text, '<');
	char user[100], password[100], answer[SCRAM_TEXT];

	names_of(c, user, password, sizeof(user));
	if (!starts(text, "<challenge") || !from || to <= from ||
		!scram_answer(&c->scram, &l->accounts[c->number], l->options->mech, password,
			from + 1, (size_t)(to - from - 1), answer)) {
		lose(c, text);
		return;
	}
	client_sendf(c, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", answer);
	c->step = STEP_SUCCESS;
}

static void become_ready(struct client *c)
{
	client_sendf(c, "<presence/>");
	c->step = STEP_READY;
	c->events->ready(c);
}

/* linnet-relay has greeted us. Its pairs are those who come one after the other. */
static void relayed(struct client *c)
{
	if (asprintf(&c->jid, "%s%u@%s/relay", c->loop->options->user_prefix, c->number,
		    c->loop->options->domain) < 0)
		abort();
	c->step = STEP_READY;
	c->events->ready(c);
}

static void on_bound(struct client *c, const char *text)
{
	const char *from = strstr(text, "<jid>"), *to = from ? strchr(from + 5, '<') : NULL;

	if (!starts(text, "<iq") || !attr_is(text, "type", "result") || !to) {
		lose(c, text);
		return;
	}
	c->jid = strndup(from + 5, (size_t)(to - from - 5));
	if (!c->wants_session) {
		become_ready(c);
		return;
	}
	client_sendf(c,
		"<iq type='set' id='sess'>"
		"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
	c->step = STEP_SESSION;
}

/* What is there already (RFC 6120 §8.3.3.2 conflict) is as good as made. */
static void on_registered(struct client *c, const char *text)
{
	if (!starts(text, "<iq") ||
		!(attr_is(text, "type", "result") || strstr(text, "<conflict"))) {
		lose(c, text);
		return;
	}
	c->step = STEP_READY;
	c->events->ready(c);
}

/* A server that asks gets an answer, or it might think us dead. */
static bool answer_request(struct client *c, const char *text)
{
	const char *id;
	size_t len;

	if (!starts(text, "<iq") ||
		!(attr_is(text, "type", "get") || attr_is(text, "type", "set")) ||
		!attr_of(text, "id", &id, &len))
		return false;
	client_sendf(c, "<iq type='result' id='%.*s'/>", (int)(len < 1000 ? len : 1000), id);
	return true;
}

static void on_stanza(struct client *c, const char *text)
{
	switch (c->step) {
	case STEP_FEATURES:
		on_features(c, text);
		break;
	case STEP_PROCEED:
		if (starts(text, "<proceed"))
			handshake(c);
		else
			lose(c, text);
		break;
	case STEP_CHALLENGE:
		on_challenge(c, text);
		break;
	case STEP_SUCCESS:
		if (starts(text, "<success")) {
			c->authenticated = true;
			open_stream(c);
		} else {
			lose(c, text);
		}
		break;
	case STEP_BIND:
		on_bound(c, text);
		break;
	case STEP_SESSION:
		if (attr_is(text, "type", "result"))
			become_ready(c);
		break;
	case STEP_RESUME:
		c->step = STEP_READY;
		c->events->stanza(c, text);
		break;
	case STEP_REGISTER:
		on_registered(c, text);
		break;
	case STEP_READY:
		if (starts(text, "<stream:error"))
			lose(c, text);
		else if (c->keeps_requests || !answer_request(c, text))
			c->events->stanza(c, text);
		break;
	default:
		break;
	}
}

/* --- in ---------------------------------------------------------------------------------- */

/* Everything whole in bytes, which has room for one more; the rest is kept for the next time. A
 * stanza that changes the stream (<proceed/>, <success/>) has nothing behind it. */
static void scan_bytes(struct client *c, char *bytes, size_t len)
{
	size_t from, to, done;

	for (;;) {
		enum scan_what what = scan_next(&c->scan, bytes, len, &from, &to);
		char behind;

		if (what == SCAN_MORE)
			break;
		if (what == SCAN_OPEN) {
			if (c->loop->options->relay)
				relayed(c);
			continue;
		}
		if (what == SCAN_CLOSE) {
			lose(c, "the server closed the stream");
			return;
		}
		behind = bytes[to];
		bytes[to] = 0;
		on_stanza(c, bytes + from);
		bytes[to] = behind;
		if (c->step == STEP_NONE || c->scan.at == 0) /* gone, or a new stream begins */
			return;
	}
	done = scan_keep(&c->scan);
	if (done < len) {
		c->in = malloc(len - done);
		if (!c->in)
			abort();
		memcpy(c->in, bytes + done, len - done);
		c->in_len = len - done;
	}
}

/* Bytes read, 0: none for now, -1: the end. */
static ssize_t read_some(struct client *c, char *room, size_t len)
{
	size_t got = 0;
	int n;

	if (!c->ssl) {
		ssize_t plain = recv(c->fd, room, len, 0);

		return plain > 0 ? plain : plain < 0 && errno == EAGAIN ? 0 : -1;
	}
	for (;;) {
		ERR_clear_error();
		n = SSL_read(c->ssl, room + got, (int)(len - got));
		if (n <= 0)
			break;
		got += (size_t)n;
		if (got == len)
			return (ssize_t)got;
	}
	if (got || SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
		return (ssize_t)got;
	return -1;
}

static void readable(struct client *c)
{
	char *room = c->loop->room;
	size_t kept = c->in_len;
	ssize_t got;

	if (kept)
		memcpy(room, c->in, kept);
	if (kept >= ROOM / 2) {
		lose(c, "a stanza without end");
		return;
	}
	got = read_some(c, room + kept, ROOM - kept);
	if (got < 0) {
		lose(c, "the server closed the connection");
	} else if (got) {
		free(c->in);
		c->in = NULL;
		c->in_len = 0;
		scan_bytes(c, room, kept + (size_t)got);
	}
}

static void connected(struct client *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		lose(c, strerror(error));
		return;
	}
	set_wants_write(c, false);
	if (c->loop->options->relay)
		c->step = STEP_FEATURES; /* waits for the greeting */
	else if (c->loop->options->tls == BENCH_DIRECT_TLS)
		handshake(c);
	else
		open_stream(c);
}

static void ready(struct client *c, uint32_t events)
{
	if (c->step == STEP_CONNECT) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(c);
	} else if (c->step == STEP_HANDSHAKE) {
		handshake(c);
	} else if (c->step != STEP_NONE) {
		if (events & EPOLLOUT)
			flush(c);
		if (c->step != STEP_NONE && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			readable(c);
	}
}

/* --- loop -------------------------------------------------------------------------------- */

void loop_init(struct loop *l, const struct options *o)
{
	*l = (struct loop){ .options = o };
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->room = malloc(ROOM + 1);
	l->accounts = calloc(o->users, sizeof(*l->accounts));
	l->tls = SSL_CTX_new(TLS_client_method());
	if (l->epoll < 0 || !l->room || !l->accounts || !l->tls)
		abort();
	SSL_CTX_set_verify(l->tls, SSL_VERIFY_NONE, NULL); /* it is the server that is measured */
	SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(l->tls,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

void loop_fini(struct loop *l)
{
	close(l->epoll);
	SSL_CTX_free(l->tls);
	free(l->accounts);
	free(l->features);
	free(l->room);
}

static void flush_all(struct loop *l)
{
	while (l->dirty) {
		struct client *c = l->dirty;

		l->dirty = c->next_dirty;
		c->is_dirty = false;
		flush(c);
	}
}

void loop_pace(struct loop *l, struct pace *p)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };

	if (p)
		epoll_ctl(l->epoll, EPOLL_CTL_ADD, p->fd, &e);
	else if (l->pace)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->pace->fd, NULL);
	l->pace = p;
}

void loop_run(struct loop *l, uint64_t until_ns)
{
	struct epoll_event events[EVENTS];

	l->stop = false;
	flush_all(l);
	while (!l->stop) {
		uint64_t now = now_ns();
		int wait_ms = 1000, n;

		if (until_ns && now >= until_ns)
			return;
		if (until_ns && (until_ns - now) / 1000000 < 1000)
			wait_ms = (int)((until_ns - now + 999999) / 1000000);
		n = epoll_wait(l->epoll, events, EVENTS, wait_ms);
		for (int i = 0; i < n; i++)
			if (events[i].data.ptr) /* or the pace's timer, which only wakes us */
				ready(events[i].data.ptr, events[i].events);
		if (l->pace)
			pace_run(l->pace, now_ns());
		flush_all(l);
	}
}
