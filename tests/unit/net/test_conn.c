/* One connection against a socket pair: what is written when, what becomes of output that nobody
 * reads and of input that its owner cannot take, how it ends. The peer is the test's own thread; a
 * turn is over when settle() returns. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "net/conn.h"
#include "tests/support/moved_clock.h"
#include "tests/support/tls_peer.h"

/* The server's side, as its owner sees it. Touched on the shard, read after settle(). */
static struct {
	struct conn conn;
	char in[1 << 20]; /* the bytes its owner took */
	size_t in_len, takes; /* takes: how many at once at most */
	unsigned offers; /* calls of bytes() */
	bool closes; /* conn_close() on the first bytes */
	unsigned secured, n_lost;
	enum conn_loss why;
	unsigned unsent[256], n_unsent;
} side;
static int peer = -1;

static size_t bytes(struct conn *c, const char *at, size_t len)
{
	size_t took = len < side.takes ? len : side.takes;

	shard_check(NULL);
	cr_assert_not(side.n_lost);
	side.offers++;
	cr_assert_leq(side.in_len + took, sizeof(side.in));
	memcpy(side.in + side.in_len, at, took);
	side.in_len += took;
	if (side.closes)
		conn_close(c);
	return took;
}

static void secured(struct conn *c UNUSED)
{
	side.secured++;
}

static void unsent(struct conn *c UNUSED, struct stanza *s)
{
	cr_assert_not(side.n_lost, "before lost()");
	side.unsent[side.n_unsent++] = (unsigned)atoi(s->id);
}

static void lost(struct conn *c UNUSED, enum conn_loss why)
{
	side.n_lost++;
	side.why = why;
}

static const struct conn_events events = { bytes, secured, unsent, lost };

static void begin_here(void *fd)
{
	shard_check(NULL);
	cr_assert_eq(conn_begin(&side.conn, *(int *)fd, &events), 0);
}

static void end_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_end(&side.conn);
}

/* A connection over a pair of sockets of that type. */
static void connect_as(int type)
{
	int fd[2];

	cr_assert_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fd), 0);
	peer = fd[1];
	memset(&side, 0, sizeof(side));
	side.takes = SIZE_MAX;
	on_shard(0, begin_here, &fd[0]);
}

static void disconnect(void)
{
	on_shard(0, end_here, NULL);
	close(peer);
	peer = -1;
}

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(1), 0);
	connect_as(SOCK_STREAM);
}

static void end(void)
{
	disconnect();
	shards_stop();
	rcu_wait_later();
	rcu_thread_end();
}
TestSuite(conn, .init = begin, .fini = end, .timeout = 60);

/* --- small words --- */

static void write_here(void *text)
{
	shard_check(NULL);
	conn_write(&side.conn, buf_of(text, strlen(text)), NULL);
}

static void say(const char *text)
{
	on_shard(0, write_here, (void *)text);
	settle();
}

static void close_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_close(&side.conn);
}

static void close_it(void)
{
	on_shard(0, close_here, NULL);
	settle();
}

static void pause_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_pause(&side.conn);
}

static void resume_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_resume(&side.conn);
}

static void hibernate_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_hibernate(&side.conn);
}

/* What the peer finds in its socket: the text, or "EOF", or "" when there is nothing. */
static const char *hears(void)
{
	static char room[1 << 20];
	size_t have = 0;
	ssize_t n = 0;

	while (have < sizeof(room) - 1 &&
		(n = recv(peer, room + have, sizeof(room) - 1 - have, 0)) > 0)
		have += (size_t)n;
	room[have] = '\0';
	return !have && !n ? "EOF" : room;
}

static void tell(const char *text)
{
	cr_assert_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	settle();
}

static const char *taken(void)
{
	side.in[side.in_len] = '\0';
	return side.in;
}

#define EXPECT_LOST(reason)                                                         \
	do {                                                                        \
		cr_expect_eq(side.n_lost, 1);                                       \
		cr_expect_str_eq(conn_loss_text(side.why), conn_loss_text(reason)); \
	} while (0)

/* A stanza whose id is a number, to be told apart when it comes back. */
static struct stanza *numbered(unsigned n)
{
	struct stanza *s = stanza_new(256);
	char id[16];

	snprintf(id, sizeof(id), "%u", n);
	s->id = arena_strdup(&s->arena, id);
	return s;
}

struct pieces {
	unsigned first, n;
	size_t bytes; /* each */
	bool stanzas;
};

/* Piece number i is made of bytes that say i. */
static void write_pieces_here(void *arg)
{
	const struct pieces *p = arg;

	shard_check(NULL);
	for (unsigned i = p->first; i < p->first + p->n; i++) {
		struct buf *b = buf_new(p->bytes);
		struct stanza *s = p->stanzas ? numbered(i) : NULL;

		memset(b->data, 'a' + (int)(i % 26), p->bytes);
		b->len = (uint32_t)p->bytes;
		conn_write(&side.conn, b, s);
		stanza_unref(s);
	}
}

static void write_pieces(unsigned first, unsigned n, size_t each, bool stanzas)
{
	struct pieces p = { first, n, each, stanzas };

	on_shard(0, write_pieces_here, &p);
	settle();
}

static void small_buffers(void)
{
	const int least = 1;

	setsockopt(side.conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
}

/* --- out --- */

Test(conn, a_turn_writes_once)
{
	char room[65536];

	disconnect();
	connect_as(SOCK_SEQPACKET); /* shows where one write ends */
	write_pieces(0, 64, 100, false);
	cr_expect_eq(recv(peer, room, sizeof(room), 0), 6400);
	cr_expect_eq(recv(peer, room, sizeof(room), 0), -1, "all in one");
	write_pieces(0, 65, 1, false); /* more pieces than one writev takes */
	cr_expect_eq(recv(peer, room, sizeof(room), 0), 64);
	cr_expect_eq(recv(peer, room, sizeof(room), 0), 1);
	cr_expect_eq(side.conn.sent_bytes, 6465);
	cr_expect_eq(side.conn.out_held, 0);
}

Test(conn, a_reader_that_is_slow_gets_all_in_order)
{
	char room[777];
	size_t came = 0;
	ssize_t n;

	small_buffers();
	write_pieces(0, 60, 3000, true);
	cr_expect_gt(side.conn.out_held, 0);
	while (came < 60 * 3000) {
		n = recv(peer, room, sizeof(room), 0);
		if (n < 0)
			settle();
		for (ssize_t i = 0; i < n; i++, came++)
			cr_assert_eq(room[i], 'a' + (int)(came / 3000 % 26), "at %zu", came);
	}
	settle();
	cr_expect_eq(side.conn.out_held, 0);
	cr_expect_eq(side.n_unsent, 0);
	say("and on");
	cr_expect_str_eq(hears(), "and on");
}

Test(conn, a_reader_that_never_reads_is_bounded)
{
	enum { EACH = 1000, HELD = 2 * EACH + 1500, MAX = 50 * HELD };
	size_t came;

	small_buffers();
	side.conn.out_max_held = MAX;
	for (unsigned i = 0; !side.n_lost && i < 200; i++) {
		write_pieces(i, 1, EACH, true);
		cr_assert_leq(side.conn.out_held, MAX + HELD);
	}
	EXPECT_LOST(CONN_OVERFLOW);
	came = strlen(hears());
	cr_assert_gt(side.n_unsent, MAX / HELD);
	for (unsigned i = 0; i < side.n_unsent; i++)
		cr_assert_eq(side.unsent[i], came / EACH + i,
			"from the first that the peer has not got whole, in order");
	write_pieces(0, 1, EACH, true);
	cr_expect_eq(side.conn.out_held, 0, "nothing is taken any more");
}

Test(conn, one_piece_over_the_bound)
{
	struct stanza *s = numbered(0);

	/* The ring's piece, the buffer and the stanza, which is more than its bytes. */
	side.conn.out_max_held =
		2 * sizeof(void *) + sizeof(struct buf) + 100 + stanza_held_bytes(s);
	stanza_unref(s);
	write_pieces(0, 1, 100, true);
	cr_expect_eq(side.n_lost, 0);
	write_pieces(1, 1, 101, true);
	EXPECT_LOST(CONN_OVERFLOW);
	cr_expect_eq(side.n_unsent, 1);
	cr_expect_eq(strlen(hears()), 100);
}

Test(conn, what_was_written_does_not_come_back)
{
	write_pieces(0, 3, 10, true);
	close(peer);
	settle();
	EXPECT_LOST(CONN_PEER_CLOSED);
	cr_expect_eq(side.n_unsent, 0);
	peer = -1;
}

Test(conn, written_to_a_peer_that_is_gone)
{
	struct pieces p = { 0, 3, 10, true };

	on_shard(0, end_here, NULL);
	close(peer);
	connect_as(SOCK_STREAM);
	shutdown(peer, SHUT_RD); /* it reads no more, and says nothing */
	on_shard(0, write_pieces_here, &p);
	settle();
	cr_expect_eq(side.n_lost, 1);
	cr_expect_eq(side.n_unsent, 3);
}

static void drop_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_drop_output(&side.conn);
}

/* Stanzas of 1,000 letters each, all alike, then a full stop: every letter has its whole thousand.
 * How many stanzas came; the last words stand behind them. */
static unsigned whole_ones(const char *came)
{
	size_t len = strspn(came, "abcdefghijklmnopqrstuvwxyz");

	cr_assert_eq(len % 1000, 0, "none is broken off: %zu", len);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(came[i], 'a' + (int)(i / 1000 % 26), "at %zu", i);
	cr_expect_str_eq(came + len, ".");
	return (unsigned)(len / 1000);
}

/* What has begun to leave ends well, the last words come next, and the rest is given back. */
Test(conn, output_that_is_dropped_comes_back)
{
	static char came[100 * 1000];
	unsigned whole;

	small_buffers();
	write_pieces(0, 100, 1000, true);
	cr_assert_gt(side.conn.out_count, 2);
	cr_expect_geq(conn_held_bytes(&side.conn), side.conn.out_count * 1000);
	on_shard(0, drop_here, NULL);
	cr_expect_leq(side.conn.out_count, 1);
	cr_expect_leq(conn_held_bytes(&side.conn), 10000);
	on_shard(0, drop_here, NULL);
	on_shard(0, write_here, (void *)".");
	for (unsigned turn = 0; !strchr(came, '.') && turn < 1000; turn++) {
		settle();
		strcat(came, hears());
	}
	whole = whole_ones(came);
	cr_expect_eq(whole + side.n_unsent, 100);
	for (unsigned i = 0; i < side.n_unsent; i++)
		cr_assert_eq(side.unsent[i], whole + i, "in order");
	cr_expect_eq(conn_held_bytes(&side.conn), 0);
	cr_expect_eq(side.n_lost, 0);
}

Test(conn, nothing_to_drop)
{
	on_shard(0, drop_here, NULL);
	say("still here");
	cr_expect_str_eq(hears(), "still here");
	cr_expect_eq(side.n_unsent, 0);
}

Test(conn, an_idle_one_gives_its_ring_back)
{
	write_pieces(0, 100, 1, false);
	cr_expect_geq(side.conn.out_room, 100);
	on_shard(0, hibernate_here, NULL);
	cr_expect_eq(side.conn.out_room, 0);
	say("awake");
	cr_expect_eq(strlen(hears()), 105);
	small_buffers();
	write_pieces(0, 100, 1000, false);
	cr_expect_gt(side.conn.out_held, 0);
	on_shard(0, hibernate_here, NULL);
	cr_expect_geq(side.conn.out_room, 100, "what waits is kept");
}

/* --- in --- */

Test(conn, what_its_owner_leaves_is_offered_again)
{
	side.takes = 3;
	tell("romeo");
	cr_expect_str_eq(taken(), "rom");
	tell(" and juliet");
	cr_expect_str_eq(taken(), "rom", "nothing is read meanwhile");
	cr_expect_eq(side.offers, 1);
	cr_expect_eq(side.conn.kept_bytes, 2);
	side.takes = SIZE_MAX;
	on_shard(0, resume_here, NULL);
	settle();
	cr_expect_str_eq(taken(), "romeo and juliet");
	cr_expect_eq(side.conn.kept_bytes, 0);
}

Test(conn, what_is_left_again_and_again_is_kept)
{
	side.takes = 1;
	tell("abc");
	for (unsigned i = 0; i < 2; i++) {
		on_shard(0, resume_here, NULL);
		settle();
	}
	cr_expect_str_eq(taken(), "abc");
	cr_expect_eq(side.offers, 3);
	tell("d");
	cr_expect_str_eq(taken(), "abcd", "it read on by itself when nothing was left");
}

Test(conn, a_paused_one_leaves_it_to_the_kernel)
{
	char noise[1000] = { 0 };
	size_t sent = 0;
	ssize_t n;

	small_buffers();
	on_shard(0, pause_here, NULL);
	for (int i = 0; i < 1000 && (n = send(peer, noise, sizeof(noise), MSG_NOSIGNAL)) > 0; i++)
		sent += (size_t)n;
	cr_assert(n < 0 && errno == EAGAIN, "the sender has to wait");
	settle();
	cr_expect_eq(side.offers, 0);
	on_shard(0, resume_here, NULL);
	settle();
	cr_expect_eq(side.in_len, sent);
}

static void rest_here(void *ms)
{
	shard_check(NULL);
	conn_rest(&side.conn, *(uint64_t *)ms);
}

Test(conn, a_rest_is_as_long_as_the_longest)
{
	const uint64_t rests_ms[] = { 5000, 20000, 1000 };

	for (size_t i = 0; i < ARRAY_LEN(rests_ms); i++)
		on_shard(0, rest_here, (void *)&rests_ms[i]);
	tell("late");
	clock_move(15000);
	cr_expect_eq(side.offers, 0);
	clock_move(6000);
	cr_expect_str_eq(taken(), "late");
}

static void shape_here(void *rate)
{
	shard_check(NULL);
	conn_set_shaper(&side.conn, *(struct shaper_rate *)rate);
}

Test(conn, a_bucket_of_tokens)
{
	struct shaper_rate rate = { .bytes_per_s = 10, .burst_bytes = 20 };
	char burst[121] = { 0 };

	memset(burst, 'x', 120);
	on_shard(0, shape_here, &rate);
	tell("0123456789");
	tell("0123456789");
	cr_expect_eq(side.in_len, 20, "the burst");
	tell(burst); /* taken at once and paid for later: 12 s */
	cr_expect_eq(side.in_len, 140);
	tell("next");
	clock_move(11000);
	cr_expect_eq(side.in_len, 140);
	clock_move(2000);
	cr_expect_eq(side.in_len, 144);
	clock_move(3600000); /* does not add up beyond the burst */
	tell("0123456789012345678901234");
	tell("later");
	cr_expect_eq(side.in_len, 169);
	clock_move(1000);
	cr_expect_eq(side.in_len, 174);
}

Test(conn, a_bucket_that_holds_more_than_can_be_counted)
{
	struct shaper_rate rate = { .bytes_per_s = INT64_MAX / 2, .burst_bytes = INT64_MAX - 1 };

	on_shard(0, shape_here, &rate);
	for (unsigned i = 0; i < 3; i++) {
		clock_move(86400000);
		tell("day by day ");
	}
	cr_expect_str_eq(taken(), "day by day day by day day by day ");
}

static void reshape_here(void *rate)
{
	shard_check(NULL);
	conn_change_shaper(&side.conn, *(struct shaper_rate *)rate);
}

static const struct {
	struct shaper_rate to;
	uint64_t waits_ms, then_ms; /* nothing is read before, all of it afterwards */
} other_rates[] = {
	{ { 10, 20 }, 9000, 2000 }, /* the same: nothing has changed */
	{ { 100, 20 }, 500, 1000 }, /* 100 bytes of debt at 100 in a second */
	{ { 5, 20 }, 19000, 2000 }, { { 0 }, 0, 10 }, /* no limit any more */
};

Test(conn, another_rate_while_it_waits)
{
	struct shaper_rate slow = { .bytes_per_s = 10, .burst_bytes = 20 };
	char burst[121] = { 0 };
	size_t before;

	memset(burst, 'x', 120);
	for (size_t i = 0; i < ARRAY_LEN(other_rates); i++) {
		struct shaper_rate to = other_rates[i].to;

		on_shard(0, shape_here, &slow);
		tell(burst); /* 20 from the bucket, the rest is to be waited for */
		before = side.in_len;
		on_shard(0, reshape_here, &to);
		tell("next");
		if (other_rates[i].waits_ms) {
			clock_move(other_rates[i].waits_ms);
			cr_expect_eq(side.in_len, before, "%zu", i);
		}
		clock_move(other_rates[i].then_ms);
		cr_expect_eq(side.in_len, before + 4, "%zu", i);
		clock_move(3600000);
	}
}

/* --- the end --- */

Test(conn, the_peer_closes)
{
	send(peer, "last words", 10, 0);
	close(peer);
	peer = -1;
	settle();
	EXPECT_LOST(CONN_PEER_CLOSED);
	cr_expect_str_eq(taken(), "last words");
}

Test(conn, the_peer_is_gone_while_nobody_reads)
{
	on_shard(0, pause_here, NULL);
	close(peer);
	peer = -1;
	settle();
	EXPECT_LOST(CONN_PEER_CLOSED);
}

Test(conn, a_close_says_all_and_lets_the_peer_finish)
{
	struct pieces p = { 0, 1, 10, true };

	on_shard(0, write_pieces_here, &p);
	close_it();
	cr_expect(conn_closing(&side.conn));
	cr_expect_str_eq(hears(), "aaaaaaaaaa");
	cr_expect_str_eq(hears(), "EOF");
	say("too late");
	tell("I was not done");
	cr_expect_eq(side.offers, 0, "read, but not offered");
	cr_expect_eq(side.n_lost, 0);
	close(peer);
	peer = -1;
	settle();
	EXPECT_LOST(CONN_CLOSED_BY_US);
	cr_expect_eq(side.n_unsent, 0);
}

Test(conn, a_peer_that_does_not_finish)
{
	close_it();
	clock_move(900);
	cr_expect_eq(side.n_lost, 0);
	clock_move(200);
	EXPECT_LOST(CONN_CLOSED_BY_US);
}

Test(conn, a_peer_that_does_not_take_what_is_left)
{
	small_buffers();
	write_pieces(0, 50, 1000, true);
	close_it();
	clock_move(2500);
	cr_expect_eq(side.n_lost, 0);
	clock_move(600);
	EXPECT_LOST(CONN_CLOSED_BY_US);
	cr_expect_gt(side.n_unsent, 0);
	cr_expect_eq(side.unsent[side.n_unsent - 1], 49);
}

Test(conn, a_peer_that_takes_what_is_left_slowly)
{
	size_t came = 0;

	small_buffers();
	write_pieces(0, 50, 1000, true);
	close_it();
	for (const char *text; (text = hears()) && strcmp(text, "EOF") != 0; settle())
		came += strlen(text);
	cr_expect_eq(came, 50000);
	cr_expect_eq(side.n_unsent, 0);
}

Test(conn, closed_within_its_own_call)
{
	side.takes = 2;
	side.closes = true;
	tell("hello");
	cr_expect_str_eq(taken(), "he");
	cr_expect_eq(side.conn.kept_bytes, 0, "the rest is forgotten");
	tell("more");
	cr_expect_eq(side.offers, 1);
	close(peer);
	peer = -1;
	settle();
	EXPECT_LOST(CONN_CLOSED_BY_US);
}

Test(conn, closed_while_paused_or_resting)
{
	const uint64_t ms = 3600000;

	on_shard(0, pause_here, NULL);
	on_shard(0, rest_here, (void *)&ms);
	say("bye");
	close_it();
	cr_expect_str_eq(hears(), "bye");
	cr_expect_str_eq(hears(), "EOF");
	close(peer);
	peer = -1;
	settle();
	EXPECT_LOST(CONN_CLOSED_BY_US);
}

Test(conn, ended_with_output_waiting)
{
	small_buffers();
	write_pieces(0, 50, 1000, true);
	/* conn_end() in the fixture: no event, nothing leaks. */
}

/* --- to another process --- */

static void freeze_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_freeze(&side.conn);
}

static void hold_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_freeze(&side.conn);
	conn_hold(&side.conn);
}

static void let_go_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_let_go(&side.conn);
}

/* As between two processes: the first connection has a copy of the socket still. */
static void move_here(void *arg UNUSED)
{
	struct record_reader in;
	struct record r;
	struct buf *b;
	int fd = dup(side.conn.watch.fd);

	shard_check(NULL);
	record_begin(&r, "conn", 1);
	conn_save(&side.conn, &r);
	b = record_end(&r);
	conn_end(&side.conn);
	cr_assert_eq(record_open(&in, b->data, b->len), 0);
	cr_expect(conn_load(&side.conn, fd, &events, &in));
	cr_expect(record_is_read(&in));
	buf_unref(b);
}

Test(conn, a_frozen_one_is_not_read_but_written)
{
	on_shard(0, freeze_here, NULL);
	tell("later");
	say("now");
	cr_expect_str_eq(taken(), "");
	cr_expect_str_eq(hears(), "now");
	on_shard(0, pause_here, NULL);
	on_shard(0, resume_here, NULL);
	settle();
	cr_expect_str_eq(taken(), "", "whatever its owner does");
	on_shard(0, let_go_here, NULL);
	settle();
	cr_expect_str_eq(taken(), "later");
}

Test(conn, a_held_one_does_nothing_until_it_is_let_go)
{
	on_shard(0, hold_here, NULL);
	tell("in");
	say("out");
	cr_expect_str_eq(taken(), "");
	cr_expect_str_eq(hears(), "");
	on_shard(0, let_go_here, NULL);
	settle();
	cr_expect_str_eq(taken(), "in");
	cr_expect_str_eq(hears(), "out");
	tell(", and on");
	cr_expect_str_eq(taken(), "in, and on");
}

Test(conn, a_peer_that_goes_meanwhile_is_noticed_afterwards)
{
	on_shard(0, hold_here, NULL);
	close(peer);
	peer = -1;
	settle();
	cr_expect_eq(side.n_lost, 0);
	on_shard(0, let_go_here, NULL);
	settle();
	EXPECT_LOST(CONN_PEER_CLOSED);
}

Test(conn, what_was_kept_and_what_waits_goes_over)
{
	side.takes = 3;
	tell("romeo");
	on_shard(0, hold_here, NULL);
	say("out");
	tell(" and juliet");
	on_shard(0, move_here, NULL);
	cr_expect_str_eq(hears(), "");
	side.takes = SIZE_MAX;
	on_shard(0, let_go_here, NULL);
	settle();
	cr_expect_str_eq(taken(), "romeo and juliet");
	cr_expect_str_eq(hears(), "out");
}

Test(conn, a_piece_that_was_written_in_part_goes_over)
{
	size_t heard = 0;
	unsigned wrong = 0;

	small_buffers();
	write_pieces(0, 26, 5000, false);
	cr_assert_gt(side.conn.out_count, 0);
	on_shard(0, hold_here, NULL);
	on_shard(0, move_here, NULL);
	on_shard(0, let_go_here, NULL);
	for (unsigned quiet = 0; heard < 26 * 5000 && quiet < 1000; quiet++) {
		const char *more = hears();

		for (; *more; more++, heard++)
			wrong += *more != 'a' + (int)(heard / 5000);
		settle();
	}
	cr_expect_eq(heard, 26 * 5000);
	cr_expect_eq(wrong, 0);
}

static void load_cut_here(void *arg UNUSED)
{
	struct record_reader in;
	struct record r;
	struct buf *b;

	shard_check(NULL);
	record_begin(&r, "conn", 1);
	conn_save(&side.conn, &r);
	b = record_end(&r);
	for (uint32_t len = 30; len < b->len; len++) {
		struct conn copy;

		if (record_open(&in, b->data, len))
			continue;
		cr_expect_not(conn_load(&copy, dup(peer), &events, &in) && record_is_read(&in));
		conn_end(&copy);
	}
	buf_unref(b);
}

Test(conn, a_record_that_is_cut_is_not_loaded)
{
	on_shard(0, hold_here, NULL);
	say("out");
	on_shard(0, load_cut_here, NULL);
	on_shard(0, let_go_here, NULL);
}

/* --- TLS --- */

static struct tls_store *store;
static struct tls_peer client;
static int started; /* what conn_start_tls() said */

static void start_tls_here(void *arg UNUSED)
{
	shard_check(NULL);
	conn_write(&side.conn, buf_of("proceed", 7), NULL);
	started = conn_start_tls(&side.conn, store, "localhost", TLS_STARTTLS, NULL);
}

static void start_tls(void)
{
	on_shard(0, start_tls_here, NULL);
	settle();
}

static void begin_tls(void)
{
	begin();
	store = store_with_certificate("localhost");
	start_tls();
	cr_assert_eq(started, 0);
	cr_assert_str_eq(hears(), "proceed", "in the clear");
	tls_peer_begin(&client, peer);
}

static void end_tls(void)
{
	tls_peer_end(&client);
	disconnect();
	shards_stop();
	rcu_wait_later();
	tls_store_free(store);
	rcu_thread_end();
}
TestSuite(conn_tls, .init = begin_tls, .fini = end_tls, .timeout = 60);

static const char *decrypted(void)
{
	static char room[1 << 20];

	tls_peer_read(&client, room, sizeof(room));
	return room;
}

Test(conn_tls, both_ways)
{
	cr_assert(tls_peer_shake(&client, settle));
	cr_expect_eq(side.secured, 1);
	say("from the server");
	cr_expect_str_eq(decrypted(), "from the server");
	tls_peer_send(&client, "from the client");
	settle();
	cr_expect_str_eq(taken(), "from the client");
	cr_expect_eq(side.conn.in_bytes, 15, "counted in the clear");
	cr_expect_eq(side.conn.sent_bytes, 7 + 15);
}

Test(conn_tls, written_during_the_handshake)
{
	say("first words");
	cr_expect_str_eq(hears(), "", "nothing in the clear");
	cr_assert(tls_peer_shake(&client, settle));
	cr_expect_str_eq(decrypted(), "first words");
}

Test(conn_tls, a_record_byte_by_byte)
{
	char wire[200];
	size_t n;

	cr_assert(tls_peer_shake(&client, settle));
	SSL_write(client.ssl, "<presence/>", 11);
	n = tls_peer_wire(&client, wire, sizeof(wire));
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(side.offers, 0, "after %zu bytes of %zu", i, n);
		cr_assert_eq(send(peer, wire + i, 1, 0), 1);
		settle();
	}
	cr_expect_str_eq(taken(), "<presence/>");
	cr_expect_eq(side.offers, 1);
}

Test(conn_tls, two_records_and_a_half)
{
	char wire[400];
	size_t n;

	cr_assert(tls_peer_shake(&client, settle));
	for (const char *c = "abc"; *c; c++)
		SSL_write(client.ssl, c, 1);
	n = tls_peer_wire(&client, wire, sizeof(wire));
	cr_assert_eq(send(peer, wire, n - 5, 0), (ssize_t)n - 5);
	settle();
	cr_expect_str_eq(taken(), "ab");
	cr_assert_eq(send(peer, wire + n - 5, 5, 0), 5);
	settle();
	cr_expect_str_eq(taken(), "abc");
}

Test(conn_tls, what_its_owner_leaves_is_kept_decrypted)
{
	cr_assert(tls_peer_shake(&client, settle));
	side.takes = 1;
	tls_peer_send(&client, "abc");
	settle();
	tls_peer_send(&client, "def");
	settle();
	cr_expect_str_eq(taken(), "a");
	side.takes = SIZE_MAX;
	on_shard(0, resume_here, NULL);
	settle();
	cr_expect_str_eq(taken(), "abcdef");
}

Test(conn_tls, a_reader_that_is_slow_gets_all_in_order)
{
	size_t came = 0;

	cr_assert(tls_peer_shake(&client, settle));
	small_buffers();
	write_pieces(0, 60, 3000, true);
	cr_expect_gt(side.conn.out_held, 0);
	for (unsigned turn = 0; came < 180000 && turn < 10000; turn++) {
		for (const char *c = decrypted(); *c; c++, came++)
			cr_assert_eq(*c, 'a' + (int)(came / 3000 % 26), "at %zu", came);
		settle();
	}
	cr_expect_eq(came, 180000);
	cr_expect_eq(side.n_unsent, 0);
}

Test(conn_tls, a_reader_that_never_reads_is_bounded)
{
	size_t came;

	cr_assert(tls_peer_shake(&client, settle));
	small_buffers();
	side.conn.out_max_held = 50000;
	for (unsigned i = 0; !side.n_lost && i < 200; i++)
		write_pieces(i, 1, 1000, true);
	EXPECT_LOST(CONN_OVERFLOW);
	came = strlen(decrypted());
	cr_assert_gt(side.n_unsent, 0);
	cr_expect_leq(side.unsent[0], came / 1000, "none is missing");
	for (unsigned i = 1; i < side.n_unsent; i++)
		cr_assert_eq(side.unsent[i], side.unsent[0] + i);
}

/* A record that was encrypted before is sent to its end, with all stanzas that are in it. */
Test(conn_tls, output_that_is_dropped_comes_back)
{
	static char came[100 * 1000];
	unsigned whole;

	cr_assert(tls_peer_shake(&client, settle));
	small_buffers();
	write_pieces(0, 100, 1000, true);
	cr_assert_gt(side.conn.out_count, 2);
	on_shard(0, drop_here, NULL);
	on_shard(0, write_here, (void *)".");
	for (unsigned turn = 0; !strchr(came, '.') && turn < 10000; turn++) {
		settle();
		strcat(came, decrypted());
	}
	whole = whole_ones(came);
	cr_expect_eq(whole + side.n_unsent, 100);
	for (unsigned i = 0; i < side.n_unsent; i++)
		cr_assert_eq(side.unsent[i], whole + i, "in order");
	cr_expect_eq(conn_held_bytes(&side.conn), 0);
	cr_expect_eq(side.n_lost, 0);
}

Test(conn_tls, a_close_says_goodbye)
{
	cr_assert(tls_peer_shake(&client, settle));
	on_shard(0, write_here, (void *)"last words");
	close_it();
	cr_expect_str_eq(decrypted(), "last words");
	cr_expect(tls_peer_was_closed(&client));
	cr_expect_str_eq(hears(), "EOF");
	clock_move(1100);
	EXPECT_LOST(CONN_CLOSED_BY_US);
}

Test(conn_tls, the_peer_says_goodbye)
{
	cr_assert(tls_peer_shake(&client, settle));
	SSL_shutdown(client.ssl);
	tls_peer_push(&client);
	settle();
	EXPECT_LOST(CONN_PEER_CLOSED);
}

Test(conn_tls, garbage_instead_of_a_hello)
{
	tell("<stream:stream>");
	EXPECT_LOST(CONN_FAILED);
}

Test(conn_tls, garbage_instead_of_a_record)
{
	cr_assert(tls_peer_shake(&client, settle));
	tell("<presence/>");
	EXPECT_LOST(CONN_FAILED);
	cr_expect_eq(side.offers, 0);
}

Test(conn_tls, gone_in_the_middle_of_the_handshake)
{
	SSL_do_handshake(client.ssl);
	tls_peer_push(&client);
	settle();
	close(peer);
	peer = -1;
	settle();
	EXPECT_LOST(CONN_PEER_CLOSED);
}

Test(conn_tls, closed_in_the_middle_of_the_handshake)
{
	SSL_do_handshake(client.ssl);
	tls_peer_push(&client);
	settle();
	on_shard(0, write_pieces_here, &(struct pieces){ 0, 1, 10, true });
	close_it();
	EXPECT_LOST(CONN_CLOSED_BY_US);
	cr_expect_eq(side.n_unsent, 1);
	cr_expect_eq(side.secured, 0);
}

Test(conn, tls_without_a_certificate)
{
	store = tls_store_new();
	start_tls();
	cr_expect_eq(started, -ENOENT);
	cr_expect_str_eq(hears(), "proceed");
	say("still in the clear");
	cr_expect_str_eq(hears(), "still in the clear");
	tls_store_free(store);
}

Test(conn, tls_when_the_plain_output_does_not_fit)
{
	store = store_with_certificate("localhost");
	small_buffers();
	write_pieces(0, 50, 1000, false);
	start_tls();
	cr_expect_eq(started, -EAGAIN);
	close_it();
	start_tls();
	cr_expect_eq(started, -EPIPE);
	tls_store_free(store);
}
