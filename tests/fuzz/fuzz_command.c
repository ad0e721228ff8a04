/* What a client of the control socket may send: a line as it is, or, for reach, a request put
 * together from the input: names of commands and arguments, values of every type. What gets through
 * to a command is what its table says; every request has one answer that can be sent, and the line
 * is wiped. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/command.h"
#include "core/mem.h"

/* --- the commands --- */

static const char *const words[] = { "one", "two", NULL };
static const struct command_arg args[] = {
	{ "text", ARG_STRING, .help = "A text." },
	{ "secret", ARG_SECRET, .optional = true, .help = "A secret." },
	{ "number", ARG_INT, .optional = true, .option = true, .help = "A number." },
	{ "address", ARG_JID, .optional = true, .help = "An address." },
	{ "host", ARG_HOST, .optional = true, .help = "A host.", .words = words },
	{ "file", ARG_FILE, .optional = true, .option = true, .help = "A file." },
	{ "flag", ARG_FLAG, .help = "A flag." },
	{ 0 },
};

static void check_value(const struct command_arg *arg, const json_t *value)
{
	if (!value)
		REQUIRE(arg->optional || arg->type == ARG_FLAG);
	else if (arg->type == ARG_INT)
		REQUIRE(json_is_integer(value));
	else if (arg->type == ARG_FLAG)
		REQUIRE(json_is_boolean(value));
	else
		REQUIRE(json_is_string(value));
}

static void run_all(const json_t *given, struct command_answer *a)
{
	size_t known = 0;

	for (const struct command_arg *arg = args; arg->name; arg++) {
		const json_t *value = json_object_get(given, arg->name);

		check_value(arg, value);
		known += value != NULL;
	}
	REQUIRE(json_object_size(given) == known);
	if (command_flag(given, "flag"))
		command_fail(a, "%s and %lld", command_text(given, "text"),
			(long long)command_int(given, "number", -1));
	else
		a->result = json_pack("{s:O}", "given", given);
}

static void run_none(const json_t *given, struct command_answer *a UNUSED)
{
	REQUIRE(!json_object_size(given));
}

static const char *const columns[] = { "given", NULL };
static const struct command commands[] = {
	{ "all", "one", "Takes everything.", args, run_all, columns },
	{ "none", "two", "Takes nothing.", NULL, run_none, NULL },
};

static void begin(void)
{
	char folder[] = "/tmp/linnet-fuzz-command-XXXXXX";
	AUTO(free_ptr) char *socket = NULL;

	REQUIRE(mkdtemp(folder));
	socket = xprintf("%s/control", folder);
	REQUIRE(command_listen(socket, 0600) == 0); /* brings the command help */
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
	unlink(socket);
	rmdir(folder);
}

/* --- a request from bytes --- */

struct bytes {
	const uint8_t *at, *end;
};

static unsigned take(struct bytes *b, unsigned n)
{
	return b->at < b->end ? *b->at++ % n : 0;
}

/* Up to 63 bytes; NULL is not UTF-8. */
static json_t *take_text(struct bytes *b)
{
	size_t len = take(b, 64);

	if (len > (size_t)(b->end - b->at))
		len = (size_t)(b->end - b->at);
	b->at += len;
	return json_stringn((const char *)b->at - len, len);
}

static json_t *take_value(struct bytes *b, unsigned depth)
{
	json_t *value;

	switch (take(b, 9)) {
	case 0:
	case 1:
	case 2:
		return take_text(b);
	case 3:
		return json_integer((int64_t)take(b, 256) << take(b, 56));
	case 4:
		return json_true();
	case 5:
		return json_false();
	case 6:
		return json_real(take(b, 256) / 3.0);
	case 7:
		value = depth ? json_array() : json_null();
		for (unsigned n = depth ? take(b, 4) : 0; n; n--)
			json_array_append_new(value, take_value(b, depth - 1));
		return value;
	default:
		value = depth ? json_object() : json_null();
		for (unsigned n = depth ? take(b, 4) : 0; n; n--)
			json_object_set_new(value, "k", take_value(b, depth - 1));
		return value;
	}
}

static json_t *take_args(struct bytes *b)
{
	json_t *given = json_object();

	if (take(b, 4)) /* what it cannot do without */
		json_object_set_new(given, "text", json_string("text"));
	for (unsigned n = take(b, 8); n; n--) {
		unsigned i = take(b, ARRAY_LEN(args) + 1);
		const char *name = i < ARRAY_LEN(args) - 1 ? args[i].name
			: i < ARRAY_LEN(args)              ? "command"
							   : "unknown";

		json_object_set_new(given, name, take_value(b, 2));
	}
	return given;
}

static char *take_request(struct bytes *b)
{
	static const char *const names[] = { "all", "none", "help", "unknown" };
	json_t *request = json_object();
	unsigned how = take(b, 16);
	char *line;

	if (how != 15)
		json_object_set_new(request, "command",
			how < 12 ? json_string(names[how % ARRAY_LEN(names)]) : take_value(b, 1));
	if (take(b, 8))
		json_object_set_new(request, "args", take_args(b));
	else
		json_object_set_new(request, "args", take_value(b, 2));
	line = json_dumps(request, 0);
	json_decref(request);
	return line;
}

/* --- both --- */

static void check(char *line, size_t len)
{
	json_t *reply = command_request(line, len);
	bool failed = json_is_string(json_object_get(reply, "error"));
	char *text = json_dumps(reply, JSON_COMPACT);

	REQUIRE(text && !strchr(text, '\n'));
	REQUIRE(failed == !json_object_get(reply, "result"));
	REQUIRE(failed || !json_object_get(reply, "usage"));
	for (size_t i = 0; i < len; i++)
		REQUIRE(!line[i]);
	free(text);
	json_decref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line;

	if (!command_find("all"))
		begin();
	if (size && data[0] < ' ') {
		struct bytes b = { data + 1, data + size };

		line = take_request(&b);
		size = strlen(line);
	} else {
		line = xmemdup(data, size);
	}
	check(line, size);
	free(line);
	return 0;
}
