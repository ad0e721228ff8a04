/* A module for the tests of this folder: it has weaknesses. */
#include <unistd.h>

#include "modules/module.h"

/* On a shard, which must never wait. */
static int frail_hang(const struct iq *iq UNUSED, struct builder *answer UNUSED)
{
	while (pause() < 0)
		continue;
	return 0;
}

static const struct module frail = {
	.abi = LINNET_MODULE_ABI,
	.name = "frail",
	.help = "For a test.",
	.iq =
		(const struct iq_row[]){
			{ IQ_FOR_SET, IQ_LOCAL, "urn:test:hang", IQ_NO_QUEUE, frail_hang }, { 0 } },
};
LINNET_MODULE(frail);
