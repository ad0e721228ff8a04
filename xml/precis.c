/* xml/precis.c - the categories and rules of RFC 8264 on top of ICU's character properties. */
#include "xml/precis.h"

#include <pthread.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uidna.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>

#include "core/attr.h"

/* Wide enough for whatever shrinks to a part of 1,023 bytes (three bytes of a full-width letter
 * become one); what overflows it cannot become one. */
#define TEXT_MAX 4096
struct text16 {
	UChar at[TEXT_MAX];
	int32_t len;
};

static pthread_once_t opened = PTHREAD_ONCE_INIT;
static const UNormalizer2 *nfc, *nfkc;
static UIDNA *idna;

static void open_tables(void)
{
	UErrorCode error = U_ZERO_ERROR;

	nfc = unorm2_getNFCInstance(&error);
	nfkc = unorm2_getNFKCInstance(&error);
	idna = uidna_openUTS46(UIDNA_USE_STD3_RULES | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ |
			UIDNA_CHECK_CONTEXTO | UIDNA_NONTRANSITIONAL_TO_ASCII |
			UIDNA_NONTRANSITIONAL_TO_UNICODE,
		&error);
	REQUIRE(U_SUCCESS(error));
}

static bool decode(const char *text, size_t len, struct text16 *out)
{
	UErrorCode error = U_ZERO_ERROR;

	pthread_once(&opened, open_tables);
	if (!len || len > TEXT_MAX)
		return false;
	u_strFromUTF8(out->at, TEXT_MAX, &out->len, text, (int32_t)len, &error);
	return U_SUCCESS(error);
}

static int encode(const struct text16 *t, char *buffer, size_t max)
{
	UErrorCode error = U_ZERO_ERROR;
	int32_t len;

	u_strToUTF8(buffer, (int32_t)max + 1, &len, t->at, t->len, &error);
	if (U_FAILURE(error) || len < 1 || len > (int32_t)max)
		return -1;
	buffer[len] = 0;
	return len;
}

/* ---- RFC 8264 §8, §9: what a code point is ---- */

enum category { VALID, FREEFORM_ONLY, CONTEXT, DISALLOWED };

/* §9.6, with RFC 5892 §2.6 for the list. */
static bool exception(UChar32 c, enum category *out)
{
	switch (c) {
	case 0x00df:
	case 0x03c2:
	case 0x06fd:
	case 0x06fe:
	case 0x0f0b:
	case 0x3007:
		*out = VALID;
		return true;
	case 0x00b7:
	case 0x0375:
	case 0x05f3:
	case 0x05f4:
	case 0x30fb:
	case 0x0660 ... 0x0669:
	case 0x06f0 ... 0x06f9:
		*out = CONTEXT;
		return true;
	case 0x0640:
	case 0x07fa:
	case 0x302e:
	case 0x302f:
	case 0x3031 ... 0x3035:
	case 0x303b:
		*out = DISALLOWED;
		return true;
	default:
		return false;
	}
}

static bool is_old_hangul_jamo(UChar32 c)
{
	int32_t type = u_getIntPropertyValue(c, UCHAR_HANGUL_SYLLABLE_TYPE);

	return type == U_HST_LEADING_JAMO || type == U_HST_VOWEL_JAMO ||
		type == U_HST_TRAILING_JAMO;
}

/* §9.17: a compatibility equivalent of something else. */
static bool has_compat(UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar one[2];
	int32_t len = 0;

	U16_APPEND_UNSAFE(one, len, c);
	return !unorm2_isNormalized(nfkc, one, len, &error);
}

/* The order of §8 matters. */
static enum category category_of(UChar32 c)
{
	enum category known;

	if (exception(c, &known))
		return known;
	if (c >= 0x21 && c <= 0x7e)
		return VALID;
	if (u_charType(c) == U_UNASSIGNED) /* noncharacters too: both are refused */
		return DISALLOWED;
	if (u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL))
		return CONTEXT;
	if (is_old_hangul_jamo(c) || u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT))
		return DISALLOWED;
	if (u_charType(c) == U_CONTROL_CHAR)
		return DISALLOWED;
	if (has_compat(c))
		return FREEFORM_ONLY;
	switch (u_charType(c)) {
	case U_LOWERCASE_LETTER: /* §9.1 LetterDigits */
	case U_UPPERCASE_LETTER:
	case U_OTHER_LETTER:
	case U_DECIMAL_DIGIT_NUMBER:
	case U_MODIFIER_LETTER:
	case U_NON_SPACING_MARK:
	case U_COMBINING_SPACING_MARK:
		return VALID;
	case U_TITLECASE_LETTER: /* §9.18 OtherLetterDigits */
	case U_LETTER_NUMBER:
	case U_OTHER_NUMBER:
	case U_ENCLOSING_MARK:
	case U_SPACE_SEPARATOR: /* §9.14 Spaces */
	case U_MATH_SYMBOL: /* §9.15 Symbols */
	case U_CURRENCY_SYMBOL:
	case U_MODIFIER_SYMBOL:
	case U_OTHER_SYMBOL:
	case U_CONNECTOR_PUNCTUATION: /* §9.16 Punctuation */
	case U_DASH_PUNCTUATION:
	case U_START_PUNCTUATION:
	case U_END_PUNCTUATION:
	case U_INITIAL_PUNCTUATION:
	case U_FINAL_PUNCTUATION:
	case U_OTHER_PUNCTUATION:
		return FREEFORM_ONLY;
	default:
		return DISALLOWED;
	}
}

/* ---- RFC 5892 appendix A: what its neighbours must be ---- */

#define NONE ((UChar32)-1)

static UChar32 before(const struct text16 *t, int32_t at)
{
	UChar32 c;

	if (at <= 0)
		return NONE;
	U16_PREV(t->at, 0, at, c);
	return c;
}

static UChar32 after(const struct text16 *t, int32_t at)
{
	UChar32 c;

	U16_FWD_1(t->at, at, t->len);
	if (at >= t->len)
		return NONE;
	U16_NEXT(t->at, at, t->len, c);
	return c;
}

static bool follows_virama(const struct text16 *t, int32_t at)
{
	UChar32 c = before(t, at);

	return c != NONE && u_getCombiningClass(c) == 9;
}

static int32_t joining_type(UChar32 c)
{
	return u_getIntPropertyValue(c, UCHAR_JOINING_TYPE);
}

/* A.1: (L|D) T* ZWNJ T* (R|D) */
static bool between_joiners(const struct text16 *t, int32_t at)
{
	int32_t i = at, type = U_JT_TRANSPARENT;
	UChar32 c;

	while (i > 0 && type == U_JT_TRANSPARENT) {
		U16_PREV(t->at, 0, i, c);
		type = joining_type(c);
	}
	if (type != U_JT_LEFT_JOINING && type != U_JT_DUAL_JOINING)
		return false;
	type = U_JT_TRANSPARENT;
	i = at + 1;
	while (i < t->len && type == U_JT_TRANSPARENT) {
		U16_NEXT(t->at, i, t->len, c);
		type = joining_type(c);
	}
	return type == U_JT_RIGHT_JOINING || type == U_JT_DUAL_JOINING;
}

static bool is_of_script(UChar32 c, UScriptCode script)
{
	return c != NONE && u_getIntPropertyValue(c, UCHAR_SCRIPT) == (int32_t)script;
}

static bool any_between(const struct text16 *t, UChar32 first, UChar32 last)
{
	for (int32_t i = 0; i < t->len; i++)
		if (t->at[i] >= first && t->at[i] <= last)
			return true;
	return false;
}

static bool any_japanese(const struct text16 *t)
{
	UChar32 c;

	for (int32_t i = 0; i < t->len;) {
		U16_NEXT(t->at, i, t->len, c);
		if (is_of_script(c, USCRIPT_HIRAGANA) || is_of_script(c, USCRIPT_KATAKANA) ||
			is_of_script(c, USCRIPT_HAN))
			return true;
	}
	return false;
}

static bool context_allows(const struct text16 *t, int32_t at, UChar32 c)
{
	switch (c) {
	case 0x200c: /* A.1 ZERO WIDTH NON-JOINER */
		return follows_virama(t, at) || between_joiners(t, at);
	case 0x200d: /* A.2 ZERO WIDTH JOINER */
		return follows_virama(t, at);
	case 0x00b7: /* A.3 MIDDLE DOT */
		return before(t, at) == 'l' && after(t, at) == 'l';
	case 0x0375: /* A.4 GREEK LOWER NUMERAL SIGN */
		return is_of_script(after(t, at), USCRIPT_GREEK);
	case 0x05f3: /* A.5 HEBREW PUNCTUATION GERESH */
	case 0x05f4: /* A.6 HEBREW PUNCTUATION GERSHAYIM */
		return is_of_script(before(t, at), USCRIPT_HEBREW);
	case 0x30fb: /* A.7 KATAKANA MIDDLE DOT */
		return any_japanese(t);
	case 0x0660 ... 0x0669: /* A.8 ARABIC-INDIC DIGITS */
		return !any_between(t, 0x06f0, 0x06f9);
	case 0x06f0 ... 0x06f9: /* A.9 EXTENDED ARABIC-INDIC DIGITS */
		return !any_between(t, 0x0660, 0x0669);
	default:
		return false;
	}
}

/* Every code point is in the class: IdentifierClass, or FreeformClass as well. */
static bool in_class(const struct text16 *t, bool freeform)
{
	UChar32 c;

	for (int32_t i = 0, at; i < t->len;) {
		at = i;
		U16_NEXT(t->at, i, t->len, c);
		switch (category_of(c)) {
		case VALID:
			break;
		case FREEFORM_ONLY:
			if (!freeform)
				return false;
			break;
		case CONTEXT:
			if (!context_allows(t, at, c))
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

/* ---- RFC 5893 §2: the Bidi rule ---- */

#define DIR(x) (1u << (x))
#define RTL_START (DIR(U_RIGHT_TO_LEFT) | DIR(U_RIGHT_TO_LEFT_ARABIC))
#define NEUTRAL                                                              \
	(DIR(U_EUROPEAN_NUMBER_SEPARATOR) | DIR(U_COMMON_NUMBER_SEPARATOR) | \
		DIR(U_EUROPEAN_NUMBER_TERMINATOR) | DIR(U_OTHER_NEUTRAL) |   \
		DIR(U_BOUNDARY_NEUTRAL) | DIR(U_DIR_NON_SPACING_MARK))
#define RTL_MAY (RTL_START | NEUTRAL | DIR(U_ARABIC_NUMBER) | DIR(U_EUROPEAN_NUMBER))
#define LTR_MAY (DIR(U_LEFT_TO_RIGHT) | DIR(U_EUROPEAN_NUMBER) | NEUTRAL)

static bool bidi_allows(const struct text16 *t)
{
	unsigned all = 0, first = 0, last = 0;
	UChar32 c;

	for (int32_t i = 0; i < t->len;) {
		unsigned dir;

		U16_NEXT(t->at, i, t->len, c);
		dir = DIR(u_charDirection(c));
		if (!all)
			first = dir;
		if (dir != DIR(U_DIR_NON_SPACING_MARK))
			last = dir;
		all |= dir;
	}
	if (!(all & (RTL_START | DIR(U_ARABIC_NUMBER))))
		return true; /* the rule is for text that has right-to-left characters */
	if (first & RTL_START)
		return !(all & ~RTL_MAY) && /* 2 */
			(last &
				(RTL_START | DIR(U_ARABIC_NUMBER) |
					DIR(U_EUROPEAN_NUMBER))) && /* 3 */
			!((all & DIR(U_ARABIC_NUMBER)) && (all & DIR(U_EUROPEAN_NUMBER))); /* 4 */
	return (first & DIR(U_LEFT_TO_RIGHT)) && /* 1 */
		!(all & ~LTR_MAY) && /* 5 */
		(last & (DIR(U_LEFT_TO_RIGHT) | DIR(U_EUROPEAN_NUMBER))); /* 6 */
}

/* ---- mappings ---- */

static bool normalize(struct text16 *t)
{
	UErrorCode error = U_ZERO_ERROR;
	struct text16 out;

	out.len = unorm2_normalize(nfc, t->at, t->len, out.at, TEXT_MAX, &error);
	if (U_FAILURE(error))
		return false;
	u_memcpy(t->at, out.at, out.len);
	t->len = out.len;
	return true;
}

/* Full-width and half-width code points become what they decompose to. RFC 8264 §5.2.1. */
static bool map_width(struct text16 *t)
{
	struct text16 out = { .len = 0 };
	UErrorCode error = U_ZERO_ERROR;
	UChar32 c;

	for (int32_t i = 0; i < t->len;) {
		int32_t type, room = TEXT_MAX - out.len, n;

		if (room < 2)
			return false;
		U16_NEXT(t->at, i, t->len, c);
		type = u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE);
		if (type == U_DT_WIDE || type == U_DT_NARROW) {
			n = unorm2_getRawDecomposition(nfkc, c, out.at + out.len, room, &error);
			if (U_FAILURE(error) || n < 0)
				return false;
			out.len += n;
		} else {
			U16_APPEND_UNSAFE(out.at, out.len, c);
		}
	}
	u_memcpy(t->at, out.at, out.len);
	t->len = out.len;
	return true;
}

static bool map_case(struct text16 *t)
{
	UErrorCode error = U_ZERO_ERROR;
	struct text16 out;

	out.len = u_strToLower(out.at, TEXT_MAX, t->at, t->len, "", &error);
	if (U_FAILURE(error))
		return false;
	u_memcpy(t->at, out.at, out.len);
	t->len = out.len;
	return true;
}

/* RFC 8265 §4.2.1: every other space becomes U+0020. */
static bool map_spaces(struct text16 *t)
{
	for (int32_t i = 0; i < t->len; i++) /* all of Zs is in the basic plane */
		if (u_charType(t->at[i]) == U_SPACE_SEPARATOR)
			t->at[i] = ' ';
	return true;
}

/* ---- profiles ---- */

static bool username_once(struct text16 *t)
{
	return map_width(t) && map_case(t) && normalize(t) && bidi_allows(t) && in_class(t, false);
}

static bool opaque_once(struct text16 *t)
{
	return map_spaces(t) && normalize(t) && in_class(t, true);
}

/* RFC 8264 §7: applied until the result is stable, at most four times. */
static int enforce(
	bool (*once)(struct text16 *), const char *text, size_t len, char *buffer, size_t max)
{
	struct text16 t, was;

	if (!decode(text, len, &t))
		return -1;
	for (int round = 0; round < 4; round++) {
		u_memcpy(was.at, t.at, t.len);
		was.len = t.len;
		if (!once(&t))
			return -1;
		if (was.len == t.len && !u_memcmp(was.at, t.at, t.len))
			return encode(&t, buffer, max);
	}
	return -1;
}

int precis_username(const char *text, size_t len, char *buffer, size_t max)
{
	return enforce(username_once, text, len, buffer, max);
}

int precis_opaque(const char *text, size_t len, char *buffer, size_t max)
{
	return enforce(opaque_once, text, len, buffer, max);
}

/* UTS #46 lets symbols through for IDNA2003's sake; RFC 5892 §3 does not, and what its mapping left
 * is by that table what is in the IdentifierClass. */
static bool labels_in_class(const struct text16 *t)
{
	struct text16 label;

	for (int32_t from = 0, to; from < t->len; from = to + 1) {
		for (to = from; to < t->len && t->at[to] != '.'; to++)
			;
		label.len = to - from;
		u_memcpy(label.at, t->at + from, label.len);
		if (!in_class(&label, false))
			return false;
	}
	return true;
}

/* To U-labels, lower case, NFC. A name that could not be looked up, because one of its labels is
 * too long as an A-label, is none. */
int precis_domain(const char *text, size_t len, char *buffer, size_t max)
{
	UIDNAInfo info = UIDNA_INFO_INITIALIZER;
	UErrorCode error = U_ZERO_ERROR;
	struct text16 t, unicode;

	if (!decode(text, len, &t))
		return -1;
	unicode.len = uidna_nameToUnicode(idna, t.at, t.len, unicode.at, TEXT_MAX, &info, &error);
	if (U_FAILURE(error) || info.errors || !labels_in_class(&unicode))
		return -1;
	if (unicode.len && unicode.at[unicode.len - 1] == '.') /* was one of the other full stops */
		unicode.len--;
	t.len = uidna_nameToASCII(idna, unicode.at, unicode.len, t.at, TEXT_MAX, &info, &error);
	if (U_FAILURE(error) || (info.errors & ~(uint32_t)UIDNA_ERROR_DOMAIN_NAME_TOO_LONG))
		return -1;
	return encode(&unicode, buffer, max);
}

int precis_domain_ascii(const char *text, size_t len, char *buffer, size_t max)
{
	UIDNAInfo info = UIDNA_INFO_INITIALIZER;
	UErrorCode error = U_ZERO_ERROR;
	struct text16 t, labels;

	if (!decode(text, len, &t))
		return -1;
	labels.len = uidna_nameToASCII(idna, t.at, t.len, labels.at, TEXT_MAX, &info, &error);
	if (U_FAILURE(error) || info.errors)
		return -1;
	return encode(&labels, buffer, max);
}
