/* router/auth_cache.h - what sources of accounts have said, for a while: per host, of bounded size,
 * the least used goes first. For router/auth alone. Names are kept as digests that only this server
 * can make. Any thread. */
#pragma once

#include "router/auth.h"

struct auth_cache;
void auth_cache_free(struct auth_cache *c); /* NULL is fine */

/* Whether the source knew the account, when it last said so. */
enum auth_known { AUTH_UNKNOWN, AUTH_KNOWN_YES, AUTH_KNOWN_NO };
/* stale: also what is older than auth_cache_life_time. */
enum auth_known auth_cache_ask(
	struct host *h, enum auth_method source, const char *user, bool stale);
void auth_cache_note(struct host *h, enum auth_method source, const char *user, bool exists);
/* A password that the source has said is right; only its salted hash is kept. Recalled: it is that
 * one, and was right at most so many milliseconds ago. In equal time, about, for what is not
 * there. */
ON_JOB void auth_cache_remember(
	struct host *h, enum auth_method source, const char *user, const char *password);
ON_JOB bool auth_cache_recall(struct host *h, enum auth_method source, const char *user,
	const char *password, uint64_t within_ms);
void auth_cache_forget(struct host *h, const char *user); /* of all sources */
void auth_cache_clear(struct host *h); /* all of it */
