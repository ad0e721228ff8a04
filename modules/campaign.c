/* modules/campaign.c - batches, one after the other, and who is still to be written to. */
#include "modules/campaign.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <urcu/list.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "core/timer.h"
#include "router/account.h"
#include "router/auth.h"
#include "router/directory.h"
#include "router/route.h"
#include "xml/builder.h"

#define TICK_MS 20
#define BATCH_MAX 200u /* addresses */
#define WORK_MAX 1000u /* that may wait for accounts, before more is made */
#define ENDED_MAX 16 /* remembered for campaign_each() */

enum campaign_phase { WAITING, SENDING, DONE, CANCELLED, FAILED };

/* Addresses, one behind the other. */
struct names {
	char *text; /* owned; each with its NUL */
	size_t bytes, room;
	size_t next; /* where the next one begins */
};

struct campaign {
	/* Under campaigns.lock. */
	struct cds_list_head at;
	enum campaign_phase phase;
	uint64_t sent, total;
	/* Constant. */
	unsigned id;
	int64_t begun_s;
	struct campaign_order order; /* what it points to is owned */
	struct msg msg;
	/* The running step's: a job or its home shard. */
	struct job job;
	struct timer timer;
	size_t host; /* which of them is being served */
	bool counted; /* its addresses are known */
	struct names online; /* of CAMPAIGN_ONLINE */
	char after[JID_PART_MAX + 1]; /* the last account served, of CAMPAIGN_ALL */
};

static struct {
	pthread_mutex_t lock;
	struct cds_list_head list;
	unsigned last_id, under_way, ended, opened;
	struct carrier *carrier; /* NULL: closed */
} campaigns = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = CDS_LIST_HEAD_INIT(campaigns.list) };

static struct metric sent_metric =
	METRIC_COUNTER("announcements_sent_total", "Messages sent on behalf of announcements.");

struct stanza *notice_message(
	const struct notice *n, const char *host, const char *to, enum notice_for when)
{
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "from", host);
	build_attr(&b, "to", to);
	if (when == NOTICE_NOW)
		build_attr(&b, "type", "headline");
	build_attr_ns(&b, "lang", NS_XML, n->lang);
	if (n->subject && *n->subject)
		build_text(&b, "subject", n->subject);
	build_text(&b, "body", n->body);
	return build_end(&b);
}

/* ---- Ends */

static void campaign_free(struct campaign *c)
{
	for (size_t i = 0; i < c->order.n_hosts; i++)
		host_unref(c->order.hosts[i]);
	free((void *)c->order.hosts);
	free((char *)c->order.notice.subject);
	free((char *)c->order.notice.body);
	free((char *)c->order.notice.lang);
	free(c->online.text);
	free(c);
}

/* Under the lock: c is over, and the oldest that is over is forgotten. */
static void retire(struct campaign *c, enum campaign_phase phase)
{
	struct campaign *other, *next;

	if (c->phase <= SENDING)
		c->phase = phase;
	campaigns.under_way--;
	campaigns.ended++;
	log_info("announce", "ended", L_INT("id", c->id), L_INT("sent", c->sent),
		L_INT("total", c->total));
	cds_list_for_each_entry_safe (other, next, &campaigns.list, at) {
		if (campaigns.ended <= ENDED_MAX)
			break;
		if (other->phase <= SENDING || other == c)
			continue;
		cds_list_del(&other->at);
		campaigns.ended--;
		campaign_free(other);
	}
}

/* ---- Who is written to */

struct gathering {
	struct names *names;
	const char *host;
	uint64_t n;
};

static void names_add(struct names *names, const char *text, size_t len)
{
	if (names->bytes + len + 1 > names->room) {
		names->room = (names->room + len + 1) * 2;
		names->text = xrealloc(names->text, names->room);
	}
	memcpy(names->text + names->bytes, text, len + 1);
	names->bytes += len + 1;
}

static void gather(const struct sessions *s, void *arg)
{
	struct gathering *g = arg;
	char text[JID_TEXT_MAX];

	for (unsigned i = 0; i < s->n; i++) {
		if (strcmp(g->host, jid_domain(s->at[i].session->jid)) != 0)
			continue;
		names_add(g->names, text, jid_write(s->at[i].session->jid, text));
		g->n++;
	}
}

/* 0 or a negative errno. */
ON_JOB static int count_host(struct campaign *c, struct host *h, uint64_t *out)
{
	struct gathering g = { .names = &c->online, .host = h->name };

	if (c->order.to == CAMPAIGN_ALL) {
		c->after[0] = '\0';
		return auth_count(h, out);
	}
	c->online.bytes = c->online.next = 0;
	directory_each(gather, &g);
	*out = g.n;
	return 0;
}

struct batch {
	const char *at[BATCH_MAX];
	unsigned n;
	/* Of accounts: */
	const char *host;
	struct names names;
	char *last;
};

static void take_account(const char *user, void *arg)
{
	struct batch *b = arg;
	char *address = xprintf("%s@%s", user, b->host);

	names_add(&b->names, address, strlen(address));
	free(address);
	strcpy(b->last, user);
	b->n++;
}

static void point_at(struct batch *b, const struct names *names, size_t from)
{
	for (unsigned i = 0; i < b->n; i++) {
		b->at[i] = names->text + from;
		from += strlen(b->at[i]) + 1;
	}
}

/* The next ones, at most max; none: this host is through. */
ON_JOB static int next_batch(struct campaign *c, struct host *h, unsigned max, struct batch *b)
{
	int error;

	if (c->order.to == CAMPAIGN_ONLINE) {
		size_t from = c->online.next;

		while (b->n < max && c->online.next < c->online.bytes) {
			c->online.next += strlen(c->online.text + c->online.next) + 1;
			b->n++;
		}
		point_at(b, &c->online, from);
		return 0;
	}
	b->host = h->name;
	b->last = c->after;
	{
		AUTO(free_ptr) char *after = xstrdup(c->after);

		error = auth_list(h, after, max, take_account, b);
	}
	point_at(b, &b->names, 0);
	return error;
}

/* ---- Sending */

static unsigned batch_size(const struct campaign *c)
{
	int64_t n = c->order.per_second * TICK_MS / 1000;

	return n < 1 ? 1 : n > BATCH_MAX ? BATCH_MAX : (unsigned)n;
}

/* Until the next one. */
static uint64_t pause_ms(const struct campaign *c)
{
	return c->order.per_second < 1000 / TICK_MS ? 1000 / (uint64_t)c->order.per_second
						    : TICK_MS;
}

static void send_batch(struct campaign *c, struct host *h, const struct batch *b)
{
	enum notice_for when = c->order.to == CAMPAIGN_ALL ? NOTICE_WHENEVER : NOTICE_NOW;

	if (c->order.batch)
		c->order.batch(h, b->at, b->n, c->order.arg);
	for (unsigned i = 0; i < b->n; i++)
		route_post(notice_message(&c->order.notice, h->name, b->at[i], when));
	metric_add(&sent_metric, b->n);
}

/* What is sent to those who are away is work on their accounts: no faster than it is done. */
static bool accounts_are_busy(const struct campaign *c)
{
	return c->order.to == CAMPAIGN_ALL && account_work_waiting() > WORK_MAX;
}

/* One batch. 0: there may be more; 1: it is through; or a negative errno. */
ON_JOB static int serve(struct campaign *c, uint64_t *out_sent, uint64_t *out_counted)
{
	struct host *h;
	AUTO(free_ptr) struct batch *b = xcalloc(1, sizeof(*b));
	int error;

	if (c->host == c->order.n_hosts)
		return 1;
	h = c->order.hosts[c->host];
	if (!c->counted) {
		error = count_host(c, h, out_counted);
		c->counted = true;
		if (error)
			return error;
	}
	if (accounts_are_busy(c))
		return 0;
	error = next_batch(c, h, batch_size(c), b);
	if (!error && b->n)
		send_batch(c, h, b);
	free(b->names.text);
	*out_sent = b->n;
	if (!b->n) {
		c->host++;
		c->counted = false;
	}
	return error;
}

static void campaign_work(struct job *j)
{
	struct campaign *c = container_of(j, struct campaign, job);
	uint64_t sent = 0, counted = 0;
	int outcome;

	job_check();
	outcome = serve(c, &sent, &counted);
	if (outcome < 0)
		log_warning("announce", "accounts cannot be listed", L_INT("id", c->id),
			L_STR("why", strerrordesc_np(-outcome)));
	pthread_mutex_lock(&campaigns.lock);
	c->sent += sent;
	c->total += counted;
	if (c->total < c->sent)
		c->total = c->sent;
	if (c->phase == WAITING)
		c->phase = SENDING;
	if (outcome && c->phase == SENDING)
		c->phase = outcome < 0 ? FAILED : DONE;
	pthread_mutex_unlock(&campaigns.lock);
}

/* Under the lock, on the shard that is its clock. */
static void campaign_go_on(struct campaign *c)
{
	if (c->phase > SENDING)
		retire(c, c->phase);
	else if (!campaigns.carrier || carrier_submit(campaigns.carrier, c->id, &c->job))
		retire(c, CANCELLED);
}

static void campaign_tick(struct timer *t)
{
	struct campaign *c = container_of(t, struct campaign, timer);

	shard_check(NULL);
	pthread_mutex_lock(&campaigns.lock);
	campaign_go_on(c);
	pthread_mutex_unlock(&campaigns.lock);
}

static void campaign_done(struct job *j)
{
	struct campaign *c = container_of(j, struct campaign, job);
	bool over;

	shard_check(NULL);
	pthread_mutex_lock(&campaigns.lock);
	over = c->phase > SENDING;
	if (over)
		campaign_go_on(c);
	pthread_mutex_unlock(&campaigns.lock);
	if (!over)
		timer_set(&c->timer, pause_ms(c));
}

static void campaign_run(struct msg *m)
{
	struct campaign *c = container_of(m, struct campaign, msg);

	shard_check(NULL);
	timer_init(&c->timer, campaign_tick);
	campaign_tick(&c->timer);
}

/* ---- From outside */

static struct campaign *campaign_new(const struct campaign_order *order)
{
	struct campaign *c = xcalloc(1, sizeof(*c));
	struct host **hosts = xcalloc(order->n_hosts, sizeof(struct host *));

	for (size_t i = 0; i < order->n_hosts; i++)
		hosts[i] = host_ref(order->hosts[i]);
	c->order = *order;
	c->order.hosts = hosts;
	c->order.notice.subject = order->notice.subject ? xstrdup(order->notice.subject) : NULL;
	c->order.notice.body = xstrdup(order->notice.body);
	c->order.notice.lang = order->notice.lang ? xstrdup(order->notice.lang) : NULL;
	c->begun_s = (int64_t)time(NULL);
	c->msg.run = campaign_run;
	c->job.work = campaign_work;
	c->job.done = campaign_done;
	return c;
}

static int check(const struct notice *n)
{
	if (!n->body || !*n->body)
		return -EINVAL;
	if (strlen(n->body) + (n->subject ? strlen(n->subject) : 0) > NOTICE_BYTES_MAX)
		return -EMSGSIZE;
	return 0;
}

int campaign_begin(const struct campaign_order *order, unsigned *out_id)
{
	int error = check(&order->notice);
	struct campaign *c;

	if (error)
		return error;
	pthread_mutex_lock(&campaigns.lock);
	if (!campaigns.carrier)
		error = -ENODEV;
	else if (campaigns.under_way == CAMPAIGNS_MAX)
		error = -EAGAIN;
	if (!error) {
		c = campaign_new(order);
		*out_id = c->id = ++campaigns.last_id;
		campaigns.under_way++;
		cds_list_add_tail(&c->at, &campaigns.list);
		shard_post(shard_at(c->id % shards_count()), &c->msg);
	}
	pthread_mutex_unlock(&campaigns.lock);
	return error;
}

bool campaign_cancel(unsigned id)
{
	struct campaign *c;
	bool found = false;

	pthread_mutex_lock(&campaigns.lock);
	cds_list_for_each_entry (c, &campaigns.list, at)
		if (c->id == id && c->phase <= SENDING) {
			c->phase = CANCELLED;
			found = true;
		}
	pthread_mutex_unlock(&campaigns.lock);
	return found;
}

void campaign_each(void (*fn)(const struct campaign_state *s, void *arg), void *arg)
{
	static const char *const phases[] = { [WAITING] = "waiting",
		[SENDING] = "sending",
		[DONE] = "done",
		[CANCELLED] = "cancelled",
		[FAILED] = "failed" };
	struct campaign *c;

	pthread_mutex_lock(&campaigns.lock);
	cds_list_for_each_entry (c, &campaigns.list, at) {
		const struct campaign_state s = { .id = c->id,
			.to = c->order.to,
			.host = c->order.n_hosts == 1 ? c->order.hosts[0]->name : NULL,
			.sent = c->sent,
			.total = c->total,
			.begun_s = c->begun_s,
			.state = phases[c->phase] };

		fn(&s, arg);
	}
	pthread_mutex_unlock(&campaigns.lock);
}

void campaigns_open(void)
{
	pthread_mutex_lock(&campaigns.lock);
	metric_register(&sent_metric);
	if (!campaigns.opened++)
		campaigns.carrier =
			carrier_new(CARRIER_LANES, 1, CAMPAIGNS_MAX + 1, "announcements");
	pthread_mutex_unlock(&campaigns.lock);
}

void campaigns_close(void)
{
	struct carrier *carrier = NULL;

	pthread_mutex_lock(&campaigns.lock);
	if (!--campaigns.opened) {
		carrier = campaigns.carrier;
		campaigns.carrier = NULL;
	}
	pthread_mutex_unlock(&campaigns.lock);
	if (carrier)
		carrier_free(carrier);
}
