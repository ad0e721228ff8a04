/* modules/version.c - tells who we are. XEP-0092 (Software Version). */
#include <sys/utsname.h>

#include "modules/module.h"

struct version_conf {
	bool show_os;
};
static const struct conf_item version_items[] = {
	{ "show_os", CONF_BOOL, FIELD(struct version_conf, show_os, bool), .preset = "false",
		.help = "Add the operating system's name to the answer." },
	{ 0 }
};

static int version_get(const struct iq *iq, struct builder *answer)
{
	const struct version_conf *conf = iq_conf(iq);
	struct utsname system;

	build_open(answer, "query", NS_VERSION);
	build_text(answer, "name", "Linnet");
	build_text(answer, "version", LINNET_VERSION);
	if (conf->show_os && uname(&system) == 0)
		build_text(answer, "os", system.sysname);
	build_close(answer);
	return 0;
}

const struct module module_version = {
	.abi = LINNET_MODULE_ABI,
	.name = "version",
	.help = "Answers which software this server runs.",
	.xeps = (const char *const[]){ "XEP-0092 1.1", NULL },
	.features = (const char *const[]){ NS_VERSION, NULL },
	.conf = version_items,
	.conf_size = sizeof(struct version_conf),
	.iq =
		(const struct iq_row[]){
			{ IQ_FOR_GET, IQ_LOCAL, NS_VERSION, IQ_NO_QUEUE, version_get }, { 0 } },
};
LINNET_MODULE(module_version);
