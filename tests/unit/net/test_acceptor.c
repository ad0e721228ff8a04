/* What is decided before a byte is read: which shard, whether there is room, what happens when
 * there are no descriptors left. Several acceptors at once, as many clients. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/acceptor.h"
#include "net/limits.h"
#include "tests/support/listening.h"

static struct listen_conf conf;
static uint16_t port;

static void note_port(const struct listener *l, const struct listen_conf *c UNUSED, void *arg)
{
	*(uint16_t *)arg = l->port;
}

static void begin(void)
{
	conf = (struct listen_conf){ .ip = "127.0.0.1",
		.backlog = 256,
		.max_stanza_size = 65536,
		.max_stanza_size_unauthenticated = 10000,
		.negotiation_timeout_ms = 60000 };
	listening_begin(&conf, 1, 4);
	listeners_each(note_port, &port);
}
TestSuite(acceptor, .init = begin, .fini = listening_end, .timeout = 60);

Test(acceptor, shards_in_turn)
{
	int fd[20];

	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial("127.0.0.1", port);
		cr_assert(await_streams((int64_t)i + 1));
	}
	cr_expect_eq(actor_count(0), 10);
	cr_expect_eq(actor_count(1), 10);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
}

/* A shard that has clearly more to do than another is passed over. */
Test(acceptor, the_shard_with_less_to_do)
{
	int fd[60];

	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial("127.0.0.1", port);
		cr_assert(await_streams((int64_t)i + 1));
	}
	for (size_t i = 0; i < ARRAY_LEN(fd); i += 2)
		close(fd[i]); /* all of one shard */
	cr_assert(await_streams(30));
	cr_expect(actor_count(0) == 0 || actor_count(1) == 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i += 2) {
		fd[i] = dial("127.0.0.1", port);
		cr_assert(await_streams(30 + (int64_t)i / 2 + 1));
	}
	cr_expect_leq(abs((int)actor_count(0) - (int)actor_count(1)), 17);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
}

Test(acceptor, no_more_than_the_listener_may_have)
{
	int first, second;

	conf.max_connections = 2;
	listening_reload(&conf, 1);
	first = dial("127.0.0.1", port);
	second = dial("127.0.0.1", port);
	cr_assert(await_streams(2));
	for (int i = 0; i < 5; i++)
		cr_expect(is_turned_away(dial("127.0.0.1", port)));
	close(first);
	cr_assert(await_streams(1));
	cr_expect(is_served(dial("127.0.0.1", port)), "its place is free again");
	close(second);
}

Test(acceptor, no_more_than_one_address_may_have)
{
	int fd;

	conf.max_unauthenticated_per_address = 1;
	listening_reload(&conf, 1);
	fd = dial("127.0.0.1", port);
	cr_assert(await_streams(1));
	cr_expect(is_turned_away(dial("127.0.0.1", port)));
	close(fd);
	cr_assert(await_streams(0));
	settle();
	cr_expect(is_served(dial("127.0.0.1", port)));
}

enum { CALLERS = 4, CALLS = 50, PLACES = 30 };
static int called[CALLERS * CALLS];

static void *call(void *arg)
{
	int *fd = arg;

	for (unsigned i = 0; i < CALLS; i++)
		fd[i] = dial("127.0.0.1", port);
	return NULL;
}

/* Acceptors that count at the same time do not count past the bound. */
Test(acceptor, not_one_more_in_a_crowd)
{
	pthread_t callers[CALLERS];
	unsigned turned_away = 0;

	conf.max_connections = PLACES;
	listening_reload(&conf, 1);
	for (unsigned i = 0; i < CALLERS; i++)
		pthread_create(&callers[i], NULL, call, called + i * CALLS);
	for (unsigned i = 0; i < CALLERS; i++)
		pthread_join(callers[i], NULL);
	cr_expect(await_streams(PLACES));
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	settle();
	for (unsigned i = 0; i < CALLERS * CALLS; i++) {
		turned_away += is_turned_away(called[i]);
		close(called[i]);
	}
	cr_expect_eq(turned_away, CALLERS * CALLS - PLACES);
}

/* Connections are refused one by one rather than left to wait, and served again afterwards. */
Test(acceptor, out_of_descriptors)
{
	struct rlimit limit;
	int clients[30], filler[256], n = 0;

	cr_assert(is_served(dial("127.0.0.1", port)));
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		clients[i] = dialling_socket(AF_INET);
	cr_assert(await_streams(0));
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 128;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while ((filler[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		cr_assert_lt(++n, ARRAY_LEN(filler));
	cr_assert_eq(errno, EMFILE);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		cr_assert(dial_from(clients[i], "127.0.0.1", port));
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		cr_expect(is_turned_away(clients[i]), "client %zu", i);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		cr_assert_eq(close(clients[i]), 0);
	for (int i = 0; i < n; i++)
		cr_assert_eq(close(filler[i]), 0, "nobody else has closed it");
	cr_expect(is_served(dial("127.0.0.1", port)));
}
