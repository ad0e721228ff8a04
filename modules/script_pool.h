/* modules/script_pool.h - programs of the operator's that answer questions on their standard input,
 * one at a time each, several side by side. They are children of a supervisor below the host's,
 * which starts them again when they end; one that does not answer in time, or wrongly, is ended and
 * started again. When they end too often all of them rest for a while. */
#pragma once

#include "modules/module.h"

struct script_pool;
#define SCRIPTS_MAX 64
/* Of n processes; the first question starts them. command: the program and its arguments, with
 * spaces between. name tells pools of a host apart. */
struct script_pool *script_pool_new(
	struct host *h, const char *name, const char *command, unsigned n);
/* No more questions; those under way fail, and all processes end. Blocks: never on a shard. */
void script_pool_end(struct script_pool *p);
void script_pool_free(struct script_pool *p); /* after the last call; NULL is fine */

/* Sends the bytes and reads an answer of exactly len bytes. check says whether it is one at all. 0
 * or a negative errno: -ETIMEDOUT, -EPROTO no answer of this kind, -EPIPE it ended meanwhile,
 * -EAGAIN there is none that works. */
struct script_question {
	const void *bytes;
	size_t n_bytes;
	void *answer;
	size_t n_answer;
	bool (*check)(const void *answer);
	uint64_t timeout_ms; /* with the wait for a process */
};
ON_JOB int script_pool_ask(struct script_pool *p, const struct script_question *q);
