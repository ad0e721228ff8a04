/* core/mail.h - the letters that servers and state machines understand. For core/gen.c, core/call.c
 * and the two behaviours alone. */
#pragma once

#include <urcu/list.h>

#include "core/actor.h"
#include "core/term.h"

enum mail_kind {
	MAIL_CAST, /* server: cast; fsm: event for the state it is in */
	MAIL_CAST_ANY, /* fsm: event for any state */
	MAIL_CALL, /* server: call; fsm: sync event */
	MAIL_CALL_ANY, /* fsm: sync event for any state */
	MAIL_INFO, /* anything else */
	MAIL_TIMEOUT, /* never posted: the idle timeout */
	MAIL_STOP, /* term.data: the reason */
	MAIL_TRACE, /* term.kind: on or off */
	MAIL_UPGRADE, /* a call; term.data: gen.c's */
};

struct mail {
	struct letter letter;
	struct cds_list_head node; /* waits: for the start to end, or for its answer */
	enum mail_kind kind;
	struct term term;
};

static inline bool mail_is_call(const struct mail *m)
{
	return m->kind == MAIL_CALL || m->kind == MAIL_CALL_ANY || m->kind == MAIL_UPGRADE;
}

/* gen.c: posts mail that is no call; takes t. */
ANY_THREAD void mail_send(struct actor_id to, enum mail_kind kind, struct term t);
/* gen.c: what mail is opened with. */
void mail_open(struct actor *a, struct letter *l);

/* call.c, for mail_is_call() only. The call waits in list until call_reply() or call_refuse(). */
struct caller;
ON_SHARD struct caller call_keep(struct mail *m, struct cds_list_head *list);
/* Tells the caller an enum call_outcome other than CALL_REPLIED; m may have been kept or not. */
ON_SHARD void call_refuse(struct mail *m, int outcome);
