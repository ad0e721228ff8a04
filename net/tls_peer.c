/* net/tls_peer.c - the faults that OpenSSL finds in a chain, gathered, and a verdict. */
#include "net/tls_peer.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "net/cert_names.h"
#include "net/tls_inside.h"
#include "xml/jid.h"

#define DANE_TA 2 /* RFC 7218 §2.1 */
#define DANE_EE 3

static const struct {
	const char *name, *text;
} results[TLS_PEER_RESULTS] = {
	[TLS_PEER_GOOD] = { "good", "it is good" },
	[TLS_PEER_GOOD_BY_DANE] = { "good-by-dane", "it is the one that DNS names (DANE)" },
	[TLS_PEER_WRONG_NAME] = { "wrong-name", "it is not for this domain" },
	[TLS_PEER_WRONG_PURPOSE] = { "wrong-purpose", "it is not for TLS of this kind" },
	[TLS_PEER_WEAK] = { "weak", "a key or a signature in its chain is too weak" },
	[TLS_PEER_NOT_YET_VALID] = { "not-yet-valid", "it is not valid yet" },
	[TLS_PEER_EXPIRED] = { "expired", "it has expired, or one of its chain has" },
	[TLS_PEER_UNKNOWN_AUTHORITY] = { "unknown-authority", "its authority is not known here" },
	[TLS_PEER_SELF_SIGNED] = { "self-signed", "it is self-signed" },
	[TLS_PEER_INVALID] = { "invalid", "its chain is not valid" },
	[TLS_PEER_DANE_MISMATCH] = { "dane-mismatch", "it is not the one that DNS names (DANE)" },
	[TLS_PEER_NONE] = { "none", "there is no certificate" },
};

const char *tls_peer_name(enum tls_verdict p)
{
	return results[p].name;
}

const char *tls_peer_text(enum tls_verdict p)
{
	return results[p].text;
}

/* ---- during the handshake ---- */

static enum tls_verdict fault_of(int error)
{
	switch (error) {
	case X509_V_OK:
		return TLS_PEER_GOOD;
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CRL_NOT_YET_VALID:
		return TLS_PEER_NOT_YET_VALID;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CRL_HAS_EXPIRED:
		return TLS_PEER_EXPIRED;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return TLS_PEER_SELF_SIGNED;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_PEER_UNKNOWN_AUTHORITY;
	case X509_V_ERR_INVALID_PURPOSE:
	case X509_V_ERR_CERT_REJECTED:
		return TLS_PEER_WRONG_PURPOSE;
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return TLS_PEER_WEAK;
	case X509_V_ERR_DANE_NO_MATCH:
		return TLS_PEER_DANE_MISMATCH;
	default:
		return TLS_PEER_INVALID;
	}
}

int tls_peer_found(int good, X509_STORE_CTX *chain)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);

	if (!good)
		t->problems |= 1u << fault_of(X509_STORE_CTX_get_error(chain));
	return 1;
}

/* ---- afterwards ---- */

static X509 *peer_of(const struct tls *t)
{
	return t && t->reading ? SSL_get0_peer_certificate(t->ssl) : NULL;
}

/* A server that connects may show what it has as a server: many authorities make no certificates
 * for clients. */
static bool has_purpose(const struct tls *t, X509 *x)
{
	if (!t->offer || t->offer->from != TLS_FROM_SERVER)
		return true; /* OpenSSL has looked */
	return X509_get_extended_key_usage(x) & (XKU_SSL_SERVER | XKU_SSL_CLIENT | XKU_ANYEKU);
}

enum tls_verdict tls_peer_check_chain(struct tls *t)
{
	X509 *x = peer_of(t);
	uint32_t problems;

	if (!x)
		return TLS_PEER_NONE;
	problems = t->problems;
	if (!has_purpose(t, x))
		problems |= 1u << TLS_PEER_WRONG_PURPOSE;
	if (problems)
		return (enum tls_verdict)(31 - __builtin_clz(problems));
	/* What went wrong without having been said is a fault, too. */
	if (SSL_get_verify_result(t->ssl) != X509_V_OK)
		return TLS_PEER_INVALID;
	return t->dane ? TLS_PEER_GOOD_BY_DANE : TLS_PEER_GOOD;
}

/* The usage of the TLSA record that fits; -1: none does. */
static int usage_of(struct tls *t)
{
	uint8_t usage;

	return t->dane && SSL_get0_dane_tlsa(t->ssl, &usage, NULL, NULL, NULL, NULL) >= 0 ? usage
											  : -1;
}

/* For the domain that the connection was made for. With usage 3 the record itself says that the
 * certificate is its: RFC 7671 §5.1. */
static bool is_of_target(struct tls *t, X509 *x)
{
	return usage_of(t) == DANE_EE || cert_is_of(x, t->domain) ||
		(t->host && cert_is_of(x, t->host));
}

enum tls_verdict tls_peer_check(struct tls *t, const char *domain)
{
	enum tls_verdict chain = tls_peer_check_chain(t);
	X509 *x = peer_of(t);

	if (!tls_peer_is_good(chain))
		return chain;
	if (t->domain && !strcmp(domain, t->domain))
		return is_of_target(t, x) ? chain : TLS_PEER_WRONG_NAME;
	/* An authority that one domain has named in DNS may say of itself what it likes. */
	if (usage_of(t) >= DANE_TA)
		return TLS_PEER_UNKNOWN_AUTHORITY;
	return cert_is_of(x, domain) ? TLS_PEER_GOOD : TLS_PEER_WRONG_NAME;
}

/* ---- what it says ---- */

static char *name_text(const X509_NAME *name)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text, *at;
	long len;

	REQUIRE(out);
	X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253);
	len = BIO_get_mem_data(out, &at);
	text = xprintf("%.*s", (int)(len > 500 ? 500 : len), at);
	BIO_free(out);
	return text;
}

static int64_t seconds(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

bool tls_peer_info(struct tls *t, struct tls_peer_info *out)
{
	X509 *x = peer_of(t);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!x)
		return false;
	*out = (struct tls_peer_info){ .names = cert_names_text(x),
		.subject = name_text(X509_get_subject_name(x)),
		.issuer = name_text(X509_get_issuer_name(x)),
		.not_before = seconds(X509_get0_notBefore(x)),
		.not_after = seconds(X509_get0_notAfter(x)) };
	if (X509_digest(x, EVP_sha256(), digest, &len))
		for (unsigned i = 0; i < len; i++)
			snprintf(out->digest + 2 * i, 3, "%02x", digest[i]);
	return true;
}

void tls_peer_info_fini(struct tls_peer_info *info)
{
	free(info->names);
	free(info->subject);
	free(info->issuer);
}

struct accounts {
	struct jid **out;
	size_t n, found;
};

static bool take_account(const struct cert_name *n, void *arg)
{
	struct accounts *a = arg;
	struct jid *jid;

	if (n->kind != CERT_XMPP || jid_parse(n->text, n->len, NULL, &jid) != JID_OK)
		return true;
	if (!jid->local_len || !jid_is_bare(jid)) {
		jid_free(jid);
		return true;
	}
	a->out[a->found++] = jid;
	return a->found < a->n;
}

size_t tls_peer_accounts(struct tls *t, struct jid **out, size_t n)
{
	struct accounts a = { out, n, 0 };
	X509 *x = peer_of(t);

	if (x && n)
		cert_each_name(x, take_account, &a);
	return a.found;
}
