/* Catalogues of any bytes: what is taken is found again, and nothing outside is looked at. Then the
 * same bytes as a language tag. */
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "core/mo.h"

static void look_up(const char *english, const char *translation, void *arg)
{
	const struct mo *m = arg;

	REQUIRE(mo_find(m, english) == translation);
	REQUIRE(strlen(translation) < SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = xmemdup(data, size), *tag = xstrndup((const char *)data, size);
	struct mo m;

	if (mo_read(exact, size, &m) == 0) {
		mo_each(&m, look_up, &m);
		mo_find(&m, "Too many failed logins.");
	}
	free(exact);
	REQUIRE(lang_pick(lang_pick(tag, NULL), "de") == lang_pick(tag, NULL));
	REQUIRE(*tr(tag, "Too many failed logins."));
	free(tag);
	return 0;
}
