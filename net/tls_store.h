/* net/tls_store.h - what net/tls.c and net/tls_store.c know of each other; all else is in
 * net/tls.h. */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

/* The context of the certificate for a prepared domain, or NULL. Not counted: SSL_new() and
 * SSL_set_SSL_CTX() count. The default has the first certificate; NULL when there is none. */
SSL_CTX *tls_store_find(struct tls_store *st, const char *domain);
SSL_CTX *tls_store_default(struct tls_store *st);

SSL_CTX *tls_store_bare(struct tls_store *st); /* without a certificate; NULL: never loaded */
/* Out of that file, one of tls_conf's; NULL: of `ca_file`. Not counted. NULL: never loaded, or not
 * of this file. */
X509_STORE *tls_store_authorities(struct tls_store *st, const char *ca_file);

/* Callbacks that every context gets; the connection is the SSL's app data. */
int tls_client_hello(SSL *ssl, int *alert, void *arg);
int tls_server_name(SSL *ssl, int *alert, void *arg);
int tls_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg);
const char *tls_openssl_reason(void); /* of the newest error in this thread's queue; static */
