/* modules/echo.c - sends back what it gets: the developer's guide's sample of a service with a
 * domain of its own. */
#include "modules/module.h"

struct echo_conf {
	const char *host;
};
static const struct conf_item echo_items[] = {
	{ "host", CONF_STRING, FIELD(struct echo_conf, host, const char *), .preset = "echo.@HOST@",
		.applies = CONF_AT_MODULE_START,
		.help = "The service's domain; @HOST@ stands for the virtual host's name." },
	{ 0 }
};

static void echo(void *arg UNUSED, struct stanza *s)
{
	struct builder b;

	shard_check(NULL);
	if (s->type == IQ_RESULT || s->type == IQ_ERROR || s->type == MSG_ERROR ||
		s->type == PRES_ERROR)
		return; /* nobody waits for an answer to an answer */
	build_begin(&b, s->root->name, s->root->ns);
	for (const struct attr *a = s->root->attrs; a; a = a->next)
		build_attr_ns(&b, a->name, a->ns, a->value);
	build_attr_jid(&b, "from", s->to);
	build_attr_jid(&b, "to", s->from);
	elem_each_child (s->root, child)
		build_copy(&b, child);
	route(build_end(&b));
}

static int echo_start(struct module_instance *mi)
{
	const struct echo_conf *conf = module_conf(mi);

	return module_serve(mi, conf->host, "Echo", echo, NULL);
}

const struct module module_echo = {
	.abi = LINNET_MODULE_ABI,
	.name = "echo",
	.help = "A service that sends every stanza back to its sender: for trying out clients.",
	.conf = echo_items,
	.conf_size = sizeof(struct echo_conf),
	.start = echo_start,
};
LINNET_MODULE(module_echo);
