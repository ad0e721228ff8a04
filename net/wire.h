/* net/wire.h - what is below a connection: a socket, or two ends in memory.
 * A number from 0 on is a descriptor of the kernel's. One below -1 names a wire in memory, whose
 * far end is a function in this process: so that the benchmarks (bench/scale_*.c) can hold more
 * sessions than a process may open files, with everything above read and write as it is. A real
 * connection pays one comparison a call. Owning shard only, but for making and wire_close(). */
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/attr.h"
#include "core/shard.h"

/* One in memory, as its far end has it. */
struct wire {
	void (*wrote)(struct wire *w, const struct iovec *pieces, unsigned n); /* takes all */
	void (*closed)(struct wire *w); /* the connection is gone, or half-closed. Once or twice */
	/* Private. */
	struct turn_end ready; /* plays epoll's part */
	struct watch *watch; /* the connection's; NULL: not watched */
	char *in; /* owned: what the connection has yet to read */
	uint32_t in_at;
	uint32_t in_len : 31, ended : 1; /* nothing follows what is in there */
};
_Static_assert(sizeof(struct wire) == 64, "one cache line, so that it costs a benchmark little");

/* Makes room for n of them, numbered from 0; main, before any is used. wires_free(): after all. */
void wires_new(unsigned n);
void wires_free(void);
struct wire *wire_at(unsigned index);
ANY_THREAD int wire_fd(unsigned index); /* what the connection gets as its descriptor */
ANY_THREAD unsigned wire_index(const struct wire *w);
/* The far end says something; the connection is told before the shard sleeps. */
ON_SHARD void wire_give(struct wire *w, const void *bytes, size_t len);
ON_SHARD void wire_end(struct wire *w); /* and will say no more */

/* Private to the functions below. */
ssize_t wire_memory_recv(int fd, void *room, size_t len);
ssize_t wire_memory_send(int fd, const struct iovec *pieces, unsigned n);
void wire_memory_shutdown(int fd);
ON_SHARD int wire_memory_watch(struct watch *w);
ON_SHARD void wire_memory_unwatch(struct watch *w);

/* As the calls they are named after: a count, or -1 and errno. */
static inline ssize_t wire_recv(int fd, void *room, size_t len)
{
	return likely(fd >= 0) ? recv(fd, room, len, 0) : wire_memory_recv(fd, room, len);
}
static inline ssize_t wire_send(int fd, const void *bytes, size_t len, int flags)
{
	const struct iovec piece = { (void *)bytes, len };

	return likely(fd >= 0) ? send(fd, bytes, len, MSG_NOSIGNAL | flags)
			       : wire_memory_send(fd, &piece, 1);
}
static inline ssize_t wire_send_pieces(int fd, const struct iovec *pieces, unsigned n, int flags)
{
	const struct msghdr msg = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = n };

	return likely(fd >= 0) ? sendmsg(fd, &msg, MSG_NOSIGNAL | flags)
			       : wire_memory_send(fd, pieces, n);
}
/* Half-closes: the far end sees that nothing follows. */
static inline void wire_shutdown(int fd)
{
	if (likely(fd >= 0))
		shutdown(fd, SHUT_WR);
	else
		wire_memory_shutdown(fd);
}
static inline void wire_close(int fd)
{
	if (likely(fd >= 0))
		close(fd);
	else
		wire_memory_shutdown(fd);
}
/* As core/shard.h's. */
ON_SHARD static inline int wire_watch(struct watch *w)
{
	return likely(w->fd >= 0) ? shard_watch(w) : wire_memory_watch(w);
}
ON_SHARD static inline int wire_rewatch(struct watch *w)
{
	return likely(w->fd >= 0) ? shard_rewatch(w) : wire_memory_watch(w);
}
ON_SHARD static inline void wire_unwatch(struct watch *w)
{
	if (likely(w->fd >= 0))
		shard_unwatch(w);
	else
		wire_memory_unwatch(w);
}
