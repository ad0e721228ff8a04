/* net/acceptor.c - accept, check what may be checked before a byte is read, pick a shard, post. */
#include "net/acceptor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "net/c2s.h"
#include "net/limits.h"
#include "net/s2s_in.h"
#include "net/service.h"

#define ACCEPTORS_MAX 64
#define ACCEPT_BATCH 64 /* of one listener before the others have their turn */

/* The listeners that may be accepted from. An event fetched just before its listener was removed
 * names one that is gone, so each is looked up here first. */
struct live {
	size_t n;
	struct listener *at[];
};

static struct {
	unsigned n;
	RCU_PTR(struct live) live; /* written under net/listener.c's lock */
	int epoll; /* one for all: whoever is free takes what is ready */
	int stop; /* eventfd, readable for ever once set */
	int spare; /* a descriptor to give up, so that a full table can still refuse politely */
	pthread_rwlock_t sparing; /* written to while its place is free: nobody else may accept */
	pthread_t threads[ACCEPTORS_MAX];
} acceptors = { .epoll = -1, .stop = -1, .spare = -1, .sparing = PTHREAD_RWLOCK_INITIALIZER };

static struct metric accepted_metric =
	METRIC_COUNTER("connections_accepted_total", "Connections accepted and given to a shard.");
static struct metric refused_metric = METRIC_COUNTER("connections_refused_total",
	"Connections closed at once: a limit of the listener or of the address.");

/* What becomes of a connection, by the listener's `module`. Each runs on the chosen shard and owns
 * the struct accepted: it is freed, and what it holds goes back by accepted_release(). */
static void (*const services[LISTEN_MODULES])(struct msg *m) = {
	[LISTEN_C2S] = c2s_accepted,
	[LISTEN_S2S_IN] = s2s_in_accepted,
	[LISTEN_SERVICE] = service_accepted,
};

static void address_of(const struct sockaddr_storage *sa, struct conf_prefix *out, uint16_t *port)
{
	memset(out, 0, sizeof(*out));
	out->bits = 128;
	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		memcpy(out->bytes, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		out->bytes[10] = out->bytes[11] = 0xff;
		memcpy(out->bytes + 12, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	}
}

/* The next in turn, unless it has clearly more to do than another. */
static struct shard *pick_shard(void)
{
	static _Atomic unsigned turn;
	unsigned n = shards_count();
	unsigned first = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % n;
	struct shard *best = shard_at(first);

	for (unsigned i = 1; i < n; i++) {
		struct shard *s = shard_at((first + i) % n);

		if (shard_load(s) + 16 < shard_load(best))
			best = s;
	}
	return best;
}

static struct listener_options *hold_options(struct listener *l)
{
	return listener_options_ref(rcu_get(l->options));
}

void accepted_release(struct listener *l, struct listener_options *o,
	const struct conf_prefix *address, bool limited)
{
	if (limited)
		limits_end(address);
	atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
	listener_unref(l);
	listener_options_unref(o);
}

static void refuse(int fd)
{
	close(fd);
	metric_add(&refused_metric, 1);
}

/* Counts one more connection of the listener, if it may have one more. */
static bool take_place(struct listener *l, int64_t max)
{
	int64_t others = atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);

	if (!max || others < max)
		return true;
	atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
	return false;
}

static void hand_over(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	struct listener_options *o = rcu_get(l->options);
	struct accepted *a;

	if (!take_place(l, o->conf.max_connections)) {
		refuse(fd);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	address_of(peer, &a->address, &a->port);
	if (!limits_begin(&a->address, o->conf.max_unauthenticated_per_address)) {
		atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
		refuse(fd);
		free(a);
		return;
	}
	a->msg.run = services[o->conf.module];
	a->fd = fd;
	a->listener = l;
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	a->options = hold_options(l);
	metric_add(&accepted_metric, 1);
	shard_post(pick_shard(), &a->msg);
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_at(const struct listener *l, struct sockaddr_storage *peer)
{
	socklen_t len = sizeof(*peer);
	int fd = accept4(l->fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Accepts in the spare's place, with the lock written to. A connection is kept only if the spare
 * finds another place: somebody has closed something since. -ENFILE: there is no spare to give up;
 * -ECONNABORTED: one was refused. */
static int accept_in_spares_place(const struct listener *l, struct sockaddr_storage *peer)
{
	int fd;

	if (acceptors.spare < 0) /* another part of the server was faster the last time */
		acceptors.spare = open_spare();
	if (acceptors.spare < 0)
		return -ENFILE;
	fd_close(&acceptors.spare);
	fd = accept_at(l, peer);
	acceptors.spare = open_spare();
	if (fd < 0 || acceptors.spare >= 0)
		return fd;
	refuse(fd);
	acceptors.spare = open_spare();
	return -ECONNABORTED;
}

/* No descriptor is left: take one connection off the queue and close it, rather than be woken for
 * it for ever. */
static int shed(const struct listener *l, struct sockaddr_storage *peer)
{
	static struct log_seldom seldom;
	uint32_t left_out;
	int fd;

	if (log_seldom(&seldom, &left_out))
		log_error("acceptor", "out of file descriptors: connections are refused",
			L_INT("left_out", left_out));
	pthread_rwlock_wrlock(&acceptors.sparing);
	fd = accept_in_spares_place(l, peer);
	pthread_rwlock_unlock(&acceptors.sparing);
	return fd;
}

/* Until somebody may have closed something. Lets go of what was read. */
static void rest(void)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	bool reading = rcu_offline();

	nanosleep(&nap, NULL);
	rcu_online(reading);
}

static bool is_live(const struct listener *l)
{
	const struct live *live = rcu_get(acceptors.live);

	for (size_t i = 0; live && i < live->n; i++)
		if (live->at[i] == l)
			return true;
	return false;
}

/* A descriptor or a negative errno: -ENFILE when none is left, not even to refuse one in. */
static int accept_one(const struct listener *l, struct sockaddr_storage *peer)
{
	int fd;

	pthread_rwlock_rdlock(&acceptors.sparing);
	fd = accept_at(l, peer);
	pthread_rwlock_unlock(&acceptors.sparing);
	return fd == -EMFILE || fd == -ENFILE ? shed(l, peer) : fd;
}

static void acceptor_ready(struct listener *l)
{
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage peer;
		int fd = accept_one(l, &peer);

		if (fd >= 0) {
			hand_over(l, fd, &peer);
		} else if (fd == -ENFILE || fd == -EMFILE) {
			rest(); /* l may be gone afterwards */
			return;
		} else if (fd != -EINTR && fd != -ECONNABORTED) {
			return; /* EAGAIN, or gone */
		}
	}
}

static void *acceptor_main(void *unused UNUSED)
{
	struct epoll_event events[16];
	bool go_on = true;

	rcu_thread_begin();
	while (go_on) {
		bool reading = rcu_offline();
		int n = epoll_wait(acceptors.epoll, events, ARRAY_LEN(events), -1);

		rcu_online(reading);
		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				go_on = false;
			else if (is_live(events[i].data.ptr))
				acceptor_ready(events[i].data.ptr);
		}
	}
	rcu_thread_end();
	return NULL;
}

int acceptors_start(unsigned n)
{
	struct epoll_event stop = { .events = EPOLLIN };

	metric_register(&accepted_metric);
	metric_register(&refused_metric);
	if (!n || n > ACCEPTORS_MAX)
		n = n ? ACCEPTORS_MAX : 1;
	acceptors.epoll = epoll_create1(EPOLL_CLOEXEC);
	acceptors.stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	acceptors.spare = open_spare();
	if (acceptors.epoll < 0 || acceptors.stop < 0 ||
		epoll_ctl(acceptors.epoll, EPOLL_CTL_ADD, acceptors.stop, &stop) < 0)
		return -errno;
	for (acceptors.n = 0; acceptors.n < n; acceptors.n++) {
		char name[16];
		int rc = pthread_create(&acceptors.threads[acceptors.n], NULL, acceptor_main, NULL);

		if (rc)
			return -rc;
		snprintf(name, sizeof(name), "acceptor%u", acceptors.n);
		pthread_setname_np(acceptors.threads[acceptors.n], name);
	}
	return 0;
}

void acceptors_stop(void)
{
	const uint64_t one = 1;
	bool reading;

	if (acceptors.stop >= 0 && write(acceptors.stop, &one, sizeof(one)) < 0)
		REQUIRE(errno == EAGAIN);
	reading = rcu_offline();
	while (acceptors.n)
		pthread_join(acceptors.threads[--acceptors.n], NULL);
	rcu_online(reading);
	fd_close(&acceptors.epoll);
	fd_close(&acceptors.stop);
	fd_close(&acceptors.spare);
	free(rcu_swap(acceptors.live, NULL));
}

/* The live ones without `without`, with `with` (either may be NULL). */
static void set_live(struct listener *without, struct listener *with)
{
	struct live *was = rcu_get(acceptors.live), *now;

	now = xcalloc(1, sizeof(*now) + ((was ? was->n : 0) + 1) * sizeof(now->at[0]));
	for (size_t i = 0; was && i < was->n; i++)
		if (was->at[i] != without)
			now->at[now->n++] = was->at[i];
	if (with)
		now->at[now->n++] = with;
	rcu_set(acceptors.live, now);
	rcu_wait();
	free(was);
}

int acceptors_prepare(struct listener *l)
{
	struct epoll_event nothing = { .data.ptr = l };

	return epoll_ctl(acceptors.epoll, EPOLL_CTL_ADD, l->fd, &nothing) < 0 ? -errno : 0;
}

void acceptors_add(struct listener *l)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };

	set_live(NULL, l);
	REQUIRE(epoll_ctl(acceptors.epoll, EPOLL_CTL_MOD, l->fd, &event) == 0);
}

void acceptors_pause(struct listener *l)
{
	struct epoll_event nothing = { .data.ptr = l };

	REQUIRE(epoll_ctl(acceptors.epoll, EPOLL_CTL_MOD, l->fd, &nothing) == 0);
	set_live(l, NULL);
}

void acceptors_remove(struct listener *l)
{
	epoll_ctl(acceptors.epoll, EPOLL_CTL_DEL, l->fd, NULL);
	set_live(l, NULL);
}
