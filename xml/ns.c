/* xml/ns.c - the well-known names and the table that finds them by text.
 * The table is filled before main() and only read afterwards, so a look-up takes no lock. */
#include "xml/ns.h"

#include <string.h>

#include "core/attr.h"

#define NAME_DEFINE(name, text) const char name[] = text;
NS_LIST(NAME_DEFINE)
NAME_LIST(NAME_DEFINE)
#undef NAME_DEFINE

struct known {
	const char *text;
	unsigned len;
};
#define NAME_ENTRY(name, text) { name, sizeof(text) - 1 },
static const struct known all[] = { NS_LIST(NAME_ENTRY) NAME_LIST(NAME_ENTRY) };
#undef NAME_ENTRY

/* Open addressing, at most a quarter full: most look-ups end at the first slot. */
#define SLOTS 2048u
static struct known slots[SLOTS];
_Static_assert(ARRAY_LEN(all) * 4 <= SLOTS, "SLOTS has become too small");

/* Namespaces differ at their ends, names anywhere: length, both ends and the middle are enough. */
static unsigned slot_of(const char *text, unsigned len)
{
	const unsigned char *t = (const unsigned char *)text;
	uint32_t h = len * 0x9e3779b1u;

	if (len <= 16) {
		for (unsigned i = 0; i < len; i++)
			h = (h ^ t[i]) * 0x01000193u;
	} else {
		uint64_t tail[2], mid;

		memcpy(tail, t + len - 16, 16);
		memcpy(&mid, t + len / 2 - 4, 8);
		tail[0] = (tail[0] ^ tail[1] * 0x9e3779b97f4a7c15u ^ mid) * 0xff51afd7ed558ccdu;
		h ^= (uint32_t)(tail[0] >> 32);
	}
	return (h ^ h >> 15) & (SLOTS - 1);
}

/* Twice the same text in the lists would make pointers lie about equality. */
__attribute__((constructor)) static void fill_slots(void)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		unsigned at = slot_of(all[i].text, all[i].len);

		REQUIRE(!name_known(all[i].text, all[i].len));
		while (slots[at].text)
			at = (at + 1) & (SLOTS - 1);
		slots[at] = all[i];
	}
}

const char *name_known(const char *text, unsigned len)
{
	for (unsigned at = slot_of(text, len); slots[at].text; at = (at + 1) & (SLOTS - 1))
		if (slots[at].len == len && !memcmp(slots[at].text, text, len))
			return slots[at].text;
	return NULL;
}
