/* net/cert_names.h - for whom a certificate is: the identifiers it presents, and whether one is the
 * domain that somebody claims to be. RFC 6120 §13.7.1.2 and §13.7.2, RFC 6125, RFC 9525. Any
 * thread; the certificate may be anybody's. */
#pragma once

#include <openssl/x509.h>

#include "core/attr.h"

/* A subjectAltName of interest. text is the certificate's, not terminated, and holds no NUL. */
struct cert_name {
	enum {
		CERT_DNS, /* DNS-ID: "example.org", "*.example.org" */
		CERT_SRV, /* SRV-ID: "_xmpp-server.example.org" */
		CERT_XMPP, /* XmppAddr: a JID, RFC 6120 §13.7.1.4 */
		CERT_IP, /* four or sixteen bytes: RFC 9525 §6.5 */
	} kind;
	const char *text;
	size_t len;
};
/* fn(): false ends it. Whether there is any, of whatever kind, even one of no interest: subject
 * names count for nothing then, nor do they for peers ever (RFC 9525 §2). */
bool cert_each_name(X509 *x, bool (*fn)(const struct cert_name *name, void *arg), void *arg);

/* A server's for this prepared domain, or an address. A wildcard stands for the leftmost label,
 * whole, of a DNS-ID or an SRV-ID (RFC 9525 §6.3). */
bool cert_is_of(X509 *x, const char *domain);
/* All of it, for people: "example.org, *.example.org, _xmpp-server.example.org". The caller frees.
 */
char *cert_names_text(X509 *x);
bool cert_is_address(const char *domain); /* "192.0.2.1", "[2001:db8::1]" */
