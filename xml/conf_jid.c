/* xml/conf_jid.c - domains and JIDs in settings, prepared as those in streams are. */
#include "xml/conf_jid.h"

#include <string.h>

#include "xml/jid.h"

const char *conf_check_domain(const void *value, struct arena *a)
{
	const char **domain = (const char **)value; /* conf_item allows it */
	char prepared[JID_PART_MAX + 1];
	int len = jid_prep_domain(*domain, strlen(*domain), prepared);

	if (len <= 0)
		return "a domain name";
	*domain = arena_text(a, prepared, (size_t)len);
	return NULL;
}

const char *conf_check_jid(const void *value, struct arena *a)
{
	const char **text = (const char **)value; /* conf_item allows it */
	struct jid *jid;

	if (jid_parse(*text, strlen(*text), a, &jid))
		return "a JID, such as romeo@example.org";
	*text = jid_text(jid, a);
	return NULL;
}
