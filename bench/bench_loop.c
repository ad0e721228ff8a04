/* bench/bench_loop.c - one epoll set. */
#include "bench/bench_loop.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench_client.h"

#define EVENTS 512

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void loop_init(struct loop *l, const struct options *o)
{
	*l = (struct loop){ .options = o };
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->room = malloc(LOOP_ROOM + 1);
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
		client_flush(c);
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
				client_event(events[i].data.ptr, events[i].events);
		if (l->pace)
			pace_run(l->pace, now_ns());
		flush_all(l);
	}
}
