/* core/mailbox.h - how any thread gives work to a shard.
 * Any thread posts, only the owning shard runs. Messages of one poster run in the order posted.
 * Posting is wait-free and never fails; the box stays small because a connection whose messages
 * wait too long is no longer read from, see conn_pause(). */
#pragma once

#include <urcu/wfcqueue.h>

#include "core/attr.h"

struct mailbox; /* layout is private to mailbox.c */

struct msg { /* part of whatever travels, so posting allocates nothing */
	struct cds_wfcq_node node; /* the mailbox's while posted */
	void (*run)(struct msg *m); /* runs on the receiving shard and owns m from then on */
};

struct mailbox *mailbox_new(void); /* its bell is an eventfd */
void mailbox_free(struct mailbox *mb); /* must be empty */
/* To be watched with EPOLLIN | EPOLLET: each edge says that the box is to be looked into. */
ANY_THREAD int mailbox_bell_fd(const struct mailbox *mb);

/* Told of a few messages before the first of them runs, on the owner's thread, so that what they
 * need comes from memory meanwhile. Before the first mailbox_run(). */
#define MAILBOX_AHEAD 8
void mailbox_look_ahead(struct mailbox *mb, void (*soon)(struct msg *const *m, unsigned n));

/* Takes m. Returns true when the box was empty, so that someone must ring. */
ANY_THREAD bool mailbox_post(struct mailbox *mb, struct msg *m);
/* Wakes the owner if it sleeps; costs a system call only then. */
ANY_THREAD void mailbox_ring(struct mailbox *mb);
/* Runs what was there when called; later messages wait for the next turn. Returns how many ran. */
ON_SHARD unsigned mailbox_run(struct mailbox *mb);
/* The owner says it is about to sleep; returns false when something has come meanwhile and it
 * must not. mailbox_awake() ends the sleep. */
ON_SHARD bool mailbox_may_sleep(struct mailbox *mb);
ON_SHARD void mailbox_awake(struct mailbox *mb);
ANY_THREAD unsigned mailbox_waiting(const struct mailbox *mb); /* how many wait, about */
