/* router/presence.h - presence between accounts: RFC 6121 §4 beyond the account's own resources,
 * which router/session.c serves, and where subscriptions (§3) leave the stanza's way for the roster
 * module. Contacts are read from the account's snapshot; each session's presence is told on its own
 * shard, so that what one contact hears of one session comes in order. */
#pragma once

#include "core/attr.h"
#include "core/hook.h"
#include "router/directory.h"
#include "router/host.h"
#include "router/session.h"
#include "xml/stanza.h"

/* ss has become available, changed its presence or become unavailable (§4.2.2, §4.4.2, §4.5.2): to
 * all contacts that are subscribed. s: sealed, not taken. */
ON_SHARD void presence_broadcast(struct session *ss, struct stanza *s);
/* Whether broadcasts of ss go to that address's account. Any thread that may read ss. */
bool presence_reaches(const struct session *ss, const struct jid *whom);
/* ss has become available: where do its contacts stand (§4.2.2, §4.3.1)? Those here tell it by
 * themselves, other servers are probed. */
ON_SHARD void presence_probe(struct session *ss);
/* The same of one contact, for all available resources of an account that has just been subscribed
 * to it. Does nothing when the contact is not one of ours. Any RCU-registered thread. */
void presence_probe_one(const struct jid *account, const struct jid *contact);

/* Each available resource of the account tells `whom` where it stands (PRES_AVAILABLE), after s has
 * been routed, or that it is gone (PRES_UNAVAILABLE), before. Takes s; NULL: nothing. Any
 * RCU-registered thread. */
void presence_tell(
	const struct jid *account, const struct jid *whom, enum stanza_type type, struct stanza *s);

/* Runs for each contact that a session's presence would be told by a broadcast or an answer
 * (PRESENCE_OUT), and for each that would be asked for its own (PRESENCE_IN). Who returns HOOK_STOP
 * withholds it. That a session has gone is told by presence_tell() all the same. */
struct presence_withheld {
	const struct session *session; /* constant part, and account_of() */
	const struct jid *contact;
	enum presence_way { PRESENCE_OUT, PRESENCE_IN } way;
};
extern struct hook presence_withheld_hook; /* subject: struct presence_withheld; on a shard or,
					    * for PRESENCE_IN, in the account's lane */

/* Whom the account hides from has changed (router/privacy.h): those who were told otherwise before,
 * by the snapshot `was`, hear that it is gone, and those from whom it hides no longer, where it
 * stands. Takes was; after account_changed(). Any RCU-registered thread. */
void presence_hiding_changed(const struct jid *account, struct account *was);
/* The same of one session, whose active list has changed. */
ON_SHARD void presence_hiding_changed_of(
	struct session *ss, const struct account *was, uint8_t active_was);

/* Subscriptions and probes to an account of ours: §3.1.3 and others, §4.3.2. all: its sessions or
 * NULL. Does not take s. */
ON_SHARD void presence_to_account(struct host *h, const struct sessions *all, struct stanza *s);
/* A subscription that a client sends: §3.1.2 and others. Takes s, sealed. */
ON_SHARD void presence_subscription_out(struct session *ss, struct stanza *s);

/* Runs for each of them, and for probes to accounts that nobody is connected to. Who takes care of
 * it returns HOOK_STOP and keeps a reference of its own. */
struct subscription {
	struct host *host;
	struct stanza *stanza; /* sealed */
	enum subscription_way { SUBSCRIPTION_IN, SUBSCRIPTION_OUT } way;
};
extern struct hook subscription_hook; /* subject: struct subscription; on a shard */
