/* Open ports, and what a reload does to them and to the connections that came through them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/listening.h"

static void begin(void)
{
	listening_begin(NULL, 0, 2);
}
TestSuite(listener, .init = begin, .fini = listening_end, .timeout = 60);

static struct listen_conf conf_of(const char *ip, uint16_t port)
{
	return (struct listen_conf){ .port = port,
		.ip = ip,
		.backlog = 16,
		.max_stanza_size = 65536,
		.max_stanza_size_unauthenticated = 10000,
		.negotiation_timeout_ms = 60000 };
}

/* The open ports in their order. */
struct ports {
	size_t n;
	uint16_t at[8];
	int64_t connections[8];
};

static void note_port(const struct listener *l, const struct listen_conf *conf UNUSED, void *arg)
{
	struct ports *p = arg;

	p->connections[p->n] = atomic_load(&l->connections);
	p->at[p->n++] = l->port;
}

static struct ports ports(void)
{
	struct ports p = { 0 };

	listeners_each(note_port, &p);
	return p;
}

Test(listener, opens_what_it_is_told)
{
	struct listen_conf conf[] = { conf_of("127.0.0.1", 0), conf_of("::1", 0) };
	struct ports p;

	listening_reload(conf, 2);
	p = ports();
	cr_assert_eq(p.n, 2);
	cr_expect(is_served(dial("127.0.0.1", p.at[0])));
	cr_expect(is_served(dial("::1", p.at[1])));
	cr_expect_eq(dial("127.0.0.1", p.at[1]), -1, "only where it was told");
}

Test(listener, all_addresses)
{
	struct listen_conf both = conf_of("::", 0), one = conf_of("::", 0);
	struct listen_conf conf[2];
	struct ports p;

	one.v6_only = true;
	conf[0] = both;
	conf[1] = one;
	listening_reload(conf, 2);
	p = ports();
	cr_expect(is_served(dial("127.0.0.1", p.at[0])));
	cr_expect(is_served(dial("::1", p.at[0])));
	cr_expect_eq(dial("127.0.0.1", p.at[1]), -1, "v6_only");
	cr_expect(is_served(dial("::1", p.at[1])));
}

Test(listener, a_reload_keeps_what_is_the_same)
{
	struct listen_conf conf[] = { conf_of("127.0.0.1", 0), conf_of("127.0.0.1", 0) };
	struct ports before, after;
	int fd;

	listening_reload(conf, 2);
	before = ports();
	fd = dial("127.0.0.1", before.at[0]);
	cr_assert(await_streams(1));
	listening_reload(conf, 2);
	after = ports();
	cr_assert_eq(after.n, 2);
	cr_expect_eq(after.at[0], before.at[0]);
	cr_expect_eq(after.at[1], before.at[1], "two that look alike are still two");
	cr_expect_eq(after.connections[0], 1);
	cr_expect_eq(after.connections[1], 0);
	cr_expect(is_served(fd));
	listening_reload(&conf[0], 1);
	cr_expect_eq(ports().n, 1);
	cr_expect_eq(ports().at[0], before.at[0]);
	cr_expect_eq(dial("127.0.0.1", before.at[1]), -1);
}

Test(listener, a_reload_closes_ports_not_connections)
{
	struct listen_conf conf = conf_of("127.0.0.1", 0);
	struct listen_conf other = conf_of("127.0.0.2", 0);
	uint16_t port;
	int fd;

	listening_reload(&conf, 1);
	port = ports().at[0];
	fd = dial("127.0.0.1", port);
	cr_assert(await_streams(1));
	listening_reload(&other, 1);
	cr_expect_eq(dial("127.0.0.1", port), -1);
	cr_expect(is_served(dial("127.0.0.2", ports().at[0])));
	cr_expect(is_served(fd), "it came before");
}

Test(listener, new_options_are_for_new_connections)
{
	struct listen_conf conf = conf_of("127.0.0.1", 0);
	int before, after;

	listening_reload(&conf, 1);
	before = dial("127.0.0.1", ports().at[0]);
	cr_assert(await_streams(1));
	conf.negotiation_timeout_ms = 1000;
	conf.max_connections = 2;
	listening_reload(&conf, 1);
	after = dial("127.0.0.1", ports().at[0]);
	cr_assert(await_streams(2));
	cr_expect(is_turned_away(dial("127.0.0.1", ports().at[0])), "the first counts too");
	settle();
	clock_move(2000); /* the new one's time is over */
	clock_move(5000);
	cr_expect(await_streams(1));
	cr_expect(is_served(before));
	close(after);
}

Test(listener, a_reload_that_fails_changes_nothing)
{
	struct listen_conf conf[] = { conf_of("127.0.0.1", 0), conf_of("127.0.0.1", 0) };
	struct listen_conf wrong[3];
	uint16_t port, taken;
	char *why = NULL, wanted[100];

	listening_reload(conf, 2);
	port = ports().at[0];
	taken = ports().at[1];
	wrong[0] = conf[0];
	wrong[0].max_connections = 1;
	wrong[1] = conf_of("127.0.0.2", 0);
	wrong[2] = conf_of("127.0.0.1", taken); /* by ourselves, under another entry */
	cr_expect_eq(listeners_reload(wrong, 3, &why), -EADDRINUSE);
	snprintf(wanted, sizeof(wanted), "127.0.0.1 port %d: Address already in use", taken);
	cr_expect_str_eq(why, wanted);
	free(why);
	cr_expect_eq(ports().n, 2);
	cr_expect_eq(ports().at[0], port);
	for (int i = 0; i < 2; i++)
		cr_expect_geq(dial("127.0.0.1", port), 0);
	cr_expect(await_streams(2), "with the options of before");
}

/* What is prepared is no one's to connect to, or is closed unseen; what was open goes on. */
Test(listener, what_is_prepared_can_be_abandoned)
{
	struct listen_conf one = conf_of("127.0.0.1", 0), other;
	struct listeners_change *change = NULL;
	struct ports before;
	char *why = NULL;
	size_t at;

	listening_reload(&one, 1);
	before = ports();
	other = conf_of("127.0.0.2", before.at[0]);
	cr_assert_eq(listeners_prepare(&other, 1, &change, &at, &why), 0, "%s", why);
	cr_expect_eq(ports().n, 1);
	listeners_abandon(change);
	listeners_abandon(NULL);
	cr_expect_eq(ports().at[0], before.at[0]);
	cr_expect_eq(dial("127.0.0.2", before.at[0]), -1);
	cr_expect(is_served(dial("127.0.0.1", before.at[0])));
	listening_reload(&other, 1);
	cr_expect(is_served(dial("127.0.0.2", before.at[0])));
}

Test(listener, who_cannot_be_opened_is_told)
{
	struct listen_conf conf[] = { conf_of("127.0.0.1", 0), conf_of("203.0.113.1", 0) };
	struct listeners_change *change;
	char *why = NULL;
	size_t at;

	cr_expect_eq(listeners_prepare(conf, 2, &change, &at, &why), -EADDRNOTAVAIL);
	cr_expect_eq(at, 1);
	free(why);
	cr_expect_eq(ports().n, 0);
}

/* From one address to all and back, on one port: ours is in the way, and goes. */
static const struct {
	const char *from, *to;
	bool from_v6_only, to_v6_only;
	const char *still, *no_more; /* an address; NULL: none */
} moves[] = {
	{ "127.0.0.1", "0.0.0.0", false, false, "127.0.0.2", NULL },
	{ "0.0.0.0", "127.0.0.1", false, false, "127.0.0.1", "127.0.0.2" },
	{ "0.0.0.0", "::", false, false, "::1", NULL },
	{ "::", "0.0.0.0", false, false, "127.0.0.1", "::1" },
	{ "::", "::", false, true, "::1", "127.0.0.1" },
	{ "::", "::", true, false, "127.0.0.1", NULL },
};

static uint16_t free_port_of(struct listen_conf *conf)
{
	uint16_t port;

	listening_reload(conf, 1);
	port = ports().at[0];
	listening_reload(NULL, 0);
	return port;
}

Test(listener, a_port_moves_between_addresses)
{
	for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
		struct listen_conf any = conf_of("::", 0);
		uint16_t port = free_port_of(&any);
		struct listen_conf from = conf_of(moves[i].from, port);
		struct listen_conf to = conf_of(moves[i].to, port);

		from.v6_only = moves[i].from_v6_only;
		to.v6_only = moves[i].to_v6_only;
		listening_reload(&from, 1);
		listening_reload(&to, 1);
		cr_expect_eq(ports().n, 1);
		cr_expect(is_served(dial(moves[i].still, port)), "%s to %s", moves[i].from,
			moves[i].to);
		if (moves[i].no_more)
			cr_expect_eq(dial(moves[i].no_more, port), -1, "%s to %s", moves[i].from,
				moves[i].to);
		listening_reload(NULL, 0);
	}
}

/* Whom the port of ours is in the way of may not have it at somebody else's cost. */
Test(listener, a_port_of_another_program_stays_its_own)
{
	struct listen_conf any = conf_of("::", 0);
	struct listen_conf ours = conf_of("127.0.0.2", free_port_of(&any)), all;
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int other = dialling_socket(AF_INET);
	struct listeners_change *change;
	char *why = NULL;
	size_t at;

	listening_reload(&ours, 1);
	sa.sin_port = htons((uint16_t)ours.port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(bind(other, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(listen(other, 1), 0);
	all = conf_of("0.0.0.0", (uint16_t)ours.port);
	cr_expect_eq(listeners_prepare(&all, 1, &change, &at, &why), -EADDRINUSE);
	free(why);
	cr_expect(is_served(dial("127.0.0.2", (uint16_t)ours.port)));
	close(other);
}

Test(listener, another_backlog_closes_nothing)
{
	struct listen_conf conf = conf_of("127.0.0.1", 0);
	uint16_t port;

	listening_reload(&conf, 1);
	port = ports().at[0];
	conf.backlog = 3;
	listening_reload(&conf, 1);
	cr_expect_eq(ports().at[0], port, "port 0 would be another one");
	cr_expect(is_served(dial("127.0.0.1", port)));
}

Test(listener, an_address_that_is_not_ours)
{
	struct listen_conf conf = conf_of("203.0.113.1", 0); /* RFC 5737 */
	char *why = NULL;

	cr_expect_eq(listeners_reload(&conf, 1, &why), -EADDRNOTAVAIL);
	cr_expect_str_eq(why, "203.0.113.1 port 0: Cannot assign requested address");
	free(why);
	conf.ip = "localhost";
	cr_expect_eq(listeners_reload(&conf, 1, &why), -EINVAL);
	free(why);
	cr_expect_eq(ports().n, 0);
}

Test(listener, a_place_is_counted_until_its_connection_is_gone)
{
	struct listen_conf conf = conf_of("127.0.0.1", 0);
	int fd;

	listening_reload(&conf, 1);
	fd = dial("127.0.0.1", ports().at[0]);
	cr_assert(await_streams(1));
	cr_expect_eq(ports().connections[0], 1);
	close(fd);
	cr_assert(await_streams(0));
	settle();
	cr_expect_eq(ports().connections[0], 0);
}
