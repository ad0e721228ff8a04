/* xml/conf_jid.c - addresses in settings. */
#include "xml/conf_jid.h"

#include <string.h>

#include "xml/jid.h"

const char *conf_check_domain(const void *value, struct arena *a)
{
	const char **field = (const char **)value;
	char prepared[JID_PART_MAX + 1];

	if (jid_prep_domain(*field, strlen(*field), prepared) < 0)
		return "a domain";
	*field = arena_strdup(a, prepared);
	return NULL;
}

const char *conf_check_jid(const void *value, struct arena *a)
{
	const char **field = (const char **)value;
	struct jid *j;

	if (jid_parse(*field, strlen(*field), a, &j) != JID_OK)
		return "an address like user@example.org";
	*field = jid_text(j, a);
	return NULL;
}
