/* net/wire.c - wires in memory: a buffer one way, a call the other. */
#include "net/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

#define HUGE_PAGE ((size_t)2 << 20)

static struct {
	struct wire *at; /* owned */
	unsigned n;
} wires;

static struct wire *wire_of(int fd)
{
	unsigned index = (unsigned)(-2 - fd);

	REQUIRE(index < wires.n);
	return &wires.at[index];
}

/* ---- making ---- */

/* What the connection is to be told, of what it asked for. The far end always takes more. */
static uint32_t due(const struct wire *w)
{
	uint32_t is = EPOLLOUT | (w->in || w->ended ? EPOLLIN : 0);

	return w->watch ? w->watch->events & is : 0;
}

/* The connection is fetched ahead, as the shard does for what epoll brings; so it is not asked here
 * what it waits for. */
ON_SHARD static void come(struct wire *w)
{
	if (!w->watch)
		return;
	shard_at_turn_end(&w->ready);
	watch_soon(w->watch);
}

/* Level-triggered, as epoll is for connections. */
ON_SHARD static void look(struct wire *w)
{
	if (due(w))
		shard_at_turn_end(&w->ready);
}

static void tell_ready(struct turn_end *t)
{
	struct wire *w = container_of(t, struct wire, ready);
	uint32_t events = due(w);

	shard_check(NULL);
	if (events)
		w->watch->ready(w->watch, events);
	look(w);
}

void wires_new(unsigned n)
{
	size_t bytes = (n * sizeof(*wires.at) + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);

	REQUIRE(!wires.at);
	wires.at = aligned_alloc(HUGE_PAGE, bytes);
	REQUIRE(wires.at);
	madvise(wires.at, bytes, MADV_HUGEPAGE); /* so that they show little in what is measured */
	memset(wires.at, 0, bytes);
	wires.n = n;
	for (unsigned i = 0; i < n; i++)
		turn_end_init(&wires.at[i].ready, tell_ready);
}

void wires_free(void)
{
	for (unsigned i = 0; i < wires.n; i++)
		free(wires.at[i].in);
	free(wires.at);
	wires.at = NULL;
	wires.n = 0;
}

struct wire *wire_at(unsigned index)
{
	REQUIRE(index < wires.n);
	return &wires.at[index];
}

int wire_fd(unsigned index)
{
	return -2 - (int)index;
}

unsigned wire_index(const struct wire *w)
{
	return (unsigned)(w - wires.at);
}

/* ---- the far end ---- */

void wire_give(struct wire *w, const void *bytes, size_t len)
{
	uint32_t left = w->in_len - w->in_at;
	char *in = xmalloc(left + len);

	if (left)
		memcpy(in, w->in + w->in_at, left);
	memcpy(in + left, bytes, len);
	free(w->in);
	w->in = in;
	w->in_at = 0;
	w->in_len = (left + (uint32_t)len) & INT32_MAX;
	come(w);
}

void wire_end(struct wire *w)
{
	w->ended = true;
	come(w);
}

/* ---- the connection's end ---- */

ssize_t wire_memory_recv(int fd, void *room, size_t len)
{
	struct wire *w = wire_of(fd);
	size_t got = w->in_len - w->in_at;

	if (!got && !w->ended)
		errno = EAGAIN;
	if (!got)
		return w->ended ? 0 : -1;
	got = got < len ? got : len;
	memcpy(room, w->in + w->in_at, got);
	w->in_at += (uint32_t)got;
	if (w->in_at == w->in_len) {
		free(w->in);
		w->in = NULL;
		w->in_at = w->in_len = 0;
	}
	return (ssize_t)got;
}

ssize_t wire_memory_send(int fd, const struct iovec *pieces, unsigned n)
{
	struct wire *w = wire_of(fd);
	size_t sent = 0;

	for (unsigned i = 0; i < n; i++)
		sent += pieces[i].iov_len;
	w->wrote(w, pieces, n);
	return (ssize_t)sent;
}

void wire_memory_shutdown(int fd)
{
	struct wire *w = wire_of(fd);

	w->closed(w);
}

int wire_memory_watch(struct watch *watch)
{
	struct wire *w = wire_of(watch->fd);

	w->watch = watch;
	look(w);
	return 0;
}

void wire_memory_unwatch(struct watch *watch)
{
	struct wire *w = wire_of(watch->fd);

	w->watch = NULL;
	shard_not_at_turn_end(&w->ready);
}
