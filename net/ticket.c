/* net/ticket.c - two keys under RCU, a fresh one for each lifetime. */
#include "net/ticket.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"

#define RING_MAX 2 /* the newest encrypts, both decrypt */

struct ticket_key {
	uint8_t name[16], aes[32], hmac[32];
	int64_t made_ms;
};
struct ticket_ring {
	struct ticket_key key[RING_MAX]; /* newest first */
	unsigned n;
	struct rcu_head rcu;
};

struct ticket_keys {
	RCU_PTR(struct ticket_ring) ring;
	pthread_mutex_t rotating; /* writers of ring */
	_Atomic int64_t lifetime_ms;
	EVP_CIPHER *cipher; /* owned */
};

static void ring_free(struct rcu_head *head)
{
	struct ticket_ring *ring = container_of(head, struct ticket_ring, rcu);

	wipe(ring, sizeof(*ring));
	free(ring);
}

/* One thread at a time. A key older than two lifetimes opens no ticket that is still valid. */
static void rotate(struct ticket_keys *t, int64_t now)
{
	struct ticket_ring *old = rcu_get(t->ring), *ring;
	int64_t lifetime = atomic_load_explicit(&t->lifetime_ms, memory_order_relaxed);
	struct ticket_key fresh = { .made_ms = now };

	if ((old && now - old->key[0].made_ms < lifetime) || RAND_bytes(fresh.name, 16) != 1 ||
		RAND_priv_bytes(fresh.aes, 32) != 1 || RAND_priv_bytes(fresh.hmac, 32) != 1)
		return;
	ring = xcalloc(1, sizeof(*ring));
	ring->key[ring->n++] = fresh;
	wipe(&fresh, sizeof(fresh));
	if (old && now - old->key[0].made_ms < 2 * lifetime)
		ring->key[ring->n++] = old->key[0];
	rcu_set(t->ring, ring);
	if (old)
		rcu_later(&old->rcu, ring_free);
}

/* The keys as of now. A shard that finds the newest too old makes a new one, unless another is at
 * it. */
static const struct ticket_ring *ring_at(struct ticket_keys *t, int64_t now, int64_t lifetime)
{
	const struct ticket_ring *ring = rcu_get(t->ring);

	if ((!ring || now - ring->key[0].made_ms >= lifetime) &&
		!pthread_mutex_trylock(&t->rotating)) {
		rotate(t, now);
		pthread_mutex_unlock(&t->rotating);
		ring = rcu_get(t->ring);
	}
	return ring;
}

struct ticket_keys *ticket_keys_new(void)
{
	struct ticket_keys *t = xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->rotating, NULL);
	t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	REQUIRE(t->cipher);
	return t;
}

void ticket_keys_free(struct ticket_keys *t)
{
	struct ticket_ring *ring;

	if (!t)
		return;
	ring = rcu_get(t->ring);
	if (ring)
		ring_free(&ring->rcu);
	pthread_mutex_destroy(&t->rotating);
	EVP_CIPHER_free(t->cipher);
	free(t);
}

void ticket_keys_set_lifetime(struct ticket_keys *t, int64_t lifetime_ms)
{
	atomic_store_explicit(&t->lifetime_ms, lifetime_ms, memory_order_relaxed);
}

/* 0: no such key, -1: fails, 1: use it, 2: use it and send a new ticket. */
int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypt)
{
	struct ticket_keys *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int64_t lifetime = atomic_load_explicit(&t->lifetime_ms, memory_order_relaxed);
	int64_t now = (int64_t)clock_ms();
	const struct ticket_ring *ring = lifetime ? ring_at(t, now, lifetime) : NULL;
	const struct ticket_key *k = NULL;
	OSSL_PARAM params[3];

	if (!ring)
		return 0;
	if (encrypt) {
		k = &ring->key[0];
		memcpy(name, k->name, sizeof(k->name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) != 1)
			return -1;
	}
	for (unsigned i = 0; !k && i < ring->n; i++)
		if (!memcmp(name, ring->key[i].name, sizeof(ring->key[i].name)) &&
			now - ring->key[i].made_ms < 2 * lifetime)
			k = &ring->key[i];
	if (!k)
		return 0;
	params[0] = OSSL_PARAM_construct_octet_string(
		OSSL_MAC_PARAM_KEY, (void *)k->hmac, sizeof(k->hmac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0);
	params[2] = OSSL_PARAM_construct_end();
	if (!EVP_CipherInit_ex2(cipher, t->cipher, k->aes, iv, encrypt, NULL) ||
		!EVP_MAC_CTX_set_params(mac, params))
		return -1;
	/* A ticket of TLS 1.3 is for one use (RFC 8446 §C.4), so the next one needs another. */
	return k != &ring->key[0] || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}
