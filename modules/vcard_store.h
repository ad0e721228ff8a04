/* modules/vcard_store.h - vCards in the database, what they say of a person in an index that can be
 * searched, and whether the person wants to be found there. Behind modules/vcard and its directory.
 * Folded values (xml/fold.h) stand in one table under one key, so any search is a range of it.
 *
 * Who is found: wanted (says the account to the directory, XEP-0077), else public (the vCard's
 * <CLASS/>), else said nothing. */
#pragma once

#include "core/attr.h"
#include "core/db.h"
#include "xml/builder.h"
#include "xml/jid.h"
#include "xml/stanza.h"

/* What one can search for, in the order of a form. */
enum vcard_field {
	VCARD_USER, /* the part of the address before the @ */
	VCARD_FN,
	VCARD_FIRST,
	VCARD_MIDDLE,
	VCARD_LAST,
	VCARD_NICK,
	VCARD_BDAY,
	VCARD_CTRY,
	VCARD_LOCALITY,
	VCARD_EMAIL,
	VCARD_ORGNAME,
	VCARD_ORGUNIT,
	VCARD_FIELDS
};
#define VCARD_VALUE_MAX 255 /* bytes of a value, as shown and folded; the rest is cut */
#define VCARD_HASH_TEXT 41 /* SHA-1 in hexadecimal digits, and a NUL */

/* What a vCard says. Texts are in the vCard's tree or the arena. */
struct vcard_person {
	const char *field[VCARD_FIELDS]; /* NULL: nothing. VCARD_USER is left alone */
	int class; /* of <CLASS/>: 1 PUBLIC, -1 PRIVATE or CONFIDENTIAL, 0 nothing */
};
/* card: <vCard xmlns='vcard-temp'/>. Any thread. */
void vcard_read(const struct elem *card, struct arena *a, struct vcard_person *out);

/* The SHA-1 of the picture in it, XEP-0153 §2.1; "" where there is none that can be decoded. How
 * many bytes the picture has. Any thread. */
size_t vcard_photo(const struct elem *card, struct arena *a, char hash[VCARD_HASH_TEXT]);

/* Tables. 0 or a negative errno. */
ON_JOB int vcard_migrate(void);
/* Puts the card in place of the one that was there, and into the index. was_hash, may be NULL: the
 * hash before, "" for none. 0, or a negative errno. */
ON_JOB int vcard_store(const char *host, const char *name, const struct elem *card,
	const char *hash, char was_hash[VCARD_HASH_TEXT]);
/* Copies it into the answer. 1 found, 0 none, or a negative errno. */
ON_JOB int vcard_find(const char *host, const char *name, struct builder *answer);
/* The same as text, the caller's; *out is NULL where there is none. 0, or a negative errno. */
ON_JOB int vcard_find_text(const char *host, const char *name, char **out);
/* "" for none. 1: there is a vCard, 0: none, or a negative errno. */
ON_JOB int vcard_find_hash(const char *host, const char *name, char hash[VCARD_HASH_TEXT]);
/* 1: there was one, 0: none, or a negative errno. */
ON_JOB int vcard_delete(const char *host, const char *name);
ANY_THREAD void vcard_erase(const struct jid *account); /* the account is gone */

/* Says whether the account wants to be found: 1 yes, 0 says nothing any more. 0 or negative. */
ON_JOB int vcard_set_wanted(const char *host, const char *name, int wanted);
ON_JOB int vcard_is_wanted(const char *host, const char *name); /* 1, 0, or a negative errno */

/* A search: every field given must match. */
struct vcard_query {
	const char *field[VCARD_FIELDS]; /* NULL: any value. A * at the end: begins so */
	bool only_wanted; /* not those who said nothing */
	bool everybody; /* when there is no condition: everybody, in order of user; else nobody */
	unsigned max; /* results */
};
struct vcard_found {
	const char *user;
	const char *field[VCARD_FIELDS]; /* "" for nothing; as in the vCard */
};
/* So many rows of the index are looked at and no more, whatever is asked. */
#define VCARD_SCAN_MAX 5000
/* How many fn saw; a negative errno. out_more: there may be more than those. */
ON_JOB int vcard_search(const char *host, const struct vcard_query *q,
	void (*fn)(const struct vcard_found *found, void *arg), void *arg, bool *out_more);
