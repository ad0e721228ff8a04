/* core/keep.c - a table of descriptors and one message for each change of it. */
#include "core/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"

enum what { WHAT_PUT, WHAT_DROP, WHAT_TELL };
struct notice {
	enum what what;
	char name[KEEP_NAME_MAX];
};

static struct kept {
	char name[KEEP_NAME_MAX];
	int fd; /* -1: the place is free */
} kept[KEEP_MAX] = { [0 ... KEEP_MAX - 1] = { .fd = -1 } };
static int ends[2] = { -1, -1 }; /* the monitor's, the server's */
static int next[2] = { -1, -1 }; /* the same, of the one that is to take its place */
static int told_fd = -1; /* while told() runs */
static bool served;

static struct kept *find(const char *name)
{
	for (unsigned i = 0; i < KEEP_MAX; i++)
		if (kept[i].fd >= 0 && !strcmp(kept[i].name, name))
			return &kept[i];
	return NULL;
}

static struct kept *find_place(void)
{
	for (unsigned i = 0; i < KEEP_MAX; i++)
		if (kept[i].fd < 0)
			return &kept[i];
	return NULL;
}

/* --- the monitor --- */

static void close_pair(int pair[2])
{
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static int open_pair(int pair[2])
{
	close_pair(pair);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	return fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int keep_open(void)
{
	return open_pair(ends);
}

int keep_open_next(void)
{
	return open_pair(next);
}

int keep_channel_next(void)
{
	return next[0];
}

void keep_close_next(void)
{
	close_pair(next);
}

void keep_promote_next(void)
{
	close_pair(ends);
	ends[0] = steal_fd(&next[0]);
	ends[1] = steal_fd(&next[1]);
}

int keep_channel(void)
{
	return ends[0];
}

/* Owns fd. */
static void keep(const char *name, int fd)
{
	struct kept *k = find(name);

	if (k)
		fd_close(&k->fd);
	else
		k = find_place();
	if (!k) {
		close(fd);
		return;
	}
	strcpy(k->name, name);
	k->fd = fd;
}

static void drop(const char *name)
{
	struct kept *k = find(name);

	if (k)
		fd_close(&k->fd);
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int descriptor_of(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static bool take_notice(int channel, struct notice *n, int *fd)
{
	union control control;
	struct iovec body = { n, sizeof(*n) };
	struct msghdr m = { .msg_iov = &body,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };

	if (recvmsg(channel, &m, MSG_CMSG_CLOEXEC) != sizeof(*n))
		return false;
	*fd = descriptor_of(&m);
	n->name[KEEP_NAME_MAX - 1] = 0;
	return true;
}

/* told() may change which pair is whose, so that is looked up for each. */
static void listen_to(const int *channel, void (*told)(const char *what))
{
	struct notice n;
	int fd;

	while (*channel >= 0 && take_notice(*channel, &n, &fd)) {
		told_fd = n.what == WHAT_TELL ? steal_fd(&fd) : -1;
		if (n.what == WHAT_TELL)
			told(n.name);
		else if (n.what == WHAT_DROP)
			drop(n.name);
		else if (n.what == WHAT_PUT && fd >= 0)
			keep(n.name, steal_fd(&fd));
		fd_close(&fd);
		fd_close(&told_fd);
	}
}

void keep_listen(void (*told)(const char *what))
{
	listen_to(&ends[0], told);
}

void keep_listen_next(void (*told)(const char *what))
{
	listen_to(&next[0], told);
}

int keep_told_fd(void)
{
	return steal_fd(&told_fd);
}

/* --- over an exec() --- */

static int stays_open(int fd)
{
	fcntl(fd, F_SETFD, 0);
	return fd;
}

static int closes_again(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/* "7 tcp [::]:5222", one a line. */
char *keep_pack(void)
{
	struct buf *b = buf_new(256);
	char *line, *word;

	for (unsigned i = 0; i < KEEP_MAX; i++) {
		if (kept[i].fd < 0)
			continue;
		line = xprintf("%d %s\n", stays_open(kept[i].fd), kept[i].name);
		buf_append(&b, line, strlen(line));
		free(line);
	}
	word = xstrndup(b->data, b->len);
	buf_unref(b);
	return word;
}

void keep_unpack(const char *word)
{
	char name[KEEP_NAME_MAX];
	int fd, used;

	while (sscanf(word, "%d %95[^\n]%n", &fd, name, &used) == 2 && fcntl(fd, F_GETFD) >= 0) {
		keep(name, closes_again(fd));
		word += used;
	}
}

int keep_pass_next(void)
{
	return stays_open(next[1]);
}

int keep_pass_channel(void)
{
	return stays_open(ends[0]);
}

void keep_resume(int channel)
{
	ends[0] = closes_again(channel);
}

/* --- the server --- */

void keep_serve_at(int end)
{
	served = true;
	ends[1] = closes_again(end);
}

void keep_serve(void)
{
	served = true;
	fd_close(&ends[0]);
	close_pair(next);
}

bool keep_is_served(void)
{
	return served;
}

static void notify(enum what what, const char *name, int fd)
{
	struct notice n = { .what = what };
	union control control = { .bytes = { 0 } };
	struct iovec body = { &n, sizeof(n) };
	struct msghdr m = { .msg_iov = &body, .msg_iovlen = 1 };
	const int flags = MSG_NOSIGNAL | (what == WHAT_TELL ? MSG_DONTWAIT : 0);

	REQUIRE(strlen(name) < KEEP_NAME_MAX);
	strcpy(n.name, name);
	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(fd)) };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(fd));
	}
	while (sendmsg(ends[1], &m, flags) < 0 && errno == EINTR)
		; /* a monitor that is gone keeps nothing, and the server ends with it */
}

int keep_take(const char *name)
{
	struct kept *k = find(name);

	return k ? steal_fd(&k->fd) : -1;
}

void keep_put(const char *name, int fd)
{
	if (served)
		notify(WHAT_PUT, name, fd);
}

void keep_drop(const char *name)
{
	if (served)
		notify(WHAT_DROP, name, -1);
}

void keep_drop_rest(void)
{
	for (unsigned i = 0; i < KEEP_MAX; i++) {
		if (kept[i].fd < 0)
			continue;
		keep_drop(kept[i].name);
		fd_close(&kept[i].fd);
	}
}

void keep_tell(const char *what)
{
	if (served)
		notify(WHAT_TELL, what, -1);
}

void keep_tell_with(const char *what, int fd)
{
	if (served)
		notify(WHAT_TELL, what, fd);
}
