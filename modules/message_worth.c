/* modules/message_worth.c - which messages are kept. */
#include "modules/message_log.h"

/* What says nothing that matters later. */
static bool is_passing(const struct elem *e)
{
	return e->ns == NS_CHATSTATES || e->ns == NS_HINTS || e->name == NAME_THREAD ||
		elem_is(e, "request", NS_RECEIPTS) || e->ns == NS_SID || e->ns == NS_DELAY;
}

static bool has_hint(const struct stanza *s, const char *hint)
{
	return elem_child(s->root, hint, NS_HINTS) != NULL;
}

static bool says_something(const struct stanza *s)
{
	elem_each_child (s->root, child)
		if (!is_passing(child))
			return true;
	return false;
}

unsigned message_worth(const struct stanza *s)
{
	unsigned worth = MESSAGE_WORTH_ARCHIVE | MESSAGE_WORTH_KEEPING;

	if (s->type != MSG_CHAT && s->type != MSG_NORMAL)
		return 0; /* XEP-0160 §3: groupchat, headline, error */
	if (has_hint(s, "no-store"))
		return 0; /* XEP-0334 §4.2 */
	if (has_hint(s, "store"))
		return worth; /* §4.4 */
	if (!says_something(s))
		return 0;
	if (has_hint(s, "no-permanent-store"))
		worth &= ~(unsigned)MESSAGE_WORTH_ARCHIVE; /* §4.1 */
	return worth;
}
