/* tests/fuzz/fuzz_archive.c - what a client may write into a query of an archive: moments
 * (XEP-0082), ids, and which page it wants (XEP-0059). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "modules/datetime.h"
#include "modules/message_db.h"
#include "modules/rsm.h"
#include "xml/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is the same when it is written and read again, to the millisecond. */
static void moment(const char *text)
{
	char again[DATETIME_MAX];
	int64_t us, us_again;

	if (!datetime_read(text, &us) || us < 0 || us >= INT64_C(253402300800000000))
		return;
	datetime_write(us, again);
	REQUIRE(datetime_read(again, &us_again));
	REQUIRE(us_again == us / 1000 * 1000);
}

static void page(const char *text)
{
	const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	struct stanza *s;
	struct arena a;
	struct rsm rsm;

	if (parse_element(text, strlen(text), &limits, &s))
		return;
	arena_init(&a, NULL, 0);
	if (rsm_read(s->root, &a, &rsm) == 0)
		REQUIRE(rsm.max >= -1);
	arena_fini(&a);
	stanza_unref(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free_ptr) char *text = xstrndup((const char *)data, size);
	uint64_t id;

	moment(text);
	if (message_id_read(text, &id))
		REQUIRE(id <= INT64_MAX);
	page(text);
	return 0;
}
