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
void auth_cache_forget(struct host *h, const char *user); /* of all sources */
void auth_cache_clear(struct host *h); /* all of it */
