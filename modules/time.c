/* modules/time.c - what time it is here. XEP-0202 (Entity Time), in the formats of XEP-0082. */
#include <time.h>

#include "modules/module.h"

static int time_get(const struct iq *iq UNUSED, struct builder *answer)
{
	time_t now = time(NULL);
	char utc[32], offset[8];
	struct tm here, there;

	gmtime_r(&now, &there);
	localtime_r(&now, &here);
	strftime(utc, sizeof(utc), "%Y-%m-%dT%H:%M:%SZ", &there);
	strftime(offset, sizeof(offset), "%z", &here); /* +hhmm */
	memmove(offset + 4, offset + 3, 3);
	offset[3] = ':';
	build_open(answer, "time", NS_TIME);
	build_text(answer, "tzo", offset);
	build_text(answer, "utc", utc);
	build_close(answer);
	return 0;
}

const struct module module_time = {
	.abi = LINNET_MODULE_ABI,
	.name = "time",
	.help = "Tells the server's time and its offset from UTC.",
	.xeps = (const char *const[]){ "XEP-0202 2.0", "XEP-0082 1.1.1", NULL },
	.features = (const char *const[]){ NS_TIME, NULL },
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, NS_TIME, IQ_NO_QUEUE, time_get },
		{ 0 } },
};
LINNET_MODULE(module_time);
