/* net/s2s.h - what the incoming and the outgoing streams between servers want of each other. */
#pragma once

#include "core/attr.h"
#include "core/mailbox.h"
#include "net/stream.h"

/* --- dialback from the receiving server's side: XEP-0220 §2.2 --- */

enum s2s_verdict {
	S2S_VALID, /* <db:verify type='valid'/> */
	S2S_INVALID, /* type='invalid' */
	S2S_ITEM_NOT_FOUND, /* type='error': their server knows no such domain */
	S2S_REMOTE_NOT_FOUND, /* there is no way to their server */
	S2S_REMOTE_TIMEOUT, /* it did not answer in time */
	S2S_REMOTE_FAILED, /* it answered something else, or closed */
};

/* A question to the server of theirs: did you send that key on that stream? Part of its owner's
 * object; the texts are the owner's and stay until done(). */
struct s2s_verify {
	const char *ours; /* prepared domains */
	const char *theirs;
	const char *stream_id; /* the id that we gave the incoming stream */
	const char *key;
	/* Once, on the asking shard, never from within s2s_verify(); v is the owner's again. */
	void (*done)(struct s2s_verify *v);
	/* Filled in before done(). */
	enum s2s_verdict verdict;
	const char *why; /* static text for the log, NULL for S2S_VALID */
	/* Private. */
	struct msg msg;
	struct shard *asker;
	struct s2s_verify *next;
};
/* On the link to theirs if there is one, else on one that is opened for it, as the settings ask
 * (STARTTLS). Bounded by the setting s2s_negotiation_timeout. */
ON_SHARD void s2s_verify(struct s2s_verify *v);

/* --- dialback from the other side, on a stream of ours that goes both ways --- */

/* <db:verify/> or <db:result/> with a key in it, which is answered. Does not take s. */
ON_SHARD void s2s_dialback_asked(struct stream *st, struct stanza *s);
