/* net/listener.c - open ports, and what a reload does to them. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/acceptor.h"

/* main and the control thread only, under lock. */
static struct {
	pthread_mutex_t lock;
	struct listener **at;
	size_t n;
	struct tls_store *tls;
} open_ports = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct listener_options *listener_options_ref(struct listener_options *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void listener_options_unref(struct listener_options *o)
{
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_fini(&o->arena);
	free(o);
}

static struct listener_options *options_new(const struct listen_conf *conf)
{
	struct listener_options *o = xcalloc(1, sizeof(*o));

	atomic_init(&o->refs, 1);
	arena_init(&o->arena, NULL, 0);
	o->conf = *conf;
	o->conf.ip = arena_strdup(&o->arena, conf->ip);
	o->conf.access = conf->access ? arena_strdup(&o->arena, conf->access) : NULL;
	o->conf.shaper = conf->shaper ? arena_strdup(&o->arena, conf->shaper) : NULL;
	o->tls = open_ports.tls;
	return o;
}

void listener_unref(struct listener *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	listener_options_unref(rcu_get(l->options));
	free(l);
}

static socklen_t endpoint(const struct listen_conf *conf, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, conf->ip, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)conf->port);
		return sizeof(*in6);
	}
	if (inet_pton(AF_INET, conf->ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)conf->port);
		return sizeof(*in);
	}
	return 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					      : ((struct sockaddr_in *)&sa)->sin_port);
}

static int open_socket(const struct listen_conf *conf, int *out)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint(conf, &sa);
	const int on = 1, v6_only = conf->v6_only;
	AUTO(fd_close) int fd = -1;

	if (!len)
		return -EINVAL;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* What is accepted inherits these two: tcp(7), socket(7). */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (sa.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, (int)conf->backlog) < 0)
		return -errno;
	*out = steal_fd(&fd);
	return 0;
}

static int listener_open(const struct listen_conf *conf, struct listener **out, char **why)
{
	struct listener *l;
	int fd = -1, rc = open_socket(conf, &fd);

	if (rc) {
		*why = xprintf("%s port %d: %s", conf->ip, (int)conf->port, strerror(-rc));
		return rc;
	}
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	l->port = bound_port(fd);
	atomic_init(&l->refs, 1);
	rcu_set(l->options, options_new(conf));
	*out = l;
	return 0;
}

static void listener_close(struct listener *l)
{
	acceptors_remove(l);
	close(l->fd);
	l->fd = -1;
	log_info("listener", "closed", L_STR("ip", rcu_get(l->options)->conf.ip),
		L_INT("port", l->port));
	listener_unref(l);
}

static bool same_port(const struct listener *l, const struct listen_conf *conf)
{
	const struct listen_conf *was = &rcu_get(l->options)->conf;

	return was->port == conf->port && !strcmp(was->ip, conf->ip) &&
		was->v6_only == conf->v6_only && was->backlog == conf->backlog;
}

/* The listener that serves conf already, not claimed by an earlier entry; its index, or -1. */
static int find_same(const struct listen_conf *conf, const bool *claimed)
{
	for (size_t i = 0; i < open_ports.n; i++)
		if (!claimed[i] && same_port(open_ports.at[i], conf))
			return (int)i;
	return -1;
}

static void options_drop(struct listener_options *was)
{
	rcu_wait();
	listener_options_unref(was);
}

/* Opens the sockets that are new; at[] gets old and new ones in conf's order. */
static int open_new(const struct listen_conf *conf, size_t n, struct listener **at, bool *claimed,
	bool *fresh, char **why)
{
	for (size_t i = 0; i < n; i++) {
		int same = find_same(&conf[i], claimed), rc;

		if (same >= 0) {
			claimed[same] = true;
			at[i] = open_ports.at[same];
			continue;
		}
		rc = listener_open(&conf[i], &at[i], why);
		if (rc)
			return rc;
		fresh[i] = true;
	}
	return 0;
}

static void apply(const struct listen_conf *conf, size_t n, struct listener **at,
	const bool *claimed, const bool *fresh)
{
	for (size_t i = 0; i < n; i++) {
		if (fresh[i]) {
			int rc = acceptors_add(at[i]);

			REQUIRE(!rc);
			log_info("listener", "open", L_STR("ip", conf[i].ip),
				L_INT("port", at[i]->port));
		} else {
			options_drop(rcu_swap(at[i]->options, options_new(&conf[i])));
		}
	}
	for (size_t i = 0; i < open_ports.n; i++)
		if (!claimed[i])
			listener_close(open_ports.at[i]);
	free(open_ports.at);
	open_ports.at = at;
	open_ports.n = n;
}

int listeners_reload(const struct listen_conf *conf, size_t n, char **why)
{
	struct listener **at = xcalloc(n, sizeof(*at));
	AUTO(free_ptr) bool *fresh = xcalloc(n, sizeof(*fresh));
	AUTO(free_ptr) bool *claimed = NULL;
	int rc;

	pthread_mutex_lock(&open_ports.lock);
	claimed = xcalloc(open_ports.n, sizeof(*claimed));
	rc = open_new(conf, n, at, claimed, fresh, why);
	if (!rc) {
		apply(conf, n, at, claimed, fresh);
	} else {
		for (size_t i = 0; i < n; i++) {
			if (!fresh[i])
				continue;
			close(at[i]->fd);
			listener_unref(at[i]);
		}
		free(at);
	}
	pthread_mutex_unlock(&open_ports.lock);
	return rc;
}

int listeners_start(const struct listen_conf *conf, size_t n, struct tls_store *tls,
	unsigned acceptors, char **why)
{
	int rc = acceptors_start(acceptors);

	open_ports.tls = tls;
	if (rc) {
		*why = xprintf("acceptors: %s", strerror(-rc));
		return rc;
	}
	return listeners_reload(conf, n, why);
}

void listeners_stop(void)
{
	pthread_mutex_lock(&open_ports.lock);
	for (size_t i = 0; i < open_ports.n; i++)
		listener_close(open_ports.at[i]);
	free(open_ports.at);
	open_ports.at = NULL;
	open_ports.n = 0;
	pthread_mutex_unlock(&open_ports.lock);
	acceptors_stop();
}

void listeners_each(
	void (*fn)(const struct listener *l, const struct listen_conf *conf, void *arg), void *arg)
{
	pthread_mutex_lock(&open_ports.lock);
	for (size_t i = 0; i < open_ports.n; i++)
		fn(open_ports.at[i], &rcu_get(open_ports.at[i]->options)->conf, arg);
	pthread_mutex_unlock(&open_ports.lock);
}
