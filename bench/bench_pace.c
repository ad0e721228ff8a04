/* bench/bench_pace.c - moments counted from the start, so that no rounding adds up. */
#include "bench/bench_pace.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench/bench_loop.h"

#define BURST 4096 /* begun at once; then answers are read */

void pace_begin(struct pace *p, double per_second, uint64_t start_ns, void (*due)(void *, uint64_t),
	void *arg)
{
	*p = (struct pace){
		.due = due, .arg = arg, .per_second = per_second, .start_ns = start_ns
	};
	p->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->fd < 0)
		abort();
	pace_run(p, now_ns());
}

void pace_end(struct pace *p)
{
	close(p->fd);
	p->fd = -1;
}

uint64_t pace_next_ns(const struct pace *p)
{
	return p->start_ns + (uint64_t)((double)p->count * 1e9 / p->per_second);
}

/* Setting it anew also makes it unreadable until then. */
static void arm(struct pace *p, uint64_t when_ns)
{
	struct itimerspec at = { .it_value = { .tv_sec = (time_t)(when_ns / 1000000000),
					 .tv_nsec = (long)(when_ns % 1000000000) } };

	if (p->armed_ns == when_ns)
		return;
	p->armed_ns = when_ns;
	timerfd_settime(p->fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void pace_run(struct pace *p, uint64_t now)
{
	uint64_t when = pace_next_ns(p);

	for (unsigned i = 0; i < BURST && when <= now; i++) {
		hist_add(&p->late, (now - when) / 1000);
		p->count++;
		p->due(p->arg, when);
		when = pace_next_ns(p);
	}
	arm(p, when);
}
