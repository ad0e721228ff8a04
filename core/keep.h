/* core/keep.h - open sockets that outlive the process that serves them. The monitor holds a copy of
 * each under a name; the next server takes it over, with the connections that wait in its backlog.
 * The server is a fork of the monitor, so what was kept is there; what changes travels over a
 * socket pair. Without a monitor nothing is kept and nothing is found. */
#pragma once

#include "core/attr.h"

#define KEEP_MAX 64 /* descriptors; what is more is not kept */
#define KEEP_NAME_MAX 96 /* bytes with the NUL */

/* --- the monitor: one thread --- */

/* Makes a new pair, for the server that is forked next. 0 or a negative errno. */
int keep_open(void);
int keep_channel(void); /* the monitor's end: readable, call keep_listen() */
/* Takes all messages; calls told() with what the server said by keep_tell(). */
void keep_listen(void (*told)(const char *what));
int keep_told_fd(void); /* inside told(): the descriptor that came with it, the caller's; or -1 */

/* Beside the server a second one, which is to take its place: it has a pair of its own, and what it
 * puts and drops counts. 0 or a negative errno. */
int keep_open_next(void);
int keep_channel_next(void); /* as keep_channel(); -1: there is none */
void keep_listen_next(void (*told)(const char *what));
void keep_promote_next(void); /* it is the server now; the one before is not listened to any more */
void keep_close_next(void);
/* Over an exec(): all that is kept, as one word for the environment, which the caller frees; the
 * descriptors stay open from now on. And back. */
char *keep_pack(void);
void keep_unpack(const char *word);
/* After the fork that will exec() the second server: the end of its pair, open from now on. */
int keep_pass_next(void);
/* After the exec() of a monitor: its end of the server's pair, as it had it before. */
int keep_pass_channel(void);
void keep_resume(int channel);

/* --- the server --- */

void keep_serve(void); /* after the fork: this process is the server */
void keep_serve_at(int end); /* after an exec(), with the end that keep_pass_next() gave */
bool keep_is_served(void); /* there is a monitor */
/* A descriptor kept under the name, which is the caller's from now on; or -1. One thread at a time,
 * like all that follow. */
int keep_take(const char *name);
void keep_put(const char *name, int fd); /* keeps a copy */
void keep_drop(const char *name);
void keep_drop_rest(void); /* those that nobody took since keep_serve() */
/* To the monitor: at most KEEP_NAME_MAX - 1 bytes. Any thread; does not wait for a monitor that
 * does not listen. */
void keep_tell(const char *what);
void keep_tell_with(const char *what, int fd); /* and a descriptor, which stays the caller's */
