/* Base64 as RFC 6120 §13.9.1 wants it: one text for the same bytes, and no other. RFC 4648. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/base64.h"

static const struct {
	const char *section, *bytes, *text;
} vectors[] = {
	{ "§10", "", "" },
	{ "§10", "f", "Zg==" },
	{ "§10", "fo", "Zm8=" },
	{ "§10", "foo", "Zm9v" },
	{ "§10", "foob", "Zm9vYg==" },
	{ "§10", "fooba", "Zm9vYmE=" },
	{ "§10", "foobar", "Zm9vYmFy" },
	{ "§4, both ends of the alphabet", "\x00\x10\x83\xfb\xf0\x00", "ABCD+/AA" },
};

Test(base64, published_vectors)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		size_t n =
			vectors[i].bytes[0] || !vectors[i].text[0] ? strlen(vectors[i].bytes) : 6;
		char text[16];
		uint8_t bytes[16];

		cr_expect_eq(base64_encode(vectors[i].bytes, n, text), strlen(vectors[i].text));
		cr_expect_str_eq(text, vectors[i].text, "RFC 4648 %s", vectors[i].section);
		cr_expect_eq(
			base64_decode(vectors[i].text, strlen(vectors[i].text), bytes), (ssize_t)n);
		cr_expect_eq(memcmp(bytes, vectors[i].bytes, n), 0);
	}
}

static const struct {
	const char *section, *text;
	size_t len;
} wrong[] = {
	{ "§3.2 too short", "Zg", 2 },
	{ "§3.2 too short", "Zg=", 3 },
	{ "§3.2 one character says nothing", "Z===", 4 },
	{ "§3.2 padding alone", "====", 4 },
	{ "§3.3 padding inside", "Zg==Zm9v", 8 },
	{ "§3.3 padding before the last", "Zm=v", 4 },
	{ "§3.3 padding in front", "=m9v", 4 },
	{ "§3.3 more than is needed", "Zm9v====", 8 },
	{ "§3.3 a line break", "Zm9v\n", 5 },
	{ "§3.3 a line break within", "Zm\n9", 4 },
	{ "§3.3 a blank", "Zm 9", 4 },
	{ "§3.3 a NUL",
		"Zm\0"
		"9",
		4 },
	{ "§3.3 beyond ASCII", "Zm\xc3\xa4", 4 },
	{ "§5 the alphabet of URLs", "Zm-_", 4 },
	{ "§3.5 bits below two of padding", "Zh==", 4 },
	{ "§3.5 bits below two of padding", "Z/==", 4 },
	{ "§3.5 bits below one of padding", "Zm9=", 4 },
};

Test(base64, refused)
{
	uint8_t bytes[16];

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		cr_expect_eq(base64_decode(wrong[i].text, wrong[i].len, bytes), -1,
			"RFC 4648 %s: %s", wrong[i].section, wrong[i].text);
}

/* Whatever four characters decode to is encoded to the same four: §3.5. */
Test(base64, one_text_for_the_same_bytes)
{
	static const char characters[] = "ABQZaghwz059+/=";
	size_t n = sizeof(characters) - 1, right = 0;

	for (size_t i = 0; i < n * n * n * n; i++) {
		const char text[4] = { characters[i % n], characters[i / n % n],
			characters[i / n / n % n], characters[i / n / n / n] };
		uint8_t bytes[3];
		char again[5];
		ssize_t len = base64_decode(text, 4, bytes);

		if (len < 0)
			continue;
		right++;
		cr_assert_eq(base64_encode(bytes, (size_t)len, again), 4);
		cr_assert_eq(memcmp(again, text, 4), 0, "%.4s is %s", text, again);
	}
	cr_expect_gt(right, 14 * 14 * 14 * 14);
}

Test(base64, every_length_there_and_back)
{
	for (size_t len = 0; len < 100; len++) {
		AUTO(free_ptr)
		uint8_t *bytes = xmalloc(len + 1), *back = xmalloc(BASE64_LEN(len) + 1);
		AUTO(free_ptr) char *text = xmalloc(BASE64_LEN(len) + 1); /* to the byte */

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(i * 151 + len);
		cr_assert_eq(base64_encode(bytes, len, text), BASE64_LEN(len));
		cr_assert_eq(strlen(text), BASE64_LEN(len));
		cr_assert_eq(base64_decode(text, BASE64_LEN(len), back), (ssize_t)len);
		cr_assert_eq(memcmp(bytes, back, len), 0);
	}
}
