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

/* --- the server --- */

void keep_serve(void); /* after the fork: this process is the server */
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
