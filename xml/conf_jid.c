/* xml/conf_jid.c - what core/conf cannot know about domains and addresses. */
#include "xml/conf_jid.h"

#include <string.h>

#include "xml/jid.h"

/* The field is the settings' own while it is checked, see struct conf_item. */
static const char **field_of(const void *value)
{
	return (const char **)(uintptr_t)value;
}

const char *conf_check_domain(const void *value, struct arena *a)
{
	const char **field = field_of(value);
	char prepared[JID_PART_MAX + 1];
	int len = jid_prep_domain(*field, strlen(*field), prepared);

	if (len < 0)
		return "a domain, such as example.org";
	*field = arena_text(a, prepared, (size_t)len);
	return NULL;
}

const char *conf_check_jid(const void *value, struct arena *a)
{
	const char **field = field_of(value);
	struct jid *jid;

	if (jid_parse(*field, strlen(*field), a, &jid) != JID_OK)
		return "an address, such as user@example.org";
	*field = jid_text(jid, a);
	return NULL;
}
