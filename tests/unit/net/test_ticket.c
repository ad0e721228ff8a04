/* The keys of TLS session tickets as they come and go: RFC 5077, RFC 8446 §4.6.1. How sessions
 * resume with them is test_tls.c's. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/rcu.h"
#include "net/ticket.h"
#include "tests/support/moved_clock.h"

enum { HOUR_MS = 3600000 };
enum { UNKNOWN, OPENED, RENEWED }; /* what ticket_key() returns */

static struct ticket_keys *keys;
static SSL_CTX *ctx;
static SSL *ssl;

static void begin(void)
{
	rcu_thread_begin();
	keys = ticket_keys_new();
	ticket_keys_set_lifetime(keys, HOUR_MS);
	ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_app_data(ctx, keys);
	ssl = SSL_new(ctx);
}

static void end(void)
{
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	rcu_wait_later();
	ticket_keys_free(keys);
	rcu_thread_end();
}
TestSuite(ticket, .init = begin, .fini = end);

struct sealed {
	unsigned char name[16], iv[EVP_MAX_IV_LENGTH];
	unsigned char text[64];
	int len;
};

/* One ticket's key into cipher and mac; what ticket_key() says. */
static int key_for(struct sealed *s, EVP_CIPHER_CTX *cipher, int encrypt)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	int says = ticket_key(ssl, s->name, s->iv, cipher, mac, encrypt);

	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
	return says;
}

static int seal(struct sealed *s)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int says = key_for(s, cipher, 1), more = 0;

	if (says > UNKNOWN) {
		cr_assert(EVP_EncryptUpdate(cipher, s->text, &s->len, (const void *)"session", 7));
		cr_assert(EVP_EncryptFinal(cipher, s->text + s->len, &more));
		s->len += more;
	}
	EVP_CIPHER_CTX_free(cipher);
	return says;
}

static int open_again(struct sealed *s)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int says = key_for(s, cipher, 0), len = 0, more = 0;
	unsigned char text[64];

	if (says > UNKNOWN) {
		cr_assert(EVP_DecryptUpdate(cipher, text, &len, s->text, s->len));
		cr_assert(EVP_DecryptFinal(cipher, text + len, &more));
		cr_expect_eq(len + more, 7);
		cr_expect_eq(memcmp(text, "session", 7), 0);
	}
	EVP_CIPHER_CTX_free(cipher);
	return says;
}

Test(ticket, opens_what_it_sealed)
{
	struct sealed a, b;

	cr_assert_gt(seal(&a), UNKNOWN);
	cr_assert_gt(seal(&b), UNKNOWN);
	cr_expect_eq(memcmp(a.name, b.name, 16), 0, "one key for a lifetime");
	cr_expect_neq(memcmp(a.iv, b.iv, 16), 0);
	cr_expect_gt(open_again(&a), UNKNOWN);
	cr_expect_gt(open_again(&b), UNKNOWN);
}

Test(ticket, seals_for_one_lifetime_and_opens_for_two)
{
	struct sealed old, fresh;

	cr_assert_gt(seal(&old), UNKNOWN);
	clock_move(HOUR_MS - 1000);
	cr_assert_gt(seal(&fresh), UNKNOWN);
	cr_expect_eq(memcmp(old.name, fresh.name, 16), 0);
	clock_move(2000);
	cr_assert_gt(seal(&fresh), UNKNOWN);
	cr_expect_neq(memcmp(old.name, fresh.name, 16), 0);
	cr_expect_eq(open_again(&old), RENEWED, "and the client gets one of the new key");
	clock_move(HOUR_MS);
	cr_expect_eq(open_again(&old), UNKNOWN);
	cr_expect_gt(open_again(&fresh), UNKNOWN);
}

Test(ticket, nobody_came_for_long)
{
	struct sealed s;

	cr_assert_gt(seal(&s), UNKNOWN);
	clock_move(2 * HOUR_MS - 1000);
	cr_expect_eq(open_again(&s), RENEWED);
	clock_move(2000);
	cr_expect_eq(open_again(&s), UNKNOWN, "two lifetimes, whenever the next key was made");
}

Test(ticket, a_key_that_is_not_ours)
{
	struct sealed s;

	cr_assert_gt(seal(&s), UNKNOWN);
	s.name[15] ^= 1;
	cr_expect_eq(open_again(&s), UNKNOWN);
}

Test(ticket, no_lifetime_no_tickets)
{
	struct sealed s;

	cr_assert_gt(seal(&s), UNKNOWN);
	ticket_keys_set_lifetime(keys, 0); /* a reload */
	cr_expect_eq(open_again(&s), UNKNOWN);
	cr_expect_eq(seal(&s), UNKNOWN);
	ticket_keys_set_lifetime(keys, HOUR_MS);
	cr_expect_gt(seal(&s), UNKNOWN);
	cr_expect_gt(open_again(&s), UNKNOWN);
}

Test(ticket, never_asked)
{
	ticket_keys_free(ticket_keys_new());
	ticket_keys_free(NULL);
}
