/* tests/unit/bench/test_fanout.c - what is lost, doubled or out of order on the way to many is
 * found, and the next thing is sent once the last one has reached everybody. */
#include "bench/bench_fanout.h"

#include <criterion/criterion.h>

#define RECEIVERS 3

static struct options options = { .users = 1, .inflight = 2, .user_prefix = "user" };
static struct share share;
static struct bench bench = { .options = &options, .share = &share };
static struct client client;
static struct fanout out;
static uint64_t sent;

static void send_one(struct fan *f, uint64_t number)
{
	(void)f;
	cr_expect_eq(number, sent);
	sent++;
}

static void begin(void)
{
	bench.loop.options = &options;
	client_init(&client, &bench.loop, 0, NULL);
	fanout_init(&out, 1);
	fanout_fan(&out, 0, &client, RECEIVERS, send_one);
	fanout_begin(&out);
}

static void end(void)
{
	fanout_fini(&out);
	client_fini(&client);
}

static void got(unsigned receiver, uint64_t number)
{
	fanout_got(&out, out.fans, receiver, number, &client, "<message/>");
}

TestSuite(fanout, .init = begin, .fini = end);

Test(fanout, so_many_are_on_the_way)
{
	cr_expect_eq(sent, 2);
	got(0, 0);
	got(1, 0);
	cr_expect_eq(sent, 2, "one has not got it yet");
	got(2, 0);
	cr_expect_eq(sent, 3);
	cr_expect_eq(share.operations, 3, "each delivery counts");
	cr_expect_eq(out.bad, 0);
}

Test(fanout, receivers_need_not_be_equally_fast)
{
	got(0, 0);
	got(0, 1);
	got(1, 0);
	got(2, 0);
	got(1, 1);
	got(2, 1);
	cr_expect_eq(sent, 4);
	cr_expect_eq(out.bad, 0);
}

Test(fanout, doubled)
{
	got(0, 0);
	got(0, 0);
	cr_expect_eq(out.bad, 1);
	cr_expect_eq(share.operations, 1);
}

Test(fanout, lost)
{
	got(0, 1);
	cr_expect_eq(out.bad, 1);
	got(1, 0);
	got(2, 0);
	cr_expect_eq(sent, 3, "what one will never get does not hold up the others");
}

Test(fanout, out_of_order)
{
	got(0, 1);
	got(0, 0);
	cr_expect_eq(out.bad, 2, "one too early, one too late");
}

Test(fanout, never_sent)
{
	got(0, 2);
	cr_expect_eq(out.bad, 1);
}
