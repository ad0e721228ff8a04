/* net/stream.h - an XML stream over a connection: opening, features, errors, closing (RFC 6120 §4).
 * What is the same for clients, servers and components; enum stream_kind says what is not. Owning
 * shard only.
 *
 * Stanzas have one form inside the server and one on the wire. What is read in the content
 * namespace, whichever of the three that is, has NS_CLIENT in the tree (xml/parser.h); and since
 * elements in it are written without xmlns, the bytes of stanza_wire() are right under any default
 * namespace (RFC 6120 §4.8.3). So a stanza goes from one kind of stream to another with its bytes
 * as they are: nobody translates, and nobody compares with NS_SERVER or NS_COMPONENT but opened(),
 * whose default_ns is what the peer's header declares. What is built for any of them is built in
 * NS_CLIENT. */
#pragma once

#include "core/attr.h"
#include "net/conn.h"
#include "xml/builder.h"
#include "xml/parser.h"

/* RFC 6120 §4.9.3. */
enum stream_condition {
	STREAM_BAD_FORMAT,
	STREAM_BAD_NAMESPACE_PREFIX,
	STREAM_CONFLICT,
	STREAM_CONNECTION_TIMEOUT,
	STREAM_HOST_GONE,
	STREAM_HOST_UNKNOWN,
	STREAM_IMPROPER_ADDRESSING,
	STREAM_INTERNAL_SERVER_ERROR,
	STREAM_INVALID_FROM,
	STREAM_INVALID_NAMESPACE,
	STREAM_INVALID_XML,
	STREAM_NOT_AUTHORIZED,
	STREAM_NOT_WELL_FORMED,
	STREAM_POLICY_VIOLATION,
	STREAM_REMOTE_CONNECTION_FAILED,
	STREAM_RESET,
	STREAM_RESOURCE_CONSTRAINT,
	STREAM_RESTRICTED_XML,
	STREAM_SEE_OTHER_HOST,
	STREAM_SYSTEM_SHUTDOWN,
	STREAM_UNDEFINED_CONDITION,
	STREAM_UNSUPPORTED_ENCODING,
	STREAM_UNSUPPORTED_FEATURE,
	STREAM_UNSUPPORTED_STANZA_TYPE,
	STREAM_UNSUPPORTED_VERSION,
	STREAM_CONDITIONS,
};
const char *stream_condition_name(enum stream_condition c); /* "bad-format" */
/* Of a peer's stream error; what nobody knows is undefined-condition. */
enum stream_condition stream_condition_of(const struct stanza *error);

/* What a stream is for: the default namespace of our header, who is first to send one, and whether
 * it has a version.
 * STREAM_TO_SERVER: its owner sends the first header, at once or after direct TLS, and again after
 * each restart and after secured(); the peer's answer comes by opened(), its features by stanza().
 * Our header has no id then, for the stream's is in the peer's (RFC 6120 §4.7.3).
 * With servers our header declares the prefix db, and stream_send_element() uses it: some want both
 * to the letter (XEP-0220 §2.1, §2.4). With components it has no version (XEP-0114 §3). */
enum stream_kind {
	STREAM_FROM_CLIENT,
	STREAM_FROM_SERVER,
	STREAM_TO_SERVER,
	STREAM_FROM_COMPONENT,
};

/* The peer's start tag, as its owner hands it on. */
struct stream_opened {
	const struct stanza *head;
	const char *default_ns;
};

struct stream;
struct stream_events {
	/* The peer's start tag. */
	void (*opened)(struct stream *st, const struct stanza *head, const char *default_ns);
	void (*stanza)(struct stream *st, struct stanza *s); /* takes s, unsealed */
	/* </stream:stream> from the peer, or its stream error. */
	void (*ended)(struct stream *st);
	/* What came is no XML stream: the owner says so with stream_error(). */
	void (*broken)(struct stream *st, enum stream_condition c, const char *text);
	void (*secured)(struct stream *st); /* after stream_start_tls() */
	void (*unsent)(struct stream *st, struct stanza *s); /* as conn's */
	void (*sent)(struct stream *st, struct stanza *s); /* as conn's */
	void (*lost)(struct stream *st, enum conn_loss why); /* as conn's */
	/* The peer's stream error, before ended(): may be NULL. error stays the stream's. */
	void (*refused)(struct stream *st, const struct stanza *error);
};

struct stream {
	struct conn conn;
	const struct stream_events *events;
	struct parser *parser; /* owned */
	bool header_sent; /* for the present stream */
	uint8_t waits; /* stream_wait() */
	uint8_t lang; /* lang_index(): what we say to the peer is in */
	uint8_t kind; /* enum stream_kind */
	uint64_t id; /* random, of the present stream; 0 where the peer makes it */
	const char *name; /* ours, in the last header; not owned, NULL before the first */
};

/* An open stream between two shards: net/conn.h's conn_leave(). */
struct stream_moving {
	struct conn conn;
	char *head, *held; /* owned: what its parser goes on from */
	size_t held_len;
	uint64_t id;
	uint8_t lang, kind;
};

/* Takes fd, which is connected. 0 or negative errno. */
ON_SHARD int stream_begin(struct stream *st, int fd, enum stream_kind kind,
	const struct parser_limits *limits, const struct stream_events *events);
/* One that has ended already, as after stream_end(). */
ON_SHARD void stream_begin_ended(struct stream *st, const struct stream_events *events);
ON_SHARD void stream_end(struct stream *st); /* frees what it holds */

/* The answer to the peer's start tag, or the first one. from is kept and outlives the stream; to
 * and lang may be NULL. */
ON_SHARD void stream_send_header(
	struct stream *st, const char *from, const char *to, const char *lang);
/* The id in our header, as the peer has it. */
#define STREAM_ID_TEXT 17
ON_SHARD void stream_id_write(const struct stream *st, char out[STREAM_ID_TEXT]);
/* <stream:features> with the children of what was built; ends the builder. */
ON_SHARD void stream_send_features(struct stream *st, struct builder *features);
/* Anything but a stanza: <success/>, <db:result/>. What the root's children are in is NS_CLIENT
 * where it is the content namespace. Ends the builder. */
ON_SHARD void stream_send_element(struct stream *st, struct builder *b);
ON_SHARD void stream_send_stanza(struct stream *st, struct stanza *s); /* does not take s */

/* The next bytes begin a new stream: after SASL. Whoever initiates then sends its header. */
ON_SHARD void stream_restart(struct stream *st);
/* Answers <starttls/> with <proceed/>; secured() follows, with the certificate of the name in our
 * last header. Bytes that came behind <starttls/> were not protected: they are never looked at (RFC
 * 6120 §5.4.3.3). offer: as tls_new() has it. */
ON_SHARD void stream_start_tls(
	struct stream *st, struct tls_store *tls, const struct tls_offer *offer);
/* The same for who initiates, after the peer's <proceed/>, or, for direct TLS, before its header.
 * After secured() comes a new header, and tls_peer_check() for st->conn.tls. False: it cannot
 * begin, and the connection closes. */
ON_SHARD bool stream_connect_tls(
	struct stream *st, struct tls_store *tls, const struct tls_target *to);
/* A waiting stream goes to another shard; st is then good for stream_end() only. False: it is not
 * at a point where it can, and nothing has happened. Arriving it waits still, and goes by a name
 * given anew; false: it is ended. */
ON_SHARD bool stream_leave(struct stream *st, struct stream_moving *out);
ON_SHARD bool stream_arrive(struct stream *st, struct stream_moving *from,
	const struct parser_limits *limits, const struct stream_events *events, const char *name);
ON_SHARD void stream_moving_end(struct stream_moving *m); /* it does not arrive */
/* Its last words: what the socket takes of them at once. Then stream_end(). */
ON_SHARD void stream_farewell(struct stream *st, enum stream_condition c, const char *text);
/* The owner waits for an answer: nothing more is parsed until stream_go_on(). Who waits for several
 * calls each as often. */
ON_SHARD void stream_wait(struct stream *st);
ON_SHARD void stream_go_on(struct stream *st);

/* <stream:error>, </stream:stream>, and the connection closes. text is English, for core/lang.h to
 * find in the stream's language, and may be NULL. Once. A header is
 * sent first if none was (RFC 6120 §4.9.1.2), in our last header's name or, before there was one,
 * in that of one of our hosts (§4.9.1.3). */
ON_SHARD void stream_error(struct stream *st, enum stream_condition c, const char *text);
ON_SHARD void stream_close(struct stream *st); /* without an error */
/* The same, with the application's own condition: add() builds it (RFC 6120 §4.9.4). */
ON_SHARD void stream_error_with(struct stream *st, enum stream_condition c, const char *text,
	void (*add)(struct builder *b, const void *arg), const void *arg);
ON_SHARD bool stream_closing(const struct stream *st);
ON_SHARD void stream_hibernate(struct stream *st);
ON_SHARD uint64_t stream_held_bytes(const struct stream *st); /* what waits, in and out, about */

/* To another process, as net/conn.h has it: an open stream whose connection is held. The name that
 * it goes by there is given anew. False: there is nothing to save, or it cannot be read; fd is
 * taken all the same, and stream_end() frees what has been made. */
ON_SHARD bool stream_save(const struct stream *st, struct record *r);
ON_SHARD bool stream_load(struct stream *st, int fd, const struct parser_limits *limits,
	const struct stream_events *events, const char *name, struct record_reader *r);
