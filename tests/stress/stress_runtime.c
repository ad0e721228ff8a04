/* The runtime under everything at once: mail, actors that come and go, RCU reclaim, hooks that
 * change, jobs on every carrier, calls to servers that die; last a stop with mail in the air.
 * Checked are counts (nothing lost, nothing twice), each sender's order, and that nobody sees what
 * has been freed; ThreadSanitizer checks the rest. Fixed amounts of work, a few seconds. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/errand.h"
#include "core/hook.h"
#include "core/job.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/server.h"

enum {
	SHARDS = 4,
	THREADS = 3, /* of each kind */
	NOTES = 40000, /* per sender */
	SOULS = 64, /* per shard */
	LIVES = 20000, /* per shard */
	TABLES = 10000,
	HOOKS = 600,
	JOBS = 10000, /* per sender */
	KEYS = 16,
	CALLS = 8000, /* per shard */
	BALLS = 500,
};

#define ALIVE 0x11f3u
#define DEAD 0xdeadu

static _Thread_local unsigned seed;

static unsigned any(unsigned n)
{
	if (!seed)
		seed = (unsigned)(uintptr_t)pthread_self() | 1;
	return (unsigned)rand_r(&seed) % n;
}

static void run_thread(pthread_t *t, void *(*fn)(void *arg), uintptr_t arg)
{
	REQUIRE(pthread_create(t, NULL, fn, (void *)arg) == 0);
}

/* Each shard's share of a play: a message that posts itself again until its work is done. */
struct share {
	struct msg msg;
	unsigned left;
	void (*step)(struct share *s);
	sem_t done;
};

static void share_run(struct msg *m)
{
	struct share *s = caa_container_of(m, struct share, msg);

	if (s->left-- == 0) {
		sem_post(&s->done);
		return;
	}
	s->step(s);
	shard_post(shard_self(), m);
}

/* All shards do n steps each, meanwhile this thread does its own. */
static void share_out(unsigned n, void (*step)(struct share *s), void (*own)(void))
{
	struct share shares[SHARDS];

	for (unsigned i = 0; i < SHARDS; i++) {
		shares[i] = (struct share){ .msg.run = share_run, .left = n, .step = step };
		sem_init(&shares[i].done, 0, 0);
		shard_post(shard_at(i), &shares[i].msg);
	}
	if (own)
		own();
	for (unsigned i = 0; i < SHARDS; i++) {
		while (sem_wait(&shares[i].done) < 0)
			continue;
		sem_destroy(&shares[i].done);
	}
}

/* --- mail: each sender's order, on each shard --- */

enum { SENDERS = THREADS + SHARDS };

struct note {
	struct msg msg;
	unsigned from, number;
};

static unsigned sent[SENDERS][SHARDS]; /* the sender's */
static unsigned came[SENDERS][SHARDS]; /* the shard's */
static _Atomic unsigned notes_came;

static void note_run(struct msg *m)
{
	struct note *n = caa_container_of(m, struct note, msg);
	unsigned *last = &came[n->from][shard_index(shard_self())];

	REQUIRE(n->number == *last + 1);
	*last = n->number;
	atomic_fetch_add_explicit(&notes_came, 1, memory_order_relaxed);
	free(n);
}

static void note_send(unsigned from)
{
	struct note *n = xmalloc(sizeof(*n));
	unsigned to = any(SHARDS);

	n->msg.run = note_run;
	n->from = from;
	n->number = ++sent[from][to];
	shard_post(shard_at(to), &n->msg);
}

static void *send_notes(void *arg)
{
	for (unsigned i = 0; i < NOTES; i++)
		note_send((unsigned)(uintptr_t)arg);
	return NULL;
}

static void note_step(struct share *s UNUSED)
{
	note_send(THREADS + shard_index(shard_self()));
}

static void *play_mail(void *arg UNUSED)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		run_thread(&threads[i], send_notes, i);
	share_out(NOTES, note_step, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	while (atomic_load(&notes_came) < SENDERS * NOTES)
		sched_yield();
	return NULL;
}

/* --- actors: begun and ended while letters fly --- */

struct soul {
	struct actor actor;
	unsigned state;
};
struct postcard {
	struct letter letter;
};

static const struct actor_class soul_class = { .name = "soul" };
static struct soul *souls[SHARDS][SOULS];
static _Atomic uint64_t soul_ids[SHARDS][SOULS];
static _Atomic unsigned cards_sent, cards_met, cards_missed;

static void card_open(struct actor *a, struct letter *l)
{
	struct postcard *c = caa_container_of(l, struct postcard, letter);

	if (a) {
		REQUIRE(a->id.v == l->to.v && actor_shard(a->id) == shard_self());
		REQUIRE(caa_container_of(a, struct soul, actor)->state == ALIVE);
		atomic_fetch_add_explicit(&cards_met, 1, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&cards_missed, 1, memory_order_relaxed);
	}
	free(c);
}

static void card_send(void)
{
	struct postcard *c = xmalloc(sizeof(*c));

	c->letter.to.v =
		atomic_load_explicit(&soul_ids[any(SHARDS)][any(SOULS)], memory_order_relaxed);
	c->letter.open = card_open;
	atomic_fetch_add_explicit(&cards_sent, 1, memory_order_relaxed);
	letter_post(&c->letter);
}

static void soul_end(struct soul *s)
{
	shard_check(NULL);
	if (!s)
		return;
	actor_end(&s->actor);
	s->state = DEAD;
	free(s);
}

static void life_step(struct share *share UNUSED)
{
	unsigned here = shard_index(shard_self()), i = any(SOULS);
	struct soul *s = xmalloc(sizeof(*s));

	shard_check(NULL);
	card_send();
	soul_end(souls[here][i]);
	s->state = ALIVE;
	actor_begin(&s->actor, &soul_class);
	souls[here][i] = s;
	atomic_store_explicit(&soul_ids[here][i], s->actor.id.v, memory_order_relaxed);
	card_send();
}

static void last_step(struct share *share UNUSED)
{
	unsigned here = shard_index(shard_self());

	for (unsigned i = 0; i < SOULS; i++) {
		soul_end(souls[here][i]);
		souls[here][i] = NULL;
	}
}

static void send_cards(void)
{
	for (unsigned i = 0; i < LIVES; i++)
		card_send();
}

static void *play_actors(void *arg UNUSED)
{
	share_out(LIVES, life_step, send_cards);
	share_out(1, last_step, send_cards);
	while (atomic_load(&cards_met) + atomic_load(&cards_missed) < atomic_load(&cards_sent))
		sched_yield();
	REQUIRE(atomic_load(&cards_met) > 0 && atomic_load(&cards_missed) > 0);
	for (unsigned i = 0; i < SHARDS; i++)
		REQUIRE(actor_register("soul", (struct actor_id){ 1 }) == 0 &&
			(actor_unregister("soul", (struct actor_id){ 1 }), true));
	return NULL;
}

/* --- RCU: a table replaced under its readers --- */

struct table {
	struct rcu_head rcu;
	unsigned state;
	unsigned values[16]; /* all the same */
};

static RCU_PTR(struct table) current;
static _Atomic unsigned tables_freed;

static void table_free(struct rcu_head *head)
{
	struct table *t = caa_container_of(head, struct table, rcu);

	t->state = DEAD;
	free(t);
	atomic_fetch_add(&tables_freed, 1);
}

static struct table *table_new(unsigned value)
{
	struct table *t = xmalloc(sizeof(*t));

	t->state = ALIVE;
	for (unsigned i = 0; i < ARRAY_LEN(t->values); i++)
		t->values[i] = value;
	return t;
}

static void table_read(void)
{
	const struct table *t = rcu_get(current);

	for (unsigned i = 0; i < ARRAY_LEN(t->values); i++)
		REQUIRE(t->state == ALIVE && t->values[i] == t->values[0]);
}

static void read_step(struct share *s UNUSED)
{
	table_read();
}

static void write_tables(void)
{
	for (unsigned i = 1; i <= TABLES; i++) {
		struct table *was = rcu_swap(current, table_new(i));

		rcu_later(&was->rcu, table_free);
		if (i % 500 == 0)
			rcu_wait();
	}
}

static void *play_rcu(void *arg UNUSED)
{
	rcu_thread_begin();
	share_out(TABLES, read_step, write_tables);
	rcu_wait_later();
	REQUIRE(atomic_load(&tables_freed) == TABLES);
	rcu_thread_end();
	return NULL;
}

/* --- hooks: functions whose argument is freed a grace period after they were removed --- */

static HOOK(stress);
static struct hook_set *hooks;
static _Atomic unsigned hooks_ran;

static enum hook_next hook_fn_alive(void *subject UNUSED, void *arg)
{
	REQUIRE(*(unsigned *)arg == ALIVE);
	atomic_fetch_add_explicit(&hooks_ran, 1, memory_order_relaxed);
	return HOOK_GO_ON;
}

static void change_hooks(void)
{
	for (unsigned i = 0; i < HOOKS; i++) {
		unsigned *args[3];

		for (unsigned k = 0; k < 3; k++) {
			args[k] = xmalloc(sizeof(unsigned));
			*args[k] = ALIVE;
			hook_add(hooks, &stress_hook, (int)any(10), hook_fn_alive, args[k]);
		}
		hook_run(hooks, &stress_hook, NULL);
		for (unsigned k = 0; k < 3; k++) {
			for (int order = 0; order < 10; order++)
				hook_remove(hooks, &stress_hook, order, hook_fn_alive, args[k]);
		}
		rcu_wait();
		for (unsigned k = 0; k < 3; k++) {
			*args[k] = DEAD;
			free(args[k]);
		}
	}
}

static void hook_step(struct share *s UNUSED)
{
	hook_run(hooks, &stress_hook, NULL);
}

static void *play_hooks(void *arg UNUSED)
{
	rcu_thread_begin();
	hooks = hook_set_new();
	share_out(TABLES, hook_step, change_hooks);
	REQUIRE(hook_empty(hooks, &stress_hook));
	REQUIRE(atomic_load(&hooks_ran) >= 3 * HOOKS);
	hook_set_free(hooks);
	rcu_thread_end();
	return NULL;
}

/* --- jobs: order and overlap of a key's, and every one done once --- */

struct work {
	struct job job;
	unsigned from, key, number;
	bool in_order;
	struct shard *sender;
};

static struct carrier *lanes, *pool, *own;
static unsigned jobs_sent[SENDERS][KEYS];
static unsigned jobs_seen[SENDERS][KEYS]; /* by its lane alone */
static _Atomic int key_busy[KEYS];
static _Atomic unsigned jobs_done, jobs_refused;

static void work_lane(struct job *j)
{
	struct work *w = caa_container_of(j, struct work, job);

	job_check();
	REQUIRE(atomic_exchange(&key_busy[w->key], 1) == 0);
	REQUIRE(w->number > jobs_seen[w->from][w->key]);
	jobs_seen[w->from][w->key] = w->number;
	table_read();
	REQUIRE(atomic_exchange(&key_busy[w->key], 0) == 1);
}

static void work_any(struct job *j UNUSED)
{
	job_check();
	table_read();
}

static void work_done(struct job *j)
{
	struct work *w = caa_container_of(j, struct work, job);

	REQUIRE(shard_self() == w->sender && j->home == w->sender);
	atomic_fetch_add_explicit(&jobs_done, 1, memory_order_relaxed);
	free(w);
}

static void work_send(unsigned from)
{
	struct work *w = xmalloc(sizeof(*w));
	struct carrier *c = any(2) ? lanes : any(2) ? pool : own;

	w->job.work = c == lanes ? work_lane : work_any;
	w->job.done = work_done;
	w->from = from;
	w->key = any(KEYS);
	w->number = ++jobs_sent[from][w->key];
	w->sender = shard_self();
	if (carrier_submit(c, w->key, &w->job) == CARRIER_FULL) {
		atomic_fetch_add_explicit(&jobs_refused, 1, memory_order_relaxed);
		free(w);
	}
}

static void *send_work(void *arg)
{
	for (unsigned i = 0; i < JOBS; i++)
		work_send((unsigned)(uintptr_t)arg);
	return NULL;
}

static void work_step(struct share *s UNUSED)
{
	work_send(THREADS + shard_index(shard_self()));
}

static void *play_jobs(void *arg UNUSED)
{
	pthread_t threads[THREADS];

	lanes = carrier_new(CARRIER_LANES, 5, 500, "lanes");
	pool = carrier_new(CARRIER_POOL, 0, 500, "pool");
	own = carrier_new(CARRIER_THREAD, 0, 500, "own");
	for (unsigned i = 0; i < THREADS; i++)
		run_thread(&threads[i], send_work, i);
	share_out(JOBS, work_step, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	carrier_free(lanes);
	carrier_free(pool);
	carrier_free(own);
	while (atomic_load(&jobs_done) + atomic_load(&jobs_refused) < SENDERS * JOBS)
		sched_yield(); /* the last done() are on their way home */
	return NULL;
}

/* --- calls: each gets one answer, whatever becomes of the server --- */

enum { SERVERS = 3 };
enum { ADD, FORGET, DIE };

static const char *const names[SERVERS] = { "s0", "s1", "s2" };
static _Atomic unsigned calls_made, outcomes[CALL_DOWN + 1];

struct adder {
	struct server server;
	unsigned sum;
};

static struct next adder_call(struct server *s, struct term *request, struct caller from)
{
	struct adder *a = caa_container_of(s, struct adder, server);

	if (request->kind == ADD)
		call_reply(from, TERM((int)(a->sum += 1)));
	return request->kind == DIE ? server_stopped(STOP_NORMAL) : server_wait_ms(5);
}

static const struct server_class adder_class = {
	SERVER_CLASS("adder", 1, struct adder),
	.call = adder_call,
};

static void call_told(struct actor *asker UNUSED, struct call_answer *a, void *arg)
{
	struct shard *home = arg;

	REQUIRE(shard_self() == home);
	atomic_fetch_add(&outcomes[a->outcome], 1);
}

static int next_request(void)
{
	return any(1000) == 0 ? DIE : any(10) == 0 ? FORGET : ADD;
}

static void call_step(struct share *s UNUSED)
{
	shard_check(NULL);
	atomic_fetch_add(&calls_made, 1);
	server_call(NULL, actor_whereis(names[any(SERVERS)]), TERM(next_request()), 20, call_told,
		shard_self());
}

static void spawn_and_call(void)
{
	for (unsigned i = 0; i < CALLS / 10; i++) {
		const struct start how = { .name = names[any(SERVERS)] };
		struct start_result r =
			server_spawn_wait(shard_at(any(SHARDS)), &adder_class, NULL, &how);
		struct term reply;

		REQUIRE(r.outcome == STARTED || r.outcome == START_ALREADY);
		atomic_fetch_add(&calls_made, 1);
		atomic_fetch_add(&outcomes[server_call_wait(r.id, TERM(ADD), 1000, &reply)], 1);
	}
}

static unsigned answered(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < ARRAY_LEN(outcomes); i++)
		sum += atomic_load(&outcomes[i]);
	return sum;
}

static void *play_calls(void *arg UNUSED)
{
	share_out(CALLS, call_step, spawn_and_call);
	while (answered() < atomic_load(&calls_made))
		sched_yield();
	REQUIRE(answered() == atomic_load(&calls_made));
	REQUIRE(atomic_load(&outcomes[CALL_REPLIED]) > 0);
	for (unsigned i = 0; i < SERVERS; i++)
		server_stop(actor_whereis(names[i]), STOP_SHUTDOWN);
	return NULL;
}

/* --- the stop: mail in the air is still run --- */

struct ball {
	struct msg msg;
	unsigned hops;
};
static _Atomic unsigned balls_caught;

static void ball_run(struct msg *m)
{
	struct ball *b = caa_container_of(m, struct ball, msg);

	if (b->hops-- > 0) {
		shard_post(shard_at(any(SHARDS)), m);
		return;
	}
	free(b);
	atomic_fetch_add(&balls_caught, 1);
}

static void stop_with_mail_in_the_air(void)
{
	for (unsigned i = 0; i < BALLS; i++) {
		struct ball *b = xmalloc(sizeof(*b));

		b->msg.run = ball_run;
		b->hops = i;
		shard_post(shard_at(i % SHARDS), &b->msg);
	}
	shards_stop();
	REQUIRE(atomic_load(&balls_caught) == BALLS);
}

int main(void)
{
	static void *(*const plays[])(void *arg) = { play_mail, play_actors, play_rcu, play_hooks,
		play_jobs, play_calls };
	pthread_t threads[ARRAY_LEN(plays)];

	rcu_set(current, table_new(0));
	REQUIRE(shards_start(SHARDS) == 0 && jobs_start(THREADS) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(plays); i++)
		run_thread(&threads[i], plays[i], 0);
	for (unsigned i = 0; i < ARRAY_LEN(plays); i++)
		pthread_join(threads[i], NULL);
	jobs_stop();
	stop_with_mail_in_the_air();
	free(rcu_get(current));
	printf("cards: %u met, %u missed; jobs: %u done, %u refused; calls: %u replied, %u timed "
	       "out,"
	       " %u to nobody, %u down\n",
		cards_met, cards_missed, jobs_done, jobs_refused, outcomes[CALL_REPLIED],
		outcomes[CALL_TIMEOUT], outcomes[CALL_NOPROC], outcomes[CALL_DOWN]);
	return 0;
}
