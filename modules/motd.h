/* modules/motd.h - the message of the day: told to everybody once, when they come, until it is
 * another one or taken away. One a host, kept in the database with who has had it. */
#pragma once

#include "core/actor.h"
#include "modules/campaign.h"
#include "router/host.h"
#include "router/session.h"

struct motd_board; /* of one host */

/* From a module's start() and stop(). 0 or a negative errno. May block. */
ON_JOB int motd_open(struct host *h, struct motd_board **out);
void motd_close(struct motd_board *board); /* NULL is fine */
/* A session has become available: it gets the message unless the account has had it. */
ON_SHARD void motd_tell(struct motd_board *board, const struct session *ss);

int64_t motd_number(void); /* for a new one */
/* A new one: all get it, those who are connected when they come again. 0 or a negative errno;
 * -EINVAL, -EMSGSIZE as campaign_begin(). */
ON_JOB int motd_set(struct host *h, const struct notice *n, int64_t number);
/* 0, 1: there was none, or a negative errno. */
ON_JOB int motd_delete(struct host *h);
/* These accounts (bare or full addresses) have had the message of that number. */
ON_JOB void motd_note(struct host *h, const char *const *addresses, unsigned n, int64_t number);
ANY_THREAD void motd_forget(const struct jid *account); /* it was removed */
/* A copy, the caller's, of the subject and text; NULL: there is none, or the database is away. */
ON_JOB char *motd_text(struct host *h, char **out_subject);
