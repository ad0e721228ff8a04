/* net/sasl2.h - what a client asks for in one <authenticate/>: XEP-0388 with the inline features of
 * XEP-0386 (Bind 2), XEP-0198 (resumption), XEP-0484 (FAST) and XEP-0480 (upgrade tasks). Reading
 * alone: c2s_sasl2.c does it.
 */
#pragma once

#include "core/arena.h"
#include "core/attr.h"
#include "router/auth.h"
#include "router/user_agent.h"
#include "xml/stanza.h"

#define NS_UPGRADE "urn:xmpp:sasl:upgrade:0"
#define NS_SCRAM_UPGRADE "urn:xmpp:scram-upgrade:0"
#define SASL2_TAG_MAX 128 /* bytes of a tag; a longer one is left out */

struct sasl2_request {
	const char *mechanism; /* "": none named */
	const char *initial; /* base64, or NULL: no initial response */
	struct user_agent agent; /* .id and its texts; id "": none */
	const struct elem *bind; /* NULL: no resource now */
	const char *tag; /* of bind; NULL: none */
	const struct elem *resume; /* a session it comes back to, or NULL */
	bool fast; /* it logs in with a token */
	uint32_t fast_count; /* 0: none */
	bool fast_invalidate;
	unsigned token; /* the mechanism that a token is wanted for; HT_MECHANISMS: no token is */
	uint32_t upgrades; /* bits of enum scram_hash */
};

/* Texts stay the stanza's or the arena's. 0, or 1 + an enum sasl_condition. */
int sasl2_read(const struct elem *authenticate, struct arena *a, struct sasl2_request *out);

/* XEP-0480: "UPGR-SCRAM-SHA-256". SCRAM_HASHES: unknown. */
const char *sasl2_upgrade_name(enum scram_hash hash);
int sasl2_upgrade(const char *task);
/* <task-data><hash/></task-data>: fills in v's keys, whose salt and rounds are set. False: it is
 * not what was asked for. */
bool sasl2_read_hash(const struct elem *task_data, struct arena *a, enum scram_hash hash,
	struct scram_verifier *v);
