/* net/cert_names.c - the one place that reads a certificate's subjectAltName. */
#include "net/cert_names.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/mem.h"
#include "xml/jid.h"

#define SERVER_SERVICE "_xmpp-server."
#define SHOWN_MAX 2000 /* bytes of names for people: a certificate may have thousands */

/* Fills in what it can; false: it is of no interest, or text with a NUL in it. */
static bool read_string(struct cert_name *n, int kind, const ASN1_STRING *value)
{
	n->kind = kind;
	n->text = (const char *)ASN1_STRING_get0_data(value);
	n->len = (size_t)ASN1_STRING_length(value);
	return kind == CERT_IP ? n->len == 4 || n->len == 16
			       : n->len && !memchr(n->text, 0, n->len);
}

/* id-on-xmppAddr is an UTF8String, id-on-dnsSRV an IA5String; some mix them up. */
static bool read_other(struct cert_name *n, const OTHERNAME *other)
{
	int kind = OBJ_obj2nid(other->type_id);

	if ((kind != NID_XmppAddr && kind != NID_SRVName) || !other->value ||
		(other->value->type != V_ASN1_UTF8STRING && other->value->type != V_ASN1_IA5STRING))
		return false;
	return read_string(
		n, kind == NID_XmppAddr ? CERT_XMPP : CERT_SRV, other->value->value.asn1_string);
}

static bool read_name(struct cert_name *n, const GENERAL_NAME *name)
{
	switch (name->type) {
	case GEN_DNS:
		return read_string(n, CERT_DNS, name->d.dNSName);
	case GEN_IPADD:
		return read_string(n, CERT_IP, name->d.iPAddress);
	case GEN_OTHERNAME:
		return read_other(n, name->d.otherName);
	default:
		return false;
	}
}

bool cert_each_name(X509 *x, bool (*fn)(const struct cert_name *name, void *arg), void *arg)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool any = all != NULL;
	struct cert_name name;

	for (int i = 0; all && i < sk_GENERAL_NAME_num(all); i++)
		if (read_name(&name, sk_GENERAL_NAME_value(all, i)) && !fn(&name, arg))
			break;
	GENERAL_NAMES_free(all);
	return any;
}

/* ---- is it that one? ---- */

struct wanted {
	const char *domain; /* prepared */
	size_t address_len; /* 0: it is none */
	uint8_t address[16];
	bool found;
};

static bool prepared_as(const char *text, size_t len, const char *domain)
{
	char prepared[JID_PART_MAX + 1];

	return jid_prep_domain(text, len, prepared) > 0 && !strcmp(prepared, domain);
}

static bool domain_fits(const char *text, size_t len, const char *domain)
{
	const char *dot = strchr(domain, '.');

	if (len < 3 || memcmp(text, "*.", 2) != 0)
		return prepared_as(text, len, domain);
	return dot && dot > domain && prepared_as(text + 2, len - 2, dot + 1);
}

static bool fits(const struct cert_name *n, const struct wanted *w)
{
	size_t service = strlen(SERVER_SERVICE);

	if (w->address_len || n->kind == CERT_IP)
		return n->kind == CERT_IP && n->len == w->address_len &&
			!memcmp(n->text, w->address, n->len);
	switch (n->kind) {
	case CERT_DNS:
		return domain_fits(n->text, n->len, w->domain);
	case CERT_SRV:
		return n->len > service && !strncasecmp(n->text, SERVER_SERVICE, service) &&
			domain_fits(n->text + service, n->len - service, w->domain);
	case CERT_XMPP:
		return prepared_as(n->text, n->len, w->domain);
	default:
		return false;
	}
}

static bool look(const struct cert_name *n, void *arg)
{
	struct wanted *w = arg;

	w->found = fits(n, w);
	return !w->found;
}

/* Its bytes; how many, or 0: a name. */
static size_t address_of(const char *domain, uint8_t out[16])
{
	char inside[INET6_ADDRSTRLEN];
	size_t len = strlen(domain);

	if (inet_pton(AF_INET, domain, out) == 1)
		return 4;
	if (len < 3 || len - 2 >= sizeof(inside) || domain[0] != '[' || domain[len - 1] != ']')
		return 0;
	memcpy(inside, domain + 1, len - 2);
	inside[len - 2] = '\0';
	return inet_pton(AF_INET6, inside, out) == 1 ? 16 : 0;
}

bool cert_is_address(const char *domain)
{
	uint8_t address[16];

	return address_of(domain, address) > 0;
}

bool cert_is_of(X509 *x, const char *domain)
{
	struct wanted w = { .domain = domain };

	w.address_len = address_of(domain, w.address);
	cert_each_name(x, look, &w);
	return w.found;
}

/* ---- for people ---- */

static bool show(const struct cert_name *n, void *arg)
{
	struct buf **out = arg;
	char address[INET6_ADDRSTRLEN];
	const char *text = n->text;
	size_t len = n->len;

	if (n->kind == CERT_IP) {
		text = inet_ntop(len == 4 ? AF_INET : AF_INET6, n->text, address, sizeof(address));
		len = strlen(text);
	}
	if ((*out)->len + len + 2 > SHOWN_MAX) {
		buf_append(out, ", ...", 5);
		return false;
	}
	if ((*out)->len)
		buf_append(out, ", ", 2);
	for (size_t i = 0; i < len; i++) /* nothing that a terminal takes for an order */
		buf_append_char(out, (uint8_t)text[i] < ' ' || text[i] == 127 ? '?' : text[i]);
	return true;
}

char *cert_names_text(X509 *x)
{
	struct buf *b = buf_new(256);
	char *text;

	cert_each_name(x, show, &b);
	text = xprintf("%.*s", (int)b->len, b->data);
	buf_unref(b);
	return text;
}
