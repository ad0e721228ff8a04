/* modules/cputime.c - how much processor time the server has used, in seconds: the developer's
 * guide's sample of an IQ handler, and the shortest module there is. */
#include <time.h>

#include "modules/module.h"

static int cputime_get(const struct iq *iq UNUSED, struct builder *answer)
{
	struct timespec used;
	char seconds[32];

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	snprintf(seconds, sizeof(seconds), "%lld.%03ld", (long long)used.tv_sec,
		used.tv_nsec / 1000000);
	build_open(answer, "query", NS_CPUTIME);
	build_text(answer, "cputime", seconds);
	build_close(answer);
	return 0;
}

const struct module module_cputime = {
	.abi = LINNET_MODULE_ABI,
	.name = "cputime",
	.help = "Tells how much processor time the server has used, in seconds.",
	.features = (const char *const[]){ NS_CPUTIME, NULL },
	.iq =
		(const struct iq_row[]){
			{ IQ_FOR_GET, IQ_LOCAL, NS_CPUTIME, IQ_ONE_QUEUE, cputime_get }, { 0 } },
};
LINNET_MODULE(module_cputime);
