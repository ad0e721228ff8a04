/* modules/question.h - a request that the server makes itself, in its own name or an account's, and
 * what is answered. Part of a larger object. Each belongs to the shard that asked; an answer that
 * comes in elsewhere hops there. Its id cannot be guessed, and only who was asked answers it. */
#pragma once

#include <urcu/list.h>

#include "core/attr.h"
#include "core/hook.h"
#include "core/timer.h"
#include "xml/stanza.h"

#define QUESTION_ID_MAX 48
#define QUESTIONS_MAX 4096 /* of one shard, that wait for an answer */

struct question {
	char id[QUESTION_ID_MAX]; /* of the request, from question_begin() on */
	/* On the asking shard; owns q. answer NULL: none came in time. Otherwise a result or an
	 * error, sealed, and not to be kept without a reference. */
	void (*done)(struct question *q, struct stanza *answer);
	void (*drop)(struct question *q); /* the shard ends first; owns q, and routes nothing */
	/* Private. */
	struct cds_list_head node;
	struct timer timer;
	struct jid *whom; /* owned */
	uint64_t key;
};

/* q waits for an answer of whom, for so long; the caller then routes a request with q->id. False:
 * too many wait already, and q is still the caller's. */
ON_SHARD bool question_begin(struct question *q, const struct jid *whom, uint64_t ms) MUST_USE;
/* hook_fn of host_answer_hook: any module that asks has it in its hooks, at 40. */
enum hook_next question_answered(void *subject, void *arg);
