/* What a peer's certificate is worth: our client and our server shake hands over a socket pair,
 * with authorities of the test's own, and each says what it thinks of the other. RFC 6120 §13.7.2,
 * RFC 9525, RFC 7671 and RFC 7673, XEP-0178. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/rcu.h"
#include "net/cert_names.h"
#include "net/tls_peer.h"
#include "tests/support/authority.h"
#include "xml/jid.h"

/* Who signs: root is trusted on both ends; middle is signed by it; other is a stranger. */
static struct signed_cert root, middle, other, weak;
static struct tls_store *here, *there; /* of the one who connects, of the one who accepts */
static char *root_file;

static struct signed_cert authority(const char *name, const struct signed_cert *issuer, bool feeble)
{
	return sign(&(struct wish){
		.issuer = issuer, .subject = name, .authority = true, .weak = feeble });
}

static void setup(void)
{
	rcu_thread_begin();
	authority_begin();
	root = authority("Root", NULL, false);
	middle = authority("Middle", &root, false);
	other = authority("Stranger", NULL, false);
	weak = authority("Weak", &root, true);
	root_file = write_signed("root.pem", &root, false, NULL);
	here = tls_store_new();
	there = tls_store_new();
}

static void teardown(void)
{
	rcu_wait_later();
	tls_store_free(here);
	tls_store_free(there);
	signed_free(&root);
	signed_free(&middle);
	signed_free(&other);
	signed_free(&weak);
	free(root_file);
	authority_end();
	rcu_thread_end();
}
TestSuite(tls_peer, .init = setup, .fini = teardown, .timeout = 60);

/* ---- two ends ---- */

/* OpenSSL does not show what is weak, unless it is told to. */
static const char *ciphers_for(const struct signed_cert *behind)
{
	return behind == &weak ? "ECDHE+AESGCM:@SECLEVEL=0" : NULL;
}

/* c NULL: no certificate. */
static void equip(struct tls_store *store, const struct signed_cert *c,
	const struct signed_cert *behind, const char *ca_file)
{
	AUTO(free_ptr) char *path = c ? write_signed("leaf.pem", c, true, behind) : NULL;
	const struct tls_conf conf = { .certfiles = { (const char *[]){ path }, c ? 1 : 0 },
		.ca_file = ca_file,
		.ciphers = ciphers_for(behind),
		.ticket_lifetime_ms = 3600000 };
	char *why = NULL;

	cr_assert_eq(tls_store_load(store, &conf, NULL, 0, &why), 0, "%s", why);
}

struct ends {
	int fd[2];
	struct tls *client, *server;
	int client_says, server_says; /* of the handshake */
};

static void ends_open(struct ends *e, const struct tls_target *to, const struct tls_offer *offer)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, e->fd), 0);
	e->client = tls_connect(here, e->fd[0], to);
	e->server = tls_new(there, e->fd[1], NULL, to->entry, offer);
	cr_assert(e->client && e->server);
	e->client_says = e->server_says = TLS_WANT_READ;
	for (int turn = 0; turn < 20; turn++) {
		if (e->client_says == TLS_WANT_READ)
			e->client_says = tls_handshake(e->client);
		if (e->server_says == TLS_WANT_READ)
			e->server_says = tls_handshake(e->server);
	}
}

static void ends_close(struct ends *e)
{
	tls_free(e->client);
	tls_free(e->server);
	close(e->fd[0]);
	close(e->fd[1]);
}

/* Whatever they think of each other, they talk. */
static void talk(struct ends *e)
{
	static char room[TLS_READ_ROOM];
	struct iovec piece = { (void *)"hello", 5 };
	size_t n;

	cr_assert_eq(e->client_says, 0, "%s", tls_error(e->client));
	cr_assert_eq(e->server_says, 0, "%s", tls_error(e->server));
	cr_assert_eq(tls_write(e->client, &piece, 1, &n), 0);
	cr_assert_eq(tls_read(e->server, room, sizeof(room), &n), 0);
	cr_expect_eq(n, 5);
	cr_assert_eq(tls_write(e->server, &piece, 1, &n), 0);
	cr_assert_eq(tls_read(e->client, room, sizeof(room), &n), 0);
	cr_expect_eq(n, 5);
}

/* ---- chains and names ---- */

enum signer { BY_ROOT, BY_MIDDLE, BY_MIDDLE_ALONE, BY_STRANGER, BY_ITSELF, BY_WEAK };
static const struct row {
	const char *section;
	enum signer by;
	const char *names, *use, *domain;
	int from_days, until_days;
	bool weak;
	enum tls_verdict as_server,
		as_client; /* as the one who connects sees it, and who accepts */
} rows[] = {
	{ "RFC 6120 §13.7.2.1 DNS-ID", BY_ROOT, "DNS:b.example", NULL, "b.example" },
	{ "RFC 6120 §13.7.2.1 one of several", BY_ROOT, "DNS:a.example,DNS:b.example", NULL,
		"b.example" },
	{ "RFC 9525 §6.3 case does not matter", BY_ROOT, "DNS:B.eXample", NULL, "b.example" },
	{ "RFC 6120 §13.7.2.1 another", BY_ROOT, "DNS:a.example", NULL, "b.example", 0, 0, false,
		TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 the domain above", BY_ROOT, "DNS:example", NULL, "b.example", 0, 0, false,
		TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 a domain below", BY_ROOT, "DNS:c.b.example", NULL, "b.example", 0, 0,
		false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 a wildcard", BY_ROOT, "DNS:*.example", NULL, "b.example" },
	{ "RFC 9525 §6.3 a wildcard is one label", BY_ROOT, "DNS:*.example", NULL, "c.b.example", 0,
		0, false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 a wildcard is a label", BY_ROOT, "DNS:*.b.example", NULL, "b.example", 0,
		0, false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 part of a label", BY_ROOT, "DNS:b*.example", NULL, "bc.example", 0, 0,
		false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 not leftmost", BY_ROOT, "DNS:b.*.example", NULL, "b.c.example", 0, 0,
		false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 two of them", BY_ROOT, "DNS:*.*.example", NULL, "b.c.example", 0, 0, false,
		TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.3 an internationalised domain", BY_ROOT, "DNS:xn--bcher-kva.example", NULL,
		"b\u00fccher.example" },
	{ "RFC 9525 §6.3 and a wildcard", BY_ROOT, "DNS:*.xn--bcher-kva.example", NULL,
		"a.b\u00fccher.example" },
	{ "RFC 6120 §13.7.1.2 SRV-ID", BY_ROOT, "SRV:_xmpp-server.b.example", NULL, "b.example" },
	{ "RFC 6120 §13.7.1.2 of clients", BY_ROOT, "SRV:_xmpp-client.b.example", NULL, "b.example",
		0, 0, false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 6120 §13.7.1.2 SRV-ID of another", BY_ROOT, "SRV:_xmpp-server.a.example", NULL,
		"b.example", 0, 0, false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 6120 §13.7.1.4 XmppAddr", BY_ROOT, "XMPP:b.example", NULL, "b.example" },
	{ "RFC 6120 §13.7.1.4 XmppAddr in Unicode", BY_ROOT, "XMPP:B\u00dcCHER.example", NULL,
		"b\u00fccher.example" },
	{ "RFC 6120 §13.7.1.4 an account's is no server's", BY_ROOT, "XMPP:b@b.example", NULL,
		"b.example", 0, 0, false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 6120 §13.7.1.4 no wildcard", BY_ROOT, "XMPP:*.example", NULL, "b.example", 0, 0,
		false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 6125 §7.3 a NUL in it", BY_ROOT,
		"XMPP:b.example%.a,DNS:b.example%,SRV:_xmpp-server.b.example%", NULL, "b.example",
		0, 0, false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §2 a common name says nothing", BY_ROOT, NULL, NULL, "cn.example", 0, 0, false,
		TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.5 an address", BY_ROOT, "IP:192.0.2.1", NULL, "192.0.2.1" },
	{ "RFC 9525 §6.5 an address of version 6", BY_ROOT, "IP:2001:db8::1", NULL,
		"[2001:db8::1]" },
	{ "RFC 9525 §6.5 another address", BY_ROOT, "IP:192.0.2.2", NULL, "192.0.2.1", 0, 0, false,
		TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 9525 §6.5 an address is no name", BY_ROOT, "DNS:192.0.2.1", NULL, "192.0.2.1", 0, 0,
		false, TLS_PEER_WRONG_NAME, TLS_PEER_WRONG_NAME },
	{ "RFC 5280 §6.1 a chain", BY_MIDDLE, "DNS:b.example", NULL, "b.example" },
	{ "RFC 5280 §6.1 a chain with a gap", BY_MIDDLE_ALONE, "DNS:b.example", NULL, "b.example",
		0, 0, false, TLS_PEER_UNKNOWN_AUTHORITY, TLS_PEER_UNKNOWN_AUTHORITY },
	{ "RFC 5280 §6.1 an authority that nobody knows", BY_STRANGER, "DNS:b.example", NULL,
		"b.example", 0, 0, false, TLS_PEER_UNKNOWN_AUTHORITY, TLS_PEER_UNKNOWN_AUTHORITY },
	{ "RFC 6120 §13.7.2 self-signed", BY_ITSELF, "DNS:b.example", NULL, "b.example", 0, 0,
		false, TLS_PEER_SELF_SIGNED, TLS_PEER_SELF_SIGNED },
	{ "RFC 5280 §6.1.3 expired", BY_ROOT, "DNS:b.example", NULL, "b.example", -9, -1, false,
		TLS_PEER_EXPIRED, TLS_PEER_EXPIRED },
	{ "RFC 5280 §6.1.3 not valid yet", BY_ROOT, "DNS:b.example", NULL, "b.example", 1, 9, false,
		TLS_PEER_NOT_YET_VALID, TLS_PEER_NOT_YET_VALID },
	{ "the worst counts", BY_STRANGER, "DNS:a.example", NULL, "b.example", -9, -1, false,
		TLS_PEER_UNKNOWN_AUTHORITY, TLS_PEER_UNKNOWN_AUTHORITY },
	{ "RFC 5280 §4.2.1.12 for servers and clients", BY_ROOT, "DNS:b.example",
		"serverAuth,clientAuth", "b.example" },
	{ "RFC 5280 §4.2.1.12 for servers: enough in both directions", BY_ROOT, "DNS:b.example",
		"serverAuth", "b.example" },
	{ "RFC 5280 §4.2.1.12 for clients", BY_ROOT, "DNS:b.example", "clientAuth", "b.example", 0,
		0, false, TLS_PEER_WRONG_PURPOSE, TLS_PEER_GOOD },
	{ "RFC 5280 §4.2.1.12 for mail", BY_ROOT, "DNS:b.example", "emailProtection", "b.example",
		0, 0, false, TLS_PEER_WRONG_PURPOSE, TLS_PEER_WRONG_PURPOSE },
	{ "RFC 9325 §4.5 a weak authority", BY_WEAK, "DNS:b.example", NULL, "b.example", 0, 0,
		false, TLS_PEER_WEAK, TLS_PEER_WEAK },
};

static struct signed_cert leaf_of(const struct row *row)
{
	static const struct signed_cert *const signers[] = { [BY_ROOT] = &root,
		[BY_MIDDLE] = &middle,
		[BY_MIDDLE_ALONE] = &middle,
		[BY_STRANGER] = &other,
		[BY_WEAK] = &weak };

	return sign(&(struct wish){ .issuer = signers[row->by],
		.subject = "cn.example",
		.names = row->names,
		.use = row->use,
		.from_days = row->from_days,
		.until_days = row->until_days,
		.weak = row->weak });
}

static const struct signed_cert *behind(const struct row *row)
{
	return row->by == BY_MIDDLE ? &middle : row->by == BY_WEAK ? &weak : NULL;
}

static void expect_peer(struct tls *t, const struct row *row, enum tls_verdict wanted)
{
	enum tls_verdict found = tls_peer_check(t, row->domain);

	cr_expect_eq(found, wanted, "%s: %s", row->section, tls_peer_name(found));
}

Test(tls_peer, a_server_that_we_connect_to)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signed_cert leaf = leaf_of(&rows[i]);
		struct ends e;

		equip(here, NULL, NULL, root_file);
		equip(there, &leaf, behind(&rows[i]), root_file);
		ends_open(&e, &(struct tls_target){ .domain = rows[i].domain },
			&tls_offer_to_servers);
		talk(&e);
		expect_peer(e.client, &rows[i], rows[i].as_server);
		cr_expect_eq(tls_peer_check(e.server, rows[i].domain), TLS_PEER_NONE);
		ends_close(&e);
		signed_free(&leaf);
	}
}

/* XEP-0178 §3: it shows its certificate when it is asked. */
Test(tls_peer, a_server_that_connects)
{
	struct signed_cert ours = sign(
		&(struct wish){ .issuer = &root, .subject = "ours", .names = "DNS:ours.example" });

	equip(there, &ours, NULL, root_file);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signed_cert leaf = leaf_of(&rows[i]);
		AUTO(free_ptr)
		char *path = write_signed("client.pem", &leaf, true, behind(&rows[i]));
		const struct tls_host_files host = { rows[i].domain, path, NULL };
		const struct tls_conf conf = { .ca_file = root_file,
			.ciphers = ciphers_for(behind(&rows[i])) };
		char *why = NULL;
		struct ends e;

		cr_assert_eq(tls_store_load(here, &conf, &host, 1, &why), 0, "%s", why);
		ends_open(&e,
			&(struct tls_target){ .domain = "ours.example", .ours = rows[i].domain },
			&tls_offer_to_servers);
		talk(&e);
		expect_peer(e.server, &rows[i], rows[i].as_client);
		cr_expect_eq(tls_peer_check(e.client, "ours.example"), TLS_PEER_GOOD);
		ends_close(&e);
		signed_free(&leaf);
	}
	signed_free(&ours);
}

/* ---- who is asked, and what is shown ---- */

static struct signed_cert good_for(const char *names)
{
	return sign(&(struct wish){ .issuer = &root, .subject = "good", .names = names });
}

Test(tls_peer, nobody_is_asked_who_need_not_be)
{
	struct signed_cert b = good_for("DNS:b.example"), a = good_for("DNS:a.example");
	const struct tls_target to = { .domain = "b.example", .ours = "a.example" };
	struct ends e;

	equip(here, &a, NULL, root_file);
	equip(there, &b, NULL, root_file);
	ends_open(&e, &to, NULL);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.server, "a.example"), TLS_PEER_NONE);
	ends_close(&e);
	ends_open(&e, &(struct tls_target){ .domain = "b.example", .ours = "c.example" },
		&tls_offer_to_servers);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.server, "a.example"), TLS_PEER_NONE,
		"another domain's is not shown");
	ends_close(&e);
	cr_expect_eq(tls_peer_check(NULL, "a.example"), TLS_PEER_NONE);
	signed_free(&a);
	signed_free(&b);
}

/* XEP-0368 §3; RFC 6066 §3. */
Test(tls_peer, sni_and_alpn)
{
	struct signed_cert first = good_for("DNS:a.example"), second;
	AUTO(free_ptr) char *path = NULL;
	struct tls_info info;
	char *why = NULL;
	struct ends e;

	second = good_for("DNS:xn--bcher-kva.example");
	path = write_signed("second.pem", &second, true, NULL);
	equip(here, NULL, NULL, root_file);
	equip(there, &first, NULL, root_file);
	ends_open(&e, &(struct tls_target){ .domain = "b\u00fccher.example", .entry = TLS_DIRECT },
		&tls_offer_to_servers);
	talk(&e);
	tls_info(e.server, &info);
	cr_expect_str_eq(info.sni, "xn--bcher-kva.example");
	cr_expect_eq(tls_peer_check(e.client, "b\u00fccher.example"), TLS_PEER_WRONG_NAME);
	ends_close(&e);

	cr_assert_eq(
		tls_store_load(there, &(struct tls_conf){ .ca_file = root_file },
			&(struct tls_host_files){ "b\u00fccher.example", path, NULL }, 1, &why),
		0);
	ends_open(&e, &(struct tls_target){ .domain = "b\u00fccher.example", .entry = TLS_DIRECT },
		&tls_offer_to_servers);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.client, "b\u00fccher.example"), TLS_PEER_GOOD);
	ends_close(&e);

	ends_open(&e, &(struct tls_target){ .domain = "192.0.2.1" }, &tls_offer_to_servers);
	talk(&e);
	tls_info(e.server, &info);
	cr_expect_null(info.sni, "an address has none");
	ends_close(&e);

	ends_open(&e, &(struct tls_target){ .domain = "a.example", .entry = TLS_DIRECT }, NULL);
	cr_expect_eq(e.server_says, TLS_FAILED, "a server at a port for clients");
	cr_expect_gt(e.client_says, TLS_WANT_WRITE);
	cr_expect_eq(tls_peer_check(e.client, "a.example"), TLS_PEER_NONE);
	ends_close(&e);
	signed_free(&first);
	signed_free(&second);
}

/* With its certificate, SNI changes nothing of whom the server believes. */
Test(tls_peer, a_certificate_chosen_by_sni_keeps_the_authorities)
{
	struct signed_cert first = good_for("DNS:first.example"),
			   second = good_for("DNS:second.example"), a = good_for("DNS:a.example");
	AUTO(free_ptr) char *path = write_signed("second.pem", &second, true, NULL);
	AUTO(free_ptr) char *one = write_signed("first.pem", &first, true, NULL);
	const struct tls_conf conf = { .certfiles = { (const char *[]){ one, path }, 2 },
		.ca_file = root_file };
	char *why = NULL;
	struct ends e;

	cr_assert_eq(tls_store_load(there, &conf, NULL, 0, &why), 0);
	equip(here, &a, NULL, root_file);
	ends_open(&e, &(struct tls_target){ .domain = "second.example", .ours = "a.example" },
		&tls_offer_to_servers);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.client, "second.example"), TLS_PEER_GOOD);
	cr_expect_eq(tls_peer_check(e.server, "a.example"), TLS_PEER_GOOD);
	ends_close(&e);
	signed_free(&first);
	signed_free(&second);
	signed_free(&a);
}

static void expect_here(const char *ca_file, enum tls_verdict wanted)
{
	struct ends e;

	equip(here, NULL, NULL, ca_file);
	ends_open(&e, &(struct tls_target){ .domain = "b.example" }, NULL);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.client, "b.example"), wanted);
	ends_close(&e);
}

Test(tls_peer, authorities_change_with_a_reload)
{
	struct signed_cert b =
		sign(&(struct wish){ .issuer = &middle, .subject = "b", .names = "DNS:b.example" });
	AUTO(free_ptr) char *stranger = write_signed("stranger.pem", &other, false, NULL);
	AUTO(free_ptr) char *partial = write_signed("middle.pem", &middle, false, NULL);

	equip(there, &b, &middle, root_file);
	expect_here(root_file, TLS_PEER_GOOD);
	expect_here(stranger, TLS_PEER_UNKNOWN_AUTHORITY);
	expect_here(partial, TLS_PEER_GOOD);
	expect_here(NULL, TLS_PEER_UNKNOWN_AUTHORITY);
	signed_free(&b);
}

Test(tls_peer, authorities_that_cannot_be_read)
{
	AUTO(free_ptr) char *empty = xprintf("%s/empty.pem", authority_folder);
	const char *const files[] = { empty, "/nowhere/ca.pem" };

	fclose(fopen(empty, "w"));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct tls_conf conf = { .ca_file = files[i] };
		AUTO(free_ptr) char *why = NULL, *also = NULL;

		cr_assert_eq(tls_store_load(here, &conf, NULL, 0, &why), -EINVAL);
		cr_expect_eq(strncmp(why, files[i], strlen(files[i])), 0, "%s", why);
		conf = (struct tls_conf){ .ca_file = root_file,
			.more_ca_files = { (const char *[]){ files[i] }, 1 } };
		cr_assert_eq(tls_store_load(here, &conf, NULL, 0, &also), -EINVAL);
		cr_expect_str_eq(also, why);
	}
}

/* ---- DANE ---- */

#define DATA_MAX 2048
struct record {
	uint8_t data[DATA_MAX];
	struct tls_tlsa tlsa;
};

/* What a zone would say of a certificate. RFC 6698 §2.1. */
static void make_record(
	struct record *r, uint8_t usage, uint8_t selector, uint8_t matching, X509 *x)
{
	uint8_t *der = NULL;
	int len = selector ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : i2d_X509(x, &der);
	unsigned digest_len = (unsigned)len;

	cr_assert(len > 0 && len < DATA_MAX);
	if (matching)
		EVP_Digest(der, (size_t)len, r->data, &digest_len,
			matching == 1 ? EVP_sha256() : EVP_sha512(), NULL);
	else
		memcpy(r->data, der, (size_t)len);
	OPENSSL_free(der);
	r->tlsa = (struct tls_tlsa){ usage, selector, matching, (uint16_t)digest_len, r->data };
}

enum about { LEAF, ITS_ISSUER, ANOTHER };
static const struct {
	const char *section;
	uint8_t usage, selector, matching;
	enum about about;
	const char *names, *host;
	enum signer by;
	bool expired;
	enum tls_verdict wanted;
} tlsa_rows[] = {
	{ "RFC 7671 §5.1 3 1 1", 3, 1, 1, LEAF, "DNS:b.example", NULL, BY_ITSELF, false,
		TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.1 3 0 0", 3, 0, 0, LEAF, "DNS:b.example", NULL, BY_ITSELF, false,
		TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.1 3 1 2", 3, 1, 2, LEAF, "DNS:b.example", NULL, BY_STRANGER, false,
		TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.1 its name and dates do not matter", 3, 1, 1, LEAF, "DNS:x.example", NULL,
		BY_ITSELF, true, TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7673 §4 another key", 3, 1, 1, ANOTHER, "DNS:b.example", NULL, BY_ROOT, false,
		TLS_PEER_DANE_MISMATCH },
	{ "RFC 7671 §5.2 2 0 1", 2, 0, 1, ITS_ISSUER, "DNS:b.example", NULL, BY_MIDDLE, false,
		TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.2 2 1 1, for the target", 2, 1, 1, ITS_ISSUER, "DNS:xmpp.example",
		"xmpp.example", BY_MIDDLE, false, TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.2 names count", 2, 1, 1, ITS_ISSUER, "DNS:x.example", "xmpp.example",
		BY_MIDDLE, false, TLS_PEER_WRONG_NAME },
	{ "RFC 7671 §5.2 dates count", 2, 1, 1, ITS_ISSUER, "DNS:b.example", NULL, BY_MIDDLE, true,
		TLS_PEER_EXPIRED },
	{ "RFC 7671 §5.2 another authority", 2, 0, 1, ANOTHER, "DNS:b.example", NULL, BY_MIDDLE,
		false, TLS_PEER_DANE_MISMATCH },
	{ "RFC 7671 §5.3 1 1 1", 1, 1, 1, LEAF, "DNS:b.example", NULL, BY_ROOT, false,
		TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.3 and the chain counts", 1, 1, 1, LEAF, "DNS:b.example", NULL, BY_STRANGER,
		false, TLS_PEER_UNKNOWN_AUTHORITY },
	{ "RFC 7671 §5.3 another key", 1, 1, 1, ANOTHER, "DNS:b.example", NULL, BY_ROOT, false,
		TLS_PEER_DANE_MISMATCH },
	{ "RFC 7671 §5.4 0 0 1", 0, 0, 1, ITS_ISSUER, "DNS:b.example", NULL, BY_MIDDLE, false,
		TLS_PEER_GOOD_BY_DANE },
	{ "RFC 7671 §5.4 another authority", 0, 0, 1, ANOTHER, "DNS:b.example", NULL, BY_MIDDLE,
		false, TLS_PEER_DANE_MISMATCH },
	{ "RFC 7671 §10.3 a usage nobody knows", 9, 1, 1, ANOTHER, "DNS:b.example", NULL, BY_ROOT,
		false, TLS_PEER_GOOD },
	{ "RFC 7671 §10.3 a hash nobody knows", 3, 1, 77, ANOTHER, "DNS:b.example", NULL, BY_ITSELF,
		false, TLS_PEER_SELF_SIGNED },
};

Test(tls_peer, dane)
{
	equip(here, NULL, NULL, root_file);
	for (size_t i = 0; i < ARRAY_LEN(tlsa_rows); i++) {
		const struct row row = { .by = tlsa_rows[i].by,
			.names = tlsa_rows[i].names,
			.from_days = tlsa_rows[i].expired ? -9 : 0,
			.until_days = tlsa_rows[i].expired ? -1 : 0 };
		struct signed_cert leaf = leaf_of(&row);
		X509 *const about[] = {
			[LEAF] = leaf.x, [ITS_ISSUER] = middle.x, [ANOTHER] = other.x
		};
		struct record r;
		enum tls_verdict found;
		struct ends e;

		make_record(&r, tlsa_rows[i].usage, tlsa_rows[i].selector, tlsa_rows[i].matching,
			about[tlsa_rows[i].about]);
		equip(there, &leaf, behind(&row), root_file);
		ends_open(&e,
			&(struct tls_target){ .domain = "b.example",
				.host = tlsa_rows[i].host,
				.tlsa = &r.tlsa,
				.n_tlsa = 1 },
			&tls_offer_to_servers);
		talk(&e);
		found = tls_peer_check(e.client, "b.example");
		cr_expect_eq(found, tlsa_rows[i].wanted, "%s: %s", tlsa_rows[i].section,
			tls_peer_name(found));
		ends_close(&e);
		signed_free(&leaf);
	}
}

/* What a domain says in DNS of its certificate makes it nobody else's: whoever has a zone could be
 * anybody. */
Test(tls_peer, dane_counts_for_its_own_domain_alone)
{
	static const struct {
		enum signer by;
		uint8_t usage;
		enum about about;
		enum tls_verdict for_another;
	} kinds[] = {
		{ BY_ITSELF, 3, LEAF, TLS_PEER_UNKNOWN_AUTHORITY },
		{ BY_MIDDLE, 2, ITS_ISSUER, TLS_PEER_UNKNOWN_AUTHORITY },
		{ BY_ROOT, 1, LEAF, TLS_PEER_GOOD },
	};

	equip(here, NULL, NULL, root_file);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct row row = { .by = kinds[i].by,
			.names = "DNS:b.example,DNS:bank.example,DNS:xmpp.example" };
		struct signed_cert leaf = leaf_of(&row);
		struct record r;
		struct ends e;

		make_record(&r, kinds[i].usage, 1, 1, kinds[i].about == LEAF ? leaf.x : middle.x);
		equip(there, &leaf, behind(&row), root_file);
		ends_open(&e,
			&(struct tls_target){ .domain = "b.example",
				.host = "xmpp.example",
				.tlsa = &r.tlsa,
				.n_tlsa = 1 },
			&tls_offer_to_servers);
		talk(&e);
		cr_expect_eq(tls_peer_check(e.client, "b.example"), TLS_PEER_GOOD_BY_DANE);
		cr_expect_eq(tls_peer_check(e.client, "bank.example"), kinds[i].for_another);
		cr_expect_neq(tls_peer_check(e.client, "c.example"), TLS_PEER_GOOD);
		cr_expect_neq(tls_peer_check(e.client, "c.example"), TLS_PEER_GOOD_BY_DANE);
		ends_close(&e);
		signed_free(&leaf);
	}
}

/* RFC 7671 §8.1: while a key is rolled over there are several records. */
Test(tls_peer, one_record_of_several_is_enough)
{
	struct signed_cert leaf = sign(&(struct wish){ .subject = "b", .names = "DNS:b.example" });
	struct record old, unusable, present;
	struct ends e;

	make_record(&old, 3, 1, 1, other.x);
	make_record(&unusable, 200, 1, 1, leaf.x);
	make_record(&present, 3, 1, 1, leaf.x);
	equip(here, NULL, NULL, root_file);
	equip(there, &leaf, NULL, root_file);
	for (unsigned n = 2; n <= 3; n++) {
		const struct tls_tlsa all[] = { old.tlsa, unusable.tlsa, present.tlsa };

		ends_open(&e,
			&(struct tls_target){ .domain = "b.example", .tlsa = all, .n_tlsa = n },
			NULL);
		talk(&e);
		cr_expect_eq(tls_peer_check(e.client, "b.example"),
			n == 3 ? TLS_PEER_GOOD_BY_DANE : TLS_PEER_DANE_MISMATCH);
		ends_close(&e);
	}
	signed_free(&leaf);
}

/* RFC 7673 §4: the target is a name of the server's only where DNSSEC says so. */
Test(tls_peer, the_target_of_a_secure_srv_record)
{
	struct signed_cert leaf = good_for("DNS:xmpp.example");
	struct ends e;

	equip(here, NULL, NULL, root_file);
	equip(there, &leaf, NULL, root_file);
	for (int secure = 0; secure < 2; secure++) {
		ends_open(&e,
			&(struct tls_target){
				.domain = "b.example", .host = secure ? "xmpp.example" : NULL },
			NULL);
		talk(&e);
		cr_expect_eq(tls_peer_check(e.client, "b.example"),
			secure ? TLS_PEER_GOOD : TLS_PEER_WRONG_NAME);
		cr_expect_eq(tls_peer_check(e.client, "c.example"), TLS_PEER_WRONG_NAME,
			"the target is the server of that domain, not of each");
		ends_close(&e);
	}
	signed_free(&leaf);
}

/* ---- clients, and what is said of a certificate ---- */

/* XEP-0178 §2. */
Test(tls_peer, accounts_of_a_client)
{
	static const struct tls_offer offer = { .from = TLS_FROM_CLIENT, .asks = true };
	struct signed_cert leaf = sign(&(struct wish){ .issuer = &root,
		.subject = "romeo",
		.use = "clientAuth",
		.names = "DNS:ours.example,XMPP:Romeo@Montague.Lit,XMPP:montague.lit,"
			 "XMPP:r@montague.lit/orchard,XMPP:x@y@z,XMPP:benvolio@montague.lit" });
	struct signed_cert server = good_for("DNS:b.example");
	struct jid *jids[4];
	struct ends e;

	equip(here, &leaf, NULL, root_file);
	equip(there, &server, NULL, root_file);
	ends_open(
		&e, &(struct tls_target){ .domain = "b.example", .ours = "ours.example" }, &offer);
	talk(&e);
	cr_expect_eq(tls_peer_check_chain(e.server), TLS_PEER_GOOD);
	cr_expect_eq(tls_peer_accounts(e.server, jids, 1), 1);
	jid_free(jids[0]);
	cr_assert_eq(tls_peer_accounts(e.server, jids, ARRAY_LEN(jids)), 2);
	cr_expect_str_eq(jid_local(jids[0]), "romeo");
	cr_expect_str_eq(jid_domain(jids[0]), "montague.lit");
	cr_expect_str_eq(jid_local(jids[1]), "benvolio");
	jid_free(jids[0]);
	jid_free(jids[1]);
	cr_expect_eq(tls_peer_accounts(e.client, jids, 4), 0);
	ends_close(&e);
	signed_free(&leaf);
	signed_free(&server);
}

/* A client's certificate must be a client's. */
Test(tls_peer, a_servers_certificate_is_no_clients)
{
	static const struct tls_offer offer = { .from = TLS_FROM_CLIENT, .asks = true };
	struct signed_cert leaf = sign(&(struct wish){
		.issuer = &root, .subject = "a", .names = "DNS:a.example", .use = "serverAuth" });
	struct ends e;

	equip(here, &leaf, NULL, root_file);
	equip(there, &leaf, NULL, root_file);
	ends_open(&e, &(struct tls_target){ .domain = "a.example", .ours = "a.example" }, &offer);
	talk(&e);
	cr_expect_eq(tls_peer_check_chain(e.server), TLS_PEER_WRONG_PURPOSE);
	ends_close(&e);
	signed_free(&leaf);
}

/* Authorities of one port alone. */
Test(tls_peer, a_port_with_authorities_of_its_own)
{
	AUTO(free_ptr) char *file = write_signed("own.pem", &other, false, NULL);
	const struct tls_offer offer = { .from = TLS_FROM_CLIENT, .asks = true, .ca_file = file };
	const struct tls_offer all = { .from = TLS_FROM_CLIENT, .asks = true };
	struct signed_cert leaf =
		sign(&(struct wish){ .issuer = &other, .subject = "a", .names = "DNS:a.example" });
	AUTO(free_ptr) char *path = write_signed("a.pem", &leaf, true, NULL);
	const struct tls_conf conf = { .certfiles = { (const char *[]){ path }, 1 },
		.ca_file = root_file,
		.more_ca_files = { (const char *[]){ file }, 1 } };
	const struct tls_target to = { .domain = "a.example", .ours = "a.example" };
	char *why = NULL;
	struct ends e;

	equip(here, &leaf, NULL, root_file);
	cr_assert_eq(tls_store_load(there, &conf, NULL, 0, &why), 0);
	ends_open(&e, &to, &offer);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.server, "a.example"), TLS_PEER_GOOD);
	ends_close(&e);
	ends_open(&e, &to, &all);
	talk(&e);
	cr_expect_eq(tls_peer_check(e.server, "a.example"), TLS_PEER_UNKNOWN_AUTHORITY);
	ends_close(&e);
	cr_expect_null(tls_new(there, 0, NULL, TLS_STARTTLS,
		&(struct tls_offer){ .asks = true, .ca_file = "/not/loaded" }));
	signed_free(&leaf);
}

Test(tls_peer, what_it_says_of_itself)
{
	struct signed_cert leaf =
		good_for("DNS:b.example,DNS:*.b.example,IP:192.0.2.1,email:a@b.example,"
			 "XMPP:b\x1b.example");
	uint8_t digest[32];
	struct tls_peer_info info;
	char wanted[65];
	struct ends e;

	equip(here, NULL, NULL, root_file);
	equip(there, &leaf, NULL, root_file);
	ends_open(&e, &(struct tls_target){ .domain = "b.example" }, NULL);
	cr_assert(tls_peer_info(e.client, &info));
	cr_expect_str_eq(info.names, "b.example, *.b.example, 192.0.2.1, b?.example");
	cr_expect_str_eq(info.subject, "CN=good");
	cr_expect_str_eq(info.issuer, "CN=Root");
	cr_expect_lt(info.not_before, (int64_t)time(NULL));
	cr_expect_gt(info.not_after, (int64_t)time(NULL));
	X509_digest(leaf.x, EVP_sha256(), digest, NULL);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(wanted + 2 * i, 3, "%02x", digest[i]);
	cr_expect_str_eq(info.digest, wanted);
	tls_peer_info_fini(&info);
	cr_expect_not(tls_peer_info(e.server, &info));
	ends_close(&e);
	signed_free(&leaf);
}

/* Thousands of names are shown in part. */
Test(tls_peer, names_are_bounded)
{
	char *names = xstrdup("DNS:a.example");
	struct signed_cert leaf;
	char *text;

	for (int i = 0; i < 500; i++) {
		char *more = xprintf("%s,DNS:%d.example", names, i);

		free(names);
		names = more;
	}
	leaf = good_for(names);
	text = cert_names_text(leaf.x);
	cr_expect_leq(strlen(text), 2010);
	cr_expect_str_eq(text + strlen(text) - 5, ", ...");
	cr_expect(cert_is_of(leaf.x, "499.example"));
	free(text);
	free(names);
	signed_free(&leaf);
}

Test(tls_peer, every_result_has_its_words)
{
	for (int p = 0; p < TLS_PEER_RESULTS; p++) {
		cr_expect(tls_peer_name((enum tls_verdict)p) && tls_peer_text((enum tls_verdict)p));
		cr_expect_eq(tls_peer_is_good((enum tls_verdict)p), p < TLS_PEER_WRONG_NAME);
	}
}
