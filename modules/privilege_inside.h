/* modules/privilege_inside.h - what the files of mod_privilege share: privilege.c (grants,
 * messages, requests, rosters) and privilege_presence.c. */
#pragma once

#include <pthread.h>

#include "modules/module.h"

#define HEARD_LAST 1024 /* contacts whose last presence is remembered, to tell it once */

enum { GET = 1, SET = 2 };
enum { PRESENCE_NONE, PRESENCE_MANAGED, PRESENCE_ROSTER };

/* What one component may do. */
struct grant_iq {
	char *ns; /* owned */
	uint8_t types; /* GET, SET */
};
struct grant {
	struct jid *jid; /* owned */
	uint8_t roster; /* GET, SET */
	uint8_t presence;
	bool push, message;
	unsigned n_iq;
	struct grant_iq *iq; /* owned */
};
struct grants {
	struct rcu_head rcu;
	unsigned n;
	struct grant at[];
};

/* Of one host. */
struct privilege {
	pthread_mutex_t lock; /* of who makes new grants; held for short */
	RCU_PTR(struct grants) grants;
	/* A contact's presence as it was last told: hashes of who and what. Any thread; relaxed. */
	_Atomic uint64_t heard[HEARD_LAST];
};

/* --- modules/privilege_presence.c --- */

/* To a component that has just connected: the presence of all who are there. */
ON_SHARD void privilege_tell_who_is_there(struct host *h, const struct grant *g);
/* Hook functions: of session_presence_hook and of foreign_stanza_hook. */
enum hook_next privilege_presence_out(void *subject, void *arg);
enum hook_next privilege_presence_in(void *subject, void *arg);
