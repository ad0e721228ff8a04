/* tests/unit/bench/test_scan.c - where the stanzas of a stream begin and end, however its bytes are
 * cut; and the attributes of a stanza. */
#include "bench/bench_scan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_attr.h"

#define OPEN "<?xml version='1.0'?><stream:stream to='a>b' xmlns='jabber:client'>"
static const struct {
	const char *stream; /* behind OPEN */
	const char *seen; /* what is found, each in brackets; "/" the end of the stream */
} rows[] = {
	{ "<a/>", "[<a/>]" },
	{ "<a><b/><c>text</c></a><d/>", "[<a><b/><c>text</c></a>][<d/>]" },
	{ " \n<a/> \n<b></b> ", "[<a/>][<b></b>]" },
	{ "<a x='>' y=\"/>'\"/><b/>", "[<a x='>' y=\"/>'\"/>][<b/>]" },
	{ "<a><![CDATA[</a><b>]]></a>", "[<a><![CDATA[</a><b>]]></a>]" },
	{ "<a><!-- </a> --></a>", "[<a><!-- </a> --></a>]" },
	{ "<a><?pi </a>?></a><b/>", "[<a><?pi </a>?></a>][<b/>]" },
	{ "<a><a><a/></a></a>", "[<a><a><a/></a></a>]" },
	{ "<a/></stream:stream>", "[<a/>]/" },
	{ "<a><b>", "" },
};

/* Reads as a client does: keeps what is not finished, and goes on with what comes behind it. */
static void read_in_pieces(const char *stream, size_t piece, char *seen)
{
	char kept[400] = "";
	struct scan s = { 0 };
	size_t from, to;

	*seen = 0;
	for (size_t len = strlen(stream), at = 0; at < len; at += piece) {
		size_t more = len - at < piece ? len - at : piece, size;
		enum scan_what what;

		strncat(kept, stream + at, more);
		size = strlen(kept);
		while ((what = scan_next(&s, kept, size, &from, &to)) != SCAN_MORE)
			if (what == SCAN_STANZA)
				sprintf(seen + strlen(seen), "[%.*s]", (int)(to - from),
					kept + from);
			else if (what == SCAN_CLOSE)
				strcat(seen, "/");
		from = scan_keep(&s);
		memmove(kept, kept + from, size - from + 1);
	}
}

Test(scan, finds_the_same_however_it_is_cut)
{
	char stream[400], seen[400];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(stream, sizeof(stream), "%s%s", OPEN, rows[i].stream);
		for (size_t piece = 1; piece <= strlen(stream); piece++) {
			read_in_pieces(stream, piece, seen);
			cr_assert_str_eq(
				seen, rows[i].seen, "%s by %zu: %s", rows[i].stream, piece, seen);
		}
	}
}

static const struct {
	const char *text, *name, *value; /* NULL: none */
} attributes[] = {
	{ "<a id='1'/>", "id", "1" },
	{ "<a id=\"1\">", "id", "1" },
	{ "<message from='a@b/c' id='7-9'><x id='2'/></message>", "id", "7-9" },
	{ "<a xid='1' id='2'/>", "id", "2" },
	{ "<a x=' id=3 ' id='4'/>", "id", "4" },
	{ "<a x=\"it's\" id='5'/>", "id", "5" },
	{ "<a id=''/>", "id", "" },
	{ "<a><b id='1'/></a>", "id", NULL },
	{ "<a/>", "id", NULL },
	{ "<a id='1", "id", NULL },
	{ "<a id=", "id", NULL },
	{ "<a id", "id", NULL },
	{ "<a ", "id", NULL },
	{ "", "id", NULL },
};

Test(attr, those_of_the_first_tag)
{
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		const char *value;
		size_t len;
		bool found = attr_of(attributes[i].text, attributes[i].name, &value, &len);

		cr_expect_eq(found, attributes[i].value != NULL, "%s", attributes[i].text);
		if (found && attributes[i].value) {
			cr_expect_eq(len, strlen(attributes[i].value), "%s", attributes[i].text);
			cr_expect(attr_is(attributes[i].text, attributes[i].name,
					  attributes[i].value),
				"%s", attributes[i].text);
		}
	}
}

Test(attr, numbers)
{
	cr_expect_eq(attr_number("<a id='12'/>", "id"), 12);
	cr_expect_eq(attr_number("<a id=''/>", "id"), -1);
	cr_expect_eq(attr_number("<a/>", "id"), -1);
}
