/* A peer's certificate in DER: the names it presents, shown and compared. Behind them, a domain to
 * look for: up to the first NUL. */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/cert_names.h"
#include "xml/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool look(const struct cert_name *n, void *arg)
{
	size_t *seen = arg;

	REQUIRE(n->len && (n->kind == CERT_IP || !memchr(n->text, 0, n->len)));
	*seen += n->len;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *end = memchr(bytes, 0, len);
	char domain[JID_PART_MAX + 1];
	const uint8_t *at;
	size_t seen = 0;
	X509 *x;

	if (!end || jid_prep_domain((const char *)bytes, (size_t)(end - bytes), domain) <= 0)
		return 0;
	at = end + 1;
	x = d2i_X509(NULL, &at, (long)(len - (size_t)(at - bytes)));
	if (x) {
		AUTO(free_ptr) char *text = cert_names_text(x);
		bool any = cert_each_name(x, look, &seen);

		REQUIRE(any || !*text);
		if (cert_is_of(x, domain))
			REQUIRE(seen);
		X509_free(x);
	}
	ERR_clear_error();
	return 0;
}
