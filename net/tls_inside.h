/* net/tls_inside.h - one connection's TLS, for net/tls.c and net/tls_peer.c alone. */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls {
	SSL *ssl; /* owned */
	struct tls_store *store;
	const struct tls_offer *offer; /* of an accepted one; NULL: we connected */
	const char *error; /* static */
	const uint8_t *wire; /* during tls_read(): what came from the socket and is not decrypted */
	size_t wire_len;
	uint8_t *out; /* owned: records the socket did not take; NULL most of the time */
	uint32_t out_at, out_len; /* the part still to send, and where all ends */
	uint32_t out_plain; /* bytes of the caller's in there, not yet reported as written */
	int fd;
	char *domain, *host; /* owned: tls_target's; NULL: none */
	uint32_t problems; /* of the peer's chain: bits of enum tls_verdict */
	bool dane; /* there were TLSA records to go by */
	bool direct;
	bool host_known; /* the certificate was chosen by the stream's `to` */
	bool reading; /* the socket is read by tls_read(), in large pieces */
	bool eof;
	bool ending; /* what is sent waits for tls_shutdown() */
};
