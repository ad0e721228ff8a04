/* net/s2s_in.h - streams that other servers open to us: ejabberd_s2s_in. Each is an fsm on one
 * shard whose states keep their names: wait_for_stream, wait_for_feature_request,
 * stream_established. What others may do with one. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/mailbox.h"
#include "net/stream.h"

/* Makes a stream of an accepted connection (net/acceptor.h); runs on its shard. */
void s2s_in_accepted(struct msg *m);

/* Ends all of them, for a clean stop: what they have handed to the router is stored first, and
 * acknowledged (XEP-0198). They are gone when s2s_in_count() is 0. */
ANY_THREAD void s2s_in_kick_all(enum stream_condition c);
/* That domain is not ours any more: streams opened to it end, others carry nothing for it. */
ANY_THREAD void s2s_in_kick_domain(const char *ours, enum stream_condition c);
/* The access rules, the hosts' settings or the listeners' options have changed: streams are read as
 * fast as they say now, and those that they would not let in any more end. */
ANY_THREAD void s2s_in_recheck(void);
/* How far they have got what was sent them, both ways: XEP-0198. */
ANY_THREAD void s2s_in_ask(void);
/* Nothing more is read, or is again: while clients go to another process. It is so once the shards
 * have done what was posted to them before. */
ANY_THREAD void s2s_in_freeze(void);
ANY_THREAD void s2s_in_thaw(void);
ANY_THREAD int64_t s2s_in_count(void); /* streams, whether they carry stanzas yet or not */

/* For people: each stream in turn, on its own shard. Blocks, so not on a shard. */
struct s2s_in_info {
	struct actor_id id;
	const char *state; /* "stream_established" */
	const char *theirs, *ours; /* of the stream header; NULL before there is one */
	const struct conf_prefix *address;
	bool tls, bidi, certified; /* its certificate is valid for theirs */
	unsigned pairs; /* of domains that it may carry stanzas for */
	uint64_t received; /* stanzas */
	unsigned unacked; /* that it was sent, both ways, and has not acknowledged (XEP-0198) */
	uint64_t silent_ms;
};
void s2s_in_each(void (*fn)(const struct s2s_in_info *info, void *arg), void *arg);
