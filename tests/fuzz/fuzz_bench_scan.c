/* tests/fuzz/fuzz_bench_scan.c - what a server may send to linnet-bench: the first byte says in
 * what pieces the others come. However they are cut, the same stanzas are found, and none of them
 * is read past its end. */
#include <stdlib.h>
#include <string.h>

#include "bench/bench_attr.h"
#include "bench/bench_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const char *text, size_t len)
{
	char *copy = strndup(text, len); /* what lies behind it is not its own */
	const char *value;
	size_t value_len;

	if (attr_of(copy, "id", &value, &value_len))
		REQUIRE(value >= copy && value + value_len <= copy + strlen(copy));
	attr_number(copy, "id");
	attr_is(copy, "type", "error");
	free(copy);
}

/* How many stanzas there are; 0 after the end of the stream. */
static unsigned read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
	struct scan s = { 0 };
	size_t len = 0, from, to;
	char *kept = malloc(size + 1);
	unsigned found = 0;

	for (size_t at = 0; at < size; at += piece) {
		size_t more = size - at < piece ? size - at : piece;
		enum scan_what what;

		memcpy(kept + len, data + at, more);
		len += more;
		while ((what = scan_next(&s, kept, len, &from, &to)) != SCAN_MORE) {
			REQUIRE(from <= to && to <= len);
			if (what == SCAN_CLOSE)
				goto ended;
			if (what == SCAN_STANZA) {
				found++;
				look_at(kept + from, to - from);
			}
		}
		from = scan_keep(&s);
		REQUIRE(from <= len);
		memmove(kept, kept + from, len - from);
		len -= from;
	}
ended:
	free(kept);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > 4096)
		return 0;
	REQUIRE(read_in_pieces(data + 1, size - 1, 1 + data[0]) ==
		read_in_pieces(data + 1, size - 1, size));
	return 0;
}
