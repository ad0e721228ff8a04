/* net/dns.c - c-ares on a thread of its own, between a list of what shards ask and the messages
 * that answers go back to them in. */
#include "net/dns.h"

#include <ares.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include <urcu/list.h>

#include "core/clock.h"
#include "core/gen.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "net/dns_cache.h"
#include "net/outgoing_conf.h"
#include "xml/jid.h"

#define CLASS_IN 1
#define EDNS_BYTES 1232 /* what passes everywhere in one piece: dnsflagday.net/2020 */
#define TRY_MS_MIN 20
#define TURN_MS_MAX 1000 /* between two heartbeats */
#define BUCKETS 1024
#define EVENTS_MAX 16

static struct metric queries = METRIC_COUNTER("dns_queries_total", "Questions to name servers.");
static struct metric hits =
	METRIC_COUNTER("dns_cache_hits_total", "Questions that the cache answered.");
static struct metric failures =
	METRIC_COUNTER("dns_failures_total", "Questions that no name server answered well.");
static struct metric latency = METRIC_TIME(
	"dns_query_seconds", "From a question until its answer, or until nobody had one.");
static _Atomic int64_t cached;
static int64_t read_cached(void)
{
	return atomic_load_explicit(&cached, memory_order_relaxed);
}
static struct metric cached_metric =
	METRIC_GAUGE_READ("dns_cache_entries", "Answers that are kept.", read_cached);
static struct metric waiting_metric =
	METRIC_GAUGE_READ("dns_waiting", "Questions that wait for an answer.", dns_waiting);

struct dns_query {
	struct msg msg; /* the answer's way back */
	struct cds_list_head node; /* where it waits */
	struct shard *home;
	dns_done_fn *done;
	void *arg;
	bool cancelled; /* home's alone */
	enum dns_type type;
	struct dns_reply reply; /* its answer is counted */
	char name[DNS_NAME_MAX];
};

/* How a channel is made. */
struct setup {
	char *servers; /* owned; as c-ares wants them; NULL: /etc/resolv.conf's */
	bool trust_ad;
	int try_ms, tries;
};

enum life { TO_COME, RUNNING, OVER };

static struct {
	pthread_mutex_t lock;
	/* Under lock. */
	enum life life;
	struct cds_list_head asked; /* struct dns_query, the oldest first */
	struct setup setup; /* to be taken over where is_new */
	bool is_new, forget;
	int bell; /* the running thread's; -1: none runs */
} desk = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.asked = CDS_LIST_HEAD_INIT(desk.asked),
	.setup = { .try_ms = 1000, .tries = 3 },
	.is_new = true,
	.bell = -1 };
static _Atomic int64_t waiting;

/* What one run of the thread has; an abandoned one keeps its own. */
struct resolver {
	ares_channel channel; /* NULL: it could not be made */
	int epoll, bell;
	bool trust_ad;
	bool is_ending; /* or making a new channel: nothing is asked of this one */
	struct dns_cache *cache;
	struct cds_list_head *buckets; /* of struct question: under way */
	struct cds_list_head again; /* of struct question: to be asked of the new channel */
};

/* One of c-ares's, for all who asked the same. */
struct question {
	struct cds_list_head node;
	struct cds_list_head queries;
	struct resolver *resolver;
	uint64_t since_us;
	enum dns_type type;
	char name[DNS_NAME_MAX];
};

/* ---- The asking shard ---- */

static void deliver(struct msg *m)
{
	struct dns_query *q = caa_container_of(m, struct dns_query, msg);

	shard_check(q->home);
	atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
	if (!q->cancelled)
		q->done(&q->reply, q->arg);
	dns_answer_unref(q->reply.answer);
	free(q);
}

/* Any thread. Takes q, and a reference to a. */
static void reply(struct dns_query *q, const struct dns_answer *a, uint32_t left_s, bool was_cached)
{
	q->reply = (struct dns_reply){ dns_answer_ref(a), left_s, was_cached };
	q->msg.run = deliver;
	shard_post(q->home, &q->msg);
}

static void reply_failed(struct dns_query *q, const char *why)
{
	struct dns_answer *a = dns_answer_failed(q->type, why);

	metric_add(&failures, 1);
	reply(q, a, 0, false);
	dns_answer_unref(a);
}

/* Under the desk's lock. */
static void ring(void)
{
	const uint64_t one = 1;

	if (desk.bell >= 0 && write(desk.bell, &one, sizeof(one)) < 0)
		REQUIRE(errno == EAGAIN); /* it rings already */
}

struct dns_query *dns_ask(const char *name, enum dns_type type, dns_done_fn *done, void *arg)
{
	struct dns_query *q = xcalloc(1, sizeof(*q));
	bool too_many =
		atomic_fetch_add_explicit(&waiting, 1, memory_order_relaxed) >= DNS_WAITING_MAX;
	bool over;

	q->home = shard_self();
	q->done = done;
	q->arg = arg;
	q->type = type;
	snprintf(q->name, sizeof(q->name), "%s", name);
	pthread_mutex_lock(&desk.lock);
	over = desk.life == OVER;
	if (!over && !too_many) {
		if (cds_list_empty(&desk.asked))
			ring();
		cds_list_add_tail(&q->node, &desk.asked);
	}
	pthread_mutex_unlock(&desk.lock);
	if (over || too_many)
		reply_failed(q, over ? "DNS is not asked any more" : "too many questions wait");
	return q;
}

void dns_cancel(struct dns_query *q)
{
	if (!q)
		return;
	shard_check(q->home);
	q->cancelled = true;
}

int64_t dns_waiting(void)
{
	return atomic_load_explicit(&waiting, memory_order_relaxed);
}

int64_t dns_flush(void)
{
	int64_t n = read_cached(); /* the thread may be quick */

	pthread_mutex_lock(&desk.lock);
	desk.forget = true;
	ring();
	pthread_mutex_unlock(&desk.lock);
	return n;
}

/* ---- Settings ---- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static char *list_servers(const struct conf_list *servers)
{
	const char *const *at = servers->at;
	char *text = NULL;

	for (size_t i = 0; i < servers->n; i++) {
		char *longer = xprintf("%s%s%s", text ? text : "", text ? "," : "", at[i]);

		free(text);
		text = longer;
	}
	return text;
}

/* c-ares doubles what it waits from one try to the next. */
static int first_try_ms(const struct outgoing_conf *c)
{
	int64_t shares = (INT64_C(1) << (c->dns_retries + 1)) - 1;
	int64_t ms = c->dns_timeout_ms / shares;

	return ms < TRY_MS_MIN ? TRY_MS_MIN : (int)ms;
}

void dns_reload(void)
{
	const struct outgoing_conf *c = outgoing_conf();
	struct setup new = { list_servers(&c->dns_servers), c->dns_trust_ad, first_try_ms(c),
		(int)c->dns_retries + 1 };

	pthread_mutex_lock(&desk.lock);
	if (new.trust_ad != desk.setup.trust_ad || !new.servers ||
		!same_text(new.servers, desk.setup.servers))
		desk.forget = true;
	free(desk.setup.servers);
	desk.setup = new;
	desk.is_new = true;
	ring();
	pthread_mutex_unlock(&desk.lock);
}

/* ---- The thread: questions ---- */

static struct cds_list_head *bucket_of(struct resolver *r, const char *name, enum dns_type type)
{
	return &r->buckets[(jid_hash_domain(name, strlen(name)) ^ (uint32_t)type) % BUCKETS];
}

static struct question *find_question(struct resolver *r, const char *name, enum dns_type type)
{
	struct question *q;

	cds_list_for_each_entry (q, bucket_of(r, name, type), node)
		if (q->type == type && !strcmp(q->name, name))
			return q;
	return NULL;
}

/* Tells all who asked; takes q, which is in no list. */
static void conclude(struct question *q, const struct dns_answer *a)
{
	struct dns_query *asker, *next;

	metric_time(&latency, clock_us() - q->since_us);
	if (a->outcome == DNS_FAILED)
		metric_add(&failures, 1);
	cds_list_for_each_entry_safe (asker, next, &q->queries, node) {
		cds_list_del(&asker->node);
		reply(asker, a, a->ttl_s, false);
	}
	free(q);
}

static void count_cached(const struct resolver *r)
{
	atomic_store_explicit(&cached, dns_cache_count(r->cache), memory_order_relaxed);
}

static struct dns_answer *understand(
	const struct question *q, int status, const unsigned char *bytes, int len)
{
	struct dns_answer *a;

	if (status != ARES_SUCCESS)
		return dns_answer_failed(q->type, ares_strerror(status));
	if (dns_answer_parse(bytes, (size_t)len, q->name, q->type, &a))
		return dns_answer_failed(q->type, "the name server's answer is malformed");
	a->secure = a->secure && q->resolver->trust_ad;
	return a;
}

/* From inside c-ares. Of a channel that is given up, a question is asked again of the next. */
static void answered(void *arg, int status, int timeouts UNUSED, unsigned char *bytes, int len)
{
	struct question *q = arg;
	struct resolver *r = q->resolver;
	struct dns_answer *a;

	cds_list_del(&q->node);
	if (r->is_ending) {
		cds_list_add_tail(&q->node, &r->again);
		return;
	}
	a = understand(q, status, bytes, len);
	dns_cache_put(r->cache, q->name, a, clock_ms());
	count_cached(r);
	conclude(q, a);
	dns_answer_unref(a);
}

static void fail(struct question *q, const char *why)
{
	struct dns_answer *a = dns_answer_failed(q->type, why);

	conclude(q, a);
	dns_answer_unref(a);
}

/* With the AD bit, which asks whether the answer is validated (RFC 6840 §5.7). Takes q, which is in
 * no list. */
static void send_question(struct resolver *r, struct question *q)
{
	unsigned char *bytes = NULL;
	unsigned short id;
	int len, error;

	if (!r->channel) {
		fail(q, "there are no name servers that could be asked");
		return;
	}
	REQUIRE(getrandom(&id, sizeof(id), 0) == sizeof(id));
	error = ares_create_query(q->name, CLASS_IN, q->type, id, 1, &bytes, &len, EDNS_BYTES);
	if (error) {
		fail(q, ares_strerror(error));
		return;
	}
	bytes[3] |= 0x20;
	cds_list_add(&q->node, bucket_of(r, q->name, q->type));
	metric_add(&queries, 1);
	ares_send(r->channel, bytes, len, answered, q);
	ares_free_string(bytes);
}

static void take_question(struct resolver *r, struct dns_query *asker)
{
	struct question *q = find_question(r, asker->name, asker->type);
	uint32_t left_s;
	const struct dns_answer *a;

	if (q) {
		cds_list_add_tail(&asker->node, &q->queries);
		return;
	}
	a = dns_cache_find(r->cache, asker->name, asker->type, clock_ms(), &left_s);
	if (a) {
		metric_add(&hits, 1);
		reply(asker, a, left_s, true);
		return;
	}
	q = xcalloc(1, sizeof(*q));
	CDS_INIT_LIST_HEAD(&q->queries);
	cds_list_add_tail(&asker->node, &q->queries);
	q->resolver = r;
	q->since_us = clock_us();
	q->type = asker->type;
	memcpy(q->name, asker->name, sizeof(q->name));
	send_question(r, q);
}

/* ---- The thread: channels ---- */

static void socket_changed(void *arg, ares_socket_t fd, int reads, int writes)
{
	const struct resolver *r = arg;
	struct epoll_event e = { .events = (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u),
		.data.fd = fd };

	if (!e.events)
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, fd, &e) < 0)
		epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e);
}

static void close_channel(struct resolver *r)
{
	r->is_ending = true;
	if (r->channel)
		ares_destroy(r->channel);
	r->channel = NULL;
	r->is_ending = false;
}

static int open_channel(struct resolver *r, const struct setup *s, int more_flags)
{
	struct ares_options o = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
			ARES_FLAG_EDNS | more_flags,
		.timeout = s->try_ms,
		.tries = s->tries,
		.ednspsz = EDNS_BYTES,
		.lookups = (char[]){ "b" },
		.sock_state_cb = socket_changed,
		.sock_state_cb_data = r };
	int error = ares_init_options(&r->channel, &o,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
			ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);

	if (error) {
		r->channel = NULL;
		return error;
	}
	error = s->servers ? ares_set_servers_ports_csv(r->channel, s->servers) : 0;
	if (error)
		close_channel(r);
	return error;
}

static unsigned count_servers(const struct resolver *r)
{
	struct ares_addr_port_node *servers = NULL;
	unsigned n = 0;

	ares_get_servers_ports(r->channel, &servers);
	for (const struct ares_addr_port_node *s = servers; s; s = s->next)
		n++;
	ares_free_data(servers);
	return n;
}

/* A name server that says that it failed is as good as silent, as long as there is another one. The
 * only one is heard, since it says more than c-ares would in its place. */
static int make_channel(struct resolver *r, const struct setup *s)
{
	int error = open_channel(r, s, 0);

	if (error || count_servers(r) != 1)
		return error;
	close_channel(r);
	return open_channel(r, s, ARES_FLAG_NOCHECKRESP);
}

static void change_channel(struct resolver *r, const struct setup *s)
{
	struct question *q, *next;
	CDS_LIST_HEAD(again);
	int error;

	close_channel(r);
	r->trust_ad = s->trust_ad;
	error = make_channel(r, s);
	if (error)
		log_error(
			"dns", "name servers cannot be asked", L_STR("why", ares_strerror(error)));
	cds_list_splice(&r->again, &again);
	CDS_INIT_LIST_HEAD(&r->again);
	cds_list_for_each_entry_safe (q, next, &again, node) {
		cds_list_del(&q->node);
		send_question(r, q);
	}
}

/* ---- The thread: its life ---- */

static void forget(struct resolver *r)
{
	dns_cache_forget_all(r->cache);
	count_cached(r);
}

/* Whatever lies on the desk. */
static void look_at_desk(struct resolver *r)
{
	struct dns_query *asker, *next;
	struct setup new = { 0 };
	CDS_LIST_HEAD(asked);
	bool is_new, forgets;
	uint64_t rings;

	if (read(r->bell, &rings, sizeof(rings)) < 0)
		REQUIRE(errno == EAGAIN);
	pthread_mutex_lock(&desk.lock);
	cds_list_splice(&desk.asked, &asked);
	CDS_INIT_LIST_HEAD(&desk.asked);
	is_new = desk.is_new;
	forgets = desk.forget;
	desk.is_new = desk.forget = false;
	if (is_new) {
		new = desk.setup;
		new.servers = new.servers ? xstrdup(new.servers) : NULL;
	}
	pthread_mutex_unlock(&desk.lock);
	if (forgets)
		forget(r);
	if (is_new)
		change_channel(r, &new);
	free(new.servers);
	cds_list_for_each_entry_safe (asker, next, &asked, node) {
		cds_list_del(&asker->node);
		take_question(r, asker);
	}
}

static void begin(struct resolver *r)
{
	struct epoll_event e = { .events = EPOLLIN };

	metric_register(&queries);
	metric_register(&hits);
	metric_register(&failures);
	metric_register(&latency);
	metric_register(&cached_metric);
	metric_register(&waiting_metric);
	ares_library_init(ARES_LIB_INIT_ALL);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	REQUIRE(r->epoll >= 0 && r->bell >= 0);
	e.data.fd = r->bell;
	REQUIRE(epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->bell, &e) == 0);
	r->cache = dns_cache_new(DNS_CACHE_BYTES);
	r->buckets = xcalloc(BUCKETS, sizeof(*r->buckets));
	for (unsigned i = 0; i < BUCKETS; i++)
		CDS_INIT_LIST_HEAD(&r->buckets[i]);
	CDS_INIT_LIST_HEAD(&r->again);
	pthread_mutex_lock(&desk.lock);
	desk.life = RUNNING;
	desk.bell = r->bell;
	desk.is_new = true;
	pthread_mutex_unlock(&desk.lock);
}

static int pause_ms(const struct resolver *r)
{
	struct timeval max = { .tv_sec = TURN_MS_MAX / 1000 }, room, *next;

	if (!r->channel)
		return TURN_MS_MAX;
	next = ares_timeout(r->channel, &max, &room);
	return (int)(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
}

static void turn(struct resolver *r)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(r->epoll, events, EVENTS_MAX, pause_ms(r));

	for (int i = 0; i < n; i++) {
		bool writes = events[i].events & EPOLLOUT;
		bool reads = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
		int fd = events[i].data.fd;

		if (fd != r->bell && r->channel)
			ares_process_fd(r->channel, reads ? fd : ARES_SOCKET_BAD,
				writes ? fd : ARES_SOCKET_BAD);
	}
	if (r->channel) /* what has waited for too long */
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* Nobody waits for ever. */
static void refuse_all(struct resolver *r)
{
	struct question *q, *next;

	cds_list_for_each_entry_safe (q, next, &r->again, node) {
		cds_list_del(&q->node);
		fail(q, "DNS is not asked any more");
	}
}

static void end(struct resolver *r)
{
	struct dns_query *asker, *next;
	CDS_LIST_HEAD(asked);

	pthread_mutex_lock(&desk.lock);
	if (desk.bell == r->bell) { /* not abandoned, and followed by another */
		desk.bell = -1;
		desk.life = OVER;
		cds_list_splice(&desk.asked, &asked);
		CDS_INIT_LIST_HEAD(&desk.asked);
	}
	pthread_mutex_unlock(&desk.lock);
	cds_list_for_each_entry_safe (asker, next, &asked, node) {
		cds_list_del(&asker->node);
		reply_failed(asker, "DNS is not asked any more");
	}
	close_channel(r);
	refuse_all(r);
	forget(r);
	dns_cache_free(r->cache);
	free(r->buckets);
	close(r->bell);
	close(r->epoll);
	ares_library_cleanup();
}

const char *dns_run(struct heart *h, void *unused UNUSED)
{
	struct resolver r = { 0 };

	begin(&r);
	while (!heart_stops(h)) {
		heart_beat(h);
		look_at_desk(&r);
		turn(&r);
	}
	end(&r);
	return STOP_NORMAL;
}

void dns_wake(void *unused UNUSED)
{
	pthread_mutex_lock(&desk.lock);
	ring();
	pthread_mutex_unlock(&desk.lock);
}
