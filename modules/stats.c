/* modules/stats.c - numbers about the server, over the registry of metrics: XEP-0039 (Statistics
 * Gathering). Its three tiers: some for all, and all for administrators; what nobody may know is
 * not listed. Counting takes a walk over the sessions and a look into the database, so it is done
 * on the job threads, and not for each who asks. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/job.h"
#include "modules/module.h"
#include "modules/permit.h"
#include "router/directory.h"

#define COUNT_KEPT_MS 5000
#define METRIC_PREFIX "linnet/" /* before a metric's name */
#define NAME_ROOM 256

struct stats_conf {
	const char *access;
	const char *access_all;
};
static const struct conf_item stats_items[] = {
	{ "access", CONF_ACCESS, FIELD(struct stats_conf, access, const char *), .preset = "all",
		.help = "Who may know the uptime, how many users the host has and how many are "
			"connected, and how many stanzas came and went." },
	{ "access_all", CONF_ACCESS, FIELD(struct stats_conf, access_all, const char *),
		.help = "Who may know all of that for all hosts together, and every metric, as "
			"linnet/NAME; without it, the acl `admin`." },
	{ 0 }
};

/* What was counted last, of one host. */
struct counts {
	pthread_mutex_t lock;
	uint64_t at_ms; /* 0: never */
	int64_t online, online_everywhere; /* accounts */
	int64_t total, total_everywhere; /* -1: the database is away, or there are no accounts */
};

/* ---- Counting */

struct counting {
	struct counts *counts;
	const char *host;
};

static void count_online(const struct sessions *s, void *arg)
{
	const struct counting *c = arg;

	c->counts->online_everywhere++;
	c->counts->online += strcmp(jid_domain(s->at[0].session->jid), c->host) == 0;
}

struct host_list {
	struct host **at; /* owned; each counted */
	size_t n;
};

static void add_host(struct host *h, void *arg)
{
	struct host_list *l = arg;

	l->at = xrealloc(l->at, (l->n + 1) * sizeof(struct host *));
	l->at[l->n++] = host_ref(h);
}

ON_JOB static void count_accounts(struct counts *c, const char *host)
{
	struct host_list l = { 0 };
	uint64_t n;

	c->total = -1;
	c->total_everywhere = 0;
	route_each_host(add_host, &l);
	for (size_t i = 0; i < l.n; i++) {
		if (auth_count(l.at[i], &n) == 0) {
			c->total_everywhere += (int64_t)n;
			if (strcmp(l.at[i]->name, host) == 0)
				c->total = (int64_t)n;
		}
		host_unref(l.at[i]);
	}
	free(l.at);
}

ON_JOB static struct counts count(struct module_instance *mi, const char *host)
{
	struct counts *c = mi->data, now;
	bool reading = rcu_offline(); /* who counts may wait for the database */

	pthread_mutex_lock(&c->lock);
	rcu_online(reading);
	if (!c->at_ms || clock_ms() - c->at_ms > COUNT_KEPT_MS) {
		c->online = c->online_everywhere = 0;
		directory_each(count_online, &(struct counting){ c, host });
		count_accounts(c, host);
		c->at_ms = clock_ms();
	}
	now = *c;
	pthread_mutex_unlock(&c->lock);
	return now;
}

struct metric_sum {
	const char *name;
	int64_t value;
};

static void add_metric(const struct metric *m, void *arg)
{
	struct metric_sum *sum = arg;

	if (strcmp(m->name, sum->name) == 0)
		sum->value += metric_value(m);
}

/* A metric by name, its labels added up. */
static int64_t metric_named(const char *name)
{
	struct metric_sum sum = { .name = name };

	metric_each(add_metric, &sum);
	return sum.value;
}

static int64_t uptime(const struct counts *c UNUSED)
{
	return metric_named("process_uptime_seconds");
}

static int64_t packets_in(const struct counts *c UNUSED)
{
	return metric_named("c2s_stanzas_received_total");
}

static int64_t packets_out(const struct counts *c UNUSED)
{
	return metric_named("c2s_stanzas_sent_total");
}

static int64_t online(const struct counts *c)
{
	return c->online;
}

static int64_t total(const struct counts *c)
{
	return c->total;
}

static int64_t online_everywhere(const struct counts *c)
{
	return c->online_everywhere;
}

static int64_t total_everywhere(const struct counts *c)
{
	return c->total_everywhere;
}

/* ---- Which there are */

/* §7, and ejabberd's. */
static const struct stat {
	const char *name, *units;
	bool for_all; /* access; else access_all */
	int64_t (*read)(const struct counts *c); /* negative: not to be had now */
} stats[] = {
	{ "time/uptime", "seconds", true, uptime },
	{ "users/online", "users", true, online },
	{ "users/total", "users", true, total },
	{ "bandwidth/packets-in", "packets", true, packets_in },
	{ "bandwidth/packets-out", "packets", true, packets_out },
	{ "users/all-hosts/online", "users", false, online_everywhere },
	{ "users/all-hosts/total", "users", false, total_everywhere },
};

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static const char *metric_units(const struct metric *m)
{
	if (m->kind == METRIC_KIND_HISTOGRAM)
		return "events";
	return ends_with(m->name, "_seconds")  ? "seconds"
		: ends_with(m->name, "_bytes") ? "bytes"
					       : "count";
}

static void metric_stat_name(const struct metric *m, char out[NAME_ROOM])
{
	snprintf(out, NAME_ROOM, METRIC_PREFIX "%s%s%s%s", m->name, m->label ? "{" : "",
		m->label ? m->label : "", m->label ? "}" : "");
}

/* ---- Answering */

struct stats_answer {
	struct builder *answer;
	bool some, all; /* what who asks may know */
	const char *name; /* the metric that is looked for */
	bool found;
};

static void open_stat(struct builder *b, const char *name)
{
	build_open(b, "stat", NULL);
	build_attr(b, "name", name);
}

static void tell(struct builder *b, const char *name, const char *units, int64_t value)
{
	open_stat(b, name);
	build_attr(b, "units", units);
	build_attr_int(b, "value", value);
	build_close(b);
}

/* §4: what is wrong with one of them stands inside it. */
static void tell_not(struct builder *b, const char *name, const char *code, const char *text)
{
	open_stat(b, name);
	build_open(b, "error", NULL);
	build_attr(b, "code", code);
	build_cdata(b, text, strlen(text));
	build_close(b);
	build_close(b);
}

static void list_metric(const struct metric *m, void *arg)
{
	struct stats_answer *s = arg;
	char name[NAME_ROOM];

	metric_stat_name(m, name);
	open_stat(s->answer, name);
	build_close(s->answer);
}

static void list_all(struct stats_answer *s)
{
	for (size_t i = 0; i < ARRAY_LEN(stats); i++) {
		if (!(stats[i].for_all ? s->some : s->all))
			continue;
		open_stat(s->answer, stats[i].name);
		build_close(s->answer);
	}
	if (s->all)
		metric_each(list_metric, s);
}

static void tell_metric(const struct metric *m, void *arg)
{
	struct stats_answer *s = arg;
	char name[NAME_ROOM];

	metric_stat_name(m, name);
	if (s->found || strcmp(name, s->name) != 0)
		return;
	s->found = true;
	tell(s->answer, name, metric_units(m), metric_value(m));
}

static void tell_stat(struct stats_answer *s, const struct stat *stat, const struct counts *c)
{
	int64_t value;

	if (!(stat->for_all ? s->some : s->all)) {
		tell_not(s->answer, stat->name, "401", "Unauthorized");
		return;
	}
	value = stat->read(c);
	if (value < 0)
		tell_not(s->answer, stat->name, "503", "Service Unavailable");
	else
		tell(s->answer, stat->name, stat->units, value);
}

static void answer_one(struct stats_answer *s, const char *name, const struct counts *c)
{
	for (size_t i = 0; i < ARRAY_LEN(stats); i++)
		if (strcmp(stats[i].name, name) == 0) {
			tell_stat(s, &stats[i], c);
			return;
		}
	s->name = name;
	s->found = false;
	if (s->all)
		metric_each(tell_metric, s);
	if (!s->found)
		tell_not(s->answer, name, "404", "Not Found");
}

static int stats_get(const struct iq *iq, struct builder *answer)
{
	const struct stats_conf *conf = iq_conf(iq);
	struct access_subject who = { .jid = iq->from };
	struct stats_answer s = { .answer = answer,
		.some = access_allowed(conf->access, iq->host->name, &who),
		.all = admin_permitted(iq->host, conf->access_all, iq->from) };
	struct counts now;

	job_check();
	if (!elem_is(iq->payload, "query", NS_STATS))
		return ERR_BAD_REQUEST;
	if (!s.some && !s.all)
		return ERR_FORBIDDEN;
	now = count(iq->arg, iq->host->name);
	build_open(answer, "query", NS_STATS);
	if (!elem_first(iq->payload))
		list_all(&s);
	elem_each_child (iq->payload, asked) {
		const char *name = elem_attr(asked, "name");

		if (elem_is(asked, "stat", NS_STATS) && name)
			answer_one(&s, name, &now);
	}
	build_close(answer);
	return 0;
}

static int stats_start(struct module_instance *mi)
{
	struct counts *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	mi->data = c;
	return 0;
}

static void stats_stop(struct module_instance *mi)
{
	struct counts *c = mi->data;

	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct module module_stats = {
	.abi = LINNET_MODULE_ABI,
	.name = "stats",
	.help = "Tells numbers about the server to clients: users, uptime, stanzas, and to "
		"administrators every metric.",
	.xeps = (const char *const[]){ "XEP-0039 0.6.0", NULL },
	.features = (const char *const[]){ NS_STATS, NULL },
	.conf = stats_items,
	.conf_size = sizeof(struct stats_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, NS_STATS, IQ_QUEUES, stats_get,
					       .blocks = true },
		{ 0 } },
	.start = stats_start,
	.stop = stats_stop,
};
LINNET_MODULE(module_stats);
