/* net/c2s_move.h - client streams on their way to the server that takes this one's place
 * (core/handover.h, part "c2s"). Those without TLS and with a resource go over with their sockets:
 * what their peers see is a pause. The rest stays, and is asked to connect anew.
 *
 *   old: freeze    nobody reads any more; what is on its way inside the server arrives
 *        save      (handover_save) what can go over is held still and given
 *        divert    what reaches one that was given is gathered, and follows it
 *        thaw      or: it is called off, and all goes on as if nothing had been
 *   new: load      (handover_load) a held copy of each
 *        taken     says which could not be made
 *        go        they are read from and written to
 *
 * Not on a shard, one thread at a time; each returns when it is so on all shards. */
#pragma once

#include "core/attr.h"
#include "core/handover.h"
#include "net/stream.h"

void c2s_move_init(void); /* main, at the start */

/* --- the old server --- */

void c2s_freeze(void);
/* Reads the new server's record of those that it could not make: they stay. False: it is none. */
bool c2s_divert(struct record_reader *refused);
void c2s_thaw(void); /* after any of the above */
/* Gives what has gathered for those that went; to be called until they are forgotten. */
int c2s_follow(struct handover *to);
unsigned c2s_moved(void); /* how many went, and are not forgotten yet */
/* Those that stayed leave the directory, so that who must know is told; then they end. */
void c2s_leave_rest(void);
void c2s_end_rest(enum stream_condition c);

/* --- the new server --- */

/* Ends the loading; r: which could not be made. False: not all could be looked at in time. */
bool c2s_taken(struct record *r);
unsigned c2s_go(void); /* how many there are */
