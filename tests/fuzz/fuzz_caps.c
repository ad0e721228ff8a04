/* What a client answers to disco#info: hashed twice it is the same, whatever the order of its
 * children, and features read from it are found again. */
#include <stdlib.h>
#include <string.h>

#include "core/rcu.h"
#include "modules/caps_cache.h"
#include "modules/caps_hash.h"
#include "xml/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void turn_round(struct elem *e)
{
	struct node *before = NULL, *next;

	e->last = e->first;
	for (struct node *n = e->first; n; n = next) {
		next = n->next;
		n->next = before;
		before = n;
	}
	e->first = before;
}

static void check_features(const struct elem *query)
{
	struct caps_features *f = caps_features_read(query);

	for (uint32_t i = 0; f && i < f->n; i++)
		REQUIRE(caps_features_have(f, f->at[i]));
	caps_features_unref(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	struct stanza *s;

	if (parse_element((const char *)data, size, &limits, &s) != PARSER_OK)
		return 0;
	rcu_thread_begin();
	for (enum caps_version v = CAPS_1; v <= CAPS_2; v++) {
		char a[CAPS_HASH_MAX] = "", b[CAPS_HASH_MAX] = "";
		enum caps_outcome once = caps_hash(v, "sha-256", s->root, "en", a);

		turn_round(s->root);
		REQUIRE(caps_hash(v, "sha-256", s->root, "en", b) == once ||
			(once != CAPS_GOOD && once != CAPS_AMBIGUOUS));
		if (once == CAPS_GOOD || once == CAPS_AMBIGUOUS)
			REQUIRE(strcmp(a, b) == 0);
	}
	check_features(s->root);
	stanza_unref(s);
	rcu_thread_end();
	return 0;
}
