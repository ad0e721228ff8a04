/* tests/unit/modules/test_caps_hash.c - the examples of XEP-0115 and XEP-0390, and answers that are
 * not what they seem. */
#include "modules/caps_hash.h"
#include "tests/support/asking.h"

#define Q(inside) "<query xmlns='http://jabber.org/protocol/disco#info'>" inside "</query>"
#define F(var) "<feature var='" var "'/>"
#define ID(category, type, name) \
	"<identity category='" category "' type='" type "' name='" name "'/>"
#define PC ID("client", "pc", "x")
#define FORM(inside) "<x xmlns='jabber:x:data' type='result'>" inside "</x>"
#define FT(type) "<field var='FORM_TYPE' type='hidden'><value>" type "</value></field>"
#define V(var, value) "<field var='" var "'><value>" value "</value></field>"

/* XEP-0115 §5.2, §5.3 */
#define SIMPLE                                                                                   \
	Q(ID("client", "pc", "Exodus 0.9.1") F("http://jabber.org/protocol/disco#info")          \
			F("http://jabber.org/protocol/muc") F("http://jabber.org/protocol/caps") \
				F("http://jabber.org/protocol/disco#items"))
#define COMPLEX                                                                                    \
	"<query xmlns='http://jabber.org/protocol/disco#info'"                                     \
	" node='http://psi-im.org#q07IKJEyjvHSyhy//CH0CxmKi8w='>"                                  \
	"<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>"                    \
	"<identity xml:lang='el' category='client' name='\xce\xa8 0.11' type='pc'/>" F(            \
		"http://jabber.org/protocol/caps") F("http://jabber.org/protocol/disco#info")      \
		F("http://jabber.org/protocol/disco#items") F("http://jabber.org/protocol/muc")    \
			FORM(FT("urn:xmpp:dataforms:softwareinfo") "<field var='ip_version' "      \
								   "type='text-multi'>"            \
								   "<value>ipv4</value>"           \
								   "<value>ipv6</value>"           \
								   "</field>" V("os", "Mac") V(    \
									   "os_version",           \
									   "10.5.1") V("software", \
									   "Psi") V("software_"    \
										    "version",     \
									   "0.11")) "</query>"
/* XEP-0390 §4.5 */
static const char simple_2[] =
	"<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' "
	"name='BombusMod' type='mobile'/>"
	"<feature var='http://jabber.org/protocol/si'/><feature "
	"var='http://jabber.org/protocol/bytestreams'/>"
	"<feature var='http://jabber.org/protocol/chatstates'/><feature "
	"var='http://jabber.org/protocol/disco#info'/>"
	"<feature var='http://jabber.org/protocol/disco#items'/><feature var='urn:xmpp:ping'/>"
	"<feature var='jabber:iq:time'/><feature var='jabber:iq:privacy'/>"
	"<feature var='jabber:iq:version'/><feature var='http://jabber.org/protocol/rosterx'/>"
	"<feature var='urn:xmpp:time'/><feature var='jabber:x:oob'/><feature "
	"var='http://jabber.org/protocol/ibb'/>"
	"<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
	"<feature var='urn:xmpp:receipts'/><feature var='jabber:iq:roster'/>"
	"<feature var='jabber:iq:last'/></query>";
static const char complex_2[] =
	"<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' "
	"name='Tkabber' type='pc' xml:lang='en'/>"
	"<identity category='client' name='Ткаббер' type='pc' xml:lang='ru'/>"
	"<feature var='games:board'/><feature var='http://jabber.org/protocol/activity'/>"
	"<feature var='http://jabber.org/protocol/activity+notify'/><feature "
	"var='http://jabber.org/protocol/bytestreams'/>"
	"<feature var='http://jabber.org/protocol/chatstates'/><feature "
	"var='http://jabber.org/protocol/commands'/>"
	"<feature var='http://jabber.org/protocol/disco#info'/><feature "
	"var='http://jabber.org/protocol/disco#items'/>"
	"<feature var='http://jabber.org/protocol/evil'/><feature "
	"var='http://jabber.org/protocol/feature-neg'/>"
	"<feature var='http://jabber.org/protocol/geoloc'/><feature "
	"var='http://jabber.org/protocol/geoloc+notify'/>"
	"<feature var='http://jabber.org/protocol/ibb'/><feature "
	"var='http://jabber.org/protocol/iqibb'/>"
	"<feature var='http://jabber.org/protocol/mood'/><feature "
	"var='http://jabber.org/protocol/mood+notify'/>"
	"<feature var='http://jabber.org/protocol/rosterx'/><feature "
	"var='http://jabber.org/protocol/si'/>"
	"<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
	"<feature var='http://jabber.org/protocol/tune'/><feature "
	"var='http://www.facebook.com/xmpp/messages'/>"
	"<feature var='http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify'/>"
	"<feature var='jabber:iq:avatar'/><feature var='jabber:iq:browse'/>"
	"<feature var='jabber:iq:dtcp'/><feature var='jabber:iq:filexfer'/>"
	"<feature var='jabber:iq:ibb'/><feature var='jabber:iq:inband'/>"
	"<feature var='jabber:iq:jidlink'/><feature var='jabber:iq:last'/>"
	"<feature var='jabber:iq:oob'/><feature var='jabber:iq:privacy'/>"
	"<feature var='jabber:iq:roster'/><feature var='jabber:iq:time'/>"
	"<feature var='jabber:iq:version'/><feature var='jabber:x:data'/>"
	"<feature var='jabber:x:event'/><feature var='jabber:x:oob'/><feature "
	"var='urn:xmpp:avatar:metadata+notify'/>"
	"<feature var='urn:xmpp:ping'/><feature var='urn:xmpp:receipts'/>"
	"<feature var='urn:xmpp:time'/><x xmlns='jabber:x:data' type='result'>"
	"<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:dataforms:softwareinfo</value>"
	"</field><field var='software'><value>Tkabber</value></field><field var='software_version'>"
	"<value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field>"
	"<field var='os'><value>Windows</value></field><field var='os_version'>"
	"<value>XP</value></field></x></query>";

static const struct {
	const char *section;
	enum caps_version version;
	const char *algorithm, *query;
	enum caps_outcome outcome;
	const char *hash; /* NULL: not looked at */
} rows[] = {
	{ "0115 §5.2", CAPS_1, "sha-1", SIMPLE, CAPS_GOOD, "QgayPKawpkPSDYmwT/WM94uAlu0=" },
	{ "0115 §5.3, its form could be features", CAPS_1, "sha-1", COMPLEX, CAPS_AMBIGUOUS,
		"q07IKJEyjvHSyhy//CH0CxmKi8w=" },
	{ "0390 §4.5.1", CAPS_2, "sha-256", simple_2, CAPS_GOOD,
		"kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=" },
	{ "0390 §4.5.1", CAPS_2, "sha3-256", simple_2, CAPS_GOOD,
		"79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=" },
	{ "0390 §4.5.2", CAPS_2, "sha-256", complex_2, CAPS_GOOD,
		"u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=" },
	{ "0390 §4.5.2", CAPS_2, "sha3-256", complex_2, CAPS_GOOD,
		"XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=" },
	{ "0115 §5.4 2", CAPS_1, "md5", SIMPLE, CAPS_NO_ALGORITHM, NULL },
	{ "0115 §5.4 2", CAPS_1, "", SIMPLE, CAPS_NO_ALGORITHM, NULL },
	{ "0115 §5.4 3.3", CAPS_1, "sha-1", Q(PC PC F("a")), CAPS_ILL_FORMED, NULL },
	{ "0115 §5.4 3.3, not the same", CAPS_1, "sha-1", Q(PC ID("client", "pc", "y") F("a")),
		CAPS_GOOD, NULL },
	{ "0115 §5.4 3.4", CAPS_1, "sha-1", Q(PC F("a") F("b") F("a")), CAPS_ILL_FORMED, NULL },
	{ "0115 §5.4 3.5", CAPS_1, "sha-1", Q(PC F("z") FORM(FT("t")) FORM(FT("t"))),
		CAPS_ILL_FORMED, NULL },
	{ "0115 §5.4 3.5", CAPS_1, "sha-1",
		Q(PC F("z") FORM("<field var='FORM_TYPE' type='hidden'><value>t</value>"
				 "<value>u</value></field>")),
		CAPS_ILL_FORMED, NULL },
	{ "0115 §5.4 3.5, twice the same", CAPS_1, "sha-1",
		Q(PC F("z") FORM("<field var='FORM_TYPE' type='hidden'><value>t</value>"
				 "<value>t</value></field>")),
		CAPS_GOOD, NULL },
	{ "0115 §5.1 a form that sorts before the last feature", CAPS_1, "sha-1",
		Q(PC F("z") FORM(FT("t") V("b", "2") V("a", "1"))), CAPS_GOOD, NULL },
	{ "0115 §8.3 features hidden in a form", CAPS_1, "sha-1",
		Q(PC F("a") FORM(FT("urn:encrypts") V("urn:more", "urn:most"))), CAPS_AMBIGUOUS,
		NULL },
	{ "0115 §8.3 all of them", CAPS_1, "sha-1", Q(PC FORM(FT("a") V("b", "c"))), CAPS_AMBIGUOUS,
		NULL },
	{ "0115 §8.3 features hidden in identities", CAPS_1, "sha-1",
		Q(PC "<identity category='http:' xml:lang='jabber.org' name='protocol/caps' "
		     "type=''/>" F("z")),
		CAPS_AMBIGUOUS, NULL },
	{ "0115 §8.3 identities among features", CAPS_1, "sha-1", Q(F("client/pc//x") F("z")),
		CAPS_AMBIGUOUS, NULL },
	{ "0115 §8.3 identities among features", CAPS_1, "sha-1", Q(PC F("client/pd//x") F("z")),
		CAPS_AMBIGUOUS, NULL },
	{ "0115 §8.3 other borders of an identity", CAPS_1, "sha-1",
		Q("<identity category='client/pc' type='a' name='x'/>" F("z")), CAPS_AMBIGUOUS,
		NULL },
	{ "0115 §8.3 < in a feature", CAPS_1, "sha-1", Q(PC F("a&lt;b") F("z")), CAPS_AMBIGUOUS,
		NULL },
	{ "0115 §8.3 < in a name", CAPS_1, "sha-1", Q(ID("client", "pc", "x&lt;a") F("z")),
		CAPS_AMBIGUOUS, NULL },
	{ "0115 §8.3 < in a form", CAPS_1, "sha-1",
		Q(PC F("z") FORM(FT("t") V("a", "1&lt;b&lt;2"))), CAPS_AMBIGUOUS, NULL },
	{ "0115 §8.3 < in a form", CAPS_1, "sha-1", Q(PC F("z") FORM(FT("t") V("a&lt;b", "1"))),
		CAPS_AMBIGUOUS, NULL },
	{ "0115 §8.3 < in a form", CAPS_1, "sha-1", Q(PC F("z") FORM(FT("t&lt;a"))), CAPS_AMBIGUOUS,
		NULL },
	{ "0390 §4.1 1", CAPS_2, "sha-256", Q(PC F("a") "<other/>"), CAPS_ILL_FORMED, NULL },
	{ "0390 §4.1 2", CAPS_2, "sha-256", Q(PC F("a") FORM(FT("t") "<reported/>")),
		CAPS_ILL_FORMED, NULL },
	{ "0390 §4.1 2", CAPS_2, "sha-256", Q(PC F("a") FORM(FT("t") "<item/>")), CAPS_ILL_FORMED,
		NULL },
	{ "0390 §4.1 3", CAPS_2, "sha-256", Q(PC F("a") FORM(V("a", "1"))), CAPS_ILL_FORMED, NULL },
	{ "0390 §4.1 says what each is", CAPS_2, "sha-256",
		Q(PC F("a") FORM(FT("urn:encrypts") V("urn:more", "urn:most"))), CAPS_GOOD, NULL },
};

static enum caps_outcome hash(
	enum caps_version v, const char *algorithm, const char *query, char out[CAPS_HASH_MAX])
{
	struct stanza *s = parse_unsealed(query);
	enum caps_outcome outcome;

	out[0] = '\0';
	outcome = caps_hash(v, algorithm, s->root, NULL, out);
	stanza_unref(s);
	return outcome;
}

Test(caps_hash, outcomes)
{
	char text[CAPS_HASH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cr_expect_eq(hash(rows[i].version, rows[i].algorithm, rows[i].query, text),
			rows[i].outcome, "%s: %s", rows[i].section, rows[i].query);
		if (rows[i].hash)
			cr_expect_str_eq(text, rows[i].hash, "%s: %s", rows[i].section, text);
	}
}

static const struct {
	const char *section;
	enum caps_version version;
	const char *a, *b;
} same[] = {
	{ "0115 §5.1 order", CAPS_1, Q(PC ID("a", "b", "c") F("y") F("z")),
		Q(F("z") ID("a", "b", "c") F("y") PC) },
	{ "0115 §5.1 order by parts", CAPS_1, Q(ID("a", "x", "") ID("a-b", "x", "") F("z")),
		Q(ID("a-b", "x", "") ID("a", "x", "") F("z")) },
	{ "0115 §5.1 order in forms", CAPS_1,
		Q(PC F("z") FORM(V("b", "2") FT("t") V("a", "1")) FORM(FT("s"))),
		Q(PC F("z") FORM(FT("s")) FORM(FT("t") V("a", "1") V("b", "2"))) },
	{ "0115 §5.4 3.6", CAPS_1, Q(PC F("z") FORM(V("a", "1"))), Q(PC F("z")) },
	{ "0115 §5.4 3.6", CAPS_1, Q(PC F("z") FORM(V("FORM_TYPE", "t") V("a", "1"))),
		Q(PC F("z")) },
	{ "0390 §4.1 order", CAPS_2,
		Q(PC F("z") F("y") FORM(V("b", "2") FT("t") V("a", "1")) FORM(FT("s"))),
		Q(FORM(FT("s")) F("y") PC FORM(FT("t") V("a", "1") V("b", "2")) F("z")) },
};

Test(caps_hash, order_does_not_matter)
{
	char a[CAPS_HASH_MAX], b[CAPS_HASH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		cr_expect_eq(hash(same[i].version, "sha-1", same[i].a, a), CAPS_GOOD);
		cr_expect_eq(hash(same[i].version, "sha-1", same[i].b, b), CAPS_GOOD);
		cr_expect_str_eq(a, b, "%s: %s", same[i].section, same[i].a);
	}
}

/* The attack of 2009: the same string S. */
Test(caps_hash, section_8_3_the_same_hash_for_other_features)
{
	char a[CAPS_HASH_MAX], b[CAPS_HASH_MAX];

	cr_expect_eq(
		hash(CAPS_1, "sha-1", Q(PC F("a") F("urn:encrypts") F("urn:more")), a), CAPS_GOOD);
	cr_expect_eq(hash(CAPS_1, "sha-1",
			     Q(PC F("a") FORM(FT("urn:encrypts") "<field var='urn:more'/>")), b),
		CAPS_AMBIGUOUS);
	cr_expect_str_eq(a, b);
	cr_expect_eq(
		hash(CAPS_2, "sha-1", Q(PC F("a") F("urn:encrypts") F("urn:more")), a), CAPS_GOOD);
	cr_expect_eq(hash(CAPS_2, "sha-1",
			     Q(PC F("a") FORM(FT("urn:encrypts") "<field var='urn:more'/>")), b),
		CAPS_GOOD);
	cr_expect_str_neq(a, b);
}

Test(caps_hash, languages)
{
	struct stanza *s = parse_unsealed(Q("<identity category='client' type='pc'/>" F("a")));
	char a[CAPS_HASH_MAX], b[CAPS_HASH_MAX];

	caps_hash(CAPS_1, "sha-1", s->root, "en", a);
	caps_hash(CAPS_1, "sha-1", s->root, NULL, b);
	cr_expect_str_eq(a, b);
	caps_hash(CAPS_2, "sha-1", s->root, "en", a);
	caps_hash(CAPS_2, "sha-1", s->root, NULL, b);
	cr_expect_str_neq(a, b, "0390 §4.1: it is inherited");
	stanza_unref(s);
}

Test(caps_hash, limits)
{
	static char text[200000];
	char out[CAPS_HASH_MAX], *at = text;

	at = stpcpy(at, "<query xmlns='http://jabber.org/protocol/disco#info'>" PC);
	for (int i = 0; i < CAPS_STRINGS_MAX + 1; i++)
		at += sprintf(at, F("f%d"), i);
	strcpy(at, "</query>");
	cr_expect_eq(hash(CAPS_1, "sha-1", text, out), CAPS_TOO_MUCH);
	cr_expect_eq(hash(CAPS_2, "sha-1", text, out), CAPS_TOO_MUCH);
	cr_expect_str_eq(out, "");
}
