/* bench/bench_number.c - "TAG.NUMBER xxxx". */
#include "bench/bench_number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *run_tag(void)
{
	static char tag[40];

	if (!*tag)
		snprintf(tag, sizeof(tag), "b%llx.%x", (unsigned long long)time(NULL),
			(unsigned)getpid());
	return tag;
}

void send_numbered(struct client *c, uint64_t number)
{
	static const char filling[] =
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	char text[80];
	size_t at = (size_t)snprintf(
		text, sizeof(text), "%s.%llu ", run_tag(), (unsigned long long)number);

	client_send(c, text, at);
	while (at < c->loop->options->size) {
		size_t left = c->loop->options->size - at;
		size_t some = left < sizeof(filling) - 1 ? left : sizeof(filling) - 1;

		client_send(c, filling, some);
		at += some;
	}
}

bool read_numbered(const char *text, uint64_t *out)
{
	size_t len = strlen(run_tag());
	char *end;

	for (text = strstr(text, run_tag()); text; text = strstr(text + len, run_tag())) {
		*out = text[len] == '.' ? strtoull(text + len + 1, &end, 10) : 0;
		if (text[len] == '.' && *end == ' ')
			return true;
	}
	return false; /* names of rooms and nodes have the mark as well */
}
