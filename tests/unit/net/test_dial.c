/* Connecting to the first of several places. RFC 8305 §5. All on loopback: who is there listens,
 * who is not refuses, and who is silent has a backlog that is full. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "net/dial.h"
#include "net/outgoing_conf.h"
#include "tests/support/on_shard.h"

#define FILLERS 8

/* Where nobody answers, not even with a refusal: Linux drops what a full backlog has no room for.
 */
struct silent {
	int listener, fillers[FILLERS];
};

static struct outgoing_conf conf = { .timeout_ms = 10000, .port = 5269 };

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(1), 0);
	outgoing_conf_publish(&conf);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

TestSuite(dial, .init = begin, .fini = end, .timeout = 60);

static int listen_on(uint16_t *out_port, int backlog)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	cr_assert_eq(listen(fd, backlog), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*out_port = ntohs(at.sin_port);
	return fd;
}

static uint16_t begin_silence(struct silent *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port;

	s->listener = listen_on(&port, 0);
	at.sin_port = htons(port);
	for (unsigned i = 0; i < FILLERS; i++) {
		s->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(s->fillers[i], (struct sockaddr *)&at, sizeof(at));
	}
	return port;
}

static void end_silence(struct silent *s)
{
	for (unsigned i = 0; i < FILLERS; i++)
		close(s->fillers[i]);
	close(s->listener);
}

/* A port that nobody listens on: kept bound, so that nobody else does. */
static int refuse_on(uint16_t *out_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*out_port = ntohs(at.sin_port);
	return fd;
}

struct wanted {
	uint16_t port;
	unsigned rank;
};

static struct places *places_of(const struct wanted *w, unsigned n)
{
	struct places *p = xcalloc(1, sizeof(*p) + n * sizeof(struct place));

	atomic_init(&p->refs, 1);
	p->why = xstrdup("");
	p->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct place *at = &p->at[i];

		at->address.in = (struct sockaddr_in){ .sin_family = AF_INET,
			.sin_port = htons(w[i].port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		at->port = w[i].port;
		at->rank = w[i].rank;
		at->host = xstrdup("a.example");
	}
	return p;
}

/* A dial as its caller sees it. */
struct caller {
	struct places *places;
	struct dial *dial;
	struct telling telling;
	char told[4096];
	sem_t called;
	int fd;
	uint16_t port; /* of the last connection; 0: there was no place left */
	const char *next; /* why the last one was of no use */
	char *why; /* owned */
};

static void step(struct telling *t, const char *line)
{
	struct caller *c = caa_container_of(t, struct caller, telling);
	size_t len = strlen(c->told);

	snprintf(c->told + len, sizeof(c->told) - len, "%s\n", line);
}

static void called(int fd, const struct place *place, void *arg)
{
	struct caller *c = arg;

	c->fd = fd;
	c->port = place ? place->port : 0;
	sem_post(&c->called);
}

static void start(void *arg)
{
	struct caller *c = arg;

	c->telling.step = step;
	c->dial = dial_start(c->places, &c->telling, called, c);
}

static void next(void *arg)
{
	struct caller *c = arg;

	close(c->fd);
	dial_next(c->dial, c->next);
}

static void finish(void *arg)
{
	struct caller *c = arg;

	c->why = xstrdup(dial_why(c->dial));
	dial_end(c->dial);
}

static void caller_init(struct caller *c, const struct wanted *w, unsigned n)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	sem_init(&c->called, 0, 0);
	c->places = places_of(w, n);
	on_shard(0, start, c);
}

/* c->why is left to the caller. */
static void caller_fini(struct caller *c)
{
	on_shard(0, finish, c);
	if (c->port)
		close(c->fd);
	places_unref(c->places);
	sem_destroy(&c->called);
}

static void caller_end(struct caller *c)
{
	caller_fini(c);
	free(c->why);
}

Test(dial, the_only_place)
{
	struct caller c;
	uint16_t port;
	int listener = listen_on(&port, 5), fd;

	caller_init(&c, &(struct wanted){ port, 0 }, 1);
	cr_assert(await(&c.called));
	cr_assert_eq(c.port, port, "%s", c.told);
	fd = accept(listener, NULL, NULL);
	cr_expect_eq(write(c.fd, "x", 1), 1, "it is connected");
	caller_end(&c);
	close(fd);
	close(listener);
}

/* Told in order, as it happened. */
Test(dial, a_dead_address_before_a_live_one)
{
	uint16_t dead, live;
	struct caller c;
	int holder = refuse_on(&dead), listener = listen_on(&live, 5);
	char want[256];

	caller_init(&c, (struct wanted[]){ { dead, 0 }, { live, 1 } }, 2);
	cr_assert(await(&c.called));
	cr_assert_eq(c.port, live, "%s", c.told);
	snprintf(want, sizeof(want),
		"127.0.0.1:%u: connecting (a.example)\n127.0.0.1:%u: Connection refused\n"
		"127.0.0.1:%u: connecting (a.example)\n127.0.0.1:%u: connected\n",
		dead, dead, live, live);
	cr_expect_str_eq(c.told, want);
	caller_end(&c);
	close(listener);
	close(holder);
}

/* §5: the next begins while the one before is still on its way, which is given up when the other
 * stands; it gets another chance when that was of no use. */
Test(dial, a_silent_address_before_a_live_one)
{
	struct silent s;
	uint16_t silent = begin_silence(&s), live;
	int listener = listen_on(&live, 5);
	struct caller c;
	char want[128];

	conf.timeout_ms = INT64_MAX;
	caller_init(&c, (struct wanted[]){ { silent, 0 }, { live, 0 } }, 2);
	cr_assert(await(&c.called));
	cr_assert_eq(c.port, live, "%s", c.told);
	snprintf(want, sizeof(want), "127.0.0.1:%u: given up, as the other was faster", silent);
	cr_expect(strstr(c.told, want), "%s", c.told);
	end_silence(&s);
	c.next = "its certificate has expired";
	on_shard(0, next, &c);
	cr_assert(await(&c.called));
	cr_expect_eq(c.port, 0, "%s", c.told);
	caller_fini(&c);
	snprintf(want, sizeof(want),
		"127.0.0.1:%u: its certificate has expired; 127.0.0.1:%u: Connection refused", live,
		silent);
	cr_expect_str_eq(c.why, want);
	free(c.why);
	close(listener);
}

/* A later rank is for when those before it do not answer. */
Test(dial, a_silent_rank_before_another)
{
	struct silent s;
	uint16_t silent = begin_silence(&s), live;
	int listener = listen_on(&live, 5);
	struct caller c;

	conf.timeout_ms = INT64_MAX;
	caller_init(&c, (struct wanted[]){ { silent, 0 }, { live, 1 } }, 2);
	cr_assert(await(&c.called));
	cr_expect_eq(c.port, live, "%s", c.told);
	caller_end(&c);
	end_silence(&s);
	close(listener);
}

Test(dial, all_in_vain)
{
	struct silent s;
	uint16_t silent = begin_silence(&s), dead, live;
	int holder = refuse_on(&dead), listener = listen_on(&live, 5);
	struct caller c;
	char want[256];

	conf.timeout_ms = 300;
	caller_init(&c, (struct wanted[]){ { live, 0 }, { dead, 1 }, { silent, 1 } }, 3);
	cr_assert(await(&c.called));
	cr_assert_eq(c.port, live, "%s", c.told);
	c.next = "it is another server";
	on_shard(0, next, &c);
	cr_assert(await(&c.called));
	cr_assert_eq(c.port, 0, "%s", c.told);
	caller_fini(&c);
	snprintf(want, sizeof(want),
		"127.0.0.1:%u: it is another server; 127.0.0.1:%u: Connection refused; "
		"127.0.0.1:%u: no answer in time",
		live, dead, silent);
	cr_expect_str_eq(c.why, want);
	free(c.why);
	end_silence(&s);
	close(listener);
	close(holder);
}

/* Nothing is called any more, and no descriptor stays open. */
Test(dial, ended_early)
{
	struct silent s;
	uint16_t silent = begin_silence(&s);
	struct wanted w[12];
	struct caller c;
	int before = dup(0), after;

	close(before);
	for (unsigned i = 0; i < ARRAY_LEN(w); i++)
		w[i] = (struct wanted){ silent, 0 };
	caller_init(&c, w, ARRAY_LEN(w));
	nap_on_shard(0, 600); /* some are on their way */
	on_shard(0, finish, &c);
	nap_on_shard(0, 300);
	cr_expect_eq(sem_trywait(&c.called), -1);
	after = dup(0);
	cr_expect_eq(after, before, "%d instead of %d", after, before);
	close(after);
	free(c.why);
	places_unref(c.places);
	end_silence(&s);
}

/* outgoing_s2s_ipv4_address. */
Test(dial, from_an_address_of_ours)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct caller c;
	uint16_t port;
	int listener = listen_on(&port, 5), fd;

	conf.ipv4_address = "127.0.0.77";
	caller_init(&c, &(struct wanted){ port, 0 }, 1);
	cr_assert(await(&c.called));
	cr_assert_eq(c.port, port, "%s", c.told);
	fd = accept(listener, (struct sockaddr *)&from, &len);
	cr_expect_eq(from.sin_addr.s_addr, inet_addr("127.0.0.77"));
	close(fd);
	caller_end(&c);
	conf.ipv4_address = "192.0.2.77"; /* not ours */
	caller_init(&c, &(struct wanted){ port, 0 }, 1);
	cr_assert(await(&c.called));
	cr_expect_eq(c.port, 0);
	cr_expect(strstr(c.told, "Cannot assign requested address"), "%s", c.told);
	caller_end(&c);
	close(listener);
}
