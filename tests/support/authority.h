/* tests/support/authority.h - certificate authorities of a test's own, and what they sign: good
 * certificates, and every kind of bad one. Files lie in a folder that authority_end() removes. For
 * one file of a test program. */
#pragma once

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

/* A certificate with its key: an authority's or anybody's. */
struct signed_cert {
	X509 *x;
	EVP_PKEY *key;
};
struct wish {
	const struct signed_cert *issuer; /* NULL: it signs itself */
	const char *subject;
	/* subjectAltName: "DNS:a.example,XMPP:a@b.example,SRV:_xmpp-server.a.example,IP:192.0.2.1";
	 * a % is a NUL. NULL: none */
	const char *names;
	const char *use; /* extendedKeyUsage; NULL: none */
	bool authority;
	bool weak; /* RSA with 1,024 bits */
	int from_days, until_days; /* both 0: from yesterday until tomorrow */
};

static char authority_folder[] = "/tmp/linnet-test-ca-XXXXXX";

static inline void authority_begin(void)
{
	cr_assert_not_null(mkdtemp(authority_folder));
}

static inline void authority_end(void)
{
	AUTO(free_ptr) char *command = xprintf("rm -rf %s", authority_folder);

	cr_assert_eq(system(command), 0);
}

static inline void add_extension(X509 *x, X509V3_CTX *ctx, int nid, const char *value)
{
	X509_EXTENSION *ext = value ? X509V3_EXT_conf_nid(NULL, ctx, nid, value) : NULL;

	if (ext)
		X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

static inline ASN1_STRING *name_string(int type, const char *text, size_t len)
{
	ASN1_STRING *string = ASN1_STRING_type_new(type);
	char *bytes = xmemdup(text, len);

	for (size_t i = 0; i < len; i++)
		if (bytes[i] == '%')
			bytes[i] = '\0';
	ASN1_STRING_set(string, bytes, (int)len);
	free(bytes);
	return string;
}

static inline GENERAL_NAME *other_name(int nid, int type, ASN1_STRING *string)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_TYPE *value = ASN1_TYPE_new();

	ASN1_TYPE_set(value, type, string);
	GENERAL_NAME_set0_othername(name, OBJ_nid2obj(nid), value);
	return name;
}

static inline GENERAL_NAME *plain_name(int kind, ASN1_STRING *string)
{
	GENERAL_NAME *name = GENERAL_NAME_new();

	GENERAL_NAME_set0_value(name, kind, string);
	return name;
}

static inline GENERAL_NAME *one_name(const char *text, size_t len)
{
	size_t kind = strcspn(text, ":") + 1;
	const char *value = text + kind;
	char address[64];

	if (!strncmp(text, "XMPP:", kind))
		return other_name(NID_XmppAddr, V_ASN1_UTF8STRING,
			name_string(V_ASN1_UTF8STRING, value, len - kind));
	if (!strncmp(text, "SRV:", kind))
		return other_name(NID_SRVName, V_ASN1_IA5STRING,
			name_string(V_ASN1_IA5STRING, value, len - kind));
	if (!strncmp(text, "IP:", kind)) {
		snprintf(address, sizeof(address), "%.*s", (int)(len - kind), value);
		return plain_name(GEN_IPADD, a2i_IPADDRESS(address));
	}
	return plain_name(!strncmp(text, "DNS:", kind) ? GEN_DNS : GEN_EMAIL,
		name_string(V_ASN1_IA5STRING, value, len - kind));
}

static inline void add_names(X509 *x, const char *names)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();

	for (const char *at = names; at && *at;) {
		size_t len = strcspn(at, ",");

		sk_GENERAL_NAME_push(all, one_name(at, len));
		at += len + (at[len] == ',');
	}
	if (names)
		cr_assert_eq(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, 0), 1);
	GENERAL_NAMES_free(all);
}

static inline struct signed_cert sign(const struct wish *w)
{
	static int serial = 1;
	EVP_PKEY *key = w->weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
	X509 *x = X509_new(), *issuer = w->issuer ? w->issuer->x : x;
	bool dated = w->from_days || w->until_days;
	X509V3_CTX ctx;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), 86400L * (dated ? w->from_days : -1));
	X509_gmtime_adj(X509_getm_notAfter(x), 86400L * (dated ? w->until_days : 1));
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
		(const unsigned char *)w->subject, -1, -1, 0);
	X509_set_pubkey(x, key);
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	add_extension(x, &ctx, NID_basic_constraints, w->authority ? "critical,CA:TRUE" : NULL);
	add_extension(x, &ctx, NID_key_usage, w->authority ? "critical,keyCertSign" : NULL);
	add_names(x, w->names);
	add_extension(x, &ctx, NID_ext_key_usage, w->use);
	cr_assert_gt(X509_sign(x, w->issuer ? w->issuer->key : key, EVP_sha256()), 0);
	return (struct signed_cert){ x, key };
}

static inline void signed_free(struct signed_cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
}

/* A file with the certificate, its key if that is wanted, and one behind it (or NULL). The caller
 * frees its path. */
static inline char *write_signed(const char *name, const struct signed_cert *c, bool with_key,
	const struct signed_cert *behind)
{
	char *path = xprintf("%s/%s", authority_folder, name);
	FILE *out = fopen(path, "w");

	cr_assert_not_null(out);
	PEM_write_X509(out, c->x);
	if (with_key)
		PEM_write_PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL);
	if (behind)
		PEM_write_X509(out, behind->x);
	fclose(out);
	return path;
}
