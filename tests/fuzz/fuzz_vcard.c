/* What clients store as their vCards: fields and picture are read without harm, what is shown of
 * them is cut between characters, and folding twice is folding once. */
#include <string.h>

#include "modules/vcard_store.h"
#include "xml/fold.h"
#include "xml/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_folding(const char *text)
{
	char once[VCARD_VALUE_MAX + 1], twice[VCARD_VALUE_MAX + 1];
	size_t n = text_fold(text, strlen(text), once, VCARD_VALUE_MAX);

	REQUIRE(n <= VCARD_VALUE_MAX && strlen(once) == n);
	REQUIRE(text_cut(once, n, n) == n);
	if (n < VCARD_VALUE_MAX - 4) { /* what was cut may end otherwise */
		text_fold(once, n, twice, VCARD_VALUE_MAX);
		REQUIRE(strcmp(once, twice) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	char hash[VCARD_HASH_TEXT];
	struct vcard_person person;
	struct stanza *s;
	struct arena a;

	if (parse_element((const char *)data, size, &limits, &s) != PARSER_OK)
		return 0;
	arena_init(&a, NULL, 0);
	vcard_read(s->root, &a, &person);
	for (int f = VCARD_FN; f < VCARD_FIELDS; f++)
		if (person.field[f])
			check_folding(person.field[f]);
	if (vcard_photo(s->root, &a, hash))
		REQUIRE(strlen(hash) == VCARD_HASH_TEXT - 1);
	else
		REQUIRE(!*hash);
	arena_fini(&a);
	stanza_unref(s);
	return 0;
}
