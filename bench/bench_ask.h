/* bench/bench_ask.h - questions before a play begins: what does this server offer? (XEP-0030) */
#pragma once

#include "bench/bench_scenario.h"

/* Sends an <iq/> of this type with the payload to an address (NULL: the own account) and waits for
 * the answer. It is good until the next question; "" when none came. */
const char *ask(struct client *c, const char *type, const char *to, const char *payload);
bool answer_is_result(const char *answer);

/* Whether an address says disco#info of this feature, or "category/type" of an identity. NULL: the
 * own account. */
bool ask_has_feature(struct client *c, const char *to, const char *feature);
bool ask_has_identity(struct client *c, const char *to, const char *category, const char *type);
/* The first of the domain's services (disco#items) with this identity; false: there is none. */
bool ask_for_service(
	struct client *c, const char *category, const char *feature, char *out, size_t room);
/* Whether the stream's features, once logged in, hold this namespace. */
bool stream_offers(const struct client *c, const char *ns);

/* The bare JID of an account. */
void bare_jid(const struct client *c, char *out, size_t room);
/* Which of our users an address names, in whatever resource: its client's number, or -1. */
int64_t user_of(const struct client *c, const char *address, size_t len);
