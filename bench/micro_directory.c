/* bench/micro_directory.c - who is connected, asked for every stanza: of few, of many. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/micro.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "router/directory.h"

#define ASKED_MAX 262144u /* different ones in turn, so that no cache holds what they need */

static struct session *sessions; /* owned */
static struct arena asked_arena;
static const struct jid **asked; /* owned; as they come in a stanza's `to`: copies */
static unsigned n_asked, next;

static void enter(struct session *ss, unsigned number)
{
	struct actor_id holder;
	char local[32];

	snprintf(local, sizeof(local), "user%u", number);
	REQUIRE(jid_make(local, "capulet.example", "balcony", NULL, &ss->jid) == JID_OK);
	ss->id.v = number + 1;
	REQUIRE(directory_enter(ss, 10, &holder) == 0);
}

static void begin_directory(const struct micro *m)
{
	uint64_t seed = 1;

	directory_init();
	sessions = xcalloc(m->size, sizeof(*sessions));
	for (unsigned i = 0; i < m->size; i++) {
		enter(&sessions[i], i);
		rcu_quiescent(); /* so that the table grows */
	}
	rcu_wait_later(); /* until it has grown */
	n_asked = m->size < ASKED_MAX ? m->size : ASKED_MAX;
	asked = xcalloc(n_asked, sizeof(*asked));
	arena_init(&asked_arena, NULL, 0);
	for (unsigned i = 0; i < n_asked; i++)
		asked[i] = jid_dup(sessions[micro_random(&seed) % m->size].jid, &asked_arena);
	next = 0;
}

static void end_directory(const struct micro *m)
{
	for (unsigned i = 0; i < m->size; i++)
		directory_leave(&sessions[i]);
	rcu_wait_later();
	for (unsigned i = 0; i < m->size; i++)
		jid_free(sessions[i].jid);
	directory_fini();
	arena_fini(&asked_arena);
	free(asked);
	free(sessions);
}

static void look_up(const struct micro *m UNUSED, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct session_entry *e = directory_find_full(asked[next]);

		REQUIRE(e);
		micro_keep(e);
		next = next + 1 == n_asked ? 0 : next + 1;
	}
	rcu_quiescent();
}

const struct micro micros_directory[] = { { "directory: look-up, of 1 k", 1000, begin_directory,
						  look_up, end_directory },
	{ "directory: look-up, of 100 k", 100000, begin_directory, look_up, end_directory },
	{ "directory: look-up, of 1 M", 1000000, begin_directory, look_up, end_directory }, { 0 } };
