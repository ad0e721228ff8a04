/* xml/jid.h - addresses of XMPP: local@domain/resource, prepared once, compared often.
 * RFC 7622 (PRECIS: UsernameCaseMapped local part, IDNA domain, OpaqueString resource), each part
 * at most 1,023 bytes. One piece of memory, never changed after it is made: any thread may read. */
#pragma once

#include "core/arena.h"
#include "core/attr.h"

#define JID_PART_MAX 1023
#define JID_TEXT_MAX (3 * JID_PART_MAX + 3) /* both separators and a NUL */

struct jid {
	uint32_t bare_hash; /* of local@domain: keys the session directory, picks lanes */
	uint32_t full_hash; /* of all three parts */
	uint16_t local_len, domain_len, resource_len; /* bytes; 0: no such part */
	char text[]; /* local NUL domain NUL resource NUL */
};
static inline const char *jid_local(const struct jid *j)
{
	return j->text;
} /* "" when absent */
static inline const char *jid_domain(const struct jid *j)
{
	return j->text + j->local_len + 1;
}
static inline const char *jid_resource(const struct jid *j)
{
	return j->text + j->local_len + j->domain_len + 2;
}
static inline bool jid_is_full(const struct jid *j)
{
	return j->resource_len != 0;
}
static inline bool jid_is_bare(const struct jid *j)
{
	return j->resource_len == 0;
}
static inline bool jid_is_domain(const struct jid *j)
{
	return !j->local_len && !j->resource_len;
}

enum jid_error { JID_OK, JID_BAD_LOCAL, JID_BAD_DOMAIN, JID_BAD_RESOURCE };
const char *jid_error_text(int error);

/* Every maker takes memory from the arena, or from the heap when a is NULL (jid_free() it then).
 * 0, or a positive enum jid_error. Plain lower-case ASCII never reaches ICU. */
int jid_parse(const char *text, size_t len, struct arena *a, struct jid **out);
/* Parts as a person or peer gave them, prepared here; NULL or "" for an absent one. */
int jid_make(const char *local, const char *domain, const char *resource, struct arena *a,
	struct jid **out);
/* From a prepared JID and a resource as given / without the resource / with domain only. */
int jid_with_resource(const struct jid *j, const char *resource, struct arena *a, struct jid **out);
struct jid *jid_bare(const struct jid *j, struct arena *a);
struct jid *jid_of_domain(const struct jid *j, struct arena *a);
size_t jid_bytes(const struct jid *j); /* of memory */
struct jid *jid_dup(const struct jid *j, struct arena *a);
void jid_free(struct jid *j); /* heap ones only; NULL is fine */

/* One part prepared into buffer (JID_PART_MAX + 1 bytes); its length, or -1 when it is not allowed.
 */
int jid_prep_local(const char *text, size_t len, char *buffer);
int jid_prep_domain(const char *text, size_t len, char *buffer);
int jid_prep_resource(const char *text, size_t len, char *buffer);

bool jid_equal(const struct jid *a, const struct jid *b);
bool jid_equal_bare(const struct jid *a, const struct jid *b);
/* Writes local@domain/resource and a NUL into buffer (JID_TEXT_MAX); returns the length. */
size_t jid_write(const struct jid *j, char *buffer);
size_t jid_write_bare(const struct jid *j, char *buffer);
const char *jid_text(const struct jid *j, struct arena *a); /* the same, in an arena */
uint32_t jid_hash_domain(const char *domain, size_t len); /* keys the route table; seeded */
