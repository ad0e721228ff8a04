/* core/sysmon.c - one thread that reads, compares and tells. Each probe has one alarm, for the
 * worst of what it told, and each thing told a gauge of its own. */
#include "core/sysmon.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/gen.h"
#include "core/heart.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

#define LOOK_MS 1000
#define LOOK_SHORT_MS 100 /* at memory, while it is short */
#define AGAIN_MS 60000 /* between lines about the same thing */
#define NAME_MAX_BYTES 120
#define GAUGES_MAX 2000 /* things told that get a gauge */
#define SHORT_PERCENT 90
#define WELL_PERCENT 80
#define SHED_PERCENT 95 /* how far down, once over the limit */

_Atomic bool sysmon_short;
static _Atomic int64_t memory_limit, queue_warning;

/* The length of one queue. Lives for ever, as metrics do. */
struct gauge {
	struct metric metric;
	int64_t shown, told; /* told: in this round; -1: not */
	struct gauge *next; /* of the same probe */
};

struct alarm {
	bool raised;
	char worst[NAME_MAX_BYTES];
	int64_t value, threshold;
	unsigned over; /* how many are over their threshold */
	uint64_t again_ms; /* when it is time to say so again */
};

struct sysmon_round {
	const struct sysmon_probe *probe;
	struct gauge **gauges; /* the probe's */
	struct alarm found; /* the worst so far */
};

/* The thread's alone, but for what lock says. */
static struct gauge *gauges[SYSMON_PROBES_MAX];
static unsigned n_gauges;
static uint64_t memory_again_ms;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under lock, for sysmon_state(); written by the thread. */
static const struct sysmon_plan *watched;
static struct alarm alarms[SYSMON_PROBES_MAX];
static enum sysmon_memory memory;

static int64_t read_memory_state(void)
{
	int64_t state;

	pthread_mutex_lock(&lock);
	state = memory;
	pthread_mutex_unlock(&lock);
	return state;
}

static struct metric limit_metric =
	METRIC_GAUGE_READ("memory_limit_bytes", "The setting memory_limit", sysmon_memory_limit);
static struct metric state_metric = METRIC_GAUGE_READ("memory_state",
	"0: well; 1: new logins are refused; 2: streams are closed", read_memory_state);
static struct metric alarm_metric =
	METRIC_COUNTER("monitor_warnings_total", "What the system monitor has found too much");

/* --- decisions --------------------------------------------------------------------------- */

static int64_t percent_of(int64_t whole, int percent)
{
	return whole / 100 * percent + whole % 100 * percent / 100;
}

int64_t sysmon_threshold(enum sysmon_measure measure, int64_t bound, int64_t warning)
{
	if (measure == SYSMON_SHARE)
		return percent_of(bound, SHORT_PERCENT);
	return bound && bound / 2 < warning ? bound / 2 : warning;
}

enum sysmon_change sysmon_judge(bool *raised, int64_t value, int64_t threshold)
{
	if (!*raised && threshold && value >= threshold) {
		*raised = true;
		return SYSMON_RAISED;
	}
	if (*raised && (!threshold || value < threshold - threshold / 8)) {
		*raised = false;
		return SYSMON_WELL;
	}
	return SYSMON_SAME;
}

enum sysmon_memory sysmon_memory_next(
	enum sysmon_memory now, int64_t used, int64_t limit, uint64_t *out_shed)
{
	int64_t low = percent_of(limit, SHED_PERCENT);

	*out_shed = 0;
	if (!limit || used < percent_of(limit, WELL_PERCENT))
		return MEMORY_WELL;
	if (used > limit || (now == MEMORY_OVER && used > low)) {
		*out_shed = (uint64_t)(used - low);
		return MEMORY_OVER;
	}
	if (now != MEMORY_WELL || used >= percent_of(limit, SHORT_PERCENT))
		return MEMORY_SHORT;
	return MEMORY_WELL;
}

/* --- queues and the like ----------------------------------------------------------------- */

/* A label's value may not hold what ends it. */
static char *label_of(const char *probe, const char *name)
{
	char *label = xprintf("kind=\"%s\",queue=\"%.*s\"", probe, NAME_MAX_BYTES, name);
	char *value = label + strlen("kind=\"") + strlen(probe) + strlen("\",queue=\"");

	for (char *at = value; at[0] && at[1]; at++)
		if (*at == '"' || *at == '\\' || *at == '\n')
			*at = '_';
	return label;
}

static struct gauge *gauge_of(struct sysmon_round *r, const char *name)
{
	AUTO(free_ptr) char *label = label_of(r->probe->name, name);
	struct gauge *g = *r->gauges;

	while (g && strcmp(g->metric.label, label) != 0)
		g = g->next;
	if (g || n_gauges == GAUGES_MAX)
		return g;
	g = xcalloc(1, sizeof(*g));
	g->metric = (struct metric)METRIC_GAUGE("queue_length", "What waits in one queue");
	g->metric.label = label;
	label = NULL;
	g->told = -1;
	g->next = *r->gauges;
	*r->gauges = g;
	n_gauges++;
	metric_register(&g->metric);
	return g;
}

/* Queues of one name, as hosts have them, show the longest. */
static void tell_gauge(struct sysmon_round *r, const char *name, int64_t value)
{
	struct gauge *g = gauge_of(r, name);

	if (g && value > g->told)
		g->told = value;
}

static void show_gauges(struct gauge *g)
{
	for (; g; g = g->next) {
		int64_t value = g->told < 0 ? 0 : g->told;

		metric_add(&g->metric, value - g->shown);
		g->shown = value;
		g->told = -1;
	}
}

/* How near it is to its threshold, so that bounds of any size compare. */
static double nearness(int64_t value, int64_t threshold)
{
	return threshold ? (double)value / (double)threshold : 0;
}

void sysmon_tell(struct sysmon_round *r, const char *name, int64_t value, int64_t bound)
{
	int64_t warning = atomic_load_explicit(&queue_warning, memory_order_relaxed);
	int64_t threshold = sysmon_threshold(r->probe->measure, bound, warning);
	struct alarm *a = &r->found;

	if (r->probe->measure == SYSMON_QUEUE)
		tell_gauge(r, name, value);
	a->over += threshold && value >= threshold;
	if (a->worst[0] && nearness(value, threshold) <= nearness(a->value, a->threshold))
		return;
	snprintf(a->worst, sizeof(a->worst), "%s", name);
	a->value = value;
	a->threshold = threshold;
}

static void log_alarm(const struct sysmon_probe *p, const struct alarm *a, enum sysmon_change what)
{
	const char *too_much =
		p->measure == SYSMON_QUEUE ? "a queue is long" : "nearly all are used";

	if (what == SYSMON_WELL)
		log_info("sysmon",
			p->measure == SYSMON_QUEUE ? "queues are short again"
						   : "enough are free again",
			L_STR("of", p->name), L_STR("most", a->worst), L_INT("now", a->value));
	else
		log_warning("sysmon", too_much, L_STR("of", p->name), L_STR("which", a->worst),
			L_INT("now", a->value), L_INT("threshold", a->threshold),
			L_INT("over", a->over));
}

static void look_at(const struct sysmon_probe *p, unsigned i, uint64_t now_ms)
{
	struct sysmon_round r = { .probe = p, .gauges = &gauges[i] };
	struct alarm *a = &alarms[i];
	enum sysmon_change change;

	p->read(&r);
	show_gauges(gauges[i]);
	r.found.raised = a->raised;
	r.found.again_ms = a->again_ms;
	change = sysmon_judge(&r.found.raised, r.found.value, r.found.threshold);
	if (change == SYSMON_RAISED)
		metric_add(&alarm_metric, 1);
	if (change != SYSMON_SAME || (r.found.raised && now_ms >= a->again_ms)) {
		log_alarm(p, &r.found, change);
		r.found.again_ms = now_ms + AGAIN_MS;
	}
	pthread_mutex_lock(&lock);
	*a = r.found;
	pthread_mutex_unlock(&lock);
}

/* --- memory ------------------------------------------------------------------------------ */

static const char *const memory_texts[] = {
	[MEMORY_WELL] = "memory suffices again",
	[MEMORY_SHORT] = "memory is short: new logins are refused",
	[MEMORY_OVER] = "memory is over its limit: those who hold the most are closed",
};

static void log_memory(enum sysmon_memory state, int64_t used, int64_t limit)
{
	if (state == MEMORY_WELL)
		log_info("sysmon", memory_texts[state], L_INT("bytes", used),
			L_INT("memory_limit", limit));
	else
		log_warning("sysmon", memory_texts[state], L_INT("bytes", used),
			L_INT("memory_limit", limit));
}

static void look_at_memory(const struct sysmon_plan *plan, uint64_t now_ms)
{
	static struct log_seldom seldom[ARRAY_LEN(memory_texts)];
	int64_t limit = sysmon_memory_limit(), used = limit ? mem_in_use_bytes() : 0;
	enum sysmon_memory was = memory, state;
	uint32_t left_out;
	uint64_t shed;

	state = sysmon_memory_next(was, used, limit, &shed);
	if ((state != was || (state && now_ms >= memory_again_ms)) &&
		log_seldom(&seldom[state], &left_out)) {
		log_memory(state, used, limit);
		memory_again_ms = now_ms + AGAIN_MS;
	}
	if (state > was)
		metric_add(&alarm_metric, 1);
	atomic_store_explicit(&sysmon_short, state != MEMORY_WELL, memory_order_relaxed);
	pthread_mutex_lock(&lock);
	memory = state;
	pthread_mutex_unlock(&lock);
	if (shed && plan->shed)
		plan->shed(shed);
}

/* --- the thread -------------------------------------------------------------------------- */

static void begin(const struct sysmon_plan *plan)
{
	REQUIRE(plan->n_probes <= SYSMON_PROBES_MAX);
	metric_register(&limit_metric);
	metric_register(&state_metric);
	metric_register(&alarm_metric);
	pthread_mutex_lock(&lock);
	watched = plan;
	memset(alarms, 0, sizeof(alarms));
	pthread_mutex_unlock(&lock);
}

/* Nobody looks any more, so nobody is refused either. */
static void end(void)
{
	atomic_store_explicit(&sysmon_short, false, memory_order_relaxed);
	pthread_mutex_lock(&lock);
	watched = NULL;
	memory = MEMORY_WELL;
	pthread_mutex_unlock(&lock);
}

const char *sysmon_run(struct heart *h, void *arg)
{
	const struct sysmon_plan *plan = arg;
	uint64_t look_ms = 0, now_ms;

	begin(plan);
	do {
		heart_beat(h);
		now_ms = clock_ms();
		look_at_memory(plan, now_ms);
		for (unsigned i = 0; now_ms >= look_ms && i < plan->n_probes; i++)
			look_at(&plan->probes[i], i, now_ms);
		if (now_ms >= look_ms)
			look_ms = now_ms + LOOK_MS;
	} while (!heart_wait(h, memory == MEMORY_WELL ? LOOK_MS : LOOK_SHORT_MS));
	end();
	return STOP_NORMAL;
}

/* --- for others -------------------------------------------------------------------------- */

void sysmon_set(const struct sysmon_limits *limits)
{
	atomic_store_explicit(&memory_limit, limits->memory_bytes, memory_order_relaxed);
	atomic_store_explicit(&queue_warning, limits->queue_warning, memory_order_relaxed);
}

int64_t sysmon_memory_limit(void)
{
	return atomic_load_explicit(&memory_limit, memory_order_relaxed);
}

static void put_alarms(FILE *out, const char *between)
{
	for (unsigned i = 0; watched && i < watched->n_probes; i++) {
		const struct alarm *a = &alarms[i];

		if (!a->raised)
			continue;
		fprintf(out, "%s%s: %s has %lld, warned of from %lld on", between,
			watched->probes[i].name, a->worst, (long long)a->value,
			(long long)a->threshold);
		between = "; ";
	}
}

char *sysmon_state(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	REQUIRE(out);
	pthread_mutex_lock(&lock);
	if (memory != MEMORY_WELL)
		fputs(memory_texts[memory], out);
	put_alarms(out, memory != MEMORY_WELL ? "; " : "");
	pthread_mutex_unlock(&lock);
	fclose(out);
	if (len)
		return text;
	free(text);
	return xstrdup("well");
}
