/* router/auth_walk.h - one question on its way through a host's sources of accounts. The same for
 * those who wait (auth_walk_through()) and for requests from shards, which come back between its
 * steps: router/auth_request.c. For router/auth and its neighbours alone; one thread at a time. */
#pragma once

#include "core/timer.h"
#include "router/auth_source.h"

enum auth_purpose {
	TO_KNOW, /* whether there is such an account */
	TO_LOG_IN_BY_VERIFIER,
	TO_LOG_IN_BY_PASSWORD,
	TO_LOG_IN_BY_TOKEN,
};

struct auth_walk {
	enum auth_purpose purpose;
	struct host *host; /* the caller's */
	const char *user;
	uint8_t order[AUTH_SOURCES];
	unsigned n, at;
	bool anonymous; /* nobody is asked about those who come without a name */
	bool recalled; /* whether it is remembered that the password is right has been looked up */
	bool doubt; /* its password was refused: is it an account of this source? */
	bool done;
	int result; /* done */
	struct auth_account account; /* done, and 0 */
	/* The step that is to be taken, when it is ready. */
	bool ready;
	struct auth_source *source; /* counted */
	enum auth_deed deed;
	/* router/auth_request.c's. */
	bool agent_asked;
	struct auth_call *call; /* under way */
	struct timer deadline;
};

bool auth_is_name(const char *user); /* a local part could be that */
/* user: the caller's, as long as the walk. */
void auth_walk_begin(
	struct auth_walk *w, enum auth_purpose purpose, struct host *h, const char *user);
void auth_walk_fini(struct auth_walk *w);
/* Whether there is one more step, which then stands in w->source and w->deed: auth_walk_step()
 * takes it, or auth_walk_told() is told what came of it elsewhere. False: w->result. */
bool auth_walk_on(struct auth_walk *w);
bool auth_walk_must_call(const struct auth_walk *w); /* no job thread can take it */
ON_JOB void auth_walk_step(struct auth_walk *w, const char *password);
/* found may be NULL when result is negative. */
void auth_walk_told(struct auth_walk *w, int result, const struct auth_account *found);
/* All steps; the result. */
ON_JOB int auth_walk_through(struct auth_walk *w, const char *password);

/* router/auth_request.c, for auth_start() and auth_stop(). Block. */
void auth_requests_start(void);
void auth_requests_stop(void); /* what was asked has been answered; not started is fine */
