/* cmd/linnetd_upgrade.h - one server takes another's place: `linnetctl upgrade`,
 * docs/operations.md. What the two say to each other over core/handover.h, after the new one has
 * been started by the monitor (cmd/linnetd_monitor.h):
 *
 *   new  hello       it is up, but for what serves; which parts it knows
 *   old              nobody is read from any more; what is under way arrives
 *   old  the parts   client streams with their sockets, and what else there is
 *   old  sent
 *   new  taken       what it could make of them
 *   old  go          from here on there is no way back, and no other server
 *   new              reads, accepts, answers
 *   new  running
 *   old  c2s more    what still reached one that went; until the old one ends
 *
 * Whatever goes wrong before "go" (a "refused" of the new one, its end, too much time) leaves the
 * old one as it was. After it the new one is the server; should it die there, the monitor starts
 * one as after any crash. */
#pragma once

#include "core/attr.h"

#define UPGRADE_SENT "sent"
#define UPGRADE_TAKEN "taken"
#define UPGRADE_GO "go"
#define UPGRADE_RUNNING "running"

/* --- the new server; main --- */

void takeover_begin(int channel); /* takes it; -1: this server is nobody's successor */
bool takeover_is_on(void);
void takeover_refuse(const char *why); /* tells the old one, and it goes on */
/* Says hello, takes all, and returns once it is told to go on: then the spool is ours, too. Ends
 * the process when it is not to be. */
void takeover_run(void);
void takeover_serve(void); /* clients are read from, and accepted */
void takeover_running(void); /* the start is through */
void takeover_end(void); /* what follows is not waited for any more */

/* --- the old server --- */

void commands_add_upgrade(void);
bool upgrade_is_done(void); /* another server is there: this one ends, and is not missed */
bool upgrade_has_failed(void); /* that one died at once: this one ends, for the monitor to act */
/* Instead of kicking clients: what waits for those that stayed is written, what still reaches those
 * that went follows them. Once hurry is set it does not wait for the former. */
void upgrade_finish(const _Atomic bool *hurry);
