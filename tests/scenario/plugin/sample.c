/* A module that plugin_test.py builds right and, by -D, wrong in one way at a time. */
#include <errno.h>

#include "modules/module.h"

#ifndef SAMPLE_ABI
#define SAMPLE_ABI LINNET_MODULE_ABI
#endif
#ifndef SAMPLE_NAME
#define SAMPLE_NAME "sample"
#endif

static int sample_start(struct module_instance *mi UNUSED)
{
#ifdef SAMPLE_FAILS
	return -ENOTSUP;
#elif defined(SAMPLE_LACKS)
	extern int function_of_no_server(void);

	return function_of_no_server();
#else
	return 0;
#endif
}

static const struct module sample = {
	.abi = SAMPLE_ABI,
	.name = SAMPLE_NAME,
	.help = "For a test.",
	.start = sample_start,
};
#ifdef SAMPLE_HIDDEN
const struct module *sample_module(void);
const struct module *sample_module(void)
{
	return &sample;
}
#else
LINNET_MODULE(sample);
#endif
