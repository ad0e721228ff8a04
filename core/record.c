/* core/record.c - a byte for the kind of a field, little-endian numbers, a NUL behind each text. */
#include "core/record.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { FIELD_NUMBER = 'n', FIELD_BYTES = 'b', FIELD_NONE = '0' };

/* --- writing --- */

static void append(struct record *r, const void *bytes, size_t len)
{
	if (!r->bytes || len > RECORD_MAX - r->bytes->len) {
		buf_unref(r->bytes);
		r->bytes = NULL;
		return;
	}
	buf_append(&r->bytes, bytes, len);
}

static void append_kind(struct record *r, char kind)
{
	append(r, &kind, 1);
}

void record_begin(struct record *r, const char *name, unsigned version)
{
	r->bytes = buf_new(512);
	record_text(r, name);
	record_number(r, version);
}

void record_number(struct record *r, uint64_t number)
{
	uint64_t wire = htole64(number);

	append_kind(r, FIELD_NUMBER);
	append(r, &wire, sizeof(wire));
}

void record_bytes(struct record *r, const void *bytes, size_t len)
{
	uint32_t wire = htole32((uint32_t)len);

	append_kind(r, FIELD_BYTES);
	append(r, &wire, sizeof(wire));
	append(r, bytes, len);
	append(r, "", 1);
}

void record_text(struct record *r, const char *text)
{
	if (text)
		record_bytes(r, text, strlen(text));
	else
		append_kind(r, FIELD_NONE);
}

struct buf *record_end(struct record *r)
{
	struct buf *b = r->bytes;

	r->bytes = NULL;
	return b;
}

/* --- reading --- */

/* So many bytes, or NULL and the record is bad. */
static const char *take(struct record_reader *r, size_t len)
{
	const char *at = r->at;

	if (r->bad || len > (size_t)(r->end - r->at)) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return at;
}

static bool take_kind(struct record_reader *r, char kind)
{
	const char *at = take(r, 1);

	if (at && *at == kind)
		return true;
	r->bad = true;
	return false;
}

uint64_t record_read_number(struct record_reader *r)
{
	const char *at = take_kind(r, FIELD_NUMBER) ? take(r, sizeof(uint64_t)) : NULL;
	uint64_t wire = 0;

	if (at)
		memcpy(&wire, at, sizeof(wire));
	return le64toh(wire);
}

uint64_t record_read_number_to(struct record_reader *r, uint64_t max)
{
	uint64_t number = record_read_number(r);

	if (number <= max)
		return number;
	r->bad = true;
	return 0;
}

const char *record_read_bytes(struct record_reader *r, size_t *len)
{
	const char *at = take_kind(r, FIELD_BYTES) ? take(r, sizeof(uint32_t)) : NULL;
	uint32_t wire = 0;

	*len = 0;
	if (!at)
		return NULL;
	memcpy(&wire, at, sizeof(wire));
	at = take(r, (size_t)le32toh(wire) + 1);
	if (!at || at[le32toh(wire)]) {
		r->bad = true;
		return NULL;
	}
	*len = le32toh(wire);
	return at;
}

const char *record_read_text(struct record_reader *r)
{
	const char *text;
	size_t len;

	if (!r->bad && r->at < r->end && *r->at == FIELD_NONE) {
		r->at++;
		return NULL;
	}
	text = record_read_bytes(r, &len);
	if (text && strlen(text) == len)
		return text;
	r->bad = true;
	return NULL;
}

int record_open(struct record_reader *r, const void *bytes, size_t len)
{
	*r = (struct record_reader){ .at = bytes, .end = (const char *)bytes + len };
	r->name = record_read_text(r);
	r->version = (unsigned)record_read_number_to(r, UINT32_MAX);
	if (!r->name)
		r->bad = true;
	return r->bad ? -EBADMSG : 0;
}

bool record_is_good(const struct record_reader *r)
{
	return !r->bad;
}

bool record_is_read(const struct record_reader *r)
{
	return !r->bad && r->at == r->end;
}
