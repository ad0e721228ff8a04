/* modules/message_worth.c - which messages are kept. */
#include "modules/message_log.h"

/* What says nothing that matters later. */
static bool is_passing(const struct elem *e)
{
	return e->ns == NS_CHATSTATES || e->ns == NS_HINTS || e->ns == NS_SID ||
		e->ns == NS_DELAY || e->name == NAME_THREAD ||
		(e->ns == NS_RECEIPTS && elem_is(e, "request", NS_RECEIPTS));
}

/* Asked several times for each message that passes, so it looks at each child once. */
unsigned message_worth(const struct stanza *s)
{
	bool says_something = false, store = false, permanent = true;

	if (s->type == MSG_GROUPCHAT || s->type == MSG_ERROR)
		return 0; /* XEP-0160 §3 */
	elem_each_child (s->root, e) {
		says_something = says_something || !is_passing(e);
		if (likely(e->ns != NS_HINTS))
			continue;
		if (elem_is(e, "no-store", NS_HINTS))
			return 0; /* XEP-0334 §4.2 */
		store = store || elem_is(e, "store", NS_HINTS); /* §4.4 */
		permanent = permanent && !elem_is(e, "no-permanent-store", NS_HINTS); /* §4.1 */
	}
	if (s->type == MSG_HEADLINE) /* for who is there: RFC 6121 §8.5.2.2.1 */
		return store && permanent ? MESSAGE_WORTH_ARCHIVE : 0;
	if (store)
		permanent = true;
	else if (!says_something)
		return 0;
	return permanent ? MESSAGE_WORTH_ARCHIVE | MESSAGE_WORTH_KEEPING : MESSAGE_WORTH_KEEPING;
}
