/* bench/bench_scan.h - where the elements of a stream begin and end, for what servers send.
 * No tree and no namespaces: a pair of offsets for each child of the stream element. Comments,
 * CDATA and processing instructions are stepped over; what is not well-formed is not noticed. */
#pragma once

#include "core/attr.h"

enum scan_what {
	SCAN_MORE, /* the rest needs more bytes */
	SCAN_OPEN, /* the stream's start tag */
	SCAN_STANZA, /* a whole child of the stream */
	SCAN_CLOSE, /* the stream's end tag */
};
/* Offsets into the bytes from the first unfinished one on. */
struct scan {
	size_t at; /* read so far */
	size_t start; /* of the element being read */
	int depth; /* 0: outside the stream */
};

void scan_restart(struct scan *s); /* a new stream begins: after TLS, after SASL */
/* The next thing in bytes; *from and *to are its extent. Call until SCAN_MORE, then keep what is
 * left from s->start on, move it to the front with scan_keep() and call again with more behind it.
 */
enum scan_what scan_next(struct scan *s, const char *bytes, size_t len, size_t *from, size_t *to);
/* How many bytes at the front are done with; the offsets are adjusted to their removal. */
size_t scan_keep(struct scan *s);
