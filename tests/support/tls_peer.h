/* tests/support/tls_peer.h - the other end of a TLS connection: OpenSSL's client between buffers,
 * so that a test decides which bytes of it reach the server, and when. */
#pragma once

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/certificate.h"

struct tls_peer {
	int fd; /* not owned; does not block */
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *came, *goes; /* the SSL's */
};

static inline void tls_peer_begin(struct tls_peer *p, int fd)
{
	p->fd = fd;
	p->ctx = SSL_CTX_new(TLS_client_method());
	p->ssl = SSL_new(p->ctx);
	p->came = BIO_new(BIO_s_mem());
	p->goes = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(p->came, -1);
	SSL_set_bio(p->ssl, p->came, p->goes);
	SSL_set_connect_state(p->ssl);
}

static inline void tls_peer_end(struct tls_peer *p)
{
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
}

/* The bytes that are to go to the server; their number. */
static inline size_t tls_peer_wire(struct tls_peer *p, char *out, size_t room)
{
	int n = BIO_read(p->goes, out, (int)room);

	return n > 0 ? (size_t)n : 0;
}

static inline void tls_peer_push(struct tls_peer *p)
{
	char room[65536];
	size_t n = tls_peer_wire(p, room, sizeof(room));

	cr_assert_eq(send(p->fd, room, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Takes what the server has sent. */
static inline void tls_peer_pull(struct tls_peer *p)
{
	char room[65536];
	ssize_t n;

	while ((n = recv(p->fd, room, sizeof(room), 0)) > 0)
		BIO_write(p->came, room, (int)n);
}

/* let(): lets the server do its part. False: the handshake came to no end. */
static inline bool tls_peer_shake(struct tls_peer *p, void (*let)(void))
{
	for (int turn = 0; turn < 10; turn++) {
		bool done = SSL_do_handshake(p->ssl) == 1;

		tls_peer_push(p);
		let();
		if (done)
			return true;
		tls_peer_pull(p);
	}
	return false;
}

static inline void tls_peer_send(struct tls_peer *p, const char *text)
{
	cr_assert_gt(SSL_write(p->ssl, text, (int)strlen(text)), 0);
	tls_peer_push(p);
}

/* What the server has sent so far, as text; its length. */
static inline size_t tls_peer_read(struct tls_peer *p, char *out, size_t room)
{
	size_t have = 0;
	int n;

	tls_peer_pull(p);
	while (have < room - 1 && (n = SSL_read(p->ssl, out + have, (int)(room - 1 - have))) > 0)
		have += (size_t)n;
	out[have] = '\0';
	return have;
}

/* Whether it has said goodbye. */
static inline bool tls_peer_was_closed(const struct tls_peer *p)
{
	return SSL_get_shutdown(p->ssl) & SSL_RECEIVED_SHUTDOWN;
}
