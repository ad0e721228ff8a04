/* net/s2s_in_sasl.c - another server shows by its certificate who it is: SASL EXTERNAL, XEP-0178
 * §3, RFC 6120 §6. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/base64.h"
#include "net/s2s_in_stream.h"
#include "xml/builder.h"

#define ATTEMPTS_MAX 5u /* RFC 6120 §6.4.5: 2 to 5 */

bool s2s_in_offers_external(const struct s2s_in *c)
{
	return s2s_in_is_secure(c) && !c->proven && !c->pairs.n && c->theirs &&
		s2s_in_is_certified(c, c->theirs);
}

ON_SHARD static struct next refuse(struct s2s_in *c, const char *condition)
{
	struct builder b;

	c->challenged = false;
	s2s_in_log(c, LOG_LEVEL_INFO, "EXTERNAL refused", L_STR("condition", condition));
	build_begin(&b, "failure", NS_SASL);
	build_open(&b, condition, NULL);
	build_close(&b);
	stream_send_element(&c->stream, &b);
	if (++c->attempts >= ATTEMPTS_MAX)
		return s2s_in_fail(c, STREAM_POLICY_VIOLATION, "Too many failed attempts.");
	return fsm_same();
}

/* Whether that is the domain it has said it is: §3 step 10. */
static bool is_theirs(const struct s2s_in *c, const char *text, size_t len)
{
	char prepared[JID_PART_MAX + 1];

	return jid_prep_domain(text, len, prepared) > 0 && !strcmp(prepared, c->theirs);
}

/* text: base64 of the domain to act as, or "=": the one of the stream header. */
ON_SHARD static struct next prove(struct s2s_in *c, const char *text)
{
	uint8_t domain[JID_PART_MAX + 3];
	struct builder b;
	size_t len = strlen(text);
	ssize_t n = 0;

	if (strcmp(text, "=") != 0 && len) {
		n = len / 4 * 3 <= sizeof(domain) ? base64_decode(text, len, domain) : -1;
		if (n < 0)
			return refuse(c, "incorrect-encoding");
	}
	if (n && !is_theirs(c, (const char *)domain, (size_t)n))
		return refuse(c, "invalid-authzid");
	c->challenged = false;
	c->proven = true; /* it may send once both have opened the stream anew */
	build_begin(&b, "success", NS_SASL);
	stream_send_element(&c->stream, &b);
	stream_restart(&c->stream);
	return fsm_next(S2S_IN_WAIT_FOR_STREAM);
}

/* Without an initial response it is asked for one: RFC 6120 §6.4.2. */
ON_SHARD static struct next challenge(struct s2s_in *c)
{
	struct builder b;

	c->challenged = true;
	build_begin(&b, "challenge", NS_SASL);
	stream_send_element(&c->stream, &b);
	return fsm_same();
}

struct next s2s_in_sasl(struct s2s_in *c, struct stanza *s)
{
	const char *text = elem_text(s->root, &s->arena);

	if (elem_is(s->root, "abort", NS_SASL))
		return refuse(c, "aborted");
	if (elem_is(s->root, "response", NS_SASL) && c->challenged)
		return prove(c, text);
	if (!elem_is(s->root, "auth", NS_SASL) || c->pairs.n || c->proven)
		return refuse(c, "malformed-request");
	if (s2s_in_tls_missing(c, c->ours))
		return refuse(c, "encryption-required");
	if (strcmp(elem_attr(s->root, "mechanism") ? elem_attr(s->root, "mechanism") : "",
		    "EXTERNAL") != 0)
		return refuse(c, "invalid-mechanism");
	if (!s2s_in_offers_external(c))
		return refuse(c, "not-authorized");
	return *text ? prove(c, text) : challenge(c);
}
