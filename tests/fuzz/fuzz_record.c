/* A record of whatever bytes: what is read lies inside, and after a mistake nothing is. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t orders = size ? data[0] % 32 : 0, len;
	struct record_reader r;
	const char *text;
	char *exact;

	if (size < 1 + orders)
		return 0;
	exact = xmemdup(data + 1 + orders, size - 1 - orders);
	if (!record_open(&r, exact, size - 1 - orders))
		REQUIRE(r.name && strlen(r.name) <= size);
	for (size_t i = 1; i <= orders; i++) {
		bool was_good = record_is_good(&r);

		switch (data[i] % 4) {
		case 0:
			if (record_read_number(&r))
				REQUIRE(was_good);
			break;
		case 1:
			REQUIRE(record_read_number_to(&r, data[i]) <= data[i]);
			break;
		case 2:
			text = record_read_text(&r);
			REQUIRE(!text || (was_good && strlen(text) <= size));
			break;
		default:
			text = record_read_bytes(&r, &len);
			REQUIRE(text ? was_good && !text[len] : !len);
		}
		REQUIRE(was_good || !record_is_good(&r));
	}
	free(exact);
	return 0;
}
