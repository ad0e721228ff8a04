/* core/call.h - requests with an answer, under a deadline: gen_server's call, multi_call and reply.
 * A caller on a shard names the function that takes the answer; a job or any other thread may wait.
 * Behind a call stands a small actor on the caller's shard: it is the middleman that drops an
 * answer that comes too late, and a token names another one where the request lies unanswered, so
 * that a token copied, kept or used twice is harmless. */
#pragma once

#include "core/actor.h"
#include "core/mail.h"
#include "core/term.h"

#define CALL_MS 5000 /* the usual deadline */
#define CALL_FOREVER UINT64_MAX

enum call_outcome {
	CALL_REPLIED,
	CALL_TIMEOUT, /* no answer within the deadline */
	CALL_NOPROC, /* there is no such server */
	CALL_DOWN, /* it ended before it answered */
};
struct call_answer {
	enum call_outcome outcome;
	struct term reply; /* CALL_REPLIED only; what the receiver does not take is dropped */
};
/* Called exactly once, on the caller's shard, never from within the call itself. asker: as given,
 * or NULL when that actor is gone by now (or none was given). */
typedef void call_fn(struct actor *asker, struct call_answer *a, void *arg);

/* Who waits for an answer. To be copied freely, kept, and used once; later uses do nothing. */
struct caller {
	struct actor_id asked;
};
/* Takes answer. From the handler itself, later, or from another thread. */
ANY_THREAD void call_reply(struct caller to, struct term answer);

/* What server.h and fsm.h are made of; takes request. */
ON_SHARD void call_begin(struct actor *asker, struct actor_id to, enum mail_kind kind,
	struct term request, uint64_t deadline_ms, call_fn *fn, void *arg);
/* Blocks: a job or another thread that is no shard. What it finds in *reply the caller drops. */
ANY_THREAD enum call_outcome call_wait(struct actor_id to, enum mail_kind kind, struct term request,
	uint64_t deadline_ms, struct term *reply);

/* --- to many at once --- */

struct call_target {
	struct actor_id id;
	const char *name; /* of this node; looked up when id is ACTOR_NONE */
};
struct call_answers {
	unsigned n, n_bad; /* bad: not CALL_REPLIED */
	struct call_answer at[]; /* at[i] is from targets[i] */
};
/* Makes one more of a term; NULL where terms have nothing to destroy. */
typedef struct term term_copy(const struct term *t);
typedef void multi_call_fn(struct actor *asker, struct call_answers *a, void *arg);

/* Takes request. fn is called when all have answered or failed. */
ON_SHARD void multi_call_begin(struct actor *asker, const struct call_target *targets, unsigned n,
	struct term request, term_copy *copy, uint64_t deadline_ms, multi_call_fn *fn, void *arg);
/* Blocks: never on a shard. */
ANY_THREAD struct call_answers *multi_call_wait(const struct call_target *targets, unsigned n,
	struct term request, term_copy *copy, uint64_t deadline_ms);
void call_answers_free(struct call_answers *a); /* drops what was not taken; NULL is fine */

/* Casts to each target that exists; takes request. */
ANY_THREAD void multi_cast(
	const struct call_target *targets, unsigned n, struct term request, term_copy *copy);
