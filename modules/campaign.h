/* modules/campaign.h - one message to a great many: to everybody who is connected, or to every
 * account, of one host or of all. Sent from the job threads in small batches, so fast and no
 * faster; a shard's timer is the clock. Not kept: it ends with the server. */
#pragma once

#include "core/actor.h"
#include "router/host.h"
#include "xml/stanza.h"

/* What is said. Copied by whoever keeps it. */
struct notice {
	const char *subject; /* NULL: none */
	const char *body;
	const char *lang; /* xml:lang, as its author says; NULL: none */
};
#define NOTICE_BYTES_MAX 32768 /* subject and body */
/* From the host, to an address; a headline when it is for now, a normal message when it is for
 * whenever its receiver comes. Sealed. */
enum notice_for { NOTICE_NOW, NOTICE_WHENEVER };
struct stanza *notice_message(
	const struct notice *n, const char *host, const char *to, enum notice_for when);

enum campaign_to {
	CAMPAIGN_ONLINE, /* every session */
	CAMPAIGN_ALL, /* every account, present or not */
};
struct campaign_order {
	enum campaign_to to;
	struct host *const *hosts; /* each counted by the caller */
	size_t n_hosts;
	struct notice notice;
	int64_t per_second;
	/* Before each batch of addresses is sent to, on a job thread; each is a full JID
	 * (CAMPAIGN_ONLINE) or a bare one. May block. NULL: nothing. */
	void (*batch)(struct host *h, const char *const *addresses, unsigned n, int64_t arg);
	int64_t arg;
};
#define CAMPAIGNS_MAX 8 /* under way at once */

/* Between these two there can be campaigns; they count. campaigns_close() ends those under way with
 * its last call. Threads that may block. */
void campaigns_open(void);
void campaigns_close(void);
/* 0 and its number in *out_id; -EMSGSIZE: it says too much, -EINVAL: nothing; -EAGAIN: too many are
 * under way; -ENODEV: not between open and close. Any registered thread but a shard. */
int campaign_begin(const struct campaign_order *order, unsigned *out_id);
/* Stops after the batch that is being sent. false: there is none of that number under way. */
bool campaign_cancel(unsigned id);

struct campaign_state {
	unsigned id;
	enum campaign_to to;
	const char *host; /* NULL: several */
	uint64_t sent, total; /* total: about, and grows as hosts are counted */
	int64_t begun_s; /* since 1970 */
	const char *state; /* "waiting", "sending", "done", "cancelled", "failed" */
};
/* Those under way and the last ones that ended, oldest first. Not on a shard. */
void campaign_each(void (*fn)(const struct campaign_state *s, void *arg), void *arg);
