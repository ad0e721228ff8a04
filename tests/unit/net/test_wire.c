/* A connection on a wire in memory: what the far end gives is read, what is written reaches it,
 * ends are seen on both sides, and nothing is told that was not asked for. */
#include "net/wire.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "net/conn.h"
#include "tests/support/on_shard.h"

static struct conn conn;
static struct buf *got, *far_got;
static enum conn_loss lost_why;
static unsigned lost_times, closed_times;
static size_t takes; /* how much of what is offered */

static size_t bytes(struct conn *c, const char *text, size_t len)
{
	size_t n = len < takes ? len : takes;

	(void)c;
	buf_append(&got, text, n);
	return n;
}

static void lost(struct conn *c, enum conn_loss why)
{
	(void)c;
	lost_why = why;
	lost_times++;
}

static const struct conn_events events = { .bytes = bytes, .lost = lost };

static void wrote(struct wire *w, const struct iovec *pieces, unsigned n)
{
	(void)w;
	for (unsigned i = 0; i < n; i++)
		buf_append(&far_got, pieces[i].iov_base, pieces[i].iov_len);
}

static void closed(struct wire *w)
{
	closed_times++;
	wire_end(w);
}

static void begin_here(void *unused)
{
	(void)unused;
	cr_assert_eq(conn_begin(&conn, wire_fd(1), &events), 0);
}

static void end_here(void *unused)
{
	(void)unused;
	conn_end(&conn);
}

static void give_here(void *text)
{
	wire_give(wire_at(1), text, strlen(text));
}

static void write_here(void *text)
{
	conn_write(&conn, buf_of(text, strlen(text)), NULL);
}

static void pause_here(void *unused)
{
	(void)unused;
	conn_pause(&conn);
}

static void resume_here(void *unused)
{
	(void)unused;
	takes = SIZE_MAX;
	conn_resume(&conn);
}

static void close_here(void *unused)
{
	(void)unused;
	conn_close(&conn);
}

static void end_far_here(void *unused)
{
	(void)unused;
	wire_end(wire_at(1));
}

static void nothing(void *unused)
{
	(void)unused;
}

/* On the shard, and until what follows from it has been done. */
static void let(void (*fn)(void *arg), void *arg)
{
	on_shard(0, fn, arg);
	on_shard(0, nothing, NULL);
	on_shard(0, nothing, NULL);
}

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(1), 0);
	wires_new(2);
	wire_at(1)->wrote = wrote;
	wire_at(1)->closed = closed;
	got = buf_new(64);
	far_got = buf_new(64);
	takes = SIZE_MAX;
	let(begin_here, NULL);
}

static void end(void)
{
	let(end_here, NULL);
	shards_stop();
	wires_free();
	buf_unref(got);
	buf_unref(far_got);
	rcu_thread_end();
}

static void expect(struct buf **b, const char *want)
{
	cr_expect_eq((*b)->len, strlen(want));
	cr_expect(!memcmp((*b)->data, want, (*b)->len), "%.*s", (int)(*b)->len, (*b)->data);
}

TestSuite(wire, .init = begin, .fini = end);

Test(wire, number_and_place)
{
	cr_expect_eq(wire_index(wire_at(1)), 1);
	cr_expect_lt(wire_fd(0), -1);
	cr_expect_neq(wire_fd(0), wire_fd(1));
}

Test(wire, both_ways)
{
	let(give_here, "one ");
	let(give_here, "two");
	let(write_here, "three");
	expect(&got, "one two");
	expect(&far_got, "three");
}

Test(wire, more_than_is_taken_waits)
{
	takes = 2;
	let(give_here, "abcd");
	expect(&got, "ab");
	let(give_here, "ef");
	expect(&got, "ab");
	let(resume_here, NULL);
	expect(&got, "abcdef");
}

Test(wire, paused_is_not_told)
{
	let(pause_here, NULL);
	let(give_here, "x");
	expect(&got, "");
	let(resume_here, NULL);
	expect(&got, "x");
}

Test(wire, far_end_leaves)
{
	let(give_here, "last");
	let(end_far_here, NULL);
	expect(&got, "last");
	cr_expect_eq(lost_times, 1);
	cr_expect_eq(lost_why, CONN_PEER_CLOSED);
}

Test(wire, we_leave)
{
	let(write_here, "bye");
	let(close_here, NULL);
	expect(&far_got, "bye");
	cr_expect_eq(closed_times, 1);
	cr_expect_eq(lost_times, 1);
	cr_expect_eq(lost_why, CONN_CLOSED_BY_US);
}
