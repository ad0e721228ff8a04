/* core/mo.c - the format is that of GNU gettext's manual, "The Format of GNU MO Files". */
#include "core/mo.h"

#include <errno.h>
#include <string.h>

#define MAGIC 0x950412deu
#define HEADER_BYTES 20u /* magic, revision, count, where both tables begin */
#define ENTRY_BYTES 8u /* a text's length without its NUL, and where it begins */

static uint32_t number_at(const struct mo *m, size_t at)
{
	const unsigned char *b = m->bytes + at;

	if (m->big_endian)
		return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static bool table_fits(uint32_t at, uint32_t count, size_t len)
{
	return at <= len && count <= (len - at) / ENTRY_BYTES;
}

/* Whether the entry's text lies inside, ends with its NUL and holds no other. */
static bool text_is_whole(const struct mo *m, uint32_t table, uint32_t i, size_t len)
{
	uint32_t bytes = number_at(m, table + i * ENTRY_BYTES);
	uint32_t at = number_at(m, table + i * ENTRY_BYTES + 4);

	return at < len && bytes < len - at &&
		memchr(m->bytes + at, 0, (size_t)bytes + 1) == m->bytes + at + bytes;
}

static const char *text_at(const struct mo *m, uint32_t table, uint32_t i)
{
	return (const char *)m->bytes + number_at(m, table + i * ENTRY_BYTES + 4);
}

int mo_read(const void *bytes, size_t len, struct mo *out)
{
	struct mo m = { .bytes = bytes };

	if (len < HEADER_BYTES || len > UINT32_MAX)
		return -EINVAL;
	m.big_endian = m.bytes[0] == MAGIC >> 24;
	if (number_at(&m, 0) != MAGIC || number_at(&m, 4) >> 16 > 1)
		return -EINVAL;
	m.count = number_at(&m, 8);
	m.originals = number_at(&m, 12);
	m.translations = number_at(&m, 16);
	if (!table_fits(m.originals, m.count, len) || !table_fits(m.translations, m.count, len))
		return -EINVAL;
	for (uint32_t i = 0; i < m.count; i++) {
		if (!text_is_whole(&m, m.originals, i, len) ||
			!text_is_whole(&m, m.translations, i, len))
			return -EINVAL;
		if (i && strcmp(text_at(&m, m.originals, i - 1), text_at(&m, m.originals, i)) >= 0)
			return -EINVAL; /* mo_find() halves */
	}
	*out = m;
	return 0;
}

const char *mo_find(const struct mo *m, const char *english)
{
	uint32_t low = 0, high = m->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(english, text_at(m, m->originals, middle));

		if (!order)
			return text_at(m, m->translations, middle);
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

void mo_each(const struct mo *m,
	void (*fn)(const char *english, const char *translation, void *arg), void *arg)
{
	for (uint32_t i = 0; i < m->count; i++)
		fn(text_at(m, m->originals, i), text_at(m, m->translations, i), arg);
}
