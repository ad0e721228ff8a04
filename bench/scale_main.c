/* bench/scale_main.c - linnet-scale: all in, what they cost; messages at random, what one costs;
 * nothing at all, what that costs. Messages go among an active set of the same size whatever the
 * number of sessions, which says whether anything in the server grows with them, and then among
 * all, which adds what memory costs that is in no cache. The far ends' work is in the CPU figures,
 * their memory is not. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/scale.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/timer.h"
#include "router/directory.h"
#include "tests/support/on_shard.h"

#define LOGINS_AT_ONCE 64u /* of one shard */
#define MESSAGES_AT_ONCE 512u /* of one shard, on the way */
#define TURN 32u /* messages that begin in one turn, as if so many sockets were readable */
#define LOOK_UPS 262144u
#define TIMERS 1000000u
#define PATIENCE_MS 600000u /* without anything happening */

static struct {
	unsigned sessions, active, shards, idle_s;
	uint64_t messages;
	bool tls, json;
} options = { .sessions = 10000, .active = 10000, .shards = 2, .idle_s = 25, .messages = 1000000 };

/* ---- what drives a shard's clients ---- */

struct driver {
	/* The shard's. */
	struct msg msg;
	unsigned shard, next; /* the session to start */
	unsigned may; /* messages or logins it may begin now */
	bool posted, chatting;
	uint64_t seed;
	/* Main looks at them. */
	_Atomic uint64_t ready, received;
} __attribute__((aligned(64)));
static struct driver drivers[SHARDS_MAX];
/* Messages to send, by whichever shard hears enough of them: one of its own for each would leave
 * the slower shard waiting for what the faster one keeps. */
static _Atomic int64_t left;

static struct driver *driver_of(unsigned number)
{
	return &drivers[number % options.shards];
}

ON_SHARD static void drive(struct driver *d)
{
	if (d->posted)
		return;
	d->posted = true;
	shard_post(shard_self(), &d->msg);
}

ON_SHARD static void start_some(struct driver *d)
{
	for (; d->may && d->next < options.sessions; d->next += options.shards, d->may--) {
		scale_server_accept(d->next);
		far_start(d->next);
	}
}

static uint64_t random_of(struct driver *d)
{
	d->seed = d->seed * 6364136223846793005ull + 1442695040888963407ull;
	return d->seed >> 33;
}

/* Who writes: rows of one session of each shard, spread evenly but not regularly over all rows. */
static struct {
	unsigned rows, apart;
} writers;

static void writers_are(unsigned sessions)
{
	writers.rows = sessions / options.shards;
	writers.apart = options.sessions / options.shards / writers.rows;
}

static unsigned writer(struct driver *d, unsigned shard)
{
	unsigned row = (unsigned)(random_of(d) % writers.rows);
	unsigned off = row * 2654435761u % writers.apart;

	return (row * writers.apart + off) * options.shards + shard;
}

/* So many of what is left to send, or fewer. */
static unsigned messages_taken(unsigned n)
{
	int64_t was = atomic_fetch_sub_explicit(&left, n, memory_order_relaxed);

	return was <= 0 ? 0 : was < n ? (unsigned)was : n;
}

ON_SHARD static void send_some(struct driver *d)
{
	unsigned from[TURN], to[TURN], n = messages_taken(d->may < TURN ? d->may : TURN);

	for (unsigned i = 0; i < n; i++) {
		from[i] = writer(d, d->shard);
		to[i] = writer(d, (unsigned)(random_of(d) % options.shards));
		far_soon(from[i]);
		far_soon(to[i]);
	}
	for (unsigned i = 0; i < n; i++)
		far_send(from[i], to[i]);
	d->may -= n;
	if (n && d->may)
		drive(d);
}

static void drive_run(struct msg *m)
{
	struct driver *d = container_of(m, struct driver, msg);

	shard_check(NULL);
	d->posted = false;
	if (d->chatting)
		send_some(d);
	else
		start_some(d);
}

void far_ready(unsigned number)
{
	struct driver *d = driver_of(number);

	atomic_fetch_add_explicit(&d->ready, 1, memory_order_release);
	d->may++;
	drive(d);
}

/* Who hears a message may send one: so many are always on the way. */
void far_received(unsigned number, unsigned messages)
{
	struct driver *d = driver_of(number);

	atomic_fetch_add_explicit(&d->received, messages, memory_order_release);
	d->may += messages;
	drive(d);
}

static void begin_here(void *arg)
{
	struct driver *d = arg;

	shard_check(NULL);
	d->may = d->chatting ? MESSAGES_AT_ONCE : LOGINS_AT_ONCE;
	drive(d);
}

static uint64_t all_ready(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < options.shards; i++)
		n += atomic_load_explicit(&drivers[i].ready, memory_order_acquire);
	return n;
}

static uint64_t all_received(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < options.shards; i++)
		n += atomic_load_explicit(&drivers[i].received, memory_order_acquire);
	return n;
}

/* Until so many; false when they stop coming. */
static bool await_count(uint64_t (*count)(void), uint64_t want)
{
	const struct timespec nap = { .tv_nsec = 2000000 };
	bool reading = rcu_offline();
	uint64_t last = 0, got;
	unsigned without_ms = 0;

	while ((got = count()) < want && without_ms < PATIENCE_MS) {
		nanosleep(&nap, NULL);
		without_ms = got > last ? 0 : without_ms + 2;
		last = got;
	}
	rcu_online(reading);
	if (got != want)
		fprintf(stderr, "linnet-scale: %llu came of %llu\n", (unsigned long long)got,
			(unsigned long long)want);
	return got == want;
}

/* ---- what is used ---- */

struct figure {
	const char *name, *unit;
	double value;
};
static struct figure figures[48];
static unsigned n_figures;

static void tell(const char *name, double value, const char *unit)
{
	REQUIRE(n_figures < ARRAY_LEN(figures));
	figures[n_figures++] = (struct figure){ name, unit, value };
}

static double clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

static double resident_bytes(void)
{
	long total = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	REQUIRE(f && fscanf(f, "%ld %ld", &total, &resident) == 2);
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

struct metric_sought {
	const char *name;
	int64_t sum;
};

static void add_metric(const struct metric *m, void *arg)
{
	struct metric_sought *sought = arg;

	if (!strcmp(m->name, sought->name))
		sought->sum += metric_value(m);
}

static double metric_of(const char *name)
{
	struct metric_sought sought = { .name = name };

	metric_each(add_metric, &sought);
	return (double)sought.sum;
}

/* Between two moments. */
struct moment {
	double cpu_us, us, turns, timers, slow;
	int64_t lengths[METRIC_BUCKETS]; /* of turns */
};

static void copy_lengths(const struct metric *m, void *buckets)
{
	if (!strcmp(m->name, "shard_turn_seconds"))
		metric_buckets(m, buckets);
}

static struct moment moment_now(void)
{
	struct moment now = { cpu_us(), clock_us(CLOCK_MONOTONIC), metric_of("shard_turns_total"),
		metric_of("shard_timers_total"), metric_of("shard_slow_turns_total"), { 0 } };

	metric_each(copy_lengths, now.lengths);
	return now;
}

static struct moment since(struct moment then)
{
	struct moment now = moment_now();
	struct moment took = { now.cpu_us - then.cpu_us, now.us - then.us, now.turns - then.turns,
		now.timers - then.timers, now.slow - then.slow, { 0 } };

	for (unsigned i = 0; i < METRIC_BUCKETS; i++)
		took.lengths[i] = now.lengths[i] - then.lengths[i];
	return took;
}

/* The length in µs that so many of all turns do not exceed: within its power of two, as if those in
 * there were spread evenly. 1: the upper bound of the longest. */
static double turn_quantile(const struct moment *took, double of)
{
	double n = 0, sought, below = 0;
	unsigned i;

	for (i = 0; i < METRIC_BUCKETS; i++)
		n += (double)took->lengths[i];
	sought = n * of;
	for (i = 0; i < METRIC_BUCKETS - 1; i++) {
		double in = (double)took->lengths[i], from = i ? (double)(1u << (i - 1)) : 0;

		if (in > 0 && below + in >= sought)
			return from + ((double)(1u << i) - from) * (sought - below) / in;
		below += in;
	}
	return (double)(1u << i);
}

/* ---- the parts of a run ---- */

static double memory_before; /* all but sessions */

static void tell_memory(const char *name)
{
	double bytes = resident_bytes() - memory_before - (double)fars_tls_bytes();

	tell(name, bytes / options.sessions, "bytes");
}

static bool log_all_in(void)
{
	double n = options.sessions;
	struct moment took = moment_now();

	for (unsigned i = 0; i < options.shards; i++) {
		drivers[i] = (struct driver){
			.msg.run = drive_run, .shard = i, .next = i, .seed = i + 1
		};
		on_shard(i, begin_here, &drivers[i]);
	}
	if (!await_count(all_ready, options.sessions))
		return false;
	took = since(took);
	tell("login_cpu_us", took.cpu_us / n, "us");
	tell("logins_per_second", n / (took.us / 1e6), "/s");
	tell_memory("memory_per_session");
	return true;
}

/* The name of one of the figures of messages: "uniform_" and what it is. */
static void tell_of(const char *among, const char *what, double value, const char *unit)
{
	static char names[ARRAY_LEN(figures)][48];

	snprintf(names[n_figures], sizeof(names[0]), "%s_%s", among, what);
	tell(names[n_figures], value, unit);
}

static void tell_messages(const char *among, const struct moment *took, double n)
{
	tell_of(among, "message_cpu_us", took->cpu_us / n, "us");
	tell_of(among, "messages_per_second", n / (took->us / 1e6), "/s");
	tell_of(among, "messages_per_turn", n / took->turns, "");
	tell_of(among, "turn_p50_us", turn_quantile(took, 0.5), "us");
	tell_of(among, "turn_p99_us", turn_quantile(took, 0.99), "us");
	tell_of(among, "turn_p999_us", turn_quantile(took, 0.999), "us");
	tell_of(among, "turn_max_us_below", turn_quantile(took, 1), "us");
	tell_of(among, "handlers_over_20_ms", took->slow, "");
}

static uint64_t in_all; /* messages that were to come so far */

/* Among so many of the sessions. */
static bool chat(const char *among, unsigned sessions)
{
	struct moment took;

	if (!options.messages)
		return true;
	writers_are(sessions);
	took = moment_now();
	atomic_store(&left, (int64_t)options.messages);
	for (unsigned i = 0; i < options.shards; i++)
		drivers[i].chatting = true;
	for (unsigned i = 0; i < options.shards; i++)
		on_shard(i, begin_here, &drivers[i]);
	in_all += options.messages;
	if (!await_count(all_received, in_all))
		return false;
	took = since(took);
	tell_messages(among, &took, (double)options.messages);
	return true;
}

static void idle(void)
{
	const struct timespec nap = { .tv_sec = options.idle_s };
	struct moment took = moment_now();
	bool reading;

	if (!options.idle_s)
		return;
	reading = rcu_offline();
	nanosleep(&nap, NULL);
	rcu_online(reading);
	took = since(took);
	tell("idle_cpu_percent", took.cpu_us / took.us * 100, "%");
	tell("idle_timers_per_second", took.timers / (took.us / 1e6), "/s");
	tell_memory("memory_per_idle_session");
}

/* As they come in a stanza's `to`: copies, each of another session, so that no cache has them. */
static void tell_look_up(void)
{
	struct jid **asked = xcalloc(LOOK_UPS, sizeof(*asked));
	struct arena a;
	double from;

	arena_init(&a, NULL, 0);
	for (unsigned i = 0; i < LOOK_UPS; i++)
		REQUIRE(!jid_make(far_local((unsigned)(random_of(&drivers[0]) % options.sessions)),
			SCALE_DOMAIN, SCALE_RESOURCE, &a, &asked[i]));
	from = clock_us(CLOCK_THREAD_CPUTIME_ID);
	for (unsigned i = 0; i < LOOK_UPS; i++)
		REQUIRE(directory_find_full(asked[i]));
	tell("look_up_ns", (clock_us(CLOCK_THREAD_CPUTIME_ID) - from) * 1e3 / LOOK_UPS, "ns");
	rcu_quiescent();
	arena_fini(&a);
	free(asked);
}

static void never(struct timer *t UNUSED)
{
	REQUIRE(false);
}

/* On a shard's own wheel, among the sessions' timers. */
static void time_timers_here(void *us)
{
	struct timer t;
	double from = clock_us(CLOCK_THREAD_CPUTIME_ID);

	shard_check(NULL);
	timer_init(&t, never);
	for (unsigned i = 0; i < TIMERS; i++) {
		timer_set(&t, 20000 + i % 10000);
		timer_cancel(&t);
	}
	*(double *)us = clock_us(CLOCK_THREAD_CPUTIME_ID) - from;
}

static void tell_timers(void)
{
	double us;

	on_shard(0, time_timers_here, &us);
	tell("timer_set_and_cancel_ns", us * 1e3 / TIMERS, "ns");
}

static bool run(void)
{
	if (!log_all_in() || !chat("active", options.active) || !chat("uniform", options.sessions))
		return false;
	idle(); /* before what needs memory of its own */
	tell_look_up();
	tell_timers();
	tell("resident_in_all", resident_bytes() / (1 << 20), "MiB");
	return true;
}

/* ---- the program ---- */

static void print(void)
{
	if (options.json)
		printf("{\"sessions\":%u,\"active\":%u,\"tls\":%s", options.sessions,
			options.active, options.tls ? "true" : "false");
	else
		printf("%u sessions, %s; active_: messages among %u of them spread over all, "
		       "uniform_: among all\n",
			options.sessions, options.tls ? "TLS" : "plain", options.active);
	for (unsigned i = 0; i < n_figures; i++) {
		const struct figure *f = &figures[i];

		if (options.json)
			printf(",\"%s\":%.2f", f->name, f->value);
		else
			printf("  %-26s %12.*f %s\n", f->name, f->value < 1000 ? 2 : 0, f->value,
				f->unit);
	}
	printf(options.json ? "}\n" : "");
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: linnet-scale [options]\n"
		"  --sessions N    how many (10000)\n"
		"  --tls           each with STARTTLS\n"
		"  --shards N      (2)\n"
		"  --active N      how many of them write first, before all do (10000)\n"
		"  --messages N    among the active, and again among all, at random (1000000)\n"
		"  --idle SECONDS  to be idle before memory is looked at again; buffers go back\n"
		"                  after 20 (25)\n"
		"  --json          as one JSON object\n");
}

static void read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "sessions", required_argument, NULL, 's' },
		{ "active", required_argument, NULL, 'a' },
		{ "shards", required_argument, NULL, 'n' },
		{ "messages", required_argument, NULL, 'm' },
		{ "idle", required_argument, NULL, 'i' },
		{ "tls", no_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 's':
			options.sessions = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			options.active = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			options.shards = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			options.messages = strtoull(optarg, NULL, 10);
			break;
		case 'i':
			options.idle_s = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			options.tls = true;
			break;
		case 'j':
			options.json = true;
			break;
		default:
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (!options.shards || options.shards > SHARDS_MAX || options.sessions < options.shards ||
		options.active < options.shards) {
		usage(stderr);
		exit(2);
	}
	if (options.active > options.sessions)
		options.active = options.sessions;
}

int main(int argc, char **argv)
{
	bool good;

	read_options(argc, argv);
	rcu_thread_begin();
	fars_new(options.sessions, options.tls); /* first of all that uses OpenSSL */
	scale_server_start(options.shards, options.tls);
	memory_before = resident_bytes() - (double)fars_tls_bytes();
	good = run();
	print();
	scale_server_stop();
	fars_free();
	rcu_thread_end();
	return good ? 0 : 1;
}
