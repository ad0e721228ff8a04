/* net/tls.c - OpenSSL, kept small: no buffer stays with a connection that has nothing to say. */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/cert.h"
#include "net/cert_names.h"
#include "net/tls_inside.h"
#include "net/tls_peer.h"
#include "net/tls_store.h"
#include "net/wire.h"
#include "xml/jid.h"
#include "xml/precis.h"

#define RECORD_MAX 16384 /* plain bytes of one record, RFC 8446 §5.1 */
#define WIRE_MAX (RECORD_MAX * 3) /* what one tls_read() takes from the socket */
#define OUT_MAX (1 << 18) /* a flight of the handshake, a record, answers to key updates */
#define EXPORTED_BYTES 32 /* RFC 9266 §2 */
#define FINISHED_BYTES 12 /* RFC 5246 §7.4.9 */
#define CHAIN_MAX 10 /* certificates between a peer's and its authority's */
#define ALPN_XMPP_CLIENT "\x0bxmpp-client"
#define ALPN_XMPP_SERVER "\x0bxmpp-server"
#define ALPN_BYTES 12 /* of each */

/* ---- metrics ---- */

static struct metric handshakes[TLS_VERSIONS] = {
	METRIC_COUNTER_OF(
		"tls_handshakes_total", "result=\"ok\",version=\"1.2\"", "TLS handshakes"),
	METRIC_COUNTER_OF(
		"tls_handshakes_total", "result=\"ok\",version=\"1.3\"", "TLS handshakes"),
};
static struct metric handshakes_failed =
	METRIC_COUNTER_OF("tls_handshakes_total", "result=\"failed\"", "TLS handshakes");
static struct metric handshakes_resumed =
	METRIC_COUNTER("tls_resumed_total", "TLS handshakes that resumed a session");

const struct tls_offer tls_offer_to_servers = { .from = TLS_FROM_SERVER, .asks = true };
static const struct tls_offer to_clients = { .from = TLS_FROM_CLIENT };

/* ---- what a client asks for: chosen before anything else of its hello is looked at ---- */

/* The host name of a server_name extension, RFC 6066 §3. */
static bool sni_of(SSL *ssl, const uint8_t **name, size_t *len)
{
	const uint8_t *ext;
	size_t bytes;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &bytes))
		return false;
	if (bytes < 5 || (size_t)(ext[0] << 8 | ext[1]) != bytes - 2 ||
		ext[2] != TLSEXT_NAMETYPE_host_name)
		return false;
	*len = (size_t)(ext[3] << 8 | ext[4]);
	*name = ext + 5;
	return *len && *len <= bytes - 5;
}

/* With its certificate changes what OpenSSL keeps beside it: the authorities for the peer's. */
static bool change_context(SSL *ssl, SSL_CTX *ctx)
{
	X509_STORE *authorities = NULL;

	SSL_get0_verify_cert_store(ssl, &authorities);
	if (authorities)
		X509_STORE_up_ref(authorities);
	if (SSL_set_SSL_CTX(ssl, ctx) &&
		(!authorities || SSL_set0_verify_cert_store(ssl, authorities)))
		return true;
	X509_STORE_free(authorities);
	return false;
}

/* Before a session is looked for, because a session belongs to the certificate it was made with. */
int tls_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);
	char domain[JID_PART_MAX + 1];
	const uint8_t *name;
	SSL_CTX *ctx;
	size_t len;

	(void)alert, (void)arg;
	if (t->host_known || !sni_of(ssl, &name, &len) ||
		jid_prep_domain((const char *)name, len, domain) <= 0)
		return SSL_CLIENT_HELLO_SUCCESS;
	ctx = tls_store_find(t->store, domain);
	if (ctx && ctx != SSL_get_SSL_CTX(ssl) && !change_context(ssl, ctx))
		return SSL_CLIENT_HELLO_ERROR;
	return SSL_CLIENT_HELLO_SUCCESS;
}

int tls_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	return SSL_TLSEXT_ERR_OK; /* seen in tls_client_hello(); any name is fine */
}

/* XEP-0368 §4: "xmpp-client" or "xmpp-server", when ALPN is used at all. */
int tls_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls *t = SSL_get_app_data(ssl);
	const char *ours = t->offer->from == TLS_FROM_SERVER ? ALPN_XMPP_SERVER : ALPN_XMPP_CLIENT;

	(void)arg;
	for (unsigned at = 0; at < in_len; at += 1u + in[at])
		if (in[at] + at < in_len && in[at] == ALPN_BYTES - 1 &&
			!memcmp(in + at, ours, ALPN_BYTES)) {
			*out = in + at + 1;
			*out_len = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	return t->direct ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

/* ---- one connection: OpenSSL's way to the socket ---- */

/* 0, TLS_WANT_WRITE or TLS_CLOSED. */
static int send_some(const struct tls *t, const void *bytes, size_t len, size_t *sent)
{
	ssize_t n;

	do
		n = wire_send(t->fd, bytes, len, t->ending ? MSG_MORE : 0);
	while (n < 0 && errno == EINTR);
	*sent = n > 0 ? (size_t)n : 0;
	if (n < 0)
		return errno == EAGAIN ? TLS_WANT_WRITE : TLS_CLOSED;
	return *sent == len ? 0 : TLS_WANT_WRITE;
}

/* What the socket does not take is kept here and OpenSSL is told that it is gone: OpenSSL 3.0 fails
 * a connection that asks for a key update while one of our records waits in its own buffer. */
static int socket_write(BIO *bio, const char *bytes, int len)
{
	struct tls *t = BIO_get_data(bio);
	size_t sent = 0, more = (size_t)len;

	BIO_clear_retry_flags(bio);
	if (!t->out && send_some(t, bytes, more, &sent) == TLS_CLOSED) {
		t->eof = true;
		return -1;
	}
	more -= sent;
	if (more && t->out_len + more > OUT_MAX)
		return -1;
	if (more) {
		t->out = xrealloc(t->out, t->out_len + more);
		memcpy(t->out + t->out_len, bytes + sent, more);
		t->out_len += (uint32_t)more;
	}
	return len;
}

/* Sends what was kept. 0, TLS_WANT_WRITE or TLS_CLOSED. */
static int flush(struct tls *t)
{
	size_t sent;
	int says;

	if (!t->out)
		return 0;
	says = send_some(t, t->out + t->out_at, t->out_len - t->out_at, &sent);
	t->out_at += (uint32_t)sent;
	if (says)
		return says;
	free(t->out);
	t->out = NULL;
	t->out_at = t->out_len = 0;
	return 0;
}

/* During the handshake from the socket, no more than OpenSSL wants; afterwards from what tls_read()
 * took, so that a wake-up is one system call however many records it brought. */
static int socket_read(BIO *bio, char *room, int len)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t got = (ssize_t)t->wire_len < len ? (ssize_t)t->wire_len : len;

	BIO_clear_retry_flags(bio);
	if (t->reading) {
		if (!got && !t->eof) {
			BIO_set_retry_read(bio);
			return -1;
		}
		memcpy(room, t->wire, (size_t)got);
		t->wire += got;
		t->wire_len -= (size_t)got;
		return (int)got;
	}
	do
		got = wire_recv(t->fd, room, (size_t)len);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	else if (got <= 0)
		t->eof = true; /* a reset is an end like another */
	return (int)got;
}

static long socket_ctrl(BIO *bio, int what, long n, void *arg)
{
	const struct tls *t = BIO_get_data(bio);

	(void)n, (void)arg;
	switch (what) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return t->eof && !t->wire_len;
	default:
		return 0;
	}
}

static BIO_METHOD *socket_method; /* for good */
static pthread_once_t started = PTHREAD_ONCE_INIT;

static void start(void)
{
	socket_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
	REQUIRE(socket_method);
	BIO_meth_set_write(socket_method, socket_write);
	BIO_meth_set_read(socket_method, socket_read);
	BIO_meth_set_ctrl(socket_method, socket_ctrl);
	for (int v = 0; v < TLS_VERSIONS; v++)
		metric_register(&handshakes[v]);
	metric_register(&handshakes_failed);
	metric_register(&handshakes_resumed);
}

/* NULL: OpenSSL has no memory left. */
static struct tls *begin(struct tls_store *st, SSL_CTX *ctx, int fd, enum tls_entry entry)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	BIO *bio;

	pthread_once(&started, start);
	t->store = st;
	t->fd = fd;
	t->direct = entry == TLS_DIRECT;
	t->ssl = SSL_new(ctx);
	bio = BIO_new(socket_method);
	if (!t->ssl || !bio || !SSL_set_app_data(t->ssl, t)) {
		BIO_free(bio);
		tls_free(t);
		return NULL;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	return t;
}

/* Asks for the peer's certificate, and looks at it in time. No session of such a connection is ever
 * resumed: a certificate is looked at each time. */
static bool ask(struct tls *t, const char *ca_file)
{
	X509_STORE *authorities = tls_store_authorities(t->store, ca_file);

	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, tls_peer_found);
	SSL_set_verify_depth(t->ssl, CHAIN_MAX);
	SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
	return SSL_set_num_tickets(t->ssl, 0) && authorities &&
		SSL_set1_verify_cert_store(t->ssl, authorities);
}

static bool begin_accept(struct tls *t)
{
	SSL_set_accept_state(t->ssl);
	if (!t->offer->asks)
		return true;
	/* A server's certificate may be for what it does most, being connected to; which it may be,
	 * tls_peer_check() sees itself. */
	if (t->offer->from == TLS_FROM_SERVER && !SSL_set_purpose(t->ssl, X509_PURPOSE_ANY))
		return false;
	return ask(t, t->offer->ca_file);
}

struct tls *tls_new(struct tls_store *st, int fd, const char *host, enum tls_entry entry,
	const struct tls_offer *offer)
{
	SSL_CTX *ctx = host ? tls_store_find(st, host) : NULL;
	SSL_CTX *first = tls_store_default(st);
	struct tls *t = first ? begin(st, ctx ? ctx : first, fd, entry) : NULL;

	if (!t)
		return NULL;
	t->host_known = ctx != NULL;
	t->offer = offer ? offer : &to_clients;
	if (begin_accept(t))
		return t;
	tls_free(t);
	return NULL;
}

/* A domain that is an address has no SNI (RFC 6066 §3). */
static bool say_whom(SSL *ssl, const char *domain)
{
	char ascii[JID_PART_MAX + 1];

	if (cert_is_address(domain))
		return true;
	return precis_domain_ascii(domain, strlen(domain), ascii, JID_PART_MAX) > 0 &&
		SSL_set_tlsext_host_name(ssl, ascii);
}

/* Records that OpenSSL does not know of are as if they were not there (RFC 7671 §10.3). Which names
 * a certificate may have, tls_peer_check() knows: OpenSSL looks at none. */
static bool expect_tlsa(struct tls *t, const struct tls_target *to)
{
	for (unsigned i = 0; i < to->n_tlsa; i++) {
		const struct tls_tlsa *r = &to->tlsa[i];
		int added;

		if (!i && SSL_dane_enable(t->ssl, to->host ? to->host : to->domain) <= 0)
			return false;
		added = SSL_dane_tlsa_add(
			t->ssl, r->usage, r->selector, r->matching, r->data, r->len);
		if (added < 0)
			return false;
		t->dane |= added > 0;
	}
	return !to->n_tlsa || X509_VERIFY_PARAM_set1_host(SSL_get0_param(t->ssl), NULL, 0);
}

static bool begin_connect(struct tls *t, const struct tls_target *to)
{
	SSL_set_connect_state(t->ssl);
	t->domain = xstrdup(to->domain);
	t->host = to->host ? xstrdup(to->host) : NULL;
	if (t->direct && SSL_set_alpn_protos(t->ssl, (const uint8_t *)ALPN_XMPP_SERVER, ALPN_BYTES))
		return false;
	return say_whom(t->ssl, to->domain) && expect_tlsa(t, to) && ask(t, NULL);
}

struct tls *tls_connect(struct tls_store *st, int fd, const struct tls_target *to)
{
	SSL_CTX *ours = to->ours ? tls_store_find(st, to->ours) : NULL;
	SSL_CTX *ctx = ours ? ours : tls_store_bare(st);
	struct tls *t = ctx ? begin(st, ctx, fd, to->entry) : NULL;

	if (!t || begin_connect(t, to))
		return t;
	tls_free(t);
	return NULL;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t->domain);
	free(t->host);
	free(t->out);
	free(t);
}

const char *tls_openssl_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "OpenSSL gives no reason";
}

/* What a call of OpenSSL that returned `result` means. */
static int outcome(struct tls *t, int result)
{
	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	case SSL_ERROR_SYSCALL:
		if (!ERR_peek_error())
			return TLS_CLOSED;
		/* fall through */
	default:
		if (t->eof)
			return TLS_CLOSED;
		t->error = tls_openssl_reason();
		return TLS_FAILED;
	}
}

static void handshake_done(struct tls *t)
{
	t->reading = true;
	metric_add(&handshakes[SSL_version(t->ssl) == TLS1_3_VERSION ? TLS_1_3 : TLS_1_2], 1);
	if (SSL_session_reused(t->ssl))
		metric_add(&handshakes_resumed, 1);
}

int tls_handshake(struct tls *t)
{
	int result, what = flush(t);

	if (what == TLS_WANT_WRITE)
		return what;
	ERR_clear_error();
	result = SSL_do_handshake(t->ssl);
	what = result == 1 ? 0 : outcome(t, result);
	if (what > TLS_WANT_WRITE) {
		metric_add(&handshakes_failed, 1);
		return what;
	}
	if (t->out) /* the peer waits for it before it says more */
		return TLS_WANT_WRITE;
	if (!what)
		handshake_done(t);
	return what;
}

/* Makes wire of what the socket has. */
static void take_wire(struct tls *t, uint8_t *room, size_t max)
{
	ssize_t got;

	do
		got = wire_recv(t->fd, room, max);
	while (got < 0 && errno == EINTR);
	t->wire = room;
	t->wire_len = got > 0 ? (size_t)got : 0;
	if (got == 0 || (got < 0 && errno != EAGAIN))
		t->eof = true; /* a reset is an end like another */
}

int tls_read(struct tls *t, void *room, size_t room_bytes, size_t *got)
{
	uint8_t wire[WIRE_MAX];
	/* A record of which OpenSSL has a part already adds at most its own size. */
	size_t max = room_bytes - RECORD_MAX;
	int result, what;

	REQUIRE(t->reading && room_bytes >= TLS_READ_ROOM);
	*got = 0;
	ERR_clear_error();
	take_wire(t, wire, max < sizeof(wire) ? max : sizeof(wire));
	for (;;) {
		size_t bytes = room_bytes - *got;

		result = SSL_read(
			t->ssl, (char *)room + *got, (int)(bytes < INT32_MAX ? bytes : INT32_MAX));
		if (result <= 0)
			break;
		*got += (size_t)result;
	}
	what = outcome(t, result);
	t->wire = NULL;
	t->wire_len = 0;
	return what == TLS_WANT_READ ? 0 : what;
}

/* Where the next record's bytes are, from `skip` on: in one piece, or copied together into room. */
static size_t gather(
	const struct iovec *pieces, unsigned n, size_t skip, uint8_t *room, const uint8_t **out)
{
	size_t len = 0;

	for (unsigned i = 0; i < n && len < RECORD_MAX; i++) {
		const uint8_t *from = pieces[i].iov_base;
		size_t left = pieces[i].iov_len;

		if (left <= skip) {
			skip -= left;
			continue;
		}
		from += skip;
		left -= skip;
		skip = 0;
		if (!len && (left >= RECORD_MAX || i + 1 == n)) {
			*out = from;
			return left < RECORD_MAX ? left : RECORD_MAX;
		}
		if (left > RECORD_MAX - len)
			left = RECORD_MAX - len;
		memcpy(room + len, from, left);
		len += left;
	}
	*out = room;
	return len;
}

int tls_write(struct tls *t, const struct iovec *pieces, unsigned n, size_t *written)
{
	uint8_t room[RECORD_MAX];
	const uint8_t *bytes;
	size_t len;
	int what = flush(t);

	*written = 0;
	if (what)
		return what;
	*written = t->out_plain;
	t->out_plain = 0;
	ERR_clear_error();
	while ((len = gather(pieces, n, *written, room, &bytes)) > 0) {
		int result = SSL_write(t->ssl, bytes, (int)len);

		if (result <= 0)
			return outcome(t, result);
		if (t->out) {
			t->out_plain = (uint32_t)result;
			return TLS_WANT_WRITE;
		}
		*written += (size_t)result;
	}
	return 0;
}

size_t tls_begun_bytes(const struct tls *t)
{
	return t->out_plain;
}

void tls_ending(struct tls *t)
{
	t->ending = true;
}

void tls_shutdown(struct tls *t)
{
	ERR_clear_error();
	if (t->reading && !t->error && !t->eof && !flush(t))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
}

const char *tls_error(const struct tls *t)
{
	return t->error ? t->error : t->eof ? "the peer closed the connection" : "";
}

/* ---- what SASL and the log want to know ---- */

const char *tls_binding_name(enum tls_binding type)
{
	static const char *const names[TLS_BINDINGS] = {
		[TLS_BIND_EXPORTER] = "tls-exporter",
		[TLS_BIND_UNIQUE] = "tls-unique",
		[TLS_BIND_END_POINT] = "tls-server-end-point",
	};

	return names[type];
}

/* The first Finished message of the handshake: the client's, or, where a session was resumed, ours.
 * Without the extended master secret a man in the middle could make two connections that share it
 * (RFC 7627 §1); renegotiation is off. */
static size_t unique(struct tls *t, uint8_t *out, size_t room)
{
	if (SSL_version(t->ssl) != TLS1_2_VERSION || SSL_get_extms_support(t->ssl) != 1)
		return 0;
	if (room < FINISHED_BYTES)
		return 0;
	return SSL_session_reused(t->ssl) ? SSL_get_finished(t->ssl, out, room)
					  : SSL_get_peer_finished(t->ssl, out, room);
}

size_t tls_channel_binding(struct tls *t, enum tls_binding type, uint8_t *out, size_t room)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	X509 *leaf;

	if (type == TLS_BIND_EXPORTER) {
		if (room < EXPORTED_BYTES || SSL_version(t->ssl) != TLS1_3_VERSION ||
			SSL_export_keying_material(t->ssl, out, EXPORTED_BYTES, label,
				sizeof(label) - 1, (const uint8_t *)"", 0, 1) != 1)
			return 0;
		return EXPORTED_BYTES;
	}
	if (type == TLS_BIND_UNIQUE)
		return unique(t, out, room);
	leaf = SSL_get_certificate(t->ssl);
	return leaf ? cert_end_point(leaf, out, room) : 0;
}

void tls_channel_kinds(struct tls *t, struct tls_channel *out)
{
	X509 *leaf;

	*out = (struct tls_channel){ .encrypted = t != NULL };
	if (!t)
		return;
	leaf = SSL_get_certificate(t->ssl);
	out->len[TLS_BIND_EXPORTER] = SSL_version(t->ssl) == TLS1_3_VERSION ? EXPORTED_BYTES : 0;
	out->len[TLS_BIND_UNIQUE] = (uint8_t)unique(t, out->data[TLS_BIND_UNIQUE], TLS_BINDING_MAX);
	out->len[TLS_BIND_END_POINT] = leaf ? (uint8_t)cert_end_point_bytes(leaf) : 0;
}

void tls_channel(struct tls *t, struct tls_channel *out)
{
	*out = (struct tls_channel){ .encrypted = t != NULL };
	for (int type = 0; t && type < TLS_BINDINGS; type++)
		out->len[type] = (uint8_t)tls_channel_binding(
			t, type, out->data[type], sizeof(out->data[type]));
}

void tls_info(struct tls *t, struct tls_info *out)
{
	*out = (struct tls_info){ .version = SSL_get_version(t->ssl),
		.cipher = SSL_get_cipher_name(t->ssl),
		.sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name),
		.resumed = SSL_session_reused(t->ssl) };
}
