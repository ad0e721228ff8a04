/* Which messages are kept: XEP-0160 §3, XEP-0313 §6.1.1, XEP-0334 §4. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "modules/message_log.h"
#include "xml/parser.h"

#define ARCHIVE MESSAGE_WORTH_ARCHIVE
#define KEEP MESSAGE_WORTH_KEEPING
#define BOTH (ARCHIVE | KEEP)

static const struct parser_limits limits = { 10 << 20, 1000, PARSER_ATTRS };

static const struct {
	const char *section, *type, *payload;
	unsigned want;
} rows[] = {
	{ "0160 3", "chat", "<body>hi</body>", BOTH },
	{ "0160 3", "normal", "<body>hi</body>", BOTH },
	{ "0160 3", "groupchat", "<body>hi</body>", 0 },
	{ "0160 3", "headline", "<body>hi</body>", 0 },
	{ "0160 3", "error", "<body>hi</body>", 0 },
	{ "0160 3", "chat", "<active xmlns='http://jabber.org/protocol/chatstates'/>", 0 },
	{ "0160 3", "chat",
		"<composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>", 0 },
	{ "0160 3", "chat",
		"<body>hi</body><active xmlns='http://jabber.org/protocol/chatstates'/>", BOTH },
	{ "0160 3", "chat", "", 0 },
	{ "0313 6.1.1", "chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", BOTH },
	{ "0184 5.3", "chat", "<request xmlns='urn:xmpp:receipts'/>", 0 },
	{ "0333 8.2", "chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", BOTH },
	{ "0384 5.8", "chat", "<encrypted xmlns='urn:xmpp:omemo:2'/>", BOTH },
	{ "0334 4.1", "chat", "<body>hi</body><no-permanent-store xmlns='urn:xmpp:hints'/>", KEEP },
	{ "0334 4.2", "chat", "<body>hi</body><no-store xmlns='urn:xmpp:hints'/>", 0 },
	{ "0334 4.4", "chat",
		"<composing xmlns='http://jabber.org/protocol/chatstates'/>"
		"<store xmlns='urn:xmpp:hints'/>",
		BOTH },
	{ "0334 4.4", "headline", "<body>hi</body><store xmlns='urn:xmpp:hints'/>", ARCHIVE },
	{ "0334 4.1", "headline",
		"<body>hi</body><store xmlns='urn:xmpp:hints'/>"
		"<no-permanent-store xmlns='urn:xmpp:hints'/>",
		0 },
	{ "0334 4.4", "error", "<body>hi</body><store xmlns='urn:xmpp:hints'/>", 0 },
	{ "0334 4.4", "groupchat", "<body>hi</body><store xmlns='urn:xmpp:hints'/>", 0 },
};

Test(message_worth, is_what_the_specifications_say)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stanza *s;
		char text[512];

		snprintf(text, sizeof(text), "<message type='%s'>%s</message>", rows[i].type,
			rows[i].payload);
		cr_assert_eq(parse_stanza(text, strlen(text), &limits, &s), PARSER_OK);
		cr_expect_eq(message_worth(s), rows[i].want, "%s: %s", rows[i].section, text);
		stanza_unref(s);
	}
}
