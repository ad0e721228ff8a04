/* xml/stanza.h - what travels: a tree of elements in an arena, sealed before anyone else sees it.
 * Built by xml/parser from a peer's bytes or by xml/builder from ours. After stanza_seal() nobody
 * changes it; a count says when it dies; any thread may read it. It keeps the bytes it came from
 * where they may stand in another stream unchanged, so that forwarding writes a new start tag and
 * copies the rest; the wire form is made once, at first need, and shared by all receivers. */
#pragma once

#include <stdatomic.h>

#include "core/arena.h"
#include "core/attr.h"
#include "core/buf.h"
#include "xml/jid.h"
#include "xml/ns.h"

struct attr {
	struct attr *next;
	const char *name; /* local name */
	const char *ns; /* NULL: none. NS_XML for xml:lang */
	const char *value; /* unescaped */
	uint32_t value_len;
};

enum node_kind { NODE_ELEM, NODE_TEXT };
struct node {
	struct node *next; /* sibling */
	enum node_kind kind;
};
struct text {
	struct node node;
	uint32_t len;
	const char *data; /* unescaped, NUL-terminated; neighbours are merged */
};
struct elem {
	struct node node;
	const char *name; /* local name; names that xml/ns.h knows are shared pointers */
	const char *ns; /* resolved; never NULL, "" for none */
	struct attr *attrs;
	struct node *first, *last;
	struct elem *parent; /* NULL for the root */
};

enum stanza_kind { STANZA_MESSAGE, STANZA_PRESENCE, STANZA_IQ, STANZA_OTHER };
enum stanza_type { /* RFC 6121 §5.2.2, §4.7.1; RFC 6120 §8.2.3. TYPE_NONE for STANZA_OTHER */
	TYPE_NONE,
	MSG_NORMAL,
	MSG_CHAT,
	MSG_GROUPCHAT,
	MSG_HEADLINE,
	MSG_ERROR,
	PRES_AVAILABLE,
	PRES_UNAVAILABLE,
	PRES_SUBSCRIBE,
	PRES_SUBSCRIBED,
	PRES_UNSUBSCRIBE,
	PRES_UNSUBSCRIBED,
	PRES_PROBE,
	PRES_ERROR,
	IQ_GET,
	IQ_SET,
	IQ_RESULT,
	IQ_ERROR,
	TYPE_BAD, /* iq or presence with a type nobody knows; an unknown message type is normal */
};

struct stanza {
	_Atomic uint32_t refs;
	uint8_t kind; /* enum stanza_kind */
	uint8_t type; /* enum stanza_type */
	bool sealed;
	uint8_t faults; /* enum stanza_fault: what stanza_read_head() found wrong */
	struct elem *root;
	const struct jid *from; /* NULL: none (yet). Also in root's attributes when sealed */
	const struct jid *to; /* NULL: none */
	const char *id; /* NULL: none */
	const char *lang; /* xml:lang of the stanza, or the stream's; NULL: none */
	const char *lang_else; /* of lang_pick(): what its sender gets for want of that; NULL: en */
	/* The children as they came, from behind the start tag's '>' to before the end tag; NULL
	 * when they use a prefix declared outside or there is none. raw_len 0 and raw set: no
	 * children. */
	const char *raw;
	uint32_t raw_len;
	bool by_server; /* in another's name: what that one is denied does not hold for it */
	bool more; /* build_more(): children behind came_last are ours, and not in raw */
	const struct node *came_last; /* NULL: it came without children */
	uint32_t bytes; /* size on the wire it came from, or 0 */
	uint32_t block_bytes; /* private: of the piece of memory it begins in */
	_Atomic uint32_t others; /* private to router/deliver */
	/* Of a message that is kept, see router/message.h. 0 and no flags: it is not. */
	uint64_t log_id;
	uint8_t log_flags;
	void *_Atomic log_record; /* in the spool, until somebody has taken it */
	/* A client's under XEP-0198, see router/acks.h; 0: no such. */
	uint64_t ack_session;
	uint32_t ack_number, ack_check;
	struct buf *_Atomic wire; /* private to stanza_wire() */
	struct stanza *body; /* counted: whose children these are; NULL: its own */
	struct arena arena; /* holds everything above, the stanza itself first */
};

/* An empty, unsealed stanza with one reference; the builder or parser fills it. */
struct stanza *stanza_new(size_t expect_bytes) __attribute__((returns_nonnull));
struct stanza *stanza_ref(struct stanza *s);
void stanza_unref(struct stanza *s); /* NULL is fine */
/* Memory that goes when it goes, its wire form aside. */
size_t stanza_held_bytes(const struct stanza *s);

/* Reads kind, type, id, lang, to and from out of the root's attributes, before sealing. Returns the
 * faults, which stay in the stanza. */
enum stanza_fault { STANZA_OK = 0, STANZA_BAD_TO = 1, STANZA_BAD_FROM = 2 }; /* is no JID; bits */
int stanza_read_head(struct stanza *s);
/* Stamps the address, replacing what the sender claimed. Copies j into the arena. Before sealing.
 */
void stanza_set_from(struct stanza *s, const struct jid *j);
void stanza_set_to(struct stanza *s, const struct jid *j);
void stanza_set_lang(struct stanza *s, const char *lang); /* only if it has none of its own */
void stanza_drop_child(struct stanza *s, const struct elem *child); /* one of the root's */
void stanza_seal(struct stanza *s);
/* One sealed stanza told to many: a sealed copy of s with another `to`, which shares all but the
 * start tag with s and keeps a reference to it. */
struct stanza *stanza_readdressed(struct stanza *s, const struct jid *to)
	__attribute__((returns_nonnull));
/* The language of an answer to its sender, as lang_pick() gives it. */
const char *stanza_lang(const struct stanza *s);

/* The bytes for a stream whose default namespace is jabber:client (or :server: then ns says so).
 * A new reference. Sealed stanzas only. */
struct buf *stanza_wire(struct stanza *s);

/* Walking. NULL name or ns matches any. */
const struct elem *elem_child(const struct elem *e, const char *name, const char *ns);
const struct elem *elem_first(const struct elem *e); /* first child element */
const struct elem *elem_next(const struct elem *e); /* next sibling element */
#define elem_each_child(e, child) \
	for (const struct elem *child = elem_first(e); child; child = elem_next(child))
bool elem_is(const struct elem *e, const char *name, const char *ns);
const char *elem_attr(const struct elem *e, const char *name); /* NULL when missing; no namespace */
const char *elem_attr_ns(const struct elem *e, const char *name, const char *ns);
/* All text directly below; no copy when there is only one piece, else joined in a. "" for none. */
const char *elem_text(const struct elem *e, struct arena *a);
/* The same as one lookup: text of the child, NULL when there is no such child. */
const char *elem_child_text(
	const struct elem *e, const char *name, const char *ns, struct arena *a);
/* The payload of an iq: its only child element, or NULL (none or several: RFC 6120 §8.2.3). */
const struct elem *stanza_iq_child(const struct stanza *s);
