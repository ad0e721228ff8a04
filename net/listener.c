/* net/listener.c - open ports, and what a reload does to them. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/keep.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/acceptor.h"
#include "net/listener_conf.h"

/* Written by one change at a time. */
static struct {
	pthread_mutex_t lock; /* of at and n: who changes them, and who looks but is not changing */
	struct listener **at;
	size_t n;
	struct tls_store *tls;
	bool paused, given_away;
} open_ports = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct listeners_change {
	const struct listen_conf *conf;
	size_t n;
	struct listener **at; /* old and new ones, in conf's order */
	bool *fresh; /* of at: opened by this change */
	bool *claimed; /* of open_ports.at: stays open */
};

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
	conf_copy(listen_items, conf, &o->conf, &o->arena);
	o->tls = open_ports.tls;
	o->offer = (struct tls_offer){
		.from = TLS_FROM_CLIENT, .asks = o->conf.tls_verify, .ca_file = o->conf.cafile
	};
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

static void set_flag(int fd, int level, int option, bool on)
{
	const int value = on;

	setsockopt(fd, level, option, &value, sizeof(value));
}

static int open_socket(const struct listen_conf *conf, bool beside_ours, int *out)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint(conf, &sa);
	const int v6_only = conf->v6_only;
	AUTO(fd_close) int fd = -1;

	if (!len)
		return -EINVAL;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true);
	if (beside_ours)
		set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true);
	/* What is accepted inherits these two: tcp(7), socket(7). */
	set_flag(fd, IPPROTO_TCP, TCP_NODELAY, true);
	set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, true);
	if (sa.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, (int)conf->backlog) < 0)
		return -errno;
	set_flag(fd, SOL_SOCKET, SO_REUSEPORT, false);
	*out = steal_fd(&fd);
	return 0;
}

static const struct listen_conf *conf_of(const struct listener *l)
{
	return &rcu_get(l->options)->conf;
}

/* What a port is kept under between two servers; false for one that the kernel chose. */
static bool kept_name(const struct listen_conf *conf, char *out)
{
	snprintf(out, KEEP_NAME_MAX, "tcp [%.60s]:%d%s", conf->ip, (int)conf->port,
		conf->v6_only ? " v6_only" : "");
	return conf->port != 0;
}

/* The one that the server before this one had, with who waits in its backlog; or -1. */
static int take_kept(const struct listen_conf *conf)
{
	char name[KEEP_NAME_MAX];
	AUTO(fd_close) int fd = kept_name(conf, name) ? keep_take(name) : -1;

	return fd >= 0 && listen(fd, (int)conf->backlog) == 0 ? steal_fd(&fd) : -1;
}

static void keep_port(const struct listener *l)
{
	char name[KEEP_NAME_MAX];

	if (kept_name(conf_of(l), name))
		keep_put(name, l->fd);
}

/* Nobody connects from now on, though the monitor's copy goes a moment later. */
static void close_port(struct listener *l)
{
	char name[KEEP_NAME_MAX];

	if (!open_ports.given_away) {
		if (kept_name(conf_of(l), name))
			keep_drop(name);
		shutdown(l->fd, SHUT_RDWR);
	}
	fd_close(&l->fd);
}

static void begin_accepting(struct listener *l)
{
	if (open_ports.paused)
		return;
	acceptors_add(l);
	keep_port(l);
}

/* Lets another socket of ours be bound to what the open ones that will close hold, 0.0.0.0 to :: on
 * one port, so that a change between them fails before anything is closed. True: there are any. */
static bool share_leaving(const struct listeners_change *c, const struct listen_conf *conf, bool on)
{
	bool any = false;

	for (size_t i = 0; i < open_ports.n; i++) {
		if (c->claimed[i] || !listen_conf_clash(conf_of(open_ports.at[i]), conf))
			continue;
		set_flag(open_ports.at[i]->fd, SOL_SOCKET, SO_REUSEPORT, on);
		any = true;
	}
	return any;
}

static int open_beside(const struct listeners_change *c, const struct listen_conf *conf, int *out)
{
	int rc = open_socket(conf, false, out);

	if (rc != -EADDRINUSE)
		return rc;
	if (share_leaving(c, conf, true))
		rc = open_socket(conf, true, out);
	share_leaving(c, conf, false);
	return rc;
}

static int listener_open(
	const struct listeners_change *c, const struct listen_conf *conf, struct listener **out)
{
	struct listener *l;
	int fd = take_kept(conf), rc = fd < 0 ? open_beside(c, conf, &fd) : 0;

	if (rc)
		return rc;
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	l->port = bound_port(fd);
	atomic_init(&l->refs, 1);
	rcu_set(l->options, options_new(conf));
	rc = acceptors_prepare(l);
	if (rc) {
		close(fd);
		listener_unref(l);
		return rc;
	}
	*out = l;
	return 0;
}

static void listener_accept_from(struct listener *l)
{
	begin_accepting(l);
	log_info("listener", "open", L_STR("ip", conf_of(l)->ip), L_INT("port", l->port));
}

static void listener_close(struct listener *l)
{
	acceptors_remove(l);
	close_port(l);
	log_info("listener", "closed", L_STR("ip", conf_of(l)->ip), L_INT("port", l->port));
	listener_unref(l);
}

static bool same_port(const struct listener *l, const struct listen_conf *conf)
{
	const struct listen_conf *was = conf_of(l);

	return was->port == conf->port && !strcmp(was->ip, conf->ip) &&
		was->v6_only == conf->v6_only;
}

/* Finds the listener that serves entry i already, if no earlier entry claimed it. */
static void claim(struct listeners_change *c, size_t i)
{
	for (size_t k = 0; k < open_ports.n; k++) {
		if (c->claimed[k] || !same_port(open_ports.at[k], &c->conf[i]))
			continue;
		c->claimed[k] = true;
		c->at[i] = open_ports.at[k];
		return;
	}
}

static int open_new(struct listeners_change *c, size_t *at, char **why)
{
	for (size_t i = 0; i < c->n; i++)
		claim(c, i);
	for (size_t i = 0; i < c->n; i++) {
		const struct listen_conf *conf = &c->conf[i];
		int rc;

		if (c->at[i])
			continue;
		rc = listener_open(c, conf, &c->at[i]);
		if (rc) {
			*at = i;
			*why = xprintf("%s port %d: %s", conf->ip, (int)conf->port, strerror(-rc));
			return rc;
		}
		c->fresh[i] = true;
	}
	return 0;
}

int listeners_prepare(const struct listen_conf *conf, size_t n, struct listeners_change **out,
	size_t *at, char **why)
{
	struct listeners_change *c = xcalloc(1, sizeof(*c));
	int rc;

	c->conf = conf;
	c->n = n;
	c->at = xcalloc(n, sizeof(*c->at));
	c->fresh = xcalloc(n, sizeof(*c->fresh));
	c->claimed = xcalloc(open_ports.n, sizeof(*c->claimed));
	*at = n;
	rc = open_new(c, at, why);
	if (rc)
		listeners_abandon(c);
	else
		*out = c;
	return rc;
}

static void change_free(struct listeners_change *c)
{
	free(c->fresh);
	free(c->claimed);
	free(c);
}

void listeners_abandon(struct listeners_change *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		if (!c->fresh[i])
			continue;
		close(c->at[i]->fd);
		listener_unref(c->at[i]);
	}
	free(c->at);
	change_free(c);
}

/* Nobody waits for the lock while it reads under RCU: another holder may wait for a grace period
 * elsewhere. */
static void lock_ports(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&open_ports.lock);
	rcu_online(reading);
}

static void replace_ports(struct listener **at, size_t n)
{
	lock_ports();
	open_ports.at = at;
	open_ports.n = n;
	pthread_mutex_unlock(&open_ports.lock);
}

static void give_options(struct listener *l, const struct listen_conf *conf)
{
	struct listener_options *was = rcu_swap(l->options, options_new(conf));

	if (was->conf.backlog != conf->backlog)
		listen(l->fd, (int)conf->backlog); /* of a listening socket it only sets this */
	rcu_wait();
	listener_options_unref(was);
}

void listeners_commit(struct listeners_change *c)
{
	struct listener **before = open_ports.at;
	size_t n_before = open_ports.n;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->fresh[i]) {
			give_options(c->at[i], &c->conf[i]);
			continue;
		}
		listener_accept_from(c->at[i]);
	}
	replace_ports(c->at, c->n);
	for (size_t i = 0; i < n_before; i++)
		if (!c->claimed[i])
			listener_close(before[i]);
	free(before);
	change_free(c);
}

int listeners_reload(const struct listen_conf *conf, size_t n, char **why)
{
	struct listeners_change *c;
	size_t at;
	int rc = listeners_prepare(conf, n, &c, &at, why);

	if (!rc)
		listeners_commit(c);
	return rc;
}

char *listener_name(const struct listen_conf *conf)
{
	bool v6 = strchr(conf->ip, ':');

	return xprintf("%s%s%s:%d", v6 ? "[" : "", conf->ip, v6 ? "]" : "", (int)conf->port);
}

/* The open one of that name, or n. */
static size_t find_named(const char *name)
{
	size_t i = 0;

	for (; i < open_ports.n; i++) {
		AUTO(free_ptr) char *that = listener_name(conf_of(open_ports.at[i]));

		if (!strcmp(that, name))
			break;
	}
	return i;
}

static int open_one_more(const struct listen_conf *conf, struct listener **out)
{
	struct listeners_change none_leaves = { .claimed = xcalloc(open_ports.n, sizeof(bool)) };
	int rc;

	for (size_t i = 0; i < open_ports.n; i++)
		none_leaves.claimed[i] = true;
	rc = listener_open(&none_leaves, conf, out);
	free(none_leaves.claimed);
	return rc;
}

int listeners_add(const struct listen_conf *conf, char **why)
{
	AUTO(free_ptr) char *name = listener_name(conf);
	struct listener **before = open_ports.at, **at;
	size_t n = open_ports.n;
	int rc;

	if (find_named(name) < n)
		return 0;
	at = xcalloc(n + 1, sizeof(*at));
	if (n)
		memcpy(at, before, n * sizeof(*at));
	rc = open_one_more(conf, &at[n]);
	if (rc) {
		free(at);
		*why = xprintf("%s port %d: %s", conf->ip, (int)conf->port, strerror(-rc));
		return rc;
	}
	listener_accept_from(at[n]);
	replace_ports(at, n + 1);
	free(before);
	return 0;
}

void listeners_remove(const char *name)
{
	size_t i = find_named(name), n = open_ports.n;
	struct listener *gone;

	if (i == n)
		return;
	gone = open_ports.at[i];
	lock_ports();
	open_ports.at[i] = open_ports.at[n - 1];
	open_ports.n--;
	pthread_mutex_unlock(&open_ports.lock);
	listener_close(gone);
}

int listeners_begin(struct tls_store *tls, unsigned acceptors)
{
	open_ports.tls = tls;
	return acceptors_start(acceptors);
}

int listeners_start(const struct listen_conf *conf, size_t n, struct tls_store *tls,
	unsigned acceptors, char **why)
{
	int rc = listeners_begin(tls, acceptors);

	if (rc) {
		*why = xprintf("acceptors: %s", strerror(-rc));
		return rc;
	}
	return listeners_reload(conf, n, why);
}

void listeners_stop(void)
{
	struct listener **before = open_ports.at;
	size_t n = open_ports.n;

	replace_ports(NULL, 0);
	for (size_t i = 0; i < n; i++)
		listener_close(before[i]);
	free(before);
	acceptors_stop();
}

void listeners_each(
	void (*fn)(const struct listener *l, const struct listen_conf *conf, void *arg), void *arg)
{
	lock_ports();
	for (size_t i = 0; i < open_ports.n; i++)
		fn(open_ports.at[i], conf_of(open_ports.at[i]), arg);
	pthread_mutex_unlock(&open_ports.lock);
}

void listeners_pause(void)
{
	open_ports.paused = true;
	for (size_t i = 0; i < open_ports.n; i++)
		acceptors_pause(open_ports.at[i]);
}

void listeners_resume(void)
{
	open_ports.paused = false;
	for (size_t i = 0; i < open_ports.n; i++)
		begin_accepting(open_ports.at[i]);
}

void listeners_given_away(void)
{
	open_ports.given_away = true;
}

void listeners_take(void)
{
	open_ports.given_away = false;
	listeners_resume();
}

struct listener *listener_join(const struct listen_conf *like)
{
	struct listener *found = NULL;

	lock_ports();
	for (size_t i = 0; i < open_ports.n && !found; i++)
		if (same_port(open_ports.at[i], like))
			found = open_ports.at[i];
	if (found) {
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&found->connections, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&open_ports.lock);
	return found;
}
