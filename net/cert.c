/* net/cert.c - PEM files into certificates that have their keys. RFC 6120 §13.7. */
#include "net/cert.h"

#include <errno.h>
#include <glob.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/mem.h"
#include "net/cert_names.h"
#include "xml/jid.h"

#define ID_BYTES 32
#define CHAIN_MAX 16 /* there may be two that issued each other */

struct key_found {
	uint8_t id[ID_BYTES]; /* SHA-256 of the public half */
	EVP_PKEY *key;
};
struct leaf_found { /* any certificate, until it turns out to be served or not */
	uint8_t id[ID_BYTES];
	X509 *x509;
	char *file;
	size_t file_nr; /* certificates with the same one may be its chain */
};
struct heap {
	struct key_found *keys;
	struct leaf_found *certs;
	size_t n_keys, n_certs, n_files;
	char **why;
};

static int fail(struct heap *h, int error, const char *file, const char *reason)
{
	*h->why = xprintf("%s: %s", file, reason);
	return error;
}

/* OpenSSL's newest reason, in words. */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "not readable";
}

/* An encrypted key would ask at the terminal: it may not. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
	(void)buffer, (void)size, (void)writing, (void)arg;
	return -1;
}

static bool key_id(EVP_PKEY *key, uint8_t *id)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	bool done = len > 0 && EVP_Digest(der, (size_t)len, id, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return done;
}

static void add_key(struct heap *h, EVP_PKEY *key)
{
	struct key_found found = { .key = key };

	EVP_PKEY_up_ref(key);
	REQUIRE(key_id(key, found.id));
	h->keys = xrealloc(h->keys, (h->n_keys + 1) * sizeof(*h->keys));
	h->keys[h->n_keys++] = found;
}

static void add_cert(struct heap *h, X509 *x509, const char *file)
{
	struct leaf_found found = { .x509 = x509, .file = xstrdup(file), .file_nr = h->n_files };
	EVP_PKEY *key = X509_get0_pubkey(x509);

	X509_up_ref(x509);
	if (!key || !key_id(key, found.id)) /* of a kind OpenSSL does not know: never served */
		memset(found.id, 0, sizeof(found.id));
	h->certs = xrealloc(h->certs, (h->n_certs + 1) * sizeof(*h->certs));
	h->certs[h->n_certs++] = found;
}

static int read_file(struct heap *h, const char *file)
{
	STACK_OF(X509_INFO) * all;
	FILE *in = fopen(file, "re");
	size_t before = h->n_keys + h->n_certs;

	if (!in)
		return fail(h, -errno, file, strerror(errno));
	ERR_clear_error();
	all = PEM_X509_INFO_read(in, NULL, no_password, NULL);
	fclose(in);
	if (!all)
		return fail(h, -EINVAL, file, reason());
	for (int i = 0; i < sk_X509_INFO_num(all); i++) {
		X509_INFO *info = sk_X509_INFO_value(all, i);

		if (info->x509)
			add_cert(h, info->x509, file);
		if (info->x_pkey && info->x_pkey->dec_pkey)
			add_key(h, info->x_pkey->dec_pkey);
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	h->n_files++;
	if (h->n_keys + h->n_certs == before)
		return fail(h, -EINVAL, file, "neither a certificate nor a key in it");
	return 0;
}

static int read_pattern(struct heap *h, const char *pattern)
{
	glob_t found;
	int error = 0;

	if (!strpbrk(pattern, "*?["))
		return read_file(h, pattern);
	if (glob(pattern, 0, NULL, &found))
		return fail(h, -ENOENT, pattern, "no file matches");
	for (size_t i = 0; !error && i < found.gl_pathc; i++)
		error = read_file(h, found.gl_pathv[i]);
	globfree(&found);
	return error;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, ID_BYTES); /* the id is the first member of both kinds */
}

static STACK_OF(X509) * chain_of(const struct heap *h, const struct leaf_found *leaf)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	const struct leaf_found *first = leaf, *end = h->certs + h->n_certs, *c;
	X509 *at = leaf->x509;

	while (first > h->certs && first[-1].file_nr == leaf->file_nr)
		first--;
	do {
		for (c = first; c < end && c->file_nr == leaf->file_nr; c++)
			if (c->x509 != at && X509_check_issued(c->x509, at) == X509_V_OK &&
				X509_check_issued(c->x509, c->x509) != X509_V_OK)
				break;
		if (c == end || c->file_nr != leaf->file_nr)
			return chain;
		X509_up_ref(c->x509);
		sk_X509_push(chain, c->x509);
		at = c->x509;
	} while (sk_X509_num(chain) < CHAIN_MAX);
	return chain;
}

static void add_name(struct cert *c, const char *text, size_t len)
{
	char domain[JID_PART_MAX + 1];
	size_t star = len > 2 && !memcmp(text, "*.", 2) ? 2 : 0;
	int prepared = memchr(text, 0, len) ? -1 : jid_prep_domain(text + star, len - star, domain);

	if (prepared <= 0)
		return;
	c->names = xrealloc(c->names, (c->n_names + 1) * sizeof(*c->names));
	c->names[c->n_names++] = xprintf("%.*s%s", (int)star, text, domain);
}

/* An SRV-ID is "_service.domain". RFC 6120 §13.7.1.2. */
static bool add_presented(const struct cert_name *n, void *arg)
{
	size_t service = strlen("_xmpp-client.");

	if (n->kind == CERT_DNS || n->kind == CERT_XMPP)
		add_name(arg, n->text, n->len);
	else if (n->kind == CERT_SRV && n->len > service &&
		(!memcmp(n->text, "_xmpp-client.", service) ||
			!memcmp(n->text, "_xmpp-server.", service)))
		add_name(arg, n->text + service, n->len - service);
	return true;
}

static void read_names(struct cert *c)
{
	char common[256];
	int len;

	if (cert_each_name(c->leaf, add_presented, c))
		return;
	len = X509_NAME_get_text_by_NID(
		X509_get_subject_name(c->leaf), NID_commonName, common, sizeof(common));
	if (len > 0)
		add_name(c, common, (size_t)len);
}

static int64_t seconds(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void cert_fini(struct cert *c)
{
	for (size_t i = 0; i < c->n_names; i++)
		free(c->names[i]);
	free(c->names);
	free(c->file);
	X509_free(c->leaf);
	EVP_PKEY_free(c->key);
	sk_X509_pop_free(c->chain, X509_free);
}

/* The same leaf may stand in several files, alone in one and with its chain in the next. */
static void take_leaf(
	struct certs *out, const struct heap *h, const struct leaf_found *leaf, EVP_PKEY *key)
{
	STACK_OF(X509) *chain = chain_of(h, leaf);
	struct cert *c;

	for (size_t i = 0; i < out->n; i++) {
		c = &out->at[i];
		if (X509_cmp(c->leaf, leaf->x509))
			continue;
		if (sk_X509_num(chain) > sk_X509_num(c->chain)) {
			STACK_OF(X509) *shorter = c->chain;

			c->chain = chain;
			chain = shorter;
			free(c->file);
			c->file = xstrdup(leaf->file);
		}
		sk_X509_pop_free(chain, X509_free);
		return;
	}
	out->at = xrealloc(out->at, (out->n + 1) * sizeof(*out->at));
	c = &out->at[out->n++];
	X509_up_ref(leaf->x509);
	EVP_PKEY_up_ref(key);
	*c = (struct cert){ .leaf = leaf->x509,
		.key = key,
		.chain = chain,
		.file = xstrdup(leaf->file),
		.not_before = seconds(X509_get0_notBefore(leaf->x509)),
		.not_after = seconds(X509_get0_notAfter(leaf->x509)) };
	read_names(c);
}

static int match(struct heap *h, struct certs *out)
{
	if (h->n_keys)
		qsort(h->keys, h->n_keys, sizeof(*h->keys), by_id);
	for (size_t i = 0; i < h->n_certs; i++) {
		const struct leaf_found *leaf = &h->certs[i];
		const struct key_found *k = NULL;

		if (h->n_keys)
			k = bsearch(leaf->id, h->keys, h->n_keys, sizeof(*h->keys), by_id);
		if (k)
			take_leaf(out, h, leaf, k->key);
		else if (!X509_check_ca(leaf->x509))
			return fail(h, -ENOKEY, leaf->file, "no private key for its certificate");
	}
	return 0;
}

int certs_load(const char *const *patterns, size_t n, struct certs *out, char **why)
{
	struct heap h = { .why = why };
	struct certs found = { 0 };
	int error = 0;

	for (size_t i = 0; !error && i < n; i++)
		error = read_pattern(&h, patterns[i]);
	if (!error)
		error = match(&h, &found);
	for (size_t i = 0; i < h.n_keys; i++)
		EVP_PKEY_free(h.keys[i].key);
	for (size_t i = 0; i < h.n_certs; i++) {
		X509_free(h.certs[i].x509);
		free(h.certs[i].file);
	}
	free(h.keys);
	free(h.certs);
	if (error)
		certs_fini(&found);
	else
		*out = found;
	return error;
}

void certs_fini(struct certs *c)
{
	for (size_t i = 0; i < c->n; i++)
		cert_fini(&c->at[i]);
	free(c->at);
	*c = (struct certs){ 0 };
}

/* NULL: a signature without a hash of its own, as Ed25519's. */
static const EVP_MD *end_point_digest(const X509 *leaf)
{
	int nid;

	if (!X509_get_signature_info((X509 *)leaf, &nid, NULL, NULL, NULL) || nid == NID_undef)
		return NULL;
	return EVP_get_digestbynid(nid == NID_md5 || nid == NID_sha1 ? NID_sha256 : nid);
}

size_t cert_end_point_bytes(const X509 *leaf)
{
	const EVP_MD *md = end_point_digest(leaf);

	return md ? (size_t)EVP_MD_get_size(md) : 0;
}

size_t cert_end_point(const X509 *leaf, uint8_t *out, size_t room)
{
	const EVP_MD *md = end_point_digest(leaf);
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned len;

	if (!md || !X509_digest(leaf, md, hash, &len) || len > room)
		return 0;
	memcpy(out, hash, len);
	return len;
}
