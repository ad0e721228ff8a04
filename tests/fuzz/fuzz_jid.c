/* Addresses as peers send them: what is taken is written, taken again, and the same. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/jid.h"

static void check_parts(const struct jid *j)
{
	char buffer[JID_PART_MAX + 1];
	struct jid *made;

	REQUIRE(strlen(jid_local(j)) == j->local_len && j->local_len <= JID_PART_MAX);
	REQUIRE(strlen(jid_domain(j)) == j->domain_len && j->domain_len <= JID_PART_MAX);
	REQUIRE(strlen(jid_resource(j)) == j->resource_len && j->resource_len <= JID_PART_MAX);
	REQUIRE(j->domain_len);
	if (j->local_len)
		REQUIRE(jid_prep_local(jid_local(j), j->local_len, buffer) == j->local_len &&
			!memcmp(buffer, jid_local(j), j->local_len));
	REQUIRE(jid_prep_domain(jid_domain(j), j->domain_len, buffer) == j->domain_len &&
		!memcmp(buffer, jid_domain(j), j->domain_len));
	if (j->resource_len)
		REQUIRE(jid_prep_resource(jid_resource(j), j->resource_len, buffer) ==
				j->resource_len &&
			!memcmp(buffer, jid_resource(j), j->resource_len));
	REQUIRE(jid_make(jid_local(j), jid_domain(j), jid_resource(j), NULL, &made) == JID_OK);
	REQUIRE(jid_equal(made, j));
	jid_free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = xmemdup(data, size), text[JID_TEXT_MAX];
	struct jid *j, *again;
	size_t len;

	if (jid_parse(exact, size, NULL, &j) == JID_OK) {
		check_parts(j);
		len = jid_write(j, text);
		REQUIRE(len < JID_TEXT_MAX && strlen(text) == len);
		REQUIRE(jid_parse(text, len, NULL, &again) == JID_OK);
		REQUIRE(jid_equal(j, again) && j->full_hash == again->full_hash);
		jid_free(again);
		again = jid_bare(j, NULL);
		REQUIRE(jid_equal_bare(j, again) && again->bare_hash == j->bare_hash);
		jid_free(again);
		jid_free(j);
	}
	free(exact);
	return 0;
}
