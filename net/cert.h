/* net/cert.h - certificates and their keys, out of PEM files.
 * All files together are one heap: a certificate whose private key is in any of them can be served,
 * its chain is what stands beside it in its own file. So chain and key may share a file or not, and
 * a pattern over a folder of certbot's works as it is. Reads files: any thread that may block. */
#pragma once

#include <openssl/x509.h>

#include "core/attr.h"

struct cert {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) * chain; /* issuer first; without the root; may be empty */
	char *file; /* the leaf's */
	char **names; /* prepared as a JID's domain; "*.example.org" for a wildcard */
	size_t n_names;
	int64_t not_before, not_after; /* seconds since 1970 */
};
struct certs {
	struct cert *at; /* in the order found; no leaf twice */
	size_t n;
};

/* Patterns are glob(7)'s. 0, or a negative errno and *why ("FILE: reason"), which the caller frees.
 */
int certs_load(const char *const *patterns, size_t n, struct certs *out, char **why);
void certs_fini(struct certs *c);

/* The hash that tls-server-end-point binds to. RFC 5929 §4.1. Its length, or 0: not defined. */
size_t cert_end_point(const X509 *leaf, uint8_t *out, size_t room);
size_t cert_end_point_bytes(const X509 *leaf); /* its length alone, without making it */
