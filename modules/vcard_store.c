/* modules/vcard_store.c - the tables vcards, vcard_people and vcard_words. */
#include "modules/vcard_store.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "modules/erase.h"
#include "xml/fold.h"
#include "xml/ns.h"
#include "xml/parser.h"

/* listed: 1 wants to be found, 0 has said nothing; who does not want it is not in vcard_words. */
static const struct db_migration vcard_migrations[] = {
	{ "vcard", 1,
		"CREATE TABLE vcards (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" changed BIGINT NOT NULL, photo TEXT NOT NULL, xml TEXT NOT NULL,"
		" PRIMARY KEY (host, name));"
		"CREATE TABLE vcard_people (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" wanted BIGINT NOT NULL, class BIGINT NOT NULL, fn TEXT NOT NULL,"
		" given TEXT NOT NULL, middle TEXT NOT NULL, family TEXT NOT NULL,"
		" nick TEXT NOT NULL, bday TEXT NOT NULL, ctry TEXT NOT NULL,"
		" locality TEXT NOT NULL, email TEXT NOT NULL, orgname TEXT NOT NULL,"
		" orgunit TEXT NOT NULL, PRIMARY KEY (host, name));"
		"CREATE TABLE vcard_words (host KEYTEXT NOT NULL, listed BIGINT NOT NULL,"
		" field BIGINT NOT NULL, value KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" PRIMARY KEY (host, listed, field, value, name));"
		"CREATE INDEX vcard_words_account ON vcard_words (host, name);" },
	{ 0 }
};
static struct db_stmt card_set =
	DB_UPSERT("vcard_set", "vcards", "host, name", "changed, photo, xml");
static struct db_stmt card_find =
	DB_STMT("vcard_find", "SELECT xml FROM vcards WHERE host = ? AND name = ?");
static struct db_stmt hash_find =
	DB_STMT("vcard_hash", "SELECT photo FROM vcards WHERE host = ? AND name = ?");
static struct db_stmt card_delete =
	DB_STMT("vcard_delete", "DELETE FROM vcards WHERE host = ? AND name = ?");
#define PEOPLE "fn, given, middle, family, nick, bday, ctry, locality, email, orgname, orgunit"
static struct db_stmt people_set =
	DB_UPSERT("vcard_people_set", "vcard_people", "host, name", "wanted, class, " PEOPLE);
static struct db_stmt people_find = DB_STMT("vcard_people_find",
	"SELECT name, " PEOPLE ", wanted, class FROM vcard_people WHERE host = ? AND name = ?");
static struct db_stmt people_delete =
	DB_STMT("vcard_people_delete", "DELETE FROM vcard_people WHERE host = ? AND name = ?");
static struct db_stmt word_add = DB_STMT("vcard_word_add",
	"INSERT INTO vcard_words (host, listed, field, value, name) VALUES (?, ?, ?, ?, ?)");
static struct db_stmt words_delete =
	DB_STMT("vcard_words_delete", "DELETE FROM vcard_words WHERE host = ? AND name = ?");
/* How many there are, as far as it matters; and who they are. */
static struct db_stmt words_count = DB_STMT("vcard_words_count",
	"SELECT COUNT(*) FROM (SELECT name FROM vcard_words WHERE host = ? AND listed = ?"
	" AND field = ? AND value >= ? AND value <= ? LIMIT ?) AS hits");
static struct db_stmt words_find = DB_STMT("vcard_words_find",
	"SELECT p.name, p.fn, p.given, p.middle, p.family, p.nick, p.bday, p.ctry, p.locality,"
	" p.email, p.orgname, p.orgunit FROM vcard_words w JOIN vcard_people p"
	" ON p.host = w.host AND p.name = w.name WHERE w.host = ? AND w.listed = ?"
	" AND w.field = ? AND w.value >= ? AND w.value <= ? ORDER BY w.value, w.name LIMIT ?");

/* ---- What a vCard says */

/* Where each field stands; NULL: directly in <vCard/>. */
static const struct {
	const char *group, *name;
} places[VCARD_FIELDS] = {
	[VCARD_FN] = { NULL, "FN" },
	[VCARD_FIRST] = { "N", "GIVEN" },
	[VCARD_MIDDLE] = { "N", "MIDDLE" },
	[VCARD_LAST] = { "N", "FAMILY" },
	[VCARD_NICK] = { NULL, "NICKNAME" },
	[VCARD_BDAY] = { NULL, "BDAY" },
	[VCARD_CTRY] = { "ADR", "CTRY" },
	[VCARD_LOCALITY] = { "ADR", "LOCALITY" },
	[VCARD_EMAIL] = { "EMAIL", "USERID" },
	[VCARD_ORGNAME] = { "ORG", "ORGNAME" },
	[VCARD_ORGUNIT] = { "ORG", "ORGUNIT" },
};

/* The first that is not empty: a vCard may have several addresses. */
static const char *read_field(
	const struct elem *card, const char *group, const char *name, struct arena *a)
{
	elem_each_child (card, e) {
		const char *text = NULL;

		if (!group && elem_is(e, name, NS_VCARD))
			text = elem_text(e, a);
		else if (group && elem_is(e, group, NS_VCARD))
			text = elem_child_text(e, name, NS_VCARD, a);
		if (text && *text)
			return text;
	}
	return NULL;
}

void vcard_read(const struct elem *card, struct arena *a, struct vcard_person *out)
{
	const struct elem *class = elem_child(card, "CLASS", NS_VCARD);

	*out = (struct vcard_person){ 0 };
	for (int f = VCARD_FN; f < VCARD_FIELDS; f++)
		out->field[f] = read_field(card, places[f].group, places[f].name, a);
	if (class && elem_child(class, "PUBLIC", NS_VCARD))
		out->class = 1;
	else if (class && elem_first(class))
		out->class = -1;
}

static void write_hash(const uint8_t *bytes, size_t len, char hash[VCARD_HASH_TEXT])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	hash[0] = '\0';
	if (!EVP_Digest(bytes, len, digest, &n, EVP_sha1(), NULL))
		return;
	for (unsigned i = 0; i < n && 2 * i + 2 < VCARD_HASH_TEXT; i++)
		snprintf(hash + 2 * i, 3, "%02x", digest[i]);
}

/* Base64 with white space anywhere. How many bytes, 0 when it is none. */
static size_t decode_base64(const char *text, uint8_t *out)
{
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	int n = 0, rest = 0;
	bool good;

	EVP_DecodeInit(ctx);
	good = EVP_DecodeUpdate(ctx, out, &n, (const uint8_t *)text, (int)strlen(text)) >= 0 &&
		EVP_DecodeFinal(ctx, out + n, &rest) == 1;
	EVP_ENCODE_CTX_free(ctx);
	return good ? (size_t)(n + rest) : 0;
}

size_t vcard_photo(const struct elem *card, struct arena *a, char hash[VCARD_HASH_TEXT])
{
	const char *text = read_field(card, "PHOTO", "BINVAL", a);
	AUTO(free_ptr) uint8_t *bytes = NULL;
	size_t n;

	hash[0] = '\0';
	if (!text)
		return 0;
	bytes = malloc(strlen(text) + 3);
	n = bytes ? decode_base64(text, bytes) : 0;
	if (n)
		write_hash(bytes, n, hash);
	return n;
}

/* ---- The index */

struct person {
	const char *host, *name;
	char shown[VCARD_FIELDS][VCARD_VALUE_MAX + 1];
	int64_t wanted, class;
};

static void show(struct person *p, int field, const char *text)
{
	size_t n = text_cut(text, strlen(text), VCARD_VALUE_MAX);

	*(char *)mempcpy(p->shown[field], text, n) = '\0';
}

static int take_person(const struct db_row *row, void *arg)
{
	struct person *p = arg;

	for (int f = VCARD_FN; f < VCARD_FIELDS; f++)
		show(p, f, db_row_text(row, (unsigned)f));
	p->wanted = db_row_int(row, VCARD_FIELDS);
	p->class = db_row_int(row, VCARD_FIELDS + 1);
	return 1;
}

/* What the index has of the account; nothing: all empty. 0 or negative. */
static int person_find(struct db_tx *tx, struct person *p, const char *host, const char *name)
{
	int result;

	*p = (struct person){ .host = host, .name = name };
	show(p, VCARD_USER, name);
	result = db_select(
		tx, &people_find, DB_PARAMS(db_text(host), db_text(name)), take_person, p);
	return result < 0 ? result : 0;
}

static int person_add_words(struct db_tx *tx, const struct person *p, int64_t listed)
{
	char folded[VCARD_VALUE_MAX + 1];
	int result = 0;

	for (int f = 0; f < VCARD_FIELDS && result >= 0; f++) {
		size_t n = text_fold(p->shown[f], strlen(p->shown[f]), folded, VCARD_VALUE_MAX);

		if (n)
			result = db_run(tx, &word_add,
				DB_PARAMS(db_text(p->host), db_int(listed), db_int(f),
					db_text_n(folded, n), db_text(p->name)));
	}
	return result < 0 ? result : 0;
}

static int person_set(struct db_tx *tx, const struct person *p)
{
	int64_t listed = p->wanted ? p->wanted : p->class;
	const char(*s)[VCARD_VALUE_MAX + 1] = p->shown;
	int result = db_run(tx, &people_set,
		DB_PARAMS(db_text(p->host), db_text(p->name), db_int(p->wanted), db_int(p->class),
			db_text(s[VCARD_FN]), db_text(s[VCARD_FIRST]), db_text(s[VCARD_MIDDLE]),
			db_text(s[VCARD_LAST]), db_text(s[VCARD_NICK]), db_text(s[VCARD_BDAY]),
			db_text(s[VCARD_CTRY]), db_text(s[VCARD_LOCALITY]), db_text(s[VCARD_EMAIL]),
			db_text(s[VCARD_ORGNAME]), db_text(s[VCARD_ORGUNIT])));

	if (result >= 0)
		result = db_run(tx, &words_delete, DB_PARAMS(db_text(p->host), db_text(p->name)));
	if (result < 0)
		return result;
	return listed < 0 ? 0 : person_add_words(tx, p, listed);
}

/* ---- Storing */

static int take_hash(const struct db_row *row, void *arg)
{
	snprintf(arg, VCARD_HASH_TEXT, "%s", db_row_text(row, 0));
	return 1;
}

struct storing {
	const char *host, *name;
	const struct buf *xml;
	const char *hash;
	struct vcard_person said;
	char was_hash[VCARD_HASH_TEXT];
	struct person person; /* scratch */
};

static int run_store(struct db_tx *tx, void *arg)
{
	struct storing *s = arg;
	struct db_value host = db_text(s->host), name = db_text(s->name);
	int result;

	s->was_hash[0] = '\0';
	result = db_select(tx, &hash_find, DB_PARAMS(host, name), take_hash, s->was_hash);
	if (result >= 0)
		result = db_run(tx, &card_set,
			DB_PARAMS(host, name, db_int((int64_t)time(NULL)), db_text(s->hash),
				db_text_n(s->xml->data, s->xml->len)));
	if (result >= 0)
		result = person_find(tx, &s->person, s->host, s->name);
	if (result < 0)
		return result;
	for (int f = VCARD_FN; f < VCARD_FIELDS; f++)
		show(&s->person, f, s->said.field[f] ? s->said.field[f] : "");
	s->person.class = s->said.class;
	return person_set(tx, &s->person);
}

int vcard_store(const char *host, const char *name, const struct elem *card, const char *hash,
	char was_hash[VCARD_HASH_TEXT])
{
	struct storing s = { .host = host, .name = name, .hash = hash };
	struct buf *xml = NULL;
	struct arena a;
	int result;

	arena_init(&a, NULL, 0);
	vcard_read(card, &a, &s.said);
	elem_wire(card, "", &xml);
	s.xml = xml;
	result = db_write(db_main(), run_store, &s);
	if (was_hash)
		memcpy(was_hash, s.was_hash, VCARD_HASH_TEXT);
	buf_unref(xml);
	arena_fini(&a);
	return result < 0 ? result : 0;
}

static int take_card(const struct db_row *row, void *arg)
{
	struct parser_limits limits = { .depth = PARSER_DEPTH, .attrs = PARSER_ATTRS };
	struct builder *answer = arg;
	struct stanza *s;
	size_t len;
	const char *xml = db_row_blob(row, 0, &len);

	limits.stanza_bytes = (uint32_t)len;
	if (parse_element(xml, len, &limits, &s) != PARSER_OK)
		return -EIO;
	build_copy(answer, s->root);
	stanza_unref(s);
	return 1;
}

int vcard_find(const char *host, const char *name, struct builder *answer)
{
	return db_read(
		db_main(), &card_find, DB_PARAMS(db_text(host), db_text(name)), take_card, answer);
}

static int take_text(const struct db_row *row, void *arg)
{
	*(char **)arg = xstrdup(db_row_text(row, 0));
	return 1;
}

int vcard_find_text(const char *host, const char *name, char **out)
{
	int result;

	*out = NULL;
	result = db_read(
		db_main(), &card_find, DB_PARAMS(db_text(host), db_text(name)), take_text, out);
	return result < 0 ? result : 0;
}

int vcard_find_hash(const char *host, const char *name, char hash[VCARD_HASH_TEXT])
{
	hash[0] = '\0';
	return db_read(
		db_main(), &hash_find, DB_PARAMS(db_text(host), db_text(name)), take_hash, hash);
}

struct account_change {
	const char *host, *name;
	int wanted;
};

static int run_delete(struct db_tx *tx, void *arg)
{
	const struct account_change *c = arg;
	struct db_value host = db_text(c->host), name = db_text(c->name);
	int had = db_run(tx, &card_delete, DB_PARAMS(host, name));
	int result = had;

	if (result >= 0)
		result = db_run(tx, &people_delete, DB_PARAMS(host, name));
	if (result >= 0)
		result = db_run(tx, &words_delete, DB_PARAMS(host, name));
	return result < 0 ? result : had;
}

int vcard_delete(const char *host, const char *name)
{
	struct account_change c = { .host = host, .name = name };

	return db_write(db_main(), run_delete, &c);
}

void vcard_erase(const struct jid *account)
{
	static struct db_stmt *const stmts[] = { &card_delete, &people_delete, &words_delete,
		NULL };

	erase_account(account, stmts, "vcard");
}

static int run_wanted(struct db_tx *tx, void *arg)
{
	const struct account_change *c = arg;
	struct person p;
	int result = person_find(tx, &p, c->host, c->name);

	p.wanted = c->wanted;
	return result < 0 ? result : person_set(tx, &p);
}

int vcard_set_wanted(const char *host, const char *name, int wanted)
{
	struct account_change c = { .host = host, .name = name, .wanted = wanted };

	return db_write(db_main(), run_wanted, &c);
}

int vcard_is_wanted(const char *host, const char *name)
{
	struct person p = { 0 };
	int result = db_read(
		db_main(), &people_find, DB_PARAMS(db_text(host), db_text(name)), take_person, &p);

	return result < 0 ? result : p.wanted > 0;
}

/* ---- Searching */

/* What one field is to be, folded. */
struct wish {
	char value[VCARD_VALUE_MAX + 1];
	char last[VCARD_VALUE_MAX + 8]; /* of the range in the index */
	size_t len;
	bool given, begins;
};

struct search {
	const char *host;
	const struct vcard_query *query;
	struct wish wishes[VCARD_FIELDS];
	void (*fn)(const struct vcard_found *found, void *arg);
	void *arg;
	unsigned found;
	unsigned scanned;
	bool more;
};

/* U+10FFFF sorts behind whatever may follow the beginning. */
static void wish_read(struct wish *w, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	*w = (struct wish){ 0 };
	if (len && text[len - 1] == '*') {
		w->begins = true;
		len--;
	}
	w->len = len ? text_fold(text, len, w->value, VCARD_VALUE_MAX) : 0;
	w->given = w->len;
	memcpy(w->last, w->value, w->len);
	if (w->begins)
		memcpy(w->last + w->len, "\xf4\x8f\xbf\xbf", 4);
}

static bool wish_fits(const struct wish *w, const char *text)
{
	char folded[VCARD_VALUE_MAX + 1];
	size_t n;

	if (!w->given)
		return true;
	n = text_fold(text, strlen(text), folded, VCARD_VALUE_MAX);
	return (w->begins ? n >= w->len : n == w->len) && memcmp(folded, w->value, w->len) == 0;
}

static int take_found(const struct db_row *row, void *arg)
{
	struct search *s = arg;
	struct vcard_found found;

	s->scanned++;
	found.user = db_row_text(row, 0);
	for (int f = 0; f < VCARD_FIELDS; f++) {
		found.field[f] = db_row_text(row, (unsigned)f);
		if (!wish_fits(&s->wishes[f], found.field[f]))
			return 0;
	}
	if (s->found == s->query->max) {
		s->more = true;
		return 1;
	}
	s->found++;
	s->fn(&found, s->arg);
	return 0;
}

/* The field that the fewest have, of those who are listed so; by user where none is given. */
static int best_field(struct db_tx *tx, const struct search *s, int listed)
{
	int64_t least = INT64_MAX;
	int best = VCARD_USER;

	for (int f = 0; f < VCARD_FIELDS; f++) {
		const struct wish *w = &s->wishes[f];
		int64_t n = 0;
		int result;

		if (!w->given)
			continue;
		result = db_select(tx, &words_count,
			DB_PARAMS(db_text(s->host), db_int(listed), db_int(f), db_text(w->value),
				db_text(w->last), db_int(VCARD_SCAN_MAX)),
			db_take_int, &n);
		if (result < 0)
			return result;
		if (n < least) {
			least = n;
			best = f;
		}
	}
	return best;
}

static int search_listed(struct db_tx *tx, struct search *s, int listed)
{
	int field = best_field(tx, s, listed);
	const struct wish *w;
	int result;

	if (field < 0)
		return field;
	w = &s->wishes[field];
	s->scanned = 0;
	result = db_select(tx, &words_find,
		DB_PARAMS(db_text(s->host), db_int(listed), db_int(field), db_text(w->value),
			db_text(w->given ? w->last : "\xf4\x8f\xbf\xbf"), db_int(VCARD_SCAN_MAX)),
		take_found, s);
	s->more |= s->scanned == VCARD_SCAN_MAX;
	return result;
}

static int run_search(struct db_tx *tx, void *arg)
{
	struct search *s = arg;
	int result = search_listed(tx, s, 1);

	if (result >= 0 && !s->query->only_wanted && !s->more)
		result = search_listed(tx, s, 0);
	return result;
}

int vcard_search(const char *host, const struct vcard_query *q,
	void (*fn)(const struct vcard_found *found, void *arg), void *arg, bool *out_more)
{
	struct search s = { .host = host, .query = q, .fn = fn, .arg = arg };
	int result;
	bool conditions = false;

	for (int f = 0; f < VCARD_FIELDS; f++) {
		wish_read(&s.wishes[f], q->field[f]);
		conditions |= s.wishes[f].given;
	}
	result = conditions || q->everybody ? db_view(db_main(), run_search, &s) : 0;
	*out_more = s.more;
	return result < 0 ? result : (int)s.found;
}

int vcard_migrate(void)
{
	return db_migrate(db_main(), vcard_migrations);
}
