/* net/dial.c - connections under way, and two timers: one for the next to begin, one for each that
 * takes too long. */
#include "net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "core/timer.h"
#include "net/outgoing_conf.h"

#define HEAD_START_MS 250 /* RFC 8305 §5 */
#define RANK_HEAD_START_MS 2000
#define AT_ONCE_MAX 8

static struct metric connected =
	METRIC_COUNTER_OF("dials_total", "result=\"connected\"", "Connections to other servers.");
static struct metric not_connected =
	METRIC_COUNTER_OF("dials_total", "result=\"failed\"", "Connections to other servers.");

enum state {
	TO_COME, /* also one that was given up, as another was faster */
	UNDER_WAY,
	GIVEN, /* its connection is the caller's */
	FAILED,
};

struct attempt {
	struct watch watch;
	struct timer late;
	struct dial *dial;
	enum state state;
};

struct dial {
	const struct places *places; /* counted */
	struct telling *telling;
	dial_done_fn *done;
	void *arg;
	struct timer next; /* when the next one begins */
	uint64_t begun_ms; /* when the last one was; 0: long ago */
	char *why; /* owned; of all that failed */
	unsigned given; /* index, while one is */
	struct attempt at[]; /* one for each place */
};

static const struct place *place_of(const struct attempt *a)
{
	return &a->dial->places->at[a - a->dial->at];
}

/* ---- Which. ---- */

static struct attempt *find_state(struct dial *d, enum state state)
{
	for (unsigned i = 0; i < d->places->n; i++)
		if (d->at[i].state == state)
			return &d->at[i];
	return NULL;
}

static unsigned count_under_way(const struct dial *d)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->places->n; i++)
		n += d->at[i].state == UNDER_WAY;
	return n;
}

/* Sets the time of the next one. */
static ON_SHARD void plan(struct dial *d)
{
	const struct attempt *first = find_state(d, UNDER_WAY), *next = find_state(d, TO_COME);
	uint64_t gone_ms = shard_now_ms() - d->begun_ms, wait_ms = 0;

	timer_cancel(&d->next);
	if (!next && first)
		return; /* what is under way may still come to something */
	if (first)
		wait_ms = place_of(first)->rank == place_of(next)->rank ? HEAD_START_MS
									: RANK_HEAD_START_MS;
	if (next && count_under_way(d) == AT_ONCE_MAX)
		return; /* the first that fails plans again */
	timer_set(&d->next, gone_ms < wait_ms ? wait_ms - gone_ms : 0);
}

/* ---- Its end. ---- */

static ON_SHARD void stop(struct attempt *a)
{
	timer_cancel(&a->late);
	shard_unwatch(&a->watch);
	close(a->watch.fd);
	a->watch.fd = -1;
}

static void note_failed(struct attempt *a, const char *why)
{
	struct dial *d = a->dial;
	char text[PLACE_TEXT_MAX];
	char *longer;

	a->state = FAILED;
	metric_add(&not_connected, 1);
	place_text(place_of(a), text);
	tell(d->telling, "%s: %s", text, why);
	longer = xprintf("%s%s%s: %s", d->why ? d->why : "", d->why ? "; " : "", text, why);
	free(d->why);
	d->why = longer;
}

/* Another one of its rank need not wait any more. */
static ON_SHARD void fail(struct attempt *a, const char *why)
{
	struct dial *d = a->dial;
	const struct attempt *next = find_state(d, TO_COME);

	note_failed(a, why);
	if (next && place_of(next)->rank == place_of(a)->rank)
		d->begun_ms = 0;
	plan(d);
}

static ON_SHARD void give(struct attempt *a)
{
	struct dial *d = a->dial;
	char text[PLACE_TEXT_MAX];
	int fd = a->watch.fd;

	timer_cancel(&d->next);
	timer_cancel(&a->late);
	shard_unwatch(&a->watch);
	a->watch.fd = -1;
	a->state = GIVEN;
	d->given = (unsigned)(a - d->at);
	metric_add(&connected, 1);
	tell(d->telling, "%s: connected", place_text(place_of(a), text));
	for (unsigned i = 0; i < d->places->n; i++)
		if (d->at[i].state == UNDER_WAY) {
			stop(&d->at[i]);
			d->at[i].state = TO_COME;
			tell(d->telling, "%s: given up, as the other was faster",
				place_text(place_of(&d->at[i]), text));
		}
	d->done(fd, place_of(a), d->arg);
}

static void attempt_ready(struct watch *w, uint32_t events UNUSED)
{
	struct attempt *a = caa_container_of(w, struct attempt, watch);
	int error = 0;
	socklen_t len = sizeof(error);

	shard_check(NULL);
	if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error) {
		give(a);
		return;
	}
	stop(a);
	fail(a, strerror(error));
}

static void attempt_late(struct timer *t)
{
	struct attempt *a = caa_container_of(t, struct attempt, late);

	shard_check(NULL);
	stop(a);
	fail(a, "no answer in time");
}

/* ---- Its beginning. ---- */

static int bind_to(int fd, int family, const struct outgoing_conf *c)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const int on = 1;

	if (family == AF_INET ? !c->ipv4_address : !c->ipv6_address)
		return 0;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (family == AF_INET) {
		inet_pton(AF_INET, c->ipv4_address, &in.sin_addr);
		return bind(fd, (struct sockaddr *)&in, sizeof(in));
	}
	inet_pton(AF_INET6, c->ipv6_address, &in6.sin6_addr);
	return bind(fd, (struct sockaddr *)&in6, sizeof(in6));
}

/* A descriptor on its way, or negative errno. */
static int begin_to(const struct place *p, const struct outgoing_conf *c)
{
	int family = p->address.any.sa_family;
	AUTO(fd_close) int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind_to(fd, family, c) < 0)
		return -errno;
	if (connect(fd, &p->address.any,
		    family == AF_INET6 ? sizeof(p->address.in6) : sizeof(p->address.in)) < 0 &&
		errno != EINPROGRESS)
		return -errno;
	return steal_fd(&fd);
}

static ON_SHARD void begin(struct attempt *a)
{
	const struct outgoing_conf *c = outgoing_conf();
	const struct place *p = place_of(a);
	char text[PLACE_TEXT_MAX];
	int fd = begin_to(p, c), error;

	a->dial->begun_ms = shard_now_ms();
	if (fd < 0) {
		note_failed(a, strerror(-fd));
		return;
	}
	tell(a->dial->telling, "%s: connecting (%s)", place_text(p, text), p->host);
	a->watch.fd = fd;
	a->watch.events = EPOLLOUT;
	a->watch.ready = attempt_ready;
	error = shard_watch(&a->watch);
	if (error) {
		close(fd);
		a->watch.fd = -1;
		note_failed(a, strerror(-error));
		return;
	}
	a->state = UNDER_WAY;
	if (c->timeout_ms != INT64_MAX)
		timer_set(&a->late, (uint64_t)c->timeout_ms);
}

static void next_due(struct timer *t)
{
	struct dial *d = caa_container_of(t, struct dial, next);
	struct attempt *next = find_state(d, TO_COME);

	shard_check(NULL);
	if (!next) {
		tell(d->telling, "no place is left");
		d->done(-1, NULL, d->arg);
		return;
	}
	begin(next);
	plan(d);
}

/* ---- For others. ---- */

struct dial *dial_start(const struct places *p, struct telling *t, dial_done_fn *done, void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d) + p->n * sizeof(struct attempt));

	REQUIRE(p->n <= PLACES_MAX);
	d->places = places_ref(p);
	d->telling = t;
	d->done = done;
	d->arg = arg;
	timer_init(&d->next, next_due);
	for (unsigned i = 0; i < p->n; i++) {
		d->at[i].dial = d;
		d->at[i].watch.fd = -1;
		timer_init(&d->at[i].late, attempt_late);
	}
	plan(d);
	return d;
}

void dial_next(struct dial *d, const char *why)
{
	struct attempt *given = &d->at[d->given];

	REQUIRE(given->state == GIVEN);
	fail(given, why);
}

void dial_end(struct dial *d)
{
	if (!d)
		return;
	timer_cancel(&d->next);
	for (unsigned i = 0; i < d->places->n; i++)
		if (d->at[i].state == UNDER_WAY)
			stop(&d->at[i]);
	places_unref(d->places);
	free(d->why);
	free(d);
}

const char *dial_why(const struct dial *d)
{
	return d->why ? d->why : "";
}
