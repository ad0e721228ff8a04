/* bench/bench_client.c - a socket, TLS on it or not, and what comes and goes. */
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
#include <unistd.h>

#include "bench/bench_negotiate.h"

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

void client_wants_write(struct client *c, bool wants)
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

void client_flush(struct client *c)
{
	if (c->step <= STEP_HANDSHAKE)
		return;
	while (c->out_at < c->out_len) {
		ssize_t n = write_some(c, c->out + c->out_at, c->out_len - c->out_at);

		if (n == -1) {
			client_wants_write(c, true);
			return;
		}
		if (n < 0) {
			client_lose(c, "connection lost while writing");
			return;
		}
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
	client_wants_write(c, false);
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

void client_lose(struct client *c, const char *why)
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
	if (c->step > STEP_HANDSHAKE && c->out_at < c->out_len)
		write_some(c, c->out + c->out_at, c->out_len - c->out_at);
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
		client_lose(c, "--host is not an address");
		return;
	}
	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		client_lose(c, strerror(errno));
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	choose_source(c, c->fd);
	c->wants_write = true;
	watch(c, EPOLL_CTL_ADD);
	if (connect(c->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		client_lose(c, strerror(errno));
}

/* --- in ---------------------------------------------------------------------------------- */

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

/* XEP-0198: true for what does not count. */
static bool is_management(struct client *c, const char *text)
{
	if (starts(text, "<enabled")) {
		c->managed = true;
		c->handled = 0;
		return true;
	}
	if (starts(text, "<r ")) {
		client_sendf(c, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", c->handled);
		return true;
	}
	c->handled += c->managed;
	return starts(text, "<a ");
}

/* To what become_ready() asked for. */
static bool answers_carbons(struct client *c, const char *text)
{
	if (!starts(text, "<iq") || !attr_is(text, "id", "carbons"))
		return false;
	if (!attr_is(text, "type", "result"))
		client_lose(c, text);
	return true;
}

static void on_stanza(struct client *c, const char *text)
{
	if (c->step < STEP_READY)
		negotiate_stanza(c, text);
	else if (c->step == STEP_READY && starts(text, "<stream:error"))
		client_lose(c, text);
	else if (c->step == STEP_READY && c->loop->options->sm && is_management(c, text))
		return;
	else if (c->step == STEP_READY && c->loop->options->carbons && answers_carbons(c, text))
		return;
	else if (c->step == STEP_READY && (c->keeps_requests || !answer_request(c, text)))
		c->events->stanza(c, text);
}

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
			negotiate_opened(c);
			continue;
		}
		if (what == SCAN_CLOSE) {
			client_lose(c, "the server closed the stream");
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
	if (kept >= LOOP_ROOM / 2) {
		client_lose(c, "a stanza without end");
		return;
	}
	got = read_some(c, room + kept, LOOP_ROOM - kept);
	if (got < 0) {
		client_lose(c, "the server closed the connection");
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
		client_lose(c, strerror(error));
		return;
	}
	client_wants_write(c, false);
	negotiate_begin(c);
}

void client_event(struct client *c, uint32_t events)
{
	if (c->step == STEP_CONNECT) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(c);
	} else if (c->step == STEP_HANDSHAKE) {
		negotiate_handshake(c);
	} else if (c->step != STEP_NONE) {
		if (events & EPOLLOUT)
			client_flush(c);
		if (c->step != STEP_NONE && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			readable(c);
	}
}
