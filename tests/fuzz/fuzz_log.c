/* Whatever a peer puts into a value, the log has one line of valid JSON (RFC 8259) and UTF-8. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_BYTES 20000

static int file;

static void open_log(void)
{
	char path[] = "/tmp/linnet-fuzz-log-XXXXXX";

	file = mkstemp(path);
	REQUIRE(file >= 0);
	log_level = LOG_LEVEL_INFO;
	REQUIRE(log_open(path, LOG_FORMAT_JSON) == 0);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static off_t end;
	static char line[LINE_MAX_BYTES];
	AUTO(free_ptr) char *value = xmalloc(size + 1);
	const char *newline;
	json_t *json;
	ssize_t n;

	if (!file)
		open_log();
	if (size)
		memcpy(value, data, size);
	value[size] = 0;
	log_info("fuzz", value, L_STR("one", value), L_INT("two", size),
		L_STR("three", value + size / 2));
	log_flush();
	n = pread(file, line, sizeof(line), end);
	REQUIRE(n > 0 && (size_t)n < sizeof(line));
	newline = memchr(line, '\n', (size_t)n);
	REQUIRE(newline == line + n - 1);
	json = json_loadb(line, (size_t)n, 0, NULL);
	REQUIRE(json && json_object_get(json, "what"));
	json_decref(json);
	end += n;
	if (end > 1 << 24) {
		REQUIRE(ftruncate(file, 0) == 0);
		end = 0;
	}
	return 0;
}
