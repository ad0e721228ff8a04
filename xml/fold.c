/* xml/fold.c - ICU's NFKC_Casefold, and spaces. */
#include "xml/fold.h"

#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>

#define UNITS_MAX (4 * FOLD_READS_MAX) /* of UTF-16, folded; what is longer is not folded */

size_t text_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

/* In place: runs of white space become one space, those at the ends go. */
static int32_t squeeze(UChar *at, int32_t len)
{
	int32_t out = 0, i = 0;

	while (i < len) {
		int32_t from = i;
		UChar32 c;

		U16_NEXT(at, i, len, c);
		if (!u_isUWhiteSpace(c)) {
			memmove(at + out, at + from, (size_t)(i - from) * sizeof(*at));
			out += i - from;
		} else if (out && at[out - 1] != ' ') {
			at[out++] = ' ';
		}
	}
	return out && at[out - 1] == ' ' ? out - 1 : out;
}

/* Whole characters of it, as many as fit. */
static size_t write_utf8(const UChar *at, int32_t len, char *buffer, size_t max)
{
	size_t out = 0;
	int32_t i = 0;

	while (i < len) {
		uint8_t bytes[U8_MAX_LENGTH];
		size_t n = 0;
		UChar32 c;

		U16_NEXT(at, i, len, c);
		U8_APPEND_UNSAFE(bytes, n, c);
		if (out + n > max)
			break;
		memcpy(buffer + out, bytes, n);
		out += n;
	}
	buffer[out] = '\0';
	return out;
}

size_t text_fold(const char *text, size_t len, char *buffer, size_t max)
{
	UErrorCode error = U_ZERO_ERROR;
	const UNormalizer2 *folding = unorm2_getNFKCCasefoldInstance(&error);
	UChar given[FOLD_READS_MAX], folded[UNITS_MAX];
	int32_t n;

	buffer[0] = '\0';
	len = text_cut(text, len, FOLD_READS_MAX);
	u_strFromUTF8(given, FOLD_READS_MAX, &n, text, (int32_t)len, &error);
	n = unorm2_normalize(folding, given, n, folded, UNITS_MAX, &error);
	if (U_FAILURE(error))
		return 0;
	return write_utf8(folded, squeeze(folded, n), buffer, max);
}
