/* router/auth_source.h - one source of accounts of one host: a backend, and how it is called.
 * For router/auth and its neighbours alone. A backend that answers at once runs wherever it is
 * asked. One that waits for others (threads > 0) runs on threads of its own, so that whoever asks
 * it can stop waiting: what it holds up when it hangs is these threads and its own queue. */
#pragma once

#include "core/mailbox.h"
#include "router/auth.h"

enum auth_deed {
	AUTH_DO_FIND,
	AUTH_DO_EXISTS,
	AUTH_DO_CHECK,
	AUTH_DO_CREATE,
	AUTH_DO_SET_PASSWORD,
	AUTH_DO_REMOVE,
};

/* The source that has this place on the host, counted, or NULL. Any registered thread. */
struct auth_source *auth_source_hold(struct host *h, enum auth_method m);
void auth_source_drop(struct auth_source *s); /* NULL is fine */

void auth_sources_forget(struct host *h); /* that nobody removed: the host is being freed */

/* Good as long as the source. */
struct auth_source_part {
	const struct auth_backend *backend;
	void *arg;
	struct auth_source_conf conf;
};
const struct auth_source_part *auth_source_part(const struct auth_source *s);
bool auth_source_is_slow(const struct auth_source *s); /* it has threads of its own */

/* A call to a source with threads of its own, from any thread. */
struct auth_call {
	enum auth_deed deed;
	int result;
	struct auth_account account; /* of AUTH_DO_FIND */
	void *asker; /* the caller's, who may set it NULL until done() */
	void (*done)(struct auth_call *c); /* owns c: auth_call_free() */
	/* Private. */
	struct auth_source *source; /* counted */
	struct host *host; /* counted */
	char *user, *password; /* owned */
	struct shard *home;
	struct msg msg;
	struct auth_call *next;
	uint64_t asked_ms;
	_Atomic bool unwanted;
	bool waited_for, answered; /* under the source's lock: somebody is in auth_source_do() */
};
/* done() comes on the shard that asks, or on a thread of the source's when none does. password may
 * be NULL. NULL: too many wait, and nothing was begun. */
struct auth_call *auth_source_ask(struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password, void (*done)(struct auth_call *c), void *asker);
/* Nobody wants the answer any more: it is not asked if it still waits. done() comes all the same.
 */
void auth_call_unwanted(struct auth_call *c);
void auth_call_free(struct auth_call *c);

/* The same, and the caller waits: at most the source's time-out, and not at all while the source
 * has been silent for long. out: of AUTH_DO_FIND, may be NULL. */
ON_JOB int auth_source_do(struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password, struct auth_account *out);

/* For operators. */
struct auth_source_state {
	unsigned threads, running, waiting; /* of its own; calls */
	uint64_t silent_ms; /* how long it has answered none of them */
};
void auth_source_state(struct auth_source *s, struct auth_source_state *out);
