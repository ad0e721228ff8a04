/* net/base64.c - four characters, three bytes. */
#include "net/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *bytes, size_t len, char *out)
{
	const uint8_t *in = bytes;
	char *at = out;

	for (; len >= 3; in += 3, len -= 3) {
		*at++ = alphabet[in[0] >> 2];
		*at++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		*at++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
		*at++ = alphabet[in[2] & 63];
	}
	if (len) {
		uint8_t second = len > 1 ? in[1] : 0;

		*at++ = alphabet[in[0] >> 2];
		*at++ = alphabet[(in[0] & 3) << 4 | second >> 4];
		*at++ = len > 1 ? alphabet[(second & 15) << 2] : '=';
		*at++ = '=';
	}
	*at = 0;
	return (size_t)(at - out);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, size_t len, uint8_t *out)
{
	size_t pad = 0, n = 0;

	if (len % 4)
		return -1;
	if (len && text[len - 1] == '=')
		pad = text[len - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < len; i += 4) {
		unsigned known = i + 4 == len ? 4 - (unsigned)pad : 4;
		uint32_t bits = 0;

		for (unsigned k = 0; k < 4; k++) {
			int v = k < known ? value_of(text[i + k]) : 0;

			if (v < 0)
				return -1;
			bits = bits << 6 | (uint32_t)v;
		}
		/* What the padding cuts off is zero, or several texts would mean the same. */
		if ((known == 3 && bits & 0xff) || (known == 2 && bits & 0xffff))
			return -1;
		out[n++] = (uint8_t)(bits >> 16);
		if (known > 2)
			out[n++] = (uint8_t)(bits >> 8);
		if (known > 3)
			out[n++] = (uint8_t)bits;
	}
	return (ssize_t)n;
}
