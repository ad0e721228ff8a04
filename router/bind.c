/* router/bind.c - the hooks of binding inline; net/c2s_sasl2.c runs them. */
#include "router/bind.h"

HOOK(bind_offer);
HOOK(bind_prepare);
HOOK(bind_inline);

void bind_offer(struct bind_offer *o, const char *feature)
{
	if (!o->any)
		build_open(o->features, "inline", NULL);
	o->any = true;
	build_open(o->features, "feature", NULL);
	build_attr(o->features, "var", feature);
	build_close(o->features);
}
