/* net/tls_peer.h - what the certificate of the other end of a connection is worth: looked at during
 * the handshake, which it never makes fail, and judged afterwards by whoever wants to know for a
 * domain. RFC 6120 §13.7.2, RFC 7590 §3.4, RFC 7673 (DANE). The connection's own thread. Whether a
 * certificate was revoked is not looked at. */
#pragma once

#include <openssl/x509_vfy.h>

#include "net/tls.h"

/* The worst that is to be said of it; the last ones are worse. */
enum tls_verdict {
	TLS_PEER_GOOD, /* its chain leads to an authority, and it is for the domain */
	TLS_PEER_GOOD_BY_DANE, /* a TLSA record fits (usages 0 and 1: and its chain is good, too) */
	TLS_PEER_WRONG_NAME, /* all is good, but it is not for the domain */
	TLS_PEER_WRONG_PURPOSE, /* it is not for TLS of this kind */
	TLS_PEER_WEAK, /* a key or a signature in its chain is */
	TLS_PEER_NOT_YET_VALID,
	TLS_PEER_EXPIRED, /* it or one of its chain */
	TLS_PEER_UNKNOWN_AUTHORITY,
	TLS_PEER_SELF_SIGNED, /* it says so itself and nobody else does */
	TLS_PEER_INVALID, /* any other fault in its chain */
	TLS_PEER_DANE_MISMATCH, /* no TLSA record fits, where the domain has published some */
	TLS_PEER_NONE, /* no certificate: not asked for, not shown, or no TLS */
	TLS_PEER_RESULTS,
};
const char *tls_peer_name(enum tls_verdict p); /* "wrong-name" */
const char *tls_peer_text(
	enum tls_verdict p); /* for the log, English: "it is not for this domain" */
static inline bool tls_peer_is_good(enum tls_verdict p)
{
	return p <= TLS_PEER_GOOD_BY_DANE;
}

/* Of a server for this prepared domain, after the handshake; t may be NULL. It need not be the one
 * that the connection was made for: what DNS says of that one counts for no other. */
enum tls_verdict tls_peer_check(struct tls *t, const char *domain);
/* Its chain alone, whatever its names say. */
enum tls_verdict tls_peer_check_chain(struct tls *t);
/* What it has to say about itself; false: there is none. */
struct tls_peer_info {
	char *names; /* of cert_names_text() */
	char *subject, *issuer; /* "CN=example.org", as RFC 2253 has them */
	int64_t not_before, not_after; /* seconds since 1970 */
	char digest[65]; /* SHA-256, in hexadecimal */
};
bool tls_peer_info(struct tls *t, struct tls_peer_info *out);
void tls_peer_info_fini(struct tls_peer_info *info);
/* The JID's in it that are accounts': the first n of them, prepared, bare, with a local part
 * (XEP-0178 §2). The caller frees each with jid_free(). How many there are. */
struct jid;
size_t tls_peer_accounts(struct tls *t, struct jid **out, size_t n);

/* OpenSSL calls it for each fault it finds. */
int tls_peer_found(int good, X509_STORE_CTX *chain);
