/* tests/support/puppets.h - children that do as they are told, and a journal of what they did:
 * "+a" began, "-a" was asked to stop or ended. For tests of supervisors. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/server.h"
#include "core/supervisor.h"
#include "tests/support/on_shard.h"

static char journal[4096];
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;

static void journal_note(char sign, const char *name)
{
	size_t len;

	pthread_mutex_lock(&journal_lock);
	len = strlen(journal);
	snprintf(journal + len, sizeof(journal) - len, "%s%c%s", len ? " " : "", sign, name);
	pthread_mutex_unlock(&journal_lock);
}

/* The caller frees; the journal is empty then. */
UNUSED static char *journal_take(void)
{
	char *taken;

	pthread_mutex_lock(&journal_lock);
	taken = xstrdup(journal);
	journal[0] = 0;
	pthread_mutex_unlock(&journal_lock);
	return taken;
}

/* What init's arg says. */
struct strings {
	const char *name; /* in the journal */
	_Atomic int fails; /* so many starts fail; -1: all */
	_Atomic bool ignores;
};
struct puppet {
	struct server server;
	struct strings *strings;
};

static struct next puppet_init(struct server *s, void *arg)
{
	struct puppet *p = caa_container_of(s, struct puppet, server);
	int fails;

	p->strings = arg;
	fails = atomic_load(&p->strings->fails);
	if (fails > 0)
		atomic_fetch_sub(&p->strings->fails, 1);
	if (fails) {
		journal_note('!', p->strings->name);
		return server_stopped("broken strings");
	}
	if (atomic_load(&p->strings->ignores))
		return server_ignore();
	journal_note('+', p->strings->name);
	return server_wait();
}

static void puppet_terminate(struct server *s, const char *reason UNUSED)
{
	journal_note('-', caa_container_of(s, struct puppet, server)->strings->name);
}

static const struct server_class puppet_class = {
	SERVER_CLASS("puppet", 1, struct puppet),
	.init = puppet_init,
	.terminate = puppet_terminate,
};
#define PUPPET_CHILD(strings_, ...) ACTOR_CHILD(&puppet_class.gen, .arg = (strings_), ##__VA_ARGS__)

static inline void puppets_pass(void *arg UNUSED)
{
}

/* Each shard takes its mail so often: as far as a chain of so many letters goes. */
static inline void rounds(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned s = 0; s < shards_count(); s++)
			on_shard(s, puppets_pass, NULL);
}

/* What has begun is through, as far as it does not wait for a timer, a thread or a process: twice
 * as many rounds as the longest move in these tests has letters. */
UNUSED static void calm(void)
{
	rounds(60);
}

/* The same where it is known how much the journal is to say: sooner. */
UNUSED static void calm_after(size_t journal_len)
{
	for (unsigned i = 0; i < 20; i++) {
		size_t len;

		rounds(8);
		pthread_mutex_lock(&journal_lock);
		len = strlen(journal);
		pthread_mutex_unlock(&journal_lock);
		if (len >= journal_len)
			break;
	}
	rounds(8);
}

#define ASK_MS 30000
/* When a timer of so long is over for certain: it may be a 64th late. */
#define PAST(ms) ((ms) + (ms) / 32)

UNUSED static struct supervisor_answer *ask_id(
	struct actor_id sup, enum supervisor_request_kind kind, const char *id)
{
	return supervisor_ask_wait(
		sup, &(struct supervisor_request){ .kind = kind, .id = id }, ASK_MS);
}

UNUSED static struct supervisor_answer *ask_start(
	struct actor_id sup, const struct child_spec *spec, void *extra)
{
	return supervisor_ask_wait(sup,
		&(struct supervisor_request){
			.kind = START_CHILD, .spec = spec, .extra = TERM_OF(0, extra, NULL) },
		ASK_MS);
}

UNUSED static enum supervisor_outcome outcome_of(struct supervisor_answer *a)
{
	enum supervisor_outcome outcome = a->outcome;

	free(a);
	return outcome;
}

/* The child's row; .id is "" when there is none. */
UNUSED static struct child_row row_of(struct actor_id sup, const char *id)
{
	AUTO(free_ptr) struct supervisor_answer *a = ask_id(sup, WHICH_CHILDREN, NULL);

	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->rows[i].id, id) == 0)
			return a->rows[i];
	return (struct child_row){ 0 };
}

/* Whether the supervisor still answers. */
UNUSED static bool lives(struct actor_id sup)
{
	return outcome_of(ask_id(sup, WHICH_CHILDREN, NULL)) == SUPERVISOR_OK;
}
