/* One client's bytes as a SASL exchange: first byte the mechanism and channel, then messages with a
 * zero byte between them, in base64 or, for reach, encoded here. The account's password is "pencil"
 * and the server's nonce is known, so that the corpus can hold exchanges that succeed. */
#include <stdlib.h>

#include "core/mem.h"
#include "net/base64.h"
#include "net/sasl.h"
#include "net/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct host_conf conf = { .refs = 1, .scram_iterations = 4096 };
static struct host host = { .refs = 1, .name = "example.org" };

static int feed(struct sasl *s, int encode, const uint8_t *bytes, size_t len, bool first,
	const char *mechanism)
{
	AUTO(free_ptr) char *text = xmalloc(BASE64_LEN(len) + 1);

	if (encode)
		len = base64_encode(bytes, len, text);
	else
		memcpy(text, bytes, len);
	return first ? sasl_start(s, mechanism, text, len) : sasl_step(s, text, len);
}

/* With a salt of zeros. */
static const struct auth_account *the_account(void)
{
	static struct auth_account account;

	job_check();
	for (int hash = 0; !account.scram[SCRAM_HASHES - 1].iterations; hash++) {
		account.scram[hash] = (struct scram_verifier){ .iterations = 1, .salt_len = 4 };
		REQUIRE(scram_derive((enum scram_hash)hash, "pencil", &account.scram[hash]) == 0);
	}
	return &account;
}

static struct jid *const *the_certified(void)
{
	static struct jid *jids[2];

	if (!jids[0]) {
		REQUIRE(jid_make("romeo", "localhost", NULL, NULL, &jids[0]) == 0);
		REQUIRE(jid_make("juliet", "localhost", NULL, NULL, &jids[1]) == 0);
	}
	return jids;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct tls_channel channel = { 0 };
	const uint8_t *end = bytes + len;
	struct sasl *s;
	bool first = true;
	int verdict, how;

	if (!len)
		return 0;
	how = *bytes++;
	channel.encrypted = how & 8;
	channel.len[TLS_BIND_EXPORTER] = how & 16 ? 32 : 0;
	rcu_set(host.conf, &conf);
	s = sasl_new(&host, (1u << SASL_MECHANISMS) - 1, &channel);
	s->certified = the_certified();
	s->n_certified = 2;
	do {
		const uint8_t *stop = how & 64 ? NULL : memchr(bytes, 0, (size_t)(end - bytes));

		stop = stop ? stop : end;
		verdict = feed(s, how & 32, bytes, (size_t)(stop - bytes), first,
			sasl_mechanism_name((unsigned)(how & 15) % SASL_MECHANISMS));
		if (s->scram)
			strcpy(s->scram->server_nonce, "known");
		if (verdict == SASL_NEED_ACCOUNT)
			verdict = sasl_account(s, how & 128 ? the_account() : NULL);
		else if (verdict == SASL_NEED_CHECK)
			verdict = sasl_checked(s, how & 128);
		first = false;
		bytes = stop < end ? stop + 1 : end;
	} while (verdict == SASL_CONTINUE && bytes < end);
	if (verdict == SASL_DONE)
		REQUIRE(s->user);
	sasl_free(s);
	return 0;
}
