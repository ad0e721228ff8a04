/* Preparing a password twice is preparing it once, and what comes out is short enough. Input comes
 * as it is, or as code points, because ICU does not guide the fuzzer to valid UTF-8. */
#include <stdlib.h>

#include "core/mem.h"
#include "router/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t put_utf8(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | code >> 12); /* surrogates too: they must be refused */
	out[1] = (char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(0x80 | (code & 0x3f));
	return 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free_ptr) char *password = xmalloc(2 * size + 4);
	char once[PASSWORD_MAX + 1], twice[PASSWORD_MAX + 1];
	size_t len = 0;

	if (size && data[0] & 1)
		for (size_t i = 1; i + 1 < size; i += 2)
			len += put_utf8((uint32_t)data[i] << 8 | data[i + 1], password + len);
	else
		for (; len < size; len++)
			password[len] = (char)data[len];
	password[len] = 0;
	if (password_prepare(password, once))
		return 0;
	REQUIRE(*once && strnlen(once, sizeof(once)) <= PASSWORD_MAX);
	if (password_prepare(once, twice) == 0)
		REQUIRE(strcmp(once, twice) == 0);
	return 0;
}
