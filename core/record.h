/* core/record.h - the state of something, as bytes that another process takes it up from: a name,
 * a version, and the fields one after the other. Each field says what it is, so that a reader who
 * expects another one notices; what each version has is for its writer and readers to know.
 *
 *   record_begin(&r, "c2s", 1);
 *   record_number(&r, port);
 *   record_text(&r, resource);
 *   b = record_end(&r);
 *
 *   if (record_open(&in, bytes, len) || in.version != 1) ...
 *   port = record_read_number(&in);
 *   resource = record_read_text(&in);
 *   if (!record_is_read(&in)) ...
 *
 * Nothing is believed: a reader of whatever bytes reads zeros and NULLs once something is wrong,
 * and says so in the end. One thread at a time. */
#pragma once

#include "core/attr.h"
#include "core/buf.h"

#define RECORD_MAX (64u << 20) /* bytes of one */

/* --- writing --- */

struct record {
	struct buf *bytes; /* owned; private */
};
/* Makes the buffer; record_end() gives it away. One thread at a time. */
void record_begin(struct record *r, const char *name, unsigned version);
void record_number(struct record *r, uint64_t number); /* signed ones as two's complement */
void record_text(struct record *r, const char *text); /* NULL stays NULL */
void record_bytes(struct record *r, const void *bytes, size_t len);
/* One reference, the caller's. NULL: it has become larger than RECORD_MAX. */
struct buf *record_end(struct record *r);

/* --- reading --- */

struct record_reader {
	const char *name; /* in the bytes, as all that is read */
	unsigned version;
	const char *at, *end; /* private */
	bool bad; /* private */
};
/* 0, or -EBADMSG. The bytes outlive the reader. */
int record_open(struct record_reader *r, const void *bytes, size_t len);
/* In the order written. What is not there, or not of that kind, is 0 or NULL, and record_is_good()
 * says so from then on. */
uint64_t record_read_number(struct record_reader *r);
uint64_t record_read_number_to(struct record_reader *r, uint64_t max); /* more is wrong */
const char *record_read_text(struct record_reader *r); /* without NULs inside; NULL: none */
const char *record_read_bytes(struct record_reader *r, size_t *len); /* and a NUL behind them */
bool record_is_good(const struct record_reader *r); /* so far */
bool record_is_read(const struct record_reader *r); /* good, and nothing is left */
