/* tests/support/certificate.h - a certificate for a server, made for this run, and a store that has
 * it. For programs with and without Criterion. */
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/tls.h"

static inline void write_certificate(FILE *out, const char *domain)
{
	AUTO(free_ptr) char *names = xprintf("DNS:%s", domain);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)domain, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_add_ext(x, ext, -1);
	REQUIRE(X509_sign(x, key, EVP_sha256()) > 0);
	REQUIRE(PEM_write_X509(out, x));
	REQUIRE(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
	X509_EXTENSION_free(ext);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline struct tls_store *store_with_certificate(const char *domain)
{
	char path[] = "/tmp/linnet-test-cert-XXXXXX";
	const char *paths[] = { path };
	const struct tls_conf conf = { .certfiles = { paths, 1 }, .ticket_lifetime_ms = 3600000 };
	struct tls_store *store = tls_store_new();
	FILE *out = fdopen(mkstemp(path), "w");
	char *why = NULL;

	write_certificate(out, domain);
	fclose(out);
	REQUIRE(tls_store_load(store, &conf, NULL, 0, &why) == 0);
	unlink(path);
	return store;
}
