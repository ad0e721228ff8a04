/* net/dns_answer.h - what a name server said, understood: RFC 1035 §4.1, RFC 2782 (SRV), RFC 3596
 * (AAAA), RFC 6698 (TLSA), RFC 2308 (what is not there). Immutable and counted. */
#pragma once

#include "core/attr.h"

#define DNS_NAME_MAX 254 /* bytes of a name as text, the terminating one too */
#define DNS_RECORDS_MAX 32 /* of one answer; more are left out */
#define DNS_TLSA_MAX 2048 /* bytes of a certificate's association; longer ones are left out */

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52 };
ANY_THREAD const char *dns_type_name(enum dns_type type); /* "SRV" */

enum dns_outcome {
	DNS_FOUND, /* one record at least */
	DNS_NOTHING, /* the name has no records of this type */
	DNS_NO_NAME, /* there is no such name */
	DNS_FAILED, /* nobody knows: no answer, or none that can be used */
};

struct dns_srv {
	uint16_t priority, weight, port;
	const char *target; /* lower case, without the last dot; "" for ".": no such service */
};
struct dns_tlsa {
	uint8_t usage, selector, matching;
	uint16_t len;
	const uint8_t *data;
};
struct dns_record {
	union {
		uint8_t ipv4[4];
		uint8_t ipv6[16];
		struct dns_srv srv;
		struct dns_tlsa tlsa;
	};
};

struct dns_answer {
	_Atomic unsigned refs;
	enum dns_outcome outcome;
	enum dns_type type;
	bool secure; /* validated by DNSSEC, what is not there too, by someone who is trusted */
	uint32_t ttl_s; /* as it came; 0: not to be kept */
	uint32_t bytes; /* of memory */
	const char *why; /* DNS_FAILED: what happened, no sentence; "" otherwise */
	unsigned n;
	struct dns_record at[]; /* of that type; what they point to comes behind them */
};

/* Understands the answer to a question of that (lower-case) name and type. 0, or -EBADMSG: it is
 * none. secure is what the header says (the AD bit). One reference is the caller's. */
ANY_THREAD int dns_answer_parse(const uint8_t *bytes, size_t len, const char *name,
	enum dns_type type, struct dns_answer **out);
ANY_THREAD struct dns_answer *dns_answer_failed(enum dns_type type, const char *why);
ANY_THREAD struct dns_answer *dns_answer_ref(const struct dns_answer *a);
ANY_THREAD void dns_answer_unref(const struct dns_answer *a); /* NULL is fine */
