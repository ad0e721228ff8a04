/* IQ handlers under load: accounts ask from all shards at once, while the handlers of every
 * discipline come, change and go. Checked are: one answer to each request, on the shard that asked,
 * and never more; what overlaps and in which order, as each discipline promises; a handler whose
 * iq_unregister() or iq_replace() has returned is never called again and nobody looks at what it
 * was given. ThreadSanitizer checks the rest. Fixed amounts of work, a few seconds. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/errand.h"
#include "core/job.h"
#include "core/mem.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/iq.h"
#include "router/route.h"

enum {
	SHARDS = 3,
	JOBS = 3,
	ACCOUNTS = 12, /* each with one session on each shard */
	REQUESTS = 2500, /* of each session */
	WINDOW = 64, /* requests a shard has under way */
	BATCH = 16, /* requests of one turn */
};

#define HOST "stress.example"
#define ALIVE 0x11f3u
#define DEAD 0xdeadu

static struct host *host;

static unsigned any(unsigned n)
{
	static _Thread_local unsigned seed;

	if (!seed)
		seed = (unsigned)(uintptr_t)pthread_self() >> 8 | 1;
	return (unsigned)rand_r(&seed) % n;
}

/* --- the handler: one registration's life, from iq_register() to iq_unregister() --- */

struct life { /* plain memory, so that whoever looks at it too late is seen */
	unsigned state;
	enum iq_discipline kind;
	_Atomic unsigned begun, ended; /* calls */
	_Atomic bool busy; /* one_queue */
	struct {
		_Atomic bool busy; /* queues */
		unsigned last[SHARDS]; /* the highest number answered; under the discipline */
	} account[ACCOUNTS];
};

static _Atomic unsigned calls; /* of all lives */

static void enter(_Atomic bool *busy)
{
	REQUIRE(!atomic_exchange(busy, true));
}

static void leave(_Atomic bool *busy)
{
	REQUIRE(atomic_exchange(busy, false));
}

static void check_order(struct life *l, unsigned account, unsigned shard, unsigned number)
{
	REQUIRE(number > l->account[account].last[shard]);
	l->account[account].last[shard] = number;
}

/* So that queues fill and calls that may overlap do. */
static void take_time(void)
{
	if (any(32) == 0)
		usleep(500);
}

static int handle(const struct iq *iq, struct builder *answer)
{
	struct life *l = iq->arg;
	unsigned account = (unsigned)atoi(jid_local(iq->from) + 1);
	unsigned shard = (unsigned)atoi(jid_resource(iq->from) + 1);
	unsigned number = (unsigned)atoi(iq->stanza->id);

	atomic_fetch_add(&l->begun, 1);
	REQUIRE(l->state == ALIVE && iq->conf == l && iq->host == host);
	switch (l->kind) {
	case IQ_NO_QUEUE:
		REQUIRE(shard_self() == shard_at(shard));
		check_order(l, account, shard, number);
		break;
	case IQ_ONE_QUEUE:
		job_check();
		enter(&l->busy);
		check_order(l, account, shard, number);
		take_time();
		leave(&l->busy);
		break;
	case IQ_QUEUES:
		job_check();
		enter(&l->account[account].busy);
		check_order(l, account, shard, number);
		take_time();
		leave(&l->account[account].busy);
		break;
	case IQ_PARALLEL:
		job_check();
		take_time();
		break;
	}
	build_open(answer, "answered", iq->payload->ns);
	build_close(answer);
	REQUIRE(l->state == ALIVE);
	atomic_fetch_add(&l->ended, 1);
	return 0;
}

/* --- who registers, replaces and withdraws them: one thread for each namespace --- */

static const struct space {
	const char *ns;
	enum iq_scope scope;
} spaces[] = { { "urn:stress:0", IQ_LOCAL }, { "urn:stress:1", IQ_LOCAL },
	{ "urn:stress:2", IQ_SM }, { "urn:stress:3", IQ_SM } };

static _Atomic bool traffic_over;
static _Atomic unsigned lives;

static struct life *life_new(void)
{
	struct life *l = xcalloc(1, sizeof(*l));

	l->state = ALIVE;
	l->kind = (enum iq_discipline)any(IQ_PARALLEL + 1);
	atomic_fetch_add(&lives, 1);
	return l;
}

/* Nobody calls it any more. */
static void life_end(struct life *l)
{
	REQUIRE(atomic_load(&l->begun) == atomic_load(&l->ended));
	atomic_fetch_add(&calls, l->ended);
	l->state = DEAD;
	free(l);
}

static struct iq_handler_spec spec_of(const struct space *sp, struct life *l)
{
	return (struct iq_handler_spec){
		.scope = sp->scope,
		.ns = sp->ns,
		.types = IQ_FOR_BOTH,
		.disc = { .kind = l->kind, .queues = 1 + any(5), .max_queue = any(3) ? 0 : 2 },
		.fn = handle,
		.arg = l,
		.conf = l,
	};
}

static struct life *begin_serving(const struct space *sp)
{
	struct life *l = life_new();
	struct iq_handler_spec spec = spec_of(sp, l);

	REQUIRE(iq_register(host, &spec) == 0);
	REQUIRE(iq_register(host, &spec) == IQ_TAKEN);
	return l;
}

static struct life *serve_otherwise(const struct space *sp, struct life *was)
{
	struct life *l = life_new();
	struct iq_handler_spec spec = spec_of(sp, l);

	REQUIRE(iq_replace(host, &spec) == 0);
	life_end(was);
	return l;
}

static void end_serving(const struct space *sp, struct life *l)
{
	iq_unregister(host, sp->scope, sp->ns);
	REQUIRE(!iq_registered(host, sp->scope, sp->ns));
	life_end(l);
}

static void *change(void *arg)
{
	const struct space *sp = arg;
	struct life *l;

	rcu_thread_begin();
	l = begin_serving(sp);
	while (!atomic_load(&traffic_over)) {
		bool reading = rcu_offline();

		usleep(any(10000));
		rcu_online(reading);
		if (any(3)) {
			l = serve_otherwise(sp, l);
		} else {
			end_serving(sp, l);
			l = begin_serving(sp);
		}
	}
	end_serving(sp, l);
	rcu_thread_end();
	return NULL;
}

/* --- who asks: sessions, several of each account --- */

enum { UNASKED, ASKED, ANSWERED };

struct asker {
	struct actor actor;
	struct session session;
	struct jid *bare;
	struct crowd *crowd;
	unsigned asked;
	uint8_t request[REQUESTS + 1]; /* by number */
};

static struct crowd { /* the askers of one shard; that shard's alone */
	struct msg msg;
	bool posted;
	unsigned under_way, left;
	struct asker *at[ACCOUNTS];
	sem_t done;
} crowds[SHARDS];

static struct jid *server;
static _Atomic unsigned results, refused, unserved;

static void count_error(const struct stanza *s)
{
	const struct elem *error = elem_child(s->root, "error", NS_CLIENT);

	REQUIRE(error && elem_first(error));
	if (strcmp(elem_first(error)->name, "resource-constraint") == 0) {
		REQUIRE(strcmp(elem_attr(error, "type"), "wait") == 0); /* RFC 6120 §8.3.3.18 */
		atomic_fetch_add(&refused, 1);
	} else {
		REQUIRE(strcmp(elem_first(error)->name, "service-unavailable") == 0);
		atomic_fetch_add(&unserved, 1);
	}
}

static void crowd_wake(struct crowd *c)
{
	if (c->posted)
		return;
	c->posted = true;
	shard_post(shard_self(), &c->msg);
}

static bool asker_receive(struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct asker *k = container_of(a, struct asker, actor);
	unsigned number = (unsigned)atoi(s->id);

	shard_check(actor_shard(a->id));
	REQUIRE(number <= REQUESTS && k->request[number] == ASKED);
	k->request[number] = ANSWERED;
	if (s->type == IQ_RESULT)
		atomic_fetch_add(&results, 1);
	else
		count_error(s);
	k->crowd->under_way--;
	crowd_wake(k->crowd);
	return true;
}

static const struct recipient asker_recipient = { .receive = asker_receive };
static const struct actor_class asker_class = { .name = "asker", .recipient = &asker_recipient };

ON_SHARD static void ask(struct asker *k)
{
	const struct space *sp = &spaces[any(ARRAY_LEN(spaces))];
	struct builder b;
	unsigned number = ++k->asked;

	k->request[number] = ASKED;
	k->crowd->under_way++;
	k->crowd->left--;
	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", any(2) ? "get" : "set");
	build_attr_int(&b, "id", number);
	build_attr_jid(&b, "from", k->session.jid);
	build_attr_jid(&b, "to", sp->scope == IQ_SM ? k->bare : server);
	build_open(&b, "question", sp->ns);
	build_close(&b);
	route(build_end(&b)); /* the answer may have come when it returns */
}

ON_SHARD static struct asker *next_asker(struct crowd *c)
{
	unsigned i = any(ACCOUNTS);

	while (c->at[i]->asked == REQUESTS)
		i = (i + 1) % ACCOUNTS;
	return c->at[i];
}

static void crowd_run(struct msg *m)
{
	struct crowd *c = container_of(m, struct crowd, msg);

	shard_check(NULL);
	c->posted = false;
	for (unsigned i = 0; i < BATCH && c->left && c->under_way < WINDOW; i++)
		ask(next_asker(c));
	if (!c->left && !c->under_way && !c->posted)
		sem_post(&c->done);
	else if (c->left && c->under_way < WINDOW)
		crowd_wake(c);
}

/* --- its beginning and its end --- */

ON_SHARD static struct asker *asker_new(struct crowd *c, unsigned account)
{
	struct asker *k = xcalloc(1, sizeof(*k));
	struct actor_id holder;
	char local[16], resource[16];

	snprintf(local, sizeof(local), "a%u", account);
	snprintf(resource, sizeof(resource), "s%u", shard_index(shard_self()));
	REQUIRE(!jid_make(local, HOST, resource, NULL, &k->session.jid));
	k->bare = jid_bare(k->session.jid, NULL);
	k->crowd = c;
	actor_begin(&k->actor, &asker_class);
	k->session.id = k->actor.id;
	k->session.host = host_ref(host);
	REQUIRE(directory_enter(&k->session, SHARDS, &holder) == 0);
	return k;
}

struct muster {
	struct errand errand;
	struct crowd *crowd;
};

static void muster_begin(struct msg *m)
{
	struct muster *mu = container_of(m, struct muster, errand.msg);

	shard_check(NULL);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		mu->crowd->at[i] = asker_new(mu->crowd, i);
	errand_tell(&mu->errand);
}

static void muster_end(struct msg *m)
{
	struct muster *mu = container_of(m, struct muster, errand.msg);

	shard_check(NULL);
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		REQUIRE(directory_leave(&mu->crowd->at[i]->session));
		actor_end(&mu->crowd->at[i]->actor);
	}
	errand_tell(&mu->errand);
}

static void muster(void (*run)(struct msg *m))
{
	for (unsigned i = 0; i < SHARDS; i++) {
		struct muster mu = { .crowd = &crowds[i] };

		errand_wait(&mu.errand, shard_at(i), run);
	}
}

static void asker_free(struct asker *k)
{
	for (unsigned n = 1; n <= REQUESTS; n++)
		REQUIRE(k->request[n] == ANSWERED);
	session_fini(&k->session);
	jid_free(k->bare);
	free(k);
}

static void run_traffic(void)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		crowds[i].msg.run = crowd_run;
		crowds[i].posted = true;
		crowds[i].left = ACCOUNTS * REQUESTS;
		sem_init(&crowds[i].done, 0, 0);
		shard_post(shard_at(i), &crowds[i].msg);
	}
	for (unsigned i = 0; i < SHARDS; i++) {
		while (sem_wait(&crowds[i].done) < 0)
			continue;
		sem_destroy(&crowds[i].done);
	}
}

int main(void)
{
	pthread_t changers[ARRAY_LEN(spaces)];
	bool reading;

	rcu_thread_begin();
	directory_init();
	host = host_new(HOST, host_conf_new());
	REQUIRE(route_register_host(host) == 0 && !jid_make(NULL, HOST, NULL, NULL, &server));
	REQUIRE(jobs_start(JOBS) == 0 && shards_start(SHARDS) == 0);
	muster(muster_begin);
	for (unsigned i = 0; i < ARRAY_LEN(spaces); i++)
		REQUIRE(!pthread_create(&changers[i], NULL, change, (void *)&spaces[i]));
	reading = rcu_offline();
	run_traffic();
	atomic_store(&traffic_over, true);
	for (unsigned i = 0; i < ARRAY_LEN(spaces); i++)
		pthread_join(changers[i], NULL);
	rcu_online(reading);
	muster(muster_end);
	shards_stop();
	jobs_stop();
	printf("%u handlers: %u results, %u refused, %u not served\n", lives, results, refused,
		unserved);
	REQUIRE(results == calls && results + refused + unserved == SHARDS * ACCOUNTS * REQUESTS);
	REQUIRE(lives > ARRAY_LEN(spaces) && results && refused && unserved);
	for (unsigned i = 0; i < SHARDS; i++)
		for (unsigned k = 0; k < ACCOUNTS; k++)
			asker_free(crowds[i].at[k]);
	jid_free(server);
	route_unregister(HOST);
	host_unref(host);
	rcu_wait_later();
	directory_fini();
	rcu_thread_end();
	return 0;
}
