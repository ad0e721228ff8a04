/* modules/disco.h - how other modules add to what disco#info and disco#items answer.
 * A module's features need only stand in its descriptor and its domains only go through
 * module_serve(); these hooks are for identities, nodes, forms (XEP-0128) and items. They run where
 * the request is answered, a shard or a job thread, in the host's set. */
#pragma once

#include "core/hook.h"
#include "router/host.h"
#include "router/iq.h"
#include "xml/builder.h"

/* disco#info is built in this order, one run of the hook for each (XEP-0030 §11.1, XEP-0128 §2). */
enum disco_part { DISCO_IDENTITIES, DISCO_FEATURES, DISCO_FORMS, DISCO_ITEMS };
struct disco_query {
	const struct iq *iq;
	enum iq_scope scope; /* IQ_LOCAL: of the server; IQ_SM: of the account iq->to */
	const char *node; /* NULL: none */
	enum disco_part part;
	struct builder *answer; /* inside <query/> */
	bool permitted; /* who asks may see the account's presence; always true for the server */
	bool known; /* set by whoever knows the node; otherwise: item-not-found */
};
extern struct hook disco_info_hook; /* subject: struct disco_query */
extern struct hook disco_items_hook; /* subject: struct disco_query, part DISCO_ITEMS */

/* Runs for each feature that a module's descriptor announces; HOOK_STOP leaves it out. */
struct disco_offer {
	enum iq_scope scope;
	const char *feature;
};
extern struct hook disco_offer_hook; /* subject: struct disco_offer */

void disco_identity(struct builder *b, const char *category, const char *type, const char *name);
void disco_feature(struct builder *b, const char *feature);
void disco_item(struct builder *b, const char *jid, const char *node, const char *name);
/* <x type='result'> with its FORM_TYPE; fields and build_close() follow. */
void disco_form(struct builder *b, const char *form_type);

/* Adds the <query/> that the server's disco#info has for anybody. False: mod_disco does not run on
 * h. RCU-registered thread. */
bool disco_server_info(struct host *h, struct builder *b);
