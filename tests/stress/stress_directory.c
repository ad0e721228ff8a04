/* Sessions enter, change and leave the directory on several threads while others look them up.
 * What a reader finds must be whole: the account it asked for, a session not freed yet. Freed
 * sessions are overwritten first, so that a late reader is seen even without a sanitizer. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/directory.h"

enum { WRITERS = 3, READERS = 3, ACCOUNTS = 2048, ROUNDS = 40000, TIDE = 5000 };

#define ALIVE 0x11f3

struct stressed {
	struct session session;
	struct rcu_head rcu;
};

static _Atomic int writing = WRITERS;
static _Atomic uint64_t found, missed;

static void stressed_free(struct rcu_head *head)
{
	struct stressed *st = container_of(head, struct stressed, rcu);

	REQUIRE(st->session.port == ALIVE);
	jid_free(st->session.jid);
	memset(&st->session, 0xdd, sizeof(st->session));
	free(st);
}

static struct stressed *stressed_new(unsigned account, unsigned resource, uint64_t id)
{
	struct stressed *st = xcalloc(1, sizeof(*st));
	AUTO(free_ptr) char *text = xprintf("user%u@stress.example/r%u", account, resource);

	REQUIRE(!jid_parse(text, strlen(text), NULL, &st->session.jid));
	st->session.id.v = id;
	st->session.port = ALIVE;
	return st;
}

/* Accounts come for a while and then go, so that the table grows and shrinks. */
static bool rises(unsigned round, unsigned *seed)
{
	return round / TIDE % 2 == 0 || rand_r(seed) % 8 == 0;
}

/* Each writer has its own resources, so that it knows what must be there; accounts are shared. */
static void *write_sessions(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, seed = me + 1;
	struct stressed *mine[ACCOUNTS] = { 0 };
	uint64_t next_id = ((uint64_t)me << 32) + 1;

	rcu_thread_begin();
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned a = (unsigned)rand_r(&seed) % ACCOUNTS;
		struct actor_id holder;

		if (!mine[a]) {
			if (!rises(round, &seed))
				continue;
			mine[a] = stressed_new(a, me, next_id++);
			REQUIRE(!directory_enter(&mine[a]->session, 100, &holder));
		} else if (rises(round, &seed) && rand_r(&seed) % 3) {
			const struct session_entry *e;
			int priority = rand_r(&seed) % 256 - 128;

			directory_presence(&mine[a]->session, true, priority);
			e = directory_find_full(mine[a]->session.jid);
			REQUIRE(e && e->session == &mine[a]->session && e->priority == priority);
		} else {
			REQUIRE(directory_leave(&mine[a]->session));
			REQUIRE(!directory_find_full(mine[a]->session.jid));
			rcu_later(&mine[a]->rcu, stressed_free);
			mine[a] = NULL;
		}
		if (round % 16 == 0)
			rcu_quiescent();
	}
	for (unsigned a = 0; a < ACCOUNTS; a++) {
		if (!mine[a])
			continue;
		REQUIRE(directory_leave(&mine[a]->session));
		rcu_later(&mine[a]->rcu, stressed_free);
	}
	atomic_fetch_sub(&writing, 1);
	rcu_thread_end();
	return NULL;
}

static void look_up(const struct jid *bare)
{
	const struct sessions *s = directory_find(bare);

	atomic_fetch_add_explicit(s ? &found : &missed, 1, memory_order_relaxed);
	for (unsigned i = 0; s && i < s->n; i++) {
		REQUIRE(s->at[i].session->port == ALIVE);
		REQUIRE(jid_equal_bare(s->at[i].session->jid, bare));
		REQUIRE(s->at[i].session->id.v == s->at[i].id.v);
	}
}

static void *read_sessions(void *arg)
{
	unsigned seed = 1000 + (unsigned)(uintptr_t)arg;
	struct jid *bare[ACCOUNTS];

	for (unsigned a = 0; a < ACCOUNTS; a++) {
		AUTO(free_ptr) char *text = xprintf("user%u@stress.example", a);

		REQUIRE(!jid_parse(text, strlen(text), NULL, &bare[a]));
	}
	rcu_thread_begin();
	while (atomic_load(&writing)) {
		for (int i = 0; i < 32; i++)
			look_up(bare[(unsigned)rand_r(&seed) % ACCOUNTS]);
		rcu_quiescent();
	}
	rcu_thread_end();
	for (unsigned a = 0; a < ACCOUNTS; a++)
		jid_free(bare[a]);
	return NULL;
}

int main(void)
{
	pthread_t threads[WRITERS + READERS];
	bool reading;

	rcu_thread_begin();
	directory_init();
	for (uintptr_t i = 0; i < WRITERS + READERS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL,
			i < WRITERS ? write_sessions : read_sessions, (void *)i));
	reading = rcu_offline();
	for (unsigned i = 0; i < WRITERS + READERS; i++)
		pthread_join(threads[i], NULL);
	rcu_online(reading);
	REQUIRE(directory_count() == 0);
	REQUIRE(atomic_load(&found) > 0);
	rcu_wait_later();
	directory_fini();
	rcu_thread_end();
	printf("found %llu, missed %llu\n", (unsigned long long)found, (unsigned long long)missed);
	return 0;
}
