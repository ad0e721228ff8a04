/* Shards look up domains and change their minds, while settings change, the cache is emptied and
 * the thread that asks stops and starts. The name server answers some, keeps silent on some and
 * tells nonsense to others. Every lookup comes to an end, once, and ThreadSanitizer must find
 * nothing. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/supervisor.h"
#include "net/dns.h"
#include "net/lookup.h"
#include "net/outgoing_conf.h"
#include "tests/support/on_shard.h"

#define SHARDS 3
#define LOOKUPS 50 /* of each shard at once */
#define EACH 400 /* lookups of a shard */
#define NAMES 97
#define CHANGES 25

struct asker;
struct looking {
	struct asker *asker;
	struct lookup *lookup; /* NULL: none */
	struct telling telling;
};
struct asker {
	struct looking at[LOOKUPS];
	unsigned seed, begun, ended, cancelled, found;
};

static struct asker askers[SHARDS];
static int server = -1;
static _Atomic bool over;
static _Atomic unsigned left = SHARDS * EACH;
static _Atomic uint64_t lines;

/* ---- The name server ---- */

/* Behind the question: one address, or a service at a name of the domain's own. */
static size_t add_answer(uint8_t *m, size_t len, unsigned type)
{
	static const uint8_t address[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1 };
	static const uint8_t service[] = { 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 1, 0, 10, 0, 1, 0, 1,
		0x14, 0x95, 1, 'x', 0xc0, 12 };

	m[7] = type == 1 || type == 33;
	if (type == 1)
		memcpy(m + len, address, sizeof(address));
	if (type == 33)
		memcpy(m + len, service, sizeof(service));
	return len + (type == 1 ? sizeof(address) : type == 33 ? sizeof(service) : 0);
}

static size_t answer(uint8_t *m, size_t len)
{
	size_t at = 12;

	while (at < len && m[at])
		at += m[at] + 1u;
	at += 5;
	if (at > len || m[at - 6] == 's') /* names that end with it: silence */
		return 0;
	m[2] = 0x81;
	m[3] = 0x80;
	memset(m + 6, 0, 6);
	len = add_answer(m, at, m[at - 3]);
	return m[at - 6] == 'n' ? at - 3 : len; /* cut in the middle: nonsense */
}

static void *serve(void *unused UNUSED)
{
	struct pollfd p = { .fd = server, .events = POLLIN };

	while (!atomic_load(&over)) {
		uint8_t m[4096];
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t len;

		if (poll(&p, 1, 100) <= 0)
			continue;
		len = recvfrom(server, m, 512, 0, (struct sockaddr *)&from, &from_len);
		len = len > 12 ? (ssize_t)answer(m, (size_t)len) : 0;
		if (len)
			sendto(server, m, (size_t)len, 0, (struct sockaddr *)&from, from_len);
	}
	return NULL;
}

static uint16_t begin_server(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	REQUIRE(server >= 0 && bind(server, (struct sockaddr *)&at, sizeof(at)) == 0);
	REQUIRE(getsockname(server, (struct sockaddr *)&at, &len) == 0);
	return ntohs(at.sin_port);
}

/* ---- Shards ---- */

static void step(struct telling *t UNUSED, const char *line)
{
	REQUIRE(strlen(line) < TELLING_MAX);
	atomic_fetch_add_explicit(&lines, 1, memory_order_relaxed);
}

static ON_SHARD void begin(struct looking *l);

static ON_SHARD void go_on(struct looking *l)
{
	atomic_fetch_sub(&left, 1);
	if (l->asker->begun < EACH)
		begin(l);
}

static void found(const struct places *p, void *arg)
{
	struct looking *l = arg;

	shard_check(NULL);
	REQUIRE(l->lookup);
	REQUIRE((p->outcome == PLACES_FOUND) == (p->n > 0));
	l->lookup = NULL;
	l->asker->ended++;
	l->asker->found += p->n > 0;
	go_on(l);
}

static ON_SHARD void begin(struct looking *l)
{
	static const char *const kinds[] = { "good", "goo-d", "silents", "nonsensen" };
	struct asker *a = l->asker;
	char name[64];

	/* The last label says how the server takes it. */
	snprintf(name, sizeof(name), "a%d.%s", rand_r(&a->seed) % NAMES,
		kinds[rand_r(&a->seed) % ARRAY_LEN(kinds)]);
	a->begun++;
	l->telling.step = step;
	l->lookup = lookup_start(name, &l->telling, found, l);
}

static void begin_all(void *arg)
{
	struct asker *a = arg;

	shard_check(NULL);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		a->at[i].asker = a;
		begin(&a->at[i]);
	}
}

static void cancel_some(void *arg)
{
	struct asker *a = arg;

	shard_check(NULL);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		struct looking *l = &a->at[i];

		if (!l->lookup || rand_r(&a->seed) % 4)
			continue;
		lookup_cancel(l->lookup);
		l->lookup = NULL;
		a->cancelled++;
		go_on(l);
	}
}

/* ---- The whole ---- */

static const struct child_spec children[] = {
	{ .id = "dns",
		.shutdown_ms = 20000,
		THREAD_CHILD(dns_run, .wake = dns_wake, .heartbeat_ms = DNS_HEARTBEAT_MS) },
};
static const struct supervisor_plan plan = {
	.strategy = ONE_FOR_ONE, .max_restarts = 0, .within_s = 1, SUPERVISOR_CHILDREN(children)
};
static int families[] = { OUTGOING_IPV6, OUTGOING_IPV4 };
static const char *servers[1];
static const struct outgoing_conf confs[2] = {
	{ .dns_servers = { servers, 1 },
		.dns_timeout_ms = 400,
		.families = { families, 2 },
		.port = 5269 },
	{ .dns_servers = { servers, 1 },
		.dns_timeout_ms = 300,
		.dns_retries = 1,
		.families = { families + 1, 1 },
		.dns_trust_ad = true,
		.port = 5270 },
};

static void ask_supervisor(enum supervisor_request_kind kind)
{
	AUTO(free_ptr)
	struct supervisor_answer *a = supervisor_ask_wait(actor_whereis("above"),
		&(struct supervisor_request){ .kind = kind, .id = "dns" }, 30000);

	REQUIRE(a);
}

static void change(unsigned i)
{
	outgoing_conf_publish(&confs[i % 2]);
	dns_reload();
	dns_flush();
	if (i % 8 == 7) {
		ask_supervisor(TERMINATE_CHILD);
		ask_supervisor(RESTART_CHILD);
	}
	for (unsigned s = 0; s < SHARDS; s++)
		on_shard(s, cancel_some, &askers[s]);
	nap_on_shard(0, 20);
}

static void check(void *arg)
{
	struct asker *a = arg;

	REQUIRE(a->begun == EACH && a->ended + a->cancelled == EACH);
}

int main(void)
{
	static char address[32];
	pthread_t serving;
	unsigned n_found = 0;

	rcu_thread_begin();
	snprintf(address, sizeof(address), "127.0.0.1:%u", begin_server());
	servers[0] = address;
	REQUIRE(pthread_create(&serving, NULL, serve, NULL) == 0);
	REQUIRE(shards_start(SHARDS) == 0);
	outgoing_conf_publish(&confs[0]);
	dns_reload();
	for (unsigned s = 0; s < SHARDS; s++) { /* before there is a thread: they wait for it */
		askers[s].seed = s + 1;
		on_shard(s, begin_all, &askers[s]);
	}
	REQUIRE(supervisor_spawn_wait(shard_at(0), &plan, &(struct start){ .name = "above" })
			.outcome == STARTED);
	for (unsigned i = 0; i < CHANGES; i++)
		change(i);
	while (atomic_load(&left) > 0 || dns_waiting() > 0)
		nap_on_shard(0, 10);
	for (unsigned s = 0; s < SHARDS; s++) {
		on_shard(s, check, &askers[s]);
		n_found += askers[s].found;
	}
	REQUIRE(n_found > 0 && atomic_load(&lines) > 0);
	gen_stop_id(actor_whereis("above"), STOP_SHUTDOWN);
	while (actor_whereis("above").v)
		nap_on_shard(0, 5);
	shards_stop();
	atomic_store(&over, true);
	pthread_join(serving, NULL);
	close(server);
	rcu_thread_end();
	printf("%u lookups, %u found places\n", SHARDS * EACH, n_found);
	return 0;
}
