/* core/job.h - work that may block, away from the shards, and the carriers of the IQ disciplines.
 * A job is part of its owner's object. work() runs on a job thread, done() comes back to the shard
 * that submitted. Every carrier is bounded: a full one refuses, and the caller answers
 * wait / resource-constraint. */
#pragma once

#include "core/attr.h"
#include "core/mailbox.h"

struct job {
	struct msg msg; /* the way there and back */
	struct carrier *carrier; /* the carrier's, while it has the job */
	struct shard *home; /* set at submission; NULL when not submitted by a shard */
	void (*work)(struct job *j); /* ON_JOB (inline: on the shard) */
	void (*done)(struct job *j); /* on the home shard, or on the job thread when home is NULL;
				      * owns j from then on */
};

enum carrier_kind {
	CARRIER_INLINE, /* no_queue: at once, on the caller's shard; work() and done() before return
			 */
	CARRIER_THREAD, /* one_queue: one thread of its own, in order */
	CARRIER_LANES, /* {queues: N}: N serial lanes on the pool, equal keys never overlap */
	CARRIER_POOL, /* parallel: the pool, no order */
};
#define CARRIER_FULL 1

struct carrier;
/* The pool all lanes and parallel carriers share. main only. */
int jobs_start(unsigned threads);
void jobs_stop(void); /* what is queued still runs; joins */

/* lanes: for CARRIER_LANES; max_queue: jobs waiting or running at once, 0 for no bound. */
struct carrier *carrier_new(
	enum carrier_kind kind, unsigned lanes, unsigned max_queue, const char *name);
/* Refuses new jobs, waits until the last done() has been posted, frees. Blocks: never on a shard.
 */
void carrier_free(struct carrier *c);
/* 0 and the carrier has taken j, or CARRIER_FULL and j is still the caller's. */
ANY_THREAD int carrier_submit(struct carrier *c, uint64_t key, struct job *j) MUST_USE;
ANY_THREAD int64_t jobs_waiting(void); /* and running, in all carriers */
ANY_THREAD unsigned carrier_waiting(const struct carrier *c);
/* Each that has a queue: its name, jobs waiting or running, and its bound. fn is quick: nobody
 * makes or frees a carrier meanwhile. */
ANY_THREAD void carriers_each(
	void (*fn)(const char *name, unsigned waiting, unsigned max_queue, void *arg), void *arg);

ANY_THREAD void job_check(void) TAKES_JOB_ROLE; /* aborts when on a shard */
