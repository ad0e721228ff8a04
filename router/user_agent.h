/* router/user_agent.h - the clients that log in to an account, each by the id that its installation
 * gives itself (XEP-0388 §2.3), and the tokens they may log in with (XEP-0484). What XEP-0494 lists
 * and takes away. Of a token only its hash is kept (net/hashed_token.h), of a password nothing at
 * all.
 *
 * A client has at most two tokens: the one it uses, and one it was given since and has not used yet
 * (XEP-0484 §5.1). An account has at most max_user_agents clients; who is not seen for
 * user_agent_lifetime and has no token is forgotten.
 *
 * Nothing here without a database: then nobody is known, and -ENOSYS is returned. Names are
 * prepared local parts. Times are seconds since 1970. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/db.h"
#include "core/hook.h"
#include "router/host.h"
#include "xml/jid.h"

#define TOKEN_HASH 32
struct token {
	uint8_t hash[TOKEN_HASH]; /* SHA-256 of its text */
	uint8_t mechanism; /* the only one it is good for: a number of net/hashed_token.h */
	int64_t issued;
	int64_t expires; /* 0: there is no token */
	int64_t count; /* the highest that came with it; 0: none did */
};
enum token_slot { TOKEN_FRESH, TOKEN_CURRENT, TOKEN_SLOTS };

enum { USER_AGENT_PASSWORD = 1 }; /* ways: it has shown that it knows the account's password */
#define USER_AGENT_ID 36 /* characters of a UUID */
#define USER_AGENT_TEXT 128 /* bytes kept of each text; a longer one is cut */
struct user_agent {
	char id[USER_AGENT_ID + 1]; /* in lower case; "": none */
	char software[USER_AGENT_TEXT + 1], device[USER_AGENT_TEXT + 1]; /* "": not told */
	int64_t first_seen, last_seen;
	unsigned ways;
	struct token tokens[TOKEN_SLOTS];
};

/* Reads what a client calls its id: false, it is no UUID (RFC 4122 §3). Any thread, like the next
 * two.
 */
bool user_agent_read_id(const char *text, char out[USER_AGENT_ID + 1]);
/* Copies a text of the client's, cut where it is too long, between two characters. */
void user_agent_text(const char *text, char out[USER_AGENT_TEXT + 1]);
/* A number for it that tells an account's clients apart; never 0. 0 for no id. */
uint64_t user_agent_key(const char *id);
/* Whether it can log in at that time by what is known of it. */
bool user_agent_has_access(const struct user_agent *ua, int64_t now);
bool user_agent_has_token(const struct user_agent *ua, int64_t now); /* one that has not expired */

/* When one was seen last is known to so many seconds. */
#define USER_AGENT_SEEN_S 60

#define USER_AGENT_UNKNOWN 1
/* 0, USER_AGENT_UNKNOWN, or a negative errno. */
ON_JOB int user_agent_find(
	struct host *h, const char *user, const char *id, struct user_agent *out);
/* All of an account, by when they were seen first. 0 or a negative errno. */
ON_JOB int user_agent_each(struct host *h, const char *user,
	void (*fn)(const struct user_agent *ua, void *arg), void *arg);
/* Forgets it with its tokens, and runs user_agent_revoked_hook. 0, USER_AGENT_UNKNOWN, or a
 * negative errno. */
ON_JOB int user_agent_revoke(struct host *h, const char *user, const char *id);
struct user_agent_revoked {
	const struct jid *account; /* bare */
	uint64_t user_agent; /* as in struct session */
};
extern struct hook
	user_agent_revoked_hook; /* on a job thread; subject: struct user_agent_revoked */
/* No token of these clients serves any more; user or software NULL: whatever it is. How many
 * clients had one, or a negative errno. Sessions go on. */
ON_JOB int user_agents_revoke_tokens(struct host *h, const char *user, const char *software);
/* No token of the account serves any more, and nobody is known to know the password. */
ON_JOB int user_agents_disown(struct host *h, const char *user);
ON_JOB int user_agents_remove(struct host *h, const char *user); /* the account is gone */

/* A login that succeeded, to be written down. Made by user_agent_visit_new(), filled in by the
 * caller, gone when done() has returned, or for want of a done() by itself. */
struct user_agent_visit {
	struct user_agent agent; /* id, and the texts it told: in place of the older ones, if any */
	bool by_token; /* else by password */
	uint8_t used[TOKEN_HASH]; /* by_token: the hash of which */
	uint32_t count; /* by_token: what came with it */
	bool invalidate; /* by_token: it logs out: its tokens go */
	struct token fresh; /* to be given to it, or .expires 0 */
	void (*done)(struct user_agent_visit *v); /* on the shard that asked; result tells */
	struct actor_id stream; /* the caller's: whom done() tells */
	int result; /* 0 or a negative errno; -ENOENT: the token has been taken away meanwhile */
	/* Private. */
	struct db_work work;
	struct host *host; /* counted */
	char *user; /* owned */
	int64_t now, lifetime_s, max;
};
struct user_agent_visit *user_agent_visit_new(
	struct host *h, const char *user, const struct user_agent *agent);
void user_agent_visit_free(struct user_agent_visit *v); /* before it was noted; wipes */
/* 0: noted, v is not the caller's any more. -EAGAIN: too much waits to be written; -ENOSYS. */
ON_SHARD int user_agent_note(struct user_agent_visit *v) MUST_USE;

ON_JOB int user_agents_start(struct db *db); /* router/auth's: makes the table */
