/* An answer of a name server of whatever bytes: all that is said of it lies inside, is bounded and
 * may be asked for again. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/dns_answer.h"

static void check_name(const char *name)
{
	static const char may_stand[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

	REQUIRE(strlen(name) < DNS_NAME_MAX);
	REQUIRE(strspn(name, may_stand) == strlen(name));
}

static void check(const struct dns_answer *a)
{
	unsigned sum = 0;

	REQUIRE(a->n <= DNS_RECORDS_MAX);
	REQUIRE((a->outcome == DNS_FOUND) == (a->n > 0));
	REQUIRE((a->outcome == DNS_FAILED) == (*a->why != 0));
	for (unsigned i = 0; i < a->n; i++) {
		const struct dns_record *r = &a->at[i];

		if (a->type == DNS_SRV)
			check_name(r->srv.target);
		for (unsigned j = 0; a->type == DNS_TLSA && j < r->tlsa.len; j++)
			sum += r->tlsa.data[j]; /* a sanitizer sees whether it is there */
	}
	REQUIRE(sum <= DNS_RECORDS_MAX * DNS_TLSA_MAX * 255u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_SRV, DNS_TLSA };
	enum dns_type type = types[size ? data[0] % 4 : 0];
	struct dns_answer *a;
	uint8_t *exact;

	if (!size || size > 65536)
		return 0;
	exact = xmalloc(size == 1 ? 1 : size - 1);
	memcpy(exact, data + 1, size - 1);
	if (!dns_answer_parse(exact, size - 1, "q.example", type, &a)) {
		check(a);
		dns_answer_unref(a);
	}
	free(exact);
	return 0;
}
