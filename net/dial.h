/* net/dial.h - connects to one of several places: the first that answers (RFC 8305 §5).
 * One after the other is begun, each 250 ms after the one before, or at once when nothing is under
 * way; a place of a later rank (an SRV priority) gets its turn when all before it have failed or
 * kept silent for two seconds. Whoever called says that a connection is of no use after all (TLS
 * failed, say), and the next place is tried. All on the shard that began it; nothing blocks. */
#pragma once

#include "net/places.h"
#include "net/telling.h"

struct dial;
/* fd: connected, does not block, the callee's from now on, and where it leads to, good until
 * dial_end(). -1: no place is left, dial_why() says what became of each; then there is only
 * dial_end() left to do. Never called from inside dial_start() or dial_next(), and may call
 * dial_next() or dial_end() itself. */
typedef void dial_done_fn(int fd, const struct place *place, void *arg);

/* p: PLACES_FOUND; takes a reference of its own. t: told each step; may be NULL. */
ON_SHARD struct dial *dial_start(
	const struct places *p, struct telling *t, dial_done_fn *done, void *arg) MUST_USE;
/* After done() with a connection, which did not work, and why in words: done() is called again. */
ON_SHARD void dial_next(struct dial *d, const char *why);
/* Ends what is under way. NULL is fine. */
ON_SHARD void dial_end(struct dial *d);
/* "192.0.2.1:5269: Connection refused; [::1]:5269: ..."; "" when nothing has failed so far. */
ON_SHARD const char *dial_why(const struct dial *d);
