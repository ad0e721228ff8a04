/* core/log.h - what happened, one line each, as logfmt or JSON.
 *   log_info("c2s", "logged in", L_STR("jid", full), L_INT("ms", took));
 * A line below the level costs one relaxed load. Lines are written by the caller's thread into a
 * buffer that a writer thread empties, so a slow disk never holds a shard; when it cannot keep up
 * the count of lost lines is logged. Values that a peer chose are escaped. Secrets never come here.
 * Any thread, from before the first setting is read (then: warnings and up to stderr). */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"

enum log_level {
	LOG_LEVEL_NONE,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};
extern _Atomic int log_level; /* relaxed */
extern _Atomic bool log_following; /* someone follows a JID or connection: see log_follow() */

struct log_field {
	const char *key;
	const char *text; /* NULL: number */
	int64_t number;
};
static inline const char *log_text(const char *text)
{
	return text ? text : "";
}
#define L_STR(k, v) ((struct log_field){ .key = (k), .text = log_text(v) })
#define L_INT(k, v) ((struct log_field){ .key = (k), .number = (int64_t)(v) })

/* One line, whatever log_level says: part is where ("c2s"), what is what happened. Texts are
 * copied; what comes faster than the destination takes it is left out and counted. Any thread. */
void log_write(enum log_level level, const char *part, const char *what,
	const struct log_field *fields, unsigned n);
#define log_at(level, part, what, ...)                                                             \
	do {                                                                                       \
		if (unlikely(atomic_load_explicit(&log_level, memory_order_relaxed) >= (level))) { \
			const struct log_field fields_[] = { { 0 }, ##__VA_ARGS__ };               \
			log_write((level), (part), (what), fields_ + 1, ARRAY_LEN(fields_) - 1);   \
		}                                                                                  \
	} while (0)
#define log_error(part, what, ...) log_at(LOG_LEVEL_ERROR, part, what, ##__VA_ARGS__)
#define log_warning(part, what, ...) log_at(LOG_LEVEL_WARNING, part, what, ##__VA_ARGS__)
#define log_info(part, what, ...) log_at(LOG_LEVEL_INFO, part, what, ##__VA_ARGS__)
#define log_debug(part, what, ...) log_at(LOG_LEVEL_DEBUG, part, what, ##__VA_ARGS__)

/* A line whatever the level, for the one JID or connection that is followed:
 *   if (log_follows(c->followed)) log_trace("c2s", "received", ...);
 * Whoever owns a connection asks log_follow_matches() when its JID or address becomes known or
 * log_follow_version() has changed, and keeps the answer. */
#define log_follows(flag) \
	unlikely((flag) && atomic_load_explicit(&log_following, memory_order_relaxed))
#define log_trace(part, what, ...)                                                              \
	do {                                                                                    \
		const struct log_field fields_[] = { { 0 }, ##__VA_ARGS__ };                    \
		log_write(LOG_LEVEL_NONE, (part), (what), fields_ + 1, ARRAY_LEN(fields_) - 1); \
	} while (0)
void log_follow(const char *jid_or_connection); /* copied; NULL ends it. Any thread */
unsigned log_follow_version(void); /* changes with each log_follow(). Any thread */
/* Whether one of these, of which any may be NULL, is followed. Takes a lock. Any thread. */
bool log_follow_matches(const char *bare_jid, const char *full_jid, const char *connection);

/* At most one line a second from one place; tells how many were left out. Any thread. */
struct log_seldom {
	_Atomic int64_t next_ms;
	_Atomic uint32_t left_out;
};
bool log_seldom(struct log_seldom *s, uint32_t *left_out); /* true: now */

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };
/* path NULL: stderr. 0 or negative errno, and the old destination stays. */
int log_open(const char *path, enum log_format format);
/* The same in two steps, once the log is open: a descriptor or a negative errno, and then what
 * cannot fail. Or log_abandon() takes the first step back. */
int log_prepare(const char *path);
void log_commit(int prepared, const char *path, enum log_format format);
void log_abandon(int prepared);
unsigned log_waiting(void); /* lines not yet handed to the destination, about. Any thread */
int log_reopen(void); /* after the file was moved away */
void log_flush(void); /* waits until all lines so far are written */
void log_close(void); /* flushes, ends the writer, back to stderr */
int log_level_parse(const char *name); /* "none".."debug" or ejabberd's 0..5; -1: unknown */
const char *log_level_name(int level);
