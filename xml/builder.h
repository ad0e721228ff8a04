/* xml/builder.h - the only place that writes XML, and so the only one that escapes.
 * A builder fills a stanza's tree from the top; elem_wire() turns any tree into bytes.
 * One thread; what it built is shared only after stanza_seal(). Strings are copied into the
 * stanza's arena unless they are known names of xml/ns.h. Characters that XML 1.0 does not allow
 * are left out of text and values. */
#pragma once

#include "core/attr.h"
#include "core/buf.h"
#include "xml/stanza.h"

struct builder {
	struct stanza *stanza; /* owned by whoever began */
	struct elem *at; /* children and attributes go here */
};

/* Begins a new stanza <name xmlns='ns'>. */
void build_begin(struct builder *b, const char *name, const char *ns);
/* <iq type='result' id= to=from from=to> for a request; the answer's payload follows. */
void build_iq_result(struct builder *b, const struct stanza *request);
/* type='error', addresses swapped, the request's payload, <error/>. cond is an enum stanza_error;
 * text is for people, in English (core/lang.h finds it in the sender's language); it may be NULL.
 * RFC 6120 §8.3. */
void build_error(struct builder *b, const struct stanza *about, int cond, const char *text);
/* The same with another type than the condition's usual one. */
void build_error_as(struct builder *b, const struct stanza *about, const char *type, int cond,
	const char *text);
/* Goes on with a stanza that came from somewhere else and is not sealed: what is built stands
 * behind its children, and their bytes are still copied as they came. Nobody ends or drops b. */
void build_more(struct builder *b, struct stanza *s);
/* The same in pieces, for conditions of an extension (§8.3.4), attributes, and requests whose
 * payload holds a secret: the stanza, behind which a payload may be built, and <error/>, which
 * stays open.
 */
void build_answer(struct builder *b, const struct stanza *about, const char *type);
void build_error_open(struct builder *b, const struct stanza *about, int cond, const char *text);
/* Seals and gives the stanza away. Reads kind, type and addresses first (they are ours: REQUIREd).
 */
struct stanza *build_end(struct builder *b);
void build_drop(struct builder *b); /* changes its mind */

void build_attr(struct builder *b, const char *name, const char *value); /* NULL value: nothing */
/* ns NULL: none, as build_attr(). */
void build_attr_ns(struct builder *b, const char *name, const char *ns, const char *value);
void build_attr_int(struct builder *b, const char *name, int64_t value);
void build_attr_jid(struct builder *b, const char *name, const struct jid *j); /* NULL: nothing */
/* Opens a child; ns NULL: the parent's. */
void build_open(struct builder *b, const char *name, const char *ns);
void build_close(struct builder *b);
void build_cdata(struct builder *b, const char *text, size_t len);
/* <name>text</name>, in the parent's namespace. NULL text: an empty element. */
void build_text(struct builder *b, const char *name, const char *text);
/* The same for people, in the language asked for, with its xml:lang. english: as tr() takes it. ns
 * NULL: the parent's. */
void build_said(
	struct builder *b, const char *name, const char *ns, const char *lang, const char *english);
void build_int(struct builder *b, const char *name, int64_t value);
void build_copy(struct builder *b, const struct elem *e); /* the whole tree below and with e */
/* Opens a copy of e alone, without its children. */
void build_open_copy(struct builder *b, const struct elem *e);

/* Conditions of RFC 6120 §8.3.3, each with its usual type. */
enum stanza_error {
	ERR_BAD_REQUEST = 1,
	ERR_CONFLICT,
	ERR_FEATURE_NOT_IMPLEMENTED,
	ERR_FORBIDDEN,
	ERR_GONE,
	ERR_INTERNAL_SERVER_ERROR,
	ERR_ITEM_NOT_FOUND,
	ERR_JID_MALFORMED,
	ERR_NOT_ACCEPTABLE,
	ERR_NOT_ALLOWED,
	ERR_NOT_AUTHORIZED,
	ERR_POLICY_VIOLATION,
	ERR_RECIPIENT_UNAVAILABLE,
	ERR_REDIRECT,
	ERR_REGISTRATION_REQUIRED,
	ERR_REMOTE_SERVER_NOT_FOUND,
	ERR_REMOTE_SERVER_TIMEOUT,
	ERR_RESOURCE_CONSTRAINT,
	ERR_SERVICE_UNAVAILABLE,
	ERR_SUBSCRIPTION_REQUIRED,
	ERR_UNDEFINED_CONDITION,
	ERR_UNEXPECTED_REQUEST,
	ERR_COUNT
};
const char *stanza_error_name(int cond); /* "bad-request" */
const char *stanza_error_type(int cond); /* "modify" */

/* Appends to *out (which may be NULL) the bytes of a tree inside a stream whose default namespace
 * is outer_ns ("" for a document). */
void elem_wire(const struct elem *e, const char *outer_ns, struct buf **out);
/* What stanza_wire() keeps: a new buf, from the children's raw bytes where there are any. */
struct buf *stanza_write(const struct stanza *s);
/* Appends to *out, which may be NULL, what is allowed of text; for attribute values quoted with '
 * as well as for text. */
void xml_escape(const char *text, size_t len, struct buf **out);
