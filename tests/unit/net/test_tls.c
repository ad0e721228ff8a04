/* TLS against OpenSSL's own client over a socket pair; certificates are made here. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "net/cert.h"
#include "net/tls.h"

static char folder[] = "/tmp/linnet-test-tls-XXXXXX";
static struct tls_store *store;
static struct tls_conf conf = { .ticket_lifetime_ms = 3600 * 1000 };

/* ---- certificates ---- */

static EVP_PKEY *new_key(int type)
{
	if (type == EVP_PKEY_RSA)
		return EVP_RSA_gen(2048);
	return type == EVP_PKEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					: EVP_EC_gen("P-256");
}

/* names: a subjectAltName in openssl.cnf's form, or NULL; issuer NULL: self-signed. */
static X509 *new_cert(EVP_PKEY *key, const char *common, const char *names, bool ca, X509 *issuer,
	EVP_PKEY *issuer_key, const EVP_MD *md, long days)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509V3_CTX ctx;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + rand());
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(x, key);
	X509V3_set_ctx(&ctx, issuer ? issuer : x, x, NULL, NULL, 0);
	for (int i = 0; i < 2; i++) {
		X509_EXTENSION *ext = NULL;

		if (i == 0 && ca)
			ext = X509V3_EXT_conf_nid(
				NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
		if (i == 1 && names)
			ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
		if (ext)
			X509_add_ext(x, ext, -1);
		X509_EXTENSION_free(ext);
	}
	cr_assert_gt(X509_sign(x, issuer_key ? issuer_key : key, md), 0);
	return x;
}

static char *path_of(const char *name)
{
	return xprintf("%s/%s", folder, name);
}

/* Writes up to two certificates and a key into one file, "a" or "w". */
static void write_pem(const char *name, const char *mode, X509 *one, X509 *two, EVP_PKEY *key)
{
	AUTO(free_ptr) char *path = path_of(name);
	FILE *out = fopen(path, mode);

	cr_assert_not_null(out);
	if (one)
		PEM_write_X509(out, one);
	if (two)
		PEM_write_X509(out, two);
	if (key)
		PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	fclose(out);
}

static void self_signed(const char *file, const char *common, const char *names, long days)
{
	EVP_PKEY *key = new_key(EVP_PKEY_EC);
	X509 *x = new_cert(key, common, names, false, NULL, NULL, EVP_sha256(), days);

	write_pem(file, "w", x, NULL, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void load(
	const char *const *files, size_t n, const struct tls_host_files *hosts, size_t n_hosts)
{
	const char *paths[8];
	char *why = NULL;

	for (size_t i = 0; i < n; i++)
		paths[i] = path_of(files[i]);
	conf.certfiles = (struct conf_list){ paths, n };
	cr_assert_eq(tls_store_load(store, &conf, hosts, n_hosts, &why), 0, "%s", why);
	for (size_t i = 0; i < n; i++)
		free((char *)paths[i]);
}
#define LOAD(...)                                  \
	load((const char *const[]){ __VA_ARGS__ }, \
		ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })), NULL, 0)

static void setup(void)
{
	rcu_thread_begin();
	cr_assert_not_null(mkdtemp(folder));
	store = tls_store_new();
}

static void teardown(void)
{
	AUTO(free_ptr) char *command = xprintf("rm -rf %s", folder);

	rcu_wait_later();
	tls_store_free(store);
	rcu_thread_end();
	cr_assert_eq(system(command), 0);
}
TestSuite(tls, .init = setup, .fini = teardown);

/* ---- a client and a server over one socket pair ---- */

struct pair {
	struct tls *server;
	SSL_CTX *ctx;
	SSL *client;
	int fd[2]; /* server's, client's */
	int server_says, client_error; /* of the handshake */
};

static SSL_SESSION *ticket; /* the newest one a client got */

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

static void pair_open(struct pair *p, const char *host, enum tls_entry entry)
{
	*p = (struct pair){ 0 };
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
	p->server = tls_new(store, p->fd[0], host, entry, NULL);
	cr_assert_not_null(p->server);
	p->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(p->ctx, keep_ticket);
	p->client = SSL_new(p->ctx);
	SSL_set_fd(p->client, p->fd[1]);
	SSL_set_connect_state(p->client);
}

static void pair_close(struct pair *p)
{
	tls_free(p->server);
	SSL_free(p->client);
	SSL_CTX_free(p->ctx);
	close(p->fd[0]);
	if (p->fd[1] >= 0)
		close(p->fd[1]);
}

/* Both ends in turn, until both are done or one has failed. */
static bool shake(struct pair *p)
{
	int client = 0;

	p->server_says = TLS_WANT_READ;
	for (int turn = 0; turn < 50; turn++) {
		if (client != 1) {
			client = SSL_do_handshake(p->client);
			p->client_error = client == 1 ? 0 : SSL_get_error(p->client, client);
		}
		if (p->server_says == TLS_WANT_READ || p->server_says == TLS_WANT_WRITE)
			p->server_says = tls_handshake(p->server);
		if (p->server_says == 0 && client == 1)
			return true;
		if (p->server_says > TLS_WANT_WRITE || p->client_error == SSL_ERROR_SSL)
			return false;
	}
	return false;
}

static char room[65536];

/* What the server reads until it has this many bytes. */
static size_t server_reads(struct pair *p, char *into, size_t want)
{
	size_t have = 0;

	for (int turn = 0; have < want && turn < 1000; turn++) {
		size_t got;
		int says = tls_read(p->server, room, sizeof(room), &got);

		memcpy(into + have, room, got);
		have += got;
		if (says)
			break;
	}
	return have;
}

static int server_writes(struct pair *p, const char *text, size_t *written)
{
	struct iovec piece = { (char *)text, strlen(text) };

	return tls_write(p->server, &piece, 1, written);
}

/* The common name the server's certificate has. */
static const char *presented(const struct pair *p)
{
	static char common[100];
	X509 *x = SSL_get1_peer_certificate(p->client);

	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, common, sizeof(common));
	X509_free(x);
	return common;
}

static void talk(struct pair *p)
{
	char text[100];
	size_t written;

	cr_assert_eq(SSL_write(p->client, "<presence/>", 11), 11);
	cr_assert_eq(server_reads(p, text, 11), 11u);
	cr_expect_eq(memcmp(text, "<presence/>", 11), 0);
	cr_assert_eq(server_writes(p, "<iq/>", &written), 0);
	cr_expect_eq(written, 5u);
	cr_assert_eq(SSL_read(p->client, text, sizeof(text)), 5);
	cr_expect_eq(memcmp(text, "<iq/>", 5), 0);
}

Test(tls, both_versions)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	self_signed("a.pem", "a.example", "DNS:a.example", 10);
	LOAD("a.pem");
	for (size_t i = 0; i < 2; i++) {
		struct tls_info info;
		struct pair p;

		pair_open(&p, NULL, TLS_STARTTLS);
		SSL_set_min_proto_version(p.client, versions[i]);
		SSL_set_max_proto_version(p.client, versions[i]);
		SSL_set_tlsext_host_name(p.client, "a.example");
		cr_assert(shake(&p), "%s", tls_error(p.server));
		talk(&p);
		tls_info(p.server, &info);
		cr_expect_str_eq(info.version, i ? "TLSv1.3" : "TLSv1.2");
		cr_expect_str_eq(info.sni, "a.example");
		cr_expect_not(info.resumed);
		pair_close(&p);
	}
}

Test(tls, older_versions_are_refused)
{
	struct pair p;

	self_signed("a.pem", "a.example", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_STARTTLS);
	SSL_set_security_level(p.client, 0);
	SSL_set_min_proto_version(p.client, TLS1_1_VERSION);
	SSL_set_max_proto_version(p.client, TLS1_1_VERSION);
	SSL_set_cipher_list(p.client, "ALL:@SECLEVEL=0");
	cr_expect_not(shake(&p), "RFC 8996 §5");
	cr_expect_eq(p.server_says, TLS_FAILED);
	cr_expect_str_eq(tls_error(p.server), "unsupported protocol");
	pair_close(&p);

	conf.min_version = TLS_1_3;
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_STARTTLS);
	SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
	cr_expect_not(shake(&p), "tls_min_version");
	pair_close(&p);
	conf.min_version = TLS_1_2;
}

Test(tls, no_key_exchange_without_forward_secrecy)
{
	EVP_PKEY *key = new_key(EVP_PKEY_RSA);
	X509 *x = new_cert(key, "r", "DNS:r.example", false, NULL, NULL, EVP_sha256(), 10);
	struct pair p;

	write_pem("r.pem", "w", x, NULL, key);
	X509_free(x);
	EVP_PKEY_free(key);
	LOAD("r.pem");
	pair_open(&p, NULL, TLS_STARTTLS);
	SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
	SSL_set_cipher_list(p.client, "kRSA");
	cr_expect_not(shake(&p), "RFC 9325 §4.1");
	cr_expect_str_eq(tls_error(p.server), "no shared cipher");
	pair_close(&p);
	pair_open(&p, NULL, TLS_STARTTLS);
	SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
	cr_expect(shake(&p), "RSA certificates serve as well: %s", tls_error(p.server));
	pair_close(&p);
}

Test(tls, certificate_by_name)
{
	static const struct {
		const char *section, *host, *sni, *want;
	} rows[] = {
		{ "RFC 6066 §3", NULL, "b.example", "b" },
		{ "RFC 6066 §3 case", NULL, "B.Example", "b" },
		{ "RFC 6066 §3 second name", NULL, "chat.b.example", "b" },
		{ "RFC 6125 §6.4.3 wildcard", NULL, "x.w.example", "w" },
		{ "RFC 6125 §6.4.3 one label only", NULL, "y.x.w.example", "a" },
		{ "RFC 6125 §6.4.3 not none", NULL, "w.example", "a" },
		{ "RFC 6125 §6.4.3 an exact name before a wildcard", NULL, "b.w.example", "b" },
		{ "unknown: the first", NULL, "nowhere.example", "a" },
		{ "none: the first", NULL, NULL, "a" },
		{ "RFC 6120 §5.4.3.3 the stream's `to`", "b.example", NULL, "b" },
		{ "RFC 6120 §13.7.2 `to` before SNI", "b.example", "x.w.example", "b" },
		{ "`to` without certificate: SNI", "nowhere.example", "b.example", "b" },
		{ "XEP-0368: a domain by id-on-xmppAddr", NULL, "xmpp.example", "x" },
		{ "RFC 6120 §13.7.1.2.1 by SRV-ID", NULL, "srv.example", "x" },
		{ "certfile of its host", "own.example", NULL, "own" },
		{ "certfile of its host, by SNI", NULL, "own.example", "own" },
	};
	AUTO(free_ptr) char *own = path_of("own.pem");
	const struct tls_host_files hosts[] = { { "own.example", own, NULL } };

	self_signed("a.pem", "a", "DNS:a.example", 10);
	self_signed("b.pem", "b", "DNS:b.example,DNS:chat.b.example,DNS:b.w.example", 10);
	self_signed("w.pem", "w", "DNS:*.w.example", 10);
	self_signed("x.pem", "x",
		"otherName:1.3.6.1.5.5.7.8.5;UTF8:xmpp.example,"
		"otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-client.srv.example",
		10);
	self_signed("o.pem", "other", "DNS:own.example", 10);
	self_signed("own.pem", "own", NULL, 10);
	load((const char *const[]){ "a.pem", "b.pem", "w.pem", "x.pem", "o.pem" }, 5, hosts, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair p;

		pair_open(&p, rows[i].host, TLS_STARTTLS);
		if (rows[i].sni)
			SSL_set_tlsext_host_name(p.client, rows[i].sni);
		cr_assert(shake(&p), "%s: %s", rows[i].section, tls_error(p.server));
		cr_expect_str_eq(presented(&p), rows[i].want, "%s", rows[i].section);
		pair_close(&p);
	}
	cr_expect(tls_store_names(store, "x.w.example"));
	cr_expect_not(tls_store_names(store, "nowhere.example"));
}

Test(tls, alpn)
{
	static const struct {
		const char *section, *offer;
		enum tls_entry entry;
		bool accepted;
		const char *chosen;
	} rows[] = {
		{ "XEP-0368 §4", "\x0bxmpp-client", TLS_DIRECT, true, "xmpp-client" },
		{ "XEP-0368 §4 among others", "\x08http/1.1\x0bxmpp-client", TLS_DIRECT, true,
			"xmpp-client" },
		{ "XEP-0368 §4 others only", "\x08http/1.1\x0bxmpp-server", TLS_DIRECT, false,
			NULL },
		{ "XEP-0368 §4 no ALPN", NULL, TLS_DIRECT, true, NULL },
		{ "RFC 6120 §5 STARTTLS has none", "\x08http/1.1", TLS_STARTTLS, true, NULL },
	};

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const unsigned char *chosen;
		struct pair p;
		unsigned len;

		pair_open(&p, NULL, rows[i].entry);
		if (rows[i].offer)
			SSL_set_alpn_protos(p.client, (const unsigned char *)rows[i].offer,
				(unsigned)strlen(rows[i].offer));
		cr_expect_eq(shake(&p), rows[i].accepted, "%s", rows[i].section);
		SSL_get0_alpn_selected(p.client, &chosen, &len);
		cr_expect_eq(
			len, rows[i].chosen ? strlen(rows[i].chosen) : 0, "%s", rows[i].section);
		if (len)
			cr_expect_eq(memcmp(chosen, rows[i].chosen, len), 0);
		pair_close(&p);
	}
}

Test(tls, reload_while_connected)
{
	struct pair before, after;
	char *why = NULL;

	self_signed("a.pem", "old", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&before, NULL, TLS_STARTTLS);
	cr_assert(shake(&before));
	self_signed("a.pem", "new", "DNS:a.example", 10);
	LOAD("a.pem");
	rcu_quiescent_state();
	talk(&before);
	pair_open(&after, NULL, TLS_STARTTLS);
	cr_assert(shake(&after));
	cr_expect_str_eq(presented(&before), "old");
	cr_expect_str_eq(presented(&after), "new");

	conf.certfiles = (struct conf_list){ (const char *[]){ "/nowhere.pem" }, 1 };
	cr_expect_lt(tls_store_load(store, &conf, NULL, 0, &why), 0);
	cr_expect_str_eq(why, "/nowhere.pem: No such file or directory");
	free(why);
	pair_close(&after);
	pair_open(&after, NULL, TLS_STARTTLS);
	cr_assert(shake(&after), "a reload with errors changes nothing");
	cr_expect_str_eq(presented(&after), "new");
	pair_close(&before);
	pair_close(&after);
}

static void note_digest(const struct tls_cert_info *ci, void *arg)
{
	snprintf(arg, 65, "%s", ci->digest);
}

Test(tls, what_is_prepared_is_not_shown_yet)
{
	AUTO(free_ptr) char *path = path_of("a.pem");
	char now[65], then[65], *why = NULL;
	struct tls_change *change = NULL;
	struct pair p;

	self_signed("a.pem", "old", "DNS:a.example", 10);
	LOAD("a.pem");
	self_signed("a.pem", "new", "DNS:a.example", 10);
	conf.certfiles = (struct conf_list){ (const char *[]){ path }, 1 };
	for (int committing = 0; committing < 2; committing++) {
		cr_assert_eq(tls_store_prepare(store, &conf, NULL, 0, &change, &why), 0);
		tls_store_each(store, note_digest, now);
		tls_change_each(change, note_digest, then);
		cr_expect_eq(strlen(then), 64);
		cr_expect_str_neq(now, then);
		pair_open(&p, NULL, TLS_STARTTLS);
		cr_assert(shake(&p));
		cr_expect_str_eq(presented(&p), "old");
		pair_close(&p);
		if (!committing)
			tls_store_abandon(change);
	}
	tls_store_commit(change);
	tls_store_each(store, note_digest, now);
	cr_expect_str_eq(now, then);
	pair_open(&p, NULL, TLS_STARTTLS);
	cr_assert(shake(&p));
	cr_expect_str_eq(presented(&p), "new");
	pair_close(&p);
	tls_store_abandon(NULL);
}

/* One connection with the last ticket; whether it was resumed. */
static bool resumes(int version, const char *sni)
{
	struct tls_info info;
	SSL_SESSION *old = ticket;
	struct pair p;
	bool was_resumed;

	ticket = NULL;
	pair_open(&p, NULL, TLS_STARTTLS);
	SSL_set_max_proto_version(p.client, version);
	if (sni)
		SSL_set_tlsext_host_name(p.client, sni);
	if (old)
		SSL_set_session(p.client, old);
	cr_assert(shake(&p), "%s", tls_error(p.server));
	talk(&p);
	if (ticket) /* a fresh one */
		SSL_SESSION_free(old);
	else
		ticket = old;
	tls_info(p.server, &info);
	was_resumed = info.resumed;
	cr_expect_eq(SSL_session_reused(p.client), was_resumed);
	SSL_set_shutdown(
		p.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or it is not resumable */
	pair_close(&p);
	return was_resumed;
}

Test(tls, sessions_resume)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	self_signed("a.pem", "a", "DNS:a.example", 10);
	self_signed("b.pem", "b", "DNS:b.example", 10);
	LOAD("a.pem", "b.pem");
	for (size_t i = 0; i < 2; i++) {
		int version = versions[i];

		cr_expect_not(resumes(version, "b.example"), "the first time");
		cr_expect(resumes(version, "b.example"), "RFC 5077, RFC 8446 §2.2");
		LOAD("a.pem", "b.pem");
		cr_expect(resumes(version, "b.example"), "keys outlive a reload");
		cr_expect_not(
			resumes(version, "a.example"), "another certificate, another session");
		SSL_SESSION_free(ticket);
		ticket = NULL;
	}
	conf.ticket_lifetime_ms = 0;
	LOAD("a.pem", "b.pem");
	cr_expect_not(resumes(TLS1_3_VERSION, NULL));
	cr_expect_not(resumes(TLS1_3_VERSION, NULL), "tls_ticket_lifetime: 0");
	cr_expect_null(ticket);
}

Test(tls, channel_bindings_are_the_same_at_both_ends)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	for (size_t i = 0; i < 2; i++) {
		uint8_t exported[32], hash[EVP_MAX_MD_SIZE];
		struct tls_channel channel;
		struct pair p;
		unsigned len;
		X509 *x;

		pair_open(&p, NULL, TLS_STARTTLS);
		SSL_set_max_proto_version(p.client, versions[i]);
		cr_assert(shake(&p));
		tls_channel(p.server, &channel);
		cr_expect(channel.encrypted);
		x = SSL_get1_peer_certificate(p.client);
		X509_digest(x, EVP_sha256(), hash, &len);
		X509_free(x);
		cr_expect_eq(channel.len[TLS_BIND_END_POINT], 32);
		cr_expect_eq(
			memcmp(channel.data[TLS_BIND_END_POINT], hash, 32), 0, "RFC 5929 §4.1");
		SSL_export_keying_material(
			p.client, exported, 32, "EXPORTER-Channel-Binding", 24, NULL, 0, 0);
		cr_expect_eq(channel.len[TLS_BIND_EXPORTER], i ? 32 : 0, "RFC 9266 §4.2");
		cr_expect_eq(channel.len[TLS_BIND_UNIQUE], i ? 0 : 12, "RFC 5929 §3, RFC 9266 §3");
		if (!i) {
			SSL_get_finished(p.client, exported, sizeof(exported));
			cr_expect_eq(memcmp(channel.data[TLS_BIND_UNIQUE], exported, 12), 0,
				"RFC 5929 §3.1");
		}
		if (i)
			cr_expect_eq(memcmp(channel.data[TLS_BIND_EXPORTER], exported, 32), 0,
				"RFC 9266 §2");
		pair_close(&p);
	}
	struct tls_channel none;
	tls_channel(NULL, &none);
	cr_expect_not(none.encrypted);
	cr_expect_eq(none.len[TLS_BIND_EXPORTER] + none.len[TLS_BIND_END_POINT], 0);
}

Test(tls, end_point_hash)
{
	const struct {
		const char *section;
		int key;
		const EVP_MD *md;
		size_t want;
	} rows[] = {
		{ "RFC 5929 §4.1 SHA-256", EVP_PKEY_EC, EVP_sha256(), 32 },
		{ "RFC 5929 §4.1 SHA-384", EVP_PKEY_EC, EVP_sha384(), 48 },
		{ "RFC 5929 §4.1 SHA-512", EVP_PKEY_RSA, EVP_sha512(), 64 },
		{ "RFC 5929 §4.1 SHA-1 counts as SHA-256", EVP_PKEY_RSA, EVP_sha1(), 32 },
		{ "RFC 5929 §4.1 no single hash: undefined", EVP_PKEY_ED25519, NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t out[TLS_BINDING_MAX];
		EVP_PKEY *key = new_key(rows[i].key);
		X509 *x = new_cert(key, "a", NULL, false, NULL, NULL, rows[i].md, 10);

		cr_expect_eq(
			cert_end_point(x, out, sizeof(out)), rows[i].want, "%s", rows[i].section);
		X509_free(x);
		EVP_PKEY_free(key);
	}
}

Test(tls, garbage_instead_of_a_handshake)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "<?xml version='1.0'?><stream:stream xmlns='jabber:client'>", 58 },
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\x16\x03\x01\x7f\xff a record that is too long for the protocol", 49 },
		{ "\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9 }, /* a hello of 16 MiB */
		{ "\x17\x03\x03\x00\x01x", 6 }, /* data before any handshake */
		{ "\x15\x03\x03\x00\x02\x02\x28", 7 }, /* an alert */
	};

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair p;

		pair_open(&p, NULL, TLS_DIRECT);
		cr_assert_eq(write(p.fd[1], rows[i].bytes, rows[i].len), (ssize_t)rows[i].len);
		cr_expect_eq(tls_handshake(p.server), TLS_FAILED, "row %zu", i);
		cr_expect_str_neq(tls_error(p.server), "");
		tls_shutdown(p.server);
		pair_close(&p);
	}
}

Test(tls, a_client_that_goes_away)
{
	struct pair p;
	size_t got;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_DIRECT);
	cr_expect_eq(tls_handshake(p.server), TLS_WANT_READ);
	close(p.fd[1]);
	p.fd[1] = -1;
	cr_expect_eq(tls_handshake(p.server), TLS_CLOSED, "in the handshake");
	pair_close(&p);

	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	cr_expect_eq(tls_read(p.server, room, sizeof(room), &got), 0, "nothing to read is no end");
	SSL_write(p.client, "bye", 3);
	SSL_shutdown(p.client);
	cr_expect_eq(tls_read(p.server, room, sizeof(room), &got), TLS_CLOSED, "close_notify");
	cr_expect_eq(got, 3u, "what came before it counts");
	pair_close(&p);

	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	SSL_write(p.client, "bye", 3);
	close(p.fd[1]);
	p.fd[1] = -1;
	cr_expect_eq(tls_read(p.server, room, sizeof(room), &got), 0);
	cr_expect_eq(got, 3u);
	cr_expect_eq(tls_read(p.server, room, sizeof(room), &got), TLS_CLOSED, "RFC 6120 §4.4");
	pair_close(&p);
}

Test(tls, shutdown_says_goodbye)
{
	struct pair p;
	char text[10];
	int result;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	tls_shutdown(p.server);
	result = SSL_read(p.client, text, sizeof(text));
	cr_expect_eq(SSL_get_error(p.client, result), SSL_ERROR_ZERO_RETURN);
	pair_close(&p);
}

/* Records in every state of completeness: nothing is lost, nothing waits unseen. */
Test(tls, many_records_and_parts_of_records)
{
	enum { BYTES = 300000 };
	AUTO(free_ptr) char *sent = xmalloc(BYTES), *seen = xmalloc(BYTES + sizeof(room));
	size_t out = 0, in = 0;
	unsigned step = 1;
	struct pair p;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	SSL_set_mode(p.client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	for (size_t i = 0; i < BYTES; i++)
		sent[i] = (char)(i * 7 + i / 251);
	for (int turn = 0; in < BYTES && turn < 100000; turn++) {
		size_t got;
		int n = 1;

		while (out < BYTES && n > 0) {
			size_t len = step % 20011 + 1; /* the same until it has gone through */

			n = SSL_write(
				p.client, sent + out, (int)(len < BYTES - out ? len : BYTES - out));
			if (n <= 0)
				break;
			out += (size_t)n;
			step = step * 1103515245 + 12345;
		}
		cr_assert_eq(
			tls_read(p.server, room, turn % 2 ? sizeof(room) : TLS_READ_ROOM, &got), 0);
		memcpy(seen + in, room, got);
		in += got;
	}
	cr_assert_eq(in, (size_t)BYTES);
	cr_expect_eq(memcmp(sent, seen, BYTES), 0);
	pair_close(&p);
}

/* A receiver that does not read: the rest is offered again, from elsewhere and with more behind it.
 */
Test(tls, writing_to_a_full_socket)
{
	enum { PIECES = 40, EACH = 9000 };
	AUTO(free_ptr) char *all = xmalloc(PIECES * EACH), *again = xmalloc(PIECES * EACH);
	AUTO(free_ptr) char *seen = xmalloc(PIECES * EACH);
	size_t done = 0, in = 0;
	bool was_full = false;
	struct pair p;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	for (size_t i = 0; i < PIECES * EACH; i++)
		all[i] = (char)(i * 13 + i / 255);
	memcpy(again, all, PIECES * EACH);
	for (int turn = 0; in < PIECES * EACH && turn < 10000; turn++) {
		const char *from = turn % 2 ? all : again;
		struct iovec pieces[PIECES];
		unsigned n = 0;
		size_t offered = done, written;
		int says, got;

		/* A few more bytes each time, in pieces of other sizes. */
		while (n < PIECES && offered < PIECES * EACH && n < 3u + (unsigned)turn % 9) {
			size_t len = 1000 * n + EACH / (n + 1);

			if (len > PIECES * EACH - offered)
				len = PIECES * EACH - offered;
			pieces[n++] = (struct iovec){ (char *)from + offered, len };
			offered += len;
		}
		says = tls_write(p.server, pieces, n, &written);
		cr_assert(says == 0 || says == TLS_WANT_WRITE, "%s", tls_error(p.server));
		cr_expect(says || written == offered - done);
		was_full |= says == TLS_WANT_WRITE;
		done += written;
		if (says == 0 && offered < PIECES * EACH)
			continue;
		while ((got = SSL_read(p.client, seen + in, 5000)) > 0)
			in += (size_t)got;
	}
	cr_expect(was_full);
	cr_assert_eq(in, (size_t)PIECES * EACH);
	cr_expect_eq(memcmp(all, seen, PIECES * EACH), 0);
	pair_close(&p);
}

Test(tls, key_updates)
{
	struct pair p;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	talk(&p);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
		talk(&p);
	}
	pair_close(&p);
}

/* The answer to a key update finds the socket full while records behind it wait. RFC 8446 §4.6.3.
 */
Test(tls, key_update_into_a_full_socket)
{
	AUTO(free_ptr) char *seen = xmalloc(100000);
	char junk[20000] = "";
	struct iovec piece = { junk, sizeof(junk) };
	size_t written, got, in = 0;
	int says = 0;
	struct pair p;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	LOAD("a.pem");
	pair_open(&p, NULL, TLS_DIRECT);
	cr_assert(shake(&p));
	while (tls_write(p.server, &piece, 1, &written) == 0)
		;
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
		cr_assert_eq(SSL_write(p.client, "0123456789", 10), 10);
	}
	for (int turn = 0; in < 30 && turn < 100; turn++) {
		char text[5000];

		says = tls_read(p.server, room, sizeof(room), &got);
		cr_assert(says == 0 || says == TLS_WANT_WRITE, "%s", tls_error(p.server));
		memcpy(seen + in, room, got);
		in += got;
		while (SSL_read(p.client, text, sizeof(text)) > 0)
			;
	}
	cr_expect_eq(in, 30u);
	cr_expect_eq(memcmp(seen, "012345678901234567890123456789", 30), 0);
	pair_close(&p);
}

/* ---- files ---- */

static void count(const struct tls_cert_info *ci, void *arg)
{
	int *n = arg;

	cr_expect_gt(ci->not_after, time(NULL));
	cr_expect_str_not_empty(ci->names);
	(*n)++;
}

Test(tls, chain_and_key_in_whatever_files)
{
	EVP_PKEY *root_key = new_key(EVP_PKEY_EC), *mid_key = new_key(EVP_PKEY_EC);
	EVP_PKEY *key = new_key(EVP_PKEY_EC);
	X509 *root = new_cert(root_key, "root", NULL, true, NULL, NULL, EVP_sha256(), 10);
	X509 *mid = new_cert(mid_key, "mid", NULL, true, root, root_key, EVP_sha256(), 10);
	X509 *leaf = new_cert(key, "leaf", "DNS:l.example", false, mid, mid_key, EVP_sha256(), 10);
	AUTO(free_ptr) char *pattern = path_of("*.pem"), *chain = path_of("full.pem");
	AUTO(free_ptr) char *key_file = path_of("key.pem");
	const struct tls_host_files host = { "other.example", chain, key_file };
	char *why = NULL;
	struct pair p;
	int n = 0;

	/* As certbot lays them out. */
	write_pem("cert.pem", "w", leaf, NULL, NULL);
	write_pem("chain.pem", "w", mid, root, NULL);
	write_pem("full.pem", "w", leaf, root, NULL);
	write_pem("full.pem", "a", mid, NULL, NULL);
	write_pem("key.pem", "w", NULL, NULL, key);
	conf.certfiles = (struct conf_list){ (const char *[]){ pattern }, 1 };
	cr_assert_eq(tls_store_load(store, &conf, NULL, 0, &why), 0, "%s", why);
	tls_store_each(store, count, &n);
	cr_expect_eq(n, 1, "one certificate, though in two files");
	pair_open(&p, NULL, TLS_STARTTLS);
	cr_assert(shake(&p));
	cr_expect_eq(sk_X509_num(SSL_get_peer_cert_chain(p.client)), 2,
		"with its chain, without the root");
	pair_close(&p);
	conf.certfiles = (struct conf_list){ 0 };
	cr_assert_eq(tls_store_load(store, &conf, &host, 1, &why), 0, "%s", why);
	cr_expect(tls_store_names(store, "other.example"));
	X509_free(root), X509_free(mid), X509_free(leaf);
	EVP_PKEY_free(root_key), EVP_PKEY_free(mid_key), EVP_PKEY_free(key);
}

Test(tls, files_that_do_not_serve)
{
	static const struct {
		const char *file, *want;
	} rows[] = {
		{ "empty.pem", "neither a certificate nor a key in it" },
		{ "broken.pem", "bad base64 decode" },
		{ "lonely.pem", "no private key for its certificate" },
		{ "none-*.pem", "no file matches" },
		{ "absent.pem", "No such file or directory" },
		{ "locked.pem", "no private key for its certificate" },
	};
	EVP_PKEY *key = new_key(EVP_PKEY_EC);
	X509 *x = new_cert(key, "a", NULL, false, NULL, NULL, EVP_sha256(), 10);
	AUTO(free_ptr) char *locked = path_of("locked.pem");
	FILE *out;

	write_pem("empty.pem", "w", NULL, NULL, NULL);
	write_pem("lonely.pem", "w", x, NULL, NULL);
	out = fopen(locked, "w");
	PEM_write_X509(out, x);
	PEM_write_PrivateKey(
		out, key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL, NULL);
	fclose(out);
	AUTO(free_ptr) char *broken = path_of("broken.pem");
	out = fopen(broken, "w");
	fputs("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", out);
	fclose(out);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(free_ptr) char *path = path_of(rows[i].file);
		AUTO(free_ptr) char *want = xprintf("%s: %s", path, rows[i].want);
		char *why = NULL;

		conf.certfiles = (struct conf_list){ (const char *[]){ path }, 1 };
		cr_expect_lt(tls_store_load(store, &conf, NULL, 0, &why), 0);
		cr_expect_str_eq(why, want);
		free(why);
	}
	cr_expect_not(tls_store_ready(store));
	cr_expect_null(tls_new(store, 0, NULL, TLS_DIRECT, NULL));
	X509_free(x);
	EVP_PKEY_free(key);
}

Test(tls, wrong_settings)
{
	char *why = NULL;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	AUTO(free_ptr) char *path = path_of("a.pem");
	conf.certfiles = (struct conf_list){ (const char *[]){ path }, 1 };
	conf.ciphers = "NO-SUCH-CIPHER";
	cr_expect_lt(tls_store_load(store, &conf, NULL, 0, &why), 0);
	cr_expect(why && strstr(why, "no cipher match"), "%s", why);
	free(why);
	conf.ciphers = NULL;
}

static int64_t value_of(const char *name, const char *label)
{
	AUTO(free_ptr) char *text = metric_text();
	AUTO(free_ptr)
	char *line = xprintf(
		"\nlinnet_%s%s%s%s ", name, label ? "{" : "", label ? label : "", label ? "}" : "");
	const char *at = strstr(text, line);

	cr_assert(at, "%s in %s", line, text);
	return strtoll(at + strlen(line), NULL, 10);
}

Test(tls, metrics)
{
	struct pair p;

	self_signed("a.pem", "a", "DNS:a.example", 10);
	self_signed("b.pem", "b", "DNS:b.example", 3);
	LOAD("a.pem", "b.pem");
	pair_open(&p, NULL, TLS_STARTTLS);
	cr_assert(shake(&p));
	pair_close(&p);
	pair_open(&p, NULL, TLS_STARTTLS);
	cr_assert_eq(write(p.fd[1], "<stream>", 8), 8);
	tls_handshake(p.server);
	pair_close(&p);
	cr_expect_eq(value_of("tls_handshakes_total", "result=\"ok\",version=\"1.3\""), 1);
	cr_expect_eq(value_of("tls_handshakes_total", "result=\"ok\",version=\"1.2\""), 0);
	cr_expect_eq(value_of("tls_handshakes_total", "result=\"failed\""), 1);
	cr_expect_eq(value_of("tls_resumed_total", NULL), 0);
	cr_expect_leq(value_of("tls_cert_expiry_seconds", NULL), 3 * 86400);
	cr_expect_gt(value_of("tls_cert_expiry_seconds", NULL), 2 * 86400);
}
