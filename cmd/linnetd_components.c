/* cmd/linnetd_components.c - commands about external components (router/component.h). */
#include <stdatomic.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/command.h"
#include "net/service.h"
#include "router/component.h"

static void add_component(const struct component *c, void *list)
{
	char address[CONF_ADDRESS_TEXT_MAX];

	conf_address_write(&c->address, address);
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:i, s:b, s:o, s:I, s:I}", "domain", jid_domain(c->jid),
			"address", address, "port", c->port, "tls", c->tls, "since",
			time_value((int64_t)(c->since_ms / 1000)), "received",
			(json_int_t)atomic_load(&c->received), "sent",
			(json_int_t)atomic_load(&c->sent)));
}

static void run_components(const json_t *args UNUSED, struct command_answer *answer)
{
	answer->result = json_array();
	components_each(add_component, answer->result);
}

static void run_component_close(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "domain");
	const struct component *c;
	char domain[JID_PART_MAX + 1];

	if (jid_prep_domain(given, strlen(given), domain) <= 0) {
		command_fail(answer, "'%s' is not a domain", given);
		return;
	}
	c = component_find(domain);
	if (!c) {
		command_fail(answer, "no component serves %s", domain);
		return;
	}
	service_kick(c->stream, STREAM_RESET, "Closed by the operator.");
	answer->result = json_pack("{s:s}", "closed", domain);
}

static const struct command_arg close_args[] = {
	{ "domain", ARG_STRING, .help = "A domain that it serves." }, { 0 }
};

static const struct command commands[] = {
	{ "components", "components",
		"List the domains that external components serve, with the stanzas from and to "
		"each.",
		NULL, run_components,
		(const char *const[]){
			"domain", "address", "port", "tls", "since", "received", "sent", NULL } },
	{ "component-close", "components",
		"End a component's connection. It may come back at once.", close_args,
		run_component_close },
};

void commands_add_components(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
