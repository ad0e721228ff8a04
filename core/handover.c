/* core/handover.c - a length and, with it, the descriptor; then the record. */
#include "core/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"

#define HELLO "hello"

struct handover {
	int fd;
	int error; /* the first */
	uint64_t deadline_ms;
};

static struct {
	const struct handover_part *at[HANDOVER_PARTS_MAX];
	unsigned n;
} parts;

static const struct handover_part *part_named(const char *name)
{
	for (unsigned i = 0; i < parts.n; i++)
		if (!strcmp(parts.at[i]->name, name))
			return parts.at[i];
	return NULL;
}

void handover_add(const struct handover_part *p)
{
	if (part_named(p->name) == p)
		return; /* a module of several hosts */
	REQUIRE(parts.n < HANDOVER_PARTS_MAX && !part_named(p->name));
	parts.at[parts.n++] = p;
}

/* --- the channel --- */

struct handover *handover_new(int fd)
{
	struct handover *h = xcalloc(1, sizeof(*h));

	h->fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		h->error = -errno;
	return h;
}

void handover_free(struct handover *h)
{
	if (h)
		fd_close(&h->fd);
	free(h);
}

void handover_until(struct handover *h, uint64_t deadline_ms)
{
	h->deadline_ms = deadline_ms;
}

int handover_fd(const struct handover *h)
{
	return h->fd;
}

int handover_error(const struct handover *h)
{
	return h->error;
}

static int fail(struct handover *h, int error)
{
	if (!h->error)
		h->error = error;
	return h->error;
}

/* After a call that failed with EAGAIN or EINTR; any other errno, or the deadline, is the end. */
static int await(struct handover *h, short events)
{
	struct pollfd at = { .fd = h->fd, .events = events };
	int timeout_ms = -1;
	bool reading;

	if (errno != EAGAIN && errno != EINTR)
		return fail(h, errno == ECONNRESET ? -EPIPE : -errno);
	if (h->deadline_ms) {
		uint64_t now = clock_ms();

		if (now >= h->deadline_ms)
			return fail(h, -ETIMEDOUT);
		timeout_ms = (int)(h->deadline_ms - now);
	}
	reading = rcu_offline();
	poll(&at, 1, timeout_ms);
	rcu_online(reading);
	return 0;
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* Some of the bytes, with the descriptor if any of them leave. */
static ssize_t send_some(const struct handover *h, const char *bytes, size_t len, int fd)
{
	union control control = { .bytes = { 0 } };
	struct iovec body = { (void *)bytes, len };
	struct msghdr m = { .msg_iov = &body, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(fd)) };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(fd));
	}
	return sendmsg(h->fd, &m, MSG_NOSIGNAL);
}

static int send_all(struct handover *h, const char *bytes, size_t len, int fd)
{
	while (len && !h->error) {
		ssize_t n = send_some(h, bytes, len, fd);

		if (n < 0) {
			await(h, POLLOUT);
			continue;
		}
		bytes += n;
		len -= (size_t)n;
		fd = -1;
	}
	return h->error;
}

static int descriptor_of(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* A descriptor that comes with any of the bytes takes *fd's place. */
static int receive_all(struct handover *h, char *bytes, size_t len, int *fd)
{
	while (len && !h->error) {
		union control control;
		struct iovec body = { bytes, len };
		struct msghdr m = { .msg_iov = &body,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(h->fd, &m, MSG_CMSG_CLOEXEC);
		int came = n > 0 ? descriptor_of(&m) : -1;

		if (n < 0) {
			await(h, POLLIN);
			continue;
		}
		if (n == 0)
			return fail(h, -EPIPE);
		if (came >= 0) {
			fd_close(fd);
			*fd = came;
		}
		if (m.msg_flags & MSG_CTRUNC) /* no descriptor is left here */
			return fail(h, -EMFILE);
		bytes += n;
		len -= (size_t)n;
	}
	return h->error;
}

int handover_give(struct handover *h, struct record *r, int fd)
{
	struct buf *b = record_end(r);
	uint32_t len = b ? b->len : 0;

	if (!b)
		return fail(h, -EMSGSIZE);
	if (!send_all(h, (const char *)&len, sizeof(len), fd))
		send_all(h, b->data, b->len, -1);
	buf_unref(b);
	return h->error;
}

int handover_say(struct handover *h, const char *name, const char *text)
{
	struct record r;

	record_begin(&r, name, HANDOVER_VERSION);
	record_text(&r, text);
	return handover_give(h, &r, -1);
}

static int take(struct handover *h, struct handover_item *i)
{
	uint32_t len;

	if (receive_all(h, (char *)&len, sizeof(len), &i->fd))
		return h->error;
	if (len > RECORD_MAX)
		return fail(h, -EMSGSIZE);
	i->bytes = malloc(len + 1);
	if (!i->bytes)
		return fail(h, -ENOMEM);
	if (receive_all(h, i->bytes, len, &i->fd))
		return h->error;
	return record_open(&i->in, i->bytes, len) ? fail(h, -EBADMSG) : 0;
}

int handover_take(struct handover *h, struct handover_item *out)
{
	*out = (struct handover_item){ .fd = -1 };
	if (take(h, out))
		handover_item_fini(out);
	return h->error;
}

void handover_item_fini(struct handover_item *i)
{
	fd_close(&i->fd);
	free(i->bytes);
	i->bytes = NULL;
}

/* --- parts --- */

int handover_hello(struct handover *h)
{
	struct record r;

	record_begin(&r, HELLO, HANDOVER_VERSION);
	record_number(&r, parts.n);
	for (unsigned i = 0; i < parts.n; i++) {
		record_text(&r, parts.at[i]->name);
		record_number(&r, parts.at[i]->oldest);
		record_number(&r, parts.at[i]->version);
	}
	return handover_give(h, &r, -1);
}

/* What a peer knows of one of our parts; oldest above newest: nothing. */
struct known {
	uint64_t oldest, newest;
};

char *handover_missing(struct handover_item *i)
{
	struct known known[HANDOVER_PARTS_MAX];
	uint64_t n;

	if (strcmp(i->in.name, HELLO) || i->in.version != HANDOVER_VERSION)
		return xprintf("it speaks another version of the handover: %s %u", i->in.name,
			i->in.version);
	for (unsigned k = 0; k < HANDOVER_PARTS_MAX; k++)
		known[k] = (struct known){ .oldest = 1 };
	n = record_read_number_to(&i->in, 1000);
	while (n-- && record_is_good(&i->in)) {
		const char *name = record_read_text(&i->in);
		uint64_t oldest = record_read_number(&i->in);
		uint64_t newest = record_read_number(&i->in);

		for (unsigned k = 0; name && k < parts.n; k++)
			if (!strcmp(parts.at[k]->name, name))
				known[k] = (struct known){ oldest, newest };
	}
	if (!record_is_read(&i->in))
		return xstrdup("what it says cannot be read");
	for (unsigned k = 0; k < parts.n; k++)
		if (parts.at[k]->version < known[k].oldest ||
			parts.at[k]->version > known[k].newest)
			return xprintf("it does not know version %u of %s", parts.at[k]->version,
				parts.at[k]->name);
	return NULL;
}

int handover_save(struct handover *h)
{
	for (unsigned i = 0; i < parts.n && !h->error; i++)
		if (parts.at[i]->save)
			parts.at[i]->save(h);
	return h->error;
}

int handover_load(struct handover_item *i)
{
	const struct handover_part *p = part_named(i->in.name);

	if (!p || i->in.version < p->oldest || i->in.version > p->version)
		return -ENOTSUP;
	return p->load(i);
}
