/* net/tls.h - certificates by name, and TLS over one non-blocking socket, on OpenSSL 3.0.
 * A store holds every certificate and the settings all connections share; a reload publishes a new
 * set that connections made from then on use, while those that live keep theirs. A struct tls is
 * one connection's TLS, a layer between conn and its socket. TLS 1.2 (RFC 5246 as RFC 9325 wants
 * it: ECDHE and AEAD only) and 1.3 (RFC 8446); no compression, no renegotiation, no early data. */
#pragma once

#include <sys/uio.h>

#include "core/attr.h"
#include "core/conf.h"

enum tls_version { TLS_1_2, TLS_1_3, TLS_VERSIONS };

/* The settings `certfiles`, `ca_file`, `tls_min_version`, `tls_ciphers`, `tls_ciphersuites`,
 * `tls_groups` and `tls_ticket_lifetime`. NULL texts mean the default. */
struct tls_conf {
	struct conf_list certfiles; /* of const char *: PEM files or patterns (glob(7)); all keys
				     * and certificates in them are one heap, matched up by us */
	const char *ca_file; /* PEM: the authorities that peers' certificates may come from */
	int min_version; /* enum tls_version */
	const char *ciphers; /* of TLS 1.2, as `openssl ciphers` writes them */
	const char *ciphersuites; /* of TLS 1.3 */
	const char *groups; /* of the key exchange */
	int64_t ticket_lifetime_ms; /* how long a session may be resumed; 0: no tickets */
	/* No row, but put together from all ports' own: files as ca_file, of const char *. */
	struct conf_list more_ca_files;
};
extern const struct conf_item tls_items[]; /* rows for struct tls_conf */

/* A host's own files, which win over certfiles for its name. */
struct tls_host_files {
	const char *host;
	const char *certfile;
	const char *keyfile; /* NULL: in certfile */
};

struct tls_store;
struct tls_store *tls_store_new(void); /* without certificates */
void tls_store_free(
	struct tls_store *st); /* nobody makes connections from it any more; NULL is fine */
/* A new set of certificates in two steps: preparing reads all files and does all that can fail, and
 * either committing or abandoning ends it. Blocks on files: main or a job, one change at a time; an
 * RCU-registered thread. 0, or a negative errno and *why, "FILE: reason", which the caller frees.
 */
struct tls_change;
int tls_store_prepare(struct tls_store *st, const struct tls_conf *conf,
	const struct tls_host_files *hosts, size_t n_hosts, struct tls_change **out, char **why);
void tls_store_commit(struct tls_change *c);
void tls_store_abandon(struct tls_change *c); /* nothing has changed; NULL is fine */
/* Both steps. */
int tls_store_load(struct tls_store *st, const struct tls_conf *conf,
	const struct tls_host_files *hosts, size_t n_hosts, char **why);
/* Whether there is any certificate: without one, neither STARTTLS is offered nor direct TLS served.
 */
ANY_THREAD bool tls_store_ready(struct tls_store *st);
/* Whether a certificate names this (prepared, ASCII or Unicode) domain. */
ANY_THREAD bool tls_store_names(struct tls_store *st, const char *host);
/* One certificate with a key. Times are seconds since 1970. */
struct tls_cert_info {
	const char *file;
	const char *names; /* domains it is for: "example.org, *.example.org" */
	int64_t not_before, not_after;
	const char *digest; /* SHA-256 of the certificate, in hexadecimal */
};
/* Any registered thread; what fn gets is good during the call. */
void tls_store_each(
	struct tls_store *st, void (*fn)(const struct tls_cert_info *ci, void *arg), void *arg);
/* The same of a set that is prepared. */
void tls_change_each(const struct tls_change *c,
	void (*fn)(const struct tls_cert_info *ci, void *arg), void *arg);

/* Outcomes of the calls below, besides 0. */
enum tls_outcome {
	TLS_WANT_READ = 1, /* again when the socket is readable */
	TLS_WANT_WRITE, /* again when the socket is writable */
	TLS_CLOSED, /* the peer closed: close_notify, or end of file */
	TLS_FAILED, /* tls_error() says why; only tls_free() is left to do */
};
enum tls_entry {
	TLS_STARTTLS, /* RFC 6120 §5 */
	TLS_DIRECT, /* XEP-0368: ALPN, when the other end uses it, must hold our protocol */
};

/* Who comes to a port, and whether the port asks them for a certificate. The handshake does not
 * fail for want of a good one: net/tls_peer.h says what it is worth. Static, or alive until
 * tls_free(). */
struct tls_offer {
	enum { TLS_FROM_CLIENT, TLS_FROM_SERVER } from; /* ALPN: xmpp-client, xmpp-server */
	bool asks;
	const char *ca_file; /* one of more_ca_files; NULL: the authorities of `ca_file` */
};
extern const struct tls_offer tls_offer_to_servers; /* asks */

/* TLS of one connection. Every function on it is for the connection's own thread and never blocks.
 * Neither fd nor store is owned: the first stays open and the second alive until tls_free(). */
struct tls;
/* Of an accepted one. host: the stream's `to` where it is known (STARTTLS), else NULL; certificate
 * by host, then by SNI, then the first one. offer NULL: to clients, who are not asked. NULL: the
 * store has no certificate. */
struct tls *tls_new(struct tls_store *st, int fd, const char *host, enum tls_entry entry,
	const struct tls_offer *offer);

/* A TLSA record. RFC 6698 §2.1. */
struct tls_tlsa {
	uint8_t usage, selector, matching;
	uint16_t len;
	const uint8_t *data;
};
/* To whom a connection leads that we made; all of it is needed during the call alone. */
struct tls_target {
	/* Prepared: whom we want. It is what we say in SNI, and not the name of the SRV record's
	 * target, so that the server finds the certificate (XEP-0368 §3, RFC 6120 §13.7.2). */
	const char *domain;
	const char *ours; /* prepared: whose certificate we show when asked; NULL: nobody's */
	enum tls_entry entry;
	/* RFC 7673. Only where DNSSEC has validated all on the way to them, the SRV record too:
	 * where the connection leads, a name that the certificate may have as well, or NULL; and
	 * the TLSA records of it, of which one must fit if there is any that OpenSSL can use. */
	const char *host;
	const struct tls_tlsa *tlsa;
	unsigned n_tlsa;
};
/* Of one that we made. Its first tls_handshake() begins. NULL: the store was never loaded. */
struct tls *tls_connect(struct tls_store *st, int fd, const struct tls_target *to);
void tls_free(struct tls *t); /* NULL is fine */

/* 0: established; or TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_FAILED. */
int tls_handshake(struct tls *t);
/* Takes what the socket has, at most about room bytes of it, and decrypts all it took: nothing
 * waits inside that epoll does not know of, so level-triggered readiness is enough. *got is always
 * set and those bytes count whatever the outcome: 0 (go on when readable again), TLS_CLOSED or
 * TLS_FAILED. A peer that closed without close_notify is TLS_CLOSED too: XMPP ends its stream
 * itself (RFC 6120 §4.4). */
#define TLS_READ_ROOM 32768 /* room is at least this */
int tls_read(struct tls *t, void *room, size_t room_bytes, size_t *got);
/* Encrypts and sends, gathering short pieces into full records: one send() for each 16 KiB.
 * *written counts plain bytes that the socket has taken. 0: all of them; TLS_WANT_WRITE: call again
 * when writable with the same bytes from *written on, at another address and with more behind them
 * if that suits; TLS_CLOSED; TLS_FAILED. */
int tls_write(struct tls *t, const struct iovec *pieces, unsigned n, size_t *written);
/* Bytes that have been encrypted and wait for the socket, which *written has not counted yet. */
size_t tls_begun_bytes(const struct tls *t);
/* What is written from now on may leave in one packet with close_notify and the socket's end. */
void tls_ending(struct tls *t);
void tls_shutdown(struct tls *t); /* sends close_notify if the socket takes it; waits for nothing */
const char *tls_error(const struct tls *t); /* static or the connection's; no secrets */

/* Channel bindings (RFC 5056), in the order they are announced (XEP-0440). For accepted
 * connections. */
enum tls_binding {
	TLS_BIND_EXPORTER, /* tls-exporter, RFC 9266: with TLS 1.3 */
	TLS_BIND_UNIQUE, /* tls-unique, RFC 5929 §3: with TLS 1.2 and the extended master secret */
	TLS_BIND_END_POINT, /* tls-server-end-point, RFC 5929 §4: the hash of our certificate */
	TLS_BINDINGS,
};
#define TLS_BINDING_MAX 64
const char *tls_binding_name(enum tls_binding type);
/* What SASL may know of the channel below it; all zero without TLS. */
struct tls_channel {
	bool encrypted;
	bool certified; /* set by the caller: the peer's certificate is an account's of the host */
	uint8_t len[TLS_BINDINGS]; /* 0: does not exist here */
	uint8_t data[TLS_BINDINGS][TLS_BINDING_MAX];
};
/* After the handshake; t NULL: no TLS. The first leaves data out, which takes OpenSSL a while. */
void tls_channel_kinds(struct tls *t, struct tls_channel *out);
void tls_channel(struct tls *t, struct tls_channel *out);
/* One binding: its length, or 0 when it does not exist or is longer than room. */
size_t tls_channel_binding(struct tls *t, enum tls_binding type, uint8_t *out, size_t room);

struct tls_info {
	const char *version; /* "TLSv1.3" */
	const char *cipher; /* "TLS_AES_256_GCM_SHA384" */
	const char *sni; /* what the one who connected asked for, or NULL; until tls_free() */
	bool resumed;
};
void tls_info(struct tls *t, struct tls_info *out); /* after the handshake */
