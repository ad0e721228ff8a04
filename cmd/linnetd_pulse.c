/* cmd/linnetd_pulse.c - one message, from shard to shard, and a timer on shard 0 between the
 * rounds. */
#include "cmd/linnetd_pulse.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/linnetd_monitor.h"
#include "core/crash.h"
#include "core/errand.h"
#include "core/keep.h"
#include "core/mem.h"
#include "core/timer.h"

#define ROUNDS 4 /* begun in the time that is given for one */

static struct {
	_Atomic uint32_t within_ms;
	/* Of the shard that the message is at; between two rounds of shard 0. */
	struct msg msg;
	struct timer rest;
	unsigned at; /* shard */
	pid_t threads[SHARDS_MAX]; /* of the shards; 0: not been there yet */
	struct errand *end; /* pulse_stop() waits */
} pulse;

static void go_to(unsigned shard, void (*run)(struct msg *m))
{
	pulse.at = shard;
	pulse.msg.run = run;
	atomic_store_explicit(&crash_suspect, pulse.threads[shard], memory_order_relaxed);
	shard_post(shard_at(shard), &pulse.msg);
}

static void tell(void)
{
	char text[KEEP_NAME_MAX];

	snprintf(text, sizeof(text), MONITOR_ALIVE, (unsigned)atomic_load(&pulse.within_ms));
	keep_tell(text);
}

static void been_round(struct msg *m UNUSED)
{
	shard_check(NULL);
	tell();
	if (pulse.end)
		errand_tell(pulse.end);
	else
		timer_set(&pulse.rest, atomic_load(&pulse.within_ms) / ROUNDS);
}

static void visit(struct msg *m UNUSED)
{
	pulse.threads[pulse.at] = gettid();
	if (pulse.at + 1 < shards_count())
		go_to(pulse.at + 1, visit);
	else
		go_to(0, been_round);
}

static void begin_round(struct timer *t UNUSED)
{
	go_to(0, visit);
}

static void begin(struct msg *m)
{
	shard_check(NULL);
	timer_init(&pulse.rest, begin_round);
	begin_round(&pulse.rest);
	errand_tell(container_of(m, struct errand, msg));
}

static void end(struct msg *m)
{
	shard_check(NULL);
	pulse.end = container_of(m, struct errand, msg);
	if (!timer_armed(&pulse.rest))
		return; /* been_round() tells */
	timer_cancel(&pulse.rest);
	errand_tell(pulse.end);
}

void pulse_start(int64_t within_ms)
{
	struct errand e;

	pulse_within(within_ms);
	if (keep_is_served())
		errand_wait(&e, shard_at(0), begin);
}

void pulse_within(int64_t within_ms)
{
	atomic_store(&pulse.within_ms, (uint32_t)within_ms);
}

void pulse_stop(void)
{
	struct errand e;

	if (keep_is_served())
		errand_wait(&e, shard_at(0), end);
}
