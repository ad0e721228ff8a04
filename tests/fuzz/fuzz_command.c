/* What a client of the control socket may send: one line of JSON and a table to check it against.
 */
#include <stdlib.h>

#include "core/command.h"
#include "core/mem.h"

static void run_nothing(const json_t *args UNUSED, struct command_answer *a)
{
	a->result = json_object();
}

static const struct command_arg args[] = { { "text", ARG_STRING, .help = "A text." },
	{ "number", ARG_INT, .optional = true, .help = "A number." },
	{ "flag", ARG_FLAG, .help = "A flag." }, { 0 } };
static const struct command fuzzed = { "f", "g", "Does nothing.", args, run_nothing, NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = xmemdup(data, size);
	json_t *reply;

	if (!command_find("f"))
		command_add(&fuzzed);
	reply = command_request(line, size);
	REQUIRE(json_object_get(reply, "result") || json_object_get(reply, "error"));
	json_decref(reply);
	free(line);
	return 0;
}
