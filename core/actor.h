/* core/actor.h - what lives: a small object pinned to one shard and named by an id.
 * The id (shard, slot, generation) may be held by any thread and copied freely; it stops answering
 * when the actor is gone, and never answers for another. An actor never runs on two threads, so
 * its data needs no lock. Mail to it is a struct letter; "gone" is an ordinary answer. */
#pragma once

#include "core/attr.h"
#include "core/shard.h"

struct actor_id {
	uint64_t v; /* 0 is nobody */
};
#define ACTOR_NONE ((struct actor_id){ 0 })
static inline bool actor_id_equal(struct actor_id a, struct actor_id b)
{
	return a.v == b.v;
}

struct behaviour; /* core/gen.h */
struct recipient; /* router/deliver.h's: what a class that takes stanzas does with them */
struct actor_class {
	const char *name; /* "c2s", for logs and the tree */
	const struct behaviour
		*behaviour; /* server or fsm; NULL: an actor that only opens letters */
	const struct recipient *recipient; /* NULL: takes no stanzas. Only carried here */
};

/* Part of its owner's object, usually first. */
struct actor {
	struct actor_id id;
	const struct actor_class *class;
};

/* Takes a slot of the running shard. The id is valid at once. */
ON_SHARD void actor_begin(struct actor *a, const struct actor_class *class);
/* The id goes stale; the object is its owner's to free. */
ON_SHARD void actor_end(struct actor *a);
/* The live actor of an id that names the running shard, or NULL. */
ON_SHARD struct actor *actor_find(struct actor_id id);
/* actor_find() will be asked, if this is its shard. */
ANY_THREAD void actor_soon(struct actor_id id);
ANY_THREAD struct shard *actor_shard(struct actor_id id); /* NULL for ACTOR_NONE */
ANY_THREAD unsigned actor_count(unsigned shard); /* live ones there, about */

struct letter {
	struct msg msg;
	struct actor_id to;
	/* Runs on the addressee's shard and owns l; a is NULL when the addressee is gone. */
	void (*open)(struct actor *a, struct letter *l);
};
/* Takes l. Letters of one sender to one actor arrive in order. ACTOR_NONE: opened with NULL on
 * shard 0. */
ANY_THREAD void letter_post(struct letter *l);

/* For mailbox_look_ahead(): fetches the addressees of what of these messages is letters. */
void letters_soon(struct msg *const *m, unsigned n);

/* Names of this node, as gen_server's {local, Name}. Any thread; a name is held by one actor. */
#define ACTOR_NAME_TAKEN 1
int actor_register(const char *name, struct actor_id id); /* 0 or ACTOR_NAME_TAKEN */
void actor_unregister(const char *name, struct actor_id id); /* only if id holds it */
struct actor_id actor_whereis(const char *name);
