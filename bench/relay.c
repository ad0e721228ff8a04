/* bench/relay.c - the floor of a comparison: moves bytes between clients and looks at none. What a
 * message costs here, one read and one write by one thread, no XMPP server on sockets gets below.
 *
 *   linnet-relay PORT          the 1st and 2nd who come hear each other, the 3rd and 4th, ...
 *   linnet-relay --echo PORT   whoever comes hears what he says
 *
 * Each is greeted with a stream's start tag, and from then on it is in effect his peer who answers:
 * linnet-bench --relay. A peer that does not read stops the one who writes to it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/attr.h"

#define ROOM 65536
#define EVENTS 512

struct end {
	int fd;
	struct end *peer; /* itself where it echoes; NULL: has not come yet, or has gone */
	char *rest; /* owned: read from the peer, not taken by fd yet */
	size_t rest_len;
	bool dead; /* hung up on; freed after the round */
	struct end *next_dead;
};

static int loop, listener;
static bool echoes;
static struct end *single; /* waits for a peer */
static struct end *dead;
static char room[ROOM];

NO_RETURN static void fail(const char *what)
{
	fprintf(stderr, "linnet-relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Of e: reading while nothing of it waits to be written, writing while something waits for it. */
static void watch(struct end *e, int op)
{
	bool reads = !e->peer || !e->peer->rest_len;
	struct epoll_event event = {
		.events = (reads ? EPOLLIN : 0u) | (e->rest_len ? EPOLLOUT : 0u), .data.ptr = e
	};

	epoll_ctl(loop, op, e->fd, &event);
}

static void hang_up(struct end *e)
{
	struct end *peer = e->peer;

	if (e->dead)
		return;
	e->dead = true;
	e->next_dead = dead;
	dead = e;
	close(e->fd);
	if (single == e)
		single = NULL;
	if (peer)
		hang_up(peer);
}

static void bury(void)
{
	while (dead) {
		struct end *e = dead;

		dead = e->next_dead;
		free(e->rest);
		free(e);
	}
}

/* What fd does not take now is kept, and the peer is not read until it has gone. */
static void say(struct end *e, const char *bytes, size_t len)
{
	ssize_t n = send(e->fd, bytes, len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		hang_up(e);
		return;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n == len)
		return;
	e->rest_len = len - (size_t)n;
	e->rest = malloc(e->rest_len);
	if (!e->rest)
		abort();
	memcpy(e->rest, bytes + n, e->rest_len);
	watch(e, EPOLL_CTL_MOD);
	if (e->peer != e)
		watch(e->peer, EPOLL_CTL_MOD);
}

static void say_rest(struct end *e)
{
	char *bytes = e->rest;
	size_t len = e->rest_len;

	e->rest = NULL;
	e->rest_len = 0;
	say(e, bytes, len);
	free(bytes);
	if (e->dead || e->rest_len)
		return;
	watch(e, EPOLL_CTL_MOD);
	if (e->peer != e)
		watch(e->peer, EPOLL_CTL_MOD);
}

static void hear(struct end *e)
{
	ssize_t n = recv(e->fd, room, sizeof(room), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !e->peer) /* nobody is there to hear it */
		hang_up(e);
	else
		say(e->peer, room, (size_t)n);
}

static void pair_up(struct end *e)
{
	if (echoes) {
		e->peer = e;
	} else if (single) {
		e->peer = single;
		single->peer = e;
		single = NULL;
	} else {
		single = e;
	}
}

static void welcome(int fd)
{
	static const char greeting[] = "<relay>";
	struct end *e = calloc(1, sizeof(*e));
	int on = 1;

	if (!e)
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	e->fd = fd;
	pair_up(e);
	watch(e, EPOLL_CTL_ADD);
	if (send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0)
		hang_up(e);
}

static void welcome_all(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		welcome(fd);
}

static void open_listener(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event event = { .events = EPOLLIN };
	int on = 1;

	loop = epoll_create1(EPOLL_CLOEXEC);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (loop < 0 || listener < 0)
		fail("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1024) < 0)
		fail("cannot listen");
	epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
}

static void open_many_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void serve(struct end *e, uint32_t events)
{
	if (!e->dead && events & EPOLLOUT)
		say_rest(e);
	if (!e->dead && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		hear(e);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	char *end = NULL;
	long port = 0;

	echoes = argc == 3 && !strcmp(argv[1], "--echo");
	if (argc == (echoes ? 3 : 2))
		port = strtol(argv[argc - 1], &end, 10);
	if (!end || *end || port < 1 || port > 65535) {
		fprintf(stderr, "usage: linnet-relay [--echo] PORT\n");
		return 2;
	}
	open_many_files();
	open_listener((uint16_t)port);
	for (;;) {
		int n = epoll_wait(loop, events, EVENTS, -1);

		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(events[i].data.ptr, events[i].events);
			else
				welcome_all();
		}
		bury();
	}
}
