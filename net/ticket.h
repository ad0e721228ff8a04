/* net/ticket.h - the keys that TLS session tickets are sealed with. RFC 5077, RFC 8446 §4.6.1.
 * One ring for all certificates; it outlives reloads, so sessions resume across them. A key seals
 * for one lifetime and opens for two, then nobody can open what it sealed. Any thread; never
 * blocks. */
#pragma once

#include <openssl/ssl.h>

#include "core/attr.h"

struct ticket_keys;
struct ticket_keys *ticket_keys_new(void);
void ticket_keys_free(struct ticket_keys *t); /* NULL is fine */
void ticket_keys_set_lifetime(struct ticket_keys *t, int64_t lifetime_ms);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb(3), on contexts whose app data is the struct
 * ticket_keys. */
int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypt);
